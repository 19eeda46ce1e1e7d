/* man/postern-policy.5: it tells every fact, value, action and placeholder there is, and its examples load. */
#include "setup.h"

#include "policy/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ITEM_MAX = 4096 };

static char *manual;

static int read_manual(void **state) {
    manual = setup_read(MANUAL);
    return 0;
}

static int forget_manual(void **state) {
    free(manual);
    return 0;
}

/* The start of the line that begins so, at or behind `from`; the test fails when there is none. */
static const char *line_of(const char *from, const char *start) {
    char wanted[200];
    snprintf(wanted, sizeof(wanted), "\n%s", start);
    const char *at = strstr(from, wanted);
    if (at == NULL)
        fail_msg("the manual has no line that begins with '%s'", start);
    return at + 1;
}

static const char *first_of(const char *a, const char *b) {
    return a == NULL || (b != NULL && b < a) ? b : a;
}

/* What is said of a list's item that begins at `at`, in one line. */
static void read_item(const char *at, char ret_text[ITEM_MAX]) {
    const char *end = first_of(strstr(at, "\n.It "), strstr(at, "\n.El"));
    assert_non_null(end);
    size_t len = (size_t)(end - at);
    assert_true(len < ITEM_MAX);
    memcpy(ret_text, at, len);
    ret_text[len] = '\0';
    for (char *c = ret_text; (c = strchr(c, '\n')) != NULL;)
        *c = ' ';
}

static void assert_says(const char *text, const char *name, const char *expected) {
    if (strcasestr(text, expected) == NULL)
        fail_msg("the manual should say '%s' of %s: %s", expected, name, text);
}

static const char *item_of_fact(const struct fact_row *row) {
    static const char *const behind[] = {
        [PARAMETER_NONE] = "\n", [PARAMETER_GROUP] = " Ns ( Ar group )\n", [PARAMETER_ZONE] = " Ns ( Ar zone )\n",
        [PARAMETER_RATE] = " Ns ( Ar kind , window )\n",
    };
    char start[120];
    enum fact_scope scope = row->first_layer == LAYER_CONNECTION ? SCOPE_CONNECTION : row->scope;
    snprintf(start, sizeof(start), ".Ss Scope %s\n", scope_names[scope]);
    const char *section = line_of(manual, start);
    snprintf(start, sizeof(start), ".It Ic %s%s", row->name, behind[row->parameter]);
    const char *item = line_of(section, start);
    const char *end = first_of(strstr(section + 1, "\n.Ss "), strstr(section, "\n.Sh "));
    if (end == NULL || item > end)
        fail_msg("%s does not stand in scope %s of the manual", row->name, scope_names[scope]);
    return item;
}

static void every_fact_stands_in_its_scope_with_its_values_and_what_it_is_without_subject(void **state) {
    char text[ITEM_MAX], expected[200];
    unsigned n = 0;
    for (size_t i = 0; i < N_FACTS; i++) {
        const struct fact_row *row = &fact_rows[i];
        if (row->is_internal)
            continue;
        read_item(item_of_fact(row), text);
        assert_says(text, row->name, row->help);
        if (row->missing != NULL) {
            snprintf(expected, sizeof(expected), "Where its subject is missing: %s", row->missing);
            assert_says(text, row->name, expected);
        }
        for (size_t v = 0; row->values != NULL && row->values[v] != NULL; v++) {
            snprintf(expected, sizeof(expected), "%s.%s ", row->name, row->values[v]);
            assert_says(text, row->name, expected);
        }
        n++;
    }
    assert_true(n > 50);
}

static void every_action_and_placeholder_is_told(void **state) {
    char expected[80];
    const char *actions = line_of(manual, ".Sh ACTIONS\n");
    for (size_t i = 0; i < N_ACTIONS; i++) {
        snprintf(expected, sizeof(expected), ".It Cm %s\n", action_names[i]);
        line_of(actions, expected);
    }
    for (size_t i = 0; i < N_PLACEHOLDERS; i++) {
        snprintf(expected, sizeof(expected), ".Ql {%s}", placeholder_names[i]);
        line_of(actions, expected);
    }
}

static void its_examples_load_without_a_word(void **state) {
    unsigned n = 0;
    for (const char *at = manual; (at = strstr(at, "\n.Bd -literal")) != NULL; n++) {
        const char *from = strchr(at + 1, '\n') + 1, *end = strstr(from, "\n.Ed");
        assert_non_null(end);
        char *example = strndup(from, (size_t)(end - from) + 1);
        assert_non_null(example);
        assert_null(strchr(example, '\\')); /* else it would have to be read as mdoc */
        policy_free(setup_policy(example));
        free(example);
        at = end;
    }
    assert_true(n >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fact_stands_in_its_scope_with_its_values_and_what_it_is_without_subject),
        cmocka_unit_test(every_action_and_placeholder_is_told),
        cmocka_unit_test(its_examples_load_without_a_word),
    };
    return cmocka_run_group_tests(tests, read_manual, forget_manual);
}
