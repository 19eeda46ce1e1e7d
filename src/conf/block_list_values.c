/*
 * block_list_values: what do the words in a block_list block mean, and how are they written again?
 *
 *     weight 1.5                                    in thousandths; not positive: a welcome list
 *     for helo sender                               what is looked up; `client` stands alone
 *     codes 127.0.0.2 127.0.0.4-127.0.0.11          which answers count
 *     probe standard | none | LISTED CLEAN          how the list is put to the test; pairs for IPv4 and IPv6
 *
 * A key is the one value that a dump does not give back: it is written as a comment, since what `postern check
 * --dump` prints ends up in mail to a support desk.
 */
#include "conf/block_list_values.h"

#include "conf/list.h"
#include "smtp/address.h"

#include <inttypes.h>
#include <stdlib.h>

enum { WEIGHT_MAX = 1000 };

#define FAIL(reader, word, ...) diag_error((reader)->diag, (reader)->source, (word)->at, __VA_ARGS__)

static void *field_of(const struct option *option, const void *base) {
    return (char *)base + option->offset;
}

/* ---- weight */

/* "-1", "0.5", "1.125". */
static bool to_thousandths(struct str text, int64_t *ret_value) {
    unsigned long long whole, part = 0;
    bool is_negative = text.len > 0 && text.at[0] == '-';
    text = str_from(text, is_negative ? 1 : 0);
    size_t dot = str_find(text, '.');
    struct str fraction = str_from(text, dot + 1);
    if (str_to_u64(str_head(text, dot), WEIGHT_MAX, &whole) < 0 || fraction.len > 3)
        return false;
    if (dot < text.len && str_to_u64(fraction, 999, &part) < 0)
        return false;
    for (size_t i = fraction.len; i < 3; i++)
        part *= 10;
    int64_t value = (int64_t)(whole * 1000 + part);
    *ret_value = is_negative ? -value : value;
    return value <= WEIGHT_MAX * 1000;
}

int weight_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                 void *base) {
    const struct word *word = &statement->words[statement->n_words - 1];
    if (statement->n_words != 2 || !to_thousandths(word->text, field_of(option, base)))
        FAIL(reader, word, "expected 'weight NUMBER' from -%d to %d, with at most three digits behind the dot",
             WEIGHT_MAX, WEIGHT_MAX);
    return 0;
}

int weight_dump(const struct option *option, const void *base, struct buf *out) {
    int64_t value = *(int64_t *)field_of(option, base), size = llabs(value);
    return buf_putf(out, "%s%" PRId64 ".%03d", value < 0 ? "-" : "", size / 1000, (int)(size % 1000));
}

bool weight_eq(const struct option *option, const void *a, const void *b) {
    return *(int64_t *)field_of(option, a) == *(int64_t *)field_of(option, b);
}

/* ---- families */

static const char *const family_words[N_LIST_FAMILIES] = {
    [LISTS_CLIENT] = "client", [LISTS_PTR] = "ptr", [LISTS_HELO] = "helo", [LISTS_SENDER] = "sender",
};

static unsigned family_bit(struct str word) {
    for (unsigned i = 0; i < N_LIST_FAMILIES; i++)
        if (str_eq(word, str_of(family_words[i])))
            return 1u << i;
    return 0;
}

int families_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                   void *base) {
    unsigned families = 0;
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "expected 'for client', or any of ptr, helo and sender");
    for (size_t i = 1; i < statement->n_words; i++) {
        unsigned bit = family_bit(statement->words[i].text);
        families |= bit;
        if (bit == 0 || (families & 1u << LISTS_CLIENT && families != 1u << LISTS_CLIENT)) {
            FAIL(reader, &statement->words[i], "expected 'for client', or any of ptr, helo and sender: a list is one "
                 "of addresses or one of names");
            return 0;
        }
    }
    *(unsigned *)field_of(option, base) = families;
    return 0;
}

int families_dump(const struct option *option, const void *base, struct buf *out) {
    unsigned families = *(unsigned *)field_of(option, base);
    const char *between = "";
    for (unsigned i = 0; i < N_LIST_FAMILIES; i++) {
        if (!(families >> i & 1))
            continue;
        int r = buf_putf(out, "%s%s", between, family_words[i]);
        if (r < 0)
            return r;
        between = " ";
    }
    return 0;
}

bool families_eq(const struct option *option, const void *a, const void *b) {
    return *(unsigned *)field_of(option, a) == *(unsigned *)field_of(option, b);
}

/* ---- codes */

static bool to_code(struct str text, uint32_t *ret_code) {
    struct ip ip;
    if (ip_parse(text, &ip) < 0 || ip.family != IP_V4 || ip.bytes[0] != 127)
        return false;
    *ret_code = (uint32_t)ip.bytes[0] << 24 | (uint32_t)ip.bytes[1] << 16 | (uint32_t)ip.bytes[2] << 8 | ip.bytes[3];
    return true;
}

static bool to_range(struct str text, struct conf_code_range *ret_range) {
    size_t dash = str_find(text, '-');
    if (!to_code(str_head(text, dash), &ret_range->first))
        return false;
    ret_range->last = ret_range->first;
    return dash == text.len
        || (to_code(str_from(text, dash + 1), &ret_range->last) && ret_range->first <= ret_range->last);
}

int codes_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                void *base) {
    struct conf_codes *codes = field_of(option, base);
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "expected 'codes CODE' or 'codes FIRST-LAST', any number of them");
    for (size_t i = 1; i < statement->n_words; i++) {
        const struct word *word = &statement->words[i];
        struct conf_code_range range;
        if (!to_range(word->text, &range) || codes->n == CONF_CODES_MAX) {
            FAIL(reader, word, "expected an address in 127.0.0.0/8 or a range of them, such as 127.0.0.4-127.0.0.11; "
                 "at most %d", CONF_CODES_MAX);
            return 0;
        }
        int r = list_grow(&reader->conf->arena, &codes->at, codes->n, sizeof(range));
        if (r < 0)
            return r;
        codes->at[codes->n++] = range;
    }
    return 0;
}

static int put_code(uint32_t code, struct buf *out) {
    return buf_putf(out, "%u.%u.%u.%u", code >> 24, code >> 16 & 255, code >> 8 & 255, code & 255);
}

int codes_dump(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_codes *codes = field_of(option, base);
    if (codes->n == 0)
        return buf_putf(out, "%s# %s: all  # default\n", indent, option->name);
    int r = buf_putf(out, "%s%s", indent, option->name);
    for (size_t i = 0; i < codes->n && r == 0; i++) {
        r = buf_putc(out, ' ');
        if (r == 0)
            r = put_code(codes->at[i].first, out);
        if (r == 0 && codes->at[i].last != codes->at[i].first)
            r = buf_putc(out, '-');
        if (r == 0 && codes->at[i].last != codes->at[i].first)
            r = put_code(codes->at[i].last, out);
    }
    return r < 0 ? r : buf_putc(out, '\n');
}

bool codes_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_codes *x = field_of(option, a), *y = field_of(option, b);
    bool is_eq = x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = x->at[i].first == y->at[i].first && x->at[i].last == y->at[i].last;
    return is_eq;
}

/* ---- probes */

static bool is_entry(struct str text) {
    struct ip ip;
    return ip_parse(text, &ip) == 0 || smtp_domain_parse(text, false, false) == SMTP_ADDRESS_OK;
}

int probes_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                 void *base) {
    struct conf_probes *probes = field_of(option, base);
    const struct word *words = statement->words;
    bool is_none = statement->n_words == 2 && str_eq(words[1].text, STR("none"));
    if (statement->n_words == 2 && (is_none || str_eq(words[1].text, STR("standard"))) && probes->n == 0) {
        probes->use = is_none ? CONF_PROBE_NONE : CONF_PROBE_STANDARD;
        return 0;
    }
    if (statement->n_words != 3 || !is_entry(words[1].text) || !is_entry(words[2].text)
        || probes->n == CONF_PROBES_MAX) {
        FAIL(reader, &words[0], "expected 'probe standard', 'probe none', or 'probe LISTED CLEAN' with an entry that "
             "is listed and one that is not, once for each family of addresses");
        return 0;
    }
    const char *listed = arena_strdup(&reader->conf->arena, words[1].text);
    const char *clean = arena_strdup(&reader->conf->arena, words[2].text);
    if (listed == NULL || clean == NULL)
        return -ENOMEM;
    probes->use = CONF_PROBE_NAMED;
    probes->at[probes->n].listed = listed;
    probes->at[probes->n++].clean = clean;
    return 0;
}

int probes_dump(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct conf_probes *probes = field_of(option, base);
    int r = 0;
    if (probes->use != CONF_PROBE_NAMED)
        return buf_putf(out, "%s%s %s\n", indent, option->name,
                        probes->use == CONF_PROBE_NONE ? "none" : "standard  # default");
    for (size_t i = 0; i < probes->n && r == 0; i++)
        r = buf_putf(out, "%s%s %s %s\n", indent, option->name, probes->at[i].listed, probes->at[i].clean);
    return r;
}

bool probes_eq(const struct option *option, const void *a, const void *b) {
    const struct conf_probes *x = field_of(option, a), *y = field_of(option, b);
    bool is_eq = x->use == y->use && x->n == y->n;
    for (size_t i = 0; i < x->n && is_eq; i++)
        is_eq = strcmp(x->at[i].listed, y->at[i].listed) == 0 && strcmp(x->at[i].clean, y->at[i].clean) == 0;
    return is_eq;
}

/* ---- secrets */

int secret_dump(const struct option *option, const void *base, const char *indent, struct buf *out) {
    bool is_set = *(const char **)field_of(option, base) != NULL;
    return buf_putf(out, "%s# %s: %s\n", indent, option->name, is_set ? "not shown" : "none  # default");
}
