/*
 * clean: see the header. Text is walked a character at a time: an ASCII one, or the longest sequence that is one
 * character of UTF-8.
 */
#include "cmd/clean.h"

#include "smtp/address.h"

#include <errno.h>
#include <string.h>

enum { UTF8_MAX = 4 };

/* Bytes of the character at the front that may be shown; 0: the byte there may not. */
static size_t shown_len(struct str text) {
    unsigned char first = (unsigned char)text.at[0];
    if (first < 0x80)
        return first >= ' ' && first != 127;
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    bool is_c1 = first == 0xc2 && text.len > 1 && (unsigned char)text.at[1] < 0xa0;
    return len <= text.len && !is_c1 && smtp_utf8_is_valid(str_head(text, len)) ? len : 0;
}

static void clean(char *at, size_t len, bool keeps_lines) {
    for (size_t i = 0, n; i < len; i += n > 0 ? n : 1) {
        n = keeps_lines && at[i] == '\n' ? 1 : shown_len((struct str){ at + i, len - i });
        if (n == 0)
            at[i] = '?';
    }
}

int clean_put(struct buf *out, struct str text) {
    uint32_t begin = out->len;
    int r = buf_puts(out, text);
    if (r == 0)
        clean(out->at + begin, out->len - begin, false);
    return r;
}

void clean_print(FILE *out, struct str text) {
    for (size_t n; text.len > 0; text = str_from(text, n > 0 ? n : 1)) {
        n = shown_len(text);
        if (n > 0)
            fwrite(text.at, 1, n, out);
        else
            fputc('?', out);
    }
}

void clean_text(char *text) {
    clean(text, strlen(text), false);
}

void clean_lines(char *text, size_t len) {
    clean(text, len, true);
}
