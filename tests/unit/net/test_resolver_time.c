/*
 * What libunbound remembers, and for how long: answers, their absence, servers that are away. On a clock of ours, both
 * the loop's and the wall clock that libunbound reads, so that minutes pass at once.
 */
#include "net/resolver.h"

#include "dns_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 4000, STEP_MS = 50 };

static uint64_t now_ms;

/* In place of libc's, for libunbound. */
int gettimeofday(struct timeval *restrict ret_time, void *restrict zone) {
    *ret_time = (struct timeval){ .tv_sec = (time_t)(now_ms / 1000), .tv_usec = (suseconds_t)(now_ms % 1000 * 1000) };
    return 0;
}

time_t time(time_t *ret_time) {
    if (ret_time != NULL)
        *ret_time = (time_t)(now_ms / 1000);
    return (time_t)(now_ms / 1000);
}

static struct stage {
    struct loop *loop;
    struct dns_server server, other;
    struct resolver *resolver;
    struct endpoint servers[2];
    unsigned n_names;
} t;

struct asked {
    struct resolver_query query; /* first */
    enum dns_status status;
    unsigned n_done;
};

/* ---- the stage */

static void open_resolver(unsigned n_servers, unsigned max_in_flight) {
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = t.servers,
                                                .n_forwarders = n_servers, .max_in_flight = max_in_flight };
    const char *error;
    assert_int_equal(resolver_new(t.loop, &settings, &t.resolver, &error), 0);
}

static int setup(void **state) {
    t = (struct stage){ 0 };
    now_ms = 1700000000000;
    assert_int_equal(loop_new(&t.loop), 0);
    loop_set_time(t.loop, now_ms);
    dns_server_open(&t.server, t.loop);
    dns_server_open(&t.other, t.loop);
    t.servers[0] = t.server.at;
    t.servers[1] = t.other.at;
    return 0;
}

static int teardown(void **state) {
    resolver_free(t.resolver);
    dns_server_close(&t.server, t.loop);
    dns_server_close(&t.other, t.loop);
    loop_free(t.loop);
    return 0;
}

static void settle(void) {
    for (int i = 0; i < 12; i++) /* a question and its answer need three turns */
        assert_int_equal(loop_turn(t.loop, 0), 0);
}

static void pass_time(uint64_t ms) {
    for (uint64_t end = now_ms + ms; now_ms < end;) {
        now_ms += end - now_ms < STEP_MS ? end - now_ms : STEP_MS;
        loop_set_time(t.loop, now_ms);
        settle();
    }
}

static void on_done(struct resolver_query *query, const struct dns_answer *answer) {
    struct asked *a = (struct asked *)query;
    a->status = answer->status;
    a->n_done++;
}

static void start(struct resolver_query *query, const char *name, enum dns_type type, uint64_t timeout_ms,
                  resolver_fn *done) {
    const struct resolver_question question = { .name = name, .type = type, .timeout_ms = timeout_ms,
                                                .purpose = RESOLVER_OWN };
    resolver_start(t.resolver, query, &question, done);
}

/* Asks, and lets time pass until there is an answer: our deadline at the latest. */
static enum dns_status answer_to(const char *name) {
    struct asked a = { .n_done = 0 };
    uint64_t began = now_ms;
    start(&a.query, name, DNS_A, TIMEOUT_MS, on_done);
    settle();
    while (a.n_done == 0 && now_ms < began + TIMEOUT_MS)
        pass_time(STEP_MS);
    assert_int_equal(a.n_done, 1);
    return a.status;
}

/* A name that nobody asked about yet. */
static enum dns_status answer_to_another(void) {
    char name[32];
    snprintf(name, sizeof(name), "n%u.example", t.n_names++);
    return answer_to(name);
}

/* ---- answers */

static void an_answer_is_remembered_as_long_as_it_says(void **state) {
    open_resolver(1, 0);
    dns_server_add(&t.server, "*", DNS_A, "192.0.2.1"); /* for 60 s */
    assert_int_equal(answer_to("a.example"), DNS_FOUND);
    pass_time(58000);
    assert_int_equal(answer_to("a.example"), DNS_FOUND);
    assert_int_equal(t.server.n_asked, 1);
    pass_time(3000);
    assert_int_equal(answer_to("a.example"), DNS_FOUND);
    assert_int_equal(t.server.n_asked, 2);
}

static void that_there_is_nothing_is_remembered_for_ten_minutes_at_most(void **state) {
    open_resolver(1, 0);
    dns_server_play(&t.server, "none.example", DNS_TYPE_ANY, DNS_PLAYS_NO_NAME_FOR_LONG);
    assert_int_equal(answer_to("none.example"), DNS_NO_NAME);
    pass_time(598000);
    assert_int_equal(answer_to("none.example"), DNS_NO_NAME);
    assert_int_equal(t.server.n_asked, 1);
    dns_server_forget(&t.server);
    dns_server_add(&t.server, "*", DNS_A, "192.0.2.1");
    pass_time(4000);
    assert_int_equal(answer_to("none.example"), DNS_FOUND);
}

/* ---- servers */

static void a_server_that_is_back_is_noticed_at_once(void **state) {
    open_resolver(1, 0);
    dns_server_play(&t.server, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(answer_to_another(), DNS_UNAVAILABLE);
    dns_server_forget(&t.server);
    dns_server_add(&t.server, "*", DNS_A, "192.0.2.1");
    assert_int_equal(answer_to_another(), DNS_FOUND);
}

/* A forwarder is silent about a name whose own server is. That must not make it a server that is away. */
static void names_that_a_forwarder_does_not_answer_cost_other_names_nothing(void **state) {
    static struct asked slow[180];
    open_resolver(1, 0);
    memset(slow, 0, sizeof(slow));
    dns_server_play(&t.server, "silent.*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    dns_server_add(&t.server, "n*", DNS_A, "192.0.2.1");
    for (unsigned i = 0; i < 180; i++) {
        char name[48];
        snprintf(name, sizeof(name), "silent.n%u.slow.example", i);
        start(&slow[i].query, name, DNS_A, 1000, on_done);
        if (i % 3 != 0)
            continue;
        pass_time(1000);
        assert_int_equal(answer_to_another(), DNS_FOUND);
    }
    pass_time(16000);
    assert_int_equal(resolver_waiting(t.resolver), 0);
    assert_int_equal(resolver_counters(t.resolver)->in_flight, 0);
}

/* libunbound remembers a failure for 5 s. */
static void what_a_server_did_not_answer_is_asked_again_when_it_is_back(void **state) {
    open_resolver(1, 0);
    dns_server_play(&t.server, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    assert_int_equal(answer_to("a.example"), DNS_UNAVAILABLE);
    dns_server_forget(&t.server);
    dns_server_add(&t.server, "*", DNS_A, "192.0.2.1");
    pass_time(6000);
    assert_int_equal(answer_to("a.example"), DNS_FOUND);
}

static void one_dead_server_of_two_costs_no_answer(void **state) {
    dns_server_play(&t.server, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    dns_server_add(&t.other, "*", DNS_A, "192.0.2.1");
    open_resolver(2, 0);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(answer_to_another(), DNS_FOUND);
}

static void of_two_servers_of_a_zone_one_may_be_dead(void **state) {
    const struct resolver_stub stubs[] = { { "bl.example", t.server.at }, { "bl.example", t.other.at } };
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = t.servers, .n_forwarders = 1,
                                                .stubs = stubs, .n_stubs = 2 };
    const char *error;
    dns_server_play(&t.server, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    dns_server_add(&t.other, "*", DNS_A, "127.0.0.2");
    assert_int_equal(resolver_new(t.loop, &settings, &t.resolver, &error), 0);
    for (unsigned i = 0; i < 10; i++) {
        char name[48];
        snprintf(name, sizeof(name), "%u.113.0.203.bl.example", i);
        assert_int_equal(answer_to(name), DNS_FOUND);
    }
}

/* ---- questions that were given up */

static void questions_that_were_given_up_count_until_libunbound_is_done_with_them(void **state) {
    open_resolver(1, 2);
    const struct resolver_counters *counters = resolver_counters(t.resolver);
    dns_server_play(&t.server, "silent.*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    dns_server_add(&t.server, "ok.*", DNS_A, "192.0.2.1");
    struct asked a[2] = { { .n_done = 0 } };
    for (int i = 0; i < 2; i++) {
        start(&a[i].query, i == 0 ? "silent.a.example" : "silent.b.example", DNS_A, 1000, on_done);
        settle();
    }
    pass_time(1000);
    assert_int_equal(a[0].n_done + a[1].n_done, 2);
    assert_int_equal(resolver_waiting(t.resolver), 0);
    assert_int_equal(counters->in_flight, 2);
    assert_int_equal(answer_to("ok.a.example"), DNS_UNAVAILABLE);
    assert_int_equal(counters->refused[RESOLVER_FULL], 1);
    for (unsigned i = 0; counters->in_flight > 0; i++) {
        assert_true(i < 100);
        pass_time(1000);
    }
    assert_int_equal(answer_to("ok.b.example"), DNS_FOUND);
    assert_int_equal(counters->refused[RESOLVER_FULL], 1);
    assert_int_equal(a[0].n_done + a[1].n_done, 2);
}

static void libunbound_goes_on_with_a_question_no_longer_than_it_counts(void **state) {
    struct asked a = { .n_done = 0 };
    open_resolver(1, 0);
    dns_server_play(&t.server, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    start(&a.query, "silent.example", DNS_A, 300000, on_done);
    settle();
    for (uint64_t end = now_ms + 16000; a.n_done == 0 && now_ms < end;)
        pass_time(STEP_MS);
    assert_int_equal(a.n_done, 1);
    assert_int_equal(a.status, DNS_UNAVAILABLE);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_remembered_as_long_as_it_says),
        TEST(that_there_is_nothing_is_remembered_for_ten_minutes_at_most),
        TEST(a_server_that_is_back_is_noticed_at_once),
        TEST(names_that_a_forwarder_does_not_answer_cost_other_names_nothing),
        TEST(what_a_server_did_not_answer_is_asked_again_when_it_is_back),
        TEST(one_dead_server_of_two_costs_no_answer),
        TEST(of_two_servers_of_a_zone_one_may_be_dead),
        TEST(libunbound_goes_on_with_a_question_no_longer_than_it_counts),
        TEST(questions_that_were_given_up_count_until_libunbound_is_done_with_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
