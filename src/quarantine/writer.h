/*
 * writer: a worker's way into the quarantine: nothing that blocks, and nothing that is lost.
 *
 * One a worker, with one thread of its own that writes and syncs; the loop goes on meanwhile. What is put is on the
 * disk (file, then folder) and *pending* when `done` says QUARANTINE_DONE; quarantine_settle() then keeps it or takes
 * it away again, in the order in which it is asked. A worker that dies leaves its pending ones, which are shown after a
 * while; when the sender comes again with the same message, the one that is pending already gives way to the new one.
 *
 * The laws of net/loop.h hold for `done`. The text is copied before quarantine_put_start() returns (what is in a file:
 * its descriptor), so whoever waits may go.
 */
#pragma once

#include "base/spool.h"
#include "net/loop.h"
#include "quarantine/entry.h"
#include "quarantine/folder.h"

struct quarantine;
struct quarantine_put;

enum quarantine_result {
    QUARANTINE_DONE,
    QUARANTINE_NO_ROOM, /* of the disk, or size_max is reached */
    QUARANTINE_BROKEN,  /* another error of the folder; it was told to on_trouble */
};

typedef void quarantine_done_fn(void *arg, enum quarantine_result result);

struct quarantine_settings {
    const char *path;
    uint64_t size_max;  /* of the folder, about: files that others wrote are counted once a minute */
    uint64_t keep_s;    /* older ones are removed, by who has `expires`, */
    bool expires;       /* who also counts when nothing is put */
    uint64_t look_ms;   /* how often the folder is counted; 0: once a minute */
    void (*on_trouble)(void *arg, struct str what); /* for the log: "ID cannot be kept: No space left on device" */
    void *arg;
};

struct quarantine_counters {
    uint64_t kept, failed;             /* messages since the start; failed: what could not be done is told, too */
    uint64_t messages, pending, bytes; /* in the folder when it was last counted, and what was put since */
    uint64_t counted_ms;               /* when that was, by clock_ms(); 0: never */
    bool is_broken;                    /* it could not be counted the last time */
};

/* Starts the thread: behind the sandbox, which holds for it, too. Returns 0 or -errno (the folder cannot be opened). */
int quarantine_start(struct loop *loop, const struct quarantine_settings *settings, struct quarantine **ret_quarantine);

/* Finishes what was asked for, without telling anybody. Accepts NULL. */
void quarantine_stop(struct quarantine *take_quarantine);

/*
 * Returns NULL: no memory, or too many wait. The put is the callee's after `done` with another result than
 * QUARANTINE_DONE; else it is given to quarantine_settle().
 */
struct quarantine_put *quarantine_put_start(struct quarantine *quarantine, const struct quarantine_entry *entry,
                                            struct spool *spool, quarantine_done_fn *done, void *arg);

/* It stays, or goes. Also while it is being written: then `done` does not come. */
void quarantine_settle(struct quarantine_put *take_put, bool is_final);

struct quarantine_counters quarantine_counters(const struct quarantine *quarantine);
