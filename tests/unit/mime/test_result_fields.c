/*
 * What we write in front of a message: as mail clients know it, in lines that end, whatever others have said.
 */
#include "mime/header_check.h"
#include "mime/result_fields.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const struct result_fields *fields, const char *expected) {
    struct buf out;
    buf_init(&out, 8192);
    assert_int_equal(result_fields_format(fields, &out), 0);
    buf_putc(&out, '\0');
    assert_string_equal(out.at, expected);
    buf_deinit(&out);
}

static void who_was_not_asked_says_nothing(void **state) {
    expect(&(struct result_fields){ 0 }, "");
}

static void scanners_are_quoted(void **state) {
    expect(&(struct result_fields){ .virus = RESULT_KNOWN }, "X-Virus-Status: Clean\r\n");
    expect(&(struct result_fields){ .virus = RESULT_KNOWN, .virus_name = STR("Eicar-Test") },
           "X-Virus-Status: Infected (Eicar-Test)\r\n");
    expect(&(struct result_fields){ .virus = RESULT_MISSED, .virus_missed = STR("larger than 25 MiB") },
           "X-Virus-Status: Not scanned (larger than 25 MiB)\r\n");
    expect(&(struct result_fields){ .spam = RESULT_MISSED, .spam_missed = STR("no scanner works") },
           "X-Spam-Status: Not scanned (no scanner works)\r\n");
    expect(&(struct result_fields){ .spam = RESULT_KNOWN, .score = -500, .threshold = 5000 },
           "X-Spam-Flag: NO\r\nX-Spam-Score: -0.5\r\nX-Spam-Status: No, score=-0.5 required=5.0 tests=none\r\n");
    expect(&(struct result_fields){ .spam = RESULT_KNOWN, .score = 7250, .threshold = 5000, .is_spam = true,
                                    .tests = STR("A,B") },
           "X-Spam-Flag: YES\r\nX-Spam-Score: 7.25\r\nX-Spam-Level: *******\r\n"
           "X-Spam-Status: Yes, score=7.25 required=5.0 tests=A,B\r\n");
    expect(&(struct result_fields){ .bad_header = STR("Date is missing"), .banned = STR("a.exe: extension exe") },
           "X-Postern-Bad-Header: Date is missing\r\nX-Postern-Banned: a.exe: extension exe\r\n");
}

static void scores_are_bounded(void **state) {
    expect(&(struct result_fields){ .spam = RESULT_KNOWN, .score = 999999, .threshold = 5000, .is_spam = true },
           "X-Spam-Flag: YES\r\nX-Spam-Score: 999.999\r\n"
           "X-Spam-Level: **************************************************\r\n"
           "X-Spam-Status: Yes, score=999.999 required=5.0 tests=none\r\n");
    struct buf out;
    buf_init(&out, 8192);
    const struct result_fields least = { .spam = RESULT_KNOWN, .score = INT64_MIN, .threshold = INT64_MAX };
    assert_int_equal(result_fields_format(&least, &out), 0);
    buf_deinit(&out);
}

/* Whatever a scanner has said, it is one field of lines that are not too long. */
static void no_words_break_out(void **state) {
    char tests[1000];
    struct buf out;
    for (size_t i = 0; i < sizeof(tests); i++)
        tests[i] = i % 17 == 16 ? ',' : 'A';
    memcpy(tests + 100, "\r\nX-Spam-Flag: NO\r\n\r\n\0\x80", 24);
    const struct result_fields fields = { .spam = RESULT_KNOWN, .tests = { tests, sizeof(tests) } };
    buf_init(&out, 8192);
    assert_int_equal(result_fields_format(&fields, &out), 0);
    unsigned column = 0, n_fields = 0;
    for (uint32_t i = 0; i < out.len; i++) {
        char c = out.at[i];
        if (c == '\n') {
            assert_int_equal(out.at[i - 1], '\r');
            n_fields += i + 1 == out.len || out.at[i + 1] != '\t';
            column = 0;
            continue;
        }
        assert_true(c == '\r' ? out.at[i + 1] == '\n' : c == '\t' || (c >= ' ' && c < 127));
        assert_true(++column <= 79); /* CR included */
    }
    assert_int_equal(n_fields, 3);
    buf_deinit(&out);
}

/* Blanks where a line is full: a fold, and no line of blanks alone, which would be a fault of ours. */
static void blanks_at_the_fold_make_no_empty_line(void **state) {
    for (size_t n = 40; n < 140; n++) {
        char name[200];
        struct buf out;
        struct header_check check;
        memset(name, 'n', sizeof(name));
        memset(name + n - 4, ' ', 4 + n % 3);
        const struct result_fields fields = { .virus = RESULT_KNOWN, .virus_name = { name, sizeof(name) } };
        buf_init(&out, 8192);
        assert_int_equal(buf_puts(&out, STR("Date: d\r\nFrom: f\r\nMessage-ID: i\r\n")), 0);
        assert_int_equal(result_fields_format(&fields, &out), 0);
        assert_int_equal(buf_puts(&out, STR("\r\n")), 0);
        header_check_init(&check, false);
        header_check_feed(&check, out.at, out.len);
        assert_int_equal(header_check_end(&check).len, 0);
        buf_deinit(&out);
    }
}

static void what_does_not_fit_leaves_nothing(void **state) {
    struct buf out;
    buf_init(&out, 40);
    buf_puts(&out, STR("A: b\r\n"));
    const struct result_fields fields = { .virus = RESULT_KNOWN, .spam = RESULT_KNOWN };
    assert_int_not_equal(result_fields_format(&fields, &out), 0);
    assert_int_equal(out.len, 6);
    assert_int_equal(result_tag_format(STR("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH"), &out) < 0, true);
    assert_int_equal(out.len, 6);
    assert_int_equal(result_tag_format(STR("OK"), &out), 0);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_not_asked_says_nothing), cmocka_unit_test(scanners_are_quoted),
        cmocka_unit_test(scores_are_bounded),             cmocka_unit_test(no_words_break_out),
        cmocka_unit_test(blanks_at_the_fold_make_no_empty_line),
        cmocka_unit_test(what_does_not_fit_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
