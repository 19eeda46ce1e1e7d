/*
 * gather: see the header. One step() is: decide; ask for what is needed and not yet asked; if anything was answered
 * at once (the wire, the tables), decide again; else wait.
 *
 * Facts that DNS answers come in groups, each with one lookup: the client's name (ptr), the HELO's addresses, the
 * sender's domain. A group is started when the first of its facts is needed and cancelled when none is any more. All
 * facts of a group get their values when its lookup ends, those that nobody asked for too: they cost nothing then.
 *
 * helo.matches may need two lookups: a HELO that does not lead to the client may still belong to the organisation
 * of its confirmed name.
 *
 * Rejected: a callback and a state machine a fact (thirty of them, for three lookups), and asking for everything at
 * connect (most clients are refused by facts that cost nothing).
 */
#include "facts/gather.h"

#include "facts/helo.h"
#include "facts/sender.h"

#include <stdlib.h>

enum group {
    GROUP_NONE,
    GROUP_PTR,
    GROUP_HELO,
    GROUP_SENDER,
    GROUP_LISTS, /* and as many more as there are families */
    N_GROUPS = GROUP_LISTS + N_LIST_FAMILIES,
};

struct list_search { /* one family's block lists */
    struct gather *gather;
    struct dnsbl_lookup *lookup;
    uint64_t wanted; /* and not answered */
    bool waits_for_ptr;
};

struct gather {
    const struct gather_world *world;
    const struct conf_policy *policy;
    struct gather_memory *memory;
    struct gather_known known;
    gather_fn *done;
    void *arg;
    struct task task;
    struct timer deadline;
    struct ptr_lookup *ptr;
    struct addresses_lookup *helo;
    struct sender_lookup *sender;
    struct list_search lists[N_LIST_FAMILIES];
    bool helo_waits_for_ptr;
    bool is_over; /* the deadline has passed: nothing more is asked */
    uint8_t last; /* enum policy_layer */
};

/* ---- memory */

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
        if (scope <= list_scopes[family])
            memory->lists[family] = (struct list_answers){ 0 };
    for (int s = scope; s < N_SCOPES; s++)
        facts_init(policy, (enum fact_scope)s, memory->facts.scope[s]);
}

static struct fact *fact_of(struct gather_memory *memory, const struct slot *slot) {
    return &memory->facts.scope[slot->scope][slot->index];
}

static void unask(struct gather_memory *memory, const struct policy *policy, const struct slot *slot) {
    *fact_of(memory, slot) = policy->initial[slot->scope][slot->index];
}

void gather_forget_unavailable(struct gather_memory *memory, const struct policy *policy) {
    memory->has_ptr = memory->has_ptr && memory->ptr.status != PTR_UNAVAILABLE && memory->ptr.status != PTR_NAMED;
    memory->has_helo = memory->has_helo && !memory->helo.is_unavailable && !memory->helo.may_hold;
    for (unsigned i = 0; i < policy->n_slots; i++)
        if (fact_of(memory, &policy->slots[i])->state == FACT_UNAVAILABLE)
            unask(memory, policy, &policy->slots[i]);
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        memory->lists[family].unavailable = 0;
}

/* ---- facts that are there for the looking */

static struct str without_final_dot(struct str name) {
    return name.len > 0 && name.at[name.len - 1] == '.' ? str_head(name, name.len - 1) : name;
}

static struct fact helo_value(const struct gather *g, enum fact_id id) {
    struct ip ip;
    struct str helo = g->known.helo;
    if (!g->known.has_helo)
        return (struct fact){ .state = FACT_OFF };
    struct helo_shape shape = helo_look(helo, &ip);
    bool is_name = !shape.is_address && !shape.is_invalid;
    switch ((unsigned)id) {
    case F_HELO_NAME:
        return fact_text(helo);
    case F_HELO_INVALID:
        return fact_bool(shape.is_invalid);
    case F_HELO_ADDRESS:
        return fact_bool(shape.is_address);
    case F_HELO_UNQUALIFIED:
        return fact_bool(shape.is_unqualified);
    case F_HELO_ACCESS:
        return fact_bool(is_name && name_classify(helo, &g->known.client) == NAME_ACCESS);
    case F_HELO_STATIC:
        return fact_bool(is_name && name_classify(helo, &g->known.client) == NAME_STATIC);
    }
    bool is_ours = str_eq_nocase(without_final_dot(helo), str_of(g->world->conf->set.hostname));
    for (size_t i = 0; i < g->world->conf->n_listeners; i++)
        is_ours = is_ours || (ip.family != IP_NONE && ip_eq(&ip, &g->world->conf->listeners[i].at.ip));
    return fact_bool(is_ours);
}

static struct fact known_value(const struct gather *g, enum fact_id id) {
    const struct gather_known *known = &g->known;
    switch ((unsigned)id) {
    case F_CLIENT_EARLY_TALKER:
        return known->is_second_hand ? (struct fact){ .state = FACT_OFF } : fact_bool(known->is_early);
    case F_CLIENT_TLS:
        return fact_bool(known->is_tls);
    case F_SENDER_ADDRESS:
        return fact_text(known->sender.text);
    case F_SENDER_DOMAIN:
        return fact_text(known->sender.domain);
    case F_SENDER_NULL:
        return fact_bool(known->sender.text.len == 0);
    case F_SENDER_OURS:
        return fact_bool(known->sender_is_ours);
    case F_RCPT_ADDRESS:
        return fact_text(known->recipient.text);
    case F_RCPT_DOMAIN:
        return fact_text(known->recipient.domain);
    case F_RCPT_POSTMASTER:
        return fact_bool(known->rcpt_is_postmaster);
    case F_RCPT_LOCAL:
        return known->rcpt_local;
    case F_RCPT_KNOWN:
        return known->rcpt_known;
    case F_RCPT_RELAY_ALLOWED:
        return known->relay_allowed;
    case F_RCPT_ENFORCED:
        return known->enforced;
    }
    return id >= F_HELO_NAME && id <= F_HELO_OURS ? helo_value(g, id) : (struct fact){ .state = FACT_OFF };
}

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

static enum group group_of(const struct slot *slot) {
    enum fact_id id = (enum fact_id)(slot->row - fact_rows);
    if (id >= F_PTR_NONE && id <= F_PTR_NAME)
        return GROUP_PTR;
    if (id == F_HELO_RESOLVES || id == F_HELO_MATCHES)
        return GROUP_HELO;
    if (id == F_SENDER_RESOLVES || id == F_SENDER_NULL_MX)
        return GROUP_SENDER;
    enum list_family family = list_family_of(slot->row);
    return family < N_LIST_FAMILIES ? (enum group)(GROUP_LISTS + family) : GROUP_NONE;
}

/* A table or pattern test on a value that is known. */
static struct fact test_value(const struct gather *g, unsigned number, struct fact value) {
    const struct slot *slot = &g->policy->policy->slots[number];
    bool holds;
    if (slot->row == &fact_rows[F_CLIENT])
        return fact_bool(g->policy->tables[number] != NULL
                         && table_has_ip(g->policy->tables[number], &g->known.client));
    if (value.state != FACT_KNOWN)
        return value;
    if (slot->kind == SLOT_TABLE)
        holds = g->policy->tables[number] != NULL && table_has(g->policy->tables[number], value.text);
    else
        holds = value.text.len > 0 && pattern_matches(g->policy->patterns[number], value.text);
    return fact_bool(holds);
}

static void set(struct gather *g, unsigned number, struct fact value) {
    const struct slot *slot = &g->policy->policy->slots[number];
    struct fact *fact = fact_of(g->memory, slot);
    *fact = slot->kind == SLOT_FACT ? value : test_value(g, number, value);
    fact->since_ms = g->world->loop != NULL ? (uint32_t)loop_now(g->world->loop) : 0;
}

/* The facts of a group that are open get what `value` says. */
static void fill(struct gather *g, enum group group, struct fact (*value)(const struct gather *, enum fact_id)) {
    const struct policy *policy = g->policy->policy;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        const struct fact *fact = fact_of(g->memory, slot);
        if (group_of(slot) == group && (fact->state == FACT_UNASKED || fact->state == FACT_PENDING))
            set(g, i, value(g, (enum fact_id)(slot->row - fact_rows)));
    }
}

static struct fact unavailable_value(const struct gather *g, enum fact_id id) {
    return (struct fact){ .state = FACT_UNAVAILABLE };
}

static struct fact off_value(const struct gather *g, enum fact_id id) {
    return (struct fact){ .state = FACT_OFF };
}

/* ---- lookups */

static void step_later(struct gather *g);

static void on_ptr(void *arg, const struct ptr_result *result);

static bool start_ptr(struct gather *g) {
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
    struct fact *fact = matches != NULL ? fact_of(g->memory, matches) : NULL;
    bool is_left_open = fact != NULL && helo_needs_ptr(g);
    struct fact left = is_left_open ? *fact : (struct fact){ 0 };
    fill(g, GROUP_HELO, helo_lookup_value);
    if (is_left_open) {
        *fact = left;
        g->helo_waits_for_ptr = left.state == FACT_PENDING && start_ptr(g);
        if (left.state == FACT_PENDING && !g->helo_waits_for_ptr)
            fact->state = FACT_UNAVAILABLE;
    }
    step_later(g);
}

static void start_ptr_lists(struct gather *g);

static void on_ptr(void *arg, const struct ptr_result *result) {
    struct gather *g = arg;
    g->ptr = NULL;
    g->memory->ptr = *result;
    g->memory->has_ptr = true;
    fill(g, GROUP_PTR, ptr_value);
    if (g->helo_waits_for_ptr) {
        g->helo_waits_for_ptr = false;
        fill_helo(g);
    }
    if (g->lists[LISTS_PTR].waits_for_ptr)
        start_ptr_lists(g);
    step_later(g);
}

static void on_helo(void *arg, const struct addresses_result *result) {
    struct gather *g = arg;
    g->helo = NULL;
    g->memory->helo = *result;
    g->memory->has_helo = true;
    fill_helo(g);
}

static bool start_helo(struct gather *g) {
    const struct gather_world *world = g->world;
    struct ip ip = { 0 };
    if (!g->known.has_helo) {
        fill(g, GROUP_HELO, off_value);
        return true;
    }
    if (!helo_is_name(g)) {
        helo_look(g->known.helo, &ip);
        g->memory->helo = (struct addresses_result){ .is_found = ip.family != IP_NONE,
                                                     .holds = ip_eq(&ip, &g->known.client) };
        g->memory->has_helo = true;
    }
    if (g->memory->has_helo) {
        fill_helo(g);
        return true;
    }
    if (!g->is_over)
        g->helo = addresses_start(world->resolver, without_final_dot(g->known.helo), &g->known.client,
                                  world->timeout_ms, on_helo, g);
    return g->helo != NULL;
}

static void on_sender(void *arg, const struct sender_result *result) {
    struct gather *g = arg;
    const struct policy *policy = g->policy->policy;
    g->sender = NULL;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        if (group_of(slot) != GROUP_SENDER)
            continue;
        bool value = slot->row == &fact_rows[F_SENDER_NULL_MX] ? result->null_mx : result->resolves;
        set(g, i, result->is_unavailable ? (struct fact){ .state = FACT_UNAVAILABLE } : fact_bool(value));
    }
    step_later(g);
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

static bool start_sender(struct gather *g) {
    const struct gather_world *world = g->world;
    const struct smtp_address *sender = &g->known.sender;
    if (sender->text.len == 0 || sender->is_literal)
        fill(g, GROUP_SENDER, sender_value);
    else if (!is_ascii(sender->domain)) /* DNS knows it by its A-label, which we do not make (RFC 5890 2.3.2.1) */
        fill(g, GROUP_SENDER, off_value);
    else if (!g->is_over)
        return (g->sender = sender_start(world->resolver, sender->domain, world->timeout_ms, on_sender, g)) != NULL;
    else
        return false;
    return true;
}

/* Starts a group's lookup, or answers it where there is nothing to look up, or no time. */
static void start(struct gather *g, enum group group) {
    bool is_started = group == GROUP_PTR ? start_ptr(g) : group == GROUP_HELO ? start_helo(g) : start_sender(g);
    if (!is_started)
        fill(g, group, unavailable_value);
}

/* ---- block lists: a family is one lookup, of just those lists that matter to what is needed */

/* Brings the facts of a family up to what its lists have said. Those nobody asked for stay unasked, better bounded. */
static void fill_lists(struct gather *g, enum list_family family) {
    const struct policy *policy = g->policy->policy;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        struct fact *fact = fact_of(g->memory, slot);
        if (list_family_of(slot->row) != family || (fact->state != FACT_UNASKED && fact->state != FACT_PENDING))
            continue;
        struct fact value = list_answers_value(&g->memory->lists[family], g->world->conf->block_lists,
                                               g->policy->lists[i], slot->row);
        if (value.state == FACT_PENDING)
            value.state = fact->state;
        set(g, i, value);
    }
}

/* What is wanted of a family is answered without asking. */
static void settle_lists(struct gather *g, enum list_family family, enum dnsbl_status status) {
    struct list_search *search = &g->lists[family];
    for (unsigned i = 0; i < g->world->conf->n_block_lists; i++)
        if (search->wanted >> i & 1)
            list_answers_add(&g->memory->lists[family], &g->world->conf->block_lists[i], i, status);
    search->wanted = 0;
    search->waits_for_ptr = false;
    fill_lists(g, family);
    step_later(g);
}

static void on_list(void *arg, unsigned list, const struct dnsbl_result *result, bool is_last) {
    struct list_search *search = arg;
    struct gather *g = search->gather;
    enum list_family family = (enum list_family)(search - g->lists);
    list_answers_add(&g->memory->lists[family], &g->world->conf->block_lists[list], list, result->status);
    search->wanted &= ~(UINT64_C(1) << list);
    if (is_last)
        search->lookup = NULL;
    fill_lists(g, family);
    step_later(g);
}

/* The name that is looked up in lists of names; "": there is none, which no list holds. */
static struct str list_name(const struct gather *g, enum list_family family) {
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
    const struct ip *ip = family == LISTS_CLIENT ? &g->known.client : NULL;
    struct str name = family == LISTS_CLIENT ? STR("") : list_name(g, family);
    if (ip == NULL && name.len == 0) {
        settle_lists(g, family, DNSBL_CLEAN);
        return;
    }
    if (world->dnsbl != NULL && !g->is_over)
        search->lookup = dnsbl_start(world->dnsbl, ip, name, search->wanted, world->timeout_ms, on_list, search);
    if (search->lookup == NULL)
        settle_lists(g, family, DNSBL_UNAVAILABLE);
}

/* The client's name has been looked up. */
static void start_ptr_lists(struct gather *g) {
    uint8_t status = g->memory->ptr.status;
    g->lists[LISTS_PTR].waits_for_ptr = false;
    if (status == PTR_UNAVAILABLE || status == PTR_NAMED)
        settle_lists(g, LISTS_PTR, DNSBL_UNAVAILABLE);
    else
        start_lists(g, LISTS_PTR);
}

static void cancel_lists(struct list_search *search) {
    dnsbl_cancel(search->lookup);
    search->lookup = NULL;
    search->wanted = 0;
    search->waits_for_ptr = false;
}

/* Asks `search->wanted`, where there is something to ask about. */
static void ask_lists(struct gather *g, enum list_family family) {
    struct list_search *search = &g->lists[family];
    if (search->lookup != NULL)
        dnsbl_want(search->lookup, search->wanted);
    else if (family == LISTS_HELO && !g->known.has_helo)
        fill(g, (enum group)(GROUP_LISTS + family), off_value);
    else if (family != LISTS_PTR)
        start_lists(g, family);
    else if (g->memory->has_ptr)
        start_ptr_lists(g);
    else if (!(search->waits_for_ptr = start_ptr(g)))
        settle_lists(g, family, DNSBL_UNAVAILABLE);
}

/* Asks just the lists that the needed facts of this family still depend on. True: something was answered at once. */
static bool want_lists(struct gather *g, enum list_family family, const struct policy_set *need) {
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
        cancel_lists(search);
        fill_lists(g, family);
    }
    return search->lookup == NULL && !search->waits_for_ptr;
}

/* ---- ending lookups */

static void cancel_group(struct gather *g, enum group group) {
    if (group >= GROUP_LISTS) {
        cancel_lists(&g->lists[group - GROUP_LISTS]);
    } else if (group == GROUP_PTR) {
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

static bool is_running(const struct gather *g, enum group group) {
    if (group >= GROUP_LISTS)
        return g->lists[group - GROUP_LISTS].lookup != NULL || g->lists[group - GROUP_LISTS].waits_for_ptr;
    return (group == GROUP_PTR && g->ptr != NULL) || (group == GROUP_SENDER && g->sender != NULL)
        || (group == GROUP_HELO && (g->helo != NULL || g->helo_waits_for_ptr));
}

/* What is pending but cannot matter any more is cancelled, and unasked again. */
static void cancel_needless(struct gather *g, const struct policy_set *need) {
    const struct policy *policy = g->policy->policy;
    bool is_needed[N_GROUPS] = { false };
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1))
        is_needed[group_of(&policy->slots[i])] = true;
    if (g->helo_waits_for_ptr && is_needed[GROUP_HELO])
        is_needed[GROUP_PTR] = true;
    if (g->lists[LISTS_PTR].waits_for_ptr && is_needed[GROUP_LISTS + LISTS_PTR])
        is_needed[GROUP_PTR] = true;
    for (enum group group = GROUP_PTR; group < N_GROUPS; group++) {
        if (is_needed[group] || !is_running(g, group))
            continue;
        cancel_group(g, group);
        for (unsigned i = 0; i < policy->n_slots; i++)
            if (group_of(&policy->slots[i]) == group && fact_of(g->memory, &policy->slots[i])->state == FACT_PENDING)
                unask(g->memory, policy, &policy->slots[i]);
        if (group >= GROUP_LISTS) /* what some lists did say stays */
            fill_lists(g, (enum list_family)(group - GROUP_LISTS));
    }
}

/* ---- deciding */

static void free_gather(struct gather *g) {
    for (enum group group = GROUP_PTR; group < N_GROUPS; group++)
        cancel_group(g, group);
    task_cancel(g->world->loop, &g->task);
    timer_cancel(g->world->loop, &g->deadline);
    free(g);
}

/* Asks for what is needed and was not asked yet. True: something was answered at once. */
static bool ask(struct gather *g, const struct policy_set *need) {
    const struct policy *policy = g->policy->policy;
    bool is_answered = false;
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1)) {
        const struct slot *slot = &policy->slots[i];
        struct fact *fact = fact_of(g->memory, slot);
        enum group group = group_of(slot);
        if (fact->state != FACT_UNASKED)
            continue;
        if (group == GROUP_NONE) {
            set(g, (unsigned)i, known_value(g, (enum fact_id)(slot->row - fact_rows)));
            is_answered = true;
        } else {
            fact->state = FACT_PENDING;
            if (group < GROUP_LISTS && !is_running(g, group))
                start(g, group);
            is_answered = is_answered || fact->state != FACT_PENDING;
        }
    }
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        is_answered |= want_lists(g, (enum list_family)family, need);
    return is_answered;
}

bool gather_take_name(const struct gather_world *world, const struct conf_policy *policy, const struct ip *client,
                      struct str name, struct gather_memory *memory) {
    struct gather g = { .world = world, .policy = policy, .memory = memory, .known = { .client = *client } };
    if (!ptr_is_name(name))
        return false;
    ptr_take_confirmed(client, name, &memory->ptr);
    memory->has_ptr = true;
    fill(&g, GROUP_PTR, ptr_value);
    return true;
}

/* Answers what costs nothing among what is needed. False: there was nothing of the kind. */
static bool answer_cheap(struct gather *g, const struct policy_set *need) {
    bool is_answered = false;
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1)) {
        const struct slot *slot = &g->policy->policy->slots[i];
        if (group_of(slot) != GROUP_NONE || fact_of(g->memory, slot)->state != FACT_UNASKED)
            continue;
        set(g, (unsigned)i, known_value(g, (enum fact_id)(slot->row - fact_rows)));
        is_answered = true;
    }
    return is_answered;
}

/* Shadow rules cannot change the verdict; what they ask of wire and tables is answered for their counts. */
static void complete_shadow(struct gather *g, enum policy_layer last, struct policy_verdict *verdict) {
    while (answer_cheap(g, &verdict->shadow_need))
        policy_decide(g->policy->policy, last, &g->memory->facts, verdict);
}

/*
 * With `enforce no` the rules that could refuse are shadow rules, and what they would have done is what the
 * administrator wants to see: their facts are found out as if they were enforced, at the price of the same wait.
 */
static bool is_rehearsal(const struct gather *g, const struct policy_verdict *verdict) {
    const struct fact *enforced = &g->known.enforced;
    return enforced->state == FACT_KNOWN && enforced->value == 0 && set_next(&verdict->shadow_need, 0) >= 0;
}

bool gather_now(const struct gather_world *world, const struct conf_policy *policy, enum policy_layer last,
                const struct gather_known *known, struct gather_memory *memory, struct policy_verdict *ret_verdict) {
    struct gather g = { .world = world, .policy = policy, .memory = memory, .known = *known };
    do {
        policy_decide(policy->policy, last, &memory->facts, ret_verdict);
        if (ret_verdict->status == DECIDE_VERDICT) {
            complete_shadow(&g, last, ret_verdict);
            return !is_rehearsal(&g, ret_verdict);
        }
    } while (answer_cheap(&g, &ret_verdict->need));
    return false;
}

static void finish(struct gather *g, const struct policy_verdict *verdict) {
    gather_fn *done = g->done;
    void *arg = g->arg;
    cancel_needless(g, &(struct policy_set){ 0 });
    free_gather(g);
    done(arg, verdict);
}

static void step(struct task *task) {
    struct gather *g = (struct gather *)((char *)task - offsetof(struct gather, task));
    const struct policy_set *need;
    struct policy_verdict verdict;
    do {
        policy_decide(g->policy->policy, (enum policy_layer)g->last, &g->memory->facts, &verdict);
        need = &verdict.need;
        if (verdict.status == DECIDE_VERDICT) {
            complete_shadow(g, (enum policy_layer)g->last, &verdict);
            if (!is_rehearsal(g, &verdict)) {
                finish(g, &verdict);
                return;
            }
            need = &verdict.shadow_need;
        }
        cancel_needless(g, need);
    } while (ask(g, need));
}

static void step_later(struct gather *g) {
    task_start(g->world->loop, &g->task, step);
}

/* Time is up: what has not come is unavailable, for this transaction. */
static void on_deadline(struct timer *timer) {
    struct gather *g = (struct gather *)((char *)timer - offsetof(struct gather, deadline));
    g->is_over = true;
    if (g->ptr != NULL) {
        g->memory->ptr = (struct ptr_result){ .status = PTR_UNAVAILABLE };
        g->memory->has_ptr = true;
    }
    if (g->helo != NULL) {
        g->memory->helo = (struct addresses_result){ .is_unavailable = true, .may_hold = true };
        g->memory->has_helo = true;
    }
    for (enum group group = GROUP_PTR; group < N_GROUPS; group++) {
        if (is_running(g, group) && group >= GROUP_LISTS)
            settle_lists(g, (enum list_family)(group - GROUP_LISTS), DNSBL_UNAVAILABLE);
        else if (is_running(g, group))
            fill(g, group, unavailable_value);
        cancel_group(g, group);
    }
    step_later(g);
}

struct gather *gather_start(const struct gather_world *world, const struct conf_policy *policy, enum policy_layer last,
                            const struct gather_known *known, struct gather_memory *memory, gather_fn *done,
                            void *arg) {
    struct gather *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    *g = (struct gather){ .world = world, .policy = policy, .memory = memory, .known = *known, .done = done, .arg = arg,
                          .last = (uint8_t)last };
    if (timer_set(world->loop, &g->deadline, loop_now(world->loop) + world->timeout_ms, on_deadline) < 0) {
        free(g);
        return NULL;
    }
    step_later(g);
    return g;
}

void gather_cancel(struct gather *take_gather) {
    if (take_gather == NULL)
        return;
    cancel_needless(take_gather, &(struct policy_set){ 0 });
    free_gather(take_gather);
}
