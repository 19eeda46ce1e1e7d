/*
 * postern report content: what became of the mail that layer content has judged, by kind, and which viruses were in it?
 *
 * One record of the journal with a `kind` is one message; what the mailbox server then refused or deferred is its doing
 * and not counted (a deferred message comes again). Where recipients were judged differently the message counts once,
 * as what it was for the decisive one; what was kept for others stands in a line of its own. Counts are ascending and
 * right-aligned as in the other reports.
 *
 * The share that this layer has blocked is of the mail that reached it: nearly all bad mail never does.
 */
#include "cmd/clean.h"
#include "cmd/journal_report.h"

#include "base/arena.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { VIRUSES_MAX = 8192, TITLE_MAX = 32 };

enum fate { PASSED, BLOCKED, KEPT, DEFERRED, N_FATES };

/* As they are printed, and as the journal calls them. */
static const struct {
    const char *title, *name, *action;
} fates[N_FATES] = {
    [PASSED] = { "Passed", "passed", "pass" },
    [BLOCKED] = { "Blocked", "blocked", "reject" },
    [KEPT] = { "Quarantined", "quarantined", "quarantine" },
    [DEFERRED] = { "Deferred", "deferred", "defer" },
};

enum { N_KINDS = 7 };
static const struct {
    const char *title, *name;
} kinds[N_KINDS] = {
    { "Clean", "clean" }, { "Unscanned", "unscanned" }, { "Bad-Header", "bad-header" }, { "Other", "other" },
    { "Spam", "spam" },   { "Banned", "banned" },       { "Infected", "infected" },
};

/* Printed even when there is none: what every reader looks for. */
static bool is_always_told(enum fate fate, unsigned kind) {
    return (fate == BLOCKED && (kind == 4 || kind == 6)) || (fate == PASSED && (kind == 0 || kind == 2));
}

struct virus {
    struct str name;
    uint64_t n;
};

struct report {
    const struct members *members; /* of the record that is counted */
    struct arena arena;
    uint64_t counts[N_FATES][N_KINDS];
    uint64_t n_kept_beside; /* recipients for whom a message was kept that others got */
    struct virus viruses[VIRUSES_MAX];
    size_t n_viruses;
};

/* ---- counting */

/* One beyond VIRUSES_MAX is not counted by name. The usual ones come early, so looking from the front is short. */
static int add_virus(struct report *report, struct str name, uint64_t n) {
    for (size_t i = 0; i < report->n_viruses; i++) {
        if (!str_eq(report->viruses[i].name, name))
            continue;
        report->viruses[i].n += n;
        return 0;
    }
    if (report->n_viruses == VIRUSES_MAX)
        return 0;
    struct str copy = arena_str(&report->arena, name);
    if (copy.at == NULL)
        return -ENOMEM;
    report->viruses[report->n_viruses++] = (struct virus){ .name = copy, .n = n };
    return 0;
}

static void add_kept_beside(struct report *report, const struct member *record) {
    const struct members *members = report->members;
    const struct member *verdicts = members_find(members, record, "verdicts");
    for (const struct member *one = NULL; (one = members_next(members, verdicts, one)) != NULL;) {
        struct str action = members_text(members, one, "action");
        report->n_kept_beside += str_eq(action, STR("quarantine")) || str_eq(action, STR("reject"));
    }
}

/* N_FATES: the mailbox server's doing. */
static enum fate fate_of(struct str layer, struct str action) {
    enum fate fate = PASSED;
    while (fate < N_FATES && !str_eq(action, str_of(fates[fate].action)))
        fate++;
    return fate != PASSED && !str_eq(layer, STR("content")) ? N_FATES : fate;
}

static int add_record(void *counts, const struct members *members, uint64_t n) {
    struct report *report = counts;
    report->members = members;
    const struct member *record = &members->at[0];
    struct str name = members_text(members, record, "kind");
    enum fate fate = fate_of(members_text(members, record, "layer"), members_text(members, record, "action"));
    unsigned kind = 0;
    while (kind < N_KINDS && !str_eq(name, str_of(kinds[kind].name)))
        kind++;
    if (kind == N_KINDS || fate == N_FATES)
        return 0;
    report->counts[fate][kind] += n;
    if (fate == PASSED)
        add_kept_beside(report, record);
    struct str virus = members_text(members, record, "virus");
    return virus.len > 0 ? add_virus(report, virus, n) : 0;
}

/* ---- what follows from the counts */

static uint64_t total_of(const struct report *report, enum fate fate) {
    uint64_t n = 0;
    for (unsigned kind = 0; kind < N_KINDS; kind++)
        n += report->counts[fate][kind];
    return n;
}

/* In thousandths; -1: nothing came this far. What was deferred comes again and is counted then. */
static int64_t blocked_share(const struct report *report) {
    uint64_t blocked = total_of(report, BLOCKED) + total_of(report, KEPT);
    uint64_t all = blocked + total_of(report, PASSED);
    return all > 0 ? (int64_t)((blocked * 1000 + all / 2) / all) : -1;
}

static int by_count(const void *a, const void *b) {
    const struct virus *one = a, *other = b;
    if (one->n != other->n)
        return one->n < other->n ? -1 : 1;
    return str_compare(one->name, other->name);
}

/* ---- printing */

struct line {
    char title[TITLE_MAX];
    uint64_t n;
};

/* Ascending; equal ones in the order of the tables above. */
static unsigned list_lines(const struct report *report, struct line lines[N_FATES * N_KINDS]) {
    unsigned n = 0;
    for (unsigned fate = 0; fate < N_FATES; fate++) {
        for (unsigned kind = 0; kind < N_KINDS; kind++) {
            struct line line = { .n = report->counts[fate][kind] };
            unsigned at = n;
            if (line.n == 0 && !is_always_told((enum fate)fate, kind))
                continue;
            snprintf(line.title, sizeof(line.title), "%s %s", fates[fate].title, kinds[kind].title);
            for (; at > 0 && lines[at - 1].n > line.n; at--)
                lines[at] = lines[at - 1];
            lines[at] = line;
            n++;
        }
    }
    return n;
}

static void print(const void *counts) {
    const struct report *report = counts;
    struct line lines[N_FATES * N_KINDS];
    unsigned n = list_lines(report, lines);
    int64_t share = blocked_share(report);
    int width = report_width(lines[n - 1].n);
    printf("Postern content report\n\n");
    for (unsigned i = 0; i < n; i++)
        printf("%*" PRIu64 " %s\n", width, lines[i].n, lines[i].title);
    if (report->n_kept_beside > 0)
        printf("\nKept in quarantine for %" PRIu64 " recipient%s of mail that others got\n", report->n_kept_beside,
               report->n_kept_beside == 1 ? "" : "s");
    if (share >= 0)
        printf("\nBlocked by content %" PRId64 ".%" PRId64 " %% of the mail that came this far\n", share / 10,
               share % 10);
    if (report->n_viruses == 0)
        return;
    width = report_width(report->viruses[report->n_viruses - 1].n);
    printf("\nViruses\n\n");
    for (size_t i = 0; i < report->n_viruses; i++) {
        printf("%*" PRIu64 " ", width, report->viruses[i].n);
        clean_print(stdout, report->viruses[i].name);
        putchar('\n');
    }
}

static void record(const void *counts, struct record *r) {
    const struct report *report = counts;
    record_open(r, "content", '{');
    for (unsigned fate = 0; fate < N_FATES; fate++) {
        record_open(r, fates[fate].name, '{');
        for (unsigned kind = 0; kind < N_KINDS; kind++)
            record_u64(r, kinds[kind].name, report->counts[fate][kind]);
        record_close(r, '}');
    }
    record_close(r, '}');
    record_u64(r, "kept_beside", report->n_kept_beside);
    if (blocked_share(report) >= 0)
        record_thousandths(r, "blocked_share", blocked_share(report));
    record_open(r, "viruses", '[');
    for (size_t i = 0; i < report->n_viruses; i++) {
        record_open(r, NULL, '{');
        record_u64(r, "count", report->viruses[i].n);
        record_str(r, "name", report->viruses[i].name);
        record_close(r, '}');
    }
    record_close(r, ']');
}

static void finish(void *counts) {
    struct report *report = counts;
    if (report->n_viruses > 0)
        qsort(report->viruses, report->n_viruses, sizeof(report->viruses[0]), by_count);
}

static void release(void *counts) {
    arena_reset(&((struct report *)counts)->arena);
}

const struct journal_report report_content = {
    "content", sizeof(struct report), add_record, finish, print, record, release,
};
