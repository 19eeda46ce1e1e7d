/*
 * sweep: see the header. A range of 2^bits keys begins at a multiple of that, so that the last one ends with the keys.
 *
 * Rejected: an index on what a row's end is (it costs each write three quarters more); one host that sweeps for all
 * (the others would have to know that it is alive).
 */
#include "store/sweep.h"

enum {
    BITS_MIN = 46, /* 262144 ranges: at one a second a round takes three days */
    BITS_BEGIN = 50,
    BITS_MAX = 54,
    FAST_US = 4000, SLOW_US = 10000,
};

static void place(struct sweep *sweep, uint64_t at) {
    uint64_t rest = ((uint64_t)1 << sweep->bits) - 1;
    sweep->from = (int64_t)(at & ~rest);
    sweep->to = (int64_t)(at | rest);
}

void sweep_init(struct sweep *sweep, uint64_t at) {
    sweep->bits = BITS_BEGIN;
    place(sweep, at);
}

void sweep_next(struct sweep *sweep, bool is_done, uint64_t took_us) {
    if ((!is_done || took_us > SLOW_US) && sweep->bits > BITS_MIN)
        sweep->bits--;
    else if (is_done && took_us < FAST_US && sweep->bits < BITS_MAX)
        sweep->bits++;
    place(sweep, (uint64_t)(is_done ? sweep->to : sweep->from) + is_done);
}
