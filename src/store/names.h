/*
 * names: who stands behind new rows, for people (`postern greylist`), written to the local store after the answers.
 *
 * The hot table holds hashes alone. Names gather here until a slice is full or nobody waits; what a crash takes are
 * words for a few rows, never a row.
 */
#pragma once

#include "store/batch.h"
#include "store/local.h"

enum { NAMES_SLICE = 256 }; /* a few milliseconds */

struct names {
    struct arena arena;
    struct local_name at[NAMES_SLICE + BATCH_KEYS_MAX];
    size_t n;
};

/* Notes those of the batch's rows that the local store did not hold and has now. Without memory they stay nameless. */
void names_add(struct names *names, const struct batch *batch);

static inline bool names_are_due(const struct names *names) {
    return names->n >= NAMES_SLICE;
}

/* Writes and forgets them. Returns what local_write_names() does. */
int names_write(struct names *names, struct local *local);
void names_deinit(struct names *names);
