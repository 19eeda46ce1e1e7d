/*
 * values_lists: values that may be repeated and add up: prefixes, entries of a table, name servers.
 */
#include "conf/value_types.h"

#include "conf/list.h"
#include "mime/banned.h"
#include "smtp/address.h"

#include <errno.h>
#include <inttypes.h>

enum { SERVERS_OF_DNS_MAX = 64 }; /* forwarders, and stubs: a bound for typing errors, not for sites */

/* ---- prefixes */

static int parse_cidrs(const struct value_reader *reader, const struct option *option,
                       const struct statement *statement, void *base) {
    struct conf_cidrs *list = value_field(option, base);
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
    const struct conf_cidrs *x = value_field(option, a), *y = value_field(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = ip_eq(&x->at[i].ip, &y->at[i].ip) && x->at[i].bits == y->at[i].bits;
    return is_eq;
}

static int dump_cidrs(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_cidrs *list = value_field(option, base);
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
    struct conf_words *list = value_field(option, base);
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "'%s' needs a value", option->name);
    for (size_t i = 1; i < statement->n_words; i++) {
        int r = list_grow(&reader->conf->arena, &list->at, list->n, sizeof(*list->at));
        if (r == 0)
            r = value_keep(reader, statement->words[i].text, &list->at[list->n]);
        if (r < 0)
            return r;
        list->n++;
    }
    return 0;
}

/* One that can match nothing is a mistake, and would let pass what it was meant for. */
static int parse_files(const struct value_reader *reader, const struct option *option,
                       const struct statement *statement, void *base) {
    for (size_t i = 1; i < statement->n_words; i++) {
        const struct word *word = &statement->words[i];
        if (!banned_is_word(word->text))
            FAIL(reader, word, "'%.*s' is neither an extension, such as docm, nor a type, such as text/calendar",
                 STR_ARG(word->text));
    }
    return parse_words(reader, option, statement, base);
}

static bool words_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_words *x = value_field(option, a), *y = value_field(option, b);
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
    struct conf_endpoints *list = value_field(option, base);
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
    const struct conf_endpoints *x = value_field(option, a), *y = value_field(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = endpoint_eq(&x->at[i], &y->at[i]);
    return is_eq;
}

static int parse_stub(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    struct conf_stubs *list = value_field(option, base);
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
    int r = value_keep(reader, words[1].text, &stub.zone);
    if (r == 0)
        r = list_grow(&reader->conf->arena, &list->at, list->n, sizeof(*list->at));
    if (r == 0)
        list->at[list->n++] = stub;
    return r;
}

static bool stubs_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_stubs *x = value_field(option, a), *y = value_field(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = strcmp(x->at[i].zone, y->at[i].zone) == 0 && endpoint_eq(&x->at[i].server, &y->at[i].server);
    return is_eq;
}

/* ---- lists of these, one a line */

/* Entry i of a list, or -ENOENT behind the last one. */
static int put_entry(const struct option *option, const void *base, size_t i, struct buf *out) {
    const void *field = value_field(option, base);
    char text[ENDPOINT_TEXT_MAX];
    if (option->type == OPTION_WORDS || option->type == OPTION_FILES) {
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

/* ---- the types */

const struct value_type cidrs_type = { parse_cidrs, NULL, dump_cidrs, cidrs_eq };
const struct value_type words_type = { parse_words, NULL, dump_entries, words_eq };
const struct value_type files_type = { parse_files, NULL, dump_entries, words_eq };
const struct value_type endpoints_type = { parse_endpoints, NULL, dump_entries, endpoints_eq };
const struct value_type stub_type = { parse_stub, NULL, dump_entries, stubs_eq };
