/*
 * Fuzzer of policy_decide(): a fixed policy with every action, and bytes that say what each fact is and in which order
 * the needed ones are answered. However they arrive, the engine ends, asks only for what is not answered, and comes to
 * the verdict that it comes to with all of them; nobody relays.
 */
#include "policy/verdict.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "layer connection { accept \"a\" when client in banned pass \"b\" when ptr.access and not ptr.static"
    " reject \"c\" when ptr.none or client.early_talker defer \"d\" when ptr.confirmed and dnsbl.hits >= 2 }"
    "layer recipient { pass \"e\" when rcpt.postmaster accept \"f\" when helo.matches reject \"g\" when helo.ours }"
    "layer greylist { pass \"h\" when sender.null greylist \"i\" when helo.access or sender.ours }"
    "layer policy { shadow reject \"j\" when spf.fail pass \"k\" when sender.verified reject \"l\" when greylist.retry"
    " reject \"m\" when not sender.resolves and dnsbl.score > -1 greylist \"n\" when helo.static }"
    "layer content { reject \"o\" when virus tag \"p\" when spam.score >= 5 quarantine \"q\" when attachment.banned"
    " shadow tag \"r\" when size > 1M defer \"s\" when bare_newline tag \"t\" when header.bad }";

static void require(bool holds) {
    if (!holds)
        abort();
}

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t next_byte(struct input *input) {
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

static struct fact take_fact(struct input *input, const struct slot *slot) {
    static const uint8_t states[] = { FACT_KNOWN, FACT_KNOWN, FACT_KNOWN, FACT_UNAVAILABLE, FACT_SKIPPED, FACT_OFF };
    uint8_t byte = next_byte(input);
    struct fact fact = { .state = states[byte % 6] };
    byte /= 6;
    if (slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT) {
        fact.lo = (int64_t)(byte % 6 - 2) * FACT_UNIT;
        fact.hi = fact.lo + (fact.state == FACT_KNOWN ? 0 : (int64_t)(byte / 6 % 4) * FACT_UNIT);
    } else if (fact.state == FACT_KNOWN) {
        fact.value = slot->type == TYPE_ENUM ? byte % 6 : byte & 1;
    }
    return fact;
}

enum { FACTS_MAX = 64 };

struct view {
    struct fact values[N_SCOPES][FACTS_MAX];
    struct facts facts;
};

static void put(struct view *view, const struct slot *slot, struct fact fact) {
    view->values[slot->scope][slot->index] = fact;
}

static void init(struct view *view) {
    for (size_t i = 0; i < N_SCOPES; i++)
        view->facts.scope[i] = view->values[i];
}

static bool same(const struct policy_verdict *a, const struct policy_verdict *b) {
    return a->action == b->action && a->rule == b->rule && a->cause == b->cause &&
           memcmp(&a->tags, &b->tags, sizeof(a->tags)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct policy_table tables[] = { { .name = STR_INIT("banned"), .kind = TABLE_CIDR } };
    struct input input = { data, size };
    struct policy_environment environment = { .tables = tables, .n_tables = 1 };
    struct diag_list diag;
    struct policy *policy = NULL;
    environment.defer = (uint32_t)next_byte(&input) << 4;
    diag_init(&diag);
    require(policy_load("policy", (struct str){ text, sizeof(text) - 1 }, &environment, &diag, &policy) == 0 &&
            policy->n_slots <= FACTS_MAX);
    struct view final, view = { 0 };
    struct policy_verdict expected, verdict;
    init(&final);
    init(&view);
    for (size_t i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        bool is_number = slot->type == TYPE_NUMBER || slot->type == TYPE_COUNT;
        put(&final, slot, take_fact(&input, slot));
        put(&view, slot, is_number ? (struct fact){ .lo = INT64_MIN, .hi = INT64_MAX } : (struct fact){ 0 });
    }
    policy_decide(policy, LAYER_CONTENT, &final.facts, &expected);
    require(expected.status == DECIDE_VERDICT);
    policy_decide(policy, LAYER_CONTENT, &view.facts, &verdict);
    while (verdict.status == DECIDE_NEED) {
        require(!set_is_empty(&verdict.need));
        bool answers_all = next_byte(&input) & 1;
        for (int i = set_next(&verdict.need, 0); i >= 0; i = set_next(&verdict.need, (unsigned)i + 1)) {
            require(fact_at(policy, &view.facts, (unsigned)i)->state == FACT_UNASKED);
            put(&view, &policy->slots[i], *fact_at(policy, &final.facts, (unsigned)i));
            if (!answers_all)
                break;
        }
        policy_decide(policy, LAYER_CONTENT, &view.facts, &verdict);
    }
    require(same(&verdict, &expected));
    put(&final, &policy->slots[SLOT_RCPT_LOCAL], fact_bool(false));
    put(&final, &policy->slots[SLOT_RELAY_ALLOWED], fact_bool(false));
    policy_decide(policy, LAYER_CONTENT, &final.facts, &verdict);
    require(verdict.action == ACT_REJECT || verdict.action == ACT_DEFER);
    diag_deinit(&diag);
    policy_free(policy);
    return 0;
}
