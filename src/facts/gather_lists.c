/*
 * gather_lists: facts about block lists. A family (enum list_family) is one lookup, of just those lists that matter to
 * what is needed, so that none is asked once its answer cannot change the verdict.
 *
 * What each list said is remembered (struct list_answers); facts are made of it anew at every answer, because bounds on
 * a count decide long before the last list has answered.
 */
#include "facts/gather_state.h"

#include "facts/helo.h"

void gather_lists_fill(struct gather *g, enum list_family family) {
    const struct policy *policy = g->policy->policy;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        struct fact *fact = gather_fact(g->memory, slot);
        if (list_family_of(slot->row) != family || (fact->state != FACT_UNASKED && fact->state != FACT_PENDING))
            continue;
        struct fact value = list_answers_value(&g->memory->lists[family], g->world->conf->block_lists,
                                               g->policy->lists[i], slot->row);
        if (value.state == FACT_PENDING)
            value.state = fact->state;
        gather_set(g, i, value);
    }
}

void gather_lists_settle(struct gather *g, enum list_family family, enum dnsbl_status status) {
    struct list_search *search = &g->lists[family];
    for (unsigned i = 0; i < g->world->conf->n_block_lists; i++)
        if (search->wanted >> i & 1)
            list_answers_add(&g->memory->lists[family], &g->world->conf->block_lists[i], i, status);
    search->wanted = 0;
    search->waits_for_ptr = false;
    gather_lists_fill(g, family);
    gather_step_later(g);
}

static void on_list(void *arg, unsigned list, const struct dnsbl_result *result, bool is_last) {
    struct list_search *search = arg;
    struct gather *g = search->gather;
    enum list_family family = (enum list_family)(search - g->lists);
    list_answers_add(&g->memory->lists[family], &g->world->conf->block_lists[list], list, result->status);
    if (result->status == DNSBL_LISTED)
        list_codes_add(&g->memory->codes, family, list, result);
    search->wanted &= ~(UINT64_C(1) << list);
    if (is_last)
        search->lookup = NULL;
    gather_lists_fill(g, family);
    gather_step_later(g);
}

struct str gather_list_name(const struct gather *g, enum list_family family) {
    const struct smtp_address *sender = &g->known.sender;
    struct ip ip;
    if (family == LISTS_PTR)
        return ptr_name(&g->memory->ptr);
    if (family == LISTS_SENDER)
        return sender->is_literal ? STR("") : sender->domain;
    struct helo_shape shape = helo_look(g->known.helo, &ip);
    return shape.is_invalid || shape.is_address || shape.is_unqualified ? STR("") : g->known.helo;
}

static void start_lists(struct gather *g, enum list_family family) {
    struct list_search *search = &g->lists[family];
    const struct gather_world *world = g->world;
    struct str name = family == LISTS_CLIENT ? STR("") : gather_list_name(g, family);
    if (family != LISTS_CLIENT && name.len == 0) {
        gather_lists_settle(g, family, DNSBL_CLEAN);
        return;
    }
    if (world->dnsbl != NULL && !g->is_over)
        search->lookup = dnsbl_start(world->dnsbl, &g->known.client, name, search->wanted, world->timeout_ms, on_list,
                                     search);
    if (search->lookup == NULL)
        gather_lists_settle(g, family, DNSBL_UNAVAILABLE);
}

void gather_lists_start_ptr(struct gather *g) {
    uint8_t status = g->memory->ptr.status;
    g->lists[LISTS_PTR].waits_for_ptr = false;
    if (status == PTR_UNAVAILABLE || status == PTR_NAMED)
        gather_lists_settle(g, LISTS_PTR, DNSBL_UNAVAILABLE);
    else
        start_lists(g, LISTS_PTR);
}

void gather_lists_cancel(struct list_search *search) {
    dnsbl_cancel(search->lookup);
    search->lookup = NULL;
    search->wanted = 0;
    search->waits_for_ptr = false;
}

bool gather_lists_are_running(const struct list_search *search) {
    return search->lookup != NULL || search->waits_for_ptr;
}

/* Asks `search->wanted`, where there is something to ask about. */
static void ask_lists(struct gather *g, enum list_family family) {
    struct list_search *search = &g->lists[family];
    if (search->lookup != NULL)
        dnsbl_want(search->lookup, search->wanted);
    else if (family == LISTS_HELO && !g->known.has_helo)
        gather_fill(g, (enum group)(GROUP_LISTS + family), gather_off);
    else if (family != LISTS_PTR)
        start_lists(g, family);
    else if (g->memory->has_ptr)
        gather_lists_start_ptr(g);
    else if (!(search->waits_for_ptr = gather_lookup_start_ptr(g)))
        gather_lists_settle(g, family, DNSBL_UNAVAILABLE);
}

bool gather_lists_want(struct gather *g, enum list_family family, const struct policy_set *need) {
    struct list_search *search = &g->lists[family];
    const struct policy *policy = g->policy->policy;
    uint64_t wanted = 0;
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1))
        if (list_family_of(policy->slots[i].row) == family)
            wanted |= g->policy->lists[i];
    if (wanted == 0)
        return false;
    search->gather = g;
    search->wanted = wanted & ~list_answers_all(&g->memory->lists[family]);
    if (search->wanted != 0) {
        ask_lists(g, family);
    } else { /* all of them have answered, when another fact was needed */
        gather_lists_cancel(search);
        gather_lists_fill(g, family);
    }
    return !gather_lists_are_running(search);
}
