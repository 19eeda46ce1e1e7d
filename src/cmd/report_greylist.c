/*
 * postern report greylist: what does the greylist keep out, and what does it cost?
 *
 * One record of the journal with a `greylist` member is one question to the store about one recipient; the six answers
 * are counted under the names that the field gives them, ascending and right-aligned like report policy. Questions
 * without effect (`enforce no`, shadow rules) have no such member and are not counted.
 *
 * What it keeps out: of the senders that were told to come back, the part that never did, as far as can be told from
 * counts: 1 - pass retry / (pass retry + reject new triplet). What it costs: how long mail that came back waited, of
 * the recipients that were let in then; mail of a sender who was known did not wait.
 *
 * Waits are kept one by one, four bytes each: percentiles are exact, and a million of them fit anywhere.
 */
#include "cmd/journal_report.h"

#include "base/buf.h"
#include "policy/facts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    N_STATUSES = GREYLIST_WHITELISTED + 1,
    SAME_WAITS_MAX = 1 << 20, /* of one record: a journal may say anything */
};

/* How the field calls what the policy calls otherwise (design.md section 2). */
static const char *const titles[N_STATUSES] = {
    [GREYLIST_NEW] = "Reject new triplet",
    [GREYLIST_EARLY] = "Reject early retry",
    [GREYLIST_RETRY] = "Pass retry",
    [GREYLIST_AUTOWHITELIST] = "Pass and auto-whitelist IP",
    [GREYLIST_CACHED] = "Pass cached triplet",
    [GREYLIST_WHITELISTED] = "Pass new triplet from white listed IP",
};

struct report {
    uint64_t counts[N_STATUSES];
    uint32_t *waits; /* in seconds, of recipients that were let in */
    size_t n_waits, cap;
};

/* ---- counting */

static int add_wait(struct report *report, uint32_t seconds) {
    if (report->n_waits == report->cap) {
        size_t cap = report->cap > 0 ? 2 * report->cap : 1024;
        uint32_t *waits = reallocarray(report->waits, cap, sizeof(*waits));
        if (waits == NULL)
            return -ENOMEM;
        report->waits = waits;
        report->cap = cap;
    }
    report->waits[report->n_waits++] = seconds;
    return 0;
}

/* N_STATUSES: none that this program writes. */
static unsigned find_status(struct str name) {
    const char *const *names = fact_rows[F_GREYLIST].values;
    unsigned status = 0;
    while (status < N_STATUSES && !str_eq(name, str_of(names[status])))
        status++;
    return status;
}

static int add_record(void *counts, const struct members *members, uint64_t n) {
    struct report *report = counts;
    int64_t thousandths;
    const struct member *record = &members->at[0], *wait = members_find(members, record, "greylist_waited_s");
    unsigned status = find_status(members_text(members, record, "greylist"));
    if (status == N_STATUSES)
        return 0;
    report->counts[status] += n;
    bool is_passed = str_eq(members_text(members, record, "action"), STR("pass"));
    if (!is_passed || wait == NULL || members_thousandths(wait, &thousandths) < 0 || thousandths < 0)
        return 0;
    uint32_t seconds = thousandths / 1000 < UINT32_MAX ? (uint32_t)(thousandths / 1000) : UINT32_MAX;
    int r = 0;
    for (uint64_t i = 0; r == 0 && i < n && i < SAME_WAITS_MAX; i++)
        r = add_wait(report, seconds);
    return r;
}

/* ---- what follows from the counts */

/* In thousandths; -1: nobody was told to come back. */
static int64_t rejection_rate(const struct report *report) {
    uint64_t passed = report->counts[GREYLIST_RETRY], all = passed + report->counts[GREYLIST_NEW];
    return all > 0 ? (int64_t)(((all - passed) * 1000 + all / 2) / all) : -1;
}

/* The wait that `percent` of them did not exceed (nearest rank). They are sorted, and there are some. */
static uint32_t percentile(const struct report *report, unsigned percent) {
    return report->waits[(report->n_waits * percent + 99) / 100 - 1];
}

static int by_length(const void *a, const void *b) {
    const uint32_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

/* ---- printing */

/* The statuses by their counts, ascending; equal ones as the policy orders them. */
static void sort_statuses(const struct report *report, unsigned order[N_STATUSES]) {
    for (unsigned i = 0; i < N_STATUSES; i++) {
        unsigned at = i;
        for (; at > 0 && report->counts[order[at - 1]] > report->counts[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void print(const void *counts) {
    const struct report *report = counts;
    unsigned order[N_STATUSES];
    int64_t rate = rejection_rate(report);
    sort_statuses(report, order);
    int width = report_width(report->counts[order[N_STATUSES - 1]]);
    printf("Postern greylist report\n\n");
    for (unsigned i = 0; i < N_STATUSES; i++)
        printf("%*" PRIu64 " %s\n", width, report->counts[order[i]], titles[order[i]]);
    if (rate >= 0)
        printf("\nEffective rejection rate %" PRId64 ".%" PRId64 " %%\n", rate / 10, rate % 10);
    if (report->n_waits > 0)
        printf("%sMail that came back and passed waited %" PRIu32 " s (median), %" PRIu32 " s (95th percentile)\n",
               rate < 0 ? "\n" : "", percentile(report, 50), percentile(report, 95));
}

static void record(const void *counts, struct record *r) {
    const struct report *report = counts;
    record_open(r, "greylist", '{');
    for (unsigned i = 0; i < N_STATUSES; i++)
        record_u64(r, fact_rows[F_GREYLIST].values[i], report->counts[i]);
    record_close(r, '}');
    if (rejection_rate(report) >= 0)
        record_thousandths(r, "rejection_rate", rejection_rate(report));
    if (report->n_waits > 0) {
        record_u64(r, "waited_median_s", percentile(report, 50));
        record_u64(r, "waited_p95_s", percentile(report, 95));
    }
}

static void finish(void *counts) {
    struct report *report = counts;
    if (report->n_waits > 0)
        qsort(report->waits, report->n_waits, sizeof(*report->waits), by_length);
}

static void release(void *counts) {
    free(((struct report *)counts)->waits);
}

const struct journal_report report_greylist = {
    "greylist", sizeof(struct report), add_record, finish, print, record, release,
};
