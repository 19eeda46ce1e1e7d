/*
 * explain_decide: what does the policy make of these facts, and which of them made the difference?
 *
 * Facts of the journal are those that were asked for, so a policy that has changed since may need others; an imagined
 * delivery has even fewer. Then there is no verdict, but what it depends on; the rules behind the first undecided one
 * are tried as if the facts stayed unanswered, so that a reader sees all of them.
 *
 * What would have changed the outcome is found by trying: each fact that some rule looked at is changed alone, and the
 * policy decides again. Facts that depend on each other in life are not changed together; "alone" is what the reader is
 * told. A thousand decisions take about a millisecond.
 */
#include "cmd/explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int explain_init(struct explain *e, const struct conf *conf) {
    *e = (struct explain){ .conf = conf, .policy = conf->policy.policy, .last = LAYER_POLICY };
    e->memory = gather_memory_new(e->policy);
    for (size_t i = 0; i < POLICY_SLOTS_MAX; i++)
        e->origins[i].age_ms = -1;
    return e->memory != NULL ? 0 : -ENOMEM;
}

void explain_deinit(struct explain *e) {
    free(e->memory);
    arena_reset(&e->arena);
}

static struct fact *fact_of(struct explain *e, unsigned i) {
    const struct slot *slot = &e->policy->slots[i];
    return &e->memory->facts.scope[slot->scope][slot->index];
}

static bool is_open(const struct fact *fact) {
    return fact->state == FACT_UNASKED || fact->state == FACT_PENDING;
}

/* Decides as if what is not known stayed unanswered, with a trace of all rules. */
static void assume(struct explain *e) {
    struct policy_set changed = { { 0 } };
    uint8_t states[POLICY_SLOTS_MAX];
    for (unsigned i = 0; i < e->policy->n_slots; i++) {
        struct fact *fact = fact_of(e, i);
        if (!is_open(fact))
            continue;
        states[i] = fact->state;
        fact->state = FACT_UNAVAILABLE;
        set_add(&changed, i);
    }
    policy_explain(e->policy, e->last, &e->memory->facts, &e->assumed, e->trace);
    for (int i = set_next(&changed, 0); i >= 0; i = set_next(&changed, (unsigned)i + 1))
        fact_of(e, (unsigned)i)->state = states[i];
}

/* ---- what would have changed it */

static bool is_same(const struct policy_verdict *a, const struct policy_verdict *b) {
    return a->status == b->status && a->action == b->action && a->rule == b->rule && a->cause == b->cause;
}

static void try(struct explain *e, unsigned slot, struct fact other) {
    struct fact *fact = fact_of(e, slot), kept = *fact;
    struct policy_verdict verdict;
    *fact = other;
    policy_decide(e->policy, e->last, &e->memory->facts, &verdict);
    *fact = kept;
    if (is_same(&verdict, &e->verdict) || e->n_flips == EXPLAIN_FLIPS_MAX)
        return;
    for (size_t i = 0; i < e->n_flips; i++) {
        if (e->flips[i].slot == slot && is_same(&e->flips[i].verdict, &verdict))
            return; /* another value with the same end says nothing new */
    }
    e->flips[e->n_flips++] = (struct explain_flip){ .slot = (uint16_t)slot, .fact = other, .verdict = verdict };
}

static void try_numbers(struct explain *e, unsigned slot, const struct fact *fact) {
    int64_t at = fact->state == FACT_KNOWN ? fact->lo : 0;
    const int64_t others[] = { 0, at - FACT_UNIT, at + FACT_UNIT, at + 2 * FACT_UNIT };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i] >= 0 && (fact->state != FACT_KNOWN || others[i] != at))
            try(e, slot, fact_number(others[i]));
    }
}

static void try_others(struct explain *e, unsigned i) {
    const struct slot *slot = &e->policy->slots[i];
    struct fact fact = *fact_of(e, i);
    bool is_known = fact.state == FACT_KNOWN;
    switch ((enum fact_type)slot->type) {
    case TYPE_BOOL:
        for (unsigned value = 0; value <= 1; value++) {
            if (!is_known || fact.value != value)
                try(e, i, fact_bool(value));
        }
        break;
    case TYPE_ENUM:
        for (unsigned value = 0; slot->row->values[value] != NULL; value++) {
            if (!is_known || fact.value != value)
                try(e, i, fact_enum(value));
        }
        break;
    case TYPE_NUMBER:
    case TYPE_COUNT:
        try_numbers(e, i, &fact);
        break;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        break; /* rules ask tables and patterns about these, which are slots of their own */
    }
}

/* Where a record does not say whether this client might send elsewhere: whether the configuration lets it. */
static struct fact *suppose_relaying(struct explain *e) {
    const struct conf_settings *set = &e->conf->set;
    const struct slot *slot = policy_slot(e->policy, F_RCPT_RELAY_ALLOWED);
    struct ip client;
    struct fact *fact = slot != NULL ? fact_of(e, (unsigned)(slot - e->policy->slots)) : NULL;
    if (fact == NULL || fact->state != FACT_UNASKED || ip_parse(e->client, &client) < 0)
        return NULL;
    *fact = fact_bool(set->smart_host != NULL
                      && cidr_list_contains(set->relay_clients.at, set->relay_clients.n, &client));
    return fact;
}

static void find_flips(struct explain *e, const struct policy_set *deciding) {
    struct fact *relaying = suppose_relaying(e);
    for (int i = set_next(deciding, 0); i >= 0; i = set_next(deciding, (unsigned)i + 1)) {
        if (fact_of(e, (unsigned)i)->state != FACT_OFF)
            try_others(e, (unsigned)i);
    }
    if (relaying != NULL)
        relaying->state = FACT_UNASKED;
}

bool explain_policy_has_changed(const struct explain *e) {
    char hash[17];
    snprintf(hash, sizeof(hash), "%016" PRIx64, e->policy->hash);
    return e->recorded_policy.len > 0 && !str_eq(e->recorded_policy, str_of(hash));
}

/*
 * What the configuration alone said is not recorded: that a table was empty, that there was no list. The same policy
 * needs the same facts, so one that it needs now and that was not recorded was of that kind, though the table may have
 * been filled since.
 */
static bool fill_in(struct explain *e) {
    bool has_found = false;
    if (!e->is_recorded || e->verdict.status != DECIDE_NEED || explain_policy_has_changed(e))
        return false;
    for (int i = set_next(&e->verdict.need, 0); i >= 0; i = set_next(&e->verdict.need, (unsigned)i + 1)) {
        const struct slot *slot = &e->policy->slots[i];
        if (e->origins[i].source.len > 0 || (slot->kind != SLOT_TABLE && slot->row->source != SOURCE_DNSBL))
            continue;
        *fact_of(e, (unsigned)i) = slot->type == TYPE_COUNT ? fact_number(0) : fact_bool(false);
        e->origins[i].source = slot->kind == SLOT_TABLE ? STR("the table was empty") : STR("there was no list");
        has_found = true;
    }
    return has_found;
}

/* What it would come to for a recipient whose domain has no `enforce no`. */
static void enforce(struct explain *e) {
    const struct slot *slot = policy_slot(e->policy, F_RCPT_ENFORCED);
    struct fact *fact = slot != NULL ? fact_of(e, (unsigned)(slot - e->policy->slots)) : NULL;
    e->is_lenient = fact != NULL && fact->state == FACT_KNOWN && !fact->value;
    if (!e->is_lenient)
        return;
    fact->value = true;
    policy_decide(e->policy, e->last, &e->memory->facts, &e->enforced);
    fact->value = false;
    if (e->last == LAYER_CONTENT && e->enforced.status == DECIDE_NEED)
        e->is_lenient = false; /* the facts of earlier layers stand in the record of its recipient */
}

void explain_decide(struct explain *e) {
    do
        policy_decide(e->policy, e->last, &e->memory->facts, &e->verdict);
    while (fill_in(e));
    enforce(e);
    assume(e);
    if (e->verdict.status == DECIDE_VERDICT)
        policy_explain(e->policy, e->last, &e->memory->facts, &e->verdict, e->trace);
    struct policy_set deciding = { { 0 } };
    for (unsigned rule = 0; rule < e->policy->n_rules; rule++) {
        if (e->trace[rule].status == RULE_UNREACHED)
            continue;
        for (size_t word = 0; word < sizeof(deciding.words) / sizeof(deciding.words[0]); word++)
            deciding.words[word] |= e->trace[rule].because.words[word];
    }
    find_flips(e, &deciding);
}
