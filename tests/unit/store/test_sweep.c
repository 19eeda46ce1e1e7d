/*
 * Ranges of keys: that they follow each other without a gap, all the way round, whatever their width does.
 */
#include "store/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void ranges_follow_each_other_all_the_way_round(void **state) {
    struct sweep sweep;
    sweep_init(&sweep, 12345);
    const uint64_t start = (uint64_t)sweep.from;
    uint64_t reached = (uint64_t)sweep.to - start; /* all from the start up to here has been looked through */
    for (unsigned i = 0; reached < UINT64_MAX; i++) {
        sweep_next(&sweep, true, i % 7 < 3 ? 0 : i % 7 < 5 ? 5000 : 20000);
        assert_true(sweep.from <= sweep.to); /* none goes over the end of the keys */
        assert_true((uint64_t)sweep.from - start <= reached + 1);
        assert_true((uint64_t)sweep.to - start > reached);
        reached = (uint64_t)sweep.to - start;
    }
    sweep_next(&sweep, true, 5000);
    assert_int_equal((uint64_t)sweep.from, start);
}

static void a_range_that_failed_is_tried_again_as_a_smaller_one(void **state) {
    struct sweep sweep;
    sweep_init(&sweep, (uint64_t)1 << 60);
    struct sweep before = sweep;
    sweep_next(&sweep, false, 0);
    assert_int_equal(sweep.from, before.from);
    assert_true(sweep.to < before.to);
    for (unsigned i = 0; i < 100; i++)
        sweep_next(&sweep, false, 0);
    assert_int_equal(sweep.from, before.from);
    assert_true(sweep.to > sweep.from);
}

static void the_width_goes_by_the_time_it_took(void **state) {
    struct sweep sweep;
    sweep_init(&sweep, 0);
    unsigned bits = sweep.bits;
    sweep_next(&sweep, true, 5000);
    assert_int_equal(sweep.bits, bits);
    sweep_next(&sweep, true, 20000);
    assert_int_equal(sweep.bits, bits - 1);
    for (unsigned i = 0; i < 100; i++)
        sweep_next(&sweep, true, 0);
    assert_true(sweep.bits > bits && sweep.bits < 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_follow_each_other_all_the_way_round),
        cmocka_unit_test(a_range_that_failed_is_tried_again_as_a_smaller_one),
        cmocka_unit_test(the_width_goes_by_the_time_it_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
