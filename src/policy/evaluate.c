/*
 * evaluate: see the header. `and` is the least and `or` the greatest of its operands, since compile.c has pushed `not`
 * into the literals; the same holds for both ends of a range. Bounds on counts enter in evaluate_literal() and nowhere
 * else.
 *
 * Rejected: a list of facts each rule needs, asked as a whole, which asks what cannot matter; evaluating all rules
 * under each possible answer, which is exact for facts that stand in one condition twice but exponential. A fact that
 * stands in a condition twice may thus be asked for in vain; the verdict is the same.
 *
 * Recursion goes no deeper than POLICY_DEPTH_MAX.
 */
#include "policy/evaluate.h"

#include "policy/compile.h"

static struct range exactly(uint8_t value) {
    return (struct range){ .lo = value, .hi = value };
}

static struct range away(bool is_deferring) {
    return (struct range){ .lo = OPEN, .hi = OPEN, .defers = is_deferring, .may_defer = is_deferring };
}

/* By its state alone, for a literal that its value does not decide. */
struct range evaluate_state(const struct slot *slot, enum fact_state state) {
    switch (state) {
    case FACT_UNASKED:
    case FACT_PENDING:
        return (struct range){ .lo = DEAD, .hi = FIRE, .may_defer = slot->is_deferring || slot->is_deferring_skipped };
    case FACT_UNAVAILABLE:
        return away(slot->is_deferring);
    case FACT_SKIPPED:
        return away(slot->is_deferring_skipped);
    case FACT_KNOWN:
    case FACT_OFF:
        break;
    }
    return exactly(DEAD);
}

/* The bounds lo..hi may decide it in any state but OFF: at the second hit it does not matter who else answers. */
static struct range number_literal(const struct slot *slot, const struct fact *fact, const struct node *node) {
    int64_t lo = fact->lo, hi = fact->hi, number = node->number;
    bool is_sure = false, is_possible = false;
    switch ((enum literal_op)node->op) {
    case OP_EQ:
        is_sure = lo == number && hi == number;
        is_possible = lo <= number && number <= hi;
        break;
    case OP_NE:
        is_sure = number < lo || hi < number;
        is_possible = lo != number || hi != number;
        break;
    case OP_LT:
        is_sure = hi < number;
        is_possible = lo < number;
        break;
    case OP_LE:
        is_sure = hi <= number;
        is_possible = lo <= number;
        break;
    case OP_GT:
        is_sure = lo > number;
        is_possible = hi > number;
        break;
    case OP_GE:
        is_sure = lo >= number;
        is_possible = hi >= number;
        break;
    case OP_TRUE:
    case OP_VALUE:
    case OP_TEXT:
        break;
    }
    if (fact->state == FACT_OFF || !is_possible)
        return exactly(DEAD);
    return is_sure ? exactly(FIRE) : evaluate_state(slot, fact->state);
}

/* Behind greylist rules none of which asked, or none for certain. */
static struct range unasked_status(const struct node *node, uint8_t asked) {
    if (asked == DEAD)
        return exactly(node->is_negated ? FIRE : DEAD);
    return exactly(OPEN);
}

struct range evaluate_literal(const struct evaluation *e, const struct node *node) {
    const struct slot *slot = &e->policy->slots[node->slot];
    const struct fact *fact = fact_at(e->policy, e->facts, node->slot);
    if (node->op >= OP_EQ)
        return number_literal(slot, fact, node);
    if (slot->row == &fact_rows[F_GREYLIST]) {
        uint8_t asked = e->is_shadow_rule ? greatest(e->status_asked, e->status_asked_shadow) : e->status_asked;
        if (asked != FIRE)
            return unasked_status(node, asked);
    }
    if (fact->state != FACT_KNOWN)
        return evaluate_state(slot, fact->state);
    bool holds = node->op == OP_TRUE    ? fact->value != 0
                 : node->op == OP_VALUE ? fact->value == node->value
                                        : str_eq_nocase(fact->text, node->text);
    return exactly(holds != node->is_negated ? FIRE : DEAD);
}

struct range evaluate(const struct evaluation *e, unsigned at) {
    const struct node *nodes = e->policy->nodes, *node = &nodes[at];
    if (node->kind == NODE_LITERAL)
        return evaluate_literal(e, node);
    bool is_and = node->kind == NODE_AND;
    struct range range = exactly(is_and ? FIRE : DEAD);
    for (unsigned i = at + 1; i < node->end; i = nodes[i].end) {
        struct range one = evaluate(e, i);
        range.lo = is_and ? least(range.lo, one.lo) : greatest(range.lo, one.lo);
        range.hi = is_and ? least(range.hi, one.hi) : greatest(range.hi, one.hi);
        range.defers |= one.defers;
        range.may_defer |= one.may_defer;
        if (is_and ? range.hi == DEAD : range.lo == FIRE)
            break;
    }
    range.defers &= range.lo != DEAD && range.hi != FIRE;
    range.may_defer &= range.hi != DEAD && range.lo != FIRE;
    return range;
}

/* What the operands of a node leave of its range: of `and` the least upper bounds, of `or` the greatest lower ones. */
struct others {
    unsigned best_at; /* the operand that sets `best`; for itself `second` holds */
    uint8_t best, second;
};

static struct others bounds_of_operands(const struct evaluation *e, const struct node *node, unsigned at) {
    const struct node *nodes = e->policy->nodes;
    bool is_and = node->kind == NODE_AND;
    struct others others = { 0, is_and ? FIRE : DEAD, is_and ? FIRE : DEAD };
    for (unsigned i = at + 1; i < node->end; i = nodes[i].end) {
        struct range range = evaluate(e, i);
        uint8_t bound = is_and ? range.hi : range.lo;
        if (is_and ? bound < others.best : bound > others.best) {
            others = (struct others){ i, bound, others.best };
        } else {
            others.second = is_and ? least(others.second, bound) : greatest(others.second, bound);
        }
    }
    return others;
}

/* An operand of `and` matters only below what the others can reach at most, one of `or` only above what they reach at
   least. */
void evaluate_needs(const struct evaluation *e, unsigned at, uint8_t floor, uint8_t ceiling, struct policy_set *needs) {
    const struct node *nodes = e->policy->nodes, *node = &nodes[at];
    struct range range = evaluate(e, at);
    if (greatest(range.lo, floor) >= least(range.hi, ceiling))
        return;
    if (node->kind == NODE_LITERAL) {
        set_add(needs, node->slot);
        return;
    }
    struct others others = bounds_of_operands(e, node, at);
    for (unsigned i = at + 1; i < node->end; i = nodes[i].end) {
        uint8_t bound = i == others.best_at ? others.second : others.best;
        if (node->kind == NODE_AND)
            evaluate_needs(e, i, floor, least(ceiling, bound), needs);
        else
            evaluate_needs(e, i, greatest(floor, bound), ceiling, needs);
    }
}

void evaluate_deferring_needs(const struct evaluation *e, unsigned at, struct policy_set *needs) {
    const struct node *nodes = e->policy->nodes, *node = &nodes[at];
    struct range range = evaluate(e, at);
    if (range.defers == range.may_defer)
        return;
    if (node->kind == NODE_LITERAL)
        set_add(needs, node->slot);
    for (unsigned i = at + 1; i < node->end; i = nodes[i].end) {
        evaluate_needs(e, i, node->kind == NODE_AND ? DEAD : OPEN, node->kind == NODE_AND ? OPEN : FIRE, needs);
        evaluate_deferring_needs(e, i, needs);
    }
}

void evaluate_reasons(const struct evaluation *e, unsigned at, uint8_t value, struct policy_set *reasons) {
    const struct node *nodes = e->policy->nodes, *node = &nodes[at];
    struct range range = evaluate(e, at);
    if (range.lo != value || range.hi != value)
        return;
    if (node->kind == NODE_LITERAL)
        set_add(reasons, node->slot);
    for (unsigned i = at + 1; i < node->end; i = nodes[i].end)
        evaluate_reasons(e, i, value, reasons);
}
