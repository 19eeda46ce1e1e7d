/*
 * Does every process still turn its loop?
 *
 *   workers, store ── a beat in shared memory (net/beat.h) ──▶ the master looks once a second; one that has stood still
 *                     for `watchdog` is logged with what it was doing, and killed; its end is handled as any other
 *   the master     ── WATCHDOG=1 ──▶ systemd, from a timer of its own loop, twice in WatchdogSec
 *
 * A look counts only what stood still between two looks of a master that turned itself, so neither a suspended host
 * nor a master that was late ends anybody.
 *
 * With `watchdog_core` the process hears SIGABRT first, which leaves a core file where limits allow it; what does not
 * end by that in ABORT_LOOKS looks (it is stopped, or hangs in the kernel) is killed as the others are.
 *
 * A store that is not back in time is a slow disk more often than a fault, so it may take STORE_PATIENCE times as long;
 * workers answer without it meanwhile.
 */
#include "base/clock.h"
#include "cmd/master_state.h"
#include "net/notify.h"

#include <signal.h>
#include <stddef.h>

enum { LOOK_MS = 1000, ABORT_LOOKS = 5, STORE_PATIENCE = 3 };

struct suspect { /* one process, for the time of a look */
    const char *name;
    pid_t pid;
    const struct beat *beat;
    struct beat_look *look;
};

static struct master *master_of_look(struct timer *timer) {
    return (struct master *)((char *)timer - offsetof(struct master, watchdog.look));
}

static unsigned looks_in(uint64_t ms) {
    return ms <= LOOK_MS ? 1 : (unsigned)(ms / LOOK_MS);
}

static void end_suspect(const struct suspect *suspect, unsigned n_looks, bool leaves_core) {
    char doing[BEAT_TEXT_MAX];
    const unsigned n_late = suspect->look->n_still - n_looks; /* looks since it was first found */
    if (n_late == 0)
        log_error("%s stands still for %u s and is ended: pid=%d doing=%s", suspect->name, n_looks * LOOK_MS / 1000,
                  (int)suspect->pid, beat_format(suspect->beat, doing));
    if (!leaves_core || n_late >= ABORT_LOOKS)
        kill(suspect->pid, SIGKILL);
    else if (n_late == 0)
        kill(suspect->pid, SIGABRT);
}

static void look_at(const struct suspect *suspect, const struct conf_settings *set, unsigned patience) {
    const unsigned n_looks = looks_in(set->timeouts.watchdog * patience);
    if (set->timeouts.watchdog > 0 && suspect->pid > 0 &&
        beat_look(suspect->look, suspect->beat, clock_ms(), n_looks))
        end_suspect(suspect, n_looks, set->watchdog_core);
}

static void look_at_workers(const struct generation *generation) {
    for (unsigned i = 0; i < generation->n_workers; i++) {
        struct worker *worker = &generation->workers[i];
        char name[32];
        snprintf(name, sizeof(name), "worker %u", worker->index);
        look_at(&(struct suspect){ name, worker->pid, &worker->counters->beat, &worker->beat_look },
                &generation->conf->set, 1);
    }
}

static void on_look(struct timer *timer) {
    struct master *master = master_of_look(timer);
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        look_at_workers(g);
    struct store_child *store = &master->store;
    if (master->serving != NULL && store->counters != NULL)
        look_at(&(struct suspect){ "the store", store->pid, &store->counters->beat, &store->beat_look },
                &master->serving->conf->set, STORE_PATIENCE);
    timer_set(master->loop, timer, loop_now(master->loop) + LOOK_MS, on_look);
}

/* ---- who watches us */

static void on_notify(struct timer *timer) {
    struct watchdog *watchdog = (struct watchdog *)((char *)timer - offsetof(struct watchdog, notify));
    struct master *master = master_of_look(&watchdog->look);
    notify_send("WATCHDOG=1");
    timer_set(master->loop, timer, loop_now(master->loop) + watchdog->notify_ms, on_notify);
}

int master_start_watchdog(struct master *master) {
    struct watchdog *watchdog = &master->watchdog;
    watchdog->notify_ms = master->options.watchdog_ms / 2;
    int r = timer_set(master->loop, &watchdog->look, loop_now(master->loop) + LOOK_MS, on_look);
    if (r == 0 && master->options.watchdog_ms > 0)
        r = timer_set(master->loop, &watchdog->notify, loop_now(master->loop), on_notify);
    return r;
}

void master_stop_watchdog(struct master *master) {
    timer_cancel(master->loop, &master->watchdog.look);
    timer_cancel(master->loop, &master->watchdog.notify);
}
