/*
 * counters: what the store process shows of itself in memory that it shares with the master, so that asking costs it
 * nothing. One writer, any reader.
 */
#pragma once

#include "net/beat.h"

#include <stdatomic.h>
#include <stdint.h>

enum store_state { /* of the local store, and of the shared one */
    STORE_STATE_OFF,  /* not configured */
    STORE_STATE_DOWN,
    STORE_STATE_FULL, /* the local one: it can be read, and records nothing */
    STORE_STATE_UP,
};

enum { STORE_WHY_MAX = 320 };

struct store_counters {
    struct beat beat;            /* of its loop; the master watches it */
    _Atomic uint64_t started_ms; /* wall clock; 0: not ready yet */
    _Atomic uint64_t asked, credits, unavailable, batches;
    _Atomic uint64_t latency_us; /* from the first question of a batch to its last answer, moving average */
    _Atomic uint64_t longest_us; /* the longest of these */
    _Atomic uint64_t rounds; /* times that all rows were counted */
    _Atomic uint64_t rows, pending, bytes; /* as last counted, which takes minutes where there are millions */
    _Atomic uint64_t grouped; /* attempts of crowded networks, which got no row of their own (greylist.h) */
    _Atomic uint64_t crowded; /* times that a network became so */
    _Atomic uint64_t swept; /* rows that had expired, and were dropped, in either store */
    _Atomic uint32_t local, shared; /* enum store_state */
    /* Why the local or the shared store was last lost. Odd while it is being written: read it again. */
    _Atomic uint32_t why_version;
    char why[STORE_WHY_MAX];
};
