/*
 * world: the answers that an imagined delivery would get, for tests of a policy, golden cases and explain.
 *
 * A world begins as that of an ordinary good client (known recipient, matching PTR and HELO, listed nowhere, clean,
 * greylist `cached`, no table holds anything) and is changed by the words of `given` (postern-policy(5)).
 * world_decide() hands facts to the engine only when it needs them and keeps which ones those were.
 */
#pragma once

#include "policy/verdict.h"

/* An item of `given` that says what a slot is. */
struct world_given {
    struct world_given *next;
    struct str text; /* its words, in the source's text */
    uint16_t slot;
    struct fact fact;
};

struct world {
    const struct policy *policy;
    const struct policy_environment *environment;
    struct arena *arena;            /* borrowed: copies of given values */
    struct fact *answers;           /* one a slot: what it is when asked for */
    struct fact *values[N_SCOPES];  /* what was handed out; a view of it is in `facts` */
    struct facts facts;
    struct world_given *given;      /* the last one first */
    struct str texts[N_FACTS];      /* of string facts, used by the policy or not */
    struct policy_set asked;        /* slots that were needed; those of shadow rules alone are not */
};

/* Returns 0 or -ENOMEM. */
int world_init(struct world *world, const struct policy *policy, const struct policy_environment *environment,
               struct arena *arena);

/*
 * Takes one or more items of `given`, separated by commas; `items` lies in source->text. Messages go to `diag`. Returns
 * 0, -EINVAL or -ENOMEM.
 */
int world_give(struct world *world, const struct diag_source *source, struct str items, struct diag_list *diag);

/* Decides up to `last`, with shadow facts asked after the verdict. `ret_trace` may be NULL. */
void world_decide(struct world *world, enum policy_layer last, struct policy_verdict *ret_verdict,
                  struct rule_trace *ret_trace);

/* True when a fact of this subject was needed. */
bool world_asked(const struct world *world, struct str subject);
