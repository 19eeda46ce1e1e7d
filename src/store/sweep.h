/*
 * sweep: which part of the shared store is looked through next for rows that say nothing any more.
 *
 * Nobody but the hosts tidies up there, and each of them does: from a place of its own on, a range of keys at a time,
 * round and round. Keys are hashes, so ranges of a width hold about as many rows. The width goes by how long a range
 * took, since a question that comes meanwhile waits for its end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sweep {
    int64_t from, to; /* the range that is next, both included */
    unsigned bits;    /* of its width */
};

void sweep_init(struct sweep *sweep, uint64_t place);

/* Moves on. Where the range could not be looked through, a smaller one is next. */
void sweep_next(struct sweep *sweep, bool is_done, uint64_t took_us);
