/*
 * content_outcome: what do several verdicts about one message come to?
 *
 * Pure: no session, no clock, so that the table of cases in tests/unit/session/test_content_outcome.c is the
 * specification.
 *
 * Rejected: telling the client of the recipients that were refused (DATA has one reply; LMTP and PRDR have more, and
 * hardly any sender speaks them), and refusing a message for everybody because one recipient's rules do (somebody else
 * decides then what an address gets).
 */
#include "session/content_state.h"

const char *content_kind_name(enum content_kind kind) {
    static const char *const names[] = {
        [CONTENT_CLEAN] = "clean", [CONTENT_UNSCANNED] = "unscanned", [CONTENT_BAD_HEADER] = "bad-header",
        [CONTENT_OTHER] = "other", [CONTENT_SPAM] = "spam",           [CONTENT_BANNED] = "banned",
        [CONTENT_INFECTED] = "infected",
    };
    return names[kind];
}

static const struct fact *fact_of(const struct policy *policy, const struct facts *facts, enum fact_id id) {
    const struct slot *slot = policy_slot(policy, id);
    return slot == NULL ? NULL : fact_at(policy, facts, (unsigned)(slot - policy->slots));
}

static bool is_true(const struct policy *policy, const struct facts *facts, enum fact_id id) {
    const struct fact *fact = fact_of(policy, facts, id);
    return fact != NULL && fact->state == FACT_KNOWN && fact->value;
}

static bool is_lost(const struct policy *policy, const struct facts *facts, enum fact_id id) {
    const struct fact *fact = fact_of(policy, facts, id);
    return fact != NULL && (fact->state == FACT_UNAVAILABLE || fact->state == FACT_SKIPPED);
}

/* A rule of layer content that acted, or a tag that applies, and is about what the spam scanner says. */
static bool is_spam(const struct policy *policy, const struct policy_verdict *verdict, bool has_acted) {
    bool is_about = has_acted && policy_rule_asks(policy, verdict->rule, SOURCE_SPAM);
    for (int i = set_next(&verdict->tags, 0); i >= 0; i = set_next(&verdict->tags, (unsigned)i + 1))
        is_about = is_about || policy_rule_asks(policy, (unsigned)i, SOURCE_SPAM);
    return is_about;
}

enum content_kind content_kind_of(const struct policy *policy, const struct facts *facts,
                                  const struct policy_verdict *verdict) {
    bool has_acted = verdict->rule != RULE_NONE && verdict->layer == LAYER_CONTENT && verdict->cause == CAUSE_RULE
        && (verdict->action == ACT_REJECT || verdict->action == ACT_QUARANTINE || verdict->action == ACT_DEFER);
    if (is_true(policy, facts, F_VIRUS))
        return CONTENT_INFECTED;
    if (is_true(policy, facts, F_ATTACHMENT_BANNED))
        return CONTENT_BANNED;
    if (is_spam(policy, verdict, has_acted))
        return CONTENT_SPAM;
    if (is_true(policy, facts, F_HEADER_BAD))
        return CONTENT_BAD_HEADER;
    if (has_acted || !set_is_empty(&verdict->tags))
        return CONTENT_OTHER;
    return is_lost(policy, facts, F_VIRUS) || is_lost(policy, facts, F_SPAM_SCORE) ? CONTENT_UNSCANNED : CONTENT_CLEAN;
}

static bool is_told(const struct policy *policy, const struct policy_set *tags, int rule) {
    int i = set_next(tags, 0);
    while (i < rule && !str_eq(policy->rules[i].name, policy->rules[rule].name))
        i = set_next(tags, (unsigned)i + 1);
    return i < rule;
}

int content_tag(const struct policy *policy, const struct policy_set *tags, int rule) {
    int i = set_next(tags, (unsigned)rule);
    while (i >= 0 && is_told(policy, tags, i))
        i = set_next(tags, (unsigned)i + 1);
    return i;
}

static void add_tags(struct policy_set *to, const struct policy_set *from) {
    for (size_t i = 0; i < sizeof(to->words) / sizeof(*to->words); i++)
        to->words[i] |= from->words[i];
}

/* The one that says most about what became of the message: the first with the gravest kind among those that `kept`. */
static unsigned gravest(const struct content_verdict *verdicts, unsigned n, bool is_kept) {
    unsigned found = n;
    for (unsigned i = 0; i < n; i++)
        if (content_passes(&verdicts[i]) != is_kept && (found == n || verdicts[i].kind > verdicts[found].kind))
            found = i;
    return found;
}

struct content_outcome content_settle(const struct content_verdict *verdicts, unsigned n) {
    struct content_outcome outcome = { .fate = CONTENT_TAKEN };
    unsigned n_rejected = 0;
    for (unsigned i = 0; i < n; i++) {
        switch ((enum policy_action)verdicts[i].action) {
        case ACT_DEFER:
        case ACT_GREYLIST:
            return (struct content_outcome){ .fate = CONTENT_DEFERRED, .decisive = i };
        case ACT_REJECT:
            n_rejected++;
            break;
        case ACT_QUARANTINE:
            break;
        case ACT_PASS:
        case ACT_ACCEPT:
        case ACT_TAG:
        case N_ACTIONS:
            outcome.n_handed_on++;
            add_tags(&outcome.tags, &verdicts[i].tags);
            break;
        }
    }
    if (n_rejected == n) {
        outcome.fate = CONTENT_REJECTED;
        outcome.decisive = gravest(verdicts, n, true);
        return outcome;
    }
    outcome.n_kept = n - outcome.n_handed_on;
    outcome.decisive = gravest(verdicts, n, outcome.n_handed_on == 0);
    return outcome;
}
