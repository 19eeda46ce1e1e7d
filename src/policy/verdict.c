/*
 * verdict: sets of slots and rules, and a verdict in words.
 *
 * The words are those of `expect` in postern-policy(5), so that what a test got can be written down as what it should
 * get.
 */
#include "policy/verdict.h"

const char *const rule_status_names[] = { "unreached", "false", "true", "open", "undecided" };

bool set_is_empty(const struct policy_set *set) {
    return set_next(set, 0) < 0;
}

int set_next(const struct policy_set *set, unsigned i) {
    enum { WORDS = sizeof(set->words) / sizeof(set->words[0]) };
    if (i >= WORDS * 64)
        return -1;
    unsigned word = i / 64;
    uint64_t bits = set->words[word] >> (i % 64) << (i % 64);
    while (bits == 0) {
        if (++word == WORDS)
            return -1;
        bits = set->words[word];
    }
    return (int)(word * 64) + __builtin_ctzll(bits);
}

unsigned verdict_code_at_connect(bool is_reject) {
    return is_reject ? 554 : 421;
}

static int put_tags(const struct policy *policy, const struct policy_verdict *v, struct buf *out) {
    int r = 0;
    for (int i = set_next(&v->tags, 0); i >= 0 && r == 0; i = set_next(&v->tags, (unsigned)i + 1))
        r = buf_putf(out, ", tag \"%.*s\"", STR_ARG(policy->rules[i].name));
    return r;
}

static int put_cause(const struct policy *policy, const struct policy_verdict *v, struct buf *out) {
    switch ((enum verdict_cause)v->cause) {
    case CAUSE_OPEN:
        return buf_putf(out, " (would reject, but \"%.*s\" is open)", STR_ARG(policy->rules[v->open].name));
    case CAUSE_UNAVAILABLE:
        return buf_putf(out, " (%.*s is unavailable)", STR_ARG(policy->slots[v->slot].name));
    case CAUSE_DIRECTORY:
        return buf_puts(out, STR(" (the directory is missing or too old)"));
    case CAUSE_RULE:
        break;
    }
    return 0;
}

int verdict_format(const struct policy *policy, const struct policy_verdict *v, struct buf *out) {
    if (v->status == DECIDE_NEED)
        return buf_puts(out, STR("need"));
    int r = buf_puts(out, str_of(action_names[v->action]));
    if (r == 0 && v->rule != RULE_NONE)
        r = buf_putf(out, " \"%.*s\"", STR_ARG(policy->rules[v->rule].name));
    if (r == 0)
        r = put_cause(policy, v, out);
    return r == 0 ? put_tags(policy, v, out) : r;
}
