/*
 * What load says of each mistake, to the letter: errors.case has policies, each with what is said of it.
 *
 *     # title
 *     the policy
 *     | what is said, line by line; without an error among it the policy loads
 */
#include "setup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TEXT_MAX = 16384 };

struct mistake {
    char title[200], policy[TEXT_MAX], said[TEXT_MAX];
};

/* Patterns are the table module's; here a parenthesis is wrong. */
static const char *pattern_problem(struct str pattern) {
    return str_find(pattern, '(') < pattern.len ? "missing closing parenthesis (at byte 2)" : NULL;
}

static bool check(const struct mistake *m) {
    struct policy_environment environment = setup_environment();
    struct policy *policy = NULL;
    environment.pattern_problem = pattern_problem;
    environment.off = 1 << SOURCE_SPF | 1 << SOURCE_VERIFICATION;
    char *said = setup_load(m->policy, &environment, &policy);
    bool is_right = strcmp(said, m->said) == 0;
    if (!is_right)
        print_error("%s\n%sis said:\n%sand not:\n%s\n", m->title, m->policy, said, m->said);
    free(said);
    policy_free(policy);
    return is_right;
}

static void add(char text[TEXT_MAX], const char *line) {
    size_t len = strlen(text);
    assert_true((size_t)snprintf(text + len, TEXT_MAX - len, "%s", line) < TEXT_MAX - len);
}

static void each_mistake_is_told_to_the_letter(void **state) {
    static struct mistake m;
    char line[2048];
    unsigned n = 0, n_wrong = 0;
    FILE *file = fopen(ERRORS, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "# ", 2) == 0) {
            n_wrong += n > 0 && !check(&m);
            n++;
            memset(&m, 0, sizeof(m));
            snprintf(m.title, sizeof(m.title), "%.*s", (int)strcspn(line + 2, "\n"), line + 2);
        } else if (strncmp(line, "| ", 2) == 0) {
            add(m.said, line + 2);
        } else if (line[0] != '\n') {
            add(m.policy, line);
        }
    }
    fclose(file);
    n_wrong += !check(&m);
    assert_true(n > 100);
    assert_int_equal(n_wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_mistake_is_told_to_the_letter) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
