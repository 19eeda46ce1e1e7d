/*
 * worker_quarantine: see the header.
 *
 * Each worker counts the folder for itself, so that each knows how much room there is. Only one removes what is old,
 * and that one counts even when nothing is put; `status` shows the newest count of all.
 */
#include "session/worker_quarantine.h"

#include "base/log.h"

static void on_trouble(void *arg, struct str what) {
    (void)arg;
    log_error("quarantine: %.*s", STR_ARG(what));
}

struct quarantine *worker_quarantine_start(struct loop *loop, const struct worker_setup *setup) {
    const struct conf_settings *set = &setup->conf->set;
    const struct quarantine_settings settings = {
        .path = set->quarantine.path, .size_max = set->quarantine.size_max, .keep_s = set->quarantine.keep / 1000,
        .expires = setup->slot == 0, .on_trouble = on_trouble,
    };
    struct quarantine *quarantine = NULL;
    if (settings.path == NULL)
        return NULL;
    int r = quarantine_start(loop, &settings, &quarantine);
    if (r < 0)
        log_error("quarantine %s cannot be used: %s; what it should keep is deferred", settings.path, strerror(-r));
    return quarantine;
}

void worker_quarantine_publish(const struct quarantine *quarantine, const struct conf *conf,
                               struct worker_counters *counters) {
    if (quarantine == NULL) {
        counters->quarantine.is_broken = conf->set.quarantine.path != NULL;
        return;
    }
    const struct quarantine_counters now = quarantine_counters(quarantine);
    counters->quarantined = now.kept;
    counters->quarantine_failed = now.failed;
    counters->quarantine.messages = now.messages;
    counters->quarantine.pending = now.pending;
    counters->quarantine.bytes = now.bytes;
    counters->quarantine.counted_ms = now.counted_ms;
    counters->quarantine.is_broken = now.is_broken;
}
