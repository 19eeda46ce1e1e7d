/*
 * compile: the conditions of a policy as one dense array of nodes.
 *
 * Conditions are in negation normal form: `not` has been pushed into the literals, so that only AND and OR stand above
 * them. A node that is not a literal is followed by its operands, each of which ends where the next one begins, and
 * `end` is the index behind the last: reading a condition is walking an array. AND and OR alternate, and no deeper than
 * POLICY_DEPTH_MAX.
 */
#pragma once

#include "policy/parse.h"

enum node_kind { NODE_LITERAL, NODE_AND, NODE_OR };

struct node {
    uint8_t kind; /* enum node_kind */
    uint8_t op;   /* enum literal_op; never a negated number, whose operator is turned round instead */
    bool is_negated;
    uint8_t value; /* OP_VALUE */
    uint16_t slot;
    uint16_t end;
    union {
        int64_t number;  /* OP_EQ ... OP_GE */
        struct str text; /* OP_TEXT */
    };
};

/* What a policy is made of while it grows: the arrays have room for the bounds of policy.h. */
struct compiler {
    struct parsed *p;
    struct policy *policy;
    const char **rule_at;
    const struct slot **rule_idle; /* what is off, or never as much, without which it never fires; or NULL (cover.c) */
    struct arena scratch; /* of cover.c, emptied for each rule */
};

/*
 * The slot of this fact, a new one if need be (slots.c). Returns its index, -EINVAL (too many; said) or -ENOMEM.
 */
int slot_intern(struct compiler *c, const struct literal *literal, const char *at);

/* Numbers the slots within their scopes and writes down what is known of each before anything is asked. */
int slots_finish(struct compiler *c);

/*
 * Gives the parsed file a meaning. Returns 0, -EINVAL (said in p->diag) or -ENOMEM; policy->arena owns what it makes.
 */
int compile_policy(struct parsed *p, struct policy *policy);

/*
 * Refuses rules that an earlier one provably covers, warns of others that cannot be meant (cover.c). Returns 0 or
 * -ENOMEM.
 */
int cover_check(struct compiler *c);

/* Warns, once a missing source, of the rules that are idle for want of it (idle.c). After cover_check(). */
void idle_tell(struct compiler *c);
