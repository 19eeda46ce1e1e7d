/*
 * budget: how much of a whole may one part take?
 *
 * Budgets form a tree by `whole`: a client's is part of its network's, which is part of a worker's. Taking counts in
 * all of them and is refused when one has no room. A part that is_shared takes no more than is left for all others, so
 * one alone has at most half of the whole, two have a third each, and some of it is always free for one who comes late
 * and wants little (dynamic thresholds, Choudhury and Hahne 1998).
 *
 * Embedded; a part must not outlive its whole while something is taken. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct budget {
    struct budget *whole; /* NULL: it is the whole */
    uint64_t used, max;
    bool is_shared;
};

/* Takes `n` of it and of all it is part of. False: one has no room, and nothing is taken. NULL has all the room. */
bool budget_take(struct budget *budget, uint64_t n);

/* Gives `n` back that were taken. Accepts NULL. */
void budget_give(struct budget *budget, uint64_t n);
