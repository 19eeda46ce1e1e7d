/*
 * worker_scanners: what does a worker say of its scanners?
 *
 * A server that changes is a warning, once; so is a message that a scanner could not look at although it works. A
 * message that goes unscanned because no server works is told at a lower level: there may be many, and the cause was
 * told.
 */
#include "session/worker_scanners.h"

#include "base/log.h"

static void on_server(void *arg, enum scanner scanner, const char *server, struct str what) {
    (void)arg;
    log_warning("scanner %s (%s): %.*s", server, scanner_names[scanner], STR_ARG(what));
}

static void on_missed(void *arg, enum scanner scanner, const char *id, bool is_skipped, struct str why) {
    (void)arg;
    log_line(is_skipped ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "message %s by %s: %.*s sid=%s",
             is_skipped ? "skipped" : "not scanned", scanner_names[scanner], STR_ARG(why), id);
}

static const struct scanner_events events = { .on_server = on_server, .on_missed = on_missed };

static const struct conf_scanner *conf_of(const struct conf *conf, enum scanner scanner) {
    return scanner == SCANNER_CLAMAV ? &conf->set.clamav : &conf->set.spamassassin;
}

int worker_scanners_start(struct loop *loop, const struct worker_setup *setup, struct scanners **ret_scanners) {
    const struct conf *conf = setup->conf;

    if (conf->set.clamav.n_servers + conf->set.spamassassin.n_servers == 0)
        return 0;
    return scanners_new(loop, conf, setup->n_workers, &events, ret_scanners);
}

static void publish_one(const struct scanners *scanners, enum scanner scanner, size_t n_servers,
                        struct worker_scanner_counters *counters) {
    const struct scanner_counters *now = scanners_counters(scanners, scanner);

    counters->scanned = now->scanned;
    counters->found = now->found;
    counters->skipped = now->skipped;
    counters->unavailable = now->unavailable;
    for (size_t i = 0; i < n_servers; i++) {
        struct scanner_server_stats stats;

        scanners_server_stats(scanners, scanner, i, &stats);
        counters->servers[i].connections = stats.connections;
        counters->servers[i].is_down = stats.is_down;
        counters->servers[i].scanned = stats.scanned;
        counters->servers[i].failed = stats.failed;
    }
}

void worker_scanners_publish(const struct scanners *scanners, const struct conf *conf,
                             struct worker_counters *counters) {
    for (enum scanner i = 0; i < N_SCANNERS; i++)
        publish_one(scanners, i, conf_of(conf, i)->n_servers, &counters->scanners[i]);
}

/* One more for the trial of each server. */
uint64_t worker_scanners_files(const struct conf *conf, unsigned n_workers) {
    uint64_t n = 0;

    for (enum scanner i = 0; i < N_SCANNERS; i++)
        n += conf_of(conf, i)->n_servers * (conf_of(conf, i)->connections / n_workers + 2);
    return n;
}
