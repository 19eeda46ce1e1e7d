/* What load refuses, what it warns of, and with which words. */
#include "setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* `text` is refused (or only warned of), and that is said with `words`. */
static void expect_said(const char *text, const char *words, bool loads) {
    struct policy_environment environment = setup_environment();
    struct policy *policy = NULL;
    environment.off = 1 << SOURCE_VERIFICATION;
    char *said = setup_load(text, &environment, &policy);
    if (strstr(said, words) == NULL || (policy != NULL) != loads)
        fail_msg("%s\nsaid: %s\nnot: %s", text, said, words);
    free(said);
    policy_free(policy);
}

static void refuse(const char *condition, const char *words) {
    char text[4096];
    snprintf(text, sizeof(text), "layer policy {\n    reject \"A\" when %s\n}\n", condition);
    expect_said(text, words, false);
}

static void places_are_shown_with_line_column_and_caret(void **state) {
    expect_said("layer policy {\n    reject \"A\" when ptr.nne\n}\n",
                "policy:2:21: error: unknown fact 'ptr.nne'; did you mean 'ptr.none'?\n"
                "        reject \"A\" when ptr.nne\n"
                "                        ^\n",
                false);
}

static void unknown_facts_and_tables_are_refused(void **state) {
    refuse("sender.adress in banned_senders", "did you mean 'sender.address'?");
    refuse("spf.fial", "did you mean 'spf.fail'?");
    refuse("client in bannd", "unknown table 'bannd'; did you mean 'banned'?");
    refuse("rcpt.enforced", "unknown fact 'rcpt.enforced'");
    refuse("rcpt.relay_allowed", "unknown fact 'rcpt.relay_allowed'");
}

static void types_that_do_not_fit_are_refused(void **state) {
    refuse("ptr.name", "expected 'in', '~', '==' or '!='");
    refuse("dnsbl.hits", "expected a comparison with a number");
    refuse("spf", "expected one of its values, as in spf.fail");
    refuse("client", "expected 'in' and a cidr table");
    refuse("ptr.none == 1", "expected no comparison");
    refuse("dnsbl.hits >= two", "expected a number, got 'two'");
    refuse("dnsbl.hits = 2", "expected '==', got '='");
    refuse("ptr.name < \"a\"", "only numbers are compared by size, got '<'");
    refuse("ptr.name in banned", "ptr.name cannot be in 'banned', which is a table of cidr");
    refuse("client in banned_names", "client cannot be in 'banned_names', which is a table of names");
    refuse("sender.address in banned_names", "which is a table of names");
    refuse("dnsbl.hits ~ \"1\"", "expected no '~'");
    refuse("client == \"10.0.0.0/8\"", "expected an address");
    refuse("client.rate(messages, 8d) > 1", "expected a window from 1s to 7d");
    refuse("client.rate > 1", "expected '(' and what is counted");
    refuse("dnsbl.listed", "expected '(' and the zone");
    refuse("ptr.none(a)", "this fact has no parameters");
    refuse("spf == maybe", "expected pass, fail, softfail");
}

static void a_fact_that_its_layer_cannot_know_yet_is_refused(void **state) {
    expect_said("layer connection { reject \"A\" when helo.address }",
                "helo.address is not known yet in layer connection; layer recipient is the first that knows it",
                false);
    expect_said("layer connection { reject \"A\" when client.tls }", "client.tls is not known yet", false);
    expect_said("layer recipient { reject \"A\" when greylist.new }", "greylist is not known yet", false);
    expect_said("layer policy { reject \"A\" when virus }", "virus is not known yet", false);
    expect_said("define d = virus\nlayer policy { reject \"A\" when d }", "policy:2:32: error: virus is not known",
                false);
}

static void an_action_that_its_layer_lacks_is_refused(void **state) {
    expect_said("layer connection { greylist \"A\" when ptr.none }", "layer connection has no action 'greylist'",
                false);
    expect_said("layer policy { tag \"A\" when ptr.none }", "layer policy has no action 'tag'", false);
    expect_said("layer content { accept \"A\" when virus }", "layer content has no action 'accept'", false);
    expect_said("layer content { greylist \"A\" when virus }", "layer content has no action 'greylist'", false);
}

static void a_rule_that_an_earlier_one_covers_is_refused(void **state) {
    static const char *const pairs[][2] = {
        { "ptr.none", "ptr.none" },
        { "ptr.none", "ptr.none and helo.address" },
        { "ptr.none or helo.access", "helo.access" },
        { "dnsbl.hits >= 1", "dnsbl.hits >= 2" },
        { "dnsbl.hits >= 2", "dnsbl.hits(main) >= 2" },
        { "not ptr.confirmed", "ptr.none" },
        { "not helo.invalid", "helo.address" },
        { "sender.resolves", "sender.null" },
        { "not spf.pass", "spf.fail" },
        { "dnsbl.score < 3", "dnsbl.score == 2.5" },
        { "helo.name == \"A.example\"", "helo.name == \"a.EXAMPLE\"" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[400];
        snprintf(text, sizeof(text), "layer policy { reject \"A\" when %s\n reject \"B\" when %s }", pairs[i][0],
                 pairs[i][1]);
        expect_said(text, "policy:2:2: error: this rule is never reached: reject \"A\" of layer policy", false);
        snprintf(text, sizeof(text), "layer policy { shadow reject \"A\" when %s reject \"B\" when %s }", pairs[i][0],
                 pairs[i][1]);
        policy_free(setup_policy(text));
        snprintf(text, sizeof(text), "layer policy { greylist \"A\" when %s reject \"B\" when %s }", pairs[i][0],
                 pairs[i][1]);
        policy_free(setup_policy(text));
    }
    policy_free(setup_policy(
        "layer policy { reject \"A\" when dnsbl.hits(main) >= 2 reject \"B\" when dnsbl.hits >= 2 }"));
    policy_free(setup_policy(
        "layer recipient { pass \"A\" when ptr.none }\nlayer policy { reject \"B\" when ptr.none }"));
}

static void what_cannot_be_meant_is_a_warning(void **state) {
    expect_said("layer policy { reject \"A\" when not sender.verified }", "cannot fire: reject \"A\"\n", true);
    expect_said("layer policy { reject \"A\" when dnsbl.hits(mian) >= 1 }",
                "policy: warning: no block list is configured for dnsbl.hits(mian) (0); asked by 1 rule: reject "
                "\"A\"; did you mean 'main'?\n",
                true);
    expect_said("layer policy { reject \"A\" when dnsbl.listed(x.example) }", "dnsbl.listed(x.example) (false);", true);
    expect_said("layer policy { reject \"A\" when ptr.none and ptr.confirmed }", "can never be true", true);
    expect_said("layer connection { accept \"A\" when ptr.name in banned_names }", "add 'and ptr.confirmed'", true);
    policy_free(setup_policy("layer connection { accept \"A\" when ptr.name in banned_names and ptr.confirmed }"));
}

/* However many rules there are, a source that is missing is one line. */
static void rules_without_a_source_are_told_once_a_source(void **state) {
    struct policy_environment environment = setup_environment();
    struct policy *policy = NULL;
    environment.off = 1 << SOURCE_VIRUS | 1 << SOURCE_SPAM | 1 << SOURCE_GREYLIST;
    environment.n_lists = 0;
    char *said = setup_load("layer policy {\n"
                            "  greylist \"GREY\" when ptr.none\n"
                            "  reject \"L1\" when dnsbl.hits(main) >= 2\n"
                            "  shadow reject \"L2\" when dnsbl.listed(x.example) or dnsbl.hits(main) >= 1\n"
                            "  reject \"L3\" when dnsbl.hits >= 1\n"
                            "}\n"
                            "layer content {\n"
                            "  reject \"V\" when virus\n"
                            "  reject \"12\" when spam.score >= 12\n  reject \"11\" when spam.score >= 11\n"
                            "  reject \"10\" when spam.score >= 10\n  reject \"9\" when spam.score >= 9\n"
                            "  quarantine \"8\" when spam.score >= 8\n  tag \"7\" when spam.score >= 7\n"
                            "  tag \"6\" when spam.score >= 6\n  tag \"5\" when spam.score >= 5\n"
                            "  tag \"4\" when spam.score >= 4 or size > 1000000\n"
                            "}\n", &environment, &policy);
    assert_non_null(policy);
    assert_string_equal(said,
        "policy: warning: virus is off in this configuration; 1 rule cannot fire: reject \"V\"\n"
        "policy: warning: spam is off in this configuration; 8 rules cannot fire: reject \"12\", reject \"11\", "
        "reject \"10\", reject \"9\", quarantine \"8\", tag \"7\" and 2 more\n"
        "policy: warning: greylist is off in this configuration (no store); 1 rule makes nobody wait: "
        "greylist \"GREY\"\n"
        "policy: warning: no block list is configured for dnsbl.hits(main), dnsbl.listed(x.example) (0 or false); "
        "asked by 2 rules: reject \"L1\", reject \"L2\"\n");
    free(said);
    policy_free(policy);
}

/* The longest names there may be find room. */
static void long_names_of_rules_without_a_source_are_told(void **state) {
    struct policy_environment environment = setup_environment();
    struct policy *policy = NULL;
    char text[4096] = "layer content {\n", name[POLICY_NAME_MAX + 1];
    size_t len = strlen(text);
    environment.off = 1 << SOURCE_SPAM;
    for (unsigned i = 0; i < 20; i++) {
        memset(name, 'a' + (int)i, POLICY_NAME_MAX);
        name[POLICY_NAME_MAX] = '\0';
        len += (size_t)snprintf(text + len, sizeof(text) - len, "quarantine \"%s\" when spam.score >= %u\n", name,
                                100 - i);
    }
    snprintf(text + len, sizeof(text) - len, "}\n");
    char *said = setup_load(text, &environment, &policy);
    assert_non_null(policy);
    memset(name, 'f', POLICY_NAME_MAX);
    const char *last = strstr(said, name);
    assert_non_null(last);
    assert_string_equal(last + POLICY_NAME_MAX, "\" and 14 more\n");
    free(said);
    policy_free(policy);
}

static void replies_are_checked(void **state) {
    refuse("ptr.none with 450 4.7.1 \"x\"", "expected a reply code 5xx");
    refuse("ptr.none with 550 4.7.1 \"x\"", "expected an enhanced code such as 5.7.1");
    refuse("ptr.none with 550 5.7 \"x\"", "expected an enhanced code");
    refuse("ptr.none with 550 5.7.1 \"{clint}\"", "unknown placeholder {clint}; did you mean {client}?");
    refuse("ptr.none with 550 5.7.1 \"{client\"", "stand around a placeholder");
    refuse("ptr.none with 550 5.7.1 \"\xc3\xa4\"", "in printable ASCII");
    expect_said("layer policy { pass \"A\" when ptr.none with 550 5.7.1 \"x\" }", "expected no 'with'", false);
    expect_said("text \"RELAY DENIED\" with 450 4.7.1 \"x\"", "expected a reply code 5xx", false);
    expect_said("text \"SPAM\" with 550 5.7.1 \"x\"", "expected \"RELAY DENIED\" or \"NO SUCH USER\"", false);
}

static void a_file_that_does_not_end_is_refused(void **state) {
    expect_said("layer policy {\n reject \"A\" when ptr.none\n", "policy:1:1: error: layer policy does not end", false);
    expect_said("layer policy { reject \"A when ptr.none }\n", "this string does not end on its line", false);
    expect_said("layer policy { }\nlayer policy { }", "stands in the file twice", false);
    expect_said("defin a = ptr.none", "expected 'define', 'text', 'layer' or 'test', got 'defin'", false);
    refuse("(ptr.none", "expected 'and', 'or' or ')'");
}

static void depth_is_bounded(void **state) {
    char condition[200] = "";
    memset(condition, '(', POLICY_DEPTH_MAX);
    strcat(condition, "ptr.none");
    memset(condition + POLICY_DEPTH_MAX + 8, ')', POLICY_DEPTH_MAX);
    char text[300];
    snprintf(text, sizeof(text), "layer policy { reject \"A\" when %s }", condition);
    policy_free(setup_policy(text));
    snprintf(text, sizeof(text), "(%s)", condition);
    refuse(text, "nested more than 32 deep");
}

static void definitions_of_definitions_do_not_grow_without_end(void **state) {
    char text[4096];
    size_t len = (size_t)snprintf(text, sizeof(text), "define a0 = ptr.none and helo.access or ptr.access\n");
    for (int i = 1; i < 15; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "define a%d = a%d and not a%d\n", i, i - 1, i - 1);
    snprintf(text + len, sizeof(text) - len, "layer policy { reject \"A\" when a14 }\n");
    expect_said(text, "have more than 16384 parts", false);
}

static void twenty_errors_are_told_and_the_rest_counted(void **state) {
    struct policy_environment environment = setup_environment();
    char text[2048] = "layer policy {\n";
    for (int i = 0; i < 25; i++)
        strcat(text, "reject \"A\" when nonsense\n");
    strcat(text, "}\n");
    char *said = setup_load(text, &environment, NULL);
    unsigned n = 0;
    for (const char *at = said; (at = strstr(at, "unknown fact")) != NULL; at++)
        n++;
    assert_int_equal(n, 20);
    assert_non_null(strstr(said, "there are more errors"));
    free(said);
}

static void a_test_that_fails_is_named_with_what_it_got(void **state) {
    expect_said("layer policy { reject \"A\" when ptr.none }\ntest \"t\" { expect reject \"A\" }",
                "policy:2:19: error: test \"t\" expected reject \"A\", got pass", false);
    expect_said("layer policy { reject \"A\" when ptr.none }\ntest \"t\" { expect not asked ptr }",
                "expected not asked ptr, but a rule needed it", false);
    expect_said("test \"t\" { expect reject \"B\" }", "this policy has no rule reject \"B\"", false);
    expect_said("test \"t\" { given ptr.none }", "this test expects nothing", false);
    expect_said("test \"t\" { given ptr.nne expect pass }", "did you mean 'ptr.none'?", false);
}

static void a_number_of_lists_bounds_a_count_before_anyone_is_asked(void **state) {
    struct policy_environment environment = setup_environment();
    struct policy *policy = NULL;
    char *said = setup_load("layer policy { reject \"A\" when dnsbl.hits(extra) >= 2 }", &environment, &policy);
    assert_string_equal(said, "policy: warning: too few block lists are configured; 1 rule cannot fire: reject "
                              "\"A\"\n");
    free(said);
    struct facts facts = { { NULL } };
    struct fact recipient[8];
    struct policy_verdict verdict;
    facts_init(policy, SCOPE_RECIPIENT, recipient);
    facts.scope[SCOPE_RECIPIENT] = recipient;
    for (size_t i = 0; i < N_BUILTIN_SLOTS; i++)
        recipient[policy->slots[i].index] = fact_bool(true);
    policy_decide(policy, LAYER_POLICY, &facts, &verdict);
    assert_int_equal(verdict.status, DECIDE_VERDICT);
    assert_int_equal(verdict.action, ACT_PASS);
    policy_free(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_shown_with_line_column_and_caret),
        cmocka_unit_test(unknown_facts_and_tables_are_refused),
        cmocka_unit_test(types_that_do_not_fit_are_refused),
        cmocka_unit_test(a_fact_that_its_layer_cannot_know_yet_is_refused),
        cmocka_unit_test(an_action_that_its_layer_lacks_is_refused),
        cmocka_unit_test(a_rule_that_an_earlier_one_covers_is_refused),
        cmocka_unit_test(what_cannot_be_meant_is_a_warning),
        cmocka_unit_test(rules_without_a_source_are_told_once_a_source),
        cmocka_unit_test(long_names_of_rules_without_a_source_are_told),
        cmocka_unit_test(replies_are_checked),
        cmocka_unit_test(a_file_that_does_not_end_is_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(definitions_of_definitions_do_not_grow_without_end),
        cmocka_unit_test(twenty_errors_are_told_and_the_rest_counted),
        cmocka_unit_test(a_test_that_fails_is_named_with_what_it_got),
        cmocka_unit_test(a_number_of_lists_bounds_a_count_before_anyone_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
