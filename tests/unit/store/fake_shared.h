/*
 * A shared store in memory, for tests: it does what its test says, when it says so. Nothing completes by itself.
 */
#pragma once

#include "store/greylist.h"
#include "store/shared.h"

enum { FAKE_ROWS_MAX = 20000 };

struct fake_shared {
    uint8_t key[GREYLIST_KEY_SIZE];
    const char *server; /* "": it is never another one */
    struct row rows[FAKE_ROWS_MAX]; /* in no order */
    size_t n_rows;
    const struct shared_events *events;
    void *arg;
    bool is_open;
    uint8_t offered_key[GREYLIST_KEY_SIZE]; /* what open() was given */
    bool was_offered_key;
    /* what is under way */
    struct row *reading;
    bool *reading_has;
    const struct row *merging;
    size_t n;
    int64_t now;
    int64_t sweep_from, sweep_to;
    bool is_sweeping;
    const char *sweep_problem; /* it is refused so */
    unsigned n_reads, n_merges, n_sweeps;
    size_t largest;
};

/* The one that fake_shared_ops opens. */
extern struct fake_shared fake_shared;
extern const struct shared_ops fake_shared_ops;

void fake_shared_reset(uint8_t key_byte);
void fake_shared_up(void);
void fake_shared_clock(int64_t ahead_ms);
void fake_shared_down(void); /* what is under way ends in SHARED_AWAY first */

/* Completes what is under way, if anything. */
void fake_shared_complete(void);

/* The row of a key, or NULL. */
struct row *fake_shared_find(int64_t key);
