/*
 * slots: which concrete facts does a policy use, and what is known of them before anyone was asked?
 *
 * Each distinct fact is one slot, however many rules use it. Some need no asking at all, which is decided here once and
 * not in each session: a source that is off, a test against an empty table, a count of block lists where there are
 * none. A count that has to be asked for is bounded from the start by the lists there are: with one list configured
 * `dnsbl.hits >= 2` is false without a query.
 *
 * Slots are found by linear search: there are dozens, and only load looks for them.
 */
#include "policy/compile.h"

#include <errno.h>

static bool is_same(const struct slot *slot, const struct literal *literal) {
    return slot->row == literal->row && slot->kind == literal->kind && slot->rate == literal->rate &&
           slot->window_s == literal->window_s && str_eq(slot->argument, literal->argument);
}

/* "client.rate(unknown, 10m)": in the largest unit that says it whole. */
static const char *rate_name(struct arena *arena, const struct literal *l) {
    static const struct {
        char letter;
        uint32_t seconds;
    } units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    size_t i = 0;
    while (l->window_s % units[i].seconds != 0)
        i++;
    return arena_printf(arena, "%s(%s, %u%c)", l->row->name, rate_names[l->rate], l->window_s / units[i].seconds,
                        units[i].letter);
}

/* As a person writes it. */
static struct str slot_name(struct arena *arena, const struct literal *l) {
    const char *name = l->row->name;
    struct str argument = l->argument;
    if (l->kind == SLOT_TABLE)
        return str_of(arena_printf(arena, "%s in %.*s", name, STR_ARG(argument)));
    if (l->kind == SLOT_PATTERN)
        return str_of(arena_printf(arena, "%s ~ \"%.*s\"", name, STR_ARG(argument)));
    if (l->row->parameter == PARAMETER_RATE)
        return str_of(rate_name(arena, l));
    if (l->row->parameter != PARAMETER_NONE)
        return str_of(arena_printf(arena, "%s(%.*s)", name, STR_ARG(argument)));
    return str_of(name);
}

/* Written otherwise: with other blanks, or `60m` for `1h`. */
static int find_fact(const struct policy *policy, struct str name, struct arena *arena, struct diag_list *diag) {
    const struct policy_environment nothing = { .tables = NULL };
    struct parsed p = { .source = { .path = "", .text = name }, .diag = diag, .arena = arena, .keep = arena,
                        .environment = &nothing };
    struct literal literal;
    tokens_init(&p.tokens, name, arena);
    if (parse_advance(&p) < 0 || parse_fact(&p, &literal) < 0 || p.token.kind != TOKEN_END || literal.op != OP_TRUE)
        return -EINVAL;
    for (int i = 0; i < policy->n_slots; i++) {
        if (is_same(&policy->slots[i], &literal))
            return i;
    }
    return -ENOENT;
}

int policy_find_slot(const struct policy *policy, struct str name) {
    struct arena arena = { 0 };
    struct diag_list diag;
    for (int i = 0; i < policy->n_slots; i++) {
        if (str_eq(policy->slots[i].name, name))
            return i;
    }
    diag_init(&diag);
    int r = find_fact(policy, name, &arena, &diag);
    diag_deinit(&diag);
    arena_reset(&arena);
    return r;
}

int slot_intern(struct compiler *c, const struct literal *literal, const char *at) {
    struct policy *policy = c->policy;
    for (int i = 0; i < policy->n_slots; i++) {
        if (is_same(&policy->slots[i], literal))
            return i;
    }
    if (policy->n_slots == POLICY_SLOTS_MAX) {
        diag_error(c->p->diag, &c->p->source, at, "more than %d different facts in one policy", POLICY_SLOTS_MAX);
        return -EINVAL;
    }
    const struct policy_environment *environment = c->p->environment;
    struct slot *slot = &policy->slots[policy->n_slots];
    *slot = (struct slot){
        .row = literal->row,
        .kind = literal->kind,
        .type = literal->kind == SLOT_FACT ? literal->row->type : TYPE_BOOL,
        .scope = literal->row->scope,
        .rate = literal->rate,
        .is_deferring = environment->defer >> literal->row->source & 1,
        .is_deferring_skipped = environment->defer_skipped >> literal->row->source & 1,
        .window_s = literal->window_s,
        .argument = literal->argument,
        .name = slot_name(&policy->arena, literal),
    };
    if (slot->name.at == NULL)
        return -ENOMEM;
    return policy->n_slots++;
}

/* ---- what is known from the start */

static enum list_family family_of(const struct fact_row *row) {
    static const struct {
        const char *subject;
        enum list_family family;
    } rows[] = { { "ptr.dnsbl", LISTS_PTR }, { "helo.dnsbl", LISTS_HELO }, { "sender.dnsbl", LISTS_SENDER } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].subject, row->subject) == 0)
            return rows[i].family;
    }
    return LISTS_CLIENT;
}

static bool is_score(const struct slot *slot) {
    return str_ends_nocase(str_of(slot->row->name), STR(".score"));
}

/* Whether a list has a say in this slot. */
static bool list_counts(const struct policy_list *list, const struct slot *slot) {
    if (list->family != family_of(slot->row))
        return false;
    if (slot->row->parameter == PARAMETER_ZONE)
        return str_eq_nocase(list->zone, slot->argument);
    if (slot->row->parameter == PARAMETER_GROUP && !str_eq(list->group, slot->argument))
        return false;
    return list->weight > 0 || is_score(slot);
}

static struct fact initial_of_lists(struct compiler *c, size_t i) {
    const struct slot *slot = &c->policy->slots[i];
    const struct policy_environment *environment = c->p->environment;
    struct fact fact = { .state = FACT_KNOWN };
    int64_t lo = 0, hi = 0;
    for (size_t k = 0; k < environment->n_lists; k++) {
        const struct policy_list *list = &environment->lists[k];
        if (!list_counts(list, slot))
            continue;
        fact.state = FACT_UNASKED;
        int64_t weight = is_score(slot) ? list->weight : FACT_UNIT;
        lo += weight < 0 ? weight : 0;
        hi += weight > 0 ? weight : 0;
    }
    if (slot->type == TYPE_COUNT) {
        fact.lo = lo;
        fact.hi = hi;
    }
    return fact;
}

static struct fact initial_of(struct compiler *c, size_t i) {
    const struct slot *slot = &c->policy->slots[i];
    struct fact fact = { .state = FACT_UNASKED };
    if (slot->type == TYPE_NUMBER)
        fact = (struct fact){ .state = FACT_UNASKED,
                              .lo = slot->row->source == SOURCE_SPAM ? INT64_MIN : 0, /* rates, size */
                              .hi = INT64_MAX };
    if (c->p->environment->off >> slot->row->source & 1)
        fact.state = FACT_OFF;
    else if (slot->kind == SLOT_TABLE && parse_find_table(c->p->environment, slot->argument)->is_empty)
        fact = fact_bool(false);
    else if (slot->row->source == SOURCE_DNSBL)
        fact = initial_of_lists(c, i);
    return fact;
}

int slots_finish(struct compiler *c) {
    struct policy *policy = c->policy;
    for (size_t i = 0; i < policy->n_slots; i++)
        policy->slots[i].index = policy->n_facts[policy->slots[i].scope]++;
    for (size_t scope = 0; scope < N_SCOPES; scope++) {
        policy->initial[scope] = arena_zalloc(&policy->arena, (policy->n_facts[scope] + 1u) * sizeof(struct fact));
        if (policy->initial[scope] == NULL)
            return -ENOMEM;
    }
    for (size_t i = 0; i < policy->n_slots; i++)
        policy->initial[policy->slots[i].scope][policy->slots[i].index] = initial_of(c, i);
    return 0;
}
