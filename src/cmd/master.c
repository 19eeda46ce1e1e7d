/*
 * The master's life: start, watch, reload, drain.
 *
 *   master_new ─▶ first generation starts ─▶ all READY: it serves (READY=1) ─┐
 *        ┌───────────────────────────────────────────────────────────────────┘
 *        ├ a worker dies      a new one into the same slot, with the same sockets; after a growing pause if it
 *        │                    dies again within a second
 *        ├ reload             tables that changed are read, and a second generation starts beside; all READY: it
 *        │                    serves and the old one drains, and the reload is over when all of the old are CLOSED;
 *        │                    else it is killed and forgotten
 *        ├ a table's file     read by a child, handed to the workers of its generation (master_tables.c)
 *        ├ a directory file   opened, validated, handed to the workers of all generations
 *        ├ every few seconds  journals; directories where the kernel does not tell
 *        ├ the store dies     another one is started, and the workers connected to it (store_child.c)
 *        └ SIGTERM, SIGINT    all drain, and idle sessions end; a second signal, or drain_limit, ends the others; after
 *                             the last worker the store ends
 *
 * A generation goes STARTING → SERVING → ENDING, or straight to ENDING when one of its workers dies or does not
 * become ready: then nothing of the new configuration stays, and who asked for the reload hears why. It is freed when
 * its last process was waited for. Who asked for a reload hears of its success only when no old worker accepts any
 * more, so that a connection made then meets the new configuration. The first generation has nothing to fall back on:
 * if it fails, the service ends with an error, and what supervises us decides.
 *
 * Rejected: changing the configuration of running workers (each option would need a way to change in the middle of a
 * session), and starting the new workers only after the old have ended (clients would wait for drain_limit).
 */
#include "cmd/master.h"

#include "base/clock.h"
#include "cmd/host.h"
#include "cmd/master_state.h"
#include "journal/files.h"
#include "net/notify.h"
#include "net/tls_tickets.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    JOURNAL_TICKS = 2,
    START_LIMIT_MS = 60000,
    KILL_AFTER_MS = 5000,
    SHORT_LIFE_MS = 1000, /* a worker that lives less twice in a row is started again after a pause */
    FIRST_PAUSE_MS = 100,
    LONGEST_PAUSE_MS = 30000,
    CLOSED_LIMIT_MS = 5000, /* for an old worker to say that it accepts no more: a stopped process never will */
};

static struct master *master_of_tick(struct timer *timer) {
    return (struct master *)((char *)timer - offsetof(struct master, tick));
}

/* ---- generations */

static void remove_generation(struct master *master, struct generation *generation) {
    struct generation **at = &master->generations;
    while (*at != generation)
        at = &(*at)->next;
    *at = generation->next;
    if (master->serving == generation)
        master->serving = NULL;
    master_forget_tables(master, generation);
    generation_free(generation);
}

static void finish_if_empty(struct master *master) {
    if (master->generations != NULL || (master->n_stops == 0 && master->exit_code == 0))
        return;
    bool is_store_over = store_child_stop(&master->store); /* what workers said last is kept, in both */
    if (!journals_stop(&master->journals) || !is_store_over)
        return;
    log_info("stopped");
    master->is_done = true;
    loop_stop(master->loop);
}

static void on_ending_limit(struct timer *timer) {
    struct generation *generation = (struct generation *)((char *)timer - offsetof(struct generation, limit));
    int signo = generation->n_signals++ == 0 ? SIGQUIT : SIGKILL;
    log_warning("%u workers did not end in time: sending %s", generation_running(generation),
        signo == SIGQUIT ? "SIGQUIT" : "SIGKILL");
    generation_signal(generation, signo);
    timer_set(generation->loop, &generation->limit, loop_now(generation->loop) + KILL_AFTER_MS, on_ending_limit);
}

/* Ends a generation; its workers may have until `limit_ms` from now. */
static void end_generation(struct master *master, struct generation *generation, uint64_t limit_ms) {
    if (generation->state != GENERATION_ENDING)
        generation_drain(generation);
    generation->state = GENERATION_ENDING;
    if (generation_running(generation) == 0)
        remove_generation(master, generation);
    else if (timer_set(master->loop, &generation->limit, loop_now(master->loop) + limit_ms, on_ending_limit) != 0)
        generation_signal(generation, SIGQUIT);
}

static void set_last_reload(struct master *master, bool failed, const char *text) {
    free(master->last_reload);
    master->last_reload = strdup(text);
    master->last_reload_failed = failed;
    master->last_reload_ms = clock_wall_ms();
}

static void tell_reload(struct master *master, const char *error, struct str text) {
    uint64_t ticket = master->ticket;
    master->ticket = 0;
    if (ticket != 0)
        control_answer(master->control, ticket, error, text);
}

/* The first line of each error in a list for people, without the lines quoted from the file. */
static void log_details(struct str details) {
    while (details.len > 0) {
        const char *end = memchr(details.at, '\n', details.len);
        struct str line = str_head(details, end != NULL ? (size_t)(end - details.at) : details.len);
        if (line.len > 0 && line.at[0] != ' ')
            log_error("%.*s", STR_ARG(line));
        details = str_from(details, end != NULL ? line.len + 1 : line.len);
    }
}

/* Logs `details` too: who reloads by a signal reads them nowhere else. */
static void refuse_reload(struct master *master, const char *reason, struct str details) {
    char text[512];
    snprintf(text, sizeof(text), "refused, the old configuration stays: %s", reason);
    log_details(details);
    log_error("reload %s", text);
    set_last_reload(master, true, text);
    tell_reload(master, text, details);
    notify_send("READY=1");
}

static void reload_if_asked_meanwhile(struct master *master) {
    if (!master->reload_again)
        return;
    master->reload_again = false;
    master_reload(master, 0);
}

/* The candidate will not serve. */
static void abandon(struct master *master, const char *reason) {
    struct generation *candidate = master->candidate;
    master->candidate = NULL;
    sockets_rollback(&master->sockets);
    if (master->serving != NULL) {
        refuse_reload(master, reason, STR(""));
    } else if (master->n_stops == 0) {
        log_error("the service does not start: %s", reason);
        master->exit_code = EXIT_FAILURE;
    }
    generation_signal(candidate, SIGKILL);
    end_generation(master, candidate, KILL_AFTER_MS);
    finish_if_empty(master);
    if (master->serving != NULL)
        reload_if_asked_meanwhile(master);
}

static void on_starting_limit(struct timer *timer) {
    struct generation *generation = (struct generation *)((char *)timer - offsetof(struct generation, limit));
    abandon(generation->arg, "its workers were not ready within a minute");
}

/* The number of the next process: counted up, without those that are in use. */
static unsigned take_process_number(struct master *master) {
    for (unsigned tries = 0; tries < 256; tries++) {
        unsigned number = master->next_process++ & 255;
        bool is_used = false;
        for (const struct generation *g = master->generations; g != NULL; g = g->next)
            for (unsigned i = 0; i < g->n_workers; i++)
                is_used |= g->workers[i].pid > 0 && g->workers[i].process == number;
        if (!is_used)
            return number;
    }
    return master->next_process++ & 255; /* 256 processes at once: ids may meet, and time still tells them apart */
}

static int start_worker(struct master *master, struct worker *worker) {
    unsigned process = take_process_number(master);
    worker->generation->id_floor_ms = id_clock_start(&master->ids, clock_wall_ms());
    int journal_fd, r = journals_connect(&master->journals, worker, process, &journal_fd);
    if (r == 0)
        r = generation_start_worker(worker->generation, worker->index, process, &master->sockets, journal_fd,
                                    master->options.run_worker);
    if (journal_fd >= 0)
        close(journal_fd);
    if (r != 0)
        log_error("worker %u cannot be started: %s", worker->index, strerror(-r));
    else
        master_connect_store(master);
    return r;
}

static void raise_limits(const struct conf *conf) {
    unsigned long needed, had = host_raise_files(conf, &needed);
    if (had != 0)
        log_warning(
            "only %lu open files a process are allowed, %lu may be needed: raise LimitNOFILE, or lower connections",
            had, needed);
}

static void on_ready(void *arg, struct worker *worker);
static void on_closed(void *arg, struct worker *worker);

static int start_all(struct master *master, struct generation *generation, struct buf *error) {
    master_look_at_directories(generation);
    int r = master_note_tables(master, generation);
    if (r < 0)
        buf_putf(error, "tables cannot be shared: %s", strerror(-r));
    for (unsigned i = 0; i < generation->n_workers && r == 0; i++) {
        r = start_worker(master, &generation->workers[i]);
        if (r != 0)
            buf_putf(error, "a worker cannot be started: %s", strerror(-r));
    }
    if (r != 0)
        return r;
    return timer_set(master->loop, &generation->limit, loop_now(master->loop) + START_LIMIT_MS, on_starting_limit);
}

/*
 * Makes a generation of `take_conf` and starts its workers. On failure `error` says why, and what was started will
 * end. Returns 0 or -errno.
 */
static int begin(struct master *master, struct conf *take_conf, struct buf *error) {
    unsigned n_workers = host_workers(take_conf);
    unsigned n_slots = n_workers > master->sockets.n_slots ? n_workers : master->sockets.n_slots;
    struct generation *generation;
    int r = generation_new(master->loop, take_conf, n_workers, n_slots, error, &generation);
    if (r != 0)
        return r;
    generation->on_ready = on_ready;
    generation->on_closed = on_closed;
    generation->arg = master;
    generation->history = master->history;
    generation->next = master->generations;
    master->generations = generation;
    const struct conf_listener *listener;
    r = host_make_folders(generation->conf, error);
    if (r == 0 && (r = sockets_prepare(&master->sockets, generation->conf, n_slots, &listener)) != 0) {
        char text[CONF_LISTENER_TEXT_MAX];
        buf_putf(error, "cannot listen on %s: %s", conf_listener_format(listener, text), strerror(-r));
    }
    if (r == 0) {
        raise_limits(generation->conf);
        if (master->serving == NULL) /* at a reload the store changes with what serves */
            store_child_configure(&master->store, generation->conf);
        r = start_all(master, generation, error);
    }
    if (r == 0) {
        master->candidate = generation;
        return 0;
    }
    sockets_rollback(&master->sockets);
    generation_signal(generation, SIGKILL);
    end_generation(master, generation, KILL_AFTER_MS);
    return r;
}

/* ---- serving */

static void log_started(const struct generation *generation, const char *what) {
    char list[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < generation->conf->n_listeners && len + CONF_LISTENER_TEXT_MAX + 2 < sizeof(list); i++) {
        char text[CONF_LISTENER_TEXT_MAX];
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i > 0 ? ", " : "",
                                conf_listener_format(&generation->conf->listeners[i], text));
    }
    log_info("%s: postern %s, %u workers, listening on %s", what, POSTERN_VERSION, generation->n_workers, list);
}

static void reopen_log(const struct conf_settings *set) {
    log_close();
    int r = log_open("postern/master", set->log.target, set->log.format, set->log.level);
    if (r != 0)
        log_warning("log: %s", strerror(-r));
}

/* `old` was replaced, and accepts no more or does not say so in time. */
static void finish_reload(struct master *master, struct generation *old) {
    char text[128];
    unsigned n_workers = master->serving->n_workers;
    int len = snprintf(text, sizeof(text),
        "the new configuration is in use by %u workers; older ones end with their sessions\n", n_workers);
    old->is_leaving = false;
    log_info("reload ok: %u new workers serve, %u old ones drain", n_workers, generation_running(old));
    set_last_reload(master, false, "ok");
    if (old->ticket != 0)
        control_answer(master->control, old->ticket, NULL, (struct str){ text, (size_t)len });
    if (master->candidate == NULL && master->n_stops == 0)
        notify_send("READY=1");
}

static void finish_reload_if_closed(struct master *master, struct generation *old) {
    if (old->is_leaving && !generation_accepts(old))
        finish_reload(master, old);
}

static void on_closed(void *arg, struct worker *worker) {
    finish_reload_if_closed(arg, worker->generation);
}

/* The new workers serve: `old` ends, and the reload is over when it accepts no more. */
static void begin_leaving(struct master *master, struct generation *old) {
    old->is_leaving = true;
    old->leaving_ms = loop_now(master->loop);
    old->ticket = master->ticket;
    master->ticket = 0;
    finish_reload_if_closed(master, old); /* all its workers have just died */
    end_generation(master, old, old->conf->set.timeouts.drain_limit + KILL_AFTER_MS);
}

static void finish_late_reload(struct master *master, struct generation *old) {
    if (!old->is_leaving || loop_now(master->loop) - old->leaving_ms < CLOSED_LIMIT_MS)
        return;
    log_warning("old workers do not say that they accept no more");
    finish_reload(master, old);
}

/* All workers of the candidate are ready: it serves, and the one before it ends. */
static void promote(struct master *master) {
    struct generation *old = master->serving, *now = master->candidate;
    master->candidate = NULL;
    master->serving = now;
    now->state = GENERATION_SERVING;
    timer_cancel(master->loop, &now->limit);
    int r = sockets_commit(&master->sockets, now->conf, now->n_slots);
    if (r != 0)
        log_warning(
            "a listener keeps its old mode, or cannot steer clients to workers (they are handed over): %s",
            strerror(-r));
    if (old != NULL) {
        if (strcmp(old->conf->set.control_socket, now->conf->set.control_socket) != 0)
            log_warning("control_socket is changed by a restart only; it stays %s", old->conf->set.control_socket);
        reopen_log(&now->conf->set);
        begin_leaving(master, old);
    }
    store_child_configure(&master->store, now->conf);
    master_watch_directories(master);
    journals_round(&master->journals, master->generations);
    log_started(now, old == NULL ? "started" : "serving");
    if (old == NULL)
        notify_send("READY=1");
}

static void on_ready(void *arg, struct worker *worker) {
    struct master *master = arg;
    log_info("worker %u ready: pid=%d process=%u", worker->index, (int)worker->pid, worker->process);
    if (worker->generation != master->candidate || !generation_is_ready(master->candidate))
        return;
    promote(master);
    reload_if_asked_meanwhile(master);
}

/* ---- a worker dies */

static void on_pause_end(struct timer *timer);

static void replace_later(struct master *master, struct worker *worker) {
    worker->pause_ms = worker->pause_ms == 0 ? FIRST_PAUSE_MS : worker->pause_ms * 2;
    if (worker->pause_ms > LONGEST_PAUSE_MS)
        worker->pause_ms = LONGEST_PAUSE_MS;
    if (timer_set(master->loop, &worker->pause, loop_now(master->loop) + worker->pause_ms, on_pause_end) != 0)
        log_error("worker %u is not started again: no memory", worker->index);
}

static void on_pause_end(struct timer *timer) {
    struct worker *worker = (struct worker *)((char *)timer - offsetof(struct worker, pause));
    struct master *master = worker->generation->arg;
    if (start_worker(master, worker) != 0)
        replace_later(master, worker);
}

static void replace(struct master *master, struct worker *worker, uint64_t lived_ms) {
    master->n_deaths++;
    master->last_death_ms = loop_now(master->loop);
    if (lived_ms >= SHORT_LIFE_MS)
        worker->n_short_lives = worker->pause_ms = 0;
    bool is_storm = lived_ms < SHORT_LIFE_MS && worker->n_short_lives++ > 0;
    if (is_storm || start_worker(master, worker) != 0)
        replace_later(master, worker);
    if (worker->pid > 0)
        log_info("worker %u replaced: pid=%d process=%u", worker->index, (int)worker->pid, worker->process);
    else
        log_warning("worker %u is started again in %u ms", worker->index, worker->pause_ms);
}

static void log_end(const struct worker *worker, int status) {
    int pid = (int)worker->pid;
    if (WIFSIGNALED(status))
        log_warning(
            "worker %u died: pid=%d signal=%d (%s)", worker->index, pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 || worker->generation->state != GENERATION_ENDING)
        log_warning("worker %u died: pid=%d exit=%d", worker->index, pid, WEXITSTATUS(status));
    else
        log_info("worker %u ended: pid=%d", worker->index, pid);
}

static void on_worker_end(struct master *master, struct worker *worker, int status) {
    struct generation *generation = worker->generation;
    uint64_t lived_ms = worker_age_ms(worker);
    log_end(worker, status);
    summary_keep(master, worker);
    worker_ended(worker);
    journals_worker_ended(&master->journals);
    switch (generation->state) {
    case GENERATION_STARTING:
        if (generation == master->candidate)
            abandon(master, "a new worker died before it was ready; the lines above say why");
        break;
    case GENERATION_SERVING:
        replace(master, worker, lived_ms);
        break;
    case GENERATION_ENDING:
        finish_reload_if_closed(master, generation);
        if (generation_running(generation) == 0)
            remove_generation(master, generation);
        finish_if_empty(master);
        break;
    }
}

static struct worker *find_worker(struct master *master, pid_t pid) {
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++)
            if (g->workers[i].pid == pid)
                return &g->workers[i];
    return NULL;
}

static void on_child(int signo, void *arg) {
    struct master *master = arg;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct worker *worker = find_worker(master, pid);
        if (worker != NULL)
            on_worker_end(master, worker, status);
        else if (store_child_ended(&master->store, pid, status))
            finish_if_empty(master);
        else if (!master_table_read(master, pid, status) && journals_child_ended(&master->journals, pid, status))
            finish_if_empty(master);
    }
}

/* ---- reload */

static void load_and_begin(struct master *master) {
    struct diag_list diag;
    struct conf *conf;
    diag_init(&diag);
    int r = conf_load_again(master->options.conf_path, master->serving->conf, &diag, &conf);
    if (r != 0) {
        char reason[128];
        snprintf(reason, sizeof(reason), r == -EINVAL ? "errors in the configuration: %u" : "it cannot be loaded",
            diag.errors);
        refuse_reload(master, reason, buf_str(&diag.text));
    } else {
        struct buf error;
        buf_init(&error, 4096);
        if (diag.warnings > 0)
            log_warning("warnings in the configuration: %u; postern check shows them", diag.warnings);
        r = begin(master, conf, &error);
        if (r != 0 && buf_putc(&error, '\0') == 0)
            refuse_reload(master, error.at, STR(""));
        buf_deinit(&error);
    }
    diag_deinit(&diag);
}

void master_reload(struct master *master, uint64_t ticket) {
    if (master->n_stops > 0 || master->candidate != NULL || master->serving == NULL || master->reload_reads) {
        const char *why = master->n_stops > 0 ? "the service is stopping" : "a reload is under way";
        log_warning("reload: %s", why);
        if (ticket != 0)
            control_answer(master->control, ticket, why, STR(""));
        else
            master->reload_again = master->n_stops == 0;
        return;
    }
    char state[64];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_us());
    notify_send(state);
    log_info("reload of %s", master->options.conf_path);
    master->ticket = ticket;
    master->reload_reads = master_read_for_reload(master);
    if (!master->reload_reads)
        load_and_begin(master);
}

void master_go_on_reloading(struct master *master) {
    master->reload_reads = false;
    load_and_begin(master);
    if (master->candidate == NULL)
        reload_if_asked_meanwhile(master); /* it was refused */
}

static void on_reload_signal(int signo, void *arg) {
    master_reload(arg, 0);
}

/* ---- the end */

static void stop_at_once(struct master *master) {
    log_warning("stopping at once");
    for (struct generation *g = master->generations; g != NULL; g = g->next) {
        generation_signal(g, SIGQUIT);
        g->n_signals = 1;
        timer_set(master->loop, &g->limit, loop_now(master->loop) + SHORT_LIFE_MS, on_ending_limit);
    }
}

/*
 * A reload lets sessions go on as long as they like, up to drain_limit; a stop, told by SIGTERM, ends those without a
 * mail in hand, in older generations too: an idle client must not hold up a restart.
 */
static void drain_all(struct master *master) {
    for (struct generation *g = master->generations, *next; g != NULL; g = next) {
        next = g->next;
        generation_signal(g, SIGTERM);
        if (g->state != GENERATION_ENDING)
            end_generation(master, g, g->conf->set.timeouts.drain_limit + KILL_AFTER_MS);
    }
}

static void on_stop_signal(int signo, void *arg) {
    struct master *master = arg;
    if (master->n_stops++ > 0) {
        stop_at_once(master);
        return;
    }
    master->reload_reads = false;
    notify_send("STOPPING=1");
    log_info("draining: %s", signo == SIGTERM ? "SIGTERM" : "SIGINT");
    tell_reload(master, "the service is stopping", STR(""));
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        if (g->is_leaving)
            finish_reload(master, g);
    if (master->candidate != NULL) {
        generation_signal(master->candidate, SIGKILL);
        master->candidate = NULL;
    }
    master_stop_watching(master);
    drain_all(master);
    sockets_close(&master->sockets); /* new clients are refused by the kernel instead of waiting for nobody */
    finish_if_empty(master);
}

static void on_tick(struct timer *timer) {
    struct master *master = master_of_tick(timer);
    for (struct generation *g = master->generations; g != NULL; g = g->next) {
        if (g->tls != NULL) /* so that a worker forked later finds no seed of older days */
            tls_tickets_turn(g->tls, loop_now(master->loop));
        generation_send_due_directories(g);
        finish_late_reload(master, g);
        if (master->inotify.fd < 0)
            master_look_at_directories(g);
    }
    id_clock_note(&master->ids, clock_wall_ms());
    sockets_keep(&master->sockets);
    master_connect_store(master);
    summary_note_growth(master);
    master_look_at_tables(master);
    if (master->serving != NULL)
        master_warn_of_old_directories(master->serving);
    if (++master->n_ticks % JOURNAL_TICKS == 0)
        journals_round(&master->journals, master->generations);
    timer_set(master->loop, &master->tick, loop_now(master->loop) + MASTER_TICK_MS, on_tick);
}

/* ---- from start to end */

static void inherit_sockets(struct master *master, const struct conf *conf) {
    const struct master_options *options = &master->options;
    int taken = sockets_inherit(&master->sockets, options->first_listen_fd, options->n_listen_fds);
    if (taken != options->n_listen_fds)
        log_warning("of %d inherited sockets %d are listening TCP sockets", options->n_listen_fds, taken);
    for (size_t i = 0; i < master->sockets.n; i++) {
        char text[ENDPOINT_TEXT_MAX];
        const struct endpoint *at = &master->sockets.at[i]->at;
        bool is_named = false;
        for (size_t k = 0; k < conf->n_listeners; k++)
            is_named |= conf_listener_is_at(&conf->listeners[k], at, NULL);
        if (!is_named)
            log_warning("inherited socket %s is no listener of the configuration: not used", endpoint_format(at, text));
    }
}

static int set_signals(struct master *master) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    int r = loop_on_signal(master->loop, SIGCHLD, on_child, master);
    r = r == 0 ? loop_on_signal(master->loop, SIGHUP, on_reload_signal, master) : r;
    r = r == 0 ? loop_on_signal(master->loop, SIGTERM, on_stop_signal, master) : r;
    return r == 0 ? loop_on_signal(master->loop, SIGINT, on_stop_signal, master) : r;
}

static int open_control(struct master *master, const struct conf *conf, struct buf *error) {
    const char *path = conf->set.control_socket;
    int r = host_make_folders(conf, error);
    if (r != 0)
        return r;
    r = control_open(master->loop, path, master_on_request, master, &master->control);
    if (r == -EADDRINUSE)
        buf_putf(error, "another postern answers on %s", path);
    else if (r != 0)
        buf_putf(error, "control socket %s: %s", path, strerror(-r));
    return r;
}

static void flush_log(void *arg) {
    log_flush();
}

/* Of the service's earlier lives. */
static void note_ids(struct master *master, const char *journal_path) {
    const uint64_t newest_ms = journal_path != NULL ? journal_files_newest_ms(journal_path) : 0;
    id_clock_note(&master->ids, newest_ms);
    if (newest_ms > clock_wall_ms())
        log_warning("the clock was set back, or the journal's newest file is not of now: ids go on from its time");
}

static int open_all(struct master *master, struct conf *take_conf, struct buf *error) {
    int r = loop_new(&master->loop);
    if (r == 0)
        r = history_new(&master->history);
    if (r == 0) {
        loop_on_turn_end(master->loop, flush_log, NULL);
        master_init_store(master);
        journals_init(&master->journals, master->loop, master_forget_keys, master);
        r = set_signals(master);
    }
    if (r == 0)
        r = open_control(master, take_conf, error);
    if (r != 0) {
        conf_free(take_conf);
        return r;
    }
    note_ids(master, take_conf->set.journal.path);
    inherit_sockets(master, take_conf);
    r = begin(master, take_conf, error);
    if (r == 0)
        r = timer_set(master->loop, &master->tick, loop_now(master->loop) + MASTER_TICK_MS, on_tick);
    return r == 0 ? master_start_watchdog(master) : r;
}

int master_new(const struct master_options *options, struct conf *take_conf, struct master **ret_master) {
    struct master *master = calloc(1, sizeof(*master));
    if (master == NULL) {
        conf_free(take_conf);
        return -ENOMEM;
    }
    *master = (struct master){ .options = *options, .inotify.fd = -1, .started_ms = clock_wall_ms() };
    struct buf error;
    buf_init(&error, 4096);
    int r = open_all(master, take_conf, &error);
    if (r != 0) {
        log_error("the service does not start: %.*s", STR_ARG(error.len > 0 ? buf_str(&error) : str_of(strerror(-r))));
        log_flush();
        master_free(master);
    } else {
        *ret_master = master;
    }
    buf_deinit(&error);
    return r;
}

int master_run(struct master *master) {
    int r = master->is_done ? 0 : loop_run(master->loop);
    if (r != 0)
        log_error("the master's loop: %s", strerror(-r));
    log_flush();
    return r != 0 ? EXIT_FAILURE : master->exit_code;
}

static void kill_all(struct master *master) {
    for (struct generation *g = master->generations, *next; g != NULL; g = next) {
        next = g->next;
        generation_signal(g, SIGKILL);
        for (unsigned i = 0; i < g->n_workers; i++)
            if (g->workers[i].pid > 0)
                waitpid(g->workers[i].pid, NULL, 0);
        generation_free(g);
    }
    master->generations = NULL;
}

void master_free(struct master *take_master) {
    if (take_master == NULL)
        return;
    if (take_master->loop != NULL) {
        kill_all(take_master);
        master_end_reading(take_master);
        store_child_deinit(&take_master->store);
        journals_deinit(&take_master->journals);
        master_stop_watching(take_master);
        timer_cancel(take_master->loop, &take_master->tick);
        master_stop_watchdog(take_master);
        control_close(take_master->control);
        loop_free(take_master->loop);
    }
    sockets_close(&take_master->sockets);
    history_free(take_master->history);
    free(take_master->last_reload);
    free(take_master);
}

struct loop *master_loop(struct master *master) {
    return master->loop;
}

bool master_is_done(const struct master *master) {
    return master->is_done;
}
