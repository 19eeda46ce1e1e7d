/* What a client did lately: windows, several of them, and the bound on clients. */
#include "facts/rate.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECONDS UINT64_C(1000)
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)

enum { A = 7, B = 8 }; /* clients */

static struct policy *policy_of(const char *condition) {
    static const struct policy_environment environment = { 0 };
    char text[512];
    struct diag_list diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    snprintf(text, sizeof(text), "layer connection { defer \"RATE\" when %s }", condition);
    if (policy_load("policy", str_of(text), &environment, &diag, &policy) < 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    return policy;
}

static struct rates *rates_of(const char *condition, size_t bytes_max) {
    struct policy *policy = policy_of(condition);
    struct rates *rates = NULL;
    hash_init();
    assert_int_equal(rates_new(policy, bytes_max, &rates), 0);
    policy_free(policy); /* nothing of it is borrowed */
    return rates;
}

static void a_policy_without_rates_counts_nothing(void **state) {
    struct rates *rates = rates_of("client.connections > 20 and client.early_talker", RATE_BYTES_MAX);
    assert_null(rates);
    rates_count(rates, A, RATE_CONNECTIONS, 1 * HOURS);
    assert_int_equal(rates_value(rates, A, RATE_CONNECTIONS, 600, 1 * HOURS), 0);
    assert_int_equal(rates_clients(rates), 0);
    rates_free(rates);
}

static void what_no_rule_asks_about_makes_no_client(void **state) {
    struct rates *rates = rates_of("client.rate(unknown, 10m) > 20", RATE_BYTES_MAX);
    rates_count(rates, A, RATE_RECIPIENTS, 1 * HOURS);
    assert_int_equal(rates_clients(rates), 0);
    rates_count(rates, A, RATE_UNKNOWN, 1 * HOURS);
    assert_int_equal(rates_clients(rates), 1);
    assert_int_equal(rates_value(rates, A, RATE_UNKNOWN, 600, 1 * HOURS), 1);
    assert_int_equal(rates_value(rates, A, RATE_RECIPIENTS, 600, 1 * HOURS), 0);
    assert_int_equal(rates_value(rates, A, RATE_UNKNOWN, 60, 1 * HOURS), 0);
    rates_free(rates);
}

static void clients_are_counted_apart(void **state) {
    struct rates *rates = rates_of("client.rate(messages, 1m) > 3", RATE_BYTES_MAX);
    for (int i = 0; i < 5; i++)
        rates_count(rates, A, RATE_MESSAGES, 1 * HOURS);
    rates_count(rates, B, RATE_MESSAGES, 1 * HOURS);
    assert_int_equal(rates_value(rates, A, RATE_MESSAGES, 60, 1 * HOURS), 5);
    assert_int_equal(rates_value(rates, B, RATE_MESSAGES, 60, 1 * HOURS), 1);
    assert_int_equal(rates_value(rates, 9, RATE_MESSAGES, 60, 1 * HOURS), 0);
    rates_free(rates);
}

static void an_event_stays_for_the_window_and_at_most_one_part_longer(void **state) {
    struct rates *rates = rates_of("client.rate(connections, 15s) > 3", RATE_BYTES_MAX);
    const uint64_t at = 1 * HOURS + 999; /* at the end of a part of one second */
    rates_count(rates, A, RATE_CONNECTIONS, at);
    assert_int_equal(rates_value(rates, A, RATE_CONNECTIONS, 15, at), 1);
    assert_int_equal(rates_value(rates, A, RATE_CONNECTIONS, 15, at + 15 * SECONDS), 1);
    assert_int_equal(rates_value(rates, A, RATE_CONNECTIONS, 15, at + 16 * SECONDS), 0);
    rates_free(rates);
}

static void windows_of_one_policy_do_not_disturb_each_other(void **state) {
    struct rates *rates = rates_of("client.rate(unknown, 1s) > 1 or client.rate(unknown, 10m) > 2 or "
                                   "client.rate(unknown, 1d) > 3 or client.rate(recipients, 10m) > 4", RATE_BYTES_MAX);
    const uint64_t now = 100 * HOURS;
    rates_count(rates, A, RATE_UNKNOWN, now - 2 * HOURS);
    rates_count(rates, A, RATE_UNKNOWN, now - 5 * MINUTES);
    rates_count(rates, A, RATE_RECIPIENTS, now - 5 * MINUTES);
    rates_count(rates, A, RATE_UNKNOWN, now);
    assert_int_equal(rates_value(rates, A, RATE_UNKNOWN, 1, now), 1);
    assert_int_equal(rates_value(rates, A, RATE_UNKNOWN, 600, now), 2);
    assert_int_equal(rates_value(rates, A, RATE_UNKNOWN, 86400, now), 3);
    assert_int_equal(rates_value(rates, A, RATE_RECIPIENTS, 600, now), 1);
    rates_free(rates);
}

/* Against all events kept: never fewer than the window's, never more than those of a window one part longer. */
static void the_error_is_one_part_of_the_window(void **state) {
    enum { N = 20000, WINDOW_S = 600 };
    const uint64_t window_ms = WINDOW_S * SECONDS, part_ms = window_ms / RATE_PARTS;
    struct rates *rates = rates_of("client.rate(recipients, 10m) > 3", RATE_BYTES_MAX);
    uint64_t *times = calloc(N, sizeof(*times));
    uint64_t now = 1 * HOURS;
    size_t oldest = 0, oldest_longer = 0;
    assert_non_null(times);
    srand(1);
    for (size_t n = 0; n < N; n++) {
        now += (uint64_t)(rand() % 100 == 0 ? rand() % 700000 : rand() % 900); /* bursts, and silence */
        times[n] = now;
        rates_count(rates, A, RATE_RECIPIENTS, now);
        while (times[oldest] + window_ms < now)
            oldest++;
        while (times[oldest_longer] + window_ms + part_ms < now)
            oldest_longer++;
        uint64_t value = rates_value(rates, A, RATE_RECIPIENTS, WINDOW_S, now);
        assert_in_range(value, n + 1 - oldest, n + 1 - oldest_longer);
    }
    free(times);
    rates_free(rates);
}

static void at_the_bound_the_one_heard_of_longest_ago_gives_way(void **state) {
    struct rates *rates = rates_of("client.rate(connections, 1h) > 3", 4096);
    const uint64_t now = 10 * HOURS;
    size_t max = rates_clients_max(rates);
    assert_in_range(max, 2, 4096 / 64);
    for (uint64_t key = 0; key < max; key++)
        rates_count(rates, key, RATE_CONNECTIONS, now);
    assert_int_equal(rates_clients(rates), max);
    rates_count(rates, 0, RATE_CONNECTIONS, now); /* heard of again: not the oldest any more */
    rates_count(rates, max, RATE_CONNECTIONS, now);
    assert_int_equal(rates_clients(rates), max);
    assert_int_equal(rates_value(rates, 0, RATE_CONNECTIONS, 3600, now), 2);
    assert_int_equal(rates_value(rates, 1, RATE_CONNECTIONS, 3600, now), 0);
    assert_int_equal(rates_value(rates, 2, RATE_CONNECTIONS, 3600, now), 1);
    assert_int_equal(rates_value(rates, max, RATE_CONNECTIONS, 3600, now), 1);
    rates_free(rates);
}

static void clients_whose_windows_are_over_are_forgotten_as_others_come(void **state) {
    struct rates *rates = rates_of("client.rate(connections, 1m) > 3", RATE_BYTES_MAX);
    for (uint64_t key = 0; key < 100; key++)
        rates_count(rates, key, RATE_CONNECTIONS, 1 * HOURS);
    for (uint64_t key = 100; key < 150; key++)
        rates_count(rates, key, RATE_CONNECTIONS, 2 * HOURS);
    assert_int_equal(rates_clients(rates), 50);
    rates_free(rates);
}

static void a_window_of_a_second_and_one_of_a_week_hold_what_they_say(void **state) {
    struct rates *rates = rates_of("client.rate(messages, 1s) > 3 or client.rate(messages, 7d) > 3", RATE_BYTES_MAX);
    const uint64_t now = 1000 * HOURS;
    rates_count(rates, A, RATE_MESSAGES, now);
    assert_int_equal(rates_value(rates, A, RATE_MESSAGES, 1, now + 1 * SECONDS), 1);
    assert_int_equal(rates_value(rates, A, RATE_MESSAGES, 1, now + 1100), 0);
    assert_int_equal(rates_value(rates, A, RATE_MESSAGES, 7 * 86400, now + 167 * HOURS), 1);
    assert_int_equal(rates_value(rates, A, RATE_MESSAGES, 7 * 86400, now + 180 * HOURS), 0);
    rates_free(rates);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_without_rates_counts_nothing),
        cmocka_unit_test(what_no_rule_asks_about_makes_no_client),
        cmocka_unit_test(clients_are_counted_apart),
        cmocka_unit_test(an_event_stays_for_the_window_and_at_most_one_part_longer),
        cmocka_unit_test(windows_of_one_policy_do_not_disturb_each_other),
        cmocka_unit_test(the_error_is_one_part_of_the_window),
        cmocka_unit_test(at_the_bound_the_one_heard_of_longest_ago_gives_way),
        cmocka_unit_test(clients_whose_windows_are_over_are_forgotten_as_others_come),
        cmocka_unit_test(a_window_of_a_second_and_one_of_a_week_hold_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
