/*
 * idle: which rules wait for what this configuration does not have?
 *
 * A policy is written once and used where there is a scanner and where there is none, so that a rule has no source is
 * no fault, but its author should know. He is told once a source, with the rules by name: a warning for each of twenty
 * rules would hide the one that matters.
 */
#include "policy/compile.h"

#include <stdio.h>

enum { NAMED_MAX = 6, NAME_SHOWN_MAX = POLICY_NAME_MAX };

struct names {
    char text[NAMED_MAX * (NAME_SHOWN_MAX + 24)];
    size_t len;
    unsigned n; /* those past NAMED_MAX included */
};

/* `before`: what kind of thing it is, with the quote that begins it. */
static void add(struct names *names, const char *before, struct str name, const char *behind) {
    if (names->n++ >= NAMED_MAX)
        return;
    int len = snprintf(names->text + names->len, sizeof(names->text) - names->len, "%s%s%.*s%s",
                       names->n > 1 ? ", " : "", before, STR_ARG(str_head(name, NAME_SHOWN_MAX)), behind);
    names->len += (size_t)len; /* less than there was room for: see the size of `text` */
}

static void add_rule(struct names *names, const struct rule *rule) {
    char before[24];
    snprintf(before, sizeof(before), "%s \"", action_names[rule->action]);
    add(names, before, rule->name, "\"");
}

/* "A, B and 3 more" */
static const char *list(struct names *names) {
    if (names->n > NAMED_MAX)
        snprintf(names->text + names->len, sizeof(names->text) - names->len, " and %u more", names->n - NAMED_MAX);
    return names->text;
}

static const char *rules(const struct names *names) {
    return names->n == 1 ? "rule" : "rules";
}

static bool is_off(const struct policy *policy, const struct slot *slot) {
    return policy->initial[slot->scope][slot->index].state == FACT_OFF;
}

static void tell_off(struct compiler *c, enum fact_source source) {
    struct names names = { .n = 0 };
    for (unsigned i = N_BUILTIN_RULES; i < c->policy->n_rules; i++)
        if (c->rule_idle[i] != NULL && c->rule_idle[i]->row->source == source && is_off(c->policy, c->rule_idle[i]))
            add_rule(&names, &c->policy->rules[i]);
    if (names.n > 0)
        diag_warning(c->p->diag, &c->p->source, NULL, "%s is off in this configuration; %u %s cannot fire: %s",
                     source_names[source], names.n, rules(&names), list(&names));
}

/* They want more hits, or a higher score, than all lists together can make. */
static void tell_short(struct compiler *c) {
    struct names names = { .n = 0 };
    for (unsigned i = N_BUILTIN_RULES; i < c->policy->n_rules; i++)
        if (c->rule_idle[i] != NULL && !is_off(c->policy, c->rule_idle[i]))
            add_rule(&names, &c->policy->rules[i]);
    if (names.n > 0)
        diag_warning(c->p->diag, &c->p->source, NULL,
                     "too few block lists are configured; %u %s cannot fire: %s", names.n, rules(&names),
                     list(&names));
}

/* Their conditions may be true, and they wait for nobody. */
static void tell_greylist(struct compiler *c) {
    struct names names = { .n = 0 };
    const struct policy *policy = c->policy;
    if (policy->greylist_slot == RULE_NONE)
        return;
    const struct slot *status = &policy->slots[policy->greylist_slot];
    if (policy->initial[status->scope][status->index].state != FACT_OFF)
        return;
    for (unsigned i = N_BUILTIN_RULES; i < policy->n_rules; i++)
        if (policy->rules[i].action == ACT_GREYLIST)
            add_rule(&names, &policy->rules[i]);
    diag_warning(c->p->diag, &c->p->source, NULL,
                 "greylist is off in this configuration (no store); %u %s nobody wait: %s", names.n,
                 names.n == 1 ? "rule makes" : "rules make", list(&names));
}

/* A group or zone is named that no list belongs to. `dnsbl.hits` alone may well be 0. */
static bool is_listless(const struct policy *policy, const struct slot *slot) {
    return slot->row->source == SOURCE_DNSBL && slot->kind == SLOT_FACT && slot->argument.len > 0 &&
           policy->initial[slot->scope][slot->index].state == FACT_KNOWN;
}

static bool asks_listless(const struct policy *policy, const struct rule *rule) {
    for (unsigned i = rule->condition; i < policy->nodes[rule->condition].end; i++)
        if (policy->nodes[i].kind == NODE_LITERAL && is_listless(policy, &policy->slots[policy->nodes[i].slot]))
            return true;
    return false;
}

/* The group or zone that the author of this fact may have meant, or NULL. Of one that other lists have, nothing. */
static const char *meant_by(struct compiler *c, const struct slot *slot) {
    const struct policy_environment *environment = c->p->environment;
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < environment->n_lists && n < sizeof(names) / sizeof(names[0]); i++) {
        const struct policy_list *one = &environment->lists[i];
        struct str name = slot->row->parameter == PARAMETER_ZONE ? one->zone : one->group;
        if (str_eq_nocase(name, slot->argument))
            return NULL;
        names[n] = arena_strdup(c->p->arena, name);
        n += names[n] != NULL && name.len > 0;
    }
    return diag_did_you_mean(slot->argument, names, n);
}

static void tell_lists(struct compiler *c) {
    struct names facts = { .n = 0 }, names = { .n = 0 };
    const struct policy *policy = c->policy;
    const char *meant = NULL;
    bool has_counts = false, has_bools = false;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        if (!is_listless(policy, slot))
            continue;
        add(&facts, "", slot->name, "");
        meant = facts.n == 1 ? meant_by(c, slot) : NULL;
        has_counts |= slot->type != TYPE_BOOL;
        has_bools |= slot->type == TYPE_BOOL;
    }
    for (unsigned i = N_BUILTIN_RULES; i < policy->n_rules && facts.n > 0; i++)
        if (asks_listless(policy, &policy->rules[i]))
            add_rule(&names, &policy->rules[i]);
    if (facts.n > 0)
        diag_warning(c->p->diag, &c->p->source, NULL,
                     "no block list is configured for %s (%s); asked by %u %s: %s%s%s%s", list(&facts),
                     !has_bools ? "0" : !has_counts ? "false" : "0 or false", names.n, rules(&names), list(&names),
                     meant != NULL ? "; did you mean '" : "", meant != NULL ? meant : "", meant != NULL ? "'?" : "");
}

void idle_tell(struct compiler *c) {
    for (unsigned source = 0; source < N_SOURCES; source++)
        tell_off(c, (enum fact_source)source);
    tell_greylist(c);
    tell_lists(c);
    tell_short(c);
}
