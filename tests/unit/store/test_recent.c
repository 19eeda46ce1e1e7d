/* Rows read last: what is found again, and what is forgotten. */
#include "store/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static int set_up(void **state) {
    *state = calloc(1, sizeof(struct recent));
    return *state == NULL;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

static void keep(struct recent *recent, int64_t key, int64_t last) {
    recent_keep(recent, &(struct row){ .key = key, .last = last }, true);
}

static void expect(const struct recent *recent, int64_t key, int64_t last) {
    struct row row = { .key = key };
    bool has;
    assert_true(recent_find(recent, &row, &has));
    assert_true(has && row.key == key && row.last == last);
}

static void expect_unknown(const struct recent *recent, int64_t key) {
    struct row row = { .key = key };
    bool has;
    assert_false(recent_find(recent, &row, &has));
}

static void test_nothing_is_known_at_first(void **state) {
    for (int64_t key = -3; key <= 3; key++) /* 0 too: it is the key of places never used */
        expect_unknown(*state, key);
    expect_unknown(*state, INT64_MIN);
    expect_unknown(*state, INT64_MAX);
}

static void test_what_was_kept_is_found_as_it_was_kept_last(void **state) {
    static const int64_t keys[] = { 0, -1, 1, INT64_MIN + 2, INT64_MAX - 3 };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        keep(*state, keys[i], 1);
        keep(*state, keys[i], 2 + (int64_t)i);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        expect(*state, keys[i], 2 + (int64_t)i);
}

static void test_that_there_is_no_row_is_kept_and_fills_in_nothing(void **state) {
    struct row row = { .key = 5, .passes = 7 };
    bool has = true;
    recent_keep(*state, &(struct row){ .key = 5, .passes = 1 }, false);
    assert_true(recent_find(*state, &row, &has));
    assert_false(has);
    assert_int_equal(row.passes, 7);
    keep(*state, 5, 9);
    expect(*state, 5, 9);
}

static void test_in_a_full_set_who_was_kept_longest_ago_gives_way(void **state) {
    enum { N = RECENT_WAYS };
    for (int64_t i = 0; i < N; i++)
        keep(*state, 5 + i * RECENT_SETS, i);
    keep(*state, 5, 100);
    for (int64_t i = 0; i < N; i++)
        expect(*state, 5 + i * RECENT_SETS, i == 0 ? 100 : i);
    keep(*state, 5 + N * RECENT_SETS, N);
    expect_unknown(*state, 5 + RECENT_SETS);
    recent_forget(*state, 5 + RECENT_SETS); /* which is not there */
    for (int64_t i = 2; i <= N; i++)
        expect(*state, 5 + i * RECENT_SETS, i);
    expect(*state, 5, 100);
    recent_forget(*state, 5);
    expect_unknown(*state, 5);
    for (int64_t i = 2; i <= N; i++)
        expect(*state, 5 + i * RECENT_SETS, i);
}

static void test_one_is_forgotten_and_the_others_are_not(void **state) {
    keep(*state, 5, 1);
    keep(*state, 6, 2);
    recent_forget(*state, 5);
    expect_unknown(*state, 5);
    expect(*state, 6, 2);
}

static void test_all_are_forgotten_even_when_rounds_begin_anew(void **state) {
    struct recent *recent = *state;
    keep(recent, 5, 1); /* in the first round of all, which comes again */
    recent_forget_all(recent);
    expect_unknown(recent, 5);
    recent->n_forgotten = UINT32_MAX - 2;
    keep(recent, 6, 2);
    expect(recent, 6, 2);
    for (int i = 0; i < 3; i++) {
        recent_forget_all(recent);
        expect_unknown(recent, 5);
        expect_unknown(recent, 6);
    }
    keep(recent, 6, 3);
    expect(recent, 6, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_nothing_is_known_at_first),
        TEST(test_what_was_kept_is_found_as_it_was_kept_last),
        TEST(test_that_there_is_no_row_is_kept_and_fills_in_nothing),
        TEST(test_in_a_full_set_who_was_kept_longest_ago_gives_way),
        TEST(test_one_is_forgotten_and_the_others_are_not),
        TEST(test_all_are_forgotten_even_when_rounds_begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
