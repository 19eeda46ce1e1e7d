/*
 * local_sync: see the header.
 *
 * SQLite's log (-wal) is written by the store process and reaches the disk when somebody syncs it; its pages reach the
 * database by a checkpoint. Both wait for the disk, so neither belongs where answers wait. With `synchronous=NORMAL` a
 * commit only writes, and this thread, which has a descriptor of the log and a connection of its own, does the rest:
 *
 *   every second   fdatasync() of the log, if anything was committed since
 *   at WAL_LONG    a passive checkpoint, which never makes a writer wait
 *
 * The log begins anew only when a writer finds all of it checkpointed. Under load the writer is always some frames
 * ahead, so past WAL_TOO_LONG it is asked to checkpoint what is left itself, between two transactions, and the thread
 * keeps away meanwhile (two cannot checkpoint at once).
 *
 * SQLite's locks on the log are in its -shm file, so closing a second descriptor of the log drops none.
 */
#include "store/local_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_MS = 500, WAL_LONG = 8 << 20, WAL_TOO_LONG = 64 << 20 };

struct local_sync {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    atomic_bool is_dirty, needs_help;
    sqlite3 *db;
    char *log_path;
    int log_fd;
};

/* ---- the thread */

static off_t sync_log(struct local_sync *sync) {
    struct stat log;
    if (sync->log_fd < 0)
        sync->log_fd = open(sync->log_path, O_RDONLY | O_CLOEXEC);
    if (sync->log_fd < 0 || fstat(sync->log_fd, &log) < 0)
        return 0;
    if (atomic_exchange(&sync->is_dirty, false) && fdatasync(sync->log_fd) < 0)
        atomic_store(&sync->is_dirty, true); /* tried again; the next commit will hear of a broken disk */
    return log.st_size;
}

static void work(struct local_sync *sync) {
    int n_log = 0, n_done = 0;
    bool is_idle = !atomic_load(&sync->is_dirty);
    off_t size = sync_log(sync);
    if (size < WAL_LONG || (atomic_load(&sync->needs_help) && !is_idle))
        return;
    if (sqlite3_wal_checkpoint_v2(sync->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &n_log, &n_done) == SQLITE_OK)
        atomic_store(&sync->needs_help, size > WAL_TOO_LONG && n_done < n_log);
}

static void wait(struct local_sync *sync) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PERIOD_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    if (!sync->is_stopping)
        pthread_cond_timedwait(&sync->wake, &sync->lock, &until);
}

static void *run(void *arg) {
    struct local_sync *sync = arg;
    pthread_mutex_lock(&sync->lock);
    while (!sync->is_stopping) {
        wait(sync);
        pthread_mutex_unlock(&sync->lock);
        work(sync);
        pthread_mutex_lock(&sync->lock);
    }
    pthread_mutex_unlock(&sync->lock);
    return NULL;
}

/* ---- its owner */

static void release(struct local_sync *sync) {
    sqlite3_close(sync->db);
    if (sync->log_fd >= 0)
        close(sync->log_fd);
    pthread_cond_destroy(&sync->wake);
    pthread_mutex_destroy(&sync->lock);
    free(sync->log_path);
    free(sync);
}

int local_sync_start(const char *path, struct local_sync **ret_sync) {
    struct local_sync *sync = calloc(1, sizeof(*sync));
    if (sync == NULL)
        return -ENOMEM;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&sync->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&sync->lock, NULL);
    sync->log_fd = -1;
    int r = asprintf(&sync->log_path, "%s-wal", path) < 0 ? -ENOMEM : 0;
    if (r < 0)
        sync->log_path = NULL;
    else if (sqlite3_open_v2(path, &sync->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
        r = -EIO;
    else
        r = -pthread_create(&sync->thread, NULL, run, sync);
    if (r < 0) {
        release(sync);
        return r;
    }
    *ret_sync = sync;
    return 0;
}

void local_sync_stop(struct local_sync *take_sync) {
    if (take_sync == NULL)
        return;
    pthread_mutex_lock(&take_sync->lock);
    take_sync->is_stopping = true;
    pthread_cond_signal(&take_sync->wake);
    pthread_mutex_unlock(&take_sync->lock);
    pthread_join(take_sync->thread, NULL);
    sync_log(take_sync);
    release(take_sync);
}

void local_sync_note(struct local_sync *sync) {
    atomic_store(&sync->is_dirty, true);
}

bool local_sync_needs_help(const struct local_sync *sync) {
    return atomic_load(&sync->needs_help);
}

void local_sync_helped(struct local_sync *sync) {
    atomic_store(&sync->needs_help, false);
}
