/*
 * postern report policy: how often did each rule of the policy refuse?
 *
 * One line a rule, the count right-aligned and ascending, so that the rules that matter stand where the eye ends. What
 * is counted is a recipient that a rule of the policy file rejected or deferred, in any layer but greylisting, or a
 * client that was refused before it named one; of layer content a message, once a rule, however many recipients it had:
 * also what rules have quarantined or tagged. Relay control, unknown recipients and the mailbox server's own answers
 * are not the policy's doing, and a reject that was held back (451 4.4.3, since an open rule stood before it) refused
 * nobody for its reason. Shadow rules follow with what they would have done, marked `(shadow)`; and how many decisions
 * there were for which nobody found that out.
 */
#include "cmd/clean.h"
#include "cmd/journal_report.h"

#include "base/arena.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAMES_MAX = 4096 };

enum effect { REFUSED, QUARANTINED, TAGGED, SHADOW, N_EFFECTS };

static const char *const effect_names[] = { "refused", "quarantined", "tagged", "none" };
static const char *const effect_marks[] = { "", " (quarantine)", " (tag)", " (shadow)" };

struct count {
    struct str name;
    uint64_t n;
    uint64_t record; /* that was counted last */
    enum effect effect;
};

struct report {
    const struct members *members; /* of the record that is counted */
    struct arena arena;
    struct count counts[NAMES_MAX];
    size_t n_counts;
    uint64_t n_decisions; /* that this record stands for */
    uint64_t n_records, n_unrehearsed;
};

/* ---- counting */

/* A rule beyond NAMES_MAX is not counted: a journal of other tools could name anything. */
static int add(struct report *report, struct str name, enum effect effect) {
    for (size_t i = 0; i < report->n_counts; i++) {
        struct count *count = &report->counts[i];
        if (count->effect != effect || !str_eq(count->name, name))
            continue;
        count->n += count->record != report->n_records ? report->n_decisions : 0;
        count->record = report->n_records;
        return 0;
    }
    if (report->n_counts == NAMES_MAX)
        return 0;
    struct str copy = arena_str(&report->arena, name);
    if (copy.at == NULL)
        return -ENOMEM;
    report->counts[report->n_counts++] =
        (struct count){ .name = copy, .n = report->n_decisions, .record = report->n_records, .effect = effect };
    return 0;
}

static bool is_builtin(struct str layer, struct str rule) {
    static const char *const names[] = { "RELAY DENIED", "NO SUCH USER", "NO DIRECTORY", "DIRECTORY TOO OLD" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq(layer, STR("recipient")) && str_eq(rule, str_of(names[i])))
            return true;
    }
    return false;
}

static bool is_of_policy(struct str layer) {
    return str_eq(layer, STR("connection")) || str_eq(layer, STR("recipient")) || str_eq(layer, STR("policy"));
}

static int add_shadow(struct report *report) {
    const struct members *members = report->members;
    const struct member *shadow = members_find(members, &members->at[0], "shadow");
    int r = 0;
    for (const struct member *m = NULL; r == 0 && (m = members_next(members, shadow, m)) != NULL;) {
        if (m->type == MEMBER_STRING)
            r = add(report, m->text, SHADOW);
    }
    return r;
}

static int add_rules(struct report *report) {
    const struct members *members = report->members;
    const struct member *record = &members->at[0];
    struct str layer = members_text(members, record, "layer"), rule = members_text(members, record, "rule");
    struct str action = members_text(members, record, "action");
    int r = 0;
    bool has_refused = str_eq(action, STR("reject")) || str_eq(action, STR("defer"));
    if (has_refused && rule.len > 0 && is_of_policy(layer) && !is_builtin(layer, rule) &&
        members_find(members, record, "open") == NULL)
        r = add(report, rule, REFUSED);
    return r == 0 ? add_shadow(report) : r;
}

/* What a rule of layer content did, for one recipient or for all. */
static int add_action(struct report *report, const struct member *verdict) {
    struct str rule = members_text(report->members, verdict, "rule");
    struct str action = members_text(report->members, verdict, "action");
    if (rule.len == 0 || members_find(report->members, verdict, "open") != NULL)
        return 0;
    if (str_eq(action, STR("quarantine")))
        return add(report, rule, QUARANTINED);
    return str_eq(action, STR("reject")) || str_eq(action, STR("defer")) ? add(report, rule, REFUSED) : 0;
}

/* What the mailbox server did not take was neither kept nor tagged. */
static int add_content(struct report *report) {
    const struct members *members = report->members;
    const struct member *record = &members->at[0];
    struct str action = members_text(members, record, "action");
    bool is_taken = str_eq(action, STR("pass")) || str_eq(action, STR("quarantine"));
    const struct member *verdicts = is_taken ? members_find(members, record, "verdicts") : NULL;
    const struct member *tags = is_taken ? members_find(members, record, "tags") : NULL;
    int r = str_eq(members_text(members, record, "layer"), STR("content")) ? add_action(report, record) : 0;
    for (const struct member *m = NULL; r == 0 && (m = members_next(members, verdicts, m)) != NULL;)
        r = add_action(report, m);
    for (const struct member *m = NULL; r == 0 && (m = members_next(members, tags, m)) != NULL;)
        r = add(report, m->text, TAGGED);
    return r == 0 ? add_shadow(report) : r;
}

static int add_record(void *counts, const struct members *members, uint64_t n) {
    struct report *report = counts;
    report->members = members;
    const struct member *record = &members->at[0];
    report->n_records++;
    report->n_decisions = n;
    report->n_unrehearsed += members_find(members, record, "unrehearsed") != NULL ? n : 0;
    bool is_message = members_find(members, record, "rcpts") != NULL; /* report content counts what it was */
    return is_message ? add_content(report) : add_rules(report);
}

/* ---- printing */

static int by_count(const void *a, const void *b) {
    const struct count *one = a, *other = b;
    if ((one->effect == SHADOW) != (other->effect == SHADOW))
        return one->effect == SHADOW ? 1 : -1;
    if (one->n != other->n)
        return one->n < other->n ? -1 : 1;
    int order = str_compare(one->name, other->name);
    return order != 0 ? order : (int)one->effect - (int)other->effect;
}

static void print(const void *counts) {
    const struct report *report = counts;
    int width = 1;
    for (size_t i = 0; i < report->n_counts; i++) {
        int digits = report_width(report->counts[i].n);
        width = digits > width ? digits : width;
    }
    for (size_t i = 0; i < report->n_counts; i++) {
        const struct count *count = &report->counts[i];
        printf("%*" PRIu64 " ", width, count->n);
        clean_print(stdout, count->name);
        printf("%s\n", effect_marks[count->effect]);
    }
    if (report->n_unrehearsed > 0)
        printf("%sof %" PRIu64 " decisions it is not known what shadow rules would have done: too many at a time\n",
               report->n_counts > 0 ? "\n" : "", report->n_unrehearsed);
}

static void record(const void *counts, struct record *r) {
    const struct report *report = counts;
    record_open(r, "policy", '[');
    for (size_t i = 0; i < report->n_counts; i++) {
        const struct count *count = &report->counts[i];
        record_open(r, NULL, '{');
        record_u64(r, "count", count->n);
        record_str(r, "rule", count->name);
        record_bool(r, "shadow", count->effect == SHADOW);
        record_str(r, "effect", str_of(effect_names[count->effect]));
        record_close(r, '}');
    }
    record_close(r, ']');
    record_u64(r, "unrehearsed", report->n_unrehearsed);
}

static void finish(void *counts) {
    struct report *report = counts;
    if (report->n_counts > 0)
        qsort(report->counts, report->n_counts, sizeof(report->counts[0]), by_count);
}

static void release(void *counts) {
    arena_reset(&((struct report *)counts)->arena);
}

const struct journal_report report_policy = {
    "policy", sizeof(struct report), add_record, finish, print, record, release,
};
