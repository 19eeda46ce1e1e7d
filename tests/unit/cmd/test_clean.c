/* What came from outside does nothing to a terminal, and reads as before where it is harmless. */
#include "cmd/clean.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *text, *clean;
} all[] = {
    { "anna@example.com", "anna@example.com" },
    { "", "" },
    { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7" },
    { "a\r\nb\tc\x7f", "a??b?c?" },
    { "\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?" },
    { "\xc2\x9b" "2J", "??2J" },   /* CSI as UTF-8 has it */
    { "\x9b" "2J", "?2J" },        /* and as one byte */
    { "a\xc3", "a?" },             /* cut */
    { "\xe2\x82", "??" },
    { "\xff\xfe", "??" },
    { "\xc2\xa0", "\xc2\xa0" },
};

static void controls_become_question_marks_and_text_stays(void **state) {
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct buf out;
        char text[64], *printed = NULL;
        size_t size;
        buf_init(&out, 64);
        assert_int_equal(clean_put(&out, str_of(all[i].text)), 0);
        assert_true(str_eq(buf_str(&out), str_of(all[i].clean)));
        snprintf(text, sizeof(text), "%s", all[i].text);
        clean_text(text);
        assert_string_equal(text, all[i].clean);
        FILE *file = open_memstream(&printed, &size);
        clean_print(file, str_of(all[i].text));
        fclose(file);
        assert_string_equal(printed, all[i].clean);
        free(printed);
        buf_deinit(&out);
    }
}

static void of_lines_the_ends_stay(void **state) {
    char text[] = "a\n\x1b" "b\r\n";
    clean_lines(text, sizeof(text) - 1);
    assert_string_equal(text, "a\n?b?\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controls_become_question_marks_and_text_stays),
        cmocka_unit_test(of_lines_the_ends_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
