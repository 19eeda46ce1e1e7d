/*
 * import_ldif: the addresses in an LDAP export (RFC 2849).
 *
 * Entries do not matter, only lines "attribute: value" whose attribute holds addresses: mail and proxyAddresses, or the
 * one named by --column. A line that begins with one blank goes on with the line before it, comments included; "::"
 * announces base64; options behind the attribute ("mail;lang-de") are passed over. Attributes of no interest may be as
 * long as they like: photographs and certificates are.
 *
 * Files of changes are refused as soon as one says so: in "delete: mail / mail: x" the value is one that is *gone*.
 */
#include "table/import_reader.h"

#include <errno.h>

static bool ldif_continues(const struct import *import, struct str line) {
    return line.len > 0 && line.at[0] == ' ';
}

/* The attribute of a line "attribute[;option]: …". False when there is no colon. */
static bool attribute(struct str line, struct str *ret_name, size_t *ret_colon) {
    *ret_colon = str_find(line, ':');
    *ret_name = str_head(line, *ret_colon);
    *ret_name = str_head(*ret_name, str_find(*ret_name, ';'));
    return *ret_colon < line.len;
}

static bool is_wanted(const struct import *import, struct str name) {
    if (import->options.column != NULL)
        return str_eq_nocase(name, str_of(import->options.column));
    return str_eq_nocase(name, STR("mail")) || str_eq_nocase(name, STR("proxyAddresses"));
}

static bool ldif_may_be_long(const struct import *import, struct str start) {
    struct str name;
    size_t colon;
    return start.len > 0 && (start.at[0] == '#' || (attribute(start, &name, &colon) && !is_wanted(import, name)));
}

/* ---- base64, RFC 4648 section 4 */

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Returns 0, -EINVAL, or -ENOMEM. */
static int base64_decode(struct str text, struct buf *out) {
    size_t padding = 0;
    while (padding < 2 && text.len > padding && text.at[text.len - 1 - padding] == '=')
        padding++;
    if (text.len % 4 != 0)
        return -EINVAL;
    text.len -= padding;
    unsigned bits = 0, n_bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = base64_digit(text.at[i]);
        if (digit < 0)
            return -EINVAL;
        bits = (bits << 6 | (unsigned)digit) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            int r = buf_putc(out, (char)(bits >> n_bits & 0xff));
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* ---- lines */

/* Takes the folds out; a record without any is used as it stands. */
static int unfold(struct import *import, struct str record, struct str *ret_line) {
    *ret_line = record;
    if (memchr(record.at, '\n', record.len) == NULL)
        return 0;
    buf_clear(&import->scratch);
    while (record.len > 0) {
        size_t end = str_find(record, '\n');
        int r = buf_put(&import->scratch, record.at, end);
        if (r < 0)
            return r;
        record = str_from(record, end + 2); /* the line end and the blank */
    }
    *ret_line = buf_str(&import->scratch);
    return 0;
}

static int take_value(struct import *import, struct str value, const char *at) {
    if (value.len > 0 && value.at[0] == '<') {
        import_malformed(import, at, "expected a value, this names a file");
        return 0;
    }
    if (value.len > 0 && value.at[0] == ':') {
        buf_clear(&import->decoded);
        int r = base64_decode(str_trim(str_from(value, 1)), &import->decoded);
        if (r == -EINVAL) {
            import_malformed(import, at, "expected base64 behind '::'");
            return 0;
        }
        if (r < 0)
            return r;
        value = buf_str(&import->decoded);
    }
    return import_take_proxy(import, value, at);
}

static int ldif_record(struct import *import, struct str record) {
    if (record.len == 0 || record.at[0] == '#' || str_eq(str_trim(record), STR("-")))
        return 0;
    struct str line, name;
    size_t colon;
    int r = unfold(import, record, &line);
    if (r < 0)
        return r;
    if (str_trim(line).len == 0)
        return 0;
    if (record.at[0] == ' ') {
        import_malformed(import, record.at,
                         "a line that begins with a blank continues another, and there is none before it");
        return 0;
    }
    if (!attribute(line, &name, &colon)) {
        import_malformed(import, record.at, "expected 'attribute: value'");
        return 0;
    }
    struct str value = str_from(line, colon + 1);
    if (str_eq_nocase(name, STR("changetype")) && !str_eq_nocase(str_trim(value), STR("add"))) {
        import_malformed(import, record.at, "this is a file of changes; expected an export of whole entries");
        return 0;
    }
    if (!is_wanted(import, name))
        return 0;
    /* A fold may stand anywhere in front; the value's place is then the record's. */
    size_t offset = colon + 1 + (size_t)(str_trim(value).at != NULL ? str_trim(value).at - value.at : 0);
    bool is_folded_before = memchr(record.at, '\n', offset < record.len ? offset : record.len) != NULL;
    return take_value(import, value, is_folded_before ? record.at : record.at + offset);
}

const struct import_reader import_ldif_reader = {
    .continues = ldif_continues, .may_be_long = ldif_may_be_long, .record = ldif_record
};
