/*
 * explain_facts: from a record of the journal, or from the command line, to facts as the policy knows them.
 *
 * Facts are found by the name of their slot, which is how the policy writes them. A fact that the policy of today does
 * not ask about is passed over; one that was not recorded stays unasked. A record is what someone else may have
 * written: a value of the wrong type is as if it were not there.
 */
#include "cmd/explain.h"

#include <errno.h>

static void put_fact(struct explain *e, unsigned i, struct fact fact, struct str source, int64_t age_ms) {
    const struct slot *slot = &e->policy->slots[i];
    e->memory->facts.scope[slot->scope][slot->index] = fact;
    e->origins[i] = (struct explain_origin){ .source = source, .age_ms = age_ms };
}

static int find_value(const char *const *values, struct str text) {
    for (int i = 0; values[i] != NULL; i++) {
        if (str_eq(str_of(values[i]), text))
            return i;
    }
    return -1;
}

static int state_of(struct str word) {
    static const struct {
        const char *word;
        enum fact_state state;
    } states[] = { { "pending", FACT_PENDING }, { "unavailable", FACT_UNAVAILABLE }, { "skipped", FACT_SKIPPED },
                   { "off", FACT_OFF } };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (str_eq(str_of(states[i].word), word))
            return states[i].state;
    }
    return -1;
}

/* ---- from the journal */

/* A number's bounds, as far as they stand there; else those of the start. */
static void take_bounds(const struct explain *e, const struct member *m, struct fact *fact) {
    const struct member *min = members_find(&e->members, m, "min"), *max = members_find(&e->members, m, "max");
    int64_t value;
    if (min != NULL && members_thousandths(min, &value) == 0)
        fact->lo = value;
    if (max != NULL && members_thousandths(max, &value) == 0)
        fact->hi = value;
}

static bool take_value(const struct slot *slot, const struct member *m, struct fact *ret_fact) {
    int64_t number;
    int value;
    switch ((enum fact_type)slot->type) {
    case TYPE_BOOL:
        *ret_fact = fact_bool(m->value);
        return m->type == MEMBER_BOOL;
    case TYPE_NUMBER:
    case TYPE_COUNT:
        if (members_thousandths(m, &number) < 0)
            return false;
        *ret_fact = fact_number(number);
        return true;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        *ret_fact = fact_text(m->text);
        return m->type == MEMBER_STRING;
    case TYPE_ENUM:
        value = m->type == MEMBER_STRING ? find_value(slot->row->values, m->text) : -1;
        if (value < 0)
            return false;
        *ret_fact = fact_enum((unsigned)value);
        return true;
    }
    return false;
}

static bool take_fact(const struct explain *e, const struct slot *slot, const struct member *m, struct fact *fact) {
    if (m->type != MEMBER_OBJECT)
        return take_value(slot, m, fact);
    const struct member *value = members_find(&e->members, m, "v");
    if (value != NULL)
        return take_value(slot, value, fact);
    int state = state_of(members_text(&e->members, m, "state"));
    if (state < 0)
        return false;
    fact->state = (uint8_t)state;
    if (slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT)
        take_bounds(e, m, fact);
    return true;
}

static void take_facts(struct explain *e, const struct member *facts) {
    for (unsigned i = 0; i < e->policy->n_slots; i++) {
        const struct slot *slot = &e->policy->slots[i];
        const struct member *m = members_find(&e->members, facts, slot->name.at);
        struct fact fact = e->policy->initial[slot->scope][slot->index];
        int64_t age = -1;
        if (m == NULL || !take_fact(e, slot, m, &fact))
            continue;
        const struct member *after = members_find(&e->members, m, "after");
        const struct member *time = after != NULL ? after : members_find(&e->members, m, "age");
        if (time != NULL && members_thousandths(time, &age) == 0)
            age /= 1000;
        struct str source = members_text(&e->members, m, "src");
        put_fact(e, i, fact, source.len > 0 ? source : str_of(source_names[slot->row->source]), age);
        e->origins[i].is_late = after != NULL;
    }
}

int explain_record(struct explain *e, char *line, size_t len) {
    const struct members *members = &e->members;
    if (members_parse(line, len, &e->members) < 0)
        return -EINVAL;
    const struct member *record = &members->at[0], *reply = members_find(members, record, "reply");
    e->id = members_text(members, record, "id");
    e->time = members_text(members, record, "time");
    e->client = members_text(members, record, "client");
    e->ptr = members_text(members, record, "ptr");
    e->ptr_status = members_text(members, record, "ptr_status");
    e->helo = members_text(members, record, "helo");
    e->from = members_text(members, record, "sender");
    e->to = members_text(members, record, "rcpt");
    e->has_from = e->from.at != NULL;
    e->has_to = e->to.at != NULL;
    e->recorded_action = members_text(members, record, "action");
    e->recorded_layer = members_text(members, record, "layer");
    e->recorded_rule = members_text(members, record, "rule");
    e->recorded_policy = members_text(members, record, "policy");
    const struct member *code = members_find(members, reply, "code");
    struct str text = members_text(members, reply, "text"), enhanced = members_text(members, reply, "enhanced");
    if (code != NULL)
        e->recorded_reply = str_of(arena_printf(&e->arena, "%.*s %.*s%s%.*s", STR_ARG(code->text), STR_ARG(enhanced),
                                                enhanced.len > 0 ? " " : "", STR_ARG(text)));
    e->is_at_connect = !e->has_to && str_eq(e->recorded_layer, str_of(layer_names[LAYER_CONNECTION]));
    if (e->is_at_connect)
        e->last = LAYER_CONNECTION;
    else if (members_find(members, record, "kind") != NULL)
        e->last = LAYER_CONTENT;
    e->is_recorded = true;
    e->was_judged = e->recorded_policy.len > 0;
    take_facts(e, members_find(members, record, "facts"));
    explain_record_listings(e);
    return 0;
}

/* ---- from the command line */

static int parse_value(struct explain *e, const struct slot *slot, struct str text, struct fact *ret_fact) {
    int state = state_of(text), value;
    struct member number = { .type = MEMBER_NUMBER, .text = text };
    int64_t thousandths;
    if (state >= 0 && state != FACT_PENDING) {
        ret_fact->state = (uint8_t)state;
        return 0;
    }
    switch ((enum fact_type)slot->type) {
    case TYPE_BOOL:
        *ret_fact = fact_bool(str_eq(text, STR("true")));
        return str_eq(text, STR("true")) || str_eq(text, STR("false")) ? 0 : -EINVAL;
    case TYPE_NUMBER:
    case TYPE_COUNT:
        for (size_t i = 0; i < text.len; i++) {
            if (strchr("0123456789.-", text.at[i]) == NULL)
                return -EINVAL;
        }
        if (text.len == 0 || members_thousandths(&number, &thousandths) < 0)
            return -EINVAL;
        *ret_fact = fact_number(thousandths);
        return 0;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        *ret_fact = fact_text(text);
        return 0;
    case TYPE_ENUM:
        value = find_value(slot->row->values, text);
        *ret_fact = fact_enum(value < 0 ? 0 : (unsigned)value);
        return value < 0 ? -EINVAL : 0;
    }
    return -EINVAL;
}

/* Of the facts that exclude each other one is true: the others are false, unless they were given. */
static void exclude_others(struct explain *e, const struct fact_row *row) {
    static const enum fact_id groups[][5] = {
        { F_PTR_NONE, F_PTR_UNCONFIRMED, F_PTR_CONFIRMED, F_PTR_NONE, F_PTR_NONE },
        { F_PTR_NONE, F_PTR_ACCESS, F_PTR_STATIC, F_PTR_NONE, F_PTR_NONE },
        { F_HELO_INVALID, F_HELO_ADDRESS, F_HELO_UNQUALIFIED, F_HELO_ACCESS, F_HELO_STATIC },
    };
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        bool is_in = false;
        for (size_t k = 0; k < 5; k++)
            is_in = is_in || row == &fact_rows[groups[g][k]];
        for (size_t k = 0; is_in && k < 5; k++) {
            const struct slot *slot = policy_slot(e->policy, groups[g][k]);
            if (slot != NULL && slot->row != row && fact_at(e->policy, &e->memory->facts,
                (unsigned)(slot - e->policy->slots))->state == FACT_UNASKED)
                put_fact(e, (unsigned)(slot - e->policy->slots), fact_bool(false), STR("follows"), -1);
        }
    }
}

/* A text that is given: the tables and patterns that rules ask about it answer. */
static void ask_tables(struct explain *e, const struct fact_row *row, struct str text) {
    for (unsigned i = 0; i < e->policy->n_slots; i++) {
        const struct slot *slot = &e->policy->slots[i];
        const struct conf_policy *about = &e->conf->policy;
        if (slot->row != row || slot->kind == SLOT_FACT || slot->row->type != TYPE_STRING)
            continue;
        enum table_answer answer = slot->kind == SLOT_PATTERN ? pattern_ask(about->patterns[i], text)
            : about->tables[i] != NULL                          ? table_ask(about->tables[i], text)
                                                                : TABLE_NO;
        struct fact unavailable = { .state = FACT_UNAVAILABLE };
        put_fact(e, i, answer == TABLE_UNKNOWN ? unavailable : fact_bool(answer == TABLE_YES), STR("follows"), -1);
    }
}

/* Whether the policy language knows this fact, used or not. */
static int find_unused(struct explain *e, struct str name, struct str value) {
    struct str word = str_head(name, str_find(name, '('));
    const struct fact_row *row = fact_find(str_head(word, str_find(word, ' ')));
    if (row == NULL)
        return -ENOENT;
    if (row->type == TYPE_STRING && str_eq(name, str_of(row->name)))
        ask_tables(e, row, value); /* only tables are asked about it: that is a use */
    return 1;
}

static int set_slot(struct explain *e, unsigned i, struct str value) {
    const struct slot *slot = &e->policy->slots[i];
    struct fact fact = e->policy->initial[slot->scope][slot->index];
    int r = parse_value(e, slot, value, &fact);
    if (r < 0)
        return r;
    put_fact(e, i, fact, STR("given"), -1);
    if (slot->row->first_layer == LAYER_CONTENT)
        e->last = LAYER_CONTENT;
    if (fact.state == FACT_KNOWN && slot->type == TYPE_BOOL && fact.value && slot->kind == SLOT_FACT)
        exclude_others(e, slot->row);
    if (fact.state == FACT_KNOWN && slot->type == TYPE_STRING)
        ask_tables(e, slot->row, value);
    return 0;
}

int explain_set(struct explain *e, struct str assignment) {
    for (unsigned i = 0; i < e->policy->n_slots; i++) { /* a pattern may hold '=' */
        const struct slot *slot = &e->policy->slots[i];
        if (assignment.len > slot->name.len && assignment.at[slot->name.len] == '='
            && str_eq(str_head(assignment, slot->name.len), slot->name))
            return set_slot(e, i, str_from(assignment, slot->name.len + 1));
    }
    size_t equals = str_find(assignment, '=');
    if (equals == assignment.len)
        return -EINVAL;
    struct str name = str_trim(str_head(assignment, equals)), value = str_trim(str_from(assignment, equals + 1));
    int i = policy_find_slot(e->policy, name);
    if (i >= 0)
        return set_slot(e, (unsigned)i, value);
    bool is_misspelt = i == -EINVAL && str_find(name, '(') < name.len;
    return is_misspelt ? -ENOENT : find_unused(e, name, value);
}
