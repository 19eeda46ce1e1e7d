/* Who has sent mail through here lately? */
#include "session/history.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DAYS (UINT64_C(86400) * 1000)

static int setup(void **state) {
    struct history *history;
    hash_init();
    assert_int_equal(history_new(&history), 0);
    *state = history;
    return 0;
}

static int teardown(void **state) {
    history_free(*state);
    return 0;
}

static void a_client_is_known_from_its_first_mail_until_its_time_is_over(void **state) {
    struct history *history = *state;
    const uint64_t now = 5 * DAYS;
    assert_false(history_knows(history, 7, 36 * DAYS, now));
    history_note(history, 7, now);
    assert_true(history_knows(history, 7, 36 * DAYS, now));
    assert_true(history_knows(history, 7, 36 * DAYS, now + 36 * DAYS));
    assert_false(history_knows(history, 7, 36 * DAYS, now + 36 * DAYS + 1000));
    assert_false(history_knows(history, 8, 36 * DAYS, now));
}

static void each_mail_prolongs_it(void **state) {
    struct history *history = *state;
    history_note(history, 7, 1 * DAYS);
    history_note(history, 7, 30 * DAYS);
    assert_true(history_knows(history, 7, 36 * DAYS, 60 * DAYS));
}

static void whose_time_is_nothing_is_known_within_the_second(void **state) {
    struct history *history = *state;
    history_note(history, 7, 1 * DAYS);
    assert_false(history_knows(history, 7, 0, 1 * DAYS + 1000));
}

static void a_host_that_has_just_started_knows_nobody(void **state) {
    struct history *history = *state;
    for (uint64_t client = 0; client < 1000; client++)
        assert_false(history_knows(history, client, 36 * DAYS, 0));
}

/* Far more clients than there is room for: the table stays whole, and the newest are in it. */
static void past_the_bound_the_newest_are_known(void **state) {
    enum { N = 4 * HISTORY_CLIENTS_MAX, NEWEST = HISTORY_CLIENTS_MAX / 8 };
    struct history *history = *state;
    unsigned n_old = 0, n_new = 0;
    for (uint64_t i = 0; i < N; i++)
        history_note(history, i, i * 1000);
    for (uint64_t i = 0; i < NEWEST; i++) {
        n_old += history_knows(history, i, 36 * DAYS, N * 1000);
        n_new += history_knows(history, N - 1 - i, 36 * DAYS, N * 1000);
    }
    assert_true(n_old < NEWEST / 100);
    assert_true(n_new > NEWEST / 1000 * 999);
}

static void what_a_worker_notes_outlives_it(void **state) {
    struct history *history = *state;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        history_note(history, 7, 1 * DAYS);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(history_knows(history, 7, 36 * DAYS, 2 * DAYS));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_client_is_known_from_its_first_mail_until_its_time_is_over),
        TEST(each_mail_prolongs_it),
        TEST(whose_time_is_nothing_is_known_within_the_second),
        TEST(a_host_that_has_just_started_knows_nobody),
        TEST(past_the_bound_the_newest_are_known),
        TEST(what_a_worker_notes_outlives_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
