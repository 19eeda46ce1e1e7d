/*
 * What does a host name say about the host?
 *
 * A name is taken apart into a host part and the organisational domain, so that what a provider is called
 * (`dslnet.example`) does not make its mail server an access name. In the host part three things are looked for: an
 * address (classify_address), words of lines, hosting and mail (classify_words), and serial numbers. Each counts some
 * points; then a short list of decisions, read from top to bottom in decide(), weighs them:
 *
 *   mail words         a mail server, whatever else the name says, since a mail server taken for a line is the
 *                      dearer mistake; `mx` and `out` alone give way to a whole address beside `dynamic` or `static`
 *   static words       static, if there is an address or a number; `dynamic` is stronger than `business`
 *   hosting words      the same, but any word of a line is stronger: `fixed` is said of lines too
 *   the rest           access from ACCESS_POINTS on: a whole address alone is enough, a word and a number too
 *
 * The domain's own words count only beside a number in the host part, and as half. A learned model was rejected: an
 * administrator must be able to see why, and a mistake must be mendable by one row of a table. So was a public suffix
 * list: the few second levels under country codes that providers use are enough here.
 */
#include "policy/classify.h"

#include "policy/classify_address.h"
#include "policy/classify_words.h"

enum {
    ACCESS_POINTS = 4,
    MANY_DIGITS = 6, /* in a row: a serial number of lines rather than of servers */
    SOME_DIGITS = 3,
};

/* What a name shows. Counts are of words. */
struct evidence {
    enum name_address address;
    enum provider_kind provider;
    unsigned dynamic, line, customer, is_static, hosting, mail, mail_weak, infra;
    bool own_line, own_static, own_hosting, own_mail; /* words in the label of the organisational domain */
    bool says_dynamic, is_first_infra;
    size_t longest_digits; /* in a row, in the host part */
    size_t n_digits;       /* in the host part */
};

/* --- taking the name apart */

static bool is_letter(char c) {
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Second levels under a country code below which domains are registered. */
static bool is_second_level(struct str label) {
    static const struct str known[] = { STR_INIT("ac"), STR_INIT("ad"), STR_INIT("co"), STR_INIT("com"),
        STR_INIT("edu"), STR_INIT("go"), STR_INIT("gob"), STR_INIT("gov"), STR_INIT("mil"), STR_INIT("ne"),
        STR_INIT("net"), STR_INIT("nom"), STR_INIT("or"), STR_INIT("org"), STR_INIT("sch") };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_eq(known[i], label))
            return true;
    return false;
}

/* Where the organisational domain begins: two labels, three below a second level (`isp.co.uk`). */
static size_t find_domain(struct str name) {
    size_t tld = str_find_last(name, '.');
    if (tld == name.len)
        return name.len;
    size_t second = str_find_last(str_head(name, tld), '.');
    if (second == tld)
        return 0;
    struct str label = { name.at + second + 1, tld - second - 1 };
    if (name.len - tld - 1 != 2 || !is_second_level(label))
        return second + 1;
    size_t third = str_find_last(str_head(name, second), '.');
    return third == second ? 0 : third + 1;
}

/*
 * Domains such as `ip-192-0-2.example` are part of the naming scheme: digits in three places. Only hosting companies
 * register them.
 */
static bool is_numbered(struct str label) {
    size_t runs = 0;
    for (size_t i = 0; i < label.len; i++)
        runs += is_digit(label.at[i]) && (i == 0 || !is_digit(label.at[i - 1]));
    return runs >= 3;
}

/* --- collecting evidence */

static void count_word(struct evidence *e, enum word_kind kind, bool is_first_label) {
    switch (kind) {
    case WORD_DYNAMIC:
        e->dynamic++;
        break;
    case WORD_LINE:
        e->line++;
        break;
    case WORD_CUSTOMER:
        e->customer++;
        break;
    case WORD_STATIC:
        e->is_static++;
        break;
    case WORD_HOSTING:
        e->hosting++;
        break;
    case WORD_MAIL:
        e->mail++;
        break;
    case WORD_MAIL_WEAK:
        e->mail_weak++;
        break;
    case WORD_INFRA:
        e->infra++;
        e->is_first_infra |= is_first_label;
        break;
    case WORD_NONE:
    case WORD_NEUTRAL:
        break;
    }
}

/* `3g`, `4g`, `5g`: the only words that begin with a digit. */
static bool is_generation(struct str host, size_t at, size_t len) {
    return len == 1 && host.at[at] == 'g' && at > 0 && host.at[at - 1] >= '3' && host.at[at - 1] <= '5'
        && (at < 2 || !is_digit(host.at[at - 2]));
}

/* Letters a to f behind a digit are a hexadecimal number, not a word. */
static bool is_inside_hex(struct str host, struct str word) {
    if (word.at == host.at || !is_digit(word.at[-1]))
        return false;
    for (size_t i = 0; i < word.len; i++)
        if (word.at[i] > 'f')
            return false;
    return true;
}

static void read_words(struct evidence *e, struct str host) {
    bool is_first_label = true;
    for (size_t i = 0; i < host.len;) {
        size_t from = i;
        while (i < host.len && is_letter(host.at[i]))
            i++;
        if (i > from) {
            struct str word = { host.at + from, i - from };
            enum word_kind kind = is_generation(host, from, word.len) ? WORD_LINE : word_kind(word);
            if (!is_inside_hex(host, word))
                count_word(e, kind, is_first_label);
            e->says_dynamic |= kind == WORD_DYNAMIC && word.len >= 7 && memcmp(word.at, "dynamic", 7) == 0;
            continue;
        }
        if (host.at[i] == '.')
            is_first_label = false;
        i++;
    }
}

static void read_digits(struct evidence *e, struct str host) {
    for (size_t i = 0, run = 0; i < host.len; i++) {
        run = is_digit(host.at[i]) ? run + 1 : 0;
        e->n_digits += run > 0;
        e->longest_digits = run > e->longest_digits ? run : e->longest_digits;
    }
}

/* The words of the label that the provider registered. */
static void read_domain(struct evidence *e, struct str domain) {
    struct evidence own = { .provider = PROVIDER_UNKNOWN };
    read_words(&own, str_head(domain, str_find(domain, '.')));
    e->provider = provider_kind(domain);
    e->own_line = own.line > 0 || own.dynamic > 0;
    e->own_static = own.is_static > 0;
    e->own_hosting = own.hosting > 0;
    e->own_mail = own.mail > 0;
}

/* --- weighing */

static bool is_named_after_address(const struct evidence *e) {
    return e->address >= NAME_ADDRESS_PARTIAL;
}

static bool is_numbered_host(const struct evidence *e) {
    return is_named_after_address(e) || e->address == NAME_ADDRESS_HEX || e->longest_digits >= SOME_DIGITS;
}

static unsigned address_points(const struct evidence *e) {
    static const unsigned points[] = { [NAME_ADDRESS_NONE] = 0, [NAME_ADDRESS_HEX] = 2, [NAME_ADDRESS_PARTIAL] = 3,
        [NAME_ADDRESS_MAC] = 3, [NAME_ADDRESS_MOST] = 4, [NAME_ADDRESS_SHAPE] = 4, [NAME_ADDRESS_FULL] = 4 };
    unsigned serial = e->longest_digits >= MANY_DIGITS ? 2 : e->longest_digits >= SOME_DIGITS || e->n_digits > 3;
    return points[e->address] > serial ? points[e->address] : serial;
}

/* How much speaks for a line. No word is enough without a number. */
static unsigned access_points(const struct evidence *e) {
    unsigned points = address_points(e);
    points += e->dynamic > 0 ? 3 + (e->dynamic > 1) : 0;
    points += e->line > 0 ? 3 + (e->line > 1) : 0;
    points += e->customer > 1 ? 2 : e->customer;
    if (e->n_digits > 0)
        points += e->own_line;
    if (e->n_digits > 0 && e->provider == PROVIDER_ACCESS)
        points += e->address >= NAME_ADDRESS_HEX ? 2 : 1;
    return points;
}

static bool is_access(const struct evidence *e) {
    if (e->n_digits == 0 && e->address == NAME_ADDRESS_NONE)
        return e->says_dynamic || (e->dynamic + e->line >= 2);
    unsigned task = !e->is_first_infra ? 0 : e->address >= NAME_ADDRESS_MOST ? 1 : 3;
    return access_points(e) >= ACCESS_POINTS + task;
}

/* A whole address beside a word of lines is more than `mx` or `out`: `mx-ll-203.0.113-7.dynamic.example.net`. */
static bool is_mail(const struct evidence *e) {
    if (e->mail > 0)
        return true;
    bool is_line = e->address >= NAME_ADDRESS_MOST && e->dynamic + e->line + e->is_static > 0;
    return !is_line && (e->mail_weak > 0 || e->provider == PROVIDER_MAIL || (e->own_mail && is_numbered_host(e)));
}

static enum name_class decide(const struct evidence *e) {
    if (is_mail(e))
        return NAME_MAIL;
    bool is_hosting = e->hosting > 0 || e->own_hosting || e->provider == PROVIDER_HOSTING;
    if ((e->is_static > 0 || e->own_static) && e->dynamic == 0)
        return is_numbered_host(e) ? NAME_STATIC : NAME_OTHER;
    if (is_hosting && (e->provider == PROVIDER_HOSTING || e->dynamic + e->line == 0))
        return is_numbered_host(e) ? NAME_STATIC : NAME_OTHER;
    if (is_access(e))
        return NAME_ACCESS;
    return e->address >= NAME_ADDRESS_MOST ? NAME_STATIC : NAME_OTHER;
}

enum name_class name_classify(struct str name, const struct ip *ip_or_null) {
    char lower[NAME_CLASSIFY_MAX];
    if (name.len > 0 && name.at[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > NAME_CLASSIFY_MAX)
        return NAME_OTHER;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.at[i]);
    struct str whole = { lower, name.len };
    size_t domain_at = find_domain(whole);
    struct str domain = str_from(whole, domain_at);
    size_t label = str_find(domain, '.');
    struct evidence e = { .provider = PROVIDER_UNKNOWN };
    read_domain(&e, domain);
    bool is_host_too = is_numbered(str_head(domain, label));
    struct str host = str_head(whole, is_host_too ? domain_at + label : domain_at);
    read_words(&e, host);
    read_digits(&e, host);
    e.hosting += is_host_too && domain_at > 0;
    e.address = name_address_find(host, ip_or_null);
    return decide(&e);
}

const char *name_class_text(enum name_class class) {
    static const char *const texts[] = { [NAME_ACCESS] = "access", [NAME_STATIC] = "static", [NAME_MAIL] = "mail",
        [NAME_OTHER] = "other" };
    return texts[class];
}
