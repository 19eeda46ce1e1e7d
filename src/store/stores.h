/*
 * stores: the local store and, where several hosts share one, the shared store, as one that answers batches.
 *
 *     local   shared    what happens
 *     up      –         rows are read and merged in the file
 *     up      up        rows of both are joined, and what either lacks is merged into it
 *     up      away      as if there were no shared one; what is merged is marked, and handed in when it is back
 *     down    up        the shared one alone; the file is tried again after growing pauses
 *     down    away      every question is unavailable
 *
 * A local store that can be read but not written (a full disk) answers whatever needs no writing.
 *
 * One batch or one handing-in at a time. An answer that depends on a row goes out when that is committed in the local
 * store and, if it is up, in the shared one; what merely refreshes is not waited for.
 */
#pragma once

#include "base/log.h"
#include "store/batch.h"
#include "store/counters.h"
#include "store/shared.h"

struct stores_settings { /* borrowed */
    const char *path;    /* of the local store */
    bool is_synced_always;
    const struct shared_ops *shared; /* NULL: there is none */
    const char *conninfo;
    uint64_t shared_timeout_ms;
    struct greylist_settings greylist;
};

struct stores_events {
    /* For each question of a batch once. `item->asker` may be NULL. */
    void (*on_answer)(void *arg, const struct batch_item *item, bool is_unavailable);
    /* The batch is through, has been cleared, and the next one may be run. */
    void (*on_done)(void *arg);
    void (*on_note)(void *arg, enum log_level level, const char *text); /* one line for the log */
};

struct stores;

/* What is lost now is tried again later, so only memory can fail. Returns 0 or -ENOMEM. */
int stores_new(struct loop *loop, const struct stores_settings *settings, struct store_counters *counters,
               const struct stores_events *events, void *arg, struct stores **ret_stores);
/* Commits nothing more, syncs, and closes. Accepts NULL. */
void stores_free(struct stores *take_stores);

/* What counts for each batch that begins after this. */
void stores_set_greylist(struct stores *stores, const struct greylist_settings *greylist);

/* Where the next questions are gathered; not while a batch runs. */
struct batch *stores_batch(struct stores *stores);
bool stores_is_running(const struct stores *stores);

/* Runs the batch. True: it is through, answers were given from inside; false: on_done follows. */
bool stores_run(struct stores *stores);
