/*
 * gather_memory: what was found out so far, an array of facts a scope.
 *
 * Beside the facts stand the answers they were made of, where facts of other scopes are made of them too, or more of
 * them may come: the client's name, the HELO's addresses, what each block list said. Whoever forgets a scope forgets
 * these with it.
 */
#include "facts/gather_state.h"

#include <stdlib.h>

struct gather_memory *gather_memory_new(const struct policy *policy) {
    size_t n = 0;
    for (int scope = 0; scope < N_SCOPES; scope++)
        n += policy->n_facts[scope];
    struct gather_memory *memory = calloc(1, sizeof(*memory) + n * sizeof(struct fact));
    if (memory == NULL)
        return NULL;
    struct fact *at = memory->values;
    for (int scope = 0; scope < N_SCOPES; scope++) {
        memory->facts.scope[scope] = at;
        facts_init(policy, (enum fact_scope)scope, at);
        at += policy->n_facts[scope];
    }
    return memory;
}

static const enum fact_scope list_scopes[N_LIST_FAMILIES] = {
    [LISTS_CLIENT] = SCOPE_CONNECTION,
    [LISTS_PTR] = SCOPE_CONNECTION,
    [LISTS_HELO] = SCOPE_HELLO,
    [LISTS_SENDER] = SCOPE_TRANSACTION,
};

void gather_forget(struct gather_memory *memory, const struct policy *policy, enum fact_scope scope) {
    if (scope == SCOPE_CONNECTION) {
        memory->ptr = (struct ptr_result){ 0 };
        memory->has_ptr = false;
    }
    if (scope <= SCOPE_HELLO)
        memory->has_helo = false;
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        if (scope <= list_scopes[family]) {
            memory->lists[family] = (struct list_answers){ 0 };
            list_codes_forget(&memory->codes, (enum list_family)family);
        }
    if (scope <= SCOPE_RECIPIENT)
        memory->greylist = (struct gather_greylist){ 0 };
    for (int s = scope; s < N_SCOPES; s++)
        facts_init(policy, (enum fact_scope)s, memory->facts.scope[s]);
}

void gather_unask(struct gather_memory *memory, const struct policy *policy, const struct slot *slot) {
    *gather_fact(memory, slot) = policy->initial[slot->scope][slot->index];
}

void gather_forget_unavailable(struct gather_memory *memory, const struct policy *policy) {
    memory->has_ptr = memory->has_ptr && memory->ptr.status != PTR_UNAVAILABLE && memory->ptr.status != PTR_NAMED;
    memory->has_helo = memory->has_helo && !memory->helo.is_unavailable && !memory->helo.may_hold;
    for (unsigned i = 0; i < policy->n_slots; i++)
        if (gather_fact(memory, &policy->slots[i])->state == FACT_UNAVAILABLE)
            gather_unask(memory, policy, &policy->slots[i]);
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        memory->lists[family].unavailable = 0;
}
