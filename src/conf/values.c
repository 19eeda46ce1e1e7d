/*
 * values: what do the words behind an option's name mean, and how is its value written again?
 *
 * Each type of the option table is a row of `types` below: parse, dump, compare. So that a dump loads to the same
 * configuration, a number is written in the largest unit that divides it exactly, and a word is quoted exactly when
 * the lexer would not read it back as it is.
 *
 * A relative path begins at the folder of the file it stands in, not at the working directory: a daemon that is
 * started by hand, by an init system or by a test then finds the same files.
 */
#include "conf/values.h"

#include "conf/block_list_values.h"
#include "conf/list.h"
#include "smtp/address.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    SERVERS_OF_DNS_MAX = 64, /* forwarders, and stubs: a bound for typing errors, not for sites */
    PATH_LENGTH_MAX = 1024,
};

/* ---- fields */

static void *field_of(const struct option *option, const void *base) {
    return (char *)base + option->offset;
}

static const char **text_field(const struct option *option, const void *base) {
    return field_of(option, base);
}

static uint64_t *number_field(const struct option *option, const void *base) {
    return field_of(option, base);
}

/* ---- what every parser needs */

/* How messages name an option: its own word as the file has it. */
#define NAME(statement) STR_ARG((statement)->words[0].text)

#define FAIL(reader, word, ...) diag_error((reader)->diag, (reader)->source, (word)->at, __VA_ARGS__)

/* True when exactly one value follows the name; says so otherwise. `what` is what was expected. */
static bool has_one(const struct value_reader *reader, const struct statement *statement, const char *what) {
    if (statement->n_words == 2)
        return true;
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "'%.*s' needs a value; expected %s", NAME(statement), what);
    else
        FAIL(reader, &statement->words[2], "expected the end of the line: '%.*s' takes one value", NAME(statement));
    return false;
}

static int keep(const struct value_reader *reader, struct str text, const char **ret_text) {
    const char *copy = arena_strdup(&reader->conf->arena, text);
    if (copy == NULL)
        return -ENOMEM;
    *ret_text = copy;
    return 0;
}

static bool is_word(const struct word *word, const char *text) {
    return text != NULL && str_eq(word->text, str_of(text));
}

/* ---- numbers, sizes, times */

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* The largest first, since the first that divides a value is what it is written in. */
static const struct unit size_units[] = {
    { "G", UINT64_C(1) << 30 }, { "M", UINT64_C(1) << 20 }, { "K", UINT64_C(1) << 10 }, { "", 1 }, { NULL, 0 },
};
static const struct unit time_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 },
};
static const struct unit number_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum option_type type) {
    return type == OPTION_SIZE ? size_units : type == OPTION_TIME ? time_units : number_units;
}

char *value_format(enum option_type type, uint64_t value, char out[VALUE_TEXT_MAX]) {
    const struct unit *unit = units_of(type);
    while (value % unit->factor != 0)
        unit++;
    snprintf(out, VALUE_TEXT_MAX, "%" PRIu64 "%s", value / unit->factor, value == 0 ? "" : unit->suffix);
    return out;
}

static const char *expected_number(const struct option *option) {
    if (option->type == OPTION_SIZE)
        return "a size such as 256K or 50M";
    return option->type == OPTION_TIME ? "a time such as 500ms, 30s, 10m, 1h or 2d" : "a number";
}

/* Digits and a unit. A time without one is wrong (seconds? minutes?) unless it is 0. */
static int to_number(struct str text, enum option_type type, uint64_t *ret_value) {
    size_t digits = 0;
    while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    struct str suffix = str_from(text, digits);
    const struct unit *unit = units_of(type);
    while (unit->suffix != NULL && !str_eq(suffix, str_of(unit->suffix)))
        unit++;
    if (digits == 1 && text.len == 1 && text.at[0] == '0')
        unit = &number_units[0];
    if (unit->suffix == NULL)
        return -EINVAL;
    unsigned long long value;
    int r = str_to_u64(str_head(text, digits), UINT64_MAX / unit->factor, &value);
    if (r == 0)
        *ret_value = value * unit->factor;
    return r;
}

static int parse_number(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    if (!has_one(reader, statement, expected_number(option)))
        return 0;
    const struct word *word = &statement->words[1];
    uint64_t value = 0;
    int r = to_number(word->text, option->type, &value);
    if (r == -EINVAL) {
        FAIL(reader, word, "'%.*s' is not what '%s' takes; expected %s", STR_ARG(word->text), option->name,
             expected_number(option));
        return 0;
    }
    if (r < 0 || value < option->min || value > option->max) {
        char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];
        FAIL(reader, word, "%.*s is out of bounds; '%s' goes from %s to %s", STR_ARG(word->text), option->name,
             value_format(option->type, option->min, min), value_format(option->type, option->max, max));
        return 0;
    }
    *number_field(option, base) = value;
    return 0;
}

static int dump_number(const struct option *option, const void *base, struct buf *out) {
    char text[VALUE_TEXT_MAX];
    return buf_puts(out, str_of(value_format(option->type, *number_field(option, base), text)));
}

static bool number_eq(const struct option *option, const void *a, const void *b) {
    return *number_field(option, a) == *number_field(option, b);
}

/* ---- modes of files */

static int parse_mode(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "a mode such as 0660"))
        return 0;
    const struct word *word = &statement->words[1];
    uint64_t mode = 0;
    bool is_octal = word->text.len >= 3 && word->text.len <= 4;
    for (size_t i = 0; i < word->text.len && is_octal; i++) {
        is_octal = word->text.at[i] >= '0' && word->text.at[i] <= '7';
        mode = 8 * mode + (uint64_t)(word->text.at[i] - '0');
    }
    if (is_octal && mode <= option->max)
        *number_field(option, base) = mode;
    else
        FAIL(reader, word, "'%.*s' is not the mode of a file in octal, such as 0660", STR_ARG(word->text));
    return 0;
}

static int dump_mode(const struct option *option, const void *base, struct buf *out) {
    return buf_putf(out, "%04" PRIo64, *number_field(option, base));
}

/* ---- flags and choices */

static int parse_flag(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "yes or no"))
        return 0;
    const struct word *word = &statement->words[1];
    if (is_word(word, "yes") || is_word(word, "no"))
        *(bool *)field_of(option, base) = is_word(word, "yes");
    else
        FAIL(reader, word, "expected yes or no, got '%.*s'", STR_ARG(word->text));
    return 0;
}

static int dump_flag(const struct option *option, const void *base, struct buf *out) {
    return buf_puts(out, *(bool *)field_of(option, base) ? STR("yes") : STR("no"));
}

static bool flag_eq(const struct option *option, const void *a, const void *b) {
    return *(bool *)field_of(option, a) == *(bool *)field_of(option, b);
}

/* "none, may, require or verify" */
static const char *choices(const struct option *option, char out[128]) {
    size_t len = 0;
    for (size_t i = 0; option->words[i] != NULL && len < 128; i++) {
        const char *between = i == 0 ? "" : option->words[i + 1] == NULL ? " or " : ", ";
        len += (size_t)snprintf(out + len, 128 - len, "%s%s", between, option->words[i]);
    }
    return out;
}

static int parse_choice(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    char all[128];
    if (!has_one(reader, statement, choices(option, all)))
        return 0;
    const struct word *word = &statement->words[1];
    for (unsigned i = 0; option->words[i] != NULL; i++) {
        if (is_word(word, option->words[i])) {
            *(unsigned *)field_of(option, base) = i;
            return 0;
        }
    }
    FAIL(reader, word, "expected %s, got '%.*s'", all, STR_ARG(word->text));
    return 0;
}

static int dump_choice(const struct option *option, const void *base, struct buf *out) {
    return buf_puts(out, str_of(option->words[*(unsigned *)field_of(option, base)]));
}

static bool choice_eq(const struct option *option, const void *a, const void *b) {
    return *(unsigned *)field_of(option, a) == *(unsigned *)field_of(option, b);
}

/* ---- texts */

static bool text_eq(const struct option *option, const void *a, const void *b) {
    const char *x = *text_field(option, a), *y = *text_field(option, b);
    return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

static int dump_text(const struct option *option, const void *base, struct buf *out) {
    const char *text = *text_field(option, base);
    return text == NULL ? buf_puts(out, str_of(option->none)) : value_put_word(str_of(text), out);
}

static int parse_text(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "a name"))
        return 0;
    const struct word *word = &statement->words[1];
    if (is_word(word, option->none)) {
        *text_field(option, base) = NULL;
        return 0;
    }
    if (word->text.len < option->min || word->text.len > option->max) {
        FAIL(reader, word, "'%s' takes %" PRIu64 " to %" PRIu64 " bytes", option->name, option->min, option->max);
        return 0;
    }
    return keep(reader, word->text, text_field(option, base));
}

static int parse_hostname(const struct value_reader *reader, const struct option *option,
                          const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "a name such as mx.example.com"))
        return 0;
    const struct word *word = &statement->words[1];
    struct ip ip;
    bool is_name = smtp_domain_parse(word->text, false, false) == SMTP_ADDRESS_OK && ip_parse(word->text, &ip) < 0;
    if (!is_name || str_find(word->text, '.') == word->text.len) {
        /* RFC 5321 2.3.5: only resolvable, fully qualified names appear in EHLO. */
        FAIL(reader, word, "'%.*s' is not a fully qualified host name, such as mx.example.com", STR_ARG(word->text));
        return 0;
    }
    return keep(reader, word->text, text_field(option, base));
}

int value_parse_path(const struct value_reader *reader, const struct word *word, const char *what, size_t max,
                     const char **ret_path) {
    if (str_is_empty(word->text)) {
        FAIL(reader, word, "expected %s, got nothing", what);
        return 0;
    }
    const char *between = word->text.at[0] == '/' ? "" : reader->folder;
    const char *path = arena_printf(&reader->conf->arena, "%s%s%.*s", between, *between == '\0' ? "" : "/",
                                    STR_ARG(word->text));
    if (path == NULL)
        return -ENOMEM;
    if (strlen(path) > max) {
        FAIL(reader, word, "this path is longer than %zu bytes: %s", max, path);
        return 0;
    }
    *ret_path = path;
    return 0;
}

static int parse_path(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "a path"))
        return 0;
    const struct word *word = &statement->words[1];
    if (!is_word(word, option->none))
        return value_parse_path(reader, word, "a path", option->max, text_field(option, base));
    *text_field(option, base) = NULL;
    return 0;
}

static int parse_address(const struct value_reader *reader, const struct option *option,
                         const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "an address such as postmaster@example.com"))
        return 0;
    const struct word *word = &statement->words[1];
    if (is_word(word, option->none)) {
        *text_field(option, base) = NULL;
        return 0;
    }
    struct smtp_address address;
    if (smtp_address_parse(word->text, true, &address) != SMTP_ADDRESS_OK) {
        FAIL(reader, word, "'%.*s' is not an address, such as postmaster@example.com", STR_ARG(word->text));
        return 0;
    }
    return keep(reader, word->text, text_field(option, base));
}

static int parse_catch_all(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "yes, no or an address"))
        return 0;
    const struct word *word = &statement->words[1];
    if (is_word(word, "no"))
        *text_field(option, base) = NULL;
    else if (is_word(word, "yes"))
        *text_field(option, base) = "";
    else
        return parse_address(reader, option, statement, base);
    return 0;
}

static int dump_catch_all(const struct option *option, const void *base, struct buf *out) {
    const char *text = *text_field(option, base);
    return text == NULL ? buf_puts(out, STR("no")) : *text == '\0' ? buf_puts(out, STR("yes"))
                                                                   : value_put_word(str_of(text), out);
}

/* Bytes that a local part can hold without quotes (RFC 5322 3.2.3) less letters and digits, which would cut names. */
static bool is_delimiter(char c) {
    return c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL;
}

static int parse_delimiter(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "a byte such as +"))
        return 0;
    const struct word *word = &statement->words[1];
    struct str text = is_word(word, option->none) ? STR("") : word->text;
    bool is_good = text.len <= option->max;
    for (size_t i = 0; i < text.len && is_good; i++)
        is_good = is_delimiter(text.at[i]);
    if (!is_good) {
        FAIL(reader, word, "'%.*s' cannot be a delimiter; expected up to %" PRIu64 " of !#$%%&'*+-/=?^_`{|}~. or none",
             STR_ARG(word->text), option->max);
        return 0;
    }
    return keep(reader, text, text_field(option, base));
}

static int dump_delimiter(const struct option *option, const void *base, struct buf *out) {
    const char *text = *text_field(option, base);
    return value_put_word(str_of(*text == '\0' ? option->none : text), out);
}

/* ---- prefixes */

static int parse_cidrs(const struct value_reader *reader, const struct option *option,
                       const struct statement *statement, void *base) {
    struct conf_cidrs *list = field_of(option, base);
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "'%s' needs a value; expected prefixes such as 192.0.2.0/24", option->name);
    for (size_t i = 1; i < statement->n_words; i++) {
        const struct word *word = &statement->words[i];
        struct cidr cidr;
        if (cidr_parse(word->text, &cidr) < 0) {
            FAIL(reader, word, "'%.*s' is not an address or prefix (bits behind the prefix must be 0)",
                 STR_ARG(word->text));
            continue;
        }
        int r = list_grow(&reader->conf->arena, &list->at, list->n, sizeof(*list->at));
        if (r < 0)
            return r;
        list->at[list->n++] = cidr;
    }
    return 0;
}

static int put_cidr(const struct cidr *cidr, struct buf *out) {
    char text[IP_TEXT_MAX];
    return buf_putf(out, "%s/%u", ip_format(&cidr->ip, text), cidr->bits);
}

static bool cidrs_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_cidrs *x = field_of(option, a), *y = field_of(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = ip_eq(&x->at[i].ip, &y->at[i].ip) && x->at[i].bits == y->at[i].bits;
    return is_eq;
}

static int dump_cidrs(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_cidrs *list = field_of(option, base);
    int r = 0;
    if (list->n == 0)
        return buf_putf(out, "%s# %s: none  # default\n", indent, option->name);
    for (size_t i = 0; i < list->n && r == 0; i++) {
        if ((r = buf_putf(out, "%s%s ", indent, option->name)) == 0 && (r = put_cidr(&list->at[i], out)) == 0)
            r = buf_putc(out, '\n');
    }
    return r;
}

/* ---- entries of a table */

static int parse_words(const struct value_reader *reader, const struct option *option,
                       const struct statement *statement, void *base) {
    struct conf_words *list = field_of(option, base);
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "'%s' needs a value", option->name);
    for (size_t i = 1; i < statement->n_words; i++) {
        int r = list_grow(&reader->conf->arena, &list->at, list->n, sizeof(*list->at));
        if (r == 0)
            r = keep(reader, statement->words[i].text, &list->at[list->n]);
        if (r < 0)
            return r;
        list->n++;
    }
    return 0;
}

static bool words_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_words *x = field_of(option, a), *y = field_of(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = strcmp(x->at[i], y->at[i]) == 0;
    return is_eq;
}

/* ---- name servers */

/* "ADDRESS" or "ADDRESS:PORT", the port being 53 when left out; says what is wrong. */
static bool to_name_server(const struct value_reader *reader, const struct word *word, struct endpoint *ret_at) {
    ret_at->port = 53;
    if (ip_parse(word->text, &ret_at->ip) == 0 || (endpoint_parse(word->text, ret_at) == 0 && ret_at->port != 0))
        return true;
    FAIL(reader, word, "'%.*s' is not an address or address and port, such as 192.0.2.53 or [2001:db8::53]:5353",
         STR_ARG(word->text));
    return false;
}

static int parse_endpoints(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    struct conf_endpoints *list = field_of(option, base);
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "'%s' needs a value; expected ADDRESS[:PORT]", option->name);
    for (size_t i = 1; i < statement->n_words; i++) {
        struct endpoint at;
        if (!to_name_server(reader, &statement->words[i], &at))
            continue;
        if (list->n == SERVERS_OF_DNS_MAX) {
            FAIL(reader, &statement->words[i], "more than %d name servers", SERVERS_OF_DNS_MAX);
            return 0;
        }
        int r = list_grow(&reader->conf->arena, &list->at, list->n, sizeof(*list->at));
        if (r < 0)
            return r;
        list->at[list->n++] = at;
    }
    return 0;
}

static bool endpoint_eq(const struct endpoint *a, const struct endpoint *b) {
    return ip_eq(&a->ip, &b->ip) && a->port == b->port;
}

static bool endpoints_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_endpoints *x = field_of(option, a), *y = field_of(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = endpoint_eq(&x->at[i], &y->at[i]);
    return is_eq;
}

static int parse_stub(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    struct conf_stubs *list = field_of(option, base);
    const struct word *words = statement->words;
    struct resolver_stub stub;
    if (statement->n_words != 3) {
        FAIL(reader, &words[0], "expected 'stub ZONE ADDRESS[:PORT]'");
        return 0;
    }
    if (smtp_domain_parse(words[1].text, false, false) != SMTP_ADDRESS_OK) {
        FAIL(reader, &words[1], "'%.*s' is not the name of a zone", STR_ARG(words[1].text));
        return 0;
    }
    if (!to_name_server(reader, &words[2], &stub.server))
        return 0;
    if (list->n == SERVERS_OF_DNS_MAX) {
        FAIL(reader, &words[0], "more than %d stubs", SERVERS_OF_DNS_MAX);
        return 0;
    }
    int r = keep(reader, words[1].text, &stub.zone);
    if (r == 0)
        r = list_grow(&reader->conf->arena, &list->at, list->n, sizeof(*list->at));
    if (r == 0)
        list->at[list->n++] = stub;
    return r;
}

static bool stubs_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_stubs *x = field_of(option, a), *y = field_of(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = strcmp(x->at[i].zone, y->at[i].zone) == 0 && endpoint_eq(&x->at[i].server, &y->at[i].server);
    return is_eq;
}

/* ---- lists of these, one a line */

/* Entry i of a list, or -ENOENT behind the last one. */
static int put_entry(const struct option *option, const void *base, size_t i, struct buf *out) {
    const void *field = field_of(option, base);
    char text[ENDPOINT_TEXT_MAX];
    if (option->type == OPTION_WORDS) {
        const struct conf_words *words = field;
        return i < words->n ? value_put_word(str_of(words->at[i]), out) : -ENOENT;
    }
    if (option->type == OPTION_ENDPOINTS) {
        const struct conf_endpoints *list = field;
        return i < list->n ? buf_puts(out, str_of(endpoint_format(&list->at[i], text))) : -ENOENT;
    }
    const struct conf_stubs *stubs = field;
    if (i >= stubs->n)
        return -ENOENT;
    return buf_putf(out, "%s %s", stubs->at[i].zone, endpoint_format(&stubs->at[i].server, text));
}

static int dump_entries(const struct option *option, const void *base, const char *indent, struct buf *out) {
    for (size_t i = 0;; i++) {
        size_t len = out->len;
        int r = buf_putf(out, "%s%s ", indent, option->name);
        if (r == 0)
            r = put_entry(option, base, i, out);
        if (r == -ENOENT) {
            out->len = (uint32_t)len;
            return i > 0 ? 0 : buf_putf(out, "%s# %s: none  # default\n", indent, option->name);
        }
        if (r == 0)
            r = buf_putc(out, '\n');
        if (r < 0)
            return r;
    }
}

/* ---- groups and servers */

static int parse_group(const struct value_reader *reader, const struct option *option,
                       const struct statement *statement, void *base) {
    if (!has_one(reader, statement, "the name of a servers block"))
        return 0;
    const struct word *word = &statement->words[1];
    const struct conf_group **field = field_of(option, base);
    const struct conf *conf = reader->conf;
    if (is_word(word, option->none)) {
        *field = NULL;
        return 0;
    }
    for (size_t i = 0; i < conf->n_groups; i++) {
        if (is_word(word, conf->groups[i].name)) {
            *field = &conf->groups[i];
            return 0;
        }
    }
    FAIL(reader, word, "no group of servers is called '%.*s'", STR_ARG(word->text));
    return 0;
}

static int dump_group(const struct option *option, const void *base, struct buf *out) {
    const struct conf_group *group = *(const struct conf_group **)field_of(option, base);
    return value_put_word(str_of(group != NULL ? group->name : option->none), out);
}

static bool group_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_group *x = *(const struct conf_group **)field_of(option, a);
    const struct conf_group *y = *(const struct conf_group **)field_of(option, b);
    return x == NULL || y == NULL ? x == y : strcmp(x->name, y->name) == 0;
}

static int parse_server(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    const struct word *words = statement->words;
    struct conf_group *group = base;
    struct conf_server server = { .at.port = 25 };
    if (statement->n_words != 2 && !(statement->n_words == 4 && is_word(&words[2], "name"))) {
        FAIL(reader, &words[0], "expected 'server ADDRESS[:PORT] [name NAME]'");
        return 0;
    }
    if (ip_parse(words[1].text, &server.at.ip) < 0 &&
        (endpoint_parse(words[1].text, &server.at) < 0 || server.at.port == 0)) {
        FAIL(reader, &words[1], "'%.*s' is not an address or address and port, such as 10.0.0.10:25 or [::1]:25",
             STR_ARG(words[1].text));
        return 0;
    }
    if (statement->n_words == 4 && smtp_domain_parse(words[3].text, false, false) != SMTP_ADDRESS_OK) {
        FAIL(reader, &words[3], "'%.*s' is not a host name", STR_ARG(words[3].text));
        return 0;
    }
    for (size_t i = 0; i < group->n_servers; i++) {
        if (ip_eq(&group->servers[i].at.ip, &server.at.ip) && group->servers[i].at.port == server.at.port) {
            FAIL(reader, &words[1], "this server stands in the group already");
            return 0;
        }
    }
    if (group->n_servers == CONF_SERVERS_MAX) {
        FAIL(reader, &words[0], "more than %d servers", CONF_SERVERS_MAX);
        return 0;
    }
    char text[IP_TEXT_MAX];
    struct str name = statement->n_words == 4 ? words[3].text : str_of(ip_format(&server.at.ip, text));
    int r = keep(reader, name, &server.name);
    if (r == 0)
        r = list_grow(&reader->conf->arena, &group->servers, group->n_servers, sizeof(server));
    if (r == 0)
        group->servers[group->n_servers++] = server;
    return r;
}

static int dump_servers(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_group *group = base;
    int r = 0;
    for (size_t i = 0; i < group->n_servers && r == 0; i++) {
        const struct conf_server *server = &group->servers[i];
        char text[ENDPOINT_TEXT_MAX], ip[IP_TEXT_MAX];
        r = buf_putf(out, "%s%s %s", indent, option->name, endpoint_format(&server->at, text));
        if (r == 0 && strcmp(server->name, ip_format(&server->at.ip, ip)) != 0)
            r = buf_putf(out, " name %s", server->name);
        if (r == 0)
            r = buf_putc(out, '\n');
    }
    return r;
}

static bool servers_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_group *x = a, *y = b;
    bool is_eq = x->n_servers == y->n_servers;
    for (size_t i = 0; i < x->n_servers && is_eq; i++) {
        const struct conf_server *p = &x->servers[i], *q = &y->servers[i];
        is_eq = ip_eq(&p->at.ip, &q->at.ip) && p->at.port == q->at.port && strcmp(p->name, q->name) == 0;
    }
    return is_eq;
}

/* ---- certificates */

static int parse_certificate(const struct value_reader *reader, const struct option *option,
                             const struct statement *statement, void *base) {
    struct conf_settings *set = base;
    if (statement->n_words != 3) {
        FAIL(reader, &statement->words[0], "expected 'certificate CHAIN KEY', two PEM files");
        return 0;
    }
    struct tls_certificate certificate = { 0 };
    int r = value_parse_path(reader, &statement->words[1], "a path", PATH_LENGTH_MAX, &certificate.certificate_file);
    if (r == 0)
        r = value_parse_path(reader, &statement->words[2], "a path", PATH_LENGTH_MAX, &certificate.key_file);
    if (r < 0 || certificate.certificate_file == NULL || certificate.key_file == NULL)
        return r;
    r = list_grow(&reader->conf->arena, &set->tls.certificates, set->tls.n_certificates, sizeof(certificate));
    if (r == 0)
        set->tls.certificates[set->tls.n_certificates++] = certificate;
    return r;
}

static int dump_certificates(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_settings *set = base;
    int r = 0;
    if (set->tls.n_certificates == 0)
        return buf_putf(out, "%s# %s: none  # default\n", indent, option->name);
    for (size_t i = 0; i < set->tls.n_certificates && r == 0; i++) {
        const struct tls_certificate *certificate = &set->tls.certificates[i];
        if ((r = buf_putf(out, "%s%s ", indent, option->name)) == 0 &&
            (r = value_put_word(str_of(certificate->certificate_file), out)) == 0 && (r = buf_putc(out, ' ')) == 0 &&
            (r = value_put_word(str_of(certificate->key_file), out)) == 0)
            r = buf_putc(out, '\n');
    }
    return r;
}

static bool certificates_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_settings *x = a, *y = b;
    bool is_eq = x->tls.n_certificates == y->tls.n_certificates;
    for (size_t i = 0; i < x->tls.n_certificates && is_eq; i++) {
        is_eq = strcmp(x->tls.certificates[i].certificate_file, y->tls.certificates[i].certificate_file) == 0 &&
                strcmp(x->tls.certificates[i].key_file, y->tls.certificates[i].key_file) == 0;
    }
    return is_eq;
}

/* ---- directory own | none | of DOMAIN */

static int parse_directory(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    struct conf_domain_settings *set = base;
    const struct word *words = statement->words;
    if (statement->n_words == 2 && (is_word(&words[1], "own") || is_word(&words[1], "none"))) {
        set->directory = is_word(&words[1], "own") ? CONF_DIRECTORY_OWN : CONF_DIRECTORY_NONE;
        set->directory_of = NULL;
        return 0;
    }
    if (statement->n_words != 3 || !is_word(&words[1], "of")) {
        FAIL(reader, &words[0], "expected 'directory own', 'directory none' or 'directory of DOMAIN'");
        return 0;
    }
    char *name = arena_strdup(&reader->conf->arena, words[2].text);
    if (name == NULL)
        return -ENOMEM;
    for (char *c = name; *c != '\0'; c++)
        *c = ascii_lower(*c);
    set->directory = CONF_DIRECTORY_OF; /* that the domain exists is checked when all are known */
    set->directory_of = name;
    return 0;
}

static int dump_directory(const struct option *option, const void *base, struct buf *out) {
    const struct conf_domain_settings *set = base;
    switch (set->directory) {
    case CONF_DIRECTORY_OWN:
        return buf_puts(out, STR("own"));
    case CONF_DIRECTORY_NONE:
        return buf_puts(out, STR("none"));
    case CONF_DIRECTORY_OF:
        break;
    }
    int r = buf_puts(out, STR("of "));
    return r < 0 ? r : value_put_word(str_of(set->directory_of), out);
}

static bool directory_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_domain_settings *x = a, *y = b;
    return x->directory == y->directory &&
           (x->directory != CONF_DIRECTORY_OF || strcmp(x->directory_of, y->directory_of) == 0);
}

/* ---- the types */

struct type {
    int (*parse)(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                 void *base);
    int (*dump)(const struct option *option, const void *base, struct buf *out);
    int (*dump_list)(const struct option *option, const void *base, const char *indent, struct buf *out);
    bool (*eq)(const struct option *option, const void *a, const void *b);
};

static const struct type types[OPTION_TYPES] = {
    [OPTION_FLAG] = { parse_flag, dump_flag, NULL, flag_eq },
    [OPTION_NUMBER] = { parse_number, dump_number, NULL, number_eq },
    [OPTION_SIZE] = { parse_number, dump_number, NULL, number_eq },
    [OPTION_TIME] = { parse_number, dump_number, NULL, number_eq },
    [OPTION_MODE] = { parse_mode, dump_mode, NULL, number_eq },
    [OPTION_CHOICE] = { parse_choice, dump_choice, NULL, choice_eq },
    [OPTION_TEXT] = { parse_text, dump_text, NULL, text_eq },
    [OPTION_HOSTNAME] = { parse_hostname, dump_text, NULL, text_eq },
    [OPTION_PATH] = { parse_path, dump_text, NULL, text_eq },
    [OPTION_CIDRS] = { parse_cidrs, NULL, dump_cidrs, cidrs_eq },
    [OPTION_GROUP] = { parse_group, dump_group, NULL, group_eq },
    [OPTION_SERVER] = { parse_server, NULL, dump_servers, servers_eq },
    [OPTION_CERTIFICATE] = { parse_certificate, NULL, dump_certificates, certificates_eq },
    [OPTION_DIRECTORY] = { parse_directory, dump_directory, NULL, directory_eq },
    [OPTION_DELIMITER] = { parse_delimiter, dump_delimiter, NULL, text_eq },
    [OPTION_CATCH_ALL] = { parse_catch_all, dump_catch_all, NULL, text_eq },
    [OPTION_WORDS] = { parse_words, NULL, dump_entries, words_eq },
    [OPTION_ENDPOINTS] = { parse_endpoints, NULL, dump_entries, endpoints_eq },
    [OPTION_STUB] = { parse_stub, NULL, dump_entries, stubs_eq },
    [OPTION_ADDRESS] = { parse_address, dump_text, NULL, text_eq },
    [OPTION_WEIGHT] = { weight_parse, weight_dump, NULL, weight_eq },
    [OPTION_FAMILIES] = { families_parse, families_dump, NULL, families_eq },
    [OPTION_CODES] = { codes_parse, NULL, codes_dump, codes_eq },
    [OPTION_PROBES] = { probes_parse, NULL, probes_dump, probes_eq },
    [OPTION_SECRET] = { parse_text, NULL, secret_dump, text_eq },
};

int value_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                void *base) {
    return types[option->type].parse(reader, option, statement, base);
}

/* All-zero is the default of every type that has none of its own in the table. */
void value_set_default(const struct option *option, void *base) {
    switch (option->type) {
    case OPTION_FLAG:
        *(bool *)field_of(option, base) = option->number != 0;
        break;
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_TIME:
    case OPTION_MODE:
        *number_field(option, base) = option->number;
        break;
    case OPTION_CHOICE:
    case OPTION_FAMILIES:
        *(unsigned *)field_of(option, base) = (unsigned)option->number;
        break;
    case OPTION_WEIGHT:
        *(int64_t *)field_of(option, base) = (int64_t)option->number;
        break;
    case OPTION_TEXT:
    case OPTION_HOSTNAME:
    case OPTION_PATH:
    case OPTION_DELIMITER:
    case OPTION_CATCH_ALL:
    case OPTION_ADDRESS:
        *text_field(option, base) = option->text;
        break;
    case OPTION_BLOCK:
    case OPTION_CIDRS:
    case OPTION_GROUP:
    case OPTION_SERVER:
    case OPTION_CERTIFICATE:
    case OPTION_DIRECTORY:
    case OPTION_WORDS:
    case OPTION_ENDPOINTS:
    case OPTION_STUB:
    case OPTION_CODES:
    case OPTION_PROBES:
    case OPTION_SECRET:
    case OPTION_TYPES:
        break;
    }
}

bool value_is_default(const struct option *option, const void *base) {
    union {
        struct conf_settings set;
        struct conf_listener listener;
        struct conf_group group;
        struct conf_domain_settings domain;
        struct conf_table table;
        struct conf_block_list block_list;
    } defaults = { 0 };
    memset(&defaults, 0, sizeof(defaults));
    value_set_default(option, &defaults);
    return value_eq(option, base, &defaults);
}

bool value_eq(const struct option *option, const void *a, const void *b) {
    return types[option->type].eq(option, a, b);
}

int value_dump(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct type *type = &types[option->type];
    if (type->dump_list != NULL)
        return type->dump_list(option, base, indent, out);
    int r = buf_putf(out, "%s%s ", indent, option->name);
    if (r == 0)
        r = type->dump(option, base, out);
    if (r == 0)
        r = buf_puts(out, value_is_default(option, base) ? STR("  # default\n") : STR("\n"));
    return r;
}

int value_put_word(struct str word, struct buf *out) {
    bool needs_quotes = word.len == 0 || word.at[0] == '#' || word.at[word.len - 1] == ';';
    for (size_t i = 0; i < word.len && !needs_quotes; i++)
        needs_quotes = strchr(" \t{}\"", word.at[i]) != NULL;
    if (!needs_quotes)
        return buf_puts(out, word);
    int r = buf_putc(out, '"');
    for (size_t i = 0; i < word.len && r == 0; i++) {
        if (word.at[i] == '"' || word.at[i] == '\\')
            r = buf_putc(out, '\\');
        if (r == 0)
            r = buf_putc(out, word.at[i]);
    }
    return r < 0 ? r : buf_putc(out, '"');
}
