/*
 * When does a worker get a new journal file, and who compresses the old one?
 *
 * The master opens, the worker writes, a child compresses. A worker goes on writing to its old file until it has read
 * the message, so a rotated file counts as in use for JOURNAL_GRACE_MS more; the files of dead workers count no
 * longer. The child runs at nice 19 and keeps no descriptor: a listening socket held open by a compressor would
 * survive the master and take clients. One child at a time; what becomes due meanwhile waits.
 */
#include "cmd/journals.h"

#include "base/clock.h"
#include "journal/files.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void rotate(struct worker *worker, uint64_t wall_ms) {
    const struct conf_settings *set = &worker->generation->conf->set;
    if (worker->channel_fd < 0 || worker->journal_path.len == 0 || worker->journal_old.len > 0 ||
        !journal_files_is_due(worker->journal_path.at, set->journal.rotate_size, wall_ms))
        return;
    struct buf path;
    buf_init(&path, worker->journal_path.max);
    int fd = worker_open_journal(worker, worker->process, &path);
    if (fd < 0) {
        log_warning("journal: no new file in %s: %s; the old one is kept", set->journal.path, strerror(-fd));
        buf_deinit(&path);
        return;
    }
    struct worker_message message = { .type = WORKER_JOURNAL };
    int r = channel_send(worker->channel_fd, &message, sizeof(message), &fd, 1);
    close(fd);
    if (r != 0) {
        unlink(path.at); /* empty; comes again in the next round */
        buf_deinit(&path);
        return;
    }
    worker->journal_old = worker->journal_path;
    worker->journal_old_ms = loop_now(worker->generation->loop) + JOURNAL_GRACE_MS;
    worker->journal_path = path;
}

static bool end_of_grace(struct worker *worker, uint64_t now_ms) {
    if (worker->journal_old.len == 0 || worker->journal_old_ms > now_ms)
        return false;
    buf_deinit(&worker->journal_old);
    return true;
}

/* The paths that a living worker may write to. */
static const char **paths_in_use(const struct generation *generations, size_t *ret_n) {
    size_t n = 0;
    for (const struct generation *g = generations; g != NULL; g = g->next)
        n += 2 * (size_t)g->n_workers;
    const char **paths = calloc(n + 1, sizeof(*paths));
    if (paths == NULL)
        return NULL;
    n = 0;
    for (const struct generation *g = generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++) {
            const struct worker *worker = &g->workers[i];
            if (worker->pid > 0 && worker->journal_path.len > 0)
                paths[n++] = worker->journal_path.at;
            if (worker->pid > 0 && worker->journal_old.len > 0)
                paths[n++] = worker->journal_old.at;
        }
    *ret_n = n;
    return paths;
}

static _Noreturn void be_tidier(const struct conf_settings *set, const char **paths, size_t n) {
    log_close();
    close_range(3, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpriority(PRIO_PROCESS, 0, 19);
    int r = journal_files_tidy(set->journal.path, paths, n, (unsigned)set->journal.keep_days, clock_wall_ms());
    _exit(r == 0 ? 0 : -r & 0x7f);
}

static void tidy(struct journals *journals, const struct generation *generations, uint64_t now_ms) {
    size_t n = 0;
    const char **paths = paths_in_use(generations, &n);
    if (paths == NULL)
        return;
    log_flush();
    pid_t pid = fork();
    if (pid == 0)
        be_tidier(&generations->conf->set, paths, n);
    free(paths);
    if (pid < 0)
        return;
    *journals = (struct journals){ .child = pid, .tidied_ms = now_ms };
}

void journals_round(struct journals *journals, struct generation *generations, uint64_t now_ms) {
    if (generations == NULL || generations->conf->set.journal.path == NULL)
        return;
    uint64_t wall_ms = clock_wall_ms();
    for (struct generation *g = generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++) {
            rotate(&g->workers[i], wall_ms);
            journals->is_due |= end_of_grace(&g->workers[i], now_ms);
        }
    bool is_time = journals->tidied_ms == 0 || now_ms >= journals->tidied_ms + JOURNAL_TIDY_EVERY_MS;
    if (journals->child == 0 && (journals->is_due || is_time))
        tidy(journals, generations, now_ms);
}

bool journals_child_ended(struct journals *journals, pid_t pid, int status) {
    if (pid != journals->child)
        return false;
    journals->child = 0;
    if (WIFSIGNALED(status))
        log_warning("journal: compressing was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        log_warning("journal: compressing failed: %s", strerror(WEXITSTATUS(status)));
    return true;
}
