/*
 * store_child: see the header.
 *
 * Nobody waits for it: the service starts, reloads and serves whether or not the store does, and what workers ask
 * meanwhile is unavailable. A process that dies is followed by another at once, or after a growing pause if it had not
 * lived for a second; so a store that cannot run costs a few log lines a minute.
 *
 * Its options are compared whole at each reload, and a change of any starts it again. The greylist's settings alone are
 * sent to the one that runs, since nobody should go unasked because a delay was changed; from then on they count for
 * the workers of all generations. Workers never send settings: one that was taken over would set them for everybody.
 */
#include "cmd/store_child.h"

#include "cmd/child.h"
#include "cmd/host.h"
#include "facts/gather.h"
#include "session/worker.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SHORT_LIFE_MS = 1000,
    FIRST_PAUSE_MS = 100,
    LONGEST_PAUSE_MS = 30000,
    END_LIMIT_MS = 5000, /* to finish its batch, sync and checkpoint */
};

/* ---- options */

static bool is_same_text(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const struct store_options *a, const struct store_options *b) {
    return is_same_text(a->path, b->path) && is_same_text(a->postgresql, b->postgresql) &&
           is_same_text(a->module, b->module) && is_same_text(a->user, b->user) &&
           a->is_synced_always == b->is_synced_always && a->timeout_ms == b->timeout_ms &&
           a->log_target == b->log_target && a->log_format == b->log_format &&
           a->log_level == b->log_level && a->may_dump_core == b->may_dump_core;
}

static const char *copy(struct arena *arena, const char *text) {
    return text == NULL ? NULL : arena_strdup(arena, str_of(text));
}

static struct store_options options_of(const struct conf *conf) {
    const struct conf_settings *set = &conf->set;
    return (struct store_options){
        .path = set->store.path, .postgresql = set->store.postgresql, .module = set->store.module,
        .user = geteuid() == 0 ? set->user : NULL, .is_synced_always = set->store.sync == CONF_STORE_ALWAYS,
        .timeout_ms = set->store.timeout, .greylist = gather_greylist_settings(conf),
        .log_target = set->log.target, .log_format = set->log.format,
        .log_level = set->log.level, .may_dump_core = set->watchdog_core,
    };
}

/* Without memory for them there is no store until the next reload. */
static void keep_options(struct store_child *child, const struct store_options *options) {
    arena_reset(&child->arena);
    child->options = *options;
    child->options.path = copy(&child->arena, options->path);
    child->options.postgresql = copy(&child->arena, options->postgresql);
    child->options.module = copy(&child->arena, options->module);
    child->options.user = copy(&child->arena, options->user);
    bool is_whole = is_same(&child->options, options);
    if (!is_whole) {
        log_error("the store is not started: no memory");
        child->options = (struct store_options){ 0 };
    }
}

/* ---- starting */

static void make_folder(const struct store_child *child) {
    char *path = strdup(child->options.path);
    if (path == NULL)
        return;
    const char *folder = dirname(path);
    int r = host_make_folder(folder, 0700, child->options.user);
    if (r < 0)
        log_error("store folder %s cannot be made: %s", folder, strerror(-r));
    free(path);
}

static _Noreturn void be_store(const struct store_child *child, int master_fd) {
    const struct store_options *options = &child->options;
    const struct conf_settings log_settings = {
        .log = { .target = options->log_target, .format = options->log_format, .level = options->log_level } };
    const struct store_setup setup = {
        .path = options->path, .is_synced_always = options->is_synced_always, .postgresql = options->postgresql,
        .module = options->module, .timeout_ms = options->timeout_ms, .user = options->user, .master_fd = master_fd,
        .counters = child->counters, .greylist = options->greylist, .may_dump_core = options->may_dump_core,
    };
    int kept[] = { 0, 1, 2, master_fd };
    child->forget(child->arg);
    child_begin(kept, sizeof(kept) / sizeof(*kept), &log_settings, "postern/store");
    int code = child->run(&setup);
    log_flush();
    _exit(code);
}

static void on_message(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds);

static void close_channel(struct store_child *child) {
    if (child->channel_fd < 0)
        return;
    channel_stop(&child->channel);
    close(child->channel_fd);
    child->channel_fd = -1;
}

static int share_counters(struct store_child *child) {
    if (child->counters == NULL) {
        void *memory = mmap(NULL, sizeof(*child->counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return -errno;
        child->counters = memory;
    }
    memset(child->counters, 0, sizeof(*child->counters));
    return 0;
}

static int fork_store(struct store_child *child, int ends[2]) {
    int r = share_counters(child);
    if (r == 0)
        r = channel_start(&child->channel, child->loop, ends[0], on_message, child);
    if (r < 0)
        return r;
    child->channel_fd = ends[0];
    log_flush(); /* else the child would say it again */
    pid_t pid = fork();
    if (pid == 0)
        be_store(child, ends[1]);
    if (pid < 0) {
        r = -errno;
        channel_stop(&child->channel);
        child->channel_fd = -1;
        return r;
    }
    child->pid = pid;
    return 0;
}

static int start(struct store_child *child) {
    int ends[2], r = channel_pair(ends);
    if (r < 0)
        return r;
    make_folder(child);
    r = fork_store(child, ends);
    close(ends[1]);
    if (r < 0) {
        close(ends[0]);
        return r;
    }
    child->started_ms = loop_now(child->loop);
    child->is_ready = child->is_ending = false;
    child->beat_look = (struct beat_look){ 0 };
    child->on_started(child->arg);
    return 0;
}

static void start_or_later(struct store_child *child);

static void on_pause_end(struct timer *timer) {
    start_or_later((struct store_child *)((char *)timer - offsetof(struct store_child, pause)));
}

static void start_later(struct store_child *child) {
    child->pause_ms = child->pause_ms == 0 ? FIRST_PAUSE_MS : child->pause_ms * 2;
    if (child->pause_ms > LONGEST_PAUSE_MS)
        child->pause_ms = LONGEST_PAUSE_MS;
    if (timer_set(child->loop, &child->pause, loop_now(child->loop) + child->pause_ms, on_pause_end) < 0)
        log_error("the store is not started again: no memory");
    else
        log_warning("the store is started again in %u ms", child->pause_ms);
}

static void start_or_later(struct store_child *child) {
    if (child->pid > 0 || child->options.path == NULL || child->is_stopped)
        return;
    int r = start(child);
    if (r == 0)
        return;
    log_error("the store cannot be started: %s", strerror(-r));
    start_later(child);
}

/* ---- ending */

static void on_limit(struct timer *timer) {
    struct store_child *child = (struct store_child *)((char *)timer - offsetof(struct store_child, limit));
    log_warning("the store did not end in time: sending SIGKILL");
    kill(child->pid, SIGKILL);
}

static void end(struct store_child *child) {
    if (child->is_ending)
        return;
    child->is_ending = true;
    kill(child->pid, SIGTERM);
    if (timer_set(child->loop, &child->limit, loop_now(child->loop) + END_LIMIT_MS, on_limit) < 0)
        kill(child->pid, SIGKILL);
}

static void on_message(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct store_child *child = channel->arg;
    struct store_order order = { 0 };
    for (size_t i = 0; i < n_fds; i++)
        close(take_fds[i]); /* it sends none */
    if (len == 0)
        channel_stop(channel); /* it is ending: SIGCHLD tells how */
    if (len == sizeof(order))
        memcpy(&order, message, sizeof(order));
    if (order.type == STORE_ORDER_READY) {
        child->is_ready = true;
        log_info("store ready: pid=%d", (int)child->pid);
    } else if (order.type == STORE_ORDER_RENEW && !child->is_ending) {
        log_info("the store is started anew: a file by which it finds its server was replaced");
        end(child);
    }
}

static void log_end(const struct store_child *child, int status) {
    if (WIFSIGNALED(status))
        log_warning("store died: pid=%d signal=%d (%s)", (int)child->pid, WTERMSIG(status),
                    strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 || !child->is_ending)
        log_warning("store died: pid=%d exit=%d", (int)child->pid, WEXITSTATUS(status));
    else
        log_info("store ended: pid=%d", (int)child->pid);
}

bool store_child_ended(struct store_child *child, pid_t pid, int status) {
    if (pid != child->pid)
        return false;
    const bool is_planned = child->is_ending;
    const uint64_t now_ms = loop_now(child->loop);
    log_end(child, status);
    close_channel(child);
    timer_cancel(child->loop, &child->limit);
    child->pid = 0;
    child->is_ready = child->is_ending = false;
    if (!is_planned) {
        child->n_deaths++;
        child->last_death_ms = now_ms;
    }
    bool is_short = !is_planned && now_ms - child->started_ms < SHORT_LIFE_MS;
    if (!is_short)
        child->pause_ms = 0;
    if (is_short && child->options.path != NULL && !child->is_stopped)
        start_later(child);
    else
        start_or_later(child);
    return true;
}

/* ---- for the master */

void store_child_init(struct store_child *child, struct loop *loop, int (*run)(const struct store_setup *setup),
                      void (*on_started)(void *arg), void (*forget)(void *arg), void *arg) {
    *child = (struct store_child){ .loop = loop, .run = run, .on_started = on_started, .forget = forget, .arg = arg,
                                   .channel_fd = -1 };
}

/* What does not get through starts it again, with them. */
static void send_settings(struct store_child *child, const struct greylist_settings *greylist) {
    const struct store_order order = { .type = STORE_ORDER_SETTINGS, .greylist = *greylist };
    if (memcmp(&child->options.greylist, greylist, sizeof(*greylist)) == 0)
        return;
    child->options.greylist = *greylist;
    if (child->pid > 0 && !child->is_ending
        && (child->channel_fd < 0 || channel_send(child->channel_fd, &order, sizeof(order), NULL, 0) < 0))
        end(child);
}

void store_child_configure(struct store_child *child, const struct conf *conf) {
    const struct store_options options = options_of(conf);
    if (!child->is_stopped && is_same(&options, &child->options))
        send_settings(child, &options.greylist);
    if (child->is_stopped || is_same(&options, &child->options) || (options.path == NULL && !child->options.path))
        return;
    keep_options(child, &options);
    timer_cancel(child->loop, &child->pause);
    child->pause_ms = 0;
    if (child->pid > 0)
        end(child); /* the next one starts when it has ended */
    else
        start_or_later(child);
}

int store_child_connect(struct store_child *child, int worker_channel) {
    const struct store_order order = { .type = STORE_ORDER_PEER };
    const struct worker_message message = { .type = WORKER_STORE };
    int ends[2];
    if (child->channel_fd < 0 || child->is_ending)
        return 0; /* all are connected when the next one starts */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int r = channel_send(child->channel_fd, &order, sizeof(order), &ends[0], 1);
    if (r == 0)
        r = channel_send(worker_channel, &message, sizeof(message), &ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    return r;
}

bool store_child_stop(struct store_child *child) {
    child->is_stopped = true;
    timer_cancel(child->loop, &child->pause);
    if (child->pid > 0)
        end(child);
    return child->pid == 0;
}

void store_child_deinit(struct store_child *child) {
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
        child->pid = 0;
    }
    close_channel(child);
    timer_cancel(child->loop, &child->pause);
    timer_cancel(child->loop, &child->limit);
    arena_reset(&child->arena);
    if (child->counters != NULL)
        munmap(child->counters, sizeof(*child->counters));
    child->counters = NULL;
}

const char *store_child_state(const struct store_child *child) {
    if (child->pid == 0)
        return child->options.path != NULL && !child->is_stopped ? "waiting" : NULL;
    return child->is_ending ? "ending" : child->is_ready ? "ready" : "starting";
}
