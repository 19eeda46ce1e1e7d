/*
 * gather_memory: what was found out so far, an array of facts a scope.
 *
 * Beside the facts stand the answers they were made of, where facts of other scopes are made of them too, or more of
 * them may come: the client's name, the HELO's addresses, what each block list said. Whoever forgets a scope forgets
 * these with it.
 */
#include "facts/gather_state.h"

#include <stdlib.h>

static size_t size_of(const struct policy *policy) {
    size_t n = 0;
    for (int scope = 0; scope < N_SCOPES; scope++)
        n += policy->n_facts[scope];
    return sizeof(struct gather_memory) + n * sizeof(struct fact);
}

/* One scope's facts stand behind the other's. */
static void lay_out(struct gather_memory *memory, const struct policy *policy) {
    struct fact *at = memory->values;
    for (int scope = 0; scope < N_SCOPES; scope++) {
        memory->facts.scope[scope] = at;
        at += policy->n_facts[scope];
    }
}

struct gather_memory *gather_memory_new(const struct policy *policy) {
    struct gather_memory *memory = calloc(1, size_of(policy));
    if (memory == NULL)
        return NULL;
    lay_out(memory, policy);
    memory->open = RULE_NONE;
    for (int scope = 0; scope < N_SCOPES; scope++)
        facts_init(policy, (enum fact_scope)scope, memory->facts.scope[scope]);
    return memory;
}

/* An empty view needs no copy, and keeps whether it is NULL. */
static bool keep(struct str *text, struct arena *arena) {
    if (text->len > 0)
        *text = arena_str(arena, *text);
    return text->len == 0 || text->at != NULL;
}

struct gather_memory *gather_memory_copy(const struct gather_memory *memory, const struct policy *policy,
                                         struct arena *arena) {
    struct gather_memory *copy = arena_alloc(arena, size_of(policy));
    if (copy == NULL)
        return NULL;
    memcpy(copy, memory, size_of(policy));
    lay_out(copy, policy);
    for (unsigned i = 0; i < policy->n_slots; i++) {
        struct fact *fact = gather_fact(copy, &policy->slots[i]);
        bool is_text = policy->slots[i].type == TYPE_STRING || policy->slots[i].type == TYPE_ADDRESS;
        if (is_text && fact->state == FACT_KNOWN && !keep(&fact->text, arena))
            return NULL;
    }
    return copy;
}

static bool keep_address(struct smtp_address *address, struct arena *arena) {
    if (!keep(&address->text, arena))
        return false;
    address->local = str_head(address->text, address->local.len);
    address->domain = str_from(address->text, address->text.len - address->domain.len);
    return true;
}

bool gather_known_keep(struct gather_known *known, struct arena *arena) {
    return keep(&known->ptr_name, arena) && keep(&known->helo, arena) && keep_address(&known->sender, arena)
        && keep_address(&known->recipient, arena);
}

static const enum fact_scope list_scopes[N_LIST_FAMILIES] = {
    [LISTS_CLIENT] = SCOPE_CONNECTION,
    [LISTS_PTR] = SCOPE_CONNECTION,
    [LISTS_HELO] = SCOPE_HELLO,
    [LISTS_SENDER] = SCOPE_TRANSACTION,
};

void gather_forget(struct gather_memory *memory, const struct policy *policy, enum fact_scope scope) {
    memory->shadow = (struct policy_set){ { 0 } };
    memory->open = RULE_NONE;
    memory->against = 0;
    memory->has_shadow_need = false;
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
    memory->virus_name = (struct str){ 0 };
    for (int s = scope; s < N_SCOPES; s++)
        facts_init(policy, (enum fact_scope)s, memory->facts.scope[s]);
}

void gather_save_recipient(const struct gather_memory *memory, const struct policy *policy, struct fact *ret_facts) {
    memcpy(ret_facts, memory->facts.scope[SCOPE_RECIPIENT], policy->n_facts[SCOPE_RECIPIENT] * sizeof(*ret_facts));
}

void gather_load_recipient(struct gather_memory *memory, const struct policy *policy, const struct fact *facts) {
    memcpy(memory->facts.scope[SCOPE_RECIPIENT], facts, policy->n_facts[SCOPE_RECIPIENT] * sizeof(*facts));
}

void gather_unask(struct gather_memory *memory, const struct policy *policy, const struct slot *slot) {
    *gather_fact(memory, slot) = policy->initial[slot->scope][slot->index];
}

void gather_forget_fact(struct gather_memory *memory, const struct policy *policy, enum fact_id id) {
    const struct slot *slot = policy_slot(policy, id);
    if (slot != NULL)
        gather_unask(memory, policy, slot);
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
