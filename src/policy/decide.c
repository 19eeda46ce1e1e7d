/*
 * decide: what becomes of this delivery, given what is known; or what must be asked?
 *
 * The model. What a condition is worth, so far, is a range (evaluate.h); a rule is decided when both its ends are the
 * same.
 *
 * Rules are tried in order. At the first one that is undecided in a way that matters, the answer is what to ask: those
 * facts that can still move its value (evaluate_needs()), of the cheapest class. What a rule is worth depends on what
 * it does: a reject that cannot fire any more need not be decided further; tags matter only once the message passes.
 *
 * Never a 5xx for want of a fact: an open rule that could have kept the mail from the reject that fires now turns it
 * into 451 4.4.3. Whether a rule is open or dead is asked only when such a reject does fire (`maybe_open`). A `pass`
 * keeps mail only from the rejects of its own layer; but behind an open pass an open reject counts in later layers,
 * too, since it would have become a 451 itself, and so does an `accept` that fires, since the pass could have kept it
 * from skipping a rule that defers (docs/decisions).
 *
 * A greylist rule that is true asks for the triplet's status, so conditions behind it see that status, and those that
 * no true greylist rule precedes see none of the six. Where it is unknown whether a rule asked (it is open, or stands
 * behind an open `pass` of its layer), the status counts as unavailable.
 *
 * No allocation: sets are bits in the verdict.
 */
#include "policy/verdict.h"

#include "policy/compile.h"
#include "policy/evaluate.h"

enum step { STEP_NEXT, STEP_END_LAYER, STEP_ACCEPTED, STEP_DONE };

struct decision {
    const struct policy *policy;
    struct evaluation view; /* what the rule's condition is to see */
    struct policy_verdict *verdict;
    struct rule_trace *trace; /* NULL unless someone wants to know why */
    struct policy_set maybe_open; /* rules: open or dead, which nobody needed to know so far */
    struct policy_set maybe_held; /* rejects: open behind an open pass, or one or both of them dead */
    struct policy_set late_tags;  /* rules: tags that are undecided */
    uint16_t open;      /* the first open rule that a later reject has to respect */
    uint16_t open_pass; /* the same of action pass; holds for its own layer only */
    uint16_t idle_pass; /* an undecided `pass` of this layer behind which only shadow rules could act */
    uint8_t accepted_in; /* layer of the `accept` that fired; N_LAYERS: none */
    bool is_enforced, has_late_tags, has_maybe_pass /* of this layer */;
};

static const struct policy_reply open_reply = {
    451, STR_INIT("4.4.3"), STR_INIT("Temporary failure of a lookup that decides about this mail; try again later")
};
static const struct policy_reply scanner_reply = {
    451, STR_INIT("4.7.1"), STR_INIT("Temporary failure while scanning this message; try again later")
};
static const struct policy_reply trouble_reply = {
    451, STR_INIT("4.3.0"), STR_INIT("Temporary failure on our side; try again later")
};
static const struct policy_reply directory_reply = {
    450, STR_INIT("4.1.1"), STR_INIT("This recipient cannot be checked now, try again later")
};

/* ---- what to ask */

/* Of all that matters: the cheapest class, and whatever is on its way already, so that it is not cancelled. */
static void keep_cheapest(const struct decision *d, const struct policy_set *needs, struct policy_set *ret_needs) {
    uint8_t cheapest = COST_CONTENT;
    for (int i = set_next(needs, 0); i >= 0; i = set_next(needs, (unsigned)i + 1))
        cheapest = least(cheapest, d->policy->slots[i].row->cost);
    for (int i = set_next(needs, 0); i >= 0; i = set_next(needs, (unsigned)i + 1)) {
        const struct fact *fact = fact_at(d->policy, d->view.facts, (unsigned)i);
        if (d->policy->slots[i].row->cost == cheapest || fact->state == FACT_PENDING)
            set_add(ret_needs, (unsigned)i);
    }
}

static enum step need(struct decision *d, const struct policy_set *needs) {
    keep_cheapest(d, needs, &d->verdict->need);
    d->verdict->status = DECIDE_NEED;
    return STEP_DONE;
}

static enum step need_slot(struct decision *d, unsigned slot) {
    set_add(&d->verdict->need, slot);
    d->verdict->status = DECIDE_NEED;
    return STEP_DONE;
}

static enum step need_of_rule(struct decision *d, unsigned rule, uint8_t floor) {
    struct policy_set needs = { { 0 } };
    evaluate_needs(&d->view, d->policy->rules[rule].condition, floor, FIRE, &needs);
    evaluate_deferring_needs(&d->view, d->policy->rules[rule].condition, &needs);
    return need(d, &needs);
}

/* ---- how it ends */

static enum step end(struct decision *d, unsigned rule, enum policy_action action, const struct policy_reply *reply,
                     enum verdict_cause cause) {
    d->verdict->because = (struct policy_set){ { 0 } }; /* an earlier `accept` left its own */
    d->verdict->action = (uint8_t)action;
    d->verdict->layer = d->policy->rules[rule].layer;
    d->verdict->cause = (uint8_t)cause;
    d->verdict->rule = (uint16_t)rule;
    d->verdict->reply = reply;
    return STEP_DONE;
}

static bool is_pending(const struct fact *fact) {
    return fact->state == FACT_UNASKED || fact->state == FACT_PENDING;
}

/* The reply when a rule's own words would be untrue, because nothing was decided. */
static enum step end_unavailable(struct decision *d, unsigned rule, unsigned slot) {
    enum fact_source source = d->policy->slots[slot].row->source;
    const struct policy_reply *reply = source == SOURCE_DNS || source == SOURCE_DNSBL || source == SOURCE_SPF
                                           ? &open_reply
                                       : source == SOURCE_VIRUS || source == SOURCE_SPAM ? &scanner_reply
                                                                                         : &trouble_reply;
    end(d, rule, ACT_DEFER, reply, CAUSE_UNAVAILABLE);
    d->verdict->slot = (uint16_t)slot;
    set_add(&d->verdict->because, slot);
    return STEP_DONE;
}

/* A condition that defers: the first of its facts that does so gives the reply. */
static enum step end_deferring(struct decision *d, unsigned rule) {
    unsigned at = d->policy->rules[rule].condition;
    for (unsigned i = at; i < d->policy->nodes[at].end; i++) {
        if (d->policy->nodes[i].kind == NODE_LITERAL && evaluate_literal(&d->view, &d->policy->nodes[i]).defers)
            return end_unavailable(d, rule, d->policy->nodes[i].slot);
    }
    return end_unavailable(d, rule, d->policy->nodes[at].slot);
}

/* A rule that, once it is known to be open, keeps a rule of `layer` from rejecting; or -1. */
static int find_undecided(const struct decision *d, uint8_t layer) {
    const struct rule *rules = d->policy->rules;
    for (int i = set_next(&d->maybe_open, 0); i >= 0; i = set_next(&d->maybe_open, (unsigned)i + 1)) {
        if (rules[i].action != ACT_PASS || rules[i].layer == layer || rules[i].layer == d->accepted_in)
            return i;
    }
    for (int i = set_next(&d->maybe_held, 0); i >= 0; i = set_next(&d->maybe_held, (unsigned)i + 1)) {
        struct range range = evaluate(&d->view, rules[i].condition);
        if (rules[i].layer == layer)
            continue;
        if (range.lo != range.hi)
            return i;
        for (int k = set_next(&d->maybe_open, 0); k >= 0 && k < i; k = set_next(&d->maybe_open, (unsigned)k + 1)) {
            if (rules[k].layer == rules[i].layer)
                return k;
        }
    }
    return -1;
}

/* `rule` rejects, unless something open stands before it (design.md section 3). */
static enum step end_rejected(struct decision *d, unsigned rule) {
    const struct rule *r = &d->policy->rules[rule];
    if (d->open == RULE_NONE && d->open_pass == RULE_NONE) {
        int undecided = find_undecided(d, r->layer);
        if (undecided >= 0)
            return need_of_rule(d, (unsigned)undecided, DEAD);
        return end(d, rule, ACT_REJECT, &r->reply, CAUSE_RULE);
    }
    d->verdict->open = d->open != RULE_NONE ? d->open : d->open_pass;
    return end(d, rule, ACT_DEFER, &open_reply, CAUSE_OPEN);
}

/* Gives the verdict of a rule that fired its reasons, and the reply that names block lists if some are among them. */
static enum step with_reasons(struct decision *d, unsigned rule, enum step step) {
    const struct rule *r = &d->policy->rules[rule];
    struct policy_verdict *v = d->verdict;
    if (v->status == DECIDE_NEED)
        return step;
    evaluate_reasons(&d->view, r->condition, FIRE, &v->because);
    for (int i = set_next(&v->because, 0); i >= 0; i = set_next(&v->because, (unsigned)i + 1)) {
        if (d->policy->slots[i].row->source == SOURCE_DNSBL && v->reply == &r->reply)
            v->reply = &r->listed;
    }
    return step;
}

/* The message goes on: now tags matter. */
static enum step settle_tags(struct decision *d) {
    if (!d->has_late_tags)
        return STEP_NEXT;
    struct policy_set needs = { { 0 } };
    d->view.is_shadow_rule = false;
    for (int i = set_next(&d->late_tags, 0); i >= 0; i = set_next(&d->late_tags, (unsigned)i + 1))
        evaluate_needs(&d->view, d->policy->rules[i].condition, OPEN, FIRE, &needs);
    return need(d, &needs);
}

/* ---- rules */

static void note_trace(struct decision *d, unsigned rule, struct range range) {
    if (d->trace == NULL)
        return;
    struct rule_trace *trace = &d->trace[rule];
    trace->is_shadow = d->view.is_shadow_rule;
    if (range.lo != range.hi) {
        trace->status = RULE_UNDECIDED;
        evaluate_needs(&d->view, d->policy->rules[rule].condition, DEAD, FIRE, &trace->because);
        return;
    }
    trace->status = range.lo == FIRE ? RULE_TRUE : range.lo == DEAD ? RULE_FALSE : RULE_OPEN;
    evaluate_reasons(&d->view, d->policy->rules[rule].condition, range.lo, &trace->because);
}

/* An enforced rule that stays open: who rejects later has to know. */
static void note_open(struct decision *d, unsigned rule) {
    uint16_t *open = d->policy->rules[rule].action == ACT_PASS ? &d->open_pass : &d->open;
    if (d->policy->rules[rule].action != ACT_REJECT && *open == RULE_NONE)
        *open = (uint16_t)rule;
}

/* A reject that is open, or may be: see above. */
static void note_held(struct decision *d, unsigned rule, struct range range) {
    if (d->open_pass != RULE_NONE && range.lo == OPEN && d->open == RULE_NONE)
        d->open = (uint16_t)rule;
    else if (d->open_pass != RULE_NONE || d->has_maybe_pass)
        set_add(&d->maybe_held, rule);
}

/* Whether a greylist rule of which this is the value asked for the status. */
static uint8_t asked_by(const struct decision *d, uint8_t value) {
    return d->open_pass != RULE_NONE ? least(value, OPEN) : value;
}

/* Its condition is true. */
static enum step greylist(struct decision *d, unsigned rule) {
    const struct policy *policy = d->policy;
    const struct fact *fact = fact_at(policy, d->view.facts, policy->greylist_slot);
    struct range range = evaluate_state(&policy->slots[policy->greylist_slot], fact->state);
    d->view.status_asked = greatest(d->view.status_asked, asked_by(d, FIRE));
    if (is_pending(fact))
        return need_slot(d, policy->greylist_slot);
    if (fact->state == FACT_KNOWN && (fact->value == GREYLIST_NEW || fact->value == GREYLIST_EARLY))
        return end(d, rule, ACT_GREYLIST, &policy->rules[rule].reply, CAUSE_RULE);
    if (range.defers)
        return end_unavailable(d, rule, policy->greylist_slot);
    if (range.lo == OPEN) {
        note_open(d, rule);
        if (d->trace)
            d->trace[rule].status = RULE_OPEN;
    }
    return STEP_NEXT;
}

static enum step fire(struct decision *d, unsigned rule) {
    enum step step = STEP_NEXT;
    const struct policy_reply *reply = &d->policy->rules[rule].reply;
    switch ((enum policy_action)d->policy->rules[rule].action) {
    case ACT_PASS:
        return STEP_END_LAYER;
    case ACT_ACCEPT:
        d->verdict->action = ACT_ACCEPT;
        d->verdict->layer = d->policy->rules[rule].layer;
        d->verdict->rule = (uint16_t)rule;
        evaluate_reasons(&d->view, d->policy->rules[rule].condition, FIRE, &d->verdict->because);
        d->accepted_in = d->policy->rules[rule].layer;
        if (d->open == RULE_NONE)
            d->open = d->open_pass;
        return STEP_ACCEPTED;
    case ACT_GREYLIST:
        step = greylist(d, rule);
        return step == STEP_DONE && d->verdict->cause == CAUSE_RULE ? with_reasons(d, rule, step) : step;
    case ACT_DEFER:
        return with_reasons(d, rule, end(d, rule, ACT_DEFER, reply, CAUSE_RULE));
    case ACT_REJECT:
        return with_reasons(d, rule, end_rejected(d, rule));
    case ACT_QUARANTINE:
        step = settle_tags(d);
        return step == STEP_DONE ? step
                                 : with_reasons(d, rule, end(d, rule, ACT_QUARANTINE, NULL, CAUSE_RULE));
    case ACT_TAG:
    case N_ACTIONS:
        break;
    }
    return step;
}

static bool is_shadowed(const struct decision *d, const struct rule *rule) {
    enum { SHADOWED = 1 << ACT_GREYLIST | 1 << ACT_REJECT | 1 << ACT_DEFER | 1 << ACT_QUARANTINE };
    return rule->is_shadow || (!d->is_enforced && rule->layer >= LAYER_GREYLIST && (SHADOWED >> rule->action & 1));
}

/*
 * Asks what `rule` lacks to fire. It is the shadow rule itself or the `pass` that may keep it from being reached; each
 * sees the greylist status as it saw it when its turn came, and shadow greylist rules have asked for shadow rules only.
 */
static void need_for_shadow(struct decision *d, unsigned rule) {
    struct policy_set needs = { { 0 } };
    struct evaluation view = d->view;
    view.is_shadow_rule = is_shadowed(d, &d->policy->rules[rule]);
    evaluate_needs(&view, d->policy->rules[rule].condition, OPEN, FIRE, &needs);
    keep_cheapest(d, &needs, &d->verdict->shadow_need);
}

/* A shadow rule changes nothing; what it lacks is asked for after the reply. */
static void try_shadow(struct decision *d, unsigned rule, struct range range) {
    const struct policy *policy = d->policy;
    const struct rule *r = &policy->rules[rule];
    if (range.lo != FIRE || d->idle_pass != RULE_NONE) {
        bool is_reached = range.hi != FIRE || d->idle_pass == RULE_NONE;
        need_for_shadow(d, is_reached ? rule : d->idle_pass);
        return;
    }
    if (r->action == ACT_GREYLIST) {
        const struct fact *fact = fact_at(policy, d->view.facts, policy->greylist_slot);
        d->view.status_asked_shadow = greatest(d->view.status_asked_shadow, asked_by(d, FIRE));
        if (is_pending(fact))
            set_add(&d->verdict->shadow_need, policy->greylist_slot);
        if (fact->state != FACT_KNOWN || fact->value > GREYLIST_EARLY)
            return;
    }
    set_add(&d->verdict->shadow, rule);
}

static void try_tag(struct decision *d, unsigned rule, struct range range) {
    if (range.lo == FIRE) {
        set_add(&d->verdict->tags, rule);
    } else if (range.hi == FIRE) {
        set_add(&d->late_tags, rule);
        d->has_late_tags = true;
    }
}

/*
 * True when it is all the same whether the `pass` at `rule` ends its layer: no later rule of the layer could act, be
 * open, or tag.
 */
static bool is_idle(struct decision *d, unsigned rule) {
    const struct policy *policy = d->policy;
    for (unsigned i = rule + 1; i < policy->first_rule[policy->rules[rule].layer + 1]; i++) {
        const struct rule *r = &policy->rules[i];
        struct range range = evaluate(&d->view, r->condition);
        if (!is_shadowed(d, r) && (r->action == ACT_PASS ? range.may_defer : range.hi != DEAD))
            return false;
    }
    return true;
}

static enum step try_rule(struct decision *d, unsigned rule) {
    const struct rule *r = &d->policy->rules[rule];
    d->view.is_shadow_rule = is_shadowed(d, r);
    struct range range = evaluate(&d->view, r->condition);
    note_trace(d, rule, range);
    if (d->view.is_shadow_rule) {
        try_shadow(d, rule, range);
        return STEP_NEXT;
    }
    if (r->action == ACT_TAG) {
        try_tag(d, rule, range);
        return STEP_NEXT;
    }
    if (range.lo == FIRE)
        return fire(d, rule);
    if (range.defers)
        return end_deferring(d, rule);
    if (range.hi == FIRE || range.may_defer) {
        if (r->action == ACT_PASS && !range.may_defer && is_idle(d, rule)) {
            d->idle_pass = d->idle_pass == RULE_NONE ? (uint16_t)rule : d->idle_pass;
            return STEP_NEXT;
        }
        return need_of_rule(d, rule, range.may_defer ? DEAD : OPEN);
    }
    if (range.hi == DEAD)
        return STEP_NEXT;
    if (r->action == ACT_REJECT) {
        note_held(d, rule, range);
        return STEP_NEXT;
    }
    if (range.lo == DEAD) {
        if (d->policy->tests_greylist)
            return need_of_rule(d, rule, DEAD);
        set_add(&d->maybe_open, rule);
        d->has_maybe_pass |= r->action == ACT_PASS;
        return STEP_NEXT;
    }
    if (r->action == ACT_GREYLIST)
        d->view.status_asked = greatest(d->view.status_asked, OPEN);
    note_open(d, rule);
    return STEP_NEXT;
}

/* ---- what is built in */

static enum step end_builtin(struct decision *d, unsigned rule, unsigned slot) {
    if (d->trace) {
        d->trace[rule].status = RULE_TRUE;
        set_add(&d->trace[rule].because, slot);
    }
    enum step step = end_rejected(d, rule);
    set_add(&d->verdict->because, slot);
    return step;
}

static void note_builtin_passed(struct decision *d, unsigned rule, unsigned slot) {
    if (d->trace) {
        d->trace[rule].status = RULE_FALSE;
        set_add(&d->trace[rule].because, slot);
    }
}

/* Relay control: for our domains, or from whoever may send through us. Off where another server keeps it. */
static enum step control_relay(struct decision *d, bool *ret_is_local) {
    static const uint16_t slots[] = { SLOT_RCPT_LOCAL, SLOT_RELAY_ALLOWED };
    for (size_t i = 0; i < 2; i++) {
        const struct fact *fact = fact_at(d->policy, d->view.facts, slots[i]);
        if (is_pending(fact))
            return need_slot(d, slots[i]);
        if (fact->state == FACT_UNAVAILABLE || fact->state == FACT_SKIPPED)
            return end_unavailable(d, RULE_RELAY_DENIED, slots[i]);
        if (i == 0 && fact->state == FACT_OFF)
            break;
        if (fact->state == FACT_KNOWN && fact->value) {
            *ret_is_local = slots[i] == SLOT_RCPT_LOCAL;
            note_builtin_passed(d, RULE_RELAY_DENIED, slots[i]);
            return STEP_NEXT;
        }
        if (i == 1)
            return end_builtin(d, RULE_RELAY_DENIED, SLOT_RCPT_LOCAL);
    }
    *ret_is_local = true;
    return STEP_NEXT;
}

static enum step validate_recipient(struct decision *d) {
    const struct fact *fact = fact_at(d->policy, d->view.facts, SLOT_RCPT_KNOWN);
    if (is_pending(fact))
        return need_slot(d, SLOT_RCPT_KNOWN);
    if (fact->state == FACT_UNAVAILABLE || fact->state == FACT_SKIPPED) {
        end(d, RULE_NO_SUCH_USER, ACT_DEFER, &directory_reply, CAUSE_DIRECTORY);
        set_add(&d->verdict->because, SLOT_RCPT_KNOWN);
        return STEP_DONE;
    }
    if (fact->state == FACT_KNOWN && !fact->value)
        return end_builtin(d, RULE_NO_SUCH_USER, SLOT_RCPT_KNOWN);
    note_builtin_passed(d, RULE_NO_SUCH_USER, SLOT_RCPT_KNOWN);
    return STEP_NEXT;
}

static enum step try_builtin(struct decision *d) {
    bool is_local = false;
    enum step step = control_relay(d, &is_local);
    return step == STEP_NEXT && is_local ? validate_recipient(d) : step;
}

/* `enforce no`: when nobody can say whether it holds, it does, since it can only make us refuse less. */
static enum step learn_enforcement(struct decision *d) {
    const struct fact *fact = fact_at(d->policy, d->view.facts, SLOT_ENFORCED);
    if (is_pending(fact))
        return need_slot(d, SLOT_ENFORCED);
    d->is_enforced = fact->state == FACT_OFF || (fact->state == FACT_KNOWN && fact->value);
    return STEP_NEXT;
}

/* ---- the story */

static enum step try_layer(struct decision *d, enum policy_layer layer, bool is_accepted) {
    enum step step = STEP_NEXT;
    d->open_pass = d->idle_pass = RULE_NONE;
    d->has_maybe_pass = false;
    if (layer == LAYER_RECIPIENT)
        step = try_builtin(d);
    if (step == STEP_NEXT && layer == LAYER_GREYLIST)
        step = learn_enforcement(d);
    if (is_accepted && layer < LAYER_CONTENT)
        return step;
    for (unsigned i = d->policy->first_rule[layer]; i < d->policy->first_rule[layer + 1] && step == STEP_NEXT; i++)
        step = try_rule(d, i);
    return step;
}

static void run(struct decision *d, enum policy_layer last) {
    bool is_accepted = false;
    for (int layer = LAYER_CONNECTION; layer <= (int)last; layer++) {
        enum step step = try_layer(d, (enum policy_layer)layer, is_accepted);
        is_accepted |= step == STEP_ACCEPTED;
        if (step == STEP_DONE)
            return;
    }
    settle_tags(d);
}

static void decide(const struct policy *policy, enum policy_layer last, const struct facts *facts,
                   struct policy_verdict *verdict, struct rule_trace *trace) {
    *verdict = (struct policy_verdict){
        .status = DECIDE_VERDICT, .action = ACT_PASS, .layer = (uint8_t)last, .rule = RULE_NONE, .open = RULE_NONE,
    };
    struct decision d = {
        .policy = policy, .view = { .policy = policy, .facts = facts }, .verdict = verdict, .trace = trace,
        .open = RULE_NONE, .open_pass = RULE_NONE, .idle_pass = RULE_NONE, .accepted_in = N_LAYERS, .is_enforced = true,
    };
    run(&d, last);
    if (verdict->status == DECIDE_NEED) {
        struct policy_set need_now = verdict->need;
        *verdict = (struct policy_verdict){ .status = DECIDE_NEED, .rule = RULE_NONE, .open = RULE_NONE,
                                            .need = need_now };
    } else if (verdict->action != ACT_PASS && verdict->action != ACT_ACCEPT && verdict->action != ACT_QUARANTINE) {
        verdict->tags = (struct policy_set){ { 0 } };
    }
}

void policy_decide(const struct policy *policy, enum policy_layer last, const struct facts *facts,
                   struct policy_verdict *ret_verdict) {
    decide(policy, last, facts, ret_verdict, NULL);
}

void policy_explain(const struct policy *policy, enum policy_layer last, const struct facts *facts,
                    struct policy_verdict *ret_verdict, struct rule_trace *ret_trace) {
    memset(ret_trace, 0, policy->n_rules * sizeof(*ret_trace));
    decide(policy, last, facts, ret_verdict, ret_trace);
}
