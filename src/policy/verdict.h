/*
 * verdict: policy_decide(), a pure function from a policy and the facts known so far to a verdict, or to the facts that
 * are still needed for one. See decide.c for the model.
 *
 * Call it, ask for what `need` names, cancel what is pending and not in it, and call again with each answer until the
 * verdict is not DECIDE_NEED. It allocates nothing and takes less than a microsecond when everything is known.
 */
#pragma once

#include "policy/policy.h"

/* A set of slots or of rules. */
struct policy_set {
    uint64_t words[POLICY_SLOTS_MAX / 64];
};
_Static_assert(POLICY_RULES_MAX <= POLICY_SLOTS_MAX, "a policy_set holds rules, too");

static inline void set_add(struct policy_set *set, unsigned i) {
    set->words[i / 64] |= UINT64_C(1) << (i % 64);
}
static inline bool set_has(const struct policy_set *set, unsigned i) {
    return set->words[i / 64] >> (i % 64) & 1;
}
bool set_is_empty(const struct policy_set *set);

/* The first member from `i` on, or -1: `for (int i = set_next(&s, 0); i >= 0; i = set_next(&s, i + 1))`. */
int set_next(const struct policy_set *set, unsigned i);

enum decide_status {
    DECIDE_VERDICT, /* the outcome cannot change any more */
    DECIDE_NEED,    /* `need` names what could change it; nothing else below but need is set */
};

/* Why the answer is not what the rule says. */
enum verdict_cause {
    CAUSE_RULE,        /* it is */
    CAUSE_OPEN,        /* `rule` would reject, but `open` stands before it and cannot be decided: 451 4.4.3 */
    CAUSE_UNAVAILABLE, /* `rule` cannot be decided, and the configuration says to defer then; `slot` is why */
    CAUSE_DIRECTORY,   /* built in: no directory, or too old, and it does not hold the recipient: 450 4.1.1 */
};


struct policy_verdict {
    uint8_t status; /* enum decide_status */
    uint8_t action; /* ACT_PASS, ACT_ACCEPT (passed; `rule` skipped what lies before content), ACT_REJECT, ACT_DEFER,
                       ACT_GREYLIST, ACT_QUARANTINE */
    uint8_t layer;  /* of `rule`; the last one asked about when there is none */
    uint8_t cause;  /* enum verdict_cause */
    uint16_t rule;  /* index into policy->rules; RULE_NONE: nothing ended it */
    uint16_t open;  /* CAUSE_OPEN: the first rule found open; for people, not part of the outcome */
    uint16_t slot;  /* CAUSE_UNAVAILABLE */
    const struct policy_reply *reply; /* NULL unless reject, defer or greylist */
    struct policy_set because; /* slots that made `rule` true; of block lists these name {list} */
    struct policy_set tags;    /* rules: tags that apply to a message that passes or goes into quarantine */
    struct policy_set shadow;  /* rules: shadow ones (`enforce no` included) that would have acted */
    struct policy_set need;    /* slots: DECIDE_NEED, ask for these now */
    struct policy_set shadow_need; /* slots: ask for these after the reply, and decide again for `shadow` */
};

/*
 * Decides all layers up to `last`, from the first one: later layers depend on what was open in earlier ones, and facts
 * of a transaction do not change, so the outcome of the earlier layers is the same each time.
 */
void policy_decide(const struct policy *policy, enum policy_layer last, const struct facts *facts,
                   struct policy_verdict *ret_verdict);

/* The code of a reject, or of what only defers, that is said instead of the greeting (RFC 5321 3.1, 4.2.3). */
unsigned verdict_code_at_connect(bool is_reject);

/* `reject "PTRNUL HELO_IP"`, `pass, tag "SPAM"`: for people. Returns 0, -ENOBUFS or -ENOMEM. */
int verdict_format(const struct policy *policy, const struct policy_verdict *verdict, struct buf *out);

/* ---- explain */

enum rule_status {
    RULE_UNREACHED,
    RULE_FALSE,
    RULE_TRUE,
    RULE_OPEN,      /* unknown for good: a fact is unavailable */
    RULE_UNDECIDED, /* unknown as yet */
};

struct rule_trace {
    uint8_t status; /* enum rule_status */
    bool is_shadow; /* by itself or by `enforce no` */
    struct policy_set because; /* slots that decided it, or that could */
};

extern const char *const rule_status_names[];

/* Decides as above and says what became of each of policy->n_rules rules. */
void policy_explain(const struct policy *policy, enum policy_layer last, const struct facts *facts,
                    struct policy_verdict *ret_verdict, struct rule_trace *ret_trace);
