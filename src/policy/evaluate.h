/*
 * evaluate: what a condition is worth, given what is known; which facts could still change that, and which made it so.
 *
 * A condition has one of three values, in the order of how much it makes its rule act (enum value). What has not been
 * answered yet (unasked, pending) makes a literal anything from DEAD to FIRE, so what is computed is a range lo..hi. A
 * condition is decided when lo == hi, often long before every fact is known.
 *
 * Beside the value goes whether the condition is open because of a fact that is configured to defer while it is away
 * (design.md section 13): surely, or possibly.
 */
#pragma once

#include "policy/verdict.h"

struct node;

enum value {
    DEAD, /* it is false, or could be true only if something that is off were known: the rule does not fire */
    OPEN, /* it could be true if something unavailable were known */
    FIRE, /* it is true */
};

struct range {
    uint8_t lo, hi; /* enum value */
    bool defers, may_defer; /* it is open for a fact that defers: surely; depending on what is not answered yet */
};

static inline uint8_t least(uint8_t a, uint8_t b) {
    return a < b ? a : b;
}

static inline uint8_t greatest(uint8_t a, uint8_t b) {
    return a > b ? a : b;
}

/* What a condition sees; borrowed. */
struct evaluation {
    const struct policy *policy;
    const struct facts *facts;
    uint8_t status_asked, status_asked_shadow; /* enum value: did a greylist rule ask? FIRE, DEAD, or OPEN: unknown */
    bool is_shadow_rule; /* the condition's: it sees what shadow rules asked, too */
};

/* The condition whose node is `at`. */
struct range evaluate(const struct evaluation *e, unsigned at);
struct range evaluate_literal(const struct evaluation *e, const struct node *literal);

/* By its state alone, for a fact whose value does not decide. */
struct range evaluate_state(const struct slot *slot, enum fact_state state);

/*
 * Adds the unanswered facts below `at` that can still move its value between `floor` and `ceiling`, outside of which
 * the value is the same to whoever asks.
 */
void evaluate_needs(const struct evaluation *e, unsigned at, uint8_t floor, uint8_t ceiling, struct policy_set *needs);

/* The same for whether it is open for a fact that defers: adds what could make it false or true regardless. */
void evaluate_deferring_needs(const struct evaluation *e, unsigned at, struct policy_set *needs);

/* The facts that made a decided condition what it is: below `and` and `or` the operands that have its value. */
void evaluate_reasons(const struct evaluation *e, unsigned at, uint8_t value, struct policy_set *reasons);
