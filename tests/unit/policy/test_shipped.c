/* etc/policy: it loads and its tests pass, whatever is configured. */
#include "setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void it_loads_without_a_word_where_everything_is_configured(void **state) {
    char *text = setup_read(SHIPPED_POLICY);
    struct policy *policy = setup_policy(text);
    assert_int_equal(policy->n_rules, 37);
    policy_free(policy);
    free(text);
}

static void it_loads_with_warnings_only_where_nothing_is_configured(void **state) {
    char *text = setup_read(SHIPPED_POLICY);
    struct policy_environment environment = setup_environment();
    struct policy_table tables[sizeof(setup_tables) / sizeof(setup_tables[0])];
    memcpy(tables, setup_tables, sizeof(tables));
    for (size_t i = 0; i < environment.n_tables; i++)
        tables[i].is_empty = true;
    environment.tables = tables;
    environment.n_lists = 0;
    environment.off = 1 << SOURCE_VIRUS | 1 << SOURCE_SPAM | 1 << SOURCE_GREYLIST | 1 << SOURCE_SPF;
    struct policy *policy = NULL;
    char *said = setup_load(text, &environment, &policy);
    assert_non_null(policy);
    assert_non_null(strstr(said, "no block list is configured for dnsbl.hits(main)"));
    assert_non_null(strstr(said, "virus is off in this configuration; 1 rule cannot fire: reject \"INFECTED\""));
    assert_non_null(strstr(said, "spam is off in this configuration; 2 rules cannot fire: "));
    assert_non_null(strstr(said, "greylist is off in this configuration (no store); "));
    assert_null(strstr(said, "error"));
    free(said);
    policy_free(policy);
    free(text);
}

static void every_rule_has_a_test_that_names_it(void **state) {
    char *text = setup_read(SHIPPED_POLICY);
    struct policy *policy = setup_policy(text);
    const char *tests = strstr(text, "\ntest ");
    for (size_t i = 0; i < policy->n_rules; i++) {
        char expected[200];
        const struct rule *rule = &policy->rules[i];
        snprintf(expected, sizeof(expected), "%s \"%.*s\"", action_names[rule->action], STR_ARG(rule->name));
        if (!rule->is_shadow && rule->action != ACT_PASS)
            assert_non_null(strstr(tests, expected));
    }
    policy_free(policy);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_loads_without_a_word_where_everything_is_configured),
        cmocka_unit_test(it_loads_with_warnings_only_where_nothing_is_configured),
        cmocka_unit_test(every_rule_has_a_test_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
