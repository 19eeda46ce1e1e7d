/*
 * Fuzzer of the policy language: any text either is refused with a message, or loads, and then decides something about
 * an ordinary delivery and about one of which nothing can be looked up.
 */
#include "policy/world.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds)
        abort();
}

static void decide(const struct policy *policy, const struct policy_environment *environment, bool is_away) {
    struct arena arena = { .max = 0 };
    struct world world;
    struct policy_verdict verdict;
    require(world_init(&world, policy, environment, &arena) == 0);
    for (size_t i = N_BUILTIN_SLOTS; i < policy->n_slots && is_away; i++)
        world.answers[i] = (struct fact){ .state = FACT_UNAVAILABLE, .lo = INT64_MIN, .hi = INT64_MAX };
    world_decide(&world, LAYER_CONTENT, &verdict, NULL);
    require(verdict.status == DECIDE_VERDICT && verdict.action != ACT_TAG);
    require((verdict.reply != NULL) == (verdict.action >= ACT_GREYLIST && verdict.action <= ACT_REJECT));
    arena_reset(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct policy_table tables[] = {
        { .name = STR_INIT("banned"), .kind = TABLE_CIDR },
        { .name = STR_INIT("names"), .kind = TABLE_NAMES, .is_empty = true },
        { .name = STR_INIT("senders"), .kind = TABLE_ADDRESSES },
    };
    static const struct policy_list lists[] = {
        { .zone = STR_INIT("a.example"), .group = STR_INIT("main"), .family = LISTS_CLIENT, .weight = FACT_UNIT },
        { .zone = STR_INIT("b.example"), .group = STR_INIT("good"), .family = LISTS_CLIENT, .weight = -FACT_UNIT },
    };
    const struct policy_environment environment = { .tables = tables, .n_tables = 3, .lists = lists, .n_lists = 2,
                                                    .off = 1 << SOURCE_SPF, .defer = 1 << SOURCE_VIRUS };
    struct diag_list diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    int r = policy_load("policy", (struct str){ (const char *)data, size }, &environment, &diag, &policy);
    require((r == 0) == (policy != NULL) && (r == 0) == (diag.errors == 0));
    require(diag.errors == 0 || diag.text.len > 0);
    if (policy != NULL) {
        decide(policy, &environment, false);
        decide(policy, &environment, true);
    }
    diag_deinit(&diag);
    policy_free(policy);
    return 0;
}
