/*
 * local_sync: see the header.
 *
 * SQLite's log (-wal) is written by the store process and reaches the disk when somebody syncs it; its pages reach the
 * database by a checkpoint. Both wait for the disk, so neither belongs where answers wait. With `synchronous=NORMAL` a
 * commit only writes, and this thread, which has a descriptor of the log and a connection of its own, does the rest:
 *
 *   every half second   fdatasync() of the log, if anything was committed since
 *   PAGES_LONG behind   a passive checkpoint, which never makes a writer wait
 *
 * The log begins anew only when a writer finds all of it checkpointed. Under load the writer is always some pages
 * ahead, so past PAGES_TOO_LONG it is asked to checkpoint what is left itself, between two transactions, and the thread
 * keeps away meanwhile (two cannot checkpoint at once). Answers wait for that, so what is left must be little: the
 * thread checkpoints again and again, each time what was written in the time before, until that is HELP_PAGES; and it
 * syncs the database, since SQLite does so with the last page only, however many went before.
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
#include <time.h>
#include <unistd.h>

enum {
    PERIOD_MS = 500,
    PAGES_LONG = 2048, /* 8 MiB */
    PAGES_TOO_LONG = 16384,
    HELP_PAGES = 256, /* that the writer is left with */
    PASSES_MAX = 16,  /* a disk that is slower than the writer never gets there */
};

struct local_sync {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping;
    atomic_bool is_dirty, needs_help;
    atomic_int log_pages; /* in the log at the last commit */
    int n_done; /* of them, are in the database */
    sqlite3 *db;
    char *log_path;
    int log_fd;
};

/* ---- the thread */

static void sync_log(struct local_sync *sync) {
    if (sync->log_fd < 0)
        sync->log_fd = open(sync->log_path, O_RDONLY | O_CLOEXEC);
    if (sync->log_fd >= 0 && atomic_exchange(&sync->is_dirty, false) && fdatasync(sync->log_fd) < 0)
        atomic_store(&sync->is_dirty, true); /* tried again; the next commit will hear of a broken disk */
}

/* Through SQLite's own descriptor: to close another of the same file would drop its locks. */
static void sync_database(struct local_sync *sync) {
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(sync->db, NULL, SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file->pMethods != NULL)
        file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY); /* an error meets the last page too */
}

/* Returns how many pages it took to the database, or -1. */
static int checkpoint(struct local_sync *sync) {
    int n_log, n_done, n_before = sync->n_done;
    if (sqlite3_wal_checkpoint_v2(sync->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &n_log, &n_done) != SQLITE_OK)
        return -1;
    sync->n_done = n_done;
    return n_done > n_before ? n_done - n_before : 0;
}

static void shorten(struct local_sync *sync) {
    int n = checkpoint(sync);
    for (int pass = 1; pass < PASSES_MAX && n > HELP_PAGES; pass++) {
        sync_database(sync);
        n = checkpoint(sync);
    }
    sync_database(sync);
    atomic_store(&sync->needs_help, n >= 0);
}

static void work(struct local_sync *sync) {
    int n_pages = atomic_load(&sync->log_pages);
    sync_log(sync);
    if (n_pages < sync->n_done)
        sync->n_done = 0; /* it has begun anew */
    if (n_pages - sync->n_done < PAGES_LONG || atomic_load(&sync->needs_help))
        return;
    if (n_pages > PAGES_TOO_LONG)
        shorten(sync);
    else
        checkpoint(sync);
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
    else if (sqlite3_open_v2(path, &sync->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK
             || sqlite3_exec(sync->db, "SELECT 1 FROM sqlite_master LIMIT 1", NULL, NULL, NULL) != SQLITE_OK)
        r = -EIO; /* one that has read nothing knows of no log, and checkpoints nothing */
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

void local_sync_note(struct local_sync *sync, int log_pages) {
    atomic_store(&sync->log_pages, log_pages);
    atomic_store(&sync->is_dirty, true);
}

bool local_sync_needs_help(const struct local_sync *sync) {
    return atomic_load(&sync->needs_help);
}

void local_sync_helped(struct local_sync *sync) {
    atomic_store(&sync->needs_help, false);
}
