/*
 * Which headers are bad, each beside a good neighbour, and that slices change nothing.
 */
#include "mime/header_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define GOOD "Date: d\r\nFrom: f\r\nMessage-ID: <a@b>\r\n"

static const struct header {
    const char *text, *why; /* "": nothing is wrong */
    bool allows_utf8;
} headers[] = {
    { GOOD "\r\n", "", false },
    { GOOD "\r\ntext", "", false },
    { "DATE: d\r\nfrom: f\r\nmessage-id: x\r\n\r\n", "", false },
    { GOOD "Subject: a\r\n b\r\n\tc\r\nX: y\r\n\r\n", "", false },
    { GOOD "X-Empty:\r\n\r\n", "", false },
    { GOOD "Received: a\r\nReceived: b\r\nX: c\r\nX: d\r\nKeywords: e\r\nKeywords: f\r\n\r\n", "", false },
    { "\r\ntext", "it has no field", false },
    { "", "it has no field", false },
    { "From: f\r\nMessage-ID: x\r\n\r\n", "Date is missing", false },
    { "Date: d\r\nMessage-ID: x\r\n\r\n", "From is missing", false },
    { "Date: d\r\nFrom: f\r\n\r\n", "Message-ID is missing", false },
    { "Date: d\r\nFrom: f\r\n\r\nMessage-ID: x\r\n\r\n", "Message-ID is missing", false },
    { GOOD "From: g\r\n\r\n", "From occurs twice", false },
    { GOOD "from: g\r\n\r\n", "From occurs twice", false },
    { GOOD "Date: g\r\n\r\n", "Date occurs twice", false },
    { GOOD "MESSAGE-ID: g\r\n\r\n", "Message-ID occurs twice", false },
    { GOOD "Subject: a\r\nX: y\r\nSubject: b\r\n\r\n", "Subject occurs twice", false },
    { GOOD "To: a\r\nTo: b\r\n\r\n", "To occurs twice", false },
    { GOOD "Content-Type: a\r\nContent-Type: b\r\n\r\n", "Content-Type occurs twice", false },
    { GOOD "Subject: caf\xe9\r\n\r\n", "byte 0xE9 outside ASCII in Subject", false },
    { GOOD "Subject: a\r\n caf\xe9\r\n\r\n", "byte 0xE9 outside ASCII in Subject", false },
    { GOOD "Subject: caf\xc3\xa9\r\n\r\n", "", true },
    { GOOD "\r\ncaf\xe9\r\n", "", false },
    { GOOD "Subject: caf\xe9 au lait\r\n\r\n", "byte 0x20 is no UTF-8 in Subject", true },
    { GOOD "Subject: caf\xe9\r\n\r\n", "a character is cut in Subject", true },
    { GOOD "Subject: \xe2\x82\r\n \xac\r\n\r\n", "a character is cut in Subject", true },
    { GOOD "Subject: \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\r\n\r\n", "", true },
    { GOOD "Subject: \xed\x9f\xbf \xee\x80\x80 \xe0\xa0\x80 \xf0\x90\x80\x80\r\n\r\n", "", true },
    { GOOD "X: \x80\r\n\r\n", "byte 0x80 is no UTF-8 in X", true },
    { GOOD "X: \xc1\xbf\r\n\r\n", "byte 0xC1 is no UTF-8 in X", true },     /* longer forms */
    { GOOD "X: \xe0\x9f\xbf\r\n\r\n", "byte 0x9F is no UTF-8 in X", true },
    { GOOD "X: \xf0\x8f\xbf\xbf\r\n\r\n", "byte 0x8F is no UTF-8 in X", true },
    { GOOD "X: \xed\xa0\x80\r\n\r\n", "byte 0xA0 is no UTF-8 in X", true }, /* a surrogate */
    { GOOD "X: \xf4\x90\x80\x80\r\n\r\n", "byte 0x90 is no UTF-8 in X", true }, /* beyond U+10FFFF */
    { GOOD "X: \xff\r\n\r\n", "byte 0xFF is no UTF-8 in X", true },
    { GOOD "Sub\xc3\xa9: x\r\n\r\n", "line 4 is no field: a field's name is printable ASCII without blanks", true },
    { GOOD "X: a\x01\r\n\r\n", "control character 0x01 in X", false },
    { GOOD "X: a\x7f\r\n\r\n", "control character 0x7F in X", false },
    { GOOD "X: a\tb\r\n\r\n", "", false },
    { GOOD "no field\r\n\r\n", "line 4 is no field: it has no colon", false },
    { "From me at noon\r\n" GOOD "\r\n", "line 1 is no field: it has no colon", false },
    { GOOD "Subject : x\r\n\r\n", "line 4 is no field: a field's name is printable ASCII without blanks", false },
    { GOOD "Sub\xe9: x\r\n\r\n", "line 4 is no field: a field's name is printable ASCII without blanks", false },
    { GOOD ": x\r\n\r\n", "line 4 is no field: a field's name is printable ASCII without blanks", false },
    { GOOD "X: a\r\n \t \r\n b\r\n\r\n", "line 5 is folded and has blanks alone", false },
    { GOOD "X: a\r\n \t b\r\n\r\n", "", false },
    { GOOD "X:  \r\n\r\n", "", false },
    { " a\r\n" GOOD "\r\n", "the first line begins with a blank", false },
    { GOOD, "it does not end: no empty line follows", false },
    { GOOD "Subject: x", "it does not end: no empty line follows", false },
    { "From: f\r\nFrom: g\r\nSubject : x\r\n\r\n", "From occurs twice", false }, /* the first of several */
};

static void assert_why(const char *text, size_t len, bool allows_utf8, size_t piece, const char *expected) {
    struct header_check check;
    header_check_init(&check, allows_utf8);
    for (size_t at = 0; at < len; at += piece)
        header_check_feed(&check, text + at, len - at < piece ? len - at : piece);
    struct str why = header_check_end(&check);
    if (!str_eq(why, str_of(expected)))
        fail_msg("'%s' (pieces of %zu): '%.*s', not '%s'", text, piece, STR_ARG(why), expected);
}

static void faults_are_found_and_named(void **state) {
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const struct header *h = &headers[i];
        for (size_t piece = 1; piece < 6; piece++)
            assert_why(h->text, strlen(h->text), h->allows_utf8, piece, h->why);
        assert_why(h->text, strlen(h->text), h->allows_utf8, SIZE_MAX / 2, h->why);
    }
}

static void a_nul_is_a_fault(void **state) {
    static const char text[] = GOOD "Subject: a\0b\r\n\r\n";
    assert_why(text, sizeof(text) - 1, false, 1000, "NUL in Subject");
}

static void a_line_may_have_998_octets(void **state) {
    static char text[2048];
    for (int more = 0; more < 2; more++) {
        int n = snprintf(text, sizeof(text), GOOD "X: ");
        memset(text + n, 'a', (size_t)(998 - 3 + more));
        strcpy(text + n + 998 - 3 + more, "\r\n\r\n");
        assert_why(text, strlen(text), false, 1000, more == 0 ? "" : "line 4 has 999 octets, 998 at most");
    }
}

/* What is said stays within its bound, and printable. */
static void names_of_any_length_are_told(void **state) {
    static char text[100000];
    memset(text, 'n', sizeof(text));
    strcpy(text + sizeof(text) - 8, ":\x01\r\n\r\n");
    struct header_check check;
    header_check_init(&check, false);
    header_check_feed(&check, text, strlen(text));
    struct str why = header_check_end(&check);
    assert_true(why.len > 0 && why.len < HEADER_WHY_MAX);
    for (size_t i = 0; i < why.len; i++)
        assert_true(why.at[i] >= ' ' && why.at[i] < 127);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults_are_found_and_named),
        cmocka_unit_test(a_nul_is_a_fault),
        cmocka_unit_test(a_line_may_have_998_octets),
        cmocka_unit_test(names_of_any_length_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
