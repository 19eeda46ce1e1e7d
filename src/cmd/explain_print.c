/*
 * explain_print: an explanation for people, and for programs.
 *
 *     decision   d202qlns800000.1 at 2026-11-22T00:43:35.281Z
 *     client     203.0.113.7, PTR none
 *     helo       [203.0.113.7]
 *     from       <a@client.example>
 *     to         <user@example.com>
 *     recorded   reject "PTRNUL HELO_IP" (layer policy): 550 5.7.1 ...
 *     verdict    reject "PTRNUL HELO_IP" (layer policy)
 *
 *     rules, in the order in which they were tried
 *       connection  reject    BANNED IP          false    client in banned
 *       policy      reject    PTRNUL HELO_IP     true     ptr.none, helo.address
 *
 *     facts
 *       ptr.none      true     dns, 12 ms old
 *
 *     what would have changed it, by itself
 *       ptr.none = false    pass
 *
 * Whatever came from outside is printed without control characters: explanations are read in terminals.
 */
#include "cmd/clean.h"
#include "cmd/explain.h"

#include <inttypes.h>

enum { FLIP_WIDTH_MAX = 60 };

/* ---- pieces */

void explain_put_clean(struct buf *out, struct str text) {
    clean_put(out, text);
}

static void put_thousandths(struct buf *out, int64_t value) {
    struct buf text;
    struct record r;
    buf_init(&text, 64);
    record_begin(&r, &text);
    record_thousandths(&r, NULL, value);
    if (!r.has_failed)
        buf_puts(out, str_from(buf_str(&text), 1)); /* behind the brace */
    buf_deinit(&text);
}

static void put_bound(struct buf *out, int64_t value) {
    if (value == INT64_MIN || value == INT64_MAX)
        buf_puts(out, STR("?"));
    else
        put_thousandths(out, value);
}

static void format_known(const struct slot *slot, const struct fact *fact, struct buf *out) {
    switch ((enum fact_type)slot->type) {
    case TYPE_BOOL:
        buf_puts(out, fact->value ? STR("true") : STR("false"));
        break;
    case TYPE_NUMBER:
    case TYPE_COUNT:
        put_thousandths(out, fact->lo);
        break;
    case TYPE_STRING:
    case TYPE_ADDRESS:
        buf_putc(out, '"');
        explain_put_clean(out, fact->text);
        buf_putc(out, '"');
        break;
    case TYPE_ENUM:
        buf_puts(out, str_of(slot->row->values[fact->value]));
        break;
    }
}

void explain_format_fact(const struct slot *slot, const struct fact *fact, struct buf *out) {
    static const char *const states[] = {
        [FACT_UNASKED] = "unknown", [FACT_PENDING] = "unknown", [FACT_UNAVAILABLE] = "unavailable",
        [FACT_SKIPPED] = "skipped", [FACT_OFF] = "off",
    };
    bool is_number = slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT;
    if (fact->state == FACT_KNOWN) {
        format_known(slot, fact, out);
        return;
    }
    buf_puts(out, str_of(states[fact->state]));
    if (is_number && fact->state != FACT_OFF) {
        buf_puts(out, STR(" ("));
        put_bound(out, fact->lo);
        buf_puts(out, STR(".."));
        put_bound(out, fact->hi);
        buf_putc(out, ')');
    }
}

static const char *word_of(const struct rule_trace *trace) {
    static const char *const words[] = { [RULE_UNREACHED] = "-", [RULE_FALSE] = "false", [RULE_TRUE] = "true",
                                         [RULE_OPEN] = "unknown", [RULE_UNDECIDED] = "unknown" };
    return words[trace->status];
}

static void put_slots(const struct explain *e, const struct policy_set *set, struct buf *out) {
    const char *comma = "";
    for (int i = set_next(set, 0); i >= 0; i = set_next(set, (unsigned)i + 1)) {
        buf_putf(out, "%s%.*s", comma, STR_ARG(e->policy->slots[i].name));
        comma = ", ";
    }
}

/* The code of the reply; 0: there is none. */
static unsigned code_of(const struct explain *e, const struct policy_verdict *verdict) {
    if (verdict->reply == NULL)
        return 0;
    return e->is_at_connect && verdict->layer == LAYER_CONNECTION
        ? verdict_code_at_connect(verdict->action == ACT_REJECT) : verdict->reply->code;
}

/* `reject "NAME" (layer policy)`, or what it depends on. */
static void put_verdict(const struct explain *e, const struct policy_verdict *verdict, struct buf *out) {
    if (verdict->status == DECIDE_NEED) {
        buf_puts(out, STR("not decided; it depends on "));
        put_slots(e, &verdict->need, out);
        return;
    }
    verdict_format(e->policy, verdict, out);
    if (verdict->rule == RULE_NONE)
        return;
    buf_putf(out, " (layer %s)", layer_names[verdict->layer]);
    if (verdict->reply != NULL)
        buf_putf(out, ", %u %.*s", code_of(e, verdict), STR_ARG(verdict->reply->enhanced));
}

static const struct fact *fact_of(const struct explain *e, unsigned i) {
    return fact_at(e->policy, &e->memory->facts, i);
}

/* Whether a reader of the facts wants to see this one: it is known, or some rule lacked it. */
static bool is_shown(const struct explain *e, unsigned i) {
    const struct fact *fact = fact_of(e, i);
    if (e->origins[i].source.len > 0)
        return true;
    if (fact->state == FACT_OFF)
        return false;
    for (unsigned rule = 0; rule < e->policy->n_rules; rule++) {
        if (e->trace[rule].status != RULE_UNREACHED && set_has(&e->trace[rule].because, i))
            return true;
    }
    return false;
}

/* ---- for people */

static void print_field(struct buf *out, const char *name, struct str value) {
    if (value.at == NULL)
        return;
    buf_putf(out, "%-11s", name);
    explain_put_clean(out, value);
    buf_putc(out, '\n');
}

static void print_path(struct buf *out, const char *name, struct str path, bool is_given) {
    if (!is_given)
        return;
    buf_putf(out, "%-11s<", name);
    explain_put_clean(out, path);
    buf_puts(out, STR(">\n"));
}

static void print_client(const struct explain *e, struct buf *out) {
    buf_puts(out, STR("client     "));
    explain_put_clean(out, e->client);
    if (e->ptr_status.len > 0 || e->ptr.len > 0) {
        buf_puts(out, STR(", PTR "));
        explain_put_clean(out, e->ptr.len > 0 ? e->ptr : e->ptr_status);
        if (e->ptr.len > 0 && e->ptr_status.len > 0)
            buf_putf(out, " (%.*s)", STR_ARG(e->ptr_status));
    }
    buf_putc(out, '\n');
}

static void print_recorded(const struct explain *e, struct buf *out) {
    if (!e->is_recorded)
        return;
    buf_puts(out, STR("recorded   "));
    explain_put_clean(out, e->recorded_action);
    if (e->recorded_rule.len > 0) {
        buf_puts(out, STR(" \""));
        explain_put_clean(out, e->recorded_rule);
        buf_puts(out, STR("\" (layer "));
        explain_put_clean(out, e->recorded_layer);
        buf_putc(out, ')');
    }
    if (e->recorded_reply.len > 0) {
        buf_puts(out, STR(": "));
        explain_put_clean(out, e->recorded_reply);
    }
    buf_putc(out, '\n');
}

static void print_head(const struct explain *e, struct buf *out) {
    if (e->is_recorded) {
        buf_puts(out, STR("decision   "));
        explain_put_clean(out, e->id);
        buf_puts(out, STR(" at "));
        explain_put_clean(out, e->time);
        buf_putc(out, '\n');
    }
    print_client(e, out);
    print_field(out, "helo", e->helo);
    print_path(out, "from", e->from, e->has_from);
    print_path(out, "to", e->to, e->has_to);
    print_recorded(e, out);
    if (!e->was_judged) {
        buf_puts(out, STR("\nNo rule of the policy was asked: a limit, the message itself or the mailbox server "
                          "decided.\n"));
        return;
    }
    buf_puts(out, STR("verdict    "));
    put_verdict(e, &e->verdict, out);
    buf_putc(out, '\n');
    if (e->is_at_connect && code_of(e, &e->verdict) != 0 && e->verdict.layer == LAYER_CONNECTION)
        buf_puts(out, STR("           said at connect, instead of the greeting\n"));
    if (e->verdict.status == DECIDE_NEED) {
        buf_puts(out, STR("if that stays unanswered: "));
        put_verdict(e, &e->assumed, out);
        buf_putc(out, '\n');
    }
    if (e->is_lenient) {
        buf_puts(out, STR("enforced   "));
        put_verdict(e, &e->enforced, out);
        buf_puts(out, STR("\n           were it not for 'enforce no'\n"));
    }
    if (explain_policy_has_changed(e))
        buf_puts(out, STR("\nThe policy has changed since: this is what the present one makes of these facts.\n"));
}

static void print_rules(const struct explain *e, struct buf *out) {
    size_t width = 4;
    for (unsigned i = 0; i < e->policy->n_rules; i++)
        width = e->policy->rules[i].name.len > width ? e->policy->rules[i].name.len : width;
    buf_puts(out, STR("\nrules, in the order in which they are tried\n"));
    for (int layer = 0; layer <= (int)e->last; layer++) {
        for (unsigned i = 0; i < e->policy->n_rules; i++) {
            const struct rule *rule = &e->policy->rules[i];
            const struct rule_trace *trace = &e->trace[i];
            if (rule->layer != layer)
                continue;
            bool is_shadow = rule->is_shadow || trace->is_shadow;
            buf_putf(out, "  %-10s  %s%-*s  %-*.*s  %-7s", layer_names[layer], is_shadow ? "shadow " : "",
                     is_shadow ? 8 : 15, action_names[rule->action], (int)width, STR_ARG(rule->name),
                     word_of(trace));
            if (!set_is_empty(&trace->because))
                buf_puts(out, STR("  "));
            put_slots(e, &trace->because, out);
            while (out->len > 0 && out->at[out->len - 1] == ' ')
                out->len--;
            buf_putc(out, '\n');
        }
    }
}

/* Where it comes from; of what the configuration alone says, why. Empty: nothing is known. */
static struct str source_of(const struct explain *e, unsigned i) {
    const struct slot *slot = &e->policy->slots[i];
    if (e->origins[i].source.len > 0)
        return e->origins[i].source;
    if (e->policy->initial[slot->scope][slot->index].state != FACT_KNOWN)
        return STR("");
    return slot->kind == SLOT_TABLE ? STR("empty table") : STR("no list");
}

static void print_origin(const struct explain *e, unsigned i, struct buf *out) {
    const struct explain_origin *origin = &e->origins[i];
    struct str source = source_of(e, i);
    explain_put_clean(out, source.len > 0 ? source : STR("-"));
    if (origin->age_ms >= 0)
        buf_putf(out, ", %" PRId64 " ms %s", origin->age_ms, origin->is_late ? "after the decision" : "old");
}

static void print_facts(const struct explain *e, struct buf *out) {
    int width = 4;
    struct buf value;
    buf_init(&value, 4096);
    for (unsigned i = 0; i < e->policy->n_slots; i++)
        width = is_shown(e, i) && (int)e->policy->slots[i].name.len > width ? (int)e->policy->slots[i].name.len : width;
    buf_puts(out, STR("\nfacts\n"));
    for (unsigned i = 0; i < e->policy->n_slots; i++) {
        const struct slot *slot = &e->policy->slots[i];
        if (!is_shown(e, i))
            continue;
        buf_clear(&value);
        explain_format_fact(slot, fact_of(e, i), &value);
        buf_putf(out, "  %-*.*s  %-13.*s  ", width, STR_ARG(slot->name), STR_ARG(buf_str(&value)));
        print_origin(e, i, out);
        buf_putc(out, '\n');
    }
    buf_deinit(&value);
}

static struct str format_flip(const struct explain *e, const struct explain_flip *flip, struct buf *text) {
    const struct slot *slot = &e->policy->slots[flip->slot];
    buf_clear(text);
    buf_putf(text, "%.*s = ", STR_ARG(slot->name));
    explain_format_fact(slot, &flip->fact, text);
    return buf_str(text);
}

static void print_flips(const struct explain *e, struct buf *out) {
    struct buf value;
    size_t width = 4;
    buf_init(&value, 4096);
    buf_puts(out, STR("\nwhat would have changed it, by itself\n"));
    if (e->n_flips == 0)
        buf_puts(out, STR("  nothing\n"));
    for (size_t i = 0; i < e->n_flips; i++) {
        struct str flip = format_flip(e, &e->flips[i], &value);
        width = flip.len > width && flip.len <= FLIP_WIDTH_MAX ? flip.len : width;
    }
    for (size_t i = 0; i < e->n_flips; i++) {
        const struct explain_flip *flip = &e->flips[i];
        buf_putf(out, "  %-*.*s  ", (int)width, STR_ARG(format_flip(e, flip, &value)));
        put_verdict(e, &flip->verdict, out);
        buf_putc(out, '\n');
    }
    buf_deinit(&value);
}

/* What buf_put() refused on the way shows in the end: nothing fits any more. */
static int end_of(struct buf *out) {
    return buf_room(out, 1) != NULL ? 0 : -1;
}

int explain_print(const struct explain *e, struct buf *out) {
    print_head(e, out);
    if (e->was_judged) {
        print_rules(e, out);
        print_facts(e, out);
        explain_print_content(e, out);
        explain_print_greylist(e, out);
        explain_print_lists(e, out);
        print_flips(e, out);
    }
    return end_of(out);
}

/* ---- for programs */

static void record_slots(const struct explain *e, struct record *r, const char *name, const struct policy_set *set) {
    record_open(r, name, '[');
    for (int i = set_next(set, 0); i >= 0; i = set_next(set, (unsigned)i + 1))
        record_str(r, NULL, e->policy->slots[i].name);
    record_close(r, ']');
}

static void record_outcome(const struct explain *e, struct record *r, const char *name,
                           const struct policy_verdict *verdict) {
    record_open(r, name, '{');
    record_bool(r, "decided", verdict->status == DECIDE_VERDICT);
    if (verdict->status == DECIDE_NEED) {
        record_slots(e, r, "needs", &verdict->need);
    } else {
        record_str(r, "action", str_of(action_names[verdict->action]));
        record_str(r, "layer", str_of(layer_names[verdict->layer]));
        if (verdict->rule != RULE_NONE)
            record_str(r, "rule", e->policy->rules[verdict->rule].name);
        if (verdict->cause == CAUSE_OPEN && verdict->open != RULE_NONE)
            record_str(r, "open", e->policy->rules[verdict->open].name);
        if (verdict->reply != NULL)
            record_u64(r, "code", code_of(e, verdict));
        if (verdict->reply != NULL)
            record_str(r, "enhanced", verdict->reply->enhanced);
    }
    record_close(r, '}');
}

static void record_rules(const struct explain *e, struct record *r) {
    static const char *const words[] = { [RULE_UNREACHED] = "not tried", [RULE_FALSE] = "false", [RULE_TRUE] = "true",
                                         [RULE_OPEN] = "unknown", [RULE_UNDECIDED] = "unknown" };
    record_open(r, "rules", '[');
    for (int layer = 0; layer <= (int)e->last; layer++) {
        for (unsigned i = 0; i < e->policy->n_rules; i++) {
            if (e->policy->rules[i].layer != layer)
                continue;
            record_open(r, NULL, '{');
            record_str(r, "layer", str_of(layer_names[layer]));
            record_str(r, "rule", e->policy->rules[i].name);
            record_str(r, "action", str_of(action_names[e->policy->rules[i].action]));
            record_bool(r, "shadow", e->policy->rules[i].is_shadow || e->trace[i].is_shadow);
            record_str(r, "result", str_of(words[e->trace[i].status]));
            record_slots(e, r, "facts", &e->trace[i].because);
            record_close(r, '}');
        }
    }
    record_close(r, ']');
}

static void record_value(struct record *r, const struct slot *slot, const struct fact *fact) {
    struct buf value;
    buf_init(&value, 4096);
    if (fact->state == FACT_KNOWN && slot->type == TYPE_BOOL) {
        record_bool(r, "value", fact->value);
    } else if (fact->state == FACT_KNOWN && (slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT)) {
        record_thousandths(r, "value", fact->lo);
    } else if (fact->state == FACT_KNOWN && (slot->type == TYPE_STRING || slot->type == TYPE_ADDRESS)) {
        record_str(r, "value", fact->text);
    } else {
        explain_format_fact(slot, fact, &value);
        record_str(r, fact->state == FACT_KNOWN ? "value" : "state", buf_str(&value));
    }
    buf_deinit(&value);
}

static void record_facts(const struct explain *e, struct record *r) {
    record_open(r, "facts", '{');
    for (unsigned i = 0; i < e->policy->n_slots; i++) {
        const struct explain_origin *origin = &e->origins[i];
        if (!is_shown(e, i))
            continue;
        record_open(r, e->policy->slots[i].name.at, '{');
        record_value(r, &e->policy->slots[i], fact_of(e, i));
        if (source_of(e, i).len > 0)
            record_str(r, "source", source_of(e, i));
        if (origin->age_ms >= 0)
            record_u64(r, origin->is_late ? "after_ms" : "age_ms", (uint64_t)origin->age_ms);
        record_close(r, '}');
    }
    record_close(r, '}');
}

static void record_flips(const struct explain *e, struct record *r) {
    record_open(r, "changes", '[');
    for (size_t i = 0; i < e->n_flips; i++) {
        record_open(r, NULL, '{');
        record_str(r, "fact", e->policy->slots[e->flips[i].slot].name);
        record_value(r, &e->policy->slots[e->flips[i].slot], &e->flips[i].fact);
        record_outcome(e, r, "verdict", &e->flips[i].verdict);
        record_close(r, '}');
    }
    record_close(r, ']');
}

static void record_recorded(const struct explain *e, struct record *r) {
    record_open(r, "recorded", '{');
    record_str(r, "action", e->recorded_action);
    record_str(r, "layer", e->recorded_layer);
    record_str(r, "rule", e->recorded_rule);
    record_str(r, "reply", e->recorded_reply);
    record_bool(r, "policy_changed", explain_policy_has_changed(e));
    record_close(r, '}');
}

int explain_print_json(const struct explain *e, struct buf *out) {
    struct record r;
    record_begin(&r, out);
    record_str(&r, "id", e->id);
    record_str(&r, "time", e->time);
    record_str(&r, "client", e->client);
    record_str(&r, "ptr", e->ptr);
    record_str(&r, "ptr_status", e->ptr_status);
    record_str(&r, "helo", e->helo);
    record_str(&r, "sender", e->from);
    record_str(&r, "rcpt", e->to);
    if (e->is_recorded)
        record_recorded(e, &r);
    if (e->is_recorded && e->is_at_connect)
        record_bool(&r, "at_connect", true);
    if (e->was_judged) {
        record_outcome(e, &r, "verdict", &e->verdict);
        if (e->verdict.status == DECIDE_NEED)
            record_outcome(e, &r, "unanswered", &e->assumed);
        if (e->is_lenient)
            record_outcome(e, &r, "enforced", &e->enforced);
        record_rules(e, &r);
        record_facts(e, &r);
        explain_print_content_json(e, &r);
        explain_print_greylist_json(e, &r);
        explain_print_lists_json(e, &r);
        record_flips(e, &r);
    }
    return record_end(&r);
}
