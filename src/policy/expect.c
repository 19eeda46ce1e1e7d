/*
 * expect: do a policy's own tests hold?
 *
 * Each test is a world (world.c), decided through all layers, and then looked at. A test that fails is an error where
 * its expectation stands, with what came instead, so that the file does not load: a policy is changed together with
 * its tests or not at all. All of its expectations are looked at, so that one run shows the whole difference.
 */
#include "policy/expect.h"

#include "policy/given.h"

#include <errno.h>

struct run {
    struct parsed *p; /* its tokens are those of the clause that is being read */
    const struct parsed_test *test;
    const struct policy *policy;
    struct world world;
    struct policy_verdict verdict;
};

static int unknown_rule(struct run *run, enum policy_action action, struct str name) {
    const char *names[POLICY_RULES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < run->policy->n_rules; i++) {
        if (run->policy->rules[i].action != action)
            continue;
        names[n] = arena_strdup(run->p->arena, run->policy->rules[i].name);
        if (names[n++] == NULL)
            return -ENOMEM;
    }
    const char *meant = diag_did_you_mean(name, names, n);
    diag_error(run->p->diag, &run->p->source, run->p->token.at, "this policy has no rule %s \"%.*s\"%s%s%s",
               action_names[action], STR_ARG(name), meant ? "; did you mean \"" : "", meant ? meant : "",
               meant ? "\"?" : "");
    return -EINVAL;
}

/* `note` stands behind what came instead. */
static int fail(struct run *run, const char *at, struct str expected, const char *note) {
    struct buf got;
    buf_init(&got, 64 * 1024);
    int r = verdict_format(run->policy, &run->verdict, &got);
    if (r == 0)
        diag_error(run->p->diag, &run->p->source, at, "test \"%.*s\" expected %.*s, got %.*s%s",
                   STR_ARG(run->test->name), STR_ARG(expected), STR_ARG(buf_str(&got)), note);
    buf_deinit(&got);
    return r;
}

/* True when the policy has a rule of this action and name; otherwise a test could expect what never happens. */
static bool has_rule(const struct policy *policy, enum policy_action action, struct str name, bool *ret_is_shadow) {
    bool has_it = false;
    *ret_is_shadow = true;
    for (size_t i = 0; i < policy->n_rules; i++) {
        if (policy->rules[i].action != action || !str_eq(policy->rules[i].name, name))
            continue;
        has_it = true;
        *ret_is_shadow &= policy->rules[i].is_shadow;
    }
    *ret_is_shadow &= has_it;
    return has_it;
}

static bool is_tagged(const struct run *run, struct str name) {
    const struct policy_set *tags = &run->verdict.tags;
    for (int i = set_next(tags, 0); i >= 0; i = set_next(tags, (unsigned)i + 1)) {
        if (str_eq(run->policy->rules[i].name, name))
            return true;
    }
    return false;
}

static bool holds(const struct run *run, enum policy_action action, struct str name) {
    const struct policy_verdict *v = &run->verdict;
    if (action == ACT_PASS)
        return v->action == ACT_PASS || v->action == ACT_ACCEPT;
    if (action == ACT_TAG)
        return is_tagged(run, name);
    return v->action == action && v->rule != RULE_NONE && str_eq(run->policy->rules[v->rule].name, name);
}

/* `reject "NAME"`, `pass`, ... */
static int check_action(struct run *run, const char *at) {
    struct parsed *p = run->p;
    int action = -1;
    for (int i = 0; i < N_ACTIONS; i++)
        action = token_is(&p->token, action_names[i]) ? i : action;
    if (action < 0)
        return parse_expected_of(p, "reject, defer, greylist, quarantine, accept, pass, tag or asked", action_names,
                                 N_ACTIONS);
    const char *end = p->tokens.next;
    int r = parse_advance(p);
    struct str name = { "", 0 };
    bool is_shadow = false;
    if (r == 0 && action != ACT_PASS) {
        if (p->token.kind != TOKEN_STRING)
            return parse_expected(p, "the name of a rule in quotes");
        name = p->token.text;
        /* A reject that something open holds back, and a rule that cannot be decided, end as `defer`. */
        bool has_it = has_rule(run->policy, (enum policy_action)action, name, &is_shadow);
        if (action != ACT_DEFER && !has_it)
            return unknown_rule(run, (enum policy_action)action, name);
        end = p->tokens.next;
        r = parse_advance(p);
    }
    if (r < 0 || holds(run, (enum policy_action)action, name))
        return r;
    bool is_vain = action != ACT_PASS && is_shadow && run->verdict.rule == RULE_NONE;
    return fail(run, at, (struct str){ at, (size_t)(end - at) },
                is_vain ? "; a rule with 'shadow' changes nothing" : "");
}

static int expected_subject(struct parsed *p) {
    const char *subjects[N_FACTS];
    for (size_t i = 0; i < N_FACTS; i++)
        subjects[i] = fact_rows[i].subject;
    return parse_expected_of(p, "a subject such as ptr, dnsbl or sender.dnsbl", subjects, N_FACTS);
}

/* `asked SUBJECT`, `not asked SUBJECT` */
static int check_asked(struct run *run, const char *at, bool is_wanted) {
    struct parsed *p = run->p;
    if (!token_is(&p->token, "asked"))
        return parse_expected(p, "'asked' behind 'not'");
    int r = parse_advance(p);
    if (r < 0)
        return r;
    if (p->token.kind != TOKEN_WORD || !parse_is_subject(p->token.text))
        return expected_subject(p);
    struct str subject = p->token.text;
    if (world_asked(&run->world, subject) != is_wanted)
        diag_error(p->diag, &p->source, at, "test \"%.*s\" expected %.*s, but %s", STR_ARG(run->test->name),
                   (int)(subject.at + subject.len - at), at, is_wanted ? "no rule needed it" : "a rule needed it");
    return parse_advance(p);
}

static int check_clause(struct run *run, const struct test_clause *clause) {
    struct parsed *p = run->p;
    tokens_init(&p->tokens, clause->items, p->keep);
    int r = parse_advance(p);
    while (r == 0) {
        const char *at = p->token.at;
        bool is_negated = token_is(&p->token, "not");
        if (is_negated)
            r = parse_advance(p);
        if (r == 0 && (is_negated || token_is(&p->token, "asked")))
            r = check_asked(run, at, !is_negated);
        else if (r == 0)
            r = check_action(run, at);
        if (r < 0 || p->token.kind == TOKEN_END)
            break;
        if (!token_is(&p->token, ","))
            return parse_expected(p, "',', 'expect', 'given' or '}'");
        r = parse_advance(p);
    }
    return r;
}

static int run_test(struct run *run) {
    const struct test_clause *clause;
    bool has_expectation = false;
    int r = world_init(&run->world, run->policy, run->p->environment, run->p->arena);
    for (clause = run->test->clauses; clause && r == 0; clause = clause->next) {
        has_expectation |= clause->is_expected;
        if (!clause->is_expected)
            r = world_give(&run->world, &run->p->source, clause->items, run->p->diag);
    }
    if (r == 0)
        r = given_check(&run->world, run->p);
    if (r == 0 && !has_expectation) {
        diag_error(run->p->diag, &run->p->source, run->test->at, "this test expects nothing");
        return -EINVAL;
    }
    if (r == 0)
        world_decide(&run->world, LAYER_CONTENT, &run->verdict, NULL);
    for (clause = run->test->clauses; clause && r == 0; clause = clause->next) {
        if (clause->is_expected)
            r = check_clause(run, clause);
    }
    return r;
}

int expect_run(struct parsed *p, const struct policy *policy) {
    struct run run = { .p = p, .policy = policy };
    for (run.test = p->tests; run.test; run.test = run.test->next) {
        int r = run_test(&run);
        if (r < 0 && r != -EINVAL)
            return r;
    }
    return 0;
}
