/*
 * Questions under the laws: libunbound against a small name server on the same loop, which answers by the first label
 * of the name: ok, two, alias, none (no data), no (NXDOMAIN), fail (SERVFAIL), silent, garbage.
 */
#include "net/resolver.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { TYPE_CNAME = 5 };

static struct loop *loop;
static struct resolver *resolver;
static struct watch server;
static int server_fd;
static unsigned n_asked; /* packets that the name server got */

/* ---- the name server */

static size_t put_a(uint8_t *at, uint16_t owner, uint8_t last) {
    const uint8_t record[] = { (uint8_t)(owner >> 8), (uint8_t)owner, 0, DNS_A, 0, 1, 0, 0, 0, 60, 0, 4,
                               192, 0, 2, last };
    memcpy(at, record, sizeof(record));
    return sizeof(record);
}

/* An alias of what stands behind the first label of the question, put into "ok." + the rest of it. */
static size_t put_alias(uint8_t *at, size_t rest) {
    const uint8_t record[] = { 0xc0, 12, 0, TYPE_CNAME, 0, 1, 0, 0, 0, 60, 0, 5, 2, 'o', 'k',
                               (uint8_t)(0xc0 | rest >> 8), (uint8_t)rest };
    memcpy(at, record, sizeof(record));
    return sizeof(record);
}

static void answer(const uint8_t *question, size_t len, const struct sockaddr_storage *to, socklen_t to_len) {
    uint8_t reply[512];
    struct str label = { (const char *)question + 13, question[12] };
    size_t end = 12;
    while (question[end] != 0)
        end += question[end] + 1u;
    end += 5;
    assert_true(end <= len);
    memcpy(reply, question, end);
    memset(reply + 6, 0, 6);
    reply[2] = 0x84;
    reply[3] = 0x80;
    if (str_eq(label, STR("silent")))
        return;
    if (str_eq(label, STR("no")))
        reply[3] |= 3;
    else if (str_eq(label, STR("fail")))
        reply[3] |= 2;
    else if (str_eq(label, STR("alias")))
        reply[7] = 1, end += put_alias(reply + end, 13 + label.len);
    else if (str_eq(label, STR("garbage")))
        reply[7] = 7;
    else if (!str_eq(label, STR("none")))
        reply[7] = 1, end += put_a(reply + end, 0xc00c, 1);
    if (str_eq(label, STR("two")))
        reply[7] = 2, end += put_a(reply + end, 0xc00c, 2);
    assert_int_equal(sendto(server_fd, reply, end, 0, (const struct sockaddr *)to, to_len), end);
}

static void on_question(struct watch *watch, uint32_t events) {
    uint8_t question[512];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(server_fd, question, sizeof(question), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (n < 17)
        return;
    n_asked++;
    answer(question, (size_t)n, &from, from_len);
}

/* ---- asking */

struct asked {
    struct resolver_query query; /* first */
    struct dns_answer answer;
    unsigned n_done;
    bool asks_again;
};

static void on_done(struct resolver_query *query, const struct dns_answer *told) {
    struct asked *a = (struct asked *)query;
    a->answer = *told;
    a->n_done++;
    if (a->asks_again) {
        a->asks_again = false;
        resolver_start(resolver, &a->query, "ok.again.example", DNS_A, 1000, on_done);
    }
}

static void await(const unsigned *n, unsigned wanted) {
    uint64_t until = loop_now(loop) + 5000;
    while (*n < wanted && loop_now(loop) < until)
        assert_int_equal(loop_turn(loop, 100), 0);
    assert_int_equal(*n, wanted);
}

static enum dns_status ask(struct asked *a, const char *name) {
    memset(a, 0, sizeof(*a));
    resolver_start(resolver, &a->query, name, DNS_A, 1000, on_done);
    assert_int_equal(a->n_done, 0); /* law 1, cached or not */
    await(&a->n_done, 1);
    assert_false(resolver_is_asking(&a->query));
    return a->answer.status;
}

static int open_resolver(unsigned max_in_flight) {
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    struct endpoint at;
    const char *error;
    assert_int_equal(endpoint_parse(STR("127.0.0.1:1"), &at), 0);
    at.port = 0;
    len = endpoint_to_sockaddr(&at, &name);
    server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server_fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(server_fd, (struct sockaddr *)&name, &len), 0);
    at = endpoint_from_sockaddr(&name);
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(watch_start(loop, &server, server_fd, EPOLLIN, on_question), 0);
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = &at, .n_forwarders = 1,
                                                .max_in_flight = max_in_flight };
    assert_int_equal(resolver_new(loop, &settings, &resolver, &error), 0);
    n_asked = 0;
    return 0;
}

static int setup(void **state) {
    return open_resolver(0);
}

static int teardown(void **state) {
    resolver_free(resolver);
    watch_stop(loop, &server);
    close(server_fd);
    loop_free(loop);
    return 0;
}

/* ---- tests */

static void addresses_are_found(void **state) {
    struct asked a;
    char text[IP_TEXT_MAX];
    assert_int_equal(ask(&a, "two.example"), DNS_FOUND);
    assert_int_equal(a.answer.n, 2);
    assert_int_equal(a.answer.records[0].ip.family, IP_V4);
    assert_memory_equal(ip_format(&a.answer.records[0].ip, text), "192.0.2.", 8);
    assert_true(a.answer.ttl <= 60);
}

static void an_alias_is_followed(void **state) {
    struct asked a;
    assert_int_equal(ask(&a, "alias.example"), DNS_FOUND);
    assert_int_equal(a.answer.n, 1);
}

static void nothing_is_told_from_not_knowing(void **state) {
    struct asked a;
    assert_int_equal(ask(&a, "none.example"), DNS_NO_DATA);
    assert_int_equal(ask(&a, "no.example"), DNS_NO_NAME);
    assert_int_equal(ask(&a, "fail.example"), DNS_UNAVAILABLE);
    assert_int_equal(a.answer.n, 0);
}

static void names_that_dns_cannot_know_are_bad_names_and_no_trouble(void **state) {
    struct asked a;
    char label[70];
    assert_int_equal(ask(&a, "a..example"), DNS_BAD_NAME);
    memset(label, 'a', 64);
    snprintf(label + 64, sizeof(label) - 64, ".ex");
    assert_int_equal(ask(&a, label), DNS_BAD_NAME);
    assert_int_equal(ask(&a, label + 1), DNS_FOUND);
}

static void a_cached_answer_comes_later_too(void **state) {
    struct asked a;
    assert_int_equal(ask(&a, "ok.cached.example"), DNS_FOUND);
    unsigned before = n_asked;
    assert_int_equal(ask(&a, "ok.cached.example"), DNS_FOUND);
    assert_int_equal(n_asked, before);
}

static void silence_ends_at_our_deadline(void **state) {
    struct asked a = { 0 };
    resolver_start(resolver, &a.query, "silent.example", DNS_A, 50, on_done);
    uint64_t began = loop_now(loop);
    await(&a.n_done, 1);
    assert_int_equal(a.answer.status, DNS_UNAVAILABLE);
    assert_true(loop_now(loop) - began < 2000);
    assert_int_equal(resolver_in_flight(resolver), 0);
}

static void an_answer_that_cannot_be_read_is_not_known(void **state) {
    struct asked a = { 0 };
    resolver_start(resolver, &a.query, "garbage.example", DNS_A, 200, on_done);
    await(&a.n_done, 1);
    assert_int_equal(a.answer.status, DNS_UNAVAILABLE);
}

static void nothing_comes_after_a_cancel(void **state) {
    struct asked asked = { 0 }, cached, other;
    assert_int_equal(ask(&cached, "ok.example"), DNS_FOUND);
    resolver_start(resolver, &asked.query, "ok.cancelled.example", DNS_A, 1000, on_done); /* on its way */
    resolver_start(resolver, &cached.query, "ok.example", DNS_A, 1000, on_done);          /* known already */
    resolver_cancel(&asked.query);
    resolver_cancel(&cached.query);
    resolver_cancel(&cached.query);
    cached.n_done = 0;
    assert_int_equal(ask(&other, "ok.other.example"), DNS_FOUND);
    assert_int_equal(asked.n_done, 0);
    assert_int_equal(cached.n_done, 0);
    assert_int_equal(resolver_in_flight(resolver), 0);
}

static void a_query_can_ask_again_from_its_own_end(void **state) {
    struct asked a = { .asks_again = true };
    resolver_start(resolver, &a.query, "ok.first.example", DNS_A, 1000, on_done);
    await(&a.n_done, 2);
    assert_int_equal(a.answer.status, DNS_FOUND);
}

static void questions_past_the_bound_are_not_asked_even_when_the_others_were_cancelled(void **state) {
    struct asked a[3] = { 0 };
    teardown(state);
    open_resolver(2);
    resolver_start(resolver, &a[0].query, "silent.a.example", DNS_A, 1000, on_done);
    resolver_start(resolver, &a[1].query, "silent.b.example", DNS_A, 1000, on_done);
    resolver_cancel(&a[1].query); /* libunbound goes on with it */
    resolver_start(resolver, &a[2].query, "ok.c.example", DNS_A, 1000, on_done);
    await(&a[2].n_done, 1);
    assert_int_equal(a[2].answer.status, DNS_UNAVAILABLE);
    assert_int_equal(resolver_refused(resolver), 1);
    resolver_cancel(&a[0].query);
}

static void freeing_with_cancelled_questions_under_way_is_quiet(void **state) {
    struct asked a[8] = { 0 };
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof(name), "silent.n%d.example", i);
        resolver_start(resolver, &a[i].query, name, DNS_A, 1000, on_done);
        loop_turn(loop, 0);
        resolver_cancel(&a[i].query);
    }
    teardown(state);
    for (int i = 0; i < 8; i++)
        assert_int_equal(a[i].n_done, 0);
    open_resolver(0);
}

static void reverse_names_are_those_of_the_rfcs(void **state) {
    char name[DNS_NAME_MAX + 1];
    struct ip ip;
    assert_int_equal(ip_parse(STR("203.0.113.7"), &ip), 0);
    assert_int_equal(dns_reverse_name(&ip, dns_reverse_suffix(&ip), name), 24);
    assert_string_equal(name, "7.113.0.203.in-addr.arpa");
    assert_int_equal(ip_parse(STR("2001:db8::1"), &ip), 0);
    assert_true(dns_reverse_name(&ip, STR(".bl.example"), name) > 0);
    assert_string_equal(name, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(addresses_are_found),
        TEST(an_alias_is_followed),
        TEST(nothing_is_told_from_not_knowing),
        TEST(names_that_dns_cannot_know_are_bad_names_and_no_trouble),
        TEST(a_cached_answer_comes_later_too),
        TEST(silence_ends_at_our_deadline),
        TEST(an_answer_that_cannot_be_read_is_not_known),
        TEST(nothing_comes_after_a_cancel),
        TEST(a_query_can_ask_again_from_its_own_end),
        TEST(questions_past_the_bound_are_not_asked_even_when_the_others_were_cancelled),
        TEST(freeing_with_cancelled_questions_under_way_is_quiet),
        cmocka_unit_test(reverse_names_are_those_of_the_rfcs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
