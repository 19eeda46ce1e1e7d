/*
 * The greylist in a gathering: who is asked about, when, with which effect, and what follows when the store is slow,
 * away, or not there.
 */
#include "facts/gather.h"

#include "fake_store.h"
#include "stage.h"

#include "facts/dnsbl.h"

#include <unistd.h>

#define REVERSE "7.113.0.203.in-addr.arpa"

static struct conf *conf;
static struct gather_world world;
static struct gather_memory *memory;
static struct store_client *client;
static struct fake_store store;
static struct dnsbl *dnsbl;
static struct policy_verdict verdict;
static unsigned n_done;
static bool is_enforced;

static void load(const char *policy) {
    char folder[] = "/tmp/postern-gather-XXXXXX", path[64], text[512];
    struct diag_list diag;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/policy", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(policy, file);
    fclose(file);
    snprintf(text, sizeof(text), "hostname mx.example.com\nlisten 127.0.0.1:25\nservers m {\n server 127.0.0.1:26\n}\n"
             "domain example.com {\n servers m\n}\nstore {\n path %s/store\n timeout 50ms\n}\nblock_list bl.test\n"
             "policy %s\n", folder, path);
    diag_init(&diag);
    int r = conf_load_text("postern.conf", str_of(text), &diag, &conf);
    unlink(path);
    rmdir(folder);
    if (r < 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    world = (struct gather_world){ .loop = loop, .resolver = resolver, .conf = conf, .timeout_ms = 1000,
                                   .store = client };
    memory = gather_memory_new(conf->policy.policy);
    assert_non_null(memory);
}

static int setup(void **state) {
    stage_setup(state);
    assert_int_equal(store_client_new(loop, &client), 0);
    fake_store_open(&store, loop, client);
    n_done = 0;
    is_enforced = true;
    return 0;
}

static int teardown(void **state) {
    dnsbl_free(dnsbl);
    dnsbl = NULL;
    fake_store_close(&store);
    store_client_free(client);
    free(memory);
    conf_free(conf);
    return stage_teardown(state);
}

static void on_done(void *arg, const struct policy_verdict *told) {
    verdict = *told;
    n_done++;
}

static struct gather_known known_of(const char *helo) {
    struct gather_known known = {
        .client = stage_ip("203.0.113.7"), .has_helo = true, .helo = str_of(helo),
        .rcpt_local = fact_bool(true), .rcpt_known = fact_bool(true), .relay_allowed = fact_bool(false),
        .enforced = fact_bool(is_enforced),
    };
    assert_int_equal(smtp_address_parse(STR("Anna+x@b.example"), true, &known.sender), SMTP_ADDRESS_OK);
    assert_int_equal(smtp_address_parse(STR("Bert@example.com"), true, &known.recipient), SMTP_ADDRESS_OK);
    return known;
}

static struct gather *begin(const char *helo) {
    struct gather_known known = known_of(helo);
    return gather_start(&world, &conf->policy, LAYER_POLICY, &known, memory, on_done, NULL);
}

static void decide(const char *helo) {
    unsigned before = n_done;
    assert_non_null(begin(helo));
    assert_int_equal(n_done, before); /* law 1 */
    stage_await(&n_done, before + 1);
}

/* The same for rules that change nothing, as after the reply. */
static void rehearse(const char *helo) {
    unsigned before = n_done;
    struct gather_known known = known_of(helo);
    assert_non_null(gather_rehearse(&world, &conf->policy, LAYER_POLICY, &known, memory, on_done, NULL));
    stage_await(&n_done, before + 1);
}

static void assert_heard(const char *expected) {
    stage_settle();
    buf_putc(&store.heard, '\0');
    assert_string_equal(store.heard.at, expected);
    buf_clear(&store.heard);
}

static const char policy[] = "layer greylist { greylist \"G\" when ptr.none or helo.address }\n"
                             "layer policy {\n reject \"S\" when not sender.resolves\n"
                             " reject \"L\" when dnsbl.hits >= 1\n}\n";

static void a_good_client_is_not_asked_about(void **state) {
    load(policy);
    dns_server_add(&server, REVERSE, DNS_PTR, "mail.example");
    dns_server_add(&server, "b.example", DNS_A, "192.0.2.1");
    decide("mail.example");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_heard("");
    assert_false(memory->greylist.is_answered);
}

static void a_suspicious_one_waits_and_no_further_question_is_put(void **state) {
    const struct dnsbl_settings settings = { 0 };
    load(policy);
    assert_int_equal(dnsbl_new(loop, resolver, conf->block_lists, conf->n_block_lists, &settings, &dnsbl), 0);
    world.dnsbl = dnsbl;
    decide("mail.example");
    assert_int_equal(verdict.action, ACT_GREYLIST);
    assert_int_equal(verdict.reply->code, 451);
    assert_int_equal(memory->greylist.answer.seconds_left, 300);
    assert_heard("ask net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
    assert_int_equal(dns_server_asked(&server, "* b.example"), 0);
    assert_int_equal(dns_server_asked(&server, "* 7.113.0.203.bl.test"), 0);
}

static void who_has_waited_goes_on_to_the_next_layer(void **state) {
    load(policy);
    store.answer = (struct greylist_answer){ .status = GREYLIST_RETRY, .waited = 312, .may_count = true };
    decide("mail.example");
    assert_int_equal(verdict.action, ACT_REJECT);
    assert_true(str_eq(conf->policy.policy->rules[verdict.rule].name, STR("S")));
    assert_int_equal(memory->greylist.answer.waited, 312);
}

static void the_name_is_looked_up_first_where_no_rule_asks_for_it(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    dns_server_add(&server, REVERSE, DNS_PTR, "mx1.example.org");
    dns_server_add(&server, "mx1.example.org", DNS_A, "203.0.113.7");
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_GREYLIST);
    assert_heard("ask org:example.org net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
}

static void each_recipient_is_asked_about_once(void **state) {
    load(policy);
    decide("mail.example");
    assert_heard("ask net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
    decide("mail.example"); /* decided again with what is known */
    assert_heard("");
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    assert_false(memory->greylist.is_answered);
    decide("mail.example");
    assert_heard("ask net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
}

static void no_name_server_that_is_silent_gets_a_client_past_the_greylist(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    world.timeout_ms = 60;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_GREYLIST);
    assert_heard("ask (net:203.0.113.0/24) ip:203.0.113.7 anna@b.example bert@example.com\n");
}

static void the_end_of_time_for_dns_does_not_end_a_question_to_the_store(void **state) {
    load("layer greylist { greylist \"G\" when helo.address or sender.null_mx }\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    world.timeout_ms = 1;
    store.mood = FAKE_STORE_IS_SILENT;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_false(memory->greylist.is_answered);
}

static void without_dns_a_client_is_known_by_its_address(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    world.resolver = NULL;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_GREYLIST);
    assert_heard("ask (net:203.0.113.0/24) ip:203.0.113.7 anna@b.example bert@example.com\n");
}

static void a_store_that_is_away_slow_or_missing_lets_pass(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    store.mood = FAKE_STORE_IS_AWAY;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_PASS);
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    store.mood = FAKE_STORE_IS_SILENT;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_PASS);
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    world.store = NULL;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_PASS);
}

static void without_the_store_a_reject_behind_the_greylist_is_451(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\nlayer policy { reject \"R\" when helo.address }\n");
    store.mood = FAKE_STORE_IS_AWAY;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.reply->code, 451);
    assert_int_equal(verdict.cause, CAUSE_OPEN);
}

static void rules_that_are_not_enforced_ask_without_effect(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    is_enforced = false;
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_heard("");
    rehearse("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_PASS);
    assert_true(set_next(&verdict.shadow, 0) >= 0);
    assert_true(memory->greylist.is_read_only);
    assert_heard("look net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
}

static void who_only_wants_to_know_asks_without_effect(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    rehearse("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_GREYLIST);
    assert_heard("look net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
}

static void a_session_may_end_while_the_store_is_asked(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    store.mood = FAKE_STORE_IS_SILENT;
    struct gather *gather = begin("[203.0.113.7]");
    for (int i = 0; i < 1000 && store.heard.len == 0; i++)
        assert_int_equal(loop_turn(loop, 5), 0);
    assert_true(store.heard.len > 0);
    gather_cancel(gather);
    stage_settle();
    assert_int_equal(n_done, 0);
    store.mood = FAKE_STORE_ANSWERS; /* it is unasked, and may be asked again */
    decide("[203.0.113.7]");
    assert_int_equal(verdict.action, ACT_GREYLIST);
}

static void a_session_may_end_before_the_name_is_known(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    dns_server_play(&server, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    struct gather *gather = begin("[203.0.113.7]");
    stage_await_question("PTR *", 1);
    gather_cancel(gather);
    stage_settle();
    assert_int_equal(n_done, 0);
    assert_heard("");
}

static void a_credit_names_the_same_triplet(void **state) {
    load("layer greylist { greylist \"G\" when helo.address }\n");
    struct gather_known known = known_of("[203.0.113.7]");
    decide("[203.0.113.7]");
    buf_clear(&store.heard);
    gather_credit(&world, memory, &known.client, &known.sender, &known.recipient);
    assert_heard("credit net:203.0.113.0/24 ip:203.0.113.7 anna@b.example bert@example.com\n");
    world.store = NULL;
    gather_credit(&world, memory, &known.client, &known.sender, &known.recipient);
    assert_heard("");
}

#define GREYLIST_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        GREYLIST_TEST(a_good_client_is_not_asked_about),
        GREYLIST_TEST(a_suspicious_one_waits_and_no_further_question_is_put),
        GREYLIST_TEST(who_has_waited_goes_on_to_the_next_layer),
        GREYLIST_TEST(the_name_is_looked_up_first_where_no_rule_asks_for_it),
        GREYLIST_TEST(each_recipient_is_asked_about_once),
        GREYLIST_TEST(no_name_server_that_is_silent_gets_a_client_past_the_greylist),
        GREYLIST_TEST(the_end_of_time_for_dns_does_not_end_a_question_to_the_store),
        GREYLIST_TEST(without_dns_a_client_is_known_by_its_address),
        GREYLIST_TEST(a_store_that_is_away_slow_or_missing_lets_pass),
        GREYLIST_TEST(without_the_store_a_reject_behind_the_greylist_is_451),
        GREYLIST_TEST(rules_that_are_not_enforced_ask_without_effect),
        GREYLIST_TEST(who_only_wants_to_know_asks_without_effect),
        GREYLIST_TEST(a_session_may_end_while_the_store_is_asked),
        GREYLIST_TEST(a_session_may_end_before_the_name_is_known),
        GREYLIST_TEST(a_credit_names_the_same_triplet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
