/* diag: places, carets, bounds and suggestions. */
#include "base/diag.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FILE_TEXT "listen 25\n\thostnam mx.example\r\nlast"

static const struct diag_source SOURCE = { .path = "postern.conf", .text = { FILE_TEXT, sizeof(FILE_TEXT) - 1 } };

static void assert_said(struct diag_list *list, const char *expected) {
    assert_int_equal(buf_putc(&list->text, '\0'), 0);
    assert_string_equal(list->text.at, expected);
    diag_deinit(list);
}

static void an_error_shows_place_line_and_caret(void **state) {
    struct diag_list list;
    diag_init(&list);
    diag_error(&list, &SOURCE, strstr(SOURCE.text.at, "hostnam"), "unknown option '%s'", "hostnam");
    assert_int_equal(list.errors, 1);
    assert_int_equal(list.warnings, 0);
    assert_said(&list, "postern.conf:2:2: error: unknown option 'hostnam'\n    \thostnam mx.example\n    \t^\n");
}

static void the_first_byte_and_the_end_of_the_file_are_places(void **state) {
    struct diag_list list;
    diag_init(&list);
    diag_warning(&list, &SOURCE, SOURCE.text.at, "w");
    diag_error(&list, &SOURCE, SOURCE.text.at + SOURCE.text.len, "expected '}'");
    assert_said(&list, "postern.conf:1:1: warning: w\n    listen 25\n    ^\n"
                       "postern.conf:3:5: error: expected '}'\n    last\n        ^\n");
}

static void a_message_without_place_is_about_the_file(void **state) {
    struct diag_list list;
    static const char elsewhere[] = "x";
    diag_init(&list);
    diag_error(&list, &SOURCE, NULL, "no listener");
    diag_error(&list, &SOURCE, elsewhere, "not in this file");
    diag_error(&list, &(struct diag_source){ .path = "empty.conf" }, NULL, "is empty");
    assert_said(&list, "postern.conf: error: no listener\npostern.conf: error: not in this file\n"
                       "empty.conf: error: is empty\n");
}

static void control_characters_and_utf8_do_not_move_the_caret(void **state) {
    struct diag_list list;
    static const char text[] = "\x1b[2J \xc3\xa4 x";
    struct diag_source source = { .path = "f", .text = { text, sizeof(text) - 1 } };
    diag_init(&list);
    diag_error(&list, &source, strchr(text, 'x'), "e");
    assert_said(&list, "f:1:9: error: e\n     [2J \xc3\xa4 x\n           ^\n");
}

static void a_long_line_is_cut_and_loses_the_caret_past_the_cut(void **state) {
    struct diag_list list;
    char text[400], expected[512];
    memset(text, 'a', sizeof(text));
    struct diag_source source = { .path = "f", .text = { text, sizeof(text) } };
    diag_init(&list);
    diag_error(&list, &source, text + 160, "e");
    snprintf(expected, sizeof(expected), "f:1:161: error: e\n    %.160s\n    %160s^\n", text, "");
    assert_said(&list, expected);
    diag_init(&list);
    diag_error(&list, &source, text + 161, "e");
    snprintf(expected, sizeof(expected), "f:1:162: error: e\n    %.160s\n", text);
    assert_said(&list, expected);
}

static unsigned count(const char *text, const char *what) {
    unsigned n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void past_the_maximum_errors_are_counted_and_said_once(void **state) {
    struct diag_list list;
    diag_init(&list);
    for (int i = 0; i < DIAG_MAX + 5; i++)
        diag_warning(&list, &SOURCE, NULL, "w");
    for (int i = 0; i < DIAG_MAX; i++)
        diag_error(&list, &SOURCE, NULL, "e");
    assert_int_equal(buf_putc(&list.text, '\0'), 0);
    assert_int_equal(count(list.text.at, ": error: e\n"), DIAG_MAX);
    assert_int_equal(count(list.text.at, ": warning: w\n"), DIAG_MAX);
    assert_int_equal(count(list.text.at, "there are more warnings"), 1);
    assert_int_equal(count(list.text.at, "there are more errors"), 0);
    list.text.len--;
    diag_error(&list, &SOURCE, NULL, "e");
    diag_error(&list, &SOURCE, NULL, "e");
    assert_int_equal(buf_putc(&list.text, '\0'), 0);
    assert_int_equal(count(list.text.at, ": error: e\n"), DIAG_MAX);
    assert_int_equal(count(list.text.at, "there are more errors"), 1);
    assert_int_equal(list.errors, DIAG_MAX + 2);
    assert_int_equal(list.warnings, DIAG_MAX + 5);
    diag_deinit(&list);
}

static void the_nearest_name_is_suggested_and_a_far_one_is_not(void **state) {
    static const char *const names[] = { "hostname", "listen", "tls", "users", "user" };
    assert_string_equal(diag_did_you_mean(STR("hostnam"), names, 5), "hostname");
    assert_string_equal(diag_did_you_mean(STR("hsotnaem"), names, 5), "hostname");
    assert_string_equal(diag_did_you_mean(STR("usre"), names, 5), "user");
    assert_string_equal(diag_did_you_mean(STR("tsl"), names, 5), "tls");
    assert_null(diag_did_you_mean(STR("tzx"), names, 5));
    assert_string_equal(diag_did_you_mean(STR("lixtex"), names, 5), "listen");
    assert_null(diag_did_you_mean(STR("lixxex"), names, 5));
    assert_null(diag_did_you_mean(STR("hostname"), names, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_shows_place_line_and_caret),
        cmocka_unit_test(the_first_byte_and_the_end_of_the_file_are_places),
        cmocka_unit_test(a_message_without_place_is_about_the_file),
        cmocka_unit_test(control_characters_and_utf8_do_not_move_the_caret),
        cmocka_unit_test(a_long_line_is_cut_and_loses_the_caret_past_the_cut),
        cmocka_unit_test(past_the_maximum_errors_are_counted_and_said_once),
        cmocka_unit_test(the_nearest_name_is_suggested_and_a_far_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
