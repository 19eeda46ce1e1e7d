/*
 * Questions under the laws: libunbound against a small name server on the same loop (dns_server.h).
 */
#include "net/resolver.h"

#include "dns_server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;
static struct resolver *resolver;
static struct dns_server server;

/* ---- asking */

struct asked {
    struct resolver_query query; /* first */
    struct dns_answer answer;
    unsigned n_done;
    bool asks_again;
};

static void on_done(struct resolver_query *query, const struct dns_answer *told);

/* A question of our own, which knows no share. */
static void start(struct resolver_query *query, const char *name, enum dns_type type, uint64_t timeout_ms,
                  resolver_fn *done) {
    const struct resolver_question question = { .name = name, .type = type, .timeout_ms = timeout_ms,
                                                .purpose = RESOLVER_OWN };
    resolver_start(resolver, query, &question, done);
}

static void on_done(struct resolver_query *query, const struct dns_answer *told) {
    struct asked *a = (struct asked *)query;
    a->answer = *told;
    a->n_done++;
    if (a->asks_again) {
        a->asks_again = false;
        start(&a->query, "ok.again.example", DNS_A, 1000, on_done);
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
    start(&a->query, name, DNS_A, 1000, on_done);
    assert_int_equal(a->n_done, 0); /* law 1, cached or not */
    await(&a->n_done, 1);
    assert_false(resolver_is_asking(&a->query));
    return a->answer.status;
}

static int open_resolver(unsigned max_in_flight) {
    assert_int_equal(loop_new(&loop), 0);
    dns_server_open(&server, loop);
    dns_server_add(&server, "ok.*", DNS_A, "192.0.2.1");
    dns_server_add(&server, "aaaa*", DNS_A, "192.0.2.1");
    dns_server_add(&server, "two.*", DNS_A, "192.0.2.1");
    dns_server_add(&server, "two.*", DNS_A, "192.0.2.2");
    dns_server_add(&server, "alias.*", DNS_TYPE_CNAME, "ok.example");
    dns_server_play(&server, "none.*", DNS_TYPE_ANY, DNS_PLAYS_EMPTY);
    dns_server_play(&server, "fail.*", DNS_TYPE_ANY, DNS_PLAYS_FAILURE);
    dns_server_play(&server, "silent.*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    dns_server_play(&server, "garbage.*", DNS_TYPE_ANY, DNS_PLAYS_GARBAGE);
    dns_server_play(&server, "refused.*", DNS_TYPE_ANY, DNS_PLAYS_REFUSAL);
    dns_server_play(&server, "large.*", DNS_TYPE_ANY, DNS_PLAYS_CUT);
    dns_server_add(&server, "large.*", DNS_A, "192.0.2.3");
    resolver = dns_server_resolver(&server, loop, max_in_flight);
    return 0;
}

static int setup(void **state) {
    return open_resolver(0);
}

static int teardown(void **state) {
    resolver_free(resolver);
    dns_server_close(&server, loop);
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
    assert_int_equal(ask(&a, "refused.example"), DNS_UNAVAILABLE);
}

static void names_that_dns_cannot_know_are_bad_names_and_no_trouble(void **state) {
    struct asked a;
    char label[70];
    assert_int_equal(ask(&a, "a..example"), DNS_BAD_NAME);
    memset(label, 'a', 64);
    snprintf(label + 64, sizeof(label) - 64, ".ex");
    assert_int_equal(ask(&a, label), DNS_BAD_NAME);
    assert_int_equal(ask(&a, label + 1), DNS_FOUND);
    assert_int_equal(ask(&a, ""), DNS_BAD_NAME);
    assert_int_equal(ask(&a, ".example"), DNS_BAD_NAME);
    assert_int_equal(ask(&a, "a\\.b.example"), DNS_BAD_NAME); /* no escapes (RFC 1035 5.1) */
}

static void a_name_has_253_bytes_at_most_and_they_may_be_any(void **state) {
    struct asked a;
    char name[300];
    for (size_t i = 0; i < 256; i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    strcpy(name + 253 - 8, ".example");
    assert_int_equal(strlen(name), 253);
    assert_int_equal(ask(&a, name), DNS_FOUND);
    strcpy(name + 254 - 8, ".example");
    assert_int_equal(ask(&a, name), DNS_BAD_NAME);
    assert_int_equal(ask(&a, "ok.with blanks.example"), DNS_FOUND);
    assert_int_equal(ask(&a, "ok.\xc3\xbc\xff.example"), DNS_FOUND);
    assert_int_equal(dns_server_asked(&server, "A ok.with blanks.example"), 1);
}

static void a_cached_answer_comes_later_too(void **state) {
    struct asked a;
    assert_int_equal(ask(&a, "ok.cached.example"), DNS_FOUND);
    unsigned before = server.n_asked;
    assert_int_equal(ask(&a, "ok.cached.example"), DNS_FOUND);
    assert_int_equal(server.n_asked, before);
}

static void silence_ends_at_our_deadline(void **state) {
    struct asked a = { 0 };
    start(&a.query, "silent.example", DNS_A, 50, on_done);
    uint64_t began = loop_now(loop);
    await(&a.n_done, 1);
    assert_int_equal(a.answer.status, DNS_UNAVAILABLE);
    assert_true(loop_now(loop) - began < 2000);
    assert_int_equal(resolver_waiting(resolver), 0);
}

static void an_answer_that_cannot_be_read_is_not_known(void **state) {
    struct asked a = { 0 };
    start(&a.query, "garbage.example", DNS_A, 200, on_done);
    await(&a.n_done, 1);
    assert_int_equal(a.answer.status, DNS_UNAVAILABLE);
}

static void nothing_comes_after_a_cancel(void **state) {
    struct asked asked = { 0 }, cached, other;
    assert_int_equal(ask(&cached, "ok.example"), DNS_FOUND);
    start(&asked.query, "ok.cancelled.example", DNS_A, 1000, on_done); /* on its way */
    start(&cached.query, "ok.example", DNS_A, 1000, on_done);          /* known already */
    resolver_cancel(&asked.query);
    resolver_cancel(&cached.query);
    resolver_cancel(&cached.query);
    cached.n_done = 0;
    assert_int_equal(ask(&other, "ok.other.example"), DNS_FOUND);
    assert_int_equal(asked.n_done, 0);
    assert_int_equal(cached.n_done, 0);
    assert_int_equal(resolver_waiting(resolver), 0);
}

static void a_query_can_ask_again_from_its_own_end(void **state) {
    struct asked a = { .asks_again = true };
    start(&a.query, "ok.first.example", DNS_A, 1000, on_done);
    await(&a.n_done, 2);
    assert_int_equal(a.answer.status, DNS_FOUND);
}

static void questions_past_the_bound_are_not_asked_even_when_the_others_were_cancelled(void **state) {
    struct asked a[3] = { 0 };
    teardown(state);
    open_resolver(2);
    start(&a[0].query, "silent.a.example", DNS_A, 1000, on_done);
    start(&a[1].query, "silent.b.example", DNS_A, 1000, on_done);
    resolver_cancel(&a[1].query); /* libunbound goes on with it */
    start(&a[2].query, "ok.c.example", DNS_A, 1000, on_done);
    await(&a[2].n_done, 1);
    assert_int_equal(a[2].answer.status, DNS_UNAVAILABLE);
    assert_true(resolver_was_refused(&a[2].query));
    assert_int_equal(resolver_counters(resolver)->in_flight, 2);
    assert_int_equal(resolver_counters(resolver)->refused[RESOLVER_FULL], 1);
    resolver_cancel(&a[0].query);
}

static void freeing_with_cancelled_questions_under_way_is_quiet(void **state) {
    struct asked a[8] = { 0 };
    for (int i = 0; i < 8; i++) {
        char name[32];
        snprintf(name, sizeof(name), "silent.n%d.example", i);
        start(&a[i].query, name, DNS_A, 1000, on_done);
        loop_turn(loop, 0);
        resolver_cancel(&a[i].query);
    }
    teardown(state);
    for (int i = 0; i < 8; i++)
        assert_int_equal(a[i].n_done, 0);
    open_resolver(0);
}

static void a_zone_that_libunbound_knows_itself_is_asked_where_a_server_is_named_for_it(void **state) {
    const struct resolver_stub stubs[] = { { "127.in-addr.arpa", server.at }, { "test", server.at } };
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = &server.at, .n_forwarders = 1,
                                                .stubs = stubs, .n_stubs = 2 };
    const char *error;
    struct asked a = { .n_done = 0 };
    assert_int_equal(ask(&a, "ok.test"), DNS_NO_NAME);
    resolver_free(resolver);
    assert_int_equal(resolver_new(loop, &settings, &resolver, &error), 0);
    assert_int_equal(ask(&a, "ok.test"), DNS_FOUND);
    dns_server_add(&server, "3.2.1.127.in-addr.arpa", DNS_PTR, "mail.example");
    memset(&a, 0, sizeof(a));
    start(&a.query, "3.2.1.127.in-addr.arpa", DNS_PTR, 1000, on_done);
    await(&a.n_done, 1);
    assert_int_equal(a.answer.status, DNS_FOUND);
}

static void names_of_private_addresses_are_asked_like_others(void **state) {
    static const char *const names[] = {
        "7.0.0.10.in-addr.arpa", "7.1.168.192.in-addr.arpa", "7.0.16.172.in-addr.arpa", "7.1.254.169.in-addr.arpa",
        "7.2.0.192.in-addr.arpa", "7.113.0.203.in-addr.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct asked a = { 0 };
        dns_server_add(&server, names[i], DNS_PTR, "mail.example");
        start(&a.query, names[i], DNS_PTR, 1000, on_done);
        await(&a.n_done, 1);
        if (a.answer.status != DNS_FOUND)
            fail_msg("%s is not asked", names[i]);
    }
}

static void what_libunbound_answers_by_itself_comes_in_a_later_turn_too(void **state) {
    static const char *const names[] = { "localhost", "x.invalid", "x.onion", "x.test" };
    struct asked a;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        ask(&a, names[i]); /* asserts so */
    assert_int_equal(server.n_asked, 0);
    struct asked cancelled = { 0 };
    start(&cancelled.query, "localhost", DNS_A, 1000, on_done);
    resolver_cancel(&cancelled.query);
    ask(&a, "localhost");
    assert_int_equal(cancelled.n_done, 0);
}

/* ---- shares: clients against each other; what is not answered stays with libunbound */

static void start_for(struct asked *a, unsigned network, const char *name) {
    const struct resolver_question question = {
        .name = name, .type = DNS_A, .timeout_ms = 1000,
        .client = { .family = IP_V4, .bytes = { 10, (uint8_t)(network >> 8), (uint8_t)network, 7 } },
    };
    memset(a, 0, sizeof(*a));
    resolver_start(resolver, &a->query, &question, on_done);
}

static enum dns_status ask_for(struct asked *a, unsigned network, const char *name) {
    start_for(a, network, name);
    await(&a->n_done, 1);
    return a->answer.status;
}

/* Starts questions that nobody answers and leaves at once, as a client does, until one is refused. */
static unsigned hog(unsigned network, const char *domain) {
    struct asked a;
    for (unsigned n = 0;; n++) {
        char name[64];
        snprintf(name, sizeof(name), "silent.n%u-%u.%s", network, n, domain);
        start_for(&a, network, name);
        bool was_refused = resolver_was_refused(&a.query);
        resolver_cancel(&a.query);
        if (was_refused)
            return n;
    }
}

static void a_client_that_leaves_slow_questions_behind_does_not_stop_another(void **state) {
    struct asked a;
    teardown(state);
    open_resolver(256);
    unsigned n = hog(1, "d.example");
    assert_in_range(n, 10, 32);
    assert_int_equal(resolver_waiting(resolver), 0);
    assert_int_equal(resolver_counters(resolver)->in_flight, n);
    assert_int_equal(ask_for(&a, 1, "ok.of-itself.net"), DNS_UNAVAILABLE);
    assert_int_equal(ask_for(&a, 2, "ok.of-another.net"), DNS_FOUND);
    assert_int_equal(resolver_counters(resolver)->refused[RESOLVER_NETWORK_FULL], 2);
    assert_int_equal(resolver_counters(resolver)->refused[RESOLVER_FULL], 0);
}

static void a_domain_whose_server_is_slow_does_not_stop_others(void **state) {
    struct asked a;
    teardown(state);
    open_resolver(256);
    unsigned network = 0;
    for (unsigned n = 1; n > 0; network++) {
        char name[64];
        snprintf(name, sizeof(name), "silent.n%u.slow.example", network);
        start_for(&a, network, name);
        n = !resolver_was_refused(&a.query);
        resolver_cancel(&a.query);
    }
    assert_in_range(network, 10, 33);
    assert_int_equal(resolver_counters(resolver)->refused[RESOLVER_DOMAIN_FULL], 1);
    assert_int_equal(ask_for(&a, 5000, "ok.fast.net"), DNS_FOUND);
}

static struct {
    unsigned n;
    enum resolver_grant why;
    unsigned network;
} refusals;

static void on_refusal(void *arg, const struct resolver_refusal *refusal) {
    refusals.n++;
    refusals.why = refusal->why;
    refusals.network = refusal->client->bytes[2];
}

static void open_resolver_that_tells(unsigned max_in_flight) {
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = &server.at, .n_forwarders = 1,
                                                .max_in_flight = max_in_flight, .on_refusal = on_refusal };
    const char *error;
    memset(&refusals, 0, sizeof(refusals));
    resolver_free(resolver);
    assert_int_equal(resolver_new(loop, &settings, &resolver, &error), 0);
}

static void refusals_are_told_once_a_spell_with_whom_they_began(void **state) {
    open_resolver_that_tells(256);
    hog(9, "d.example");
    for (unsigned i = 0; i < 5; i++)
        hog(9, "d.example");
    assert_int_equal(refusals.n, 1);
    assert_int_equal(refusals.why, RESOLVER_NETWORK_FULL);
    assert_int_equal(refusals.network, 9);
    loop_set_time(loop, loop_now(loop) + RESOLVER_SPELL_MS + 1);
    hog(9, "d.example");
    assert_int_equal(refusals.n, 2);
}

static void what_is_known_is_answered_when_there_is_no_room_at_all(void **state) {
    struct asked a;
    open_resolver_that_tells(16);
    assert_int_equal(ask_for(&a, 1, "OK.Known.example."), DNS_FOUND);
    assert_int_equal(ask_for(&a, 1, "no.example"), DNS_NO_NAME);
    for (unsigned network = 2; resolver_counters(resolver)->refused[RESOLVER_FULL] == 0; network++) {
        char domain[32];
        snprintf(domain, sizeof(domain), "d%u.example", network);
        hog(network, domain);
    }
    assert_int_equal(ask_for(&a, 1000, "ok.known.example"), DNS_FOUND);
    assert_int_equal(a.answer.n, 1);
    assert_false(resolver_was_refused(&a.query));
    assert_int_equal(ask_for(&a, 1000, "ok.unknown.example"), DNS_UNAVAILABLE);
    assert_true(resolver_was_refused(&a.query));
    assert_int_equal(dns_server_asked(&server, "A ok.known.example"), 1);
    assert_int_equal(dns_server_asked(&server, "A ok.unknown.example"), 0);
    assert_int_equal(resolver_counters(resolver)->cached, 1);
}

static void who_asks_what_is_under_way_needs_no_room_and_gets_the_same_answer(void **state) {
    struct asked a[3];
    open_resolver_that_tells(1);
    start_for(&a[0], 1, "ok.shared.example");
    start_for(&a[1], 2, "ok.shared.EXAMPLE");
    start_for(&a[2], 3, "ok.shared.example.");
    resolver_cancel(&a[0].query); /* who asked first may leave */
    await(&a[1].n_done, 1);
    await(&a[2].n_done, 1);
    assert_int_equal(a[1].answer.status, DNS_FOUND);
    assert_int_equal(a[2].answer.status, DNS_FOUND);
    assert_int_equal(a[0].n_done, 0);
    assert_int_equal(dns_server_asked(&server, "A ok.shared.example"), 1);
    assert_int_equal(resolver_counters(resolver)->joined, 2);
    assert_int_equal(resolver_counters(resolver)->in_flight, 0);
}

static void who_waits_for_the_same_has_a_deadline_of_his_own(void **state) {
    struct asked early = { 0 }, late = { 0 };
    start(&late.query, "silent.example", DNS_A, 60000, on_done);
    start(&early.query, "silent.example", DNS_A, 20, on_done);
    await(&early.n_done, 1);
    assert_int_equal(early.answer.status, DNS_UNAVAILABLE);
    assert_int_equal(late.n_done, 0);
    resolver_cancel(&late.query);
}

/* ---- many at once; libunbound's own bounds are 16 questions over UDP and 2 connections */

enum { MANY = 200, MANY_TCP = 24 };

static void many_questions_are_sent_at_once_and_from_many_ports(void **state) {
    static struct asked a[MANY];
    memset(a, 0, sizeof(a));
    for (int i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "silent.n%d.example", i);
        start(&a[i].query, name, DNS_A, 60000, on_done);
    }
    for (int i = 0; i < 2 * MANY && server.n_asked < MANY; i++)
        assert_int_equal(loop_turn(loop, 0), 0); /* no time for a second try */
    assert_true(server.n_asked >= MANY);
    assert_true(server.n_new_ports > MANY / 2);
    for (int i = 0; i < MANY; i++)
        resolver_cancel(&a[i].query);
}

static void an_answer_that_was_cut_off_is_asked_for_over_tcp(void **state) {
    struct asked a;
    assert_int_equal(ask(&a, "large.example"), DNS_FOUND);
    assert_int_equal(a.answer.n, 1);
    assert_int_equal(server.n_tcp, 1);
}

static void many_answers_that_were_cut_off_do_not_wait_for_each_other(void **state) {
    static struct asked a[MANY_TCP];
    memset(a, 0, sizeof(a));
    server.holds_tcp = true;
    for (int i = 0; i < MANY_TCP; i++) {
        char name[32];
        snprintf(name, sizeof(name), "large.n%d.example", i);
        start(&a[i].query, name, DNS_A, 5000, on_done);
    }
    await(&server.n_tcp, MANY_TCP);
    dns_server_release(&server);
    for (int i = 0; i < MANY_TCP; i++) {
        await(&a[i].n_done, 1);
        assert_int_equal(a[i].answer.status, DNS_FOUND);
    }
}

static void what_cannot_be_set_up_is_told(void **state) {
    static const struct resolver_stub stub = { "a..b", { .port = 53 } };
    const struct resolver_settings host = { .way = RESOLVER_HOST, .resolv_conf = "/nonexistent/resolv.conf" };
    const struct resolver_settings stubs = { .way = RESOLVER_FORWARD, .forwarders = &server.at, .n_forwarders = 1,
                                             .stubs = &stub, .n_stubs = 1 };
    struct resolver *none;
    const char *error;
    assert_int_equal(resolver_new(loop, &host, &none, &error), -EINVAL);
    assert_string_equal(error, "resolv.conf");
    assert_int_equal(resolver_new(loop, &stubs, &none, &error), -EINVAL);
    assert_string_equal(error, "stub zones");
}

static void the_server_of_a_zone_is_asked_for_the_whole_name_at_once(void **state) {
    const struct resolver_stub stub = { "bl.example", server.at };
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = &server.at, .n_forwarders = 1,
                                                .stubs = &stub, .n_stubs = 1 };
    const char *error;
    struct asked a = { .n_done = 0 };
    resolver_free(resolver);
    assert_int_equal(resolver_new(loop, &settings, &resolver, &error), 0);
    dns_server_play(&server, "7.113.0.203.bl.example", DNS_TYPE_ANY, DNS_PLAYS_EMPTY);
    start(&a.query, "7.113.0.203.bl.example", DNS_TXT, 1000, on_done);
    await(&a.n_done, 1);
    assert_int_equal(a.answer.status, DNS_NO_DATA);
    /* and not for 203.bl.example, 0.203.bl.example … before; an empty answer may make libunbound ask twice */
    assert_true(server.n_asked > 0);
    assert_int_equal(dns_server_asked(&server, "TXT 7.113.0.203.bl.example"), server.n_asked);
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
        TEST(a_name_has_253_bytes_at_most_and_they_may_be_any),
        TEST(a_cached_answer_comes_later_too),
        TEST(silence_ends_at_our_deadline),
        TEST(an_answer_that_cannot_be_read_is_not_known),
        TEST(nothing_comes_after_a_cancel),
        TEST(a_query_can_ask_again_from_its_own_end),
        TEST(questions_past_the_bound_are_not_asked_even_when_the_others_were_cancelled),
        TEST(freeing_with_cancelled_questions_under_way_is_quiet),
        TEST(a_zone_that_libunbound_knows_itself_is_asked_where_a_server_is_named_for_it),
        TEST(names_of_private_addresses_are_asked_like_others),
        TEST(what_libunbound_answers_by_itself_comes_in_a_later_turn_too),
        TEST(a_client_that_leaves_slow_questions_behind_does_not_stop_another),
        TEST(a_domain_whose_server_is_slow_does_not_stop_others),
        TEST(refusals_are_told_once_a_spell_with_whom_they_began),
        TEST(what_is_known_is_answered_when_there_is_no_room_at_all),
        TEST(who_asks_what_is_under_way_needs_no_room_and_gets_the_same_answer),
        TEST(who_waits_for_the_same_has_a_deadline_of_his_own),
        TEST(many_questions_are_sent_at_once_and_from_many_ports),
        TEST(an_answer_that_was_cut_off_is_asked_for_over_tcp),
        TEST(many_answers_that_were_cut_off_do_not_wait_for_each_other),
        TEST(the_server_of_a_zone_is_asked_for_the_whole_name_at_once),
        TEST(what_cannot_be_set_up_is_told),
        cmocka_unit_test(reverse_names_are_those_of_the_rfcs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
