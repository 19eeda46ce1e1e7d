/*
 * fuzz_header_check: what is said of a header does not depend on how it is sliced, is printable, and a header that is
 * said to be good is one for a reader that works line by line on all of it, too.
 *
 * Input: a seed for the slices (its lowest bit: SMTPUTF8), the text; which is made canonical first.
 */
#include "mime/header_check.h"
#include "smtp/data.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* seed 0: all at once */
static struct header_check check(struct str text, bool allows_utf8, uint32_t seed) {
    struct header_check check;
    header_check_init(&check, allows_utf8);
    for (size_t at = 0, some; at < text.len; at += some) {
        seed = seed == 0 ? 0 : seed * 1664525U + 1013904223U;
        some = seed == 0 ? text.len : 1 + (seed >> 16) % 40;
        some = some < text.len - at ? some : text.len - at;
        char *copy = malloc(some); /* of exactly its size */
        assert(copy != NULL);
        memcpy(copy, text.at + at, some);
        header_check_feed(&check, copy, some);
        free(copy);
    }
    header_check_end(&check);
    return check;
}

/* Takes a line off the front of *rest, without its CRLF. False: there is none that ends. */
static bool take_line(struct str *rest, struct str *ret_line) {
    const char *end = memmem(rest->at, rest->len, "\r\n", 2);
    if (end == NULL)
        return false;
    *ret_line = str_head(*rest, (size_t)(end - rest->at));
    *rest = str_from(*rest, ret_line->len + 2);
    return true;
}

static void expect_good(struct str rest, bool allows_utf8) {
    static const char *const names[] = { "Date", "From", "Message-ID", "Subject", "To" };
    unsigned n[5] = { 0 };
    struct str line;
    for (;;) {
        bool has_line = take_line(&rest, &line);
        assert(has_line);
        if (line.len == 0)
            break;
        assert(line.len <= 998);
        for (size_t i = 0; i < line.len; i++) {
            unsigned char c = (unsigned char)line.at[i];
            assert((c >= ' ' || c == '\t') && c != 127 && (c < 128 || allows_utf8));
        }
        size_t colon = str_find(line, ':');
        bool is_fold = line.at[0] == ' ' || line.at[0] == '\t';
        assert(is_fold ? str_trim(line).len > 0 : colon > 0 && colon < line.len);
        for (size_t i = 0; i < 5; i++)
            n[i] += !is_fold && str_eq_nocase(str_head(line, colon), str_of(names[i]));
    }
    assert(n[0] == 1 && n[1] == 1 && n[2] == 1 && n[3] <= 1 && n[4] <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct data_decoder decoder;
    size_t used, len;
    if (size < 2)
        return 0;
    bool allows_utf8 = data[0] & 1;
    char *text = malloc(2 * size + 8);
    assert(text != NULL);
    data_decoder_init(&decoder, true);
    data_decode(&decoder, (const char *)data + 1, size - 1, &used, text, 2 * size + 8, &len);
    len += data_decode_finish(&decoder, text + len);
    struct header_check whole = check((struct str){ text, len }, allows_utf8, 0);
    struct header_check sliced = check((struct str){ text, len }, allows_utf8, 77u + data[0]);
    assert(strcmp(whole.why, sliced.why) == 0 && strlen(whole.why) < HEADER_WHY_MAX);
    for (const char *c = whole.why; *c != '\0'; c++)
        assert(*c >= ' ' && *c <= 126);
    if (whole.why[0] == '\0')
        expect_good((struct str){ text, len }, allows_utf8);
    free(text);
    return 0;
}
