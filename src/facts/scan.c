/*
 * scan: what do the scanners say of this message?
 *
 * A scanner without servers in the configuration is off: the message's state says so from the beginning, and wanting
 * it changes nothing.
 */
#include "facts/scan.h"

#include <errno.h>
#include <stdlib.h>

const char *const scanner_names[N_SCANNERS] = { "clamav", "spamassassin" };

struct scanners {
    struct scanner_counters counters[N_SCANNERS];
};

struct scan {
    struct scan_virus virus;
    struct scan_spam spam;
};

int scanners_new(struct loop *loop, const struct conf *conf, unsigned n_workers, const struct scanner_events *events,
                 struct scanners **ret_scanners) {
    struct scanners *scanners = calloc(1, sizeof(*scanners));

    (void)loop, (void)conf, (void)n_workers, (void)events;
    if (!scanners)
        return -ENOMEM;
    *ret_scanners = scanners;
    return 0;
}

void scanners_free(struct scanners *scanners) {
    free(scanners);
}

const struct scanner_counters *scanners_counters(const struct scanners *scanners, enum scanner scanner) {
    return &scanners->counters[scanner];
}

void scanners_server_stats(const struct scanners *scanners, enum scanner scanner, size_t server,
                           struct scanner_server_stats *ret_stats) {
    (void)scanners, (void)scanner, (void)server;
    *ret_stats = (struct scanner_server_stats){ 0 };
}

struct scan *scan_new(struct scanners *scanners, const struct scan_text *text, uint64_t deadline_ms,
                      void (*on_change)(void *arg), void *arg) {
    struct scan *scan = calloc(1, sizeof(*scan));

    (void)scanners, (void)text, (void)deadline_ms, (void)on_change, (void)arg;
    if (scan) {
        scan->virus.state = SCAN_OFF;
        scan->spam.state = SCAN_OFF;
    }
    return scan;
}

void scan_want(struct scan *scan, bool virus, bool spam) {
    (void)scan, (void)virus, (void)spam;
}

const struct scan_virus *scan_virus(const struct scan *scan) {
    return &scan->virus;
}

const struct scan_spam *scan_spam(const struct scan *scan) {
    return &scan->spam;
}

void scan_free(struct scan *scan) {
    free(scan);
}
