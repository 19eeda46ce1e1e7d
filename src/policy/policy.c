/*
 * policy: does this file make a policy?
 *
 * Read, compile, look for rules that cannot be meant, run the file's own tests; each step only if the one before found
 * no fault, so that a mistake is told once. Either all of it stands or the caller keeps what it had: a reload never
 * leaves half a policy.
 *
 * Two arenas: the tree dies with this call, the policy owns a copy of the text, into which names and texts point.
 */
#include "policy/policy.h"

#include "policy/compile.h"
#include "policy/expect.h"

#include <errno.h>
#include <stdlib.h>

enum { FILE_MAX = 4 * 1024 * 1024 };

static int load(struct parsed *p, struct policy *policy) {
    int r = parse_policy(p);
    if (r == 0 && p->diag->errors == 0)
        r = compile_policy(p, policy);
    if (r == 0 && p->diag->errors == 0)
        r = expect_run(p, policy);
    return r == 0 && p->diag->errors > 0 ? -EINVAL : r;
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits: tells texts apart, and is the same everywhere. */
static uint64_t hash_of(struct str text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

int policy_load(const char *path, struct str text, const struct policy_environment *environment,
                struct diag_list *diag, struct policy **ret_policy) {
    struct policy *policy = calloc(1, sizeof(*policy));
    struct arena tree = { .max = 0 };
    if (policy == NULL)
        return -ENOMEM;
    if (text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0)
        text = str_from(text, 3); /* a byte order mark, which some editors write */
    struct parsed p = {
        .source = { .path = path, .text = arena_str(&policy->arena, text) },
        .diag = diag,
        .arena = &tree,
        .keep = &policy->arena,
        .environment = environment,
    };
    int r = p.source.text.at ? 0 : -ENOMEM;
    if (r == 0 && text.len > FILE_MAX) {
        diag_error(diag, &p.source, NULL, "a policy of more than %d bytes", FILE_MAX);
        r = -EINVAL;
    }
    if (r == 0)
        r = load(&p, policy);
    arena_reset(&tree);
    if (r < 0) {
        policy_free(policy);
        return r;
    }
    policy->hash = hash_of(text);
    *ret_policy = policy;
    return 0;
}

void policy_free(struct policy *policy) {
    if (policy == NULL)
        return;
    arena_reset(&policy->arena);
    free(policy);
}

void facts_init(const struct policy *policy, enum fact_scope scope, struct fact *facts) {
    memcpy(facts, policy->initial[scope], policy->n_facts[scope] * sizeof(*facts));
}

const struct slot *policy_slot(const struct policy *policy, enum fact_id id) {
    for (size_t i = 0; i < policy->n_slots; i++) {
        if (policy->slots[i].kind == SLOT_FACT && policy->slots[i].row == &fact_rows[id])
            return &policy->slots[i];
    }
    return NULL;
}

bool policy_rule_asks(const struct policy *policy, unsigned rule, enum fact_source source) {
    const unsigned first = policy->rules[rule].condition;
    for (unsigned i = first; i < policy->nodes[first].end; i++)
        if (policy->nodes[i].kind == NODE_LITERAL && policy->slots[policy->nodes[i].slot].row->source == source)
            return true;
    return false;
}
