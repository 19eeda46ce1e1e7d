/*
 * bound: how many new triplets has each network had, and which networks are crowded (greylist.h)?
 *
 * One in the store process, in memory of a fixed size whatever number of networks there is: counters that a network
 * finds by two hashes, of which the lower counts (a count-min sketch). Networks that meet in both are counted together,
 * so one may be held for crowded too early, never too late; that costs it nothing but rows of its own. The hashes are
 * of a key that no one outside the process has.
 *
 * Counts are of one period and begin at zero with the next, and with a new process. Pure but for the key: the time is
 * given.
 */
#pragma once

#include "base/hash.h"
#include "store/greylist.h"

enum {
    BOUND_HASHES = 2,
    BOUND_COUNTERS = 32768, /* each hash; 256 KiB in all */
    BOUND_WIDE = 16,        /* an IPv6 /48 may have as many times what a /64 may */
};

struct bound {
    uint32_t max, period_s; /* max 0: no network is ever crowded */
    uint64_t period_end_s;  /* on a clock that does not jump; 0: none has begun */
    uint8_t keys[BOUND_HASHES][HASH_KEY_SIZE];
    uint32_t counts[BOUND_HASHES][BOUND_COUNTERS];
};

void bound_init(struct bound *bound);
/* Other settings count from now on; what was counted stays. */
void bound_set(struct bound *bound, uint32_t max, uint32_t period_s);
/* Begins another period when one is over. `now_s` is of any clock that does not jump. */
void bound_tick(struct bound *bound, uint64_t now_s);

/* `is_wide`: the network is one of those that may have BOUND_WIDE times as many. */
bool bound_is_reached(const struct bound *bound, struct str network, bool is_wide);

/* Whether the client's network, or the wider one, is. */
bool bound_is_crowded(const struct bound *bound, const struct greylist_question *question);
/* It has had a new triplet. True: and is crowded from now on. */
bool bound_add(struct bound *bound, const struct greylist_question *question);
