/*
 * cover: which rules can never be reached, or cannot be meant as they stand?
 *
 * A rule is covered when its condition implies that of an earlier rule that ends the matter. Proof: its condition is
 * written as a list of cases (disjunctive normal form, a few at most), and each case must imply the earlier condition,
 * literal by literal: the same literal, a weaker bound on the same number, or one of the few ties between facts that
 * hold whatever the configuration (a group's hits are hits; a client without PTR has no confirmed one). What cannot be
 * shown so is taken to be reachable. A case that contradicts itself implies everything; a rule all of whose cases do
 * can never be true, which is a warning. One whose negation cannot is always true: another warning, since a `reject`
 * of that kind refuses all mail.
 *
 * Rejected: asking a solver, or trying all values: the mistake to catch is the special rule behind the general one.
 */
#include "policy/compile.h"

#include <errno.h>

enum { CASES_MAX = 32, CASE_LITERALS_MAX = 24 };

struct one_case {
    const struct node *literals[CASE_LITERALS_MAX]; /* all of them true */
    uint8_t n;
};

struct cases {
    struct one_case cases[CASES_MAX];
    uint8_t n;
    bool is_whole; /* false: too many to write out, nothing can be shown */
};

/* ---- what one true literal says about another */

static bool is_row(const struct policy *policy, const struct node *node, enum fact_id id) {
    return policy->slots[node->slot].kind == SLOT_FACT && policy->slots[node->slot].row == &fact_rows[id];
}

/* `a` holds for a number; does `b`? */
static bool number_implies(const struct node *a, const struct node *b) {
    int64_t lo = INT64_MIN, hi = INT64_MAX; /* what `a` leaves; numbers are whole thousandths */
    if (a->op == OP_NE)
        return b->op == OP_NE && a->number == b->number;
    if (a->op == OP_EQ || a->op == OP_GE || a->op == OP_GT)
        lo = a->number + (a->op == OP_GT);
    if (a->op == OP_EQ || a->op == OP_LE || a->op == OP_LT)
        hi = a->number - (a->op == OP_LT);
    switch ((enum literal_op)b->op) {
    case OP_EQ:
        return lo == b->number && hi == b->number;
    case OP_NE:
        return hi < b->number || lo > b->number;
    case OP_LT:
        return hi < b->number;
    case OP_LE:
        return hi <= b->number;
    case OP_GT:
        return lo > b->number;
    case OP_GE:
        return lo >= b->number;
    case OP_TRUE:
    case OP_VALUE:
    case OP_TEXT:
        break;
    }
    return false;
}

static bool same_slot_implies(const struct node *a, const struct node *b) {
    if (a->op >= OP_EQ)
        return b->op >= OP_EQ && number_implies(a, b);
    if (a->op != b->op)
        return false;
    bool is_same = a->op == OP_TRUE || (a->op == OP_VALUE && a->value == b->value) ||
                   (a->op == OP_TEXT && str_eq_nocase(a->text, b->text));
    if (is_same)
        return a->is_negated == b->is_negated;
    return !a->is_negated && b->is_negated; /* it is one value, so not another */
}

/* Facts of which at most one is true. */
static bool exclude_each_other(const struct policy *policy, const struct node *a, const struct node *b) {
    static const enum fact_id groups[][3] = {
        { F_PTR_NONE, F_PTR_UNCONFIRMED, F_PTR_CONFIRMED },
        { F_PTR_NONE, F_PTR_ACCESS, F_PTR_STATIC },
        { F_HELO_INVALID, F_HELO_ADDRESS, F_HELO_UNQUALIFIED },
        { F_HELO_ACCESS, F_HELO_STATIC, F_HELO_STATIC },
        { F_SENDER_NULL, F_SENDER_NULL_MX, F_SENDER_NULL_MX },
        { F_SENDER_NULL, F_SENDER_OURS, F_SENDER_OURS },
    };
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        bool has_a = false, has_b = false;
        for (size_t i = 0; i < 3; i++) {
            has_a |= is_row(policy, a, groups[g][i]);
            has_b |= is_row(policy, b, groups[g][i]);
        }
        if (has_a && has_b)
            return true;
    }
    return false;
}

/* A group's hits are among all hits, so a lower bound goes up and an upper bound goes down. */
static bool hits_imply(const struct policy *policy, const struct node *a, const struct node *b) {
    const struct fact_row *row_a = policy->slots[a->slot].row, *row_b = policy->slots[b->slot].row;
    if (a->op < OP_EQ || b->op < OP_EQ || row_a->type != TYPE_COUNT || strcmp(row_a->name, row_b->name) != 0)
        return false;
    bool goes_up = row_a->parameter == PARAMETER_GROUP && row_b->parameter == PARAMETER_NONE;
    bool goes_down = row_a->parameter == PARAMETER_NONE && row_b->parameter == PARAMETER_GROUP;
    if (goes_up && (b->op == OP_GE || b->op == OP_GT))
        return (a->op == OP_EQ || a->op == OP_GE || a->op == OP_GT) && number_implies(a, b);
    if (goes_down && (b->op == OP_LE || b->op == OP_LT))
        return (a->op == OP_EQ || a->op == OP_LE || a->op == OP_LT) && number_implies(a, b);
    return false;
}

static bool literal_implies(const struct policy *policy, const struct node *a, const struct node *b) {
    if (a->slot == b->slot)
        return same_slot_implies(a, b);
    if (hits_imply(policy, a, b))
        return true;
    if (a->op != OP_TRUE || b->op != OP_TRUE || a->is_negated)
        return false;
    if (exclude_each_other(policy, a, b))
        return b->is_negated;
    return !b->is_negated && is_row(policy, a, F_SENDER_NULL) &&
           (is_row(policy, b, F_SENDER_RESOLVES) || is_row(policy, b, F_SENDER_VERIFIED));
}

static struct node opposite_of(const struct node *literal) {
    static const uint8_t opposite[] = { [OP_EQ] = OP_NE, [OP_NE] = OP_EQ, [OP_LT] = OP_GE,
                                        [OP_LE] = OP_GT, [OP_GT] = OP_LE, [OP_GE] = OP_LT };
    struct node other = *literal;
    if (literal->op >= OP_EQ)
        other.op = opposite[literal->op];
    else
        other.is_negated = !literal->is_negated;
    return other;
}

static bool excludes(const struct policy *policy, const struct node *a, const struct node *b) {
    const struct node not_b = opposite_of(b);
    return literal_implies(policy, a, &not_b);
}

/* What is counted is never less than nothing; a score may be. */
static bool is_impossible(const struct policy *policy, const struct node *literal) {
    const struct slot *slot = &policy->slots[literal->slot];
    if (literal->op < OP_EQ || str_ends_nocase(str_of(slot->row->name), STR(".score")))
        return false;
    return literal->op == OP_LT ? literal->number <= 0
                                : (literal->op == OP_LE || literal->op == OP_EQ) && literal->number < 0;
}

/* ---- cases */

static bool add_literal(const struct policy *policy, struct one_case *one, const struct node *literal,
                        bool *ret_is_possible) {
    for (size_t i = 0; i < one->n; i++)
        *ret_is_possible &= !excludes(policy, one->literals[i], literal);
    if (one->n == CASE_LITERALS_MAX)
        return false;
    one->literals[one->n++] = literal;
    return true;
}

/* Every case of `a` together with every case of `b`; those that contradict themselves are left out. */
static void both(const struct policy *policy, struct cases *a, const struct cases *b, struct cases *scratch) {
    *scratch = (struct cases){ .is_whole = a->is_whole && b->is_whole };
    for (size_t i = 0; i < a->n && scratch->is_whole; i++) {
        for (size_t k = 0; k < b->n && scratch->is_whole; k++) {
            struct one_case one = a->cases[i];
            bool is_possible = true;
            for (size_t l = 0; l < b->cases[k].n && scratch->is_whole; l++)
                scratch->is_whole = add_literal(policy, &one, b->cases[k].literals[l], &is_possible);
            if (!is_possible)
                continue;
            if (scratch->n == CASES_MAX)
                scratch->is_whole = false;
            else
                scratch->cases[scratch->n++] = one;
        }
    }
    *a = *scratch;
}

static void either(struct cases *a, const struct cases *b) {
    a->is_whole &= b->is_whole && a->n + b->n <= CASES_MAX;
    for (size_t i = 0; i < b->n && a->is_whole; i++)
        a->cases[a->n++] = b->cases[i];
}

static int write_literal(struct compiler *c, const struct node *literal, bool is_negated, struct cases *ret_cases) {
    if (is_negated) {
        struct node *opposite = arena_alloc(&c->scratch, sizeof(*opposite));
        if (opposite == NULL)
            return -ENOMEM;
        *opposite = opposite_of(literal);
        literal = opposite;
    }
    ret_cases->cases[0] = (struct one_case){ .literals = { literal }, .n = 1 };
    ret_cases->n = !is_impossible(c->policy, literal);
    return 0;
}

/* The cases in which the condition at this node holds, or does not. Returns 0 or -ENOMEM. */
static int write_cases(struct compiler *c, unsigned at, bool is_negated, struct cases *ret_cases) {
    const struct node *nodes = c->policy->nodes, *node = &nodes[at];
    *ret_cases = (struct cases){ .is_whole = true };
    if (node->kind == NODE_LITERAL)
        return write_literal(c, node, is_negated, ret_cases);
    bool is_and = (node->kind == NODE_AND) != is_negated;
    struct cases *one = arena_alloc(&c->scratch, sizeof(*one));
    struct cases *scratch = arena_alloc(&c->scratch, sizeof(*scratch));
    if (one == NULL || scratch == NULL)
        return -ENOMEM;
    if (is_and)
        ret_cases->n = 1; /* one case that says nothing yet */
    for (unsigned i = at + 1; i < node->end && ret_cases->is_whole; i = nodes[i].end) {
        int r = write_cases(c, i, is_negated, one);
        if (r < 0)
            return r;
        if (is_and)
            both(c->policy, ret_cases, one, scratch);
        else
            either(ret_cases, one);
    }
    return 0;
}

static bool case_implies(const struct policy *policy, const struct one_case *one, unsigned at) {
    const struct node *node = &policy->nodes[at];
    if (node->kind == NODE_LITERAL) {
        for (size_t i = 0; i < one->n; i++) {
            if (literal_implies(policy, one->literals[i], node))
                return true;
        }
        return false;
    }
    for (unsigned i = at + 1; i < node->end; i = policy->nodes[i].end) {
        if (case_implies(policy, one, i) != (node->kind == NODE_AND))
            return node->kind == NODE_OR;
    }
    return node->kind == NODE_AND;
}

/* ---- rules */

/* Whether nothing that `earlier` is true for comes as far as `later`. */
static bool ends_before(const struct rule *earlier, const struct rule *later) {
    if (earlier->is_shadow)
        return false;
    switch ((enum policy_action)earlier->action) {
    case ACT_REJECT:
    case ACT_DEFER:
        return true;
    case ACT_ACCEPT:
        return later->layer < LAYER_CONTENT;
    case ACT_PASS:
    case ACT_QUARANTINE:
        return later->layer == earlier->layer;
    case ACT_GREYLIST:
    case ACT_TAG:
    case N_ACTIONS:
        break;
    }
    return false;
}

static bool covers(const struct policy *policy, const struct rule *earlier, const struct cases *cases) {
    for (size_t i = 0; i < cases->n; i++) {
        if (!case_implies(policy, &cases->cases[i], earlier->condition))
            return false;
    }
    return cases->n > 0;
}

static void find_cover(struct compiler *c, unsigned rule, const struct cases *cases) {
    const struct policy *policy = c->policy;
    for (unsigned i = N_BUILTIN_RULES; i < rule; i++) {
        const struct rule *earlier = &policy->rules[i];
        if (!ends_before(earlier, &policy->rules[rule]) || !covers(policy, earlier, cases))
            continue;
        diag_error(c->p->diag, &c->p->source, c->rule_at[rule],
                   "this rule is never reached: %s \"%.*s\" of layer %s stands before it and holds whenever it does",
                   action_names[earlier->action], STR_ARG(earlier->name), layer_names[earlier->layer]);
        return;
    }
}

/* Anyone can write a name into a PTR that nothing leads back to. */
static void find_forgeable(struct compiler *c, unsigned rule, const struct cases *cases) {
    const struct policy *policy = c->policy;
    if (policy->rules[rule].action != ACT_ACCEPT && policy->rules[rule].action != ACT_PASS)
        return;
    for (size_t i = 0; i < cases->n; i++) {
        bool trusts_name = false, is_confirmed = false;
        for (size_t k = 0; k < cases->cases[i].n; k++) {
            const struct node *node = cases->cases[i].literals[k];
            trusts_name |= policy->slots[node->slot].row == &fact_rows[F_PTR_NAME] && !node->is_negated;
            is_confirmed |= is_row(policy, node, F_PTR_CONFIRMED) && !node->is_negated;
        }
        if (trusts_name && !is_confirmed) {
            diag_warning(c->p->diag, &c->p->source, c->rule_at[rule],
                         "anyone can give an address any PTR name; add 'and ptr.confirmed'");
            return;
        }
    }
}

/* Its source is off, or all block lists together do not come up to it, though there are some. */
static bool is_idle(const struct policy *policy, const struct node *node) {
    const struct slot *slot = &policy->slots[node->slot];
    const struct fact *initial = &policy->initial[slot->scope][slot->index];
    if (initial->state != FACT_UNASKED || slot->type != TYPE_COUNT)
        return initial->state == FACT_OFF;
    return node->op == OP_GT ? node->number >= initial->hi
                             : (node->op == OP_GE || node->op == OP_EQ) && node->number > initial->hi;
}

/* A rule that needs what this configuration does not have, whichever case of it: idle.c tells. */
static void find_idle(struct compiler *c, unsigned rule, const struct cases *cases) {
    const struct policy *policy = c->policy;
    const struct slot *idle = NULL;
    for (size_t i = 0; i < cases->n; i++) {
        const struct slot *blame = NULL;
        for (size_t k = 0; k < cases->cases[i].n && !blame; k++) {
            const struct node *node = cases->cases[i].literals[k];
            blame = is_idle(policy, node) ? &policy->slots[node->slot] : NULL;
        }
        if (blame == NULL)
            return;
        idle = blame;
    }
    c->rule_idle[rule] = idle;
}

static int check_rule(struct compiler *c, unsigned rule, struct cases *cases) {
    unsigned condition = c->policy->rules[rule].condition;
    int r = write_cases(c, condition, true, cases);
    if (r == 0 && cases->is_whole && cases->n == 0)
        diag_warning(c->p->diag, &c->p->source, c->rule_at[rule], "this condition is always true");
    if (r == 0)
        r = write_cases(c, condition, false, cases);
    if (r < 0 || !cases->is_whole)
        return r;
    if (cases->n == 0)
        diag_warning(c->p->diag, &c->p->source, c->rule_at[rule], "this condition can never be true");
    find_cover(c, rule, cases);
    find_forgeable(c, rule, cases);
    find_idle(c, rule, cases);
    return 0;
}

int cover_check(struct compiler *c) {
    struct cases *cases = arena_alloc(c->p->arena, sizeof(*cases));
    int r = cases != NULL ? 0 : -ENOMEM;
    for (unsigned i = N_BUILTIN_RULES; i < c->policy->n_rules && r == 0; i++) {
        r = check_rule(c, i, cases);
        arena_reset(&c->scratch);
    }
    return r;
}
