/*
 * writer: see the header.
 *
 * Jobs go to the thread in a list and come back in another, with a wake-up over an eventfd; both lists are under one
 * lock, which is never held while anything is written. The thread owns a job until it has come back.
 *
 * Pending ones that are found at the start are known by a hash of envelope and text, and one that is put again makes
 * the older go: its sender had no answer, or it would not have come again.
 *
 * Rejected: writing on the loop (a sync takes as long as the disk likes), and a process of its own, which would keep a
 * worker that was taken over from reading what is in the folder: see docs/decisions.
 */
#include "quarantine/writer.h"

#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 1000, LOOK_MS = 60000, COPY = 65536, WHAT_MAX = 256 };

enum job { JOB_PUT, JOB_KEEP, JOB_REMOVE };

struct quarantine_put {
    STAILQ_ENTRY(quarantine_put) entry;
    LIST_ENTRY(quarantine_put) held;
    struct quarantine *quarantine;
    quarantine_done_fn *done; /* NULL: nobody waits any more */
    void *arg;
    enum job job;
    enum quarantine_result result;
    int err;                  /* why not, for the log */
    bool is_written;          /* its file is there */
    bool is_settled, is_final;/* before it was written */
    uint64_t hash;
    char id[QUARANTINE_NAME_MAX], name[QUARANTINE_NAME_MAX + 32];
    struct buf head, text;    /* the entry; the part of the message that was in memory, */
    int fd;                   /* and what stands before it; -1 */
    int file_fd;              /* its file, locked as long as it is pending; -1 */
    uint64_t file_size, size; /* of the part in `fd`; of its own file, as long as it lies there */
};

STAILQ_HEAD(jobs, quarantine_put);
LIST_HEAD(held, quarantine_put);

struct quarantine {
    struct loop *loop;
    struct quarantine_settings settings;
    struct watch watch;
    int folder_fd, event_fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct jobs asked, ended;
    struct held held; /* pending, and not settled */
    unsigned n_jobs;
    uint64_t kept, failed;
    bool is_stopping;
    _Atomic uint64_t messages, pending, used, looked_ms; /* the thread writes these */
    _Atomic bool is_broken;
};

/* ---- the thread: looking */

struct found {
    uint64_t messages, pending, bytes;
};

static int on_found(void *arg, const struct quarantine_file *file) {
    struct found *found = arg;
    (*(file->state == QUARANTINE_PENDING ? &found->pending : &found->messages))++;
    found->bytes += file->size;
    return 0;
}

/* A folder that was removed can still be read through its descriptor. */
static bool is_removed(int folder_fd) {
    struct stat info;
    return fstat(folder_fd, &info) < 0 || info.st_nlink == 0;
}

static void look(struct quarantine *q) {
    struct found found = { 0 };
    time_t now = time(NULL);
    if (q->looked_ms > 0 && clock_ms() < q->looked_ms + q->settings.look_ms)
        return;
    if (q->settings.expires)
        quarantine_sweep(q->folder_fd, now);
    if (q->settings.expires && q->settings.keep_s > 0)
        quarantine_expire(q->folder_fd, now - (time_t)q->settings.keep_s, now);
    q->is_broken = is_removed(q->folder_fd) || quarantine_each(q->folder_fd, now, on_found, &found) < 0;
    q->messages = found.messages;
    q->pending = found.pending;
    q->used = found.bytes;
    q->looked_ms = clock_ms();
}

/* What was counted may be older than the message that goes now. */
static void take_off(_Atomic uint64_t *count, uint64_t n) {
    *count -= *count < n ? *count : n;
}

/* ---- the thread: writing */

static uint64_t add_hash(uint64_t hash, const char *at, size_t len) {
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)at[i]) * 1099511628211U;
    return hash;
}

static int write_text(struct quarantine_put *put, int fd) {
    char *piece = malloc(COPY);
    int r = piece != NULL ? 0 : -ENOMEM;
    for (uint64_t at = 0; r == 0 && at < put->file_size;) {
        uint64_t left = put->file_size - at;
        ssize_t n = pread(put->fd, piece, left < COPY ? (size_t)left : COPY, (off_t)at);
        r = n < 0 ? -errno : n == 0 ? -EIO : file_write(fd, piece, (size_t)n);
        if (r == 0)
            put->hash = add_hash(put->hash, piece, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
    }
    free(piece);
    put->hash = add_hash(put->hash, put->text.at, put->text.len);
    return r == 0 ? file_write(fd, put->text.at, put->text.len) : r;
}

/* Written under a name that nobody lists, synced, named, and the name synced. */
static int write_file(struct quarantine *q, struct quarantine_put *put) {
    char name[QUARANTINE_NAME_MAX + 8];
    snprintf(name, sizeof(name), ".%s.tmp", put->id);
    int fd = openat(q->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : file_write(fd, put->head.at, put->head.len);
    if (r == 0)
        r = write_text(put, fd);
    if (r == 0 && (fsync(fd) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0))
        r = -errno;
    put->file_fd = fd;
    snprintf(put->name, sizeof(put->name), "%s.%016llx.pending", put->id, (unsigned long long)put->hash);
    if (r == 0 && renameat(q->folder_fd, name, q->folder_fd, put->name) < 0)
        r = -errno;
    put->is_written = r == 0;
    if (r == 0 && fsync(q->folder_fd) < 0)
        r = -errno;
    if (!put->is_written && fd >= 0)
        unlinkat(q->folder_fd, name, 0);
    return r;
}

/* The same message, pending under another id: if nobody holds its lock any more, its worker is dead, and its sender had
 * no answer, or it would not have come again. */
static int drop_if_left_behind(void *arg, const struct quarantine_file *file) {
    const struct quarantine_put *put = arg;
    struct quarantine *q = put->quarantine;
    if (strcmp(file->name, put->name) == 0)
        return 0;
    int fd = openat(q->folder_fd, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && quarantine_remove(q->folder_fd, file->name) == 0) {
        take_off(&q->pending, 1);
        take_off(&q->used, file->size);
    }
    if (fd >= 0)
        close(fd);
    return 0;
}

static void drop_left_behind(struct quarantine *q, struct quarantine_put *put) {
    char ending[40];
    snprintf(ending, sizeof(ending), ".%016llx.pending", (unsigned long long)put->hash);
    quarantine_each_named(q->folder_fd, str_of(ending), time(NULL), drop_if_left_behind, put);
}

static void finish(struct quarantine *q, struct quarantine_put *put, bool is_final) {
    char name[QUARANTINE_NAME_MAX + 8];
    snprintf(name, sizeof(name), "%s.mail", put->id);
    int r = 0;
    if (!is_final)
        r = unlinkat(q->folder_fd, put->name, 0) < 0 ? -errno : 0;
    else if (renameat(q->folder_fd, put->name, q->folder_fd, name) < 0 || fsync(q->folder_fd) < 0)
        r = -errno;
    put->err = r;
    take_off(&q->pending, 1);
    if (!is_final)
        take_off(&q->used, put->size);
    else
        q->messages++;
}

static void put_one(struct quarantine *q, struct quarantine_put *put) {
    look(q);
    put->size = put->head.len + put->file_size + put->text.len;
    put->err = q->used + put->size > q->settings.size_max ? -EDQUOT : write_file(q, put);
    if (put->is_written) {
        q->pending++;
        q->used += put->size;
    }
    int r = put->err;
    if (r == 0) {
        drop_left_behind(q, put);
    } else if (put->is_written) { /* its name may be lost with the next crash */
        finish(q, put, false);
        put->is_written = false;
        put->err = r;
    }
    bool is_full = put->err == -ENOSPC || put->err == -EDQUOT;
    put->result = put->err == 0 ? QUARANTINE_DONE : is_full ? QUARANTINE_NO_ROOM : QUARANTINE_BROKEN;
}

static void work(struct quarantine *q, struct quarantine_put *put) {
    if (put->job == JOB_PUT)
        put_one(q, put);
    else if (put->is_written)
        finish(q, put, put->job == JOB_KEEP);
}

/* With the lock held. Who expires looks when his time has come, even if nothing is put for weeks. */
static void wait_for_work(struct quarantine *q) {
    if (!q->settings.expires) {
        pthread_cond_wait(&q->wake, &q->lock);
        return;
    }
    const uint64_t until_ms = q->looked_ms + q->settings.look_ms;
    const struct timespec until = { .tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000 };
    if (pthread_cond_clockwait(&q->wake, &q->lock, CLOCK_MONOTONIC, &until) == ETIMEDOUT) {
        pthread_mutex_unlock(&q->lock);
        look(q);
        pthread_mutex_lock(&q->lock);
    }
}

static void *run(void *arg) {
    struct quarantine *q = arg;
    const uint64_t one = 1;
    look(q);
    pthread_mutex_lock(&q->lock);
    while (!q->is_stopping || !STAILQ_EMPTY(&q->asked)) {
        struct quarantine_put *put = STAILQ_FIRST(&q->asked);
        if (put == NULL) {
            wait_for_work(q);
            continue;
        }
        STAILQ_REMOVE_HEAD(&q->asked, entry);
        pthread_mutex_unlock(&q->lock);
        work(q, put);
        pthread_mutex_lock(&q->lock);
        STAILQ_INSERT_TAIL(&q->ended, put, entry);
        if (write(q->event_fd, &one, sizeof(one)) < 0)
            continue; /* it is full of wake-ups already */
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

/* ---- the loop's side */

static void put_free(struct quarantine_put *put) {
    if (put->fd >= 0)
        close(put->fd);
    if (put->file_fd >= 0)
        close(put->file_fd);
    buf_deinit(&put->head);
    buf_deinit(&put->text);
    free(put);
}

static void ask(struct quarantine *q, struct quarantine_put *put, enum job job) {
    put->job = job;
    pthread_mutex_lock(&q->lock);
    STAILQ_INSERT_TAIL(&q->asked, put, entry);
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
    q->n_jobs++;
}

static void tell(struct quarantine *q, const struct quarantine_put *put) {
    static const char *const tasks[] = { [JOB_PUT] = "kept", [JOB_KEEP] = "marked as kept", [JOB_REMOVE] = "removed" };
    char what[WHAT_MAX];
    if (put->err == 0 || (put->err == -ENOENT && put->job != JOB_PUT)) /* replaced by a retry, or removed by hand */
        return;
    q->failed++;
    int len = snprintf(what, sizeof(what), "%s cannot be %s: %s", put->id, tasks[put->job],
                       put->err == -EDQUOT ? "size_max is reached" : strerror(-put->err));
    q->settings.on_trouble(q->settings.arg, (struct str){ what, (size_t)len });
}

/* It has come back. */
static void on_ended(struct quarantine *q, struct quarantine_put *put) {
    q->kept += put->job == JOB_KEEP && put->err == 0;
    tell(q, put);
    if (put->job != JOB_PUT) {
        put_free(put);
    } else if (put->is_settled) {
        if (put->result == QUARANTINE_DONE)
            ask(q, put, put->is_final ? JOB_KEEP : JOB_REMOVE);
        else
            put_free(put);
    } else {
        quarantine_done_fn *done = put->done;
        void *arg = put->arg;
        enum quarantine_result result = put->result;
        put->done = NULL;
        if (result != QUARANTINE_DONE)
            put_free(put);
        else
            LIST_INSERT_HEAD(&q->held, put, held);
        done(arg, result);
    }
}

static void on_event(struct watch *watch, uint32_t events) {
    struct quarantine *q = (struct quarantine *)((char *)watch - offsetof(struct quarantine, watch));
    uint64_t n;
    (void)events;
    if (read(q->event_fd, &n, sizeof(n)) < 0)
        return;
    for (;;) {
        pthread_mutex_lock(&q->lock);
        struct quarantine_put *put = STAILQ_FIRST(&q->ended);
        if (put != NULL)
            STAILQ_REMOVE_HEAD(&q->ended, entry);
        pthread_mutex_unlock(&q->lock);
        if (put == NULL)
            return;
        q->n_jobs--;
        on_ended(q, put);
    }
}

static bool copy_text(struct quarantine_put *put, const struct spool *spool) {
    put->file_size = spool->file_size;
    if (spool->fd >= 0 && (put->fd = fcntl(spool->fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return false;
    buf_init(&put->text, UINT32_MAX);
    return buf_put(&put->text, spool->memory.at, spool->memory.len) == 0;
}

struct quarantine_put *quarantine_put_start(struct quarantine *q, const struct quarantine_entry *entry,
                                            struct spool *spool, quarantine_done_fn *done, void *arg) {
    struct quarantine_put *put = q->n_jobs < JOBS_MAX ? calloc(1, sizeof(*put)) : NULL;
    if (put == NULL)
        return NULL;
    put->quarantine = q;
    put->fd = put->file_fd = -1;
    put->done = done;
    put->arg = arg;
    put->hash = add_hash(14695981039346656037U, entry->sender.at, entry->sender.len);
    for (size_t i = 0; i < entry->n_recipients; i++)
        put->hash = add_hash(put->hash, entry->recipients[i].at, entry->recipients[i].len);
    snprintf(put->id, sizeof(put->id), "%.*s", STR_ARG(entry->id));
    buf_init(&put->head, QUARANTINE_HEAD_MAX);
    if (quarantine_entry_format(entry, &put->head) < 0 || !copy_text(put, spool)) {
        put_free(put);
        return NULL;
    }
    ask(q, put, JOB_PUT);
    return put;
}

void quarantine_settle(struct quarantine_put *put, bool is_final) {
    put->is_final = is_final;
    if (put->done != NULL) { /* still being written */
        put->is_settled = true;
        put->done = NULL;
    } else {
        LIST_REMOVE(put, held);
        ask(put->quarantine, put, is_final ? JOB_KEEP : JOB_REMOVE);
    }
}

struct quarantine_counters quarantine_counters(const struct quarantine *q) {
    return (struct quarantine_counters){ .kept = q->kept, .failed = q->failed, .messages = q->messages,
                                         .pending = q->pending, .bytes = q->used, .counted_ms = q->looked_ms,
                                         .is_broken = q->is_broken };
}

/* ---- life */

static void release(struct quarantine *q) {
    if (q->watch.on_event != NULL)
        watch_stop(q->loop, &q->watch);
    if (q->event_fd >= 0)
        close(q->event_fd);
    if (q->folder_fd >= 0)
        close(q->folder_fd);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

int quarantine_start(struct loop *loop, const struct quarantine_settings *settings,
                     struct quarantine **ret_quarantine) {
    struct quarantine *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return -ENOMEM;
    q->loop = loop;
    q->settings = *settings;
    if (q->settings.look_ms == 0)
        q->settings.look_ms = LOOK_MS;
    STAILQ_INIT(&q->asked);
    STAILQ_INIT(&q->ended);
    LIST_INIT(&q->held);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->wake, NULL);
    q->folder_fd = open(settings->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    q->event_fd = q->folder_fd >= 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    int r = q->event_fd < 0 ? -errno : watch_start(loop, &q->watch, q->event_fd, EPOLLIN, on_event);
    if (r == 0)
        r = -pthread_create(&q->thread, NULL, run, q);
    if (r < 0) {
        release(q);
        return r;
    }
    *ret_quarantine = q;
    return 0;
}

void quarantine_stop(struct quarantine *q) {
    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    q->is_stopping = true;
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    for (struct quarantine_put *put; (put = STAILQ_FIRST(&q->ended)) != NULL;) {
        STAILQ_REMOVE_HEAD(&q->ended, entry);
        if (put->job == JOB_PUT && put->is_settled && put->is_written)
            finish(q, put, put->is_final);
        put_free(put);
    }
    for (struct quarantine_put *put; (put = LIST_FIRST(&q->held)) != NULL;) { /* they stay pending */
        LIST_REMOVE(put, held);
        put_free(put);
    }
    release(q);
}
