/*
 * batch: the questions that are answered together, and what both stores know of them.
 *
 * Every key that a question of the batch touches stands once in `rows`, sorted by key, so that two questions about one
 * triplet see each other, the stores read and write each row once, and two hosts that share a server lock rows in the
 * same order. Pure: no clock, no I/O. One batch is made once and used again and again:
 *
 *     batch_add() … ─▶ batch_find_keys() ─▶ the stores read into local, shared ─▶ batch_decide() ─▶ the stores merge
 *     batch_changes_of() ─▶ answers go out ─▶ batch_clear()
 */
#pragma once

#include "base/arena.h"
#include "store/bound.h"
#include "store/message.h"

enum { BATCH_MAX = 100, BATCH_KEYS_MAX = BATCH_MAX * GREYLIST_KEYS_MAX };

/* What a store holds, by the place of its key. */
struct batch_rows {
    struct row at[BATCH_KEYS_MAX];
    bool has[BATCH_KEYS_MAX];
};

struct batch_item {
    void *asker; /* NULL: gone, nobody hears the answer */
    uint32_t number;
    bool is_credit;
    bool is_waiting; /* its answer depends on rows that this batch writes */
    bool is_last_own; /* its network is crowded from now on */
    bool is_grouped; /* its network is crowded, and it was decided by a row that it shares */
    struct greylist_question question;
    uint16_t places[GREYLIST_KEYS_MAX]; /* of its keys, in the order of struct greylist_rows */
    struct greylist_answer answer;
};

struct batch {
    struct arena arena; /* what the questions show */
    struct batch_item items[BATCH_MAX];
    size_t n_items;
    size_t n_keys;
    struct batch_rows local, shared, now; /* as read, and as they are to be */
    bool is_changed[BATCH_KEYS_MAX];      /* by more than a refresh */
};

static inline bool batch_is_full(const struct batch *batch) {
    return batch->n_items == BATCH_MAX;
}

/* Copies a question or a credit. Only while it is not full. Returns 0 or -ENOMEM. */
int batch_add(struct batch *batch, void *asker, const struct store_message *message);

/* The keys of all questions, sorted, in local, shared and now; no row is known yet. */
void batch_find_keys(struct batch *batch, const struct bound *bound, const uint8_t key[GREYLIST_KEY_SIZE]);

/* Joins what both stores hold, and decides each question, in the order in which they came; new triplets are counted. */
void batch_decide(struct batch *batch, const struct greylist_settings *settings, struct bound *bound, int64_t now);

/*
 * The rows that a store, which holds `held`, has to merge; at most BATCH_KEYS_MAX, sorted. Returns how many, and
 * whether an answer waits for one of them.
 */
size_t batch_changes_of(const struct batch *batch, const struct batch_rows *held, int64_t now, struct row *ret_rows,
                        bool *ret_is_waited_for);

/* Nobody waits for answers of `asker` any more. */
void batch_forget(struct batch *batch, const void *asker);
void batch_clear(struct batch *batch);
void batch_deinit(struct batch *batch);
