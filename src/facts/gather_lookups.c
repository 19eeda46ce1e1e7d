/*
 * gather_lookups: facts that DNS answers, block lists apart.
 *
 * They come in groups, each with one lookup: the client's name (ptr), the HELO's addresses, the sender's domain. All
 * facts of a group get their values when its lookup ends, those that nobody asked for too: they cost nothing then.
 *
 * helo.matches may need two lookups: a HELO that does not lead to the client may still belong to the organisation
 * of its confirmed name.
 */
#include "facts/gather_state.h"

#include "facts/helo.h"
#include "facts/sender.h"

/* ---- facts that a lookup has answered */

static struct fact ptr_value(const struct gather *g, enum fact_id id) {
    const struct ptr_result *ptr = &g->memory->ptr;
    static const struct fact unavailable = { .state = FACT_UNAVAILABLE };
    if (ptr->status == PTR_UNAVAILABLE || (ptr->status == PTR_NAMED && id != F_PTR_NONE))
        return unavailable;
    switch ((unsigned)id) {
    case F_PTR_NONE:
        return fact_bool(ptr->status == PTR_NONE);
    case F_PTR_UNCONFIRMED:
        return fact_bool(ptr->status == PTR_UNCONFIRMED);
    case F_PTR_CONFIRMED:
        return fact_bool(ptr->status == PTR_CONFIRMED);
    case F_PTR_ACCESS:
        return fact_bool(ptr->status != PTR_NONE && ptr->class == NAME_ACCESS);
    case F_PTR_STATIC:
        return fact_bool(ptr->status != PTR_NONE && ptr->class == NAME_STATIC);
    }
    return fact_text(ptr_name(ptr));
}

static bool shares_organisation(struct str a, struct str b) {
    struct str of_a = helo_organisation(a);
    return of_a.len > 0 && str_eq_nocase(of_a, helo_organisation(b));
}

/* A HELO that DNS can be asked about. */
static bool helo_is_name(const struct gather *g) {
    struct ip ip;
    return g->known.has_helo && !helo_look(g->known.helo, &ip).is_invalid && ip.family == IP_NONE;
}

/* helo.matches can be told only with the client's name. */
static bool helo_needs_ptr(const struct gather *g) {
    return !g->memory->helo.holds && !g->memory->has_ptr && helo_is_name(g);
}

/* helo.resolves and helo.matches, when the addresses are there, and the client's name where it is needed. */
static struct fact helo_lookup_value(const struct gather *g, enum fact_id id) {
    const struct addresses_result *found = &g->memory->helo;
    const struct ptr_result *ptr = &g->memory->ptr;
    static const struct fact unavailable = { .state = FACT_UNAVAILABLE };
    if (id == F_HELO_RESOLVES)
        return found->is_unavailable ? unavailable : fact_bool(found->is_found);
    if (found->holds || !helo_is_name(g))
        return fact_bool(found->holds);
    if (ptr->status == PTR_CONFIRMED && shares_organisation(g->known.helo, ptr_name(ptr)))
        return fact_bool(true);
    bool is_unknown = found->may_hold || ptr->status == PTR_UNAVAILABLE || ptr->status == PTR_NAMED;
    return is_unknown ? unavailable : fact_bool(false);
}

/* ---- groups */

enum group gather_group_of(const struct slot *slot) {
    enum fact_id id = (enum fact_id)(slot->row - fact_rows);
    if (id >= F_PTR_NONE && id <= F_PTR_NAME)
        return GROUP_PTR;
    if (id == F_HELO_RESOLVES || id == F_HELO_MATCHES)
        return GROUP_HELO;
    if (id == F_SENDER_RESOLVES || id == F_SENDER_NULL_MX)
        return GROUP_SENDER;
    if (id == F_GREYLIST)
        return GROUP_GREYLIST;
    if (id == F_VIRUS || id == F_VIRUS_NAME)
        return GROUP_VIRUS;
    if (id == F_SPAM_SCORE)
        return GROUP_SPAM;
    enum list_family family = list_family_of(slot->row);
    return family < N_LIST_FAMILIES ? (enum group)(GROUP_LISTS + family) : GROUP_NONE;
}

/* ---- lookups */

static void on_ptr(void *arg, const struct ptr_result *result);

bool gather_lookup_start_ptr(struct gather *g) {
    const struct gather_world *world = g->world;
    if (g->ptr == NULL && !g->is_over)
        g->ptr = ptr_is_name(g->known.ptr_name)
            ? ptr_confirm_start(world->resolver, &g->known.client, g->known.ptr_name, world->timeout_ms, on_ptr, g)
            : ptr_start(world->resolver, &g->known.client, world->timeout_ms, on_ptr, g);
    return g->ptr != NULL;
}

/* The addresses are known. helo.matches is left open where it takes the client's name, which is asked for only if a
   rule wants to know. */
static void fill_helo(struct gather *g) {
    const struct policy *policy = g->policy->policy;
    const struct slot *matches = policy_slot(policy, F_HELO_MATCHES);
    struct fact *fact = matches != NULL ? gather_fact(g->memory, matches) : NULL;
    bool is_left_open = fact != NULL && helo_needs_ptr(g);
    struct fact left = is_left_open ? *fact : (struct fact){ 0 };
    gather_fill(g, GROUP_HELO, helo_lookup_value);
    if (is_left_open) {
        *fact = left;
        g->helo_waits_for_ptr = left.state == FACT_PENDING && gather_lookup_start_ptr(g);
        if (left.state == FACT_PENDING && !g->helo_waits_for_ptr)
            fact->state = FACT_UNAVAILABLE;
    }
    gather_step_later(g);
}

static void on_ptr(void *arg, const struct ptr_result *result) {
    struct gather *g = arg;
    g->ptr = NULL;
    g->memory->ptr = *result;
    g->memory->has_ptr = true;
    gather_fill(g, GROUP_PTR, ptr_value);
    if (g->helo_waits_for_ptr) {
        g->helo_waits_for_ptr = false;
        fill_helo(g);
    }
    if (g->lists[LISTS_PTR].waits_for_ptr)
        gather_lists_start_ptr(g);
    gather_greylist_on_ptr(g);
    gather_step_later(g);
}

static void on_helo(void *arg, const struct addresses_result *result) {
    struct gather *g = arg;
    g->helo = NULL;
    g->memory->helo = *result;
    g->memory->has_helo = true;
    fill_helo(g);
}

/* What is no name resolves by itself if it is an address, and leads to the client if it is his. */
static bool answer_helo(struct gather *g) {
    struct ip ip = { 0 };
    if (!g->known.has_helo) {
        gather_fill(g, GROUP_HELO, gather_off);
        return true;
    }
    if (helo_is_name(g))
        return false;
    helo_look(g->known.helo, &ip);
    g->memory->helo = (struct addresses_result){ .is_found = ip.family != IP_NONE,
                                                 .holds = ip_eq(&ip, &g->known.client) };
    g->memory->has_helo = true;
    gather_fill(g, GROUP_HELO, helo_lookup_value);
    return true;
}

static bool start_helo(struct gather *g) {
    const struct gather_world *world = g->world;
    if (g->memory->has_helo) {
        fill_helo(g);
        return true;
    }
    if (!g->is_over)
        g->helo = addresses_start(world->resolver, &g->known.client, gather_helo_name(g->known.helo),
                                  world->timeout_ms, on_helo, g);
    return g->helo != NULL;
}

static void on_sender(void *arg, const struct sender_result *result) {
    struct gather *g = arg;
    const struct policy *policy = g->policy->policy;
    g->sender = NULL;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        if (gather_group_of(slot) != GROUP_SENDER)
            continue;
        bool value = slot->row == &fact_rows[F_SENDER_NULL_MX] ? result->null_mx : result->resolves;
        gather_set(g, i, result->is_unavailable ? (struct fact){ .state = FACT_UNAVAILABLE } : fact_bool(value));
    }
    gather_step_later(g);
}

/* The null sender, and an address literal: they resolve by themselves. */
static struct fact sender_value(const struct gather *g, enum fact_id id) {
    return fact_bool(id == F_SENDER_RESOLVES);
}

static bool is_ascii(struct str text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] > 126)
            return false;
    return true;
}

static bool answer_sender(struct gather *g) {
    const struct smtp_address *sender = &g->known.sender;
    if (sender->text.len == 0 || sender->is_literal)
        gather_fill(g, GROUP_SENDER, sender_value);
    else if (!is_ascii(sender->domain)) /* DNS knows it by its A-label, which we do not make (RFC 5890 2.3.2.1) */
        gather_fill(g, GROUP_SENDER, gather_off);
    else
        return false;
    return true;
}

static bool start_sender(struct gather *g) {
    const struct gather_world *world = g->world;
    if (!g->is_over)
        g->sender = sender_start(world->resolver, &g->known.client, g->known.sender.domain, world->timeout_ms,
                                 on_sender, g);
    return g->sender != NULL;
}

bool gather_lookup_spare(struct gather *g, enum group group) {
    return group == GROUP_HELO ? answer_helo(g) : group == GROUP_SENDER && answer_sender(g);
}

void gather_lookup_start(struct gather *g, enum group group) {
    if (gather_lookup_spare(g, group))
        return;
    bool is_started = group == GROUP_PTR    ? gather_lookup_start_ptr(g)
                      : group == GROUP_HELO ? start_helo(g)
                                            : start_sender(g);
    if (!is_started)
        gather_fill(g, group, gather_unavailable);
}

/* ---- ending lookups */

void gather_lookup_cancel(struct gather *g, enum group group) {
    if (group == GROUP_PTR) {
        ptr_cancel(g->ptr);
        g->ptr = NULL;
    } else if (group == GROUP_HELO) {
        addresses_cancel(g->helo);
        g->helo = NULL;
        g->helo_waits_for_ptr = false;
    } else {
        sender_cancel(g->sender);
        g->sender = NULL;
    }
}

bool gather_lookup_is_running(const struct gather *g, enum group group) {
    return (group == GROUP_PTR && g->ptr != NULL) || (group == GROUP_SENDER && g->sender != NULL)
        || (group == GROUP_HELO && (g->helo != NULL || g->helo_waits_for_ptr));
}

void gather_lookups_expire(struct gather *g) {
    if (g->ptr != NULL) {
        g->memory->ptr = (struct ptr_result){ .status = PTR_UNAVAILABLE };
        g->memory->has_ptr = true;
    }
    if (g->helo != NULL) {
        g->memory->helo = (struct addresses_result){ .is_unavailable = true, .may_hold = true };
        g->memory->has_helo = true;
    }
}

/* ---- told by the door */

bool gather_take_name(const struct gather_world *world, const struct conf_policy *policy, const struct ip *client,
                      struct str name, struct gather_memory *memory) {
    struct gather g = { .world = world, .policy = policy, .memory = memory, .known = { .client = *client } };
    if (!ptr_is_name(name))
        return false;
    ptr_take_confirmed(client, name, &memory->ptr);
    memory->has_ptr = true;
    gather_fill(&g, GROUP_PTR, ptr_value);
    return true;
}

struct resolver_settings gather_resolver_settings(const struct conf *conf) {
    static const enum resolver_way ways[] = { [CONF_DNS_HOST] = RESOLVER_HOST, [CONF_DNS_FORWARD] = RESOLVER_FORWARD,
                                              [CONF_DNS_RECURSE] = RESOLVER_RECURSE };
    return (struct resolver_settings){
        .way = ways[conf->set.dns.use],
        .forwarders = conf->set.dns.forward_to.at,
        .n_forwarders = conf->set.dns.forward_to.n,
        .stubs = conf->set.dns.stubs.at,
        .n_stubs = conf->set.dns.stubs.n,
        .max_in_flight = (unsigned)conf->set.dns.in_flight,
        .organisation = helo_organisation,
    };
}
