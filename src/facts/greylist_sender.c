/*
 * greylist_sender: which part of a sender stays the same from message to message?
 *
 * Forwarders, gateways and mailing programs write into the envelope sender whom the mail is for, when it was sent, and
 * a signature over it. In the order in which they were put around the address, they are taken off again:
 *
 *     SRS0=HHH=TT=example.org=anna@forwarder      anna@example.org        who sent it (openspf.org/SRS; also + and -)
 *     SRS1=HHH=first==HHH=TT=example.org=anna@..  anna@example.org        forwarded twice
 *     anna+SRS=HHH=TT=example.org=bert@..         bert@example.org        Microsoft 365; without an address: bounces@..
 *     prvs=1234abcdef=anna@example.org            anna@example.org        BATV (draft-levine-smtp-batv-01), both orders
 *     btv1==123==anna@.., msprvs1=123=anna@..     anna@..                 Barracuda, SparkPost
 *     bounce-12-bert=example.net@example.org      bounce-#@example.org    VERP, the recipient in any spelling
 *     anna+news@example.org                       anna@example.org        detail
 *     list-return-4821-x@example.org              list-return-#@..        what follows a word for bounces
 *     0100017fcf817777-481efc68-4a9a@..           #@..                    numbers that count and identify
 *     x@em1234.example.org                        x@em#.example.org       a host of a pool, below the organisation
 *     0102abcd@bounces.example.org                #@bounces.example.org   a domain that exists for bounces
 *
 * '#' is the mark for what was taken out where something stood. How much of a machine there must be in an address
 * before a number counts as one depends on what else it shows: in one that holds its recipient or a word for bounces
 * every number is variable; in others only what nobody has in a name, so that anna1985@ and anna1986@, the students
 * s1234567@ and s1234568@, and the people of mail services that give them numbers stay apart. Merging two senders
 * costs little (the client and the recipient must be the same, too), telling one sender from itself costs a delay each
 * time; but a bot that makes up names must not become a sender that is known.
 *
 * Rejected: the domain alone (one retry would vouch for all that a free mail service lets its users send from one
 * address to one recipient), and patterns an administrator could write (nobody would keep them up).
 */
#include "facts/greylist_sender.h"

#include "facts/helo.h"

enum {
    WRAPPINGS_MAX = 4,   /* one inside the other; who nests deeper is not understood */
    TAG_MIN = 8,         /* of BATV: ten characters in the draft, nine in the wild */
    TAG_MAX = 12,
    PLAIN_NUMBER = 5,    /* digits of a number in an address that shows no machine: 2024 is a year, 1204 a room */
    GLUED_NUMBER = 6,    /* the same at the end of a word: anna1985 */
    HEX_SHORT = 8, HEX_LONG = 16,
    MIXED = 12,          /* letters and digits in turn */
};

struct parts { /* views, of one text in lower case */
    struct str local, domain;
};

struct draft { /* the local part while it is marked; only ever shorter */
    char at[SMTP_LOCAL_MAX];
    size_t len;
    bool is_machine; /* something in it shows that no person has this address */
};

/* ---- letters */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_word_byte(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (unsigned char)c > 127;
}

/* Cuts what stands before the next `c` off `*rest`, and `c` with it. False: there is none, or nothing before it. */
static bool take_field(struct str *rest, char c, struct str *ret_field) {
    size_t at = str_find(*rest, c);
    if (at == 0 || at == rest->len)
        return false;
    *ret_field = str_head(*rest, at);
    *rest = str_from(*rest, at + 1);
    return true;
}

/* Cuts `prefix` off. False: it does not begin so. */
static bool take_prefix(struct str *rest, struct str prefix) {
    if (!str_starts_nocase(*rest, prefix))
        return false;
    *rest = str_from(*rest, prefix.len);
    return true;
}

static size_t find_text(struct str text, struct str part) {
    const char *at = text.len >= part.len ? memmem(text.at, text.len, part.at, part.len) : NULL;
    return at != NULL ? (size_t)(at - text.at) : text.len;
}

/* ---- what was put around an address */

/* "HHH=TT=example.org=anna": hash and day, then the address that was rewritten. */
static bool unwrap_hashed(struct str rest, struct parts *parts) {
    struct str hash, day, domain;
    if (!take_field(&rest, '=', &hash) || !take_field(&rest, '=', &day) || !take_field(&rest, '=', &domain)
        || rest.len == 0)
        return false;
    *parts = (struct parts){ .local = rest, .domain = domain };
    return true;
}

static bool is_srs_separator(struct str rest) {
    return rest.len > 0 && (rest.at[0] == '=' || rest.at[0] == '+' || rest.at[0] == '-');
}

static bool unwrap_srs(struct parts *parts) {
    struct str rest = parts->local, field;
    bool is_once = take_prefix(&rest, STR("srs0"));
    if (!is_once && !take_prefix(&rest, STR("srs1")))
        return false;
    if (!is_srs_separator(rest))
        return false;
    rest = str_from(rest, 1);
    if (is_once)
        return unwrap_hashed(rest, parts);
    if (!take_field(&rest, '=', &field) || !take_field(&rest, '=', &field) || !is_srs_separator(rest))
        return false;
    return unwrap_hashed(str_from(rest, 1), parts);
}

/* The mailbox that forwards stands in front; where it does not tell for whom, it is "bounces". */
static bool unwrap_srs_of_microsoft(struct parts *parts) {
    struct str sign = STR("+srs=");
    size_t at = find_text(parts->local, sign);
    if (at == 0 || at == parts->local.len)
        return false;
    if (!unwrap_hashed(str_from(parts->local, at + sign.len), parts))
        parts->local = str_head(parts->local, at);
    return true;
}

static bool is_tag(struct str text) {
    if (text.len < TAG_MIN || text.len > TAG_MAX || !is_digit(text.at[0]))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_hex(text.at[i]))
            return false;
    return true;
}

/* The last '=' or '/'. */
static size_t find_last_delimiter(struct str text) {
    size_t equals = str_find_last(text, '='), slash = str_find_last(text, '/');
    return slash == text.len || (equals != text.len && equals > slash) ? equals : slash;
}

/* What is behind "prvs=": TAG=anna, anna=TAG or anna/TAG. */
static bool unwrap_batv(struct parts *parts) {
    struct str rest = parts->local, first;
    if (!take_prefix(&rest, STR("prvs=")))
        return false;
    size_t last = find_last_delimiter(rest);
    struct str behind = rest;
    bool has_first = take_field(&behind, '=', &first) && behind.len > 0;
    if (!(has_first && is_tag(first)) && last > 0 && last < rest.len && is_tag(str_from(rest, last + 1)))
        parts->local = str_head(rest, last);
    else if (has_first)
        parts->local = behind;
    else
        return false;
    return true;
}

static bool unwrap_signature(struct parts *parts) {
    static const struct { struct str sign; char end; } forms[] = {
        { STR_INIT("btv1=="), '=' }, { STR_INIT("msprvs1="), '=' },
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        struct str rest = parts->local, tag;
        if (!take_prefix(&rest, forms[i].sign) || !take_field(&rest, forms[i].end, &tag))
            continue;
        take_prefix(&rest, STR("="));
        if (rest.len == 0)
            return false;
        parts->local = rest;
        return true;
    }
    return false;
}

static void unwrap(struct parts *parts) {
    for (unsigned i = 0; i < WRAPPINGS_MAX; i++)
        if (!unwrap_srs(parts) && !unwrap_srs_of_microsoft(parts) && !unwrap_batv(parts) && !unwrap_signature(parts))
            return;
}

/* ---- marks */

static void replace(struct draft *d, size_t from, size_t to) {
    d->at[from] = '#';
    memmove(d->at + from + 1, d->at + to, d->len - to);
    d->len -= to - from - 1;
}

/* The length of the recipient's address at `text`, in any of the spellings that fit into a local part; 0: it is not. */
static size_t match_recipient(struct str text, struct str recipient) {
    size_t at = 0;
    for (size_t i = 0; i < recipient.len; i++, at++) {
        if (at >= text.len)
            return 0;
        char c = recipient.at[i], there = text.at[at];
        bool is_same = c == there || (c == '@' && there != '\0' && strchr("=-.+_%#*", there) != NULL)
                    || (c == '.' && (there == '-' || there == '_'));
        if (!is_same)
            return 0;
    }
    return at == text.len || !is_word_byte(text.at[at]) ? at : 0;
}

static void mark_recipient(struct draft *d, struct str recipient) {
    struct str text = { d->at, d->len };
    if (str_find(recipient, '@') == recipient.len)
        return;
    for (size_t i = 0; i < text.len; i++) {
        size_t len = i == 0 || !is_word_byte(text.at[i - 1]) ? match_recipient(str_from(text, i), recipient) : 0;
        if (len == 0)
            continue;
        replace(d, i, i + len);
        d->is_machine = true;
        return;
    }
}

/* The length of a domain with a dot at the front of `text`; 0: there is none. */
static size_t domain_len(struct str text) {
    size_t len = 0, last_dot = 0;
    while (len < text.len && (is_word_byte(text.at[len]) || text.at[len] == '-' || text.at[len] == '.')) {
        if (text.at[len] == '.')
            last_dot = len;
        len++;
    }
    return last_dot > 0 && last_dot + 1 < len ? len : 0;
}

/* "bert=example.net": an address other than the recipient's, for which the mail was before it was forwarded. */
static void mark_verp(struct draft *d) {
    for (size_t at = 1; at < d->len; at++) {
        size_t len = d->at[at] == '=' ? domain_len((struct str){ d->at + at + 1, d->len - at - 1 }) : 0;
        size_t from = at;
        while (from > 0 && (is_word_byte(d->at[from - 1]) || d->at[from - 1] == '.'))
            from--;
        if (len == 0 || from == at)
            continue;
        replace(d, from, at + 1 + len);
        d->is_machine = true;
        return;
    }
}

/* anna+news, and LISTSERV's owner-list*bert**example-net. Base64, as in "aVdek4eQ==_1103", is detail as a whole. */
static void cut_detail(struct draft *d) {
    struct str text = { d->at, d->len };
    size_t plus = str_find(text, '+'), star = str_find(text, '*');
    if (find_text(text, STR("==")) < text.len) {
        replace(d, 0, d->len);
        return;
    }
    if (plus > 0 && plus < d->len)
        d->len = plus;
    if (star > 0 && star < d->len && find_text(text, STR("**")) < text.len)
        d->len = star;
}

/* ---- words and numbers */

/* The word that begins at or behind `at`; empty: none follows. */
static struct str next_word(struct str text, size_t at) {
    while (at < text.len && !is_word_byte(text.at[at]))
        at++;
    size_t end = at;
    while (end < text.len && is_word_byte(text.at[end]))
        end++;
    return (struct str){ text.at + at, end - at };
}

static bool is_bounce_word(struct str word) {
    static const char *const words[] = {
        "bounce", "bounces", "bo", "bnc", "return", "returns", "verp", "sentto", "rp",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (str_eq(word, str_of(words[i])))
            return true;
    return false;
}

/* Where the text behind the first word for bounces begins; text.len: there is no such word. */
static size_t find_bounce_word(struct str text) {
    for (struct str word = next_word(text, 0); word.len > 0;) {
        size_t end = (size_t)(word.at - text.at) + word.len;
        if (is_bounce_word(word))
            return end;
        word = next_word(text, end);
    }
    return text.len;
}

/* Behind it stands a number, or a recipient: all of that is variable. "return-desk" is not. */
static void cut_behind_bounce_word(struct draft *d) {
    struct str text = { d->at, d->len };
    size_t end = find_bounce_word(text);
    bool is_variable = false;
    for (size_t i = end + 1; i < text.len; i++)
        is_variable = is_variable || is_digit(text.at[i]) || text.at[i] == '=' || text.at[i] == '#';
    if (is_variable)
        replace(d, end + 1, d->len);
}

struct look { /* of a word */
    size_t n_digits, n_switches; /* from letters to digits or back */
    size_t run_at, run;          /* the longest run of digits */
    bool is_hex;
};

static struct look look_at(struct str word) {
    struct look look = { .is_hex = true };
    size_t run = 0;
    for (size_t i = 0; i < word.len; i++) {
        look.is_hex = look.is_hex && is_hex(word.at[i]);
        look.n_switches += i > 0 && is_digit(word.at[i]) != is_digit(word.at[i - 1]);
        run = is_digit(word.at[i]) ? run + 1 : 0;
        look.n_digits += run > 0;
        if (run > look.run) {
            look.run = run;
            look.run_at = i + 1 - run;
        }
    }
    return look;
}

/* The whole word is a number or a code. `is_alone`: it is all there is, so it may be what a person is called. */
static bool is_code(struct str word, const struct look *look, bool is_machine, bool is_alone) {
    if (look->n_digits == word.len)
        return is_machine || (!is_alone && word.len >= PLAIN_NUMBER);
    if (look->n_digits == 0)
        return false;
    if (is_machine)
        return look->is_hex || look->n_switches >= 2;
    return (look->is_hex && (word.len >= HEX_LONG || (word.len >= HEX_SHORT && look->n_switches >= 2)))
        || (word.len >= MIXED && look->n_switches >= 3);
}

static void mark_numbers(struct draft *d) {
    for (struct str word = next_word((struct str){ d->at, d->len }, 0); word.len > 0;) {
        size_t from = (size_t)(word.at - d->at), to = from + word.len;
        struct look look = look_at(word);
        bool is_alone = word.len == d->len;
        size_t enough = d->is_machine ? 1 : is_alone ? SMTP_LOCAL_MAX + 1 : GLUED_NUMBER;
        if (is_code(word, &look, d->is_machine, is_alone)) {
            replace(d, from, to);
            to = from + 1;
        } else if (look.run >= enough) {
            replace(d, from + look.run_at, from + look.run_at + look.run);
            to = from + look.run_at + 1;
        }
        word = next_word((struct str){ d->at, d->len }, to);
    }
}

/* "#-#_#" is "#": how many numbers there are is variable, too. */
static void join_marks(struct draft *d) {
    for (size_t i = 0; i < d->len; i++) {
        size_t end = i + 1, last = i;
        if (d->at[i] != '#')
            continue;
        for (; end < d->len && !is_word_byte(d->at[end]); end++)
            last = d->at[end] == '#' ? end : last;
        if (last > i)
            replace(d, i, last + 1);
    }
}

/* 8-4-4-4-12 hexadecimal digits (RFC 4122): groups of four may look like words. */
static bool is_uuid(struct str text) {
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (i >= text.len || (form[i] == 'x' ? !is_hex(text.at[i]) : text.at[i] != '-'))
            return false;
    return true;
}

static void mark_uuid(struct draft *d) {
    enum { UUID_LEN = 36 };
    for (size_t i = 0; i + UUID_LEN <= d->len; i++) {
        if (!is_uuid((struct str){ d->at + i, d->len - i }))
            continue;
        replace(d, i, i + UUID_LEN);
        d->is_machine = true;
        return;
    }
}

/* ---- the domain */

/* Not of two labels: then it is what was registered, or what is registered below. */
static bool may_have_hosts(struct str domain) {
    size_t last = str_find_last(domain, '.');
    return last < domain.len && domain.at[0] != '[' && str_find(domain, '.') < last;
}

/* What an organisation put in front of the name it registered. The list is the dearest thing here. */
static struct str hosts_of(struct str domain) {
    struct str organisation = may_have_hosts(domain) ? helo_organisation(domain) : (struct str){ 0 };
    return organisation.len > 0 ? str_head(domain, domain.len - organisation.len) : (struct str){ domain.at, 0 };
}

/* Writes the domain, `hosts` in front of it without their numbers. Returns its length, at most domain.len. */
static size_t write_domain(struct str domain, struct str hosts, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < hosts.len; i++) {
        if (!is_digit(hosts.at[i]))
            out[n++] = hosts.at[i];
        else if (i == 0 || !is_digit(hosts.at[i - 1]))
            out[n++] = '#';
    }
    memcpy(out + n, domain.at + hosts.len, domain.len - hosts.len);
    return n + domain.len - hosts.len;
}

/* ---- all together */

struct str greylist_address(const struct smtp_address *address, char out[GREYLIST_TEXT_MAX]) {
    if (address->local.len == 0)
        return STR("<>");
    size_t n = smtp_local_canonical(address, out);
    struct str domain = str_head(address->domain, SMTP_DOMAIN_MAX);
    if (domain.len > 0)
        out[n++] = '@';
    for (size_t i = 0; i < domain.len; i++)
        out[n++] = ascii_lower(domain.at[i]);
    return (struct str){ out, n };
}

static void mark(struct draft *d, struct str local, struct str hosts, struct str recipient) {
    d->len = local.len;
    memcpy(d->at, local.at, d->len);
    mark_recipient(d, recipient);
    mark_verp(d);
    cut_detail(d);
    mark_uuid(d);
    cut_behind_bounce_word(d);
    mark_numbers(d);
    join_marks(d);
    if (find_bounce_word(hosts) < hosts.len)
        replace(d, 0, d->len);
}

struct str greylist_sender(const struct smtp_address *sender, const struct smtp_address *recipient,
                           char out[GREYLIST_TEXT_MAX]) {
    char lower[GREYLIST_TEXT_MAX], lower_recipient[GREYLIST_TEXT_MAX];
    struct str whole = greylist_address(sender, lower);
    size_t at = str_find_last(whole, '@');
    if (sender->local.len == 0 || at == whole.len)
        return greylist_address(sender, out);
    struct parts parts = { .local = str_head(whole, at), .domain = str_from(whole, at + 1) };
    struct draft draft = { 0 };
    unwrap(&parts);
    struct str hosts = hosts_of(parts.domain);
    mark(&draft, parts.local, hosts, greylist_address(recipient, lower_recipient));
    memcpy(out, draft.at, draft.len);
    out[draft.len] = '@';
    return (struct str){ out, draft.len + 1 + write_domain(parts.domain, hosts, out + draft.len + 1) };
}
