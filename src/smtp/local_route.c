/*
 * local_route: could a mail server take this local part for something else than a mailbox?
 *
 * Rejected: a list of the servers that read routes, and how. What stands behind us today is not what stands there
 * tomorrow; a mailbox whose name has one of these bytes is in the directory, or it is no mailbox.
 */
#include "smtp/local_route.h"

/* What decomposes to one of them: all there are in Unicode 15 (tests/unit/smtp/test_local_route.c). */
static const struct form {
    struct str bytes;
    char means;
} forms[] = {
    { STR_INIT("\xe2\x80\xbc"), '!' }, /* U+203C, "!!" */
    { STR_INIT("\xe2\x81\x88"), '!' }, /* U+2048, "?!" */
    { STR_INIT("\xe2\x81\x89"), '!' }, /* U+2049, "!?" */
    { STR_INIT("\xef\xb8\x95"), '!' }, /* U+FE15 */
    { STR_INIT("\xef\xb9\x97"), '!' }, /* U+FE57 */
    { STR_INIT("\xef\xb9\xaa"), '%' }, /* U+FE6A */
    { STR_INIT("\xef\xb9\xab"), '@' }, /* U+FE6B */
    { STR_INIT("\xef\xbc\x81"), '!' }, /* U+FF01 */
    { STR_INIT("\xef\xbc\x85"), '%' }, /* U+FF05 */
    { STR_INIT("\xef\xbc\x8f"), '/' }, /* U+FF0F */
    { STR_INIT("\xef\xbc\xa0"), '@' }, /* U+FF20 */
    { STR_INIT("\xef\xbd\x9c"), '|' }, /* U+FF5C */
};

/* The byte at the start of `text`, or the one that a form there means; *ret_len: how many bytes it is. */
static char byte_at(struct str text, size_t *ret_len) {
    *ret_len = 1;
    if ((unsigned char)text.at[0] < 0x80)
        return text.at[0];
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (!str_eq(str_head(text, forms[i].bytes.len), forms[i].bytes))
            continue;
        *ret_len = forms[i].bytes.len;
        return forms[i].means;
    }
    return text.at[0];
}

enum smtp_local_kind smtp_local_kind(struct str canonical) {
    enum smtp_local_kind kind = SMTP_LOCAL_PLAIN;
    size_t n = 1;
    for (size_t i = 0; i < canonical.len; i += n) {
        char c = byte_at(str_from(canonical, i), &n);
        if (i == 0 && (c == '/' || c == '|'))
            kind = SMTP_LOCAL_ODD;
        if (c != '%' && c != '!' && c != '@')
            continue;
        if (i > 0 && i + n < canonical.len)
            return SMTP_LOCAL_ROUTE;
        kind = SMTP_LOCAL_ODD;
    }
    return kind;
}
