/*
 * local: the host's own store, a SQLite file that one store process writes.
 *
 * Everything here blocks, for as long as the disk's cache takes: a batch is one transaction and committed when its call
 * returns, so that what was answered after it survives kill -9 of any process. What a power cut may take is bounded by
 * a thread that syncs every second (`sync always`: nothing, each commit is synced). Commands open the same file while
 * the store runs; SQLite's locks keep them apart, and their transactions are short.
 *
 * No failure is fatal. Each function returns 0 or a negative error, and local_why() says in one line what SQLite or the
 * system said; whoever asked goes on without the store.
 */
#pragma once

#include "base/buf.h"
#include "store/greylist.h"

struct local;

struct local_options {
    const char *path;
    bool syncs_always;
    bool is_command; /* opened beside the store process: no thread, no checkpoints, the file must exist */
};

/*
 * Opens, makes it where it is missing. Returns 0, or with the reason in `why`: -EBADMSG (no database, a broken one, or
 * somebody else's), -EPROTO (of a newer version), -ENOENT (is_command), or another -errno.
 */
int local_open(const struct local_options *options, struct buf *why, struct local **ret_local);
void local_close(struct local *take_local); /* synced and checkpointed; accepts NULL */

const char *local_why(const struct local *local);

enum local_place_state {
    LOCAL_IN_PLACE,
    LOCAL_REMOVED,  /* nothing stands at the path: it can be brought back from what is open, local_restore_on() */
    LOCAL_REPLACED, /* another file does, or the log was taken away: to be closed, and opened again */
};
enum local_place_state local_look(const struct local *local);

/*
 * Copies about `n_pages` pages of a file that was removed; it is used on meanwhile. Returns 1 (to be called again), 0
 * (a file stands at the path again: close this one, and open that) or a negative error.
 */
int local_restore_on(struct local *local, int n_pages);

/* The key that all keys are hashed with; and whether it is that of a shared store. */
const uint8_t *local_hash_key(const struct local *local);
bool local_key_is_shared(const struct local *local);

/* This key counts from now on, a shared store's: rows under another one are dropped. Returns 0 or -EIO. */
int local_adopt_key(struct local *local, const uint8_t key[GREYLIST_KEY_SIZE], uint64_t *ret_dropped);

/*
 * How far the shared store's clock was ahead of this host's when it was last measured; 0: never. What is written into a
 * store that is shared goes by that clock.
 */
int64_t local_shared_ahead_ms(const struct local *local);
int local_keep_shared_ahead(struct local *local, int64_t ahead_ms); /* returns 0 or a negative error */

/* The shared store that was told of all rows here, in its own words (shared.h); "": none. */
const char *local_shared_server(const struct local *local);
int local_keep_shared_server(struct local *local, const char *server); /* returns 0 or a negative error */

/* Whether somebody else, a command, has written since this was asked last (the first time: perhaps). */
bool local_was_written(struct local *local);

/* ---- rows */

/* Fills in the rows whose keys are given, and `has`. */
int local_read(struct local *local, struct row *rows, bool *has, size_t n);

/* One transaction. `is_pending`: the shared store has yet to hear of them. */
int local_merge(struct local *local, const struct row *rows, size_t n, int64_t now, bool is_pending);

/* Up to `max` rows, in the order of their keys, from this key on. */
int local_rows_from(struct local *local, int64_t from, struct row *rows, size_t max, size_t *ret_n);

/* Up to `max` rows that the shared store has not heard of. */
int local_pending(struct local *local, struct row *rows, size_t max, size_t *ret_n);
/* It has heard of these; a row that is another one by now stays pending. */
int local_settle(struct local *local, const struct row *rows, size_t n);

struct local_counts {
    uint64_t rows, names, pending;
    uint64_t bytes; /* of the file, without its log */
};
/* Walks the tables: for commands. */
int local_count(struct local *local, struct local_counts *ret_counts);

/*
 * Goes on counting rows, and then pending ones, as many as takes about `budget_us`. `ret_counts` (all but names) is
 * what this round has counted so far; *ret_is_round becomes true when that is all. Rows that come or go meanwhile may
 * be counted or not. Returns 0 or a negative error.
 */
int local_count_on(struct local *local, uint64_t budget_us, struct local_counts *ret_counts, bool *ret_is_round);

/*
 * Drops rows that are spent, and names without a row, from the next part of their table: as much as takes about
 * `budget_us`.
 * Returns 0 or a negative error; `ret_dropped` counts rows, and *ret_is_round becomes true at the table's end.
 */
int local_sweep(struct local *local, int64_t now, uint64_t budget_us, uint64_t *ret_dropped, bool *ret_is_round);

/* ---- names: for people, beside the hot table */

struct local_name {
    int64_t key;
    struct str identity, sender, recipient; /* of an identity's own row the last two are empty */
    bool is_triplet;
};

/* One transaction. A key that is named twice is shown once. */
int local_write_names(struct local *local, const struct local_name *names, size_t n);

/* Every row that has a name, in no order. A result of `fn` other than 0 ends it and is returned. */
typedef int local_fn(void *arg, const struct local_name *name, const struct row *row);
int local_each(struct local *local, local_fn *fn, void *arg);
