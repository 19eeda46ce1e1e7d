/*
 * gather: see the header. One step() is: decide; ask for what is needed and not yet asked; if anything was answered
 * at once (the wire, the tables), decide again; else wait.
 *
 * Facts that must be waited for come in groups, each with one lookup. A group is started when the first of its facts
 * is needed and cancelled when none is any more.
 *
 * With the verdict of a refusal by block lists their reasons are asked for; the answer waits for them.
 *
 * Rejected: a callback and a state machine a fact (thirty of them, for a few lookups), and asking for everything at
 * connect (most clients are refused by facts that cost nothing).
 */
#include "facts/gather_state.h"

#include <stdlib.h>

/* ---- ending lookups */

static void cancel_group(struct gather *g, enum group group) {
    if (group >= GROUP_LISTS)
        gather_lists_cancel(&g->lists[group - GROUP_LISTS]);
    else if (group == GROUP_GREYLIST)
        gather_greylist_cancel(g);
    else if (group == GROUP_VIRUS || group == GROUP_SPAM)
        gather_scan_cancel(g, group);
    else
        gather_lookup_cancel(g, group);
}

static bool is_running(const struct gather *g, enum group group) {
    if (group >= GROUP_LISTS)
        return gather_lists_are_running(&g->lists[group - GROUP_LISTS]);
    if (group == GROUP_VIRUS || group == GROUP_SPAM)
        return gather_scan_is_running(g, group);
    return group == GROUP_GREYLIST ? gather_greylist_is_running(g) : gather_lookup_is_running(g, group);
}

/* What is pending but cannot matter any more is cancelled, and unasked again. */
static void cancel_needless(struct gather *g, const struct policy_set *need) {
    const struct policy *policy = g->policy->policy;
    bool is_needed[N_GROUPS] = { false };
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1))
        is_needed[gather_group_of(&policy->slots[i])] = true;
    if ((g->helo_waits_for_ptr && is_needed[GROUP_HELO]) || (g->greylist_waits_for_ptr && is_needed[GROUP_GREYLIST])
        || (g->lists[LISTS_PTR].waits_for_ptr && is_needed[GROUP_LISTS + LISTS_PTR]))
        is_needed[GROUP_PTR] = true;
    for (enum group group = GROUP_PTR; group < N_GROUPS; group++) {
        if (is_needed[group] || !is_running(g, group))
            continue;
        cancel_group(g, group);
        for (unsigned i = 0; i < policy->n_slots; i++)
            if (gather_group_of(&policy->slots[i]) == group
                && gather_fact(g->memory, &policy->slots[i])->state == FACT_PENDING)
                gather_unask(g->memory, policy, &policy->slots[i]);
        if (group >= GROUP_LISTS) /* what some lists did say stays */
            gather_lists_fill(g, (enum list_family)(group - GROUP_LISTS));
    }
}

/* ---- deciding */

static void free_gather(struct gather *g) {
    for (enum group group = GROUP_PTR; group < N_GROUPS; group++)
        cancel_group(g, group);
    gather_reasons_cancel(g);
    task_cancel(g->world->loop, &g->task);
    timer_cancel(g->world->loop, &g->deadline);
    free(g);
}

static void start_group(struct gather *g, enum group group) {
    if (group == GROUP_GREYLIST)
        gather_greylist_start(g);
    else if (group == GROUP_VIRUS || group == GROUP_SPAM)
        gather_scan_start(g, group);
    else
        gather_lookup_start(g, group);
}

/* Asks for what is needed and was not asked yet. True: something was answered at once. */
static bool ask(struct gather *g, const struct policy_set *need) {
    const struct policy *policy = g->policy->policy;
    bool is_answered = false;
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1)) {
        const struct slot *slot = &policy->slots[i];
        struct fact *fact = gather_fact(g->memory, slot);
        enum group group = gather_group_of(slot);
        if (fact->state != FACT_UNASKED)
            continue;
        if (group == GROUP_NONE) {
            gather_set(g, (unsigned)i, gather_known_value(g, slot));
            is_answered = true;
        } else {
            fact->state = FACT_PENDING;
            if (group < GROUP_LISTS && !is_running(g, group))
                start_group(g, group);
            is_answered = is_answered || fact->state != FACT_PENDING;
        }
    }
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++)
        is_answered |= gather_lists_want(g, (enum list_family)family, need);
    return is_answered;
}

/* Answers what costs nothing among what is needed. False: there was nothing of the kind. */
static bool answer_cheap(struct gather *g, const struct policy_set *need) {
    bool is_answered = false;
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1)) {
        const struct slot *slot = &g->policy->policy->slots[i];
        enum group group = gather_group_of(slot);
        if (gather_fact(g->memory, slot)->state != FACT_UNASKED)
            continue;
        if (group == GROUP_NONE)
            gather_set(g, (unsigned)i, gather_known_value(g, slot));
        else if (!gather_lookup_spare(g, group))
            continue;
        is_answered = true;
    }
    return is_answered;
}

/* Shadow rules cannot change the verdict; what they ask of wire and tables is answered at once, the rest rehearsed. */
static void complete_shadow(struct gather *g, enum policy_layer last, struct policy_verdict *verdict) {
    while (answer_cheap(g, &verdict->shadow_need))
        policy_decide(g->policy->policy, last, &g->memory->facts, verdict);
}

bool gather_now(const struct gather_world *world, const struct conf_policy *policy, enum policy_layer last,
                const struct gather_known *known, struct gather_memory *memory, struct policy_verdict *ret_verdict) {
    struct gather g = { .world = world, .policy = policy, .memory = memory, .known = *known };
    memory->reasons_len = 0;
    do {
        policy_decide(policy->policy, last, &memory->facts, ret_verdict);
        if (ret_verdict->status == DECIDE_VERDICT) {
            complete_shadow(&g, last, ret_verdict);
            return !gather_reasons_are_wanted(world, policy, memory, ret_verdict);
        }
    } while (answer_cheap(&g, &ret_verdict->need));
    return false;
}

static void finish(struct gather *g, const struct policy_verdict *verdict) {
    gather_fn *done = g->done;
    void *arg = g->arg;
    gather_reasons_keep(g, verdict);
    free_gather(g);
    done(arg, verdict);
}

/* There is a verdict. Who waits for a reply waits for the words that block lists have for it, too. */
static void conclude(struct gather *g, const struct policy_verdict *verdict) {
    cancel_needless(g, &(struct policy_set){ 0 });
    if (g->is_rehearsal || !gather_reasons_ask(g, verdict))
        finish(g, verdict);
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
            need = &verdict.shadow_need;
            if (!g->is_rehearsal || set_is_empty(need)) {
                conclude(g, &verdict);
                return;
            }
        }
        cancel_needless(g, need);
    } while (ask(g, need));
}

void gather_step_later(struct gather *g) {
    task_start(g->world->loop, &g->task, step);
}

/* Time is up: what has not come is unavailable, for this transaction. */
static void on_deadline(struct timer *timer) {
    struct gather *g = (struct gather *)((char *)timer - offsetof(struct gather, deadline));
    g->is_over = true;
    gather_lookups_expire(g);
    for (enum group group = GROUP_PTR; group < N_GROUPS; group++) {
        if (group == GROUP_GREYLIST || group == GROUP_VIRUS || group == GROUP_SPAM)
            continue; /* have time limits of their own */
        if (is_running(g, group) && group >= GROUP_LISTS)
            gather_lists_settle(g, (enum list_family)(group - GROUP_LISTS), DNSBL_UNAVAILABLE);
        else if (is_running(g, group))
            gather_fill(g, group, gather_unavailable);
        cancel_group(g, group);
    }
    gather_greylist_on_ptr(g);
    gather_step_later(g);
}

static struct gather *start(const struct gather *template) {
    struct gather *g = malloc(sizeof(*g));
    if (g == NULL)
        return NULL;
    *g = *template;
    g->memory->reasons_len = 0;
    struct loop *loop = g->world->loop;
    if (timer_set(loop, &g->deadline, loop_now(loop) + g->world->timeout_ms, on_deadline) < 0) {
        free(g);
        return NULL;
    }
    gather_step_later(g);
    return g;
}

struct gather *gather_start(const struct gather_world *world, const struct conf_policy *policy, enum policy_layer last,
                            const struct gather_known *known, struct gather_memory *memory, gather_fn *done,
                            void *arg) {
    return start(&(struct gather){ .world = world, .policy = policy, .memory = memory, .known = *known, .done = done,
                                   .arg = arg, .last = (uint8_t)last });
}

struct gather *gather_rehearse(const struct gather_world *world, const struct conf_policy *policy,
                               enum policy_layer last, const struct gather_known *known, struct gather_memory *memory,
                               gather_fn *done, void *arg) {
    return start(&(struct gather){ .world = world, .policy = policy, .memory = memory, .known = *known, .done = done,
                                   .arg = arg, .last = (uint8_t)last, .is_rehearsal = true });
}

void gather_cancel(struct gather *take_gather) {
    if (take_gather == NULL)
        return;
    cancel_needless(take_gather, &(struct policy_set){ 0 });
    free_gather(take_gather);
}
