/* Recipients that a mailbox server does not know. */
#include "session/refusals.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEEP_MS = 1000 };

static const struct smtp_reply no_such_user = { 550, "5.1.1", STR_INIT("No such user") };

static int setup(void **state) {
    struct refusals *refusals;
    hash_init();
    assert_int_equal(refusals_new(KEEP_MS, &refusals), 0);
    *state = refusals;
    return 0;
}

static int teardown(void **state) {
    refusals_free(*state);
    return 0;
}

static void a_refusal_is_found_for_its_group_and_address_until_its_time_is_over(void **state) {
    struct refusals *refusals = *state;
    struct smtp_reply reply;
    refusals_note(refusals, 1, STR("a@example.com"), &no_such_user, 100);
    assert_true(refusals_find(refusals, 1, STR("a@example.com"), 100 + KEEP_MS - 1, &reply));
    assert_int_equal(reply.code, 550);
    assert_string_equal(reply.enhanced, "5.1.1");
    assert_true(str_eq(reply.text, STR("No such user")));
    assert_false(refusals_find(refusals, 1, STR("a@example.com"), 100 + KEEP_MS, &reply));
    assert_false(refusals_find(refusals, 2, STR("a@example.com"), 100, &reply));
    assert_false(refusals_find(refusals, 1, STR("b@example.com"), 100, &reply));
    assert_false(refusals_find(refusals, 1, STR("a@example.co"), 100, &reply));
}

static void only_no_such_user_is_remembered(void **state) {
    static const struct smtp_reply others[] = {
        { 550, "5.7.1", STR_INIT("Sender rejected") }, { 550, NULL, STR_INIT("No") },
        { 450, "4.1.1", STR_INIT("Later") },           { 553, "5.1.1", STR_INIT("No") },
        { 550, "5.2.2", STR_INIT("Mailbox full") },
    };
    struct refusals *refusals = *state;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        refusals_note(refusals, 1, STR("a@example.com"), &others[i], 1);
    assert_int_equal(refusals_count(refusals), 0);
}

static void the_oldest_give_way_at_the_bound(void **state) {
    struct refusals *refusals = *state;
    struct smtp_reply reply;
    char address[32];
    for (unsigned i = 0; i <= REFUSALS_MAX; i++) {
        snprintf(address, sizeof(address), "%u@example.com", i);
        refusals_note(refusals, 1, str_of(address), &no_such_user, 1);
    }
    assert_int_equal(refusals_count(refusals), REFUSALS_MAX);
    assert_false(refusals_find(refusals, 1, STR("0@example.com"), 1, &reply));
    assert_true(refusals_find(refusals, 1, STR("1@example.com"), 1, &reply));
    refusals_note(refusals, 1, STR("x@example.com"), &no_such_user, 1 + KEEP_MS); /* all others are over */
    assert_int_equal(refusals_count(refusals), 1);
}

static void one_that_is_noted_again_stands_once(void **state) {
    struct refusals *refusals = *state;
    struct smtp_reply reply;
    refusals_note(refusals, 1, STR("a@example.com"), &no_such_user, 1);
    refusals_note(refusals, 1, STR("a@example.com"), &no_such_user, 500);
    assert_int_equal(refusals_count(refusals), 1);
    assert_true(refusals_find(refusals, 1, STR("a@example.com"), 1 + KEEP_MS, &reply));
}

static void texts_that_are_too_long_are_not_remembered(void **state) {
    static char address[2000];
    struct refusals *refusals = *state;
    struct smtp_reply reply;
    memset(address, 'x', sizeof(address));
    refusals_note(refusals, 1, (struct str){ address, sizeof(address) }, &no_such_user, 1);
    assert_int_equal(refusals_count(refusals), 0);
    assert_false(refusals_find(refusals, 1, (struct str){ address, sizeof(address) }, 1, &reply));
}

static void with_no_time_nothing_is_remembered(void **state) {
    struct refusals *refusals;
    (void)state;
    assert_int_equal(refusals_new(0, &refusals), 0);
    refusals_note(refusals, 1, STR("a@example.com"), &no_such_user, 1);
    assert_int_equal(refusals_count(refusals), 0);
    refusals_free(refusals);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_refusal_is_found_for_its_group_and_address_until_its_time_is_over),
        TEST(only_no_such_user_is_remembered),
        TEST(the_oldest_give_way_at_the_bound),
        TEST(one_that_is_noted_again_stands_once),
        TEST(texts_that_are_too_long_are_not_remembered),
        TEST(with_no_time_nothing_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
