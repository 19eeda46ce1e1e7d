/* Which networks are crowded: each counts for itself, in memory that does not grow, for a period. */
#include "store_test.h"

#include "store/bound.h"

enum { MAX = 100, PERIOD_S = 172800 };

static struct bound *bound_for_test(void) {
    struct bound *bound = calloc(1, sizeof(*bound));
    assert_non_null(bound);
    bound_init(bound);
    bound_set(bound, MAX, PERIOD_S);
    bound_tick(bound, 1000);
    return bound;
}

static struct greylist_question from(const char *identity) {
    return (struct greylist_question){ .identities = { str_of(identity) }, .n_identities = 1 };
}

/* Returns how often it said that the network is crowded from now on. */
static unsigned add(struct bound *bound, const char *identity, unsigned n) {
    const struct greylist_question question = from(identity);
    unsigned told = 0;
    for (unsigned i = 0; i < n; i++)
        told += bound_add(bound, &question);
    return told;
}

static bool is_crowded(const struct bound *bound, const char *identity) {
    const struct greylist_question question = from(identity);
    return bound_is_crowded(bound, &question);
}

static void a_network_is_crowded_at_its_bound_and_not_before(void **state) {
    struct bound *bound = bound_for_test();
    assert_int_equal(add(bound, "ip:192.0.2.1", MAX / 2), 0);
    assert_int_equal(add(bound, "ip:192.0.2.99", MAX / 2 - 1), 0); /* addresses of a network count together */
    assert_false(is_crowded(bound, "ip:192.0.2.5"));
    assert_int_equal(add(bound, "ip:192.0.2.1", 1), 1);
    assert_true(is_crowded(bound, "ip:192.0.2.5"));
    assert_int_equal(add(bound, "ip:192.0.2.1", 10), 0); /* it was told */
    assert_false(is_crowded(bound, "ip:192.0.3.5"));
    free(bound);
}

static void an_ipv6_network_is_a_64_and_16_of_them_fill_a_48(void **state) {
    struct bound *bound = bound_for_test();
    char identity[64];
    for (unsigned i = 0; i < BOUND_WIDE; i++) {
        snprintf(identity, sizeof(identity), "ip:2001:db8:7:%x::/64", i + 1);
        assert_false(is_crowded(bound, identity));
        add(bound, identity, MAX);
        assert_true(is_crowded(bound, identity));
    }
    assert_true(is_crowded(bound, "ip:2001:db8:7:ffff::/64"));
    assert_false(is_crowded(bound, "ip:2001:db8:8:1::/64"));
    free(bound);
}

static void the_next_period_begins_at_zero(void **state) {
    struct bound *bound = bound_for_test();
    add(bound, "ip:192.0.2.1", MAX);
    bound_tick(bound, 1000 + PERIOD_S - 1);
    assert_true(is_crowded(bound, "ip:192.0.2.1"));
    bound_tick(bound, 1000 + PERIOD_S);
    assert_false(is_crowded(bound, "ip:192.0.2.1"));
    free(bound);
}

static void other_settings_count_at_once_and_keep_what_was_counted(void **state) {
    struct bound *bound = bound_for_test();
    add(bound, "ip:192.0.2.1", MAX);
    bound_set(bound, 0, PERIOD_S);
    assert_false(is_crowded(bound, "ip:192.0.2.1"));
    bound_set(bound, MAX / 2, PERIOD_S / 2);
    assert_true(is_crowded(bound, "ip:192.0.2.1"));
    bound_tick(bound, 1000 + PERIOD_S / 2);
    assert_false(is_crowded(bound, "ip:192.0.2.1"));
    free(bound);
}

/* A hundred thousand networks with five triplets each: no memory is taken, and hardly one is held for crowded. */
static void many_networks_crowd_neither_memory_nor_each_other(void **state) {
    struct bound *bound = bound_for_test();
    unsigned n_crowded = 0;
    for (unsigned i = 0; i < 100000; i++) {
        char identity[64];
        snprintf(identity, sizeof(identity), "ip:10.%u.%u.7", i / 256 % 256, i % 256);
        add(bound, identity, 5);
        n_crowded += is_crowded(bound, identity);
    }
    assert_true(n_crowded < 100);
    free(bound);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_is_crowded_at_its_bound_and_not_before),
        cmocka_unit_test(an_ipv6_network_is_a_64_and_16_of_them_fill_a_48),
        cmocka_unit_test(the_next_period_begins_at_zero),
        cmocka_unit_test(other_settings_count_at_once_and_keep_what_was_counted),
        cmocka_unit_test(many_networks_crowd_neither_memory_nor_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
