/*
 * Gathering for a policy: what no rule needs is not asked, what cannot matter any more is given up, and what is known
 * in a scope is not asked again.
 */
#include "facts/gather.h"

#include "stage.h"

#include "base/hash.h"

#include <unistd.h>

#define REVERSE "7.113.0.203.in-addr.arpa"

static struct conf *conf;
static struct gather_world world;
static struct gather_memory *memory;
static struct policy_verdict verdict;
static unsigned n_done;
static bool is_enforced;

static void load(const char *policy) {
    char folder[] = "/tmp/postern-gather-XXXXXX", path[64], text[256];
    struct diag_list diag;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/policy", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(policy, file);
    fclose(file);
    snprintf(text, sizeof(text), "hostname mx.example.com\nlisten 127.0.0.1:25\nservers m {\n server 127.0.0.1:26\n}\n"
             "domain example.com {\n servers m\n}\npolicy %s\n", path);
    diag_init(&diag);
    int r = conf_load_text("postern.conf", str_of(text), &diag, &conf);
    unlink(path);
    rmdir(folder);
    if (r < 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    world = (struct gather_world){ .loop = loop, .resolver = resolver, .conf = conf, .timeout_ms = 1000 };
    memory = gather_memory_new(conf->policy.policy);
    assert_non_null(memory);
    n_done = 0;
    is_enforced = true;
}

static int teardown(void **state) {
    free(memory);
    conf_free(conf);
    return stage_teardown(state);
}

static void on_done(void *arg, const struct policy_verdict *told) {
    verdict = *told;
    n_done++;
}

static struct gather_known known_of(const char *helo, const char *sender) {
    struct gather_known known = {
        .client = stage_ip("203.0.113.7"), .has_helo = true, .helo = str_of(helo),
        .rcpt_local = fact_bool(true), .rcpt_known = fact_bool(true), .relay_allowed = fact_bool(false),
        .enforced = fact_bool(is_enforced),
    };
    if (*sender != '\0')
        assert_int_equal(smtp_address_parse(str_of(sender), true, &known.sender), SMTP_ADDRESS_OK);
    return known;
}

static struct gather *begin(const char *helo, const char *sender) {
    const struct gather_known known = known_of(helo, sender);
    return gather_start(&world, &conf->policy, LAYER_POLICY, &known, memory, on_done, NULL);
}

static void decide(const char *helo, const char *sender) {
    unsigned before = n_done;
    assert_non_null(begin(helo, sender));
    assert_int_equal(n_done, before); /* law 1 */
    stage_await(&n_done, before + 1);
}

static void a_rule_that_cannot_fire_asks_nothing(void **state) {
    load("layer policy { reject \"R\" when helo.address and ptr.none }\n");
    decide("good.example", "a@b.example");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_int_equal(server.n_asked, 0);
}

static void the_rule_that_fires_is_asked_for_alone_and_once(void **state) {
    load("layer policy {\n reject \"R\" when helo.address and ptr.none\n reject \"S\" when not sender.resolves\n}\n");
    decide("[203.0.113.7]", "a@b.example");
    assert_int_equal(verdict.action, ACT_REJECT);
    assert_int_equal(dns_server_asked(&server, "PTR *"), 1);
    assert_int_equal(dns_server_asked(&server, "* b.example"), 0);
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    unsigned before = server.n_asked;
    decide("[203.0.113.7]", "a@b.example");
    assert_int_equal(server.n_asked, before);
}

/* ---- rehearsals */

static struct gather *begin_rehearsal(const char *helo, const char *sender) {
    const struct gather_known known = known_of(helo, sender);
    return gather_rehearse(&world, &conf->policy, LAYER_POLICY, &known, memory, on_done, NULL);
}

static void rehearse(const char *helo, const char *sender) {
    unsigned before = n_done;
    assert_non_null(begin_rehearsal(helo, sender));
    assert_int_equal(n_done, before); /* law 1 */
    stage_await(&n_done, before + 1);
}

/* The first rule that would have acted. */
static struct str shadow_hit(void) {
    int rule = set_next(&verdict.shadow, 0);
    return rule < 0 ? STR("") : conf->policy.policy->rules[rule].name;
}

static enum fact_state state_of(enum fact_id id) {
    const struct policy *policy = conf->policy.policy;
    return fact_at(policy, &memory->facts, (unsigned)(policy_slot(policy, id) - policy->slots))->state;
}

static void the_verdict_asks_nothing_for_a_shadow_rule_but_the_rehearsal_does(void **state) {
    load("layer policy {\n shadow reject \"R\" when helo.address and ptr.none\n reject \"S\" when helo.address\n}\n");
    const struct gather_known known = known_of("[203.0.113.7]", "a@b.example");
    assert_true(gather_now(&world, &conf->policy, LAYER_POLICY, &known, memory, &verdict));
    assert_int_equal(verdict.action, ACT_REJECT);
    assert_false(set_is_empty(&verdict.shadow_need));
    assert_int_equal(server.n_asked, 0);
    rehearse("[203.0.113.7]", "a@b.example");
    assert_int_equal(verdict.action, ACT_REJECT);
    assert_true(str_eq(shadow_hit(), STR("R")));
    assert_true(set_is_empty(&verdict.shadow_need));
}

static void a_verdict_that_waits_for_facts_waits_for_none_of_a_shadow_rule(void **state) {
    load("layer policy {\n shadow reject \"R\" when not sender.resolves\n reject \"S\" when ptr.none\n}\n");
    decide("mail.example", "a@b.example");
    assert_int_equal(verdict.action, ACT_REJECT);
    assert_int_equal(dns_server_asked(&server, "* b.example"), 0);
    rehearse("mail.example", "a@b.example");
    assert_true(str_eq(shadow_hit(), STR("R")));
    assert_int_equal(dns_server_asked(&server, "PTR *"), 1);
}

static void rules_that_are_not_enforced_are_rehearsed_to_their_end(void **state) {
    load("layer policy {\n reject \"R\" when helo.address and ptr.none\n}\n");
    is_enforced = false;
    decide("[203.0.113.7]", "a@b.example");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_int_equal(server.n_asked, 0);
    rehearse("[203.0.113.7]", "a@b.example");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_true(str_eq(shadow_hit(), STR("R")));
}

static void what_does_not_come_in_time_ends_a_rehearsal(void **state) {
    load("layer policy {\n shadow reject \"R\" when ptr.none\n shadow reject \"S\" when helo.address\n}\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    world.timeout_ms = 60;
    rehearse("[203.0.113.7]", "a@b.example");
    assert_true(str_eq(shadow_hit(), STR("S")));
    assert_int_equal(state_of(F_PTR_NONE), FACT_UNAVAILABLE);
}

static void a_rehearsal_that_is_cancelled_leaves_what_it_knows(void **state) {
    load("layer policy {\n shadow reject \"R\" when ptr.none\n shadow reject \"S\" when not sender.resolves\n}\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    struct gather *gather = begin_rehearsal("mail.example", "a@b.example");
    for (uint64_t until = loop_now(loop) + 5000; state_of(F_SENDER_RESOLVES) != FACT_KNOWN && loop_now(loop) < until;)
        assert_int_equal(loop_turn(loop, 20), 0);
    gather_cancel(gather);
    stage_settle();
    assert_int_equal(n_done, 0);
    assert_int_equal(state_of(F_PTR_NONE), FACT_UNASKED);
    const struct gather_known known = known_of("mail.example", "a@b.example");
    assert_true(gather_now(&world, &conf->policy, LAYER_POLICY, &known, memory, &verdict));
    assert_true(str_eq(shadow_hit(), STR("S")));
}

static void a_copy_outlives_what_it_was_made_of(void **state) {
    load("layer policy {\n shadow reject \"R\" when ptr.none and helo.name == \"mail.example\"\n}\n");
    struct arena arena = { 0 };
    char *helo = strdup("mail.example"), *sender = strdup("a@b.example");
    struct gather_known known = known_of(helo, sender);
    assert_true(gather_now(&world, &conf->policy, LAYER_POLICY, &known, memory, &verdict));
    struct gather_memory *copy = gather_memory_copy(memory, conf->policy.policy, &arena);
    assert_non_null(copy);
    assert_true(gather_known_keep(&known, &arena));
    gather_forget(memory, conf->policy.policy, SCOPE_CONNECTION);
    free(helo);
    free(sender);
    assert_true(str_eq(known.sender.domain, STR("b.example")) && str_eq(known.sender.local, STR("a")));
    assert_non_null(gather_rehearse(&world, &conf->policy, LAYER_POLICY, &known, copy, on_done, NULL));
    stage_await(&n_done, 1);
    assert_true(str_eq(shadow_hit(), STR("R")));
    assert_int_equal(state_of(F_PTR_NONE), FACT_UNASKED); /* the session's own memory learns nothing */
    arena_reset(&arena);
}

/* ---- time-outs */

static void what_does_not_come_in_time_refuses_nobody(void **state) {
    load("layer policy {\n reject \"R\" when helo.address and ptr.none\n}\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    world.timeout_ms = 60;
    decide("[203.0.113.7]", "");
    assert_int_equal(verdict.action, ACT_PASS);
}

static void behind_an_open_rule_a_reject_becomes_451(void **state) {
    load("layer policy {\n accept \"A\" when ptr.confirmed\n reject \"R\" when helo.address\n}\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    world.timeout_ms = 60;
    decide("[203.0.113.7]", "");
    assert_int_equal(verdict.reply->code, 451);
    assert_true(str_eq(verdict.reply->enhanced, STR("4.4.3")));
}

static void what_dns_need_not_be_asked_about_is_decided_at_once(void **state) {
    static const struct {
        const char *helo, *sender;
        enum policy_action action;
    } rows[] = { { "[203.0.113.7]", "", ACT_PASS }, { "203.0.113.7", "a@[192.0.2.1]", ACT_PASS },
                 { "[203.0.113.8]", "", ACT_REJECT }, { "under score", "", ACT_DEFER } };
    load("layer policy {\n    reject \"S\" when not sender.resolves or sender.null_mx\n"
         "    defer \"H\" when not helo.resolves\n    reject \"M\" when not helo.matches\n}\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct gather_known known = known_of(rows[i].helo, rows[i].sender);
        gather_forget(memory, conf->policy.policy, SCOPE_CONNECTION);
        assert_true(gather_now(&world, &conf->policy, LAYER_POLICY, &known, memory, &verdict));
        assert_int_equal(verdict.action, rows[i].action);
    }
    assert_int_equal(server.n_asked, 0);
}

static void a_pattern_that_takes_too_long_refuses_nobody(void **state) {
    char helo[200];
    memset(helo, 'a', sizeof(helo));
    helo[sizeof(helo) - 1] = '\0';
    load("layer policy { reject \"P\" when not helo.name ~ \"^(a|aa)+$|^(aa|aaa)+!$\" }\n");
    decide("b", "");
    assert_int_equal(verdict.action, ACT_REJECT);
    gather_forget(memory, conf->policy.policy, SCOPE_HELLO);
    helo[sizeof(helo) - 2] = '!';
    decide(helo, "");
    assert_int_equal(verdict.action, ACT_PASS);
}

static void helo_resolves_does_not_ask_for_the_ptr(void **state) {
    load("layer policy { reject \"R\" when not helo.resolves }\n");
    dns_server_add(&server, "mail.example", DNS_A, "192.0.2.1");
    decide("mail.example", "");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_int_equal(dns_server_asked(&server, "PTR *"), 0);
}

static void helo_matches_by_the_organisation_of_the_confirmed_ptr(void **state) {
    load("layer policy { reject \"R\" when not helo.matches }\n");
    dns_server_add(&server, REVERSE, DNS_PTR, "out7.example.com");
    dns_server_add(&server, "out7.example.com", DNS_A, "203.0.113.7");
    decide("mail.example.com.", "");
    assert_int_equal(verdict.action, ACT_PASS);
    gather_forget(memory, conf->policy.policy, SCOPE_HELLO);
    decide("mail.example.org", "");
    assert_int_equal(verdict.action, ACT_REJECT);
}

static void a_sender_in_utf8_is_not_refused(void **state) {
    load("layer policy { reject \"S\" when not sender.resolves }\n");
    decide("mail.example", "a@m\xc3\xbcnchen.example");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_int_equal(server.n_asked, 0);
}

static void nothing_comes_after_a_cancel_and_all_can_be_asked_again(void **state) {
    load("layer policy {\n reject \"R\" when ptr.none\n}\n");
    gather_cancel(begin("mail.example", ""));
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    struct gather *gather = begin("mail.example", "");
    stage_await_question("PTR *", 1);
    gather_cancel(gather);
    gather_cancel(NULL);
    stage_settle();
    assert_int_equal(n_done, 0);
    assert_int_equal(state_of(F_PTR_NONE), FACT_UNASKED);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_rule_that_cannot_fire_asks_nothing),
        TEST(the_rule_that_fires_is_asked_for_alone_and_once),
        TEST(the_verdict_asks_nothing_for_a_shadow_rule_but_the_rehearsal_does),
        TEST(a_verdict_that_waits_for_facts_waits_for_none_of_a_shadow_rule),
        TEST(rules_that_are_not_enforced_are_rehearsed_to_their_end),
        TEST(what_does_not_come_in_time_ends_a_rehearsal),
        TEST(a_rehearsal_that_is_cancelled_leaves_what_it_knows),
        TEST(a_copy_outlives_what_it_was_made_of),
        TEST(what_does_not_come_in_time_refuses_nobody),
        TEST(behind_an_open_rule_a_reject_becomes_451),
        TEST(what_dns_need_not_be_asked_about_is_decided_at_once),
        TEST(a_pattern_that_takes_too_long_refuses_nobody),
        TEST(helo_resolves_does_not_ask_for_the_ptr),
        TEST(helo_matches_by_the_organisation_of_the_confirmed_ptr),
        TEST(a_sender_in_utf8_is_not_refused),
        TEST(nothing_comes_after_a_cancel_and_all_can_be_asked_again),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
