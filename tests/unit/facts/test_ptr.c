/*
 * The client's name: none, unconfirmed, confirmed and "nobody knows" are kept apart, and of several names the one that
 * speaks best for the client is taken.
 */
#include "facts/ptr.h"

#include "stage.h"

#define REVERSE "7.113.0.203.in-addr.arpa"

struct told {
    struct ptr_result result;
    unsigned n;
};

static void on_told(void *arg, const struct ptr_result *result) {
    struct told *told = arg;
    told->result = *result;
    told->n++;
}

static struct told look_up(const char *client, uint64_t timeout_ms) {
    struct told told = { 0 };
    struct ip ip = stage_ip(client);
    assert_non_null(ptr_start(resolver, &ip, timeout_ms, on_told, &told));
    assert_int_equal(told.n, 0); /* law 1 */
    stage_await(&told.n, 1);
    return told;
}

static void assert_name(const struct ptr_result *result, enum ptr_status status, const char *name) {
    assert_int_equal(result->status, status);
    assert_int_equal(result->name_len, strlen(name));
    assert_memory_equal(result->name, name, strlen(name));
}

static void no_record_and_no_such_name_are_both_no_name(void **state) {
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_NONE, "");
    dns_server_play(&server, "8.113.0.203.in-addr.arpa", DNS_TYPE_ANY, DNS_PLAYS_EMPTY);
    told = look_up("203.0.113.8", 1000);
    assert_name(&told.result, PTR_NONE, "");
}

static void a_name_that_is_the_root_is_none(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, ".");
    struct told told = look_up("203.0.113.7", 1000);
    assert_int_equal(told.result.status, PTR_NONE);
}

static void a_name_that_leads_back_is_confirmed(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, "Mail.Example");
    dns_server_add(&server, "mail.example", DNS_A, "203.0.113.9");
    dns_server_add(&server, "mail.example", DNS_A, "203.0.113.7");
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_CONFIRMED, "mail.example");
    assert_int_equal(told.result.class, name_classify(STR("mail.example"), NULL));
    assert_int_equal(dns_server_asked(&server, "AAAA *"), 0); /* a client of IPv4 */
}

static void a_name_that_leads_elsewhere_or_nowhere_is_unconfirmed(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, "mail.example");
    dns_server_add(&server, "mail.example", DNS_A, "203.0.113.8");
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_UNCONFIRMED, "mail.example");
    dns_server_add(&server, "9.113.0.203.in-addr.arpa", DNS_PTR, "nowhere.example");
    told = look_up("203.0.113.9", 1000);
    assert_name(&told.result, PTR_UNCONFIRMED, "nowhere.example");
}

static void a_failure_is_not_the_absence_of_a_name(void **state) {
    dns_server_play(&server, REVERSE, DNS_PTR, DNS_PLAYS_FAILURE);
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_UNAVAILABLE, "");
}

static void silence_is_not_the_absence_of_a_name(void **state) {
    dns_server_play(&server, REVERSE, DNS_PTR, DNS_PLAYS_SILENCE);
    struct told told = look_up("203.0.113.7", 40);
    assert_name(&told.result, PTR_UNAVAILABLE, "");
}

static void a_name_whose_addresses_fail_is_a_name_and_no_more(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, "mail.example");
    dns_server_play(&server, "mail.example", DNS_A, DNS_PLAYS_FAILURE);
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_NAMED, "");
}

static void ipv6_clients_are_confirmed_by_aaaa(void **state) {
    dns_server_add(&server, "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNS_PTR,
                   "mail.example");
    dns_server_add(&server, "mail.example", DNS_AAAA, "2001:db8::7");
    struct told told = look_up("2001:db8::7", 1000);
    assert_name(&told.result, PTR_CONFIRMED, "mail.example");
    assert_int_equal(dns_server_asked(&server, "A *"), 0);
}

static void confirmed_goes_before_class_and_class_before_the_alphabet(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, "mail.unconfirmed.example");
    dns_server_add(&server, REVERSE, DNS_PTR, "host-203-0-113-7.dsl.example");
    dns_server_add(&server, "host-203-0-113-7.dsl.example", DNS_A, "203.0.113.7");
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_CONFIRMED, "host-203-0-113-7.dsl.example");
    assert_int_equal(told.result.class, NAME_ACCESS);

    dns_server_add(&server, "8.113.0.203.in-addr.arpa", DNS_PTR, "aaa.good.example");
    dns_server_add(&server, "8.113.0.203.in-addr.arpa", DNS_PTR, "smtp.good.example");
    dns_server_add(&server, "8.113.0.203.in-addr.arpa", DNS_PTR, "mx.good.example");
    dns_server_add(&server, "aaa.good.example", DNS_A, "203.0.113.8");
    dns_server_add(&server, "smtp.good.example", DNS_A, "203.0.113.8");
    dns_server_add(&server, "mx.good.example", DNS_A, "203.0.113.8");
    told = look_up("203.0.113.8", 1000);
    assert_name(&told.result, PTR_CONFIRMED, "mx.good.example");
}

static void a_name_nobody_knows_about_may_be_the_better_one(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, "host-203-0-113-7.dsl.example");
    dns_server_add(&server, REVERSE, DNS_PTR, "mail.example");
    dns_server_add(&server, "host-203-0-113-7.dsl.example", DNS_A, "203.0.113.7");
    dns_server_play(&server, "mail.example", DNS_A, DNS_PLAYS_FAILURE);
    struct told told = look_up("203.0.113.7", 1000);
    assert_name(&told.result, PTR_NAMED, "");

    dns_server_add(&server, "8.113.0.203.in-addr.arpa", DNS_PTR, "host-203-0-113-8.dsl.example");
    dns_server_add(&server, "8.113.0.203.in-addr.arpa", DNS_PTR, "mail.good.example");
    dns_server_add(&server, "mail.good.example", DNS_A, "203.0.113.8");
    dns_server_play(&server, "host-203-0-113-8.dsl.example", DNS_A, DNS_PLAYS_FAILURE);
    told = look_up("203.0.113.8", 1000);
    assert_name(&told.result, PTR_CONFIRMED, "mail.good.example");
}

static void add_names(unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%02u.example", i);
        dns_server_add(&server, REVERSE, DNS_PTR, name);
    }
}

static void eight_names_are_looked_at_and_no_ninth(void **state) {
    add_names(PTR_NAMES_MAX);
    struct told told = look_up("203.0.113.7", 1000);
    assert_int_equal(told.result.status, PTR_UNCONFIRMED);
    assert_int_equal(dns_server_asked(&server, "A *"), PTR_NAMES_MAX);
}

static void of_nine_names_eight_are_looked_at(void **state) {
    add_names(PTR_NAMES_MAX + 1);
    struct told told = look_up("203.0.113.7", 1000);
    assert_int_equal(told.result.status, PTR_UNCONFIRMED);
    assert_int_equal(dns_server_asked(&server, "A *"), PTR_NAMES_MAX);
}

static void add_addresses(const char *name, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        char ip[32];
        snprintf(ip, sizeof(ip), "192.0.2.%u", i + 1);
        dns_server_add(&server, name, DNS_A, ip);
    }
}

static void with_more_addresses_than_are_read_nobody_knows(void **state) {
    dns_server_add(&server, REVERSE, DNS_PTR, "many.example");
    add_addresses("many.example", DNS_RECORDS_MAX + 1);
    struct told told = look_up("203.0.113.7", 1000);
    assert_int_equal(told.result.status, PTR_NAMED);

    dns_server_add(&server, "8.113.0.203.in-addr.arpa", DNS_PTR, "bound.example");
    add_addresses("bound.example", DNS_RECORDS_MAX);
    told = look_up("203.0.113.8", 1000);
    assert_int_equal(told.result.status, PTR_UNCONFIRMED);
}

static void a_lookup_cancelled_at_either_question_tells_nothing(void **state) {
    struct ip ip = stage_ip("203.0.113.7");
    struct told told = { 0 };
    dns_server_add(&server, REVERSE, DNS_PTR, "silent.example");
    dns_server_play(&server, "silent.example", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    struct ptr_lookup *at_once = ptr_start(resolver, &ip, 1000, on_told, &told);
    ptr_cancel(at_once);
    struct ptr_lookup *lookup = ptr_start(resolver, &ip, 1000, on_told, &told);
    stage_await_question("A silent.example", 1);
    ptr_cancel(lookup);
    ptr_cancel(NULL);
    stage_settle();
    assert_int_equal(told.n, 0);
    assert_int_equal(resolver_waiting(resolver), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        STAGE_TEST(no_record_and_no_such_name_are_both_no_name),
        STAGE_TEST(a_name_that_is_the_root_is_none),
        STAGE_TEST(a_name_that_leads_back_is_confirmed),
        STAGE_TEST(a_name_that_leads_elsewhere_or_nowhere_is_unconfirmed),
        STAGE_TEST(a_failure_is_not_the_absence_of_a_name),
        STAGE_TEST(silence_is_not_the_absence_of_a_name),
        STAGE_TEST(a_name_whose_addresses_fail_is_a_name_and_no_more),
        STAGE_TEST(ipv6_clients_are_confirmed_by_aaaa),
        STAGE_TEST(confirmed_goes_before_class_and_class_before_the_alphabet),
        STAGE_TEST(a_name_nobody_knows_about_may_be_the_better_one),
        STAGE_TEST(eight_names_are_looked_at_and_no_ninth),
        STAGE_TEST(of_nine_names_eight_are_looked_at),
        STAGE_TEST(with_more_addresses_than_are_read_nobody_knows),
        STAGE_TEST(a_lookup_cancelled_at_either_question_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
