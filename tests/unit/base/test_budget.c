/* What parts may take of a whole. */
#include "base/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void taking_counts_in_all_and_is_refused_past_any_bound(void **state) {
    struct budget whole = { .max = 10 }, part = { .whole = &whole, .max = 6 };
    (void)state;
    assert_true(budget_take(&part, 6));
    assert_false(budget_take(&part, 1));
    assert_true(budget_take(&whole, 4));
    assert_false(budget_take(&whole, 1));
    budget_give(&part, 6);
    assert_int_equal(part.used, 0);
    assert_int_equal(whole.used, 4);
    assert_true(budget_take(NULL, UINT64_MAX));
    budget_give(NULL, UINT64_MAX);
    budget_give(&whole, 4);
}

static void a_shared_part_takes_no_more_than_is_left_for_others(void **state) {
    struct budget whole = { .max = 100 };
    struct budget a = { .whole = &whole, .max = UINT64_MAX, .is_shared = true }, b = a, c = a;
    (void)state;
    assert_false(budget_take(&a, 51));
    assert_true(budget_take(&a, 50));
    assert_false(budget_take(&a, 1));
    assert_true(budget_take(&b, 25));
    assert_false(budget_take(&b, 1));
    assert_true(budget_take(&c, 12));
    assert_false(budget_take(&c, 1));
    budget_give(&a, 50);
    assert_true(budget_take(&b, 6));
    assert_int_equal(whole.used, 43);
}

static void an_amount_past_all_numbers_is_refused(void **state) {
    struct budget whole = { .max = UINT64_MAX }, part = { .whole = &whole, .max = UINT64_MAX, .is_shared = true };
    (void)state;
    assert_true(budget_take(&part, UINT64_MAX / 2));
    assert_false(budget_take(&part, UINT64_MAX));
    assert_false(budget_take(&part, UINT64_MAX / 2 + 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taking_counts_in_all_and_is_refused_past_any_bound),
        cmocka_unit_test(a_shared_part_takes_no_more_than_is_left_for_others),
        cmocka_unit_test(an_amount_past_all_numbers_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
