/*
 * beat: how a process shows another one that its loop still turns, and what it was doing when it does not.
 *
 * A beat lives in memory that both share. The loop (loop_beat()) writes it twice a turn: before it waits, by when it
 * will be awake again; when it is awake, that it is. So an idle process need not be woken to prove that it lives.
 * Before each callback it writes the callback's name, a pointer to a literal of the program, which is the same in every
 * process that the master forks.
 *
 * Who watches counts looks, not time: a look counts when the beat is overdue and has not moved since the last look. A
 * host that was suspended, or a watcher that was itself stopped for an hour, costs one look.
 *
 * The watched process may have been taken over: what stands here is bounded when it is read, and believed in nothing
 * but this.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    BEAT_WAIT_MAX_MS = 5000, /* the longest wait of a loop that is watched */
    BEAT_WHOSE_MAX = 16,
    BEAT_TEXT_MAX = 128,
};

struct beat { /* one writer, any reader; all-zero: none yet */
    _Atomic uint64_t due_ms;            /* clock_ms() by which the next one comes; 0: there is no loop yet */
    _Atomic(const char *) doing;        /* of the program; NULL: nothing */
    _Atomic uint8_t whose[BEAT_WHOSE_MAX]; /* letters and digits: the id of the session it is done for; else empty */
};

static inline void beat_doing(struct beat *beat, const char *name) {
    atomic_store_explicit(&beat->doing, name, memory_order_relaxed);
    atomic_store_explicit(&beat->whose[0], 0, memory_order_relaxed);
}

/* For whom the callback that runs is at work. `id` is cut to what there is room for. */
void beat_whose(struct beat *beat, const char *id);

struct beat_look { /* what a watcher remembers of one process; all-zero when the process starts */
    uint64_t due_ms;
    unsigned n_still; /* looks in a row that saw it overdue and unmoved */
};

/* Looks once. Returns true when it has now stood still for `n_looks` looks (more than 0) or more. */
bool beat_look(struct beat_look *look, const struct beat *beat, uint64_t now_ms, unsigned n_looks);

/* "net/stream.c:on_event (a client) 1g2h3j4k5l6m7n", for the log. Returns `out`. */
char *beat_format(const struct beat *beat, char out[BEAT_TEXT_MAX]);
