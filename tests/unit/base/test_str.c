/* str: views, words, numbers and distances, at each bound and one past it. */
#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct str NOTHING = { NULL, 0 };

static void words_are_cut_at_blanks_until_an_empty_one(void **state) {
    struct str rest = STR(" MAIL \tFROM:<a@b>\r\n");
    assert_true(str_eq(str_word(&rest), STR("MAIL")));
    assert_true(str_eq(str_word(&rest), STR("FROM:<a@b>")));
    assert_true(str_is_empty(str_word(&rest)));
    rest = NOTHING;
    assert_true(str_is_empty(str_word(&rest)));
}

static void case_is_folded_in_ascii_only(void **state) {
    assert_true(str_eq_nocase(STR("Mx.Example"), STR("mX.eXAMPLE")));
    assert_false(str_eq_nocase(STR("[{@"), STR("{[`")));
    assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4")));
    assert_false(str_eq_nocase(STR("ab"), STR("abc")));
    assert_true(str_eq_nocase(NOTHING, STR("")));
}

static void prefixes_and_suffixes_may_be_the_whole_or_nothing(void **state) {
    assert_true(str_starts_nocase(STR("EHLO x"), STR("ehlo")));
    assert_true(str_starts_nocase(STR("EHLO"), STR("ehlo")));
    assert_false(str_starts_nocase(STR("EHL"), STR("ehlo")));
    assert_true(str_ends_nocase(STR("a.Example"), STR(".example")));
    assert_false(str_ends_nocase(STR("example"), STR(".example")));
    assert_true(str_starts_nocase(NOTHING, NOTHING));
    assert_true(str_ends_nocase(NOTHING, NOTHING));
}

static void a_byte_is_found_first_and_last(void **state) {
    assert_int_equal(str_find(STR("a@b@c"), '@'), 1);
    assert_int_equal(str_find_last(STR("a@b@c"), '@'), 3);
    assert_int_equal(str_find(STR("abc"), '@'), 3);
    assert_int_equal(str_find_last(STR("abc"), '@'), 3);
    assert_int_equal(str_find(NOTHING, '@'), 0);
    assert_int_equal(str_find_last(NOTHING, '@'), 0);
}

static void trimming_takes_blanks_off_both_ends(void **state) {
    assert_true(str_eq(str_trim(STR("\t a b \r\n")), STR("a b")));
    assert_true(str_is_empty(str_trim(STR(" \t\r\n"))));
    assert_true(str_is_empty(str_trim(NOTHING)));
}

static void the_rest_past_the_end_is_empty(void **state) {
    assert_true(str_eq(str_from(STR("abc"), 2), STR("c")));
    assert_true(str_is_empty(str_from(STR("abc"), 3)));
    assert_true(str_is_empty(str_from(STR("abc"), 99)));
    assert_true(str_eq(str_head(STR("abc"), 99), STR("abc")));
}

static void numbers_are_decimal_digits_up_to_the_maximum(void **state) {
    unsigned long long value = 7;
    assert_int_equal(str_to_u64(STR("0"), 0, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(str_to_u64(STR("00065535"), 65535, &value), 0);
    assert_int_equal(value, 65535);
    assert_int_equal(str_to_u64(STR("65536"), 65535, &value), -ERANGE);
    assert_int_equal(str_to_u64(STR("5"), 4, &value), -ERANGE);
    assert_int_equal(value, 65535);
    assert_int_equal(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &value), -ERANGE);
    assert_int_equal(str_to_u64(STR("99999999999999999999999999"), UINT64_MAX, &value), -ERANGE);
}

static void what_is_no_number_is_refused_whatever_the_maximum(void **state) {
    unsigned long long value;
    const struct str bad[] = { NOTHING,   STR(""),    STR("-1"), STR("+1"), STR(" 1"),
                               STR("1 "), STR("0x1"), STR("9x"), STR("1\0") };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(str_to_u64(bad[i], 8, &value), -EINVAL);
}

static void what_no_quoting_changes_is_counted_up_to_the_first_byte_that_one_does(void **state) {
    char text[40];
    for (size_t len = 0; len <= sizeof(text); len++) {
        memset(text, 'a', sizeof(text));
        assert_int_equal(str_plain_len((struct str){ text, len }), len);
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                bool is_plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
                text[at] = (char)byte;
                assert_int_equal(str_plain_len((struct str){ text, len }), is_plain ? len : at);
            }
            text[at] = at % 2 == 0 ? 'a' : '~';
        }
    }
    assert_int_equal(str_plain_len(NOTHING), 0);
}

static void a_character_of_utf8_has_one_to_four_bytes_or_is_none(void **state) {
    static const struct {
        struct str text;
        size_t len;
    } cases[] = {
        { STR_INIT("a\xc3"), 1 }, { STR_INIT("\xc3\xa9x"), 2 }, { STR_INIT("\xe2\x82\xac"), 3 },
        { STR_INIT("\xf0\x9f\x93\xa7"), 4 }, { STR_INIT("\xf4\x8f\xbf\xbf"), 4 },
        { STR_INIT(""), 0 }, { STR_INIT("\x80"), 0 }, { STR_INIT("\xc3"), 0 }, { STR_INIT("\xc3("), 0 },
        { STR_INIT("\xc1\xa1"), 0 }, { STR_INIT("\xe0\x9f\xbf"), 0 }, { STR_INIT("\xed\xa0\x80"), 0 },
        { STR_INIT("\xf0\x8f\xbf\xbf"), 0 }, { STR_INIT("\xf4\x90\x80\x80"), 0 }, { STR_INIT("\xf5\x80\x80\x80"), 0 },
        { STR_INIT("\xe2\x82"), 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(str_utf8_len(cases[i].text), cases[i].len);
}

static void spans_are_numbers_with_a_unit(void **state) {
    static const struct {
        struct str text;
        int expected;
        unsigned long long seconds;
    } rows[] = {
        { STR_INIT("90s"), 0, 90 },       { STR_INIT("30m"), 0, 1800 },         { STR_INIT("12h"), 0, 43200 },
        { STR_INIT("7d"), 0, 604800 },    { STR_INIT("0s"), 0, 0 },             { STR_INIT("7d1s"), -EINVAL, 0 },
        { STR_INIT("8d"), -ERANGE, 0 },   { STR_INIT("604801s"), -ERANGE, 0 },  { STR_INIT("168h"), 0, 604800 },
        { STR_INIT("s"), -EINVAL, 0 },    { STR_INIT("5"), -EINVAL, 0 },        { STR_INIT("5w"), -EINVAL, 0 },
        { STR_INIT("5M"), -EINVAL, 0 },   { STR_INIT("-5m"), -EINVAL, 0 },      { STR_INIT("5 m"), -EINVAL, 0 },
        { STR_INIT(""), -EINVAL, 0 },     { STR_INIT("99999999999999999999d"), -ERANGE, 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned long long seconds = 0;
        assert_int_equal(str_to_span(rows[i].text, 604800, &seconds), rows[i].expected);
        assert_int_equal(seconds, rows[i].seconds);
    }
    assert_int_equal(str_to_span(NOTHING, 1, &(unsigned long long){ 0 }), -EINVAL);
}

static void numbers_are_written_in_decimal(void **state) {
    char digits[U64_DIGITS_MAX];
    assert_true(str_eq(str_of_u64(0, digits), STR("0")));
    assert_true(str_eq(str_of_u64(10, digits), STR("10")));
    assert_true(str_eq(str_of_u64(UINT64_MAX, digits), STR("18446744073709551615")));
}

static void order_is_that_of_bytes_and_a_beginning_comes_first(void **state) {
    static const struct str sorted[] = { STR_INIT(""), STR_INIT("A"), STR_INIT("a"), STR_INIT("a\0"), STR_INIT("aa"),
                                         STR_INIT("b"), STR_INIT("\xff") };
    for (size_t i = 0; i < sizeof(sorted) / sizeof(sorted[0]); i++) {
        for (size_t k = 0; k < sizeof(sorted) / sizeof(sorted[0]); k++) {
            int order = str_compare(sorted[i], sorted[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    }
    assert_int_equal(str_compare(NOTHING, STR("")), 0);
}

static void distance_counts_typing_errors(void **state) {
    assert_int_equal(str_distance(STR("hostname"), STR("HOSTNAME")), 0);
    assert_int_equal(str_distance(STR("hostnam"), STR("hostname")), 1);
    assert_int_equal(str_distance(STR("hostnmae"), STR("hostname")), 1);
    assert_int_equal(str_distance(STR("abc"), STR("xyz")), 3);
    assert_int_equal(str_distance(NOTHING, STR("abc")), 3);
    assert_int_equal(str_distance(NOTHING, NOTHING), 0);
}

static void distance_gives_up_past_64_bytes(void **state) {
    char text[65];
    memset(text, 'a', sizeof(text));
    assert_int_equal(str_distance((struct str){ text, 64 }, (struct str){ text, 63 }), 1);
    assert_true(str_distance((struct str){ text, 65 }, STR("a")) == SIZE_MAX);
    assert_true(str_distance(STR("a"), (struct str){ text, 65 }) == SIZE_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_cut_at_blanks_until_an_empty_one),
        cmocka_unit_test(case_is_folded_in_ascii_only),
        cmocka_unit_test(prefixes_and_suffixes_may_be_the_whole_or_nothing),
        cmocka_unit_test(a_byte_is_found_first_and_last),
        cmocka_unit_test(trimming_takes_blanks_off_both_ends),
        cmocka_unit_test(the_rest_past_the_end_is_empty),
        cmocka_unit_test(numbers_are_decimal_digits_up_to_the_maximum),
        cmocka_unit_test(what_is_no_number_is_refused_whatever_the_maximum),
        cmocka_unit_test(what_no_quoting_changes_is_counted_up_to_the_first_byte_that_one_does),
        cmocka_unit_test(a_character_of_utf8_has_one_to_four_bytes_or_is_none),
        cmocka_unit_test(spans_are_numbers_with_a_unit),
        cmocka_unit_test(numbers_are_written_in_decimal),
        cmocka_unit_test(order_is_that_of_bytes_and_a_beginning_comes_first),
        cmocka_unit_test(distance_counts_typing_errors),
        cmocka_unit_test(distance_gives_up_past_64_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
