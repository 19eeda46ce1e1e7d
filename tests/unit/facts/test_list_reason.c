/*
 * What lists say about a listing, in words that fit into a reply.
 */
#include "facts/list_reason.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct conf_block_list lists[] = { { .zone = "a.example" }, { .zone = "b.example" }, { .zone = "c.example" } };
static const struct conf conf = { .block_lists = lists, .n_block_lists = 3 };

static void assert_taken(const char *said, const char *key, const char *expected) {
    struct list_reason reason = { 0 };
    assert_int_equal(list_reason_take(&reason, 2, key, str_of(said)), expected[0] != '\0');
    assert_int_equal(reason.list, 2);
    if (!str_eq((struct str){ reason.text, reason.len }, str_of(expected)))
        fail_msg("'%.*s' is not '%s'", reason.len, reason.text, expected);
}

static void words_are_cleaned_to_printable_ascii(void **state) {
    assert_taken("Listed, see http://a.example/?1.2.3.4", NULL, "Listed, see http://a.example/?1.2.3.4");
    assert_taken("  a\r\n250 ok\t\x7f b ", NULL, "a 250 ok b");
    assert_taken("gr\xc3\xbc\xc3\x9f dich", NULL, "gr???? dich");
    assert_taken("", NULL, "");
    assert_taken(" \r\n ", NULL, "");
}

static void the_key_is_taken_out_wherever_it_stands(void **state) {
    assert_taken("see http://K3y.a.example/?1 (k3y)", "k3y", "see http://a.example/?1 ()");
    assert_taken("k3k3yy k3y", "k3y", "");
    assert_taken("k3k3y.y k3y", "k3y", "");
    assert_taken("x.one.two.a.example", "one.two", "x.a.example");
}

static void long_words_are_cut_between_words(void **state) {
    char said[400], expected[400];
    memset(said, 'x', 100);
    memset(said + 100, ' ', 1);
    memset(said + 101, 'y', 90);
    said[191] = '\0';
    memset(expected, 'x', 100);
    strcpy(expected + 100, "...");
    assert_taken(said, NULL, expected);
    said[100] = 'x'; /* a link longer than any reply */
    assert_taken(said, NULL, "");
}

static void a_key_is_no_longer_there_when_its_end_is_cut_off(void **state) {
    char said[300];
    memset(said, 'x', sizeof(said));
    memcpy(said + 150, " secret-secret ", 15);
    said[299] = '\0';
    struct list_reason reason = { 0 };
    assert_true(list_reason_take(&reason, 0, "secret-secret", str_of(said)));
    assert_null(memmem(reason.text, reason.len, "secret", 6));
}

static void assert_formatted(uint64_t which, const struct list_reason *reasons, size_t n, const char *expected) {
    char out[LIST_REASONS_MAX];
    struct str text = list_reasons_format(&conf, which, reasons, n, out);
    if (!str_eq(text, str_of(expected)))
        fail_msg("'%.*s' is not '%s'", STR_ARG(text), expected);
}

static void zones_stand_with_their_reasons(void **state) {
    struct list_reason reasons[2] = { 0 };
    assert_formatted(5, reasons, 0, "a.example, c.example");
    assert_true(list_reason_take(&reasons[0], 2, NULL, STR("see c")));
    assert_true(list_reason_take(&reasons[1], 0, NULL, STR("see a")));
    assert_formatted(7, reasons, 2, "a.example (see a), b.example, c.example (see c)");
    assert_formatted(4, reasons, 2, "c.example (see c)");
    assert_formatted(0, reasons, 2, "");
}

static void every_zone_stands_there_however_long_the_reasons_are(void **state) {
    struct list_reason reasons[2] = { 0 };
    char said[LIST_REASON_MAX + 1], out[LIST_REASONS_MAX];
    for (size_t i = 0; i < LIST_REASON_MAX; i++)
        said[i] = i % 5 == 4 ? ' ' : 'x';
    said[LIST_REASON_MAX - 1] = 'x';
    said[LIST_REASON_MAX] = '\0';
    for (uint8_t i = 0; i < 2; i++)
        assert_true(list_reason_take(&reasons[i], i, NULL, str_of(said)));
    struct str text = list_reasons_format(&conf, 7, reasons, 2, out);
    assert_true(text.len > LIST_REASONS_MAX - 20);
    assert_non_null(memmem(text.at, text.len, ", b.example (xxxx", 17));
    assert_non_null(memmem(text.at, text.len, "xxxx...), c.example", 19));
}

static void words_that_have_no_room_are_left_out(void **state) {
    struct list_reason reason = { 0 };
    char zone[LIST_REASONS_MAX - 4];
    memset(zone, 'z', sizeof(zone));
    zone[sizeof(zone) - 1] = '\0';
    lists[1].zone = zone;
    assert_true(list_reason_take(&reason, 1, NULL, STR("see b")));
    assert_formatted(2, &reason, 1, zone);
    assert_formatted(7, &reason, 1, "a.example, c.example");
    lists[1].zone = "b.example";
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_cleaned_to_printable_ascii),
        cmocka_unit_test(the_key_is_taken_out_wherever_it_stands),
        cmocka_unit_test(long_words_are_cut_between_words),
        cmocka_unit_test(a_key_is_no_longer_there_when_its_end_is_cut_off),
        cmocka_unit_test(zones_stand_with_their_reasons),
        cmocka_unit_test(every_zone_stands_there_however_long_the_reasons_are),
        cmocka_unit_test(words_that_have_no_room_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
