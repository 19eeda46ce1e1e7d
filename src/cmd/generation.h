/*
 * generation: one loaded configuration and the workers that serve by it.
 *
 * A reload makes a second generation beside the first; when all its workers are ready it serves, and the first one
 * ends. A generation owns its configuration, TLS contexts, directories, the channels between its workers, and the
 * shared memory of their counters. The master owns the generations.
 */
#pragma once

#include "cmd/sockets.h"
#include "net/channel.h"
#include "session/worker.h"

#include <sys/stat.h>

struct generation;

struct worker {
    struct generation *generation;
    unsigned index;
    pid_t pid;               /* 0: no process now */
    unsigned process;        /* number in ids, 0-255 */
    uint64_t started_ms;     /* on the loop's clock */
    bool is_ready;
    bool is_closed;          /* it has said that it accepts no more */
    struct channel channel;
    int channel_fd;          /* -1: closed */
    struct worker_counters *counters;
    struct beat_look beat_look; /* what the watchdog remembers of it */
    struct buf journal_path; /* of the file that it is written to; for journals.c */
    uint32_t journal_life;   /* of the journal process that reads its pipe; 0: none does */
    size_t directories_due;  /* index of the first directory that could not be sent; n_domains: none */
    bool is_store_due;       /* it has no connection to the store that runs now */
    struct timer pause;      /* set while a replacement waits */
    unsigned pause_ms;
    unsigned n_short_lives;  /* in a row */
};

struct generation_directory {
    struct directory *directory; /* NULL: missing, or none of its own */
    int fd;                      /* of the copy that it was opened from; -1: none */
    struct stat seen;            /* of the file last looked at, broken ones included; st_ino 0: there was none */
    bool is_broken;              /* that file is no directory; `directory` is an older one, or NULL */
    bool is_told_old;            /* the log says that it is past directory_age */
};

struct generation_table {   /* one that comes from a file */
    struct stat read, seen;  /* what was read last, good or bad; what the last look saw */
    size_t count;            /* entries of the one that is used */
    int fd;                  /* what it was read from, where that is not what `conf` has; -1: that is */
    bool is_due;             /* to be read */
    bool is_unsent;          /* some worker does not have it: its channel was full, or a reload goes first */
    bool is_gone;            /* the log says so */
};

enum generation_state { GENERATION_STARTING, GENERATION_SERVING, GENERATION_ENDING };

struct generation {
    struct generation *next; /* older */
    enum generation_state state;
    struct loop *loop;
    struct conf *conf;
    uint64_t loaded_ms; /* wall clock */
    SSL_CTX *tls;
    SSL_CTX **group_tls;
    unsigned n_workers, n_slots;
    struct worker *workers;
    int (*mesh)[2];     /* one a worker: [0] it reads, [1] the others write */
    struct generation_directory *directories; /* by conf->domains[].index */
    struct generation_table *tables;          /* in the order of conf->tables */
    struct worker_counters *counters;         /* shared memory, one a worker */
    uint64_t id_floor_ms;                     /* of the worker that starts next; the master sets it */
    struct history *history;                  /* the same for all generations; the master's */
    struct timer limit; /* for starting, then for ending */
    unsigned n_signals; /* how often the end was pressed for */
    bool is_leaving;     /* replaced by a reload, which is over when none of its workers accepts */
    uint64_t leaving_ms; /* since when, on the loop's clock */
    uint64_t ticket;     /* whom to tell then; 0: nobody */
    void (*on_ready)(void *arg, struct worker *worker);
    void (*on_closed)(void *arg, struct worker *worker);
    void *arg;
};

/*
 * Makes everything but processes. On failure `error` says why in one line, and `take_conf` is freed. Returns 0 or
 * -errno.
 */
int generation_new(struct loop *loop, struct conf *take_conf, unsigned n_workers, unsigned n_slots, struct buf *error,
                   struct generation **ret_generation);
/* No worker may run any more. Accepts NULL. */
void generation_free(struct generation *take_generation);

/* For children that are no workers: their copy of the keys is wiped. The generation is of no other use then. */
void generation_forget_keys(struct generation *generation);

/*
 * Forks worker `index` into the given sockets; `journal_fd` is the pipe for its journal (-1: none), borrowed. Returns 0
 * or -errno.
 */
int generation_start_worker(struct generation *generation, unsigned index, unsigned process,
    const struct sockets *sockets, int journal_fd, int (*run_worker)(const struct worker_setup *));

/* The process of `worker` has ended and was waited for. */
void worker_ended(struct worker *worker);

/* Tells all workers to accept no more and to end. */
void generation_drain(struct generation *generation);
void generation_signal(struct generation *generation, int signo);

bool generation_is_ready(const struct generation *generation);
/* Whether one of its workers may still accept a connection. */
bool generation_accepts(const struct generation *generation);
unsigned generation_running(const struct generation *generation);

/* How long its process runs; 0: none does. */
uint64_t worker_age_ms(const struct worker *worker);

/* ---- directories (directories.c) */

enum directory_change { DIRECTORY_SAME, DIRECTORY_TAKEN, DIRECTORY_GONE };

/*
 * Looks whether the file of a domain is another one than before; if so opens it and hands it to all workers. A broken
 * file is -EBADMSG once, and the old directory stays. Returns an enum directory_change or -errno.
 */
int generation_look_at_directory(struct generation *generation, size_t domain);

/* Sends what an earlier full channel did not take. */
void generation_send_due_directories(struct generation *generation);
