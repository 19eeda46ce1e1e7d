/*
 * The sender's domain: MX, or addresses where there is none, or a domain that says that it sends no mail.
 */
#include "facts/sender.h"

#include "stage.h"

struct told {
    struct sender_result result;
    unsigned n;
};

static void on_told(void *arg, const struct sender_result *result) {
    struct told *told = arg;
    told->result = *result;
    told->n++;
}

enum answer { RESOLVES, RESOLVES_NOT, NULL_MX, UNAVAILABLE };

static void assert_answer(const char *domain, uint64_t timeout_ms, enum answer answer) {
    struct told told = { 0 };
    assert_non_null(sender_start(resolver, &(struct ip){ 0 }, str_of(domain), timeout_ms, on_told, &told));
    assert_int_equal(told.n, 0); /* law 1 */
    stage_await(&told.n, 1);
    assert_int_equal(told.result.is_unavailable, answer == UNAVAILABLE);
    assert_int_equal(told.result.resolves, answer == RESOLVES || answer == NULL_MX);
    assert_int_equal(told.result.null_mx, answer == NULL_MX);
}

static void an_mx_is_enough_and_costs_one_question(void **state) {
    dns_server_add(&server, "mx.example", DNS_MX, "10 mail.mx.example");
    dns_server_add(&server, "mx.example", DNS_MX, "20 backup.mx.example");
    assert_answer("mx.example", 1000, RESOLVES);
    assert_int_equal(server.n_asked, 1);
}

static void one_mx_that_is_the_root_says_no_mail(void **state) {
    dns_server_add(&server, "null.example", DNS_MX, "0 .");
    assert_answer("null.example", 1000, NULL_MX);
}

static void the_root_among_other_mx_says_nothing(void **state) {
    dns_server_add(&server, "odd.example", DNS_MX, "0 .");
    dns_server_add(&server, "odd.example", DNS_MX, "10 mail.odd.example");
    assert_answer("odd.example", 1000, RESOLVES);
}

static void without_mx_an_address_of_either_family_counts(void **state) {
    dns_server_add(&server, "a.example", DNS_A, "192.0.2.1");
    dns_server_add(&server, "aaaa.example", DNS_AAAA, "2001:db8::1");
    assert_answer("a.example", 1000, RESOLVES);
    assert_answer("aaaa.example", 1000, RESOLVES);
}

static void a_domain_with_neither_does_not_resolve(void **state) {
    dns_server_play(&server, "none.example", DNS_TYPE_ANY, DNS_PLAYS_EMPTY);
    assert_answer("none.example", 1000, RESOLVES_NOT);
}

static void a_domain_that_does_not_exist_costs_one_question(void **state) {
    assert_answer("no.example", 1000, RESOLVES_NOT);
    assert_int_equal(server.n_asked, 1);
}

static void an_alias_counts_as_what_it_leads_to(void **state) {
    dns_server_add(&server, "alias.example", DNS_TYPE_CNAME, "mx.example");
    dns_server_add(&server, "mx.example", DNS_MX, "10 mail.mx.example");
    assert_answer("alias.example", 1000, RESOLVES);
}

static void failures_are_no_answers(void **state) {
    dns_server_play(&server, "fail.example", DNS_MX, DNS_PLAYS_FAILURE);
    assert_answer("fail.example", 1000, UNAVAILABLE);
    dns_server_play(&server, "half.example", DNS_A, DNS_PLAYS_FAILURE); /* no MX, no AAAA, and who knows */
    assert_answer("half.example", 1000, UNAVAILABLE);
}

static void an_address_found_outweighs_one_that_failed(void **state) {
    dns_server_play(&server, "half.example", DNS_A, DNS_PLAYS_FAILURE);
    dns_server_add(&server, "half.example", DNS_AAAA, "2001:db8::1");
    assert_answer("half.example", 1000, RESOLVES);
}

static void silence_is_no_answer(void **state) {
    dns_server_play(&server, "silent.example", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    assert_answer("silent.example", 40, UNAVAILABLE);
}

static void a_domain_as_long_as_domains_get_is_asked_about(void **state) {
    char domain[DNS_NAME_MAX + 2];
    memset(domain, 'a', sizeof(domain));
    for (size_t i = 49; i < 250; i += 50)
        domain[i] = '.';
    domain[253] = '\0';
    dns_server_add(&server, domain, DNS_MX, "10 mail.example");
    assert_answer(domain, 1000, RESOLVES);
    memset(domain + 253, 'a', 2); /* 255 without the root: DNS has no such name */
    domain[255] = '\0';
    assert_answer(domain, 1000, RESOLVES_NOT);
}

static void a_lookup_cancelled_at_either_question_tells_nothing(void **state) {
    struct told told = { 0 };
    dns_server_play(&server, "silent.example", DNS_A, DNS_PLAYS_SILENCE);
    dns_server_play(&server, "silent.example", DNS_AAAA, DNS_PLAYS_SILENCE);
    sender_cancel(sender_start(resolver, &(struct ip){ 0 }, STR("silent.example"), 1000, on_told, &told));
    const struct ip nobody = { 0 };
    struct sender_lookup *lookup = sender_start(resolver, &nobody, STR("silent.example"), 1000, on_told, &told);
    stage_await_question("AAAA silent.example", 1);
    sender_cancel(lookup);
    sender_cancel(NULL);
    stage_settle();
    assert_int_equal(told.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        STAGE_TEST(an_mx_is_enough_and_costs_one_question),
        STAGE_TEST(one_mx_that_is_the_root_says_no_mail),
        STAGE_TEST(the_root_among_other_mx_says_nothing),
        STAGE_TEST(without_mx_an_address_of_either_family_counts),
        STAGE_TEST(a_domain_with_neither_does_not_resolve),
        STAGE_TEST(a_domain_that_does_not_exist_costs_one_question),
        STAGE_TEST(an_alias_counts_as_what_it_leads_to),
        STAGE_TEST(failures_are_no_answers),
        STAGE_TEST(an_address_found_outweighs_one_that_failed),
        STAGE_TEST(silence_is_no_answer),
        STAGE_TEST(a_domain_as_long_as_domains_get_is_asked_about),
        STAGE_TEST(a_lookup_cancelled_at_either_question_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
