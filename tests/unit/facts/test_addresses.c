/*
 * The addresses of a name, of both families: found, not found, and not known.
 */
#include "facts/addresses.h"

#include "stage.h"

struct told {
    struct addresses_result result;
    unsigned n;
};

static void on_told(void *arg, const struct addresses_result *result) {
    struct told *told = arg;
    told->result = *result;
    told->n++;
}

static struct addresses_result look_up(const char *name, const char *looked_for, uint64_t timeout_ms) {
    struct told told = { 0 };
    struct ip ip = stage_ip(looked_for);
    assert_non_null(addresses_start(resolver, &ip, str_of(name), timeout_ms, on_told, &told));
    assert_int_equal(told.n, 0); /* law 1 */
    stage_await(&told.n, 1);
    return told.result;
}

static void the_address_looked_for_is_found_in_its_family(void **state) {
    dns_server_add(&server, "both.example", DNS_A, "192.0.2.1");
    dns_server_add(&server, "both.example", DNS_AAAA, "2001:db8::1");
    assert_true(look_up("both.example", "192.0.2.1", 1000).holds);
    assert_true(look_up("both.example", "2001:db8::1", 1000).holds);
    struct addresses_result other = look_up("both.example", "192.0.2.2", 1000);
    assert_true(other.is_found);
    assert_false(other.holds || other.may_hold || other.is_unavailable);
    assert_int_equal(server.n_asked, 2);
}

static void a_name_without_addresses_has_none_for_certain(void **state) {
    struct addresses_result none = look_up("no.example", "192.0.2.1", 1000);
    assert_false(none.is_found || none.holds || none.may_hold || none.is_unavailable);
}

static void what_one_family_did_not_answer_may_hold_the_address(void **state) {
    dns_server_add(&server, "half.example", DNS_AAAA, "2001:db8::1");
    dns_server_play(&server, "half.example", DNS_A, DNS_PLAYS_FAILURE);
    struct addresses_result half = look_up("half.example", "192.0.2.1", 1000);
    assert_true(half.is_found && half.may_hold);
    assert_false(half.holds || half.is_unavailable);
}

static void without_an_answer_nothing_is_known(void **state) {
    dns_server_play(&server, "silent.example", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    struct addresses_result silent = look_up("silent.example", "192.0.2.1", 40);
    assert_true(silent.is_unavailable && silent.may_hold);
    assert_false(silent.is_found || silent.holds);
}

static void more_addresses_than_are_read_may_hold_it(void **state) {
    for (unsigned i = 0; i <= DNS_RECORDS_MAX; i++) {
        char ip[32];
        snprintf(ip, sizeof(ip), "192.0.2.%u", i + 1);
        dns_server_add(&server, "many.example", DNS_A, ip);
        if (i < DNS_RECORDS_MAX)
            dns_server_add(&server, "bound.example", DNS_A, ip);
    }
    assert_true(look_up("many.example", "203.0.113.7", 1000).may_hold);
    assert_false(look_up("bound.example", "203.0.113.7", 1000).may_hold);
}

static void nothing_comes_after_a_cancel(void **state) {
    struct told told = { 0 };
    dns_server_play(&server, "silent.example", DNS_AAAA, DNS_PLAYS_SILENCE);
    const struct ip nobody = { 0 };
    struct addresses_lookup *lookup =
        addresses_start(resolver, &nobody, STR("silent.example"), 1000, on_told, &told);
    stage_await_question("A* silent.example", 2);
    addresses_cancel(lookup);
    addresses_cancel(NULL);
    stage_settle();
    assert_int_equal(told.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        STAGE_TEST(the_address_looked_for_is_found_in_its_family),
        STAGE_TEST(a_name_without_addresses_has_none_for_certain),
        STAGE_TEST(what_one_family_did_not_answer_may_hold_the_address),
        STAGE_TEST(without_an_answer_nothing_is_known),
        STAGE_TEST(more_addresses_than_are_read_may_hold_it),
        STAGE_TEST(nothing_comes_after_a_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
