/*
 * Who writes the journal, when does a worker get a new file, and who compresses the old one?
 *
 * The master opens files, the keeper writes them, a child compresses them. A file is live while somebody has it open
 * (journal/files.h), so what is rotated while its keeper still waits for the disk is compressed in a later round.
 *
 * A keeper that dies takes with it what it had read and not written, at most the beginning of a line. Workers notice
 * by EPIPE, gather, and get new pipes with the next round. Rounds are some seconds apart, so a keeper that cannot run
 * costs a few log lines a minute. It is stopped by the end of its channel, not by a signal: what workers said last is
 * still in their pipes.
 *
 * The tidier runs at nice 19 and keeps no descriptor: a listening socket held open by a compressor would survive the
 * master and take clients. One at a time; what becomes due meanwhile waits.
 */
#include "cmd/journals.h"

#include "base/clock.h"
#include "cmd/child.h"
#include "journal/files.h"
#include "journal/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_LIMIT_MS = 5000 /* for the keeper to write what stands in its pipes */ };

/* ---- the keeper */

static void close_channel(struct journals *journals) {
    if (journals->channel_fd < 0)
        return;
    channel_stop(&journals->channel);
    close(journals->channel_fd);
    journals->channel_fd = -1;
}

static void on_message(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    (void)message;
    for (size_t i = 0; i < n_fds; i++)
        close(take_fds[i]); /* it sends none */
    if (len == 0)
        channel_stop(channel); /* it is ending: SIGCHLD tells how */
}

static _Noreturn void be_keeper(const struct journals *journals, const struct conf_settings *set, int master_fd) {
    const struct keeper_setup setup = { .user = geteuid() == 0 ? set->user : NULL, .master_fd = master_fd };
    int kept[] = { 0, 1, 2, master_fd };
    journals->forget(journals->arg);
    child_begin(kept, sizeof(kept) / sizeof(*kept), set, "postern/journal");
    _exit(keeper_run(&setup));
}

static int fork_keeper(struct journals *journals, const struct conf_settings *set, const int ends[2]) {
    int r = channel_start(&journals->channel, journals->loop, ends[0], on_message, journals);
    if (r < 0)
        return r;
    log_flush(); /* else the child would say it again */
    pid_t pid = fork();
    if (pid == 0)
        be_keeper(journals, set, ends[1]);
    if (pid < 0) {
        r = -errno;
        channel_stop(&journals->channel);
        return r;
    }
    journals->keeper = pid;
    journals->life++;
    journals->channel_fd = ends[0];
    return 0;
}

static int start_keeper(struct journals *journals, const struct conf_settings *set) {
    int ends[2], r = channel_pair(ends);
    if (r < 0)
        return r;
    r = fork_keeper(journals, set, ends);
    close(ends[1]);
    if (r < 0)
        close(ends[0]);
    return r;
}

static bool has_keeper(struct journals *journals, const struct conf_settings *set) {
    if (journals->keeper > 0 || journals->is_stopped)
        return journals->channel_fd >= 0;
    int r = start_keeper(journals, set);
    if (r < 0)
        log_error("the journal process cannot be started: %s", strerror(-r));
    return r == 0;
}

/* ---- files and pipes */

/* Opens a file for `process`; its path goes to `ret_path`, NUL-terminated. Returns the descriptor or -errno. */
static int open_file(const struct conf_settings *set, unsigned process, struct buf *ret_path) {
    buf_clear(ret_path);
    int fd = journal_files_open(set->journal.path, process, clock_wall_ms(), ret_path);
    if (fd < 0 || buf_putc(ret_path, '\0') == 0)
        return fd;
    close(fd);
    return -ENOMEM;
}

static int make_pipe(int ret_ends[2]) {
    if (pipe2(ret_ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    (void)fcntl(ret_ends[1], F_SETPIPE_SZ, KEEPER_PIPE_SIZE); /* a smaller one will do */
    return 0;
}

/*
 * Until a keeper has taken the other end the pipe leads nowhere, which the worker bears as it bears the keeper's death:
 * a journal that cannot be written keeps no worker from starting.
 */
static void give_pipe(struct journals *journals, struct worker *worker, unsigned process, int pipe, int file) {
    int r = has_keeper(journals, &worker->generation->conf->set)
        ? keeper_give_pipe(journals->channel_fd, process, pipe, file) : -EAGAIN;
    worker->journal_life = r == 0 ? journals->life : 0;
    if (r < 0)
        unlink(worker->journal_path.at); /* empty; comes again in the next round */
}

int journals_connect(struct journals *journals, struct worker *worker, unsigned process, int *ret_fd) {
    const struct conf_settings *set = &worker->generation->conf->set;
    int ends[2];
    *ret_fd = -1;
    if (set->journal.path == NULL)
        return 0;
    int file = open_file(set, process, &worker->journal_path);
    int r = file < 0 ? file : make_pipe(ends);
    if (r < 0) {
        if (file >= 0)
            close(file);
        return r;
    }
    give_pipe(journals, worker, process, ends[0], file);
    close(ends[0]);
    close(file);
    *ret_fd = ends[1];
    return 0;
}

/* The keeper of its pipe is gone. */
static void reconnect(struct journals *journals, struct worker *worker) {
    int pipe;
    int r = journals_connect(journals, worker, worker->process, &pipe);
    if (r == 0 && worker->journal_life == journals->life) {
        const struct worker_message message = { .type = WORKER_JOURNAL };
        r = channel_send(worker->channel_fd, &message, sizeof(message), &pipe, 1);
    }
    if (r < 0) {
        worker->journal_life = 0;
        log_warning("journal: worker %u is not connected: %s", worker->index, strerror(-r));
    }
    if (pipe >= 0)
        close(pipe);
}

static void rotate(struct journals *journals, struct worker *worker) {
    const struct conf_settings *set = &worker->generation->conf->set;
    struct buf path;
    buf_init(&path, worker->journal_path.max);
    int fd = open_file(set, worker->process, &path);
    if (fd < 0) {
        log_warning("journal: no new file in %s: %s; the old one is kept", set->journal.path, strerror(-fd));
        buf_deinit(&path);
        return;
    }
    int r = keeper_give_file(journals->channel_fd, worker->process, fd);
    close(fd);
    if (r != 0) {
        unlink(path.at); /* empty; comes again in the next round */
        buf_deinit(&path);
        return;
    }
    buf_deinit(&worker->journal_path);
    worker->journal_path = path;
    journals->due_ms = loop_now(journals->loop) + JOURNAL_GRACE_MS;
}

static void look_at(struct journals *journals, struct worker *worker) {
    const struct conf_settings *set = &worker->generation->conf->set;
    if (worker->pid == 0 || worker->channel_fd < 0 || set->journal.path == NULL)
        return;
    if (!has_keeper(journals, set) || worker->journal_life != journals->life)
        reconnect(journals, worker);
    else if (journal_files_is_due(worker->journal_path.at, set->journal.rotate_size, clock_wall_ms()))
        rotate(journals, worker);
}

/* ---- tidying */

static _Noreturn void be_tidier(const struct conf_settings *set) {
    log_close();
    close_range(3, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpriority(PRIO_PROCESS, 0, 19);
    int r = journal_files_tidy(set->journal.path, (unsigned)set->journal.keep_days, clock_wall_ms());
    _exit(r == 0 ? 0 : -r & 0x7f);
}

static void tidy(struct journals *journals, const struct conf_settings *set) {
    log_flush();
    pid_t pid = fork();
    if (pid == 0)
        be_tidier(set);
    if (pid < 0)
        return;
    journals->tidier = pid;
    journals->tidied_ms = loop_now(journals->loop);
    journals->due_ms = 0;
}

static bool is_time_to_tidy(const struct journals *journals) {
    uint64_t now_ms = loop_now(journals->loop);
    return journals->tidied_ms == 0 || now_ms >= journals->tidied_ms + JOURNAL_TIDY_EVERY_MS
        || (journals->due_ms > 0 && now_ms >= journals->due_ms);
}

/* ---- for the master */

void journals_init(struct journals *journals, struct loop *loop, void (*forget)(void *arg), void *arg) {
    *journals = (struct journals){ .loop = loop, .forget = forget, .arg = arg, .channel_fd = -1 };
}

void journals_round(struct journals *journals, struct generation *generations) {
    for (struct generation *g = generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++)
            look_at(journals, &g->workers[i]);
    if (generations == NULL || generations->conf->set.journal.path == NULL)
        return;
    if (journals->tidier == 0 && is_time_to_tidy(journals))
        tidy(journals, &generations->conf->set);
}

void journals_worker_ended(struct journals *journals) {
    journals->due_ms = loop_now(journals->loop);
}

static void on_keeper_end(struct journals *journals, int status) {
    if (WIFSIGNALED(status))
        log_warning("journal process died: pid=%d signal=%d (%s)", (int)journals->keeper, WTERMSIG(status),
                    strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        log_warning("journal process died: pid=%d exit=%d", (int)journals->keeper, WEXITSTATUS(status));
    timer_cancel(journals->loop, &journals->limit);
    close_channel(journals);
    journals->keeper = 0;
}

static void on_tidier_end(struct journals *journals, int status) {
    journals->tidier = 0;
    if (WIFSIGNALED(status))
        log_warning("journal: compressing was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        log_warning("journal: compressing failed: %s", strerror(WEXITSTATUS(status)));
}

bool journals_child_ended(struct journals *journals, pid_t pid, int status) {
    bool is_keeper = pid == journals->keeper, is_tidier = pid == journals->tidier;
    if (is_keeper)
        on_keeper_end(journals, status);
    else if (is_tidier)
        on_tidier_end(journals, status);
    return is_keeper || is_tidier;
}

static void on_limit(struct timer *timer) {
    struct journals *journals = (struct journals *)((char *)timer - offsetof(struct journals, limit));
    log_warning("the journal process did not end in time: sending SIGKILL");
    kill(journals->keeper, SIGKILL);
}

bool journals_stop(struct journals *journals) {
    if (journals->keeper > 0 && !journals->is_stopped
        && timer_set(journals->loop, &journals->limit, loop_now(journals->loop) + END_LIMIT_MS, on_limit) < 0)
        kill(journals->keeper, SIGKILL);
    journals->is_stopped = true;
    close_channel(journals);
    return journals->keeper == 0;
}

void journals_deinit(struct journals *journals) {
    if (journals->loop == NULL)
        return;
    if (journals->keeper > 0) {
        kill(journals->keeper, SIGKILL);
        waitpid(journals->keeper, NULL, 0);
        journals->keeper = 0;
    }
    close_channel(journals);
    timer_cancel(journals->loop, &journals->limit);
}
