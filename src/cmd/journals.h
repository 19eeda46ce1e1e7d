/*
 * journals: the journal as the master sees it: the process that writes it (journal/keeper.h), the files that it is
 * handed for each worker, and the child that compresses what is closed.
 *
 * The keeper is started with the first worker that has a journal, kept over reloads, started again when it dies, and
 * ended after the last worker. Embedded in the master, who owns it.
 */
#pragma once

#include "cmd/generation.h"

enum { JOURNAL_GRACE_MS = 30000, JOURNAL_TIDY_EVERY_MS = 3600000 };

struct journals {
    struct loop *loop;
    void (*forget)(void *arg); /* in the keeper: what it must not have a copy of */
    void *arg;
    pid_t keeper;              /* 0: no process now */
    uint32_t life;             /* counts keepers: workers know whose pipe they have */
    struct channel channel;    /* to it */
    int channel_fd;            /* -1: closed */
    bool is_stopped;
    struct timer limit;        /* of its end */
    pid_t tidier;              /* 0: none runs */
    uint64_t tidied_ms;
    uint64_t due_ms;           /* a file was closed, and should be tidied then; 0: none */
};

void journals_init(struct journals *journals, struct loop *loop, void (*forget)(void *arg), void *arg);

/*
 * For a worker that is about to be forked as `process`: a new file, and the pipe that leads there. Returns 0 with the
 * pipe's writing end, which the caller closes after the fork (-1: the configuration has no journal), or -errno.
 */
int journals_connect(struct journals *journals, struct worker *worker, unsigned process, int *ret_fd);

/*
 * Gives new files to workers whose file is large or of yesterday, and new pipes to those whose keeper has died; starts
 * to tidy when it is time. Call every few seconds.
 */
void journals_round(struct journals *journals, struct generation *generations);

/* A worker has ended: its file can be tidied soon. */
void journals_worker_ended(struct journals *journals);

/* A child of the master has ended. True when it was ours. */
bool journals_child_ended(struct journals *journals, pid_t pid, int status);

/* No worker is left: ends the keeper. True: no process is left; else journals_child_ended() will come. */
bool journals_stop(struct journals *journals);

/* Kills and waits for what is left. All-zero is fine. */
void journals_deinit(struct journals *journals);
