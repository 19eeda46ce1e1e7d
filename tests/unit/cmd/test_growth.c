/* How much a number grew within the last hour, by a clock that the test moves. */
#include "cmd/growth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MINUTE = 60000 };

static void one_value_tells_nothing(void **state) {
    struct growth growth = { 0 };
    assert_int_equal(growth_of(&growth), 0);
    growth_note(&growth, 1000000, 5);
    assert_int_equal(growth_of(&growth), 0);
}

static void what_came_since_the_first_value_counts_at_once(void **state) {
    struct growth growth = { 0 };
    growth_note(&growth, 100, 5);
    growth_note(&growth, 130, 5005);
    assert_int_equal(growth_of(&growth), 30);
    growth_note(&growth, 90, 10005);
    assert_int_equal(growth_of(&growth), -10);
}

static void after_an_hour_the_oldest_value_is_forgotten(void **state) {
    struct growth growth = { 0 };
    for (uint64_t minute = 0; minute < 500; minute++)
        growth_note(&growth, minute < 100 ? 1000 * minute : 100000 + minute, minute * MINUTE);
    assert_int_equal(growth_of(&growth), 59);
}

static void the_last_minute_counts_with_the_one_under_way(void **state) {
    struct growth growth = { 0 };
    assert_int_equal(growth_of_minute(&growth), 0);
    for (uint64_t minute = 0; minute < 500; minute++)
        growth_note(&growth, 10 * minute, minute * MINUTE);
    assert_int_equal(growth_of_minute(&growth), 10);
    growth_note(&growth, 4997, 499 * MINUTE + 30000);
    assert_int_equal(growth_of_minute(&growth), 17);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_value_tells_nothing),
        cmocka_unit_test(the_last_minute_counts_with_the_one_under_way),
        cmocka_unit_test(what_came_since_the_first_value_counts_at_once),
        cmocka_unit_test(after_an_hour_the_oldest_value_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
