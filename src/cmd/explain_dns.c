/*
 * explain_dns: asks DNS on behalf of one imagined decision.
 *
 * A worker watches its block lists and knows which of them can be trusted; a process that has just begun knows nothing
 * of them. So the decision is tried without lists first, which often is enough (and then no list hears of the client);
 * if facts about lists were needed, all lists are probed, the results are kept for the output, and only then is the
 * decision made again with them.
 */
#include "cmd/explain.h"

#include <errno.h>
#include <stdio.h>

enum { PROBES_MAX_MS = 15000, TURN_MS = 50 };

static void on_gathered(void *arg, const struct policy_verdict *verdict) {
    (void)verdict; /* explain_decide() decides again */
    loop_stop(arg);
}

static int new_resolver(const struct conf *conf, struct loop *loop, struct resolver **ret_resolver) {
    const struct resolver_settings settings = gather_resolver_settings(conf);
    const char *error = "no memory";
    int r = resolver_new(loop, &settings, ret_resolver, &error);
    if (r < 0)
        fprintf(stderr, "postern: DNS cannot be set up: %s\n", error);
    return r;
}

static int gather(struct explain *e, const struct gather_world *world, const struct gather_known *known) {
    struct gather *gather =
        gather_rehearse(world, &e->conf->policy, LAYER_POLICY, known, e->memory, on_gathered, world->loop);
    int r = gather != NULL ? loop_run(world->loop) : -ENOMEM;
    if (r < 0)
        gather_cancel(gather);
    return r;
}

/* ---- block lists */

/* Facts about lists that were needed and not answered are open again. True: there are any. */
static bool reopen(struct explain *e, const struct policy_set *held) {
    bool is_any = false;
    for (unsigned i = 0; i < e->policy->n_slots; i++) {
        const struct slot *slot = &e->policy->slots[i];
        struct fact *fact = &e->memory->facts.scope[slot->scope][slot->index];
        enum list_family family = list_family_of(slot->row);
        if (family == N_LIST_FAMILIES || fact->state != FACT_UNAVAILABLE || set_has(held, i) ||
            e->origins[i].source.len > 0)
            continue;
        *fact = e->policy->initial[slot->scope][slot->index];
        e->memory->lists[family].unavailable = 0;
        is_any = true;
    }
    return is_any;
}

static enum dnsbl_kind kind_of(const struct conf_block_list *list, const struct ip *client) {
    if (!(list->families >> LISTS_CLIENT & 1))
        return DNSBL_NAME;
    return client->family == IP_V4 ? DNSBL_IPV4 : DNSBL_IPV6;
}

static bool is_any_unprobed(const struct dnsbl *dnsbl, const struct ip *client) {
    for (unsigned i = 0; i < dnsbl_count(dnsbl); i++) {
        const struct dnsbl_state *state = dnsbl_state(dnsbl, i, kind_of(dnsbl_list(dnsbl, i), client));
        if (state != NULL && state->trust == DNSBL_UNPROBED)
            return true;
    }
    return false;
}

static int await_probes(const struct dnsbl *dnsbl, struct loop *loop, const struct ip *client) {
    uint64_t until = loop_now(loop) + PROBES_MAX_MS;
    int r = 0;
    while (r == 0 && loop_now(loop) < until && is_any_unprobed(dnsbl, client))
        r = loop_turn(loop, TURN_MS);
    return r;
}

static void keep_states(struct explain *e, const struct dnsbl *dnsbl, const struct ip *client) {
    for (unsigned i = 0; i < dnsbl_count(dnsbl); i++) {
        const struct conf_block_list *list = dnsbl_list(dnsbl, i);
        enum dnsbl_kind kind = kind_of(list, client);
        const struct dnsbl_state *state = dnsbl_state(dnsbl, i, kind);
        struct explain_list *shown = &e->lists[e->n_lists++];
        *shown = (struct explain_list){ .zone = list->zone, .kind = dnsbl_kind_names[kind] };
        if (state == NULL)
            shown->why = "not asked about such clients";
        else if (state->trust == DNSBL_UNPROBED)
            shown->why = "not probed yet";
        else if (state->trust == DNSBL_NOT_TRUSTED)
            shown->why = dnsbl_why_texts[state->why];
    }
}

static int gather_with_lists(struct explain *e, struct gather_world *world, const struct gather_known *known) {
    const struct conf *conf = e->conf;
    int r = dnsbl_new(world->loop, world->resolver, conf->block_lists, conf->n_block_lists, NULL, &world->dnsbl);
    if (r < 0)
        return r;
    r = await_probes(world->dnsbl, world->loop, &known->client);
    keep_states(e, world->dnsbl, &known->client);
    if (r == 0)
        r = gather(e, world, known);
    dnsbl_free(world->dnsbl);
    world->dnsbl = NULL;
    return r;
}

int explain_ask_dns(struct explain *e, struct gather_world *world, const struct gather_known *known,
                    const struct policy_set *held) {
    int r = new_resolver(e->conf, world->loop, &world->resolver);
    if (r < 0)
        return r;
    r = gather(e, world, known);
    if (r == 0 && e->conf->n_block_lists > 0 && reopen(e, held))
        r = gather_with_lists(e, world, known);
    resolver_free(world->resolver);
    return r;
}
