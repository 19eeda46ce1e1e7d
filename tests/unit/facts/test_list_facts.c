/*
 * What block lists say becomes facts: bounds, just the lists that matter, no 5xx for want of an answer. A policy of one
 * rule each, decided by a gather against a name server on the same loop. (libunbound answers for `test.` itself.)
 */
#include "stage.h"

#include "base/hash.h"
#include "facts/gather.h"

#include <unistd.h>

static struct diag_list diag;
static struct conf *conf;
static struct dnsbl *dnsbl;
static struct gather_memory *memory;
static struct gather_world world;
static struct gather_known known;
static struct policy_verdict verdict;
static unsigned n_done;

#define CONF "hostname mx.example.com\nlisten 127.0.0.1:25\nservers s {\n server 127.0.0.1\n}\ndomain example.com\n" \
             "block_list a.lists.example { group main }\nblock_list b.lists.example { group main }\n" \
             "block_list c.lists.example\n" \
             "block_list w.lists.example { weight -1 }\nblock_list d.lists.example { for ptr helo sender }\npolicy "

static int setup(void **state) {
    hash_init();
    stage_setup(state);
    static const char *const zones[] = { "a.lists.example", "b.lists.example", "c.lists.example", "w.lists.example" };
    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "2.0.0.127.%s", zones[i]);
        dns_server_add(&server, name, DNS_A, "127.0.0.2");
    }
    dns_server_add(&server, "test.d.lists.example", DNS_A, "127.0.0.2");
    known = (struct gather_known){
        .client = stage_ip("203.0.113.7"), .has_helo = true, .helo = STR("mx.sender.example"),
        .sender = { .text = STR("a@sender.example"), .domain = STR("sender.example") },
        .recipient = { .text = STR("b@example.com"), .domain = STR("example.com") },
        .rcpt_local = fact_bool(true), .rcpt_known = fact_bool(true), .relay_allowed = fact_bool(false),
        .enforced = fact_bool(true),
    };
    n_done = 0;
    return 0;
}

static int teardown(void **state) {
    dnsbl_free(dnsbl);
    free(memory);
    conf_free(conf);
    diag_deinit(&diag);
    return stage_teardown(state);
}

/* One rule of the layer `policy`; all lists have been probed when this returns. */
static void use_rules(const char *rules) {
    char path[] = "/tmp/postern-list-facts-XXXXXX", text[1024];
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fprintf(file, "layer policy {\n%s\n}\n", rules);
    assert_int_equal(fclose(file), 0);
    snprintf(text, sizeof(text), CONF "%s\n", path);
    diag_init(&diag);
    int r = conf_load_text("/nowhere/postern.conf", str_of(text), &diag, &conf);
    unlink(path);
    if (r < 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    memory = gather_memory_new(conf->policy.policy);
    const struct dnsbl_settings settings = { .budget_ms = 150 };
    assert_int_equal(dnsbl_new(loop, resolver, conf->block_lists, conf->n_block_lists, &settings, &dnsbl), 0);
    world = (struct gather_world){ .loop = loop, .resolver = resolver, .dnsbl = dnsbl, .conf = conf,
                                   .timeout_ms = 1000 };
    uint64_t until = loop_now(loop) + 5000;
    for (unsigned i = 0; i < 5; i++)
        while (dnsbl_state(dnsbl, i, i == 4 ? DNSBL_NAME : DNSBL_IPV4)->trust == DNSBL_UNPROBED)
            assert_true(loop_turn(loop, 20) == 0 && loop_now(loop) < until);
}

static void on_verdict(void *arg, const struct policy_verdict *told) {
    verdict = *told;
    n_done++;
}

static enum policy_action decide(void) {
    struct gather *gather = gather_start(&world, &conf->policy, LAYER_POLICY, &known, memory, on_verdict, NULL);
    assert_non_null(gather);
    stage_await(&n_done, n_done + 1);
    return (enum policy_action)verdict.action;
}

static void list_client(const char *zone) {
    char name[64];
    snprintf(name, sizeof(name), "7.113.0.203.%s", zone);
    dns_server_add(&server, name, DNS_A, "127.0.0.2");
}

/* What a list says about the client. */
static void say_why(const char *zone, const char *text) {
    char name[64];
    snprintf(name, sizeof(name), "7.113.0.203.%s", zone);
    dns_server_add(&server, name, DNS_TXT, text);
}

static void the_second_hit_decides_while_the_third_list_is_silent(void **state) {
    list_client("a.lists.example");
    list_client("b.lists.example");
    dns_server_play(&server, "7.113.0.203.c.lists.example", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    use_rules("reject \"RBL\" when dnsbl.hits >= 2 with 550 5.7.1 \"Listed by {list}\"");
    uint64_t began = loop_now(loop);
    assert_int_equal(decide(), ACT_REJECT);
    assert_true(loop_now(loop) - began < 150);
    assert_int_equal(memory->lists[LISTS_CLIENT].listed, 3);
    assert_int_equal(memory->lists[LISTS_CLIENT].unavailable, 0);
}

static void one_hit_and_a_silent_list_are_no_two_hits(void **state) {
    list_client("a.lists.example");
    dns_server_play(&server, "7.113.0.203.c.lists.example", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    use_rules("reject \"RBL\" when dnsbl.hits >= 2");
    assert_int_equal(decide(), ACT_PASS);
}

static void only_lists_of_the_group_are_asked(void **state) {
    list_client("c.lists.example");
    use_rules("reject \"RBL\" when dnsbl.hits(main) >= 1");
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(dns_server_asked(&server, "A 7.113.0.203.a.lists.example"), 1);
    assert_int_equal(dns_server_asked(&server, "A 7.113.0.203.b.lists.example"), 1);
    assert_int_equal(dns_server_asked(&server, "A 7.113.0.203.c.lists.example"), 0);
    assert_int_equal(dns_server_asked(&server, "A 7.113.0.203.w.lists.example"), 0);
}

static void no_list_is_asked_about_a_client_that_another_sign_lets_through(void **state) {
    use_rules("reject \"RBL HELO_IP\" when dnsbl.hits >= 1 and helo.address");
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(dns_server_asked(&server, "A 7.113.0.203.*"), 0);
}

static void a_zone_by_name_is_the_only_one_asked(void **state) {
    list_client("c.lists.example");
    use_rules("reject \"C\" when dnsbl.listed(c.lists.example)");
    assert_int_equal(decide(), ACT_REJECT);
    assert_int_equal(dns_server_asked(&server, "A 7.113.0.203.*"), 1);
}

static void a_welcome_list_weighs_against_hits(void **state) {
    list_client("a.lists.example");
    list_client("b.lists.example");
    list_client("w.lists.example");
    use_rules("reject \"SCORE\" when dnsbl.score >= 2");
    assert_int_equal(decide(), ACT_PASS);
}

static void a_welcome_list_that_is_away_refuses_nobody_it_might_welcome(void **state) {
    list_client("a.lists.example");
    list_client("b.lists.example");
    dns_server_play(&server, "*.w.lists.example", DNS_TYPE_ANY, DNS_PLAYS_FAILURE);
    use_rules("reject \"SCORE\" when dnsbl.score >= 2");
    assert_int_equal(dnsbl_state(dnsbl, 3, DNSBL_IPV4)->trust, DNSBL_NOT_TRUSTED);
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(memory->lists[LISTS_CLIENT].unavailable, 8);
}

static void but_three_hits_are_two_whatever_it_says(void **state) {
    list_client("a.lists.example");
    list_client("b.lists.example");
    list_client("c.lists.example");
    dns_server_play(&server, "*.w.lists.example", DNS_TYPE_ANY, DNS_PLAYS_FAILURE);
    use_rules("reject \"SCORE\" when dnsbl.score >= 2");
    assert_int_equal(decide(), ACT_REJECT);
}

static void names_are_looked_up_where_there_are_names(void **state) {
    dns_server_add(&server, "sender.example.d.lists.example", DNS_A, "127.0.0.2");
    use_rules("reject \"SENDER\" when sender.dnsbl.hits >= 1");
    assert_int_equal(decide(), ACT_REJECT);
    gather_forget(memory, conf->policy.policy, SCOPE_TRANSACTION);
    known.sender = (struct smtp_address){ 0 };
    assert_int_equal(decide(), ACT_PASS);
}

static void a_helo_that_is_no_name_is_listed_nowhere(void **state) {
    use_rules("reject \"HELO\" when helo.dnsbl.hits >= 1");
    known.helo = STR("[203.0.113.7]");
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(dns_server_asked(&server, "A *203.0.113.7*"), 0);
    gather_forget(memory, conf->policy.policy, SCOPE_HELLO);
    dns_server_add(&server, "bad.example.d.lists.example", DNS_A, "127.0.0.2");
    known.helo = STR("bad.example");
    assert_int_equal(decide(), ACT_REJECT);
}

static void the_name_of_the_client_is_found_first(void **state) {
    dns_server_add(&server, "7.113.0.203.in-addr.arpa", DNS_PTR, "host.bad.example");
    dns_server_add(&server, "host.bad.example.d.lists.example", DNS_A, "127.0.0.2");
    use_rules("reject \"PTR\" when ptr.dnsbl.listed(d.lists.example)");
    assert_int_equal(decide(), ACT_REJECT);
}

static void a_client_without_name_is_in_no_list_of_names(void **state) {
    use_rules("reject \"PTR\" when ptr.dnsbl.hits >= 1");
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(memory->lists[LISTS_PTR].clean, 16);
}

static void what_was_answered_is_not_asked_again_for_the_next_recipient(void **state) {
    list_client("a.lists.example");
    use_rules("reject \"RBL\" when dnsbl.hits >= 2");
    assert_int_equal(decide(), ACT_PASS);
    uint64_t before = dnsbl_state(dnsbl, 0, DNSBL_IPV4)->asked;
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV4)->asked, before);
}

static void a_cancelled_decision_leaves_nothing_pending(void **state) {
    dns_server_play(&server, "7.113.0.203.*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    use_rules("reject \"RBL\" when dnsbl.hits >= 2");
    struct gather *gather = gather_start(&world, &conf->policy, LAYER_POLICY, &known, memory, on_verdict, NULL);
    stage_await_question("A 7.113.0.203.a.lists.example", 1);
    gather_cancel(gather);
    stage_settle();
    assert_int_equal(n_done, 0);
    assert_int_equal(resolver_waiting(resolver), 0);
}

static void the_lists_that_made_a_rule_true_are_named(void **state) {
    char zones[LIST_ZONES_MAX];
    list_client("a.lists.example");
    list_client("c.lists.example");
    list_client("w.lists.example");
    use_rules("reject \"RBL\" when dnsbl.hits >= 2 and not helo.address");
    assert_int_equal(decide(), ACT_REJECT);
    struct str text = list_answers_zones(memory->lists, conf, &conf->policy, &verdict.because, zones);
    assert_true(str_eq(text, STR("a.lists.example, c.lists.example")));
}

static void zones_that_do_not_fit_are_left_out_whole(void **state) {
    char zones[LIST_ZONES_MAX], zone[LIST_ZONES_MAX + 2];
    use_rules("reject \"RBL\" when dnsbl.hits >= 2");
    const struct list_answers answers[N_LIST_FAMILIES] = { [LISTS_CLIENT] = { .listed = 7 } };
    struct policy_set all;
    memset(&all, 0, sizeof(all));
    for (unsigned i = 0; i < conf->policy.policy->n_slots; i++)
        set_add(&all, i);
    memset(zone, 'z', sizeof(zone));
    zone[LIST_ZONES_MAX] = '\0';
    conf->block_lists[0].zone = zone;
    assert_int_equal(list_answers_zones(answers, conf, &conf->policy, &all, zones).len, LIST_ZONES_MAX);
    zone[LIST_ZONES_MAX] = 'z';
    zone[LIST_ZONES_MAX + 1] = '\0';
    struct str text = list_answers_zones(answers, conf, &conf->policy, &all, zones);
    assert_true(str_eq(text, STR("b.lists.example, c.lists.example")));
}

static void the_codes_of_a_listing_are_kept_as_long_as_what_it_is_about(void **state) {
    list_client("a.lists.example");
    dns_server_add(&server, "7.113.0.203.a.lists.example", DNS_A, "127.0.0.9");
    dns_server_add(&server, "sender.example.d.lists.example", DNS_A, "127.0.1.2");
    use_rules("reject \"RBL\" when dnsbl.hits >= 1 and sender.dnsbl.hits >= 1");
    assert_int_equal(decide(), ACT_REJECT);
    assert_int_equal(memory->codes.n, 3);
    gather_forget(memory, conf->policy.policy, SCOPE_TRANSACTION);
    assert_int_equal(memory->codes.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(memory->codes.at[i].family, LISTS_CLIENT);
        assert_true(memory->codes.at[i].code == 0x7f000002 || memory->codes.at[i].code == 0x7f000009);
    }
    gather_forget(memory, conf->policy.policy, SCOPE_CONNECTION);
    assert_int_equal(memory->codes.n, 0);
}

static void no_more_codes_are_kept_than_there_is_room_for(void **state) {
    struct list_codes codes = { .n = 0 };
    const struct dnsbl_result result = { .status = DNSBL_LISTED, .n_codes = 5, .codes = { 1, 2, 3, 4, 5 } };
    for (unsigned i = 0; i < LIST_CODES_MAX; i++)
        list_codes_add(&codes, LISTS_HELO, i, &result);
    assert_int_equal(codes.n, LIST_CODES_MAX);
    list_codes_forget(&codes, LISTS_CLIENT);
    assert_int_equal(codes.n, LIST_CODES_MAX);
}

/* ---- what lists say about a listing */

static void assert_reasons(const char *expected) {
    struct str said = { memory->reasons, memory->reasons_len };
    if (!str_eq(said, str_of(expected)))
        fail_msg("'%.*s' is not '%s'", STR_ARG(said), expected);
}

static void a_refusal_waits_for_what_the_lists_say(void **state) {
    list_client("a.lists.example");
    list_client("b.lists.example");
    say_why("a.lists.example", "See http://a.lists.example/?203.0.113.7");
    use_rules("reject \"RBL\" when dnsbl.hits >= 2");
    assert_int_equal(decide(), ACT_REJECT);
    assert_reasons("a.lists.example (See http://a.lists.example/?203.0.113.7), b.lists.example");
}

static void only_the_lists_that_made_the_rule_true_are_asked_why(void **state) {
    list_client("a.lists.example");
    list_client("c.lists.example");
    say_why("a.lists.example", "Bad");
    say_why("c.lists.example", "Bad");
    use_rules("reject \"RBL\" when dnsbl.hits(main) >= 1\n"
              "reject \"C\" when dnsbl.listed(c.lists.example)");
    assert_int_equal(decide(), ACT_REJECT);
    assert_int_equal(dns_server_asked(&server, "TXT 7.113.0.203.a.lists.example"), 1);
    assert_int_equal(dns_server_asked(&server, "TXT *"), 1);
}

static void nobody_is_asked_why_for_a_reply_without_a_place_for_it(void **state) {
    list_client("a.lists.example");
    use_rules("reject \"RBL\" when dnsbl.hits >= 1 with 550 5.7.1 \"Listed by {list}\"");
    assert_int_equal(decide(), ACT_REJECT);
    assert_int_equal(dns_server_asked(&server, "TXT *"), 0);
    assert_reasons("");
}

static void nobody_is_asked_why_about_mail_that_passes(void **state) {
    list_client("a.lists.example");
    use_rules("shadow reject \"RBL\" when dnsbl.hits >= 1");
    assert_int_equal(decide(), ACT_PASS);
    assert_int_equal(dns_server_asked(&server, "TXT *"), 0);
}

static void a_list_that_does_not_say_why_is_waited_for_until_time_is_up_and_once(void **state) {
    list_client("a.lists.example");
    dns_server_play(&server, "7.113.0.203.a.lists.example", DNS_TXT, DNS_PLAYS_SILENCE);
    use_rules("reject \"RBL\" when dnsbl.hits(main) >= 1");
    world.timeout_ms = 200;
    uint64_t began = loop_now(loop);
    assert_int_equal(decide(), ACT_REJECT);
    assert_true(loop_now(loop) - began < 400);
    assert_reasons("");
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    struct policy_verdict at_once;
    assert_true(gather_now(&world, &conf->policy, LAYER_POLICY, &known, memory, &at_once));
    assert_int_equal(at_once.action, ACT_REJECT);
}

static void the_next_recipient_hears_the_same_reason(void **state) {
    struct policy_verdict at_once;
    list_client("a.lists.example");
    say_why("a.lists.example", "Bad");
    use_rules("reject \"RBL\" when dnsbl.hits(main) >= 1");
    assert_int_equal(decide(), ACT_REJECT);
    gather_forget(memory, conf->policy.policy, SCOPE_RECIPIENT);
    assert_false(gather_now(&world, &conf->policy, LAYER_POLICY, &known, memory, &at_once));
    assert_reasons("");
    assert_int_equal(decide(), ACT_REJECT);
    assert_reasons("a.lists.example (Bad)");
}

static void a_cancelled_decision_asks_nobody_why_any_more(void **state) {
    list_client("a.lists.example");
    dns_server_play(&server, "7.113.0.203.a.lists.example", DNS_TXT, DNS_PLAYS_SILENCE);
    use_rules("reject \"RBL\" when dnsbl.hits(main) >= 1");
    struct gather *gather = gather_start(&world, &conf->policy, LAYER_POLICY, &known, memory, on_verdict, NULL);
    stage_await_question("TXT 7.113.0.203.a.lists.example", 1);
    gather_cancel(gather);
    stage_settle();
    assert_int_equal(n_done, 0);
}

static void a_list_of_names_is_asked_why_about_the_name(void **state) {
    dns_server_add(&server, "sender.example.d.lists.example", DNS_A, "127.0.0.2");
    dns_server_add(&server, "sender.example.d.lists.example", DNS_TXT, "Spam domain");
    use_rules("defer \"DBL\" when sender.dnsbl.hits >= 1");
    assert_int_equal(decide(), ACT_DEFER);
    assert_reasons("d.lists.example (Spam domain)");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_second_hit_decides_while_the_third_list_is_silent),
        TEST(one_hit_and_a_silent_list_are_no_two_hits),
        TEST(only_lists_of_the_group_are_asked),
        TEST(no_list_is_asked_about_a_client_that_another_sign_lets_through),
        TEST(a_zone_by_name_is_the_only_one_asked),
        TEST(a_welcome_list_weighs_against_hits),
        TEST(a_welcome_list_that_is_away_refuses_nobody_it_might_welcome),
        TEST(but_three_hits_are_two_whatever_it_says),
        TEST(names_are_looked_up_where_there_are_names),
        TEST(a_helo_that_is_no_name_is_listed_nowhere),
        TEST(the_name_of_the_client_is_found_first),
        TEST(a_client_without_name_is_in_no_list_of_names),
        TEST(what_was_answered_is_not_asked_again_for_the_next_recipient),
        TEST(a_cancelled_decision_leaves_nothing_pending),
        TEST(the_lists_that_made_a_rule_true_are_named),
        TEST(zones_that_do_not_fit_are_left_out_whole),
        TEST(the_codes_of_a_listing_are_kept_as_long_as_what_it_is_about),
        cmocka_unit_test(no_more_codes_are_kept_than_there_is_room_for),
        TEST(a_refusal_waits_for_what_the_lists_say),
        TEST(only_the_lists_that_made_the_rule_true_are_asked_why),
        TEST(nobody_is_asked_why_for_a_reply_without_a_place_for_it),
        TEST(nobody_is_asked_why_about_mail_that_passes),
        TEST(a_list_that_does_not_say_why_is_waited_for_until_time_is_up_and_once),
        TEST(the_next_recipient_hears_the_same_reason),
        TEST(a_cancelled_decision_asks_nobody_why_any_more),
        TEST(a_list_of_names_is_asked_why_about_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
