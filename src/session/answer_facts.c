/*
 * answer_facts: which facts led to a verdict?
 *
 * The record has to be enough to decide again (explain, replay), and small, since there is one for every recipient: a
 * fact is written when it was answered for this delivery, under the name of its slot, which is the name a person reads
 * in the policy. What comes from the wire or a table has no age and no source worth a word, and is written bare; what
 * somebody answered is an object with both.
 *
 * A count of block lists may decide before all lists have answered. Then its bounds are what was known, and they are
 * written, or a replay would not find `dnsbl.hits >= 2` true.
 *
 * Rejected: writing every slot (most of a policy's facts are not asked about most mail: that is the point of the
 * engine), and only those that made the rule true (a changed policy asks about others).
 */
#include "session/answer_facts.h"

#include "facts/greylist.h"

#include <stdio.h>

static bool has_bounds(const struct slot *slot) {
    return slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT;
}

/* Whether an answer to this slot was there, beyond what the configuration says. */
static bool is_answer(const struct slot *slot, const struct fact *fact, const struct fact *initial) {
    if (slot->row->is_internal && fact->state == FACT_OFF)
        return false;
    if (initial->state == FACT_KNOWN || initial->state == FACT_OFF)
        return false;
    if (fact->state == FACT_UNASKED || fact->state == FACT_PENDING)
        return has_bounds(slot) && (fact->lo != initial->lo || fact->hi != initial->hi);
    return true;
}

static void record_value(struct record *r, const char *name, const struct slot *slot, const struct fact *fact) {
    switch ((enum fact_type)slot->type) {
    case TYPE_BOOL:
        record_bool(r, name, fact->value);
        break;
    case TYPE_NUMBER:
    case TYPE_COUNT:
        record_thousandths(r, name, fact->lo);
        break;
    case TYPE_STRING:
        record_str(r, name, fact->text.at != NULL ? fact->text : STR(""));
        break;
    case TYPE_ADDRESS:
        break; /* the client, which is a member of its own */
    case TYPE_ENUM:
        record_str(r, name, str_of(slot->row->values[fact->value]));
        break;
    }
}

static void record_bounds(struct record *r, const struct fact *fact) {
    if (fact->lo != INT64_MIN)
        record_thousandths(r, "min", fact->lo);
    if (fact->hi != INT64_MAX)
        record_thousandths(r, "max", fact->hi);
}

/* By the low 32 bits of both: right for 24 days. */
static void record_age(struct record *r, const struct fact *fact, uint64_t decided_ms) {
    int32_t age = (int32_t)((uint32_t)decided_ms - fact->since_ms);
    if (fact->since_ms != 0)
        record_u64(r, age >= 0 ? "age" : "after", (uint64_t)(age >= 0 ? age : -(int64_t)age));
}

static void record_fact(struct record *r, const struct slot *slot, const struct fact *fact, uint64_t decided_ms) {
    static const char *const states[] = {
        [FACT_UNASKED] = "pending", [FACT_PENDING] = "pending", [FACT_UNAVAILABLE] = "unavailable",
        [FACT_SKIPPED] = "skipped", [FACT_OFF] = "off",
    };
    bool is_known = fact->state == FACT_KNOWN;
    if (is_known && (slot->row->source == SOURCE_SESSION || slot->row->source == SOURCE_DIRECTORY)) {
        record_value(r, slot->name.at, slot, fact);
        return;
    }
    record_open(r, slot->name.at, '{');
    if (is_known)
        record_value(r, "v", slot, fact);
    else
        record_str(r, "state", str_of(states[fact->state]));
    if (!is_known && has_bounds(slot))
        record_bounds(r, fact);
    record_str(r, "src", str_of(source_names[slot->row->source]));
    record_age(r, fact, decided_ms);
    record_close(r, '}');
}

static void record_facts(struct record *r, const struct policy *policy, const struct facts *facts,
                         uint64_t decided_ms) {
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        const struct fact *fact = fact_at(policy, facts, i);
        if (is_answer(slot, fact, &policy->initial[slot->scope][slot->index]) && slot->type != TYPE_ADDRESS)
            record_fact(r, slot, fact, decided_ms);
    }
}

/* A question without effect is no attempt: its answer stands among the facts alone. */
static void record_greylist(struct record *r, const struct gather_greylist *greylist) {
    const struct greylist_answer *answer = &greylist->answer;
    if (!greylist->is_answered || greylist->is_read_only)
        return;
    record_str(r, "greylist", str_of(greylist_status_name((enum greylist_status)answer->status)));
    if (answer->status == GREYLIST_RETRY || answer->status == GREYLIST_AUTOWHITELIST)
        record_u64(r, "greylist_waited_s", answer->waited);
}

static void record_shadow(struct record *r, const struct policy *policy, const struct policy_set *shadow) {
    int i = set_next(shadow, 0);
    if (i < 0)
        return;
    record_open(r, "shadow", '[');
    for (; i >= 0; i = set_next(shadow, (unsigned)i + 1))
        record_str(r, NULL, policy->rules[i].name);
    record_close(r, ']');
}

static void record_hash(struct record *r, uint64_t hash) {
    char text[16];
    for (int i = 15; i >= 0; i--, hash >>= 4)
        text[i] = "0123456789abcdef"[hash & 15];
    record_str(r, "policy", (struct str){ text, sizeof(text) });
}

static void record_codes(struct record *r, const struct list_codes *codes, enum list_family family, unsigned list) {
    for (unsigned i = 0; i < codes->n; i++) {
        uint32_t code = codes->at[i].code;
        char text[IP_TEXT_MAX];
        if (codes->at[i].family != family || codes->at[i].list != list)
            continue;
        snprintf(text, sizeof(text), "%u.%u.%u.%u", code >> 24, code >> 16 & 255, code >> 8 & 255, code & 255);
        record_str(r, NULL, str_of(text));
    }
}

/* Codes of one list stand together, since they came in one answer. */
static void record_listings(struct record *r, const struct conf *conf, const struct list_codes *codes) {
    for (unsigned family = 0; family < N_LIST_FAMILIES; family++) {
        int last = -1;
        for (unsigned i = 0; i < codes->n; i++) {
            const struct list_code *code = &codes->at[i];
            if (code->family != family || code->list == last)
                continue;
            if (last < 0)
                record_open(r, list_family_name((enum list_family)family), '{');
            last = code->list;
            record_open(r, conf->block_lists[last].zone, '[');
            record_codes(r, codes, (enum list_family)family, (unsigned)last);
            record_close(r, ']');
        }
        if (last >= 0)
            record_close(r, '}');
    }
}

/* Which lists made the rule true that answered: its name does not say, and its own words need not. */
static void record_against(struct record *r, const struct conf *conf, uint64_t against) {
    if (against == 0)
        return;
    record_open(r, "listed_by", '[');
    for (size_t i = 0; i < conf->n_block_lists; i++)
        if (against >> i & 1)
            record_str(r, NULL, str_of(conf->block_lists[i].zone));
    record_close(r, ']');
}

void record_judgement(struct record *r, const struct conf *conf, const struct gather_memory *memory,
                      uint64_t decided_ms) {
    const struct policy *policy = conf->policy.policy;
    const char *status = facts_ptr_status(policy, memory);
    record_hash(r, policy->hash);
    if (status != NULL)
        record_str(r, "ptr_status", str_of(status));
    record_greylist(r, &memory->greylist);
    record_shadow(r, policy, &memory->shadow);
    if (memory->open < policy->n_rules)
        record_str(r, "open", policy->rules[memory->open].name);
    record_listings(r, conf, &memory->codes);
    record_against(r, conf, memory->against);
    record_open(r, "facts", '{');
    record_facts(r, policy, &memory->facts, decided_ms);
    record_close(r, '}');
}

/* Told by its slot already, if a rule wanted to know. */
static bool is_told(const struct policy *policy, const struct gather_memory *memory, enum fact_id id) {
    const struct slot *slot = memory != NULL ? policy_slot(policy, id) : NULL;
    return slot != NULL && fact_at(policy, &memory->facts, (unsigned)(slot - policy->slots))->state == FACT_KNOWN;
}

void record_content_judgement(struct record *r, const struct conf *conf, const struct content_facts *content,
                              uint64_t decided_ms) {
    const struct policy *policy = conf->policy.policy;
    struct policy_set ours = { { 0 } };
    if (content->memory != NULL) {
        for (int i = set_next(content->shadow, policy->first_rule[LAYER_CONTENT]); i >= 0;
             i = set_next(content->shadow, (unsigned)i + 1))
            set_add(&ours, (unsigned)i);
        record_hash(r, policy->hash);
        record_shadow(r, policy, &ours);
    }
    record_open(r, "facts", '{');
    if (!is_told(policy, content->memory, F_SIZE))
        record_u64(r, "size", content->size);
    if (!is_told(policy, content->memory, F_BARE_NEWLINE))
        record_bool(r, "bare_newline", content->has_bare_newlines);
    if (content->memory != NULL)
        record_facts(r, policy, &content->memory->facts, decided_ms);
    record_close(r, '}');
}

const char *facts_ptr_status(const struct policy *policy, const struct gather_memory *memory) {
    static const char *const names[] = {
        [PTR_UNAVAILABLE] = "unavailable", [PTR_NAMED] = "unavailable", [PTR_NONE] = "none",
        [PTR_UNCONFIRMED] = "unconfirmed", [PTR_CONFIRMED] = "confirmed",
    };
    if (memory->ptr.status != PTR_UNAVAILABLE)
        return names[memory->ptr.status];
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct fact_row *row = policy->slots[i].row;
        bool is_of_ptr = row >= &fact_rows[F_PTR_NONE] && row <= &fact_rows[F_PTR_NAME];
        if (is_of_ptr && fact_at(policy, &memory->facts, i)->state == FACT_UNAVAILABLE)
            return names[PTR_UNAVAILABLE];
    }
    return NULL;
}
