/*
 * scan: what do the scanners say of this message?
 *
 * A scan is two calls, one at each scanner's servers, and the words for what came of them. A scanner without servers
 * in the configuration is off: the message's state says so from the beginning, and wanting it changes nothing.
 *
 * Both calls look at one text, and each has its own place in it, so neither waits for the other; a spool that has
 * become a file is read twice, out of the kernel's cache.
 *
 * Rejected: spamd after clamd, to spare its time for what is infected (clamd is the faster one by far, so a verdict
 * there cancels spamd soon enough, and most mail is clean).
 */
#include "facts/scan.h"

#include "base/clock.h"
#include "facts/clamav.h"
#include "facts/scanner_servers.h"
#include "facts/spamassassin.h"

#include <errno.h>
#include <stdlib.h>

const char *const scanner_names[N_SCANNERS] = { "clamav", "spamassassin" };

static const struct scanner_protocol *const protocols[N_SCANNERS] = { &clamd_protocol, &spamd_protocol };

struct scanner_group {
    struct scanner_servers servers; /* first */
    struct scanners *scanners;
    struct scanner_counters counters;
    bool is_on;
};

struct scanners {
    struct loop *loop;
    const struct scanner_events *events;
    struct scanner_group groups[N_SCANNERS];
};

struct scan_part {
    struct scanner_call call;
    struct scan *scan;
    enum scan_state state;
    uint64_t began_us, took_us;
};

struct scan {
    void *free_link[2]; /* loop_free_later() writes here */
    struct scanners *scanners;
    struct scan_text text;
    void (*on_change)(void *arg);
    void *arg;
    struct scan_part parts[N_SCANNERS];
    struct scan_virus virus;
    struct scan_spam spam;
};

/* ---- a worker's */

static const struct conf_scanner *conf_of(const struct conf *conf, enum scanner scanner) {
    return scanner == SCANNER_CLAMAV ? &conf->set.clamav : &conf->set.spamassassin;
}

static enum scanner scanner_of(const struct scanner_group *group) {
    return (enum scanner)(group - group->scanners->groups);
}

static void on_server(struct scanner_servers *servers, const struct conf_scanner_server *server, struct str what) {
    const struct scanner_group *group = (const struct scanner_group *)servers;
    const struct scanner_events *events = group->scanners->events;

    events->on_server(events->arg, scanner_of(group), server->text, what);
}

int scanners_new(struct loop *loop, const struct conf *conf, unsigned n_workers, const struct scanner_events *events,
                 struct scanners **ret_scanners) {
    struct scanners *scanners = calloc(1, sizeof(*scanners));
    int r = 0;

    if (!scanners)
        return -ENOMEM;
    scanners->loop = loop;
    scanners->events = events;
    for (int i = 0; i < N_SCANNERS && r == 0; i++) {
        struct scanner_group *group = &scanners->groups[i];
        const struct conf_scanner *set = conf_of(conf, (enum scanner)i);
        uint64_t max = set->connections / (n_workers ? n_workers : 1);

        group->scanners = scanners;
        group->is_on = set->n_servers > 0;
        if (group->is_on)
            r = scanner_servers_init(&group->servers, loop, set, protocols[i], max ? (unsigned)max : 1, on_server);
    }
    if (r < 0) {
        scanners_free(scanners);
        return r;
    }
    *ret_scanners = scanners;
    return 0;
}

void scanners_free(struct scanners *scanners) {
    if (!scanners)
        return;
    for (int i = 0; i < N_SCANNERS; i++)
        scanner_servers_deinit(&scanners->groups[i].servers);
    free(scanners);
}

const struct scanner_counters *scanners_counters(const struct scanners *scanners, enum scanner scanner) {
    return &scanners->groups[scanner].counters;
}

void scanners_server_stats(const struct scanners *scanners, enum scanner scanner, size_t server,
                           struct scanner_server_stats *ret_stats) {
    const struct scanner_server *at = &scanners->groups[scanner].servers.at[server];

    *ret_stats = (struct scanner_server_stats){
        .connections = at->n_busy + at->n_idle, .idle = at->n_idle, .is_down = at->is_down, .scanned = at->scanned,
        .failed = at->failed,
    };
}

/* ---- a message's */

static void count(struct scanner_counters *counters, const struct scanner_result *result) {
    switch (result->outcome) {
    case SCANNER_CALL_DONE:
        counters->scanned++;
        counters->found += result->is_found;
        break;
    case SCANNER_CALL_SKIPPED:
        counters->skipped++;
        break;
    case SCANNER_CALL_UNAVAILABLE:
        counters->unavailable++;
        break;
    }
}

static enum scan_state state_of(enum scanner_outcome outcome) {
    switch (outcome) {
    case SCANNER_CALL_DONE: return SCAN_DONE;
    case SCANNER_CALL_SKIPPED: return SCAN_SKIPPED;
    case SCANNER_CALL_UNAVAILABLE: break;
    }
    return SCAN_UNAVAILABLE;
}

static void show(struct scan *scan) {
    const struct scan_part *virus = &scan->parts[SCANNER_CLAMAV], *spam = &scan->parts[SCANNER_SPAMASSASSIN];
    const struct scanner_result *of_virus = &virus->call.result, *of_spam = &spam->call.result;

    scan->virus = (struct scan_virus){ .state = virus->state, .took_us = virus->took_us };
    if (virus->state == SCAN_DONE)
        scan->virus.name = of_virus->is_found && of_virus->text[0] == '\0' ? STR("unnamed") : str_of(of_virus->text);
    else if (virus->state == SCAN_SKIPPED || virus->state == SCAN_UNAVAILABLE)
        scan->virus.why = str_of(of_virus->why);
    scan->spam = (struct scan_spam){ .state = spam->state, .took_us = spam->took_us };
    if (spam->state == SCAN_DONE) {
        scan->spam.score = of_spam->score;
        scan->spam.threshold = of_spam->threshold;
        scan->spam.is_spam = of_spam->is_found;
        scan->spam.symbols = str_of(of_spam->text);
    } else if (spam->state == SCAN_SKIPPED || spam->state == SCAN_UNAVAILABLE) {
        scan->spam.why = str_of(of_spam->why);
    }
}

static void on_call_end(struct scanner_call *call) {
    struct scan_part *part = (struct scan_part *)((char *)call - offsetof(struct scan_part, call));
    struct scan *scan = part->scan;
    const struct scanner_events *events = scan->scanners->events;
    enum scanner scanner = (enum scanner)(part - scan->parts);
    const struct scanner_result *result = &call->result;

    part->state = state_of(result->outcome);
    part->took_us = clock_us() - part->began_us;
    count(&scan->scanners->groups[scanner].counters, result);
    show(scan);
    if (part->state != SCAN_DONE)
        events->on_missed(events->arg, scanner, scan->text.id, part->state == SCAN_SKIPPED, str_of(result->detail));
    scan->on_change(scan->arg);
}

struct scan *scan_new(struct scanners *scanners, const struct scan_text *text, uint64_t deadline_ms,
                      void (*on_change)(void *arg), void *arg) {
    struct scan *scan = calloc(1, sizeof(*scan));

    if (!scan)
        return NULL;
    scan->scanners = scanners;
    scan->text = *text;
    scan->on_change = on_change;
    scan->arg = arg;
    for (int i = 0; i < N_SCANNERS; i++) {
        struct scan_part *part = &scan->parts[i];

        part->scan = scan;
        part->state = scanners->groups[i].is_on ? SCAN_IDLE : SCAN_OFF;
        part->call.deadline_ms = deadline_ms;
        part->call.on_end = on_call_end;
        part->call.question = (struct scanner_question){
            .head = text->head, .spool = text->spool, .size = text->head.len + spool_size(text->spool),
        };
        if (part->state == SCAN_IDLE && scanners->groups[i].servers.conf->user_by_domain)
            part->call.question.user = text->user;
    }
    show(scan);
    return scan;
}

static void want(struct scan_part *part, enum scanner scanner, bool is_wanted) {
    if (is_wanted && part->state == SCAN_IDLE) {
        part->state = SCAN_RUNNING;
        part->began_us = clock_us();
        scanner_call_start(&part->call, &part->scan->scanners->groups[scanner].servers);
    } else if (!is_wanted && part->state == SCAN_RUNNING) {
        part->state = SCAN_IDLE;
        scanner_call_cancel(&part->call);
    }
}

void scan_want(struct scan *scan, bool virus, bool spam) {
    want(&scan->parts[SCANNER_CLAMAV], SCANNER_CLAMAV, virus);
    want(&scan->parts[SCANNER_SPAMASSASSIN], SCANNER_SPAMASSASSIN, spam);
    show(scan);
}

const struct scan_virus *scan_virus(const struct scan *scan) {
    return &scan->virus;
}

const struct scan_spam *scan_spam(const struct scan *scan) {
    return &scan->spam;
}

void scan_free(struct scan *scan) {
    if (!scan)
        return;
    scan_want(scan, false, false);
    loop_free_later(scan->scanners->loop, scan);
}
