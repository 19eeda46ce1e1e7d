/*
 * cidr_index: which of many disjoint sorted intervals may hold an address?
 *
 * Addresses are numbers of 128 bits; those of IPv4 stand in the uppermost 32 of them. The index is two flat arrays, and
 * holds no interval itself: these may be stored in any form, as long as their numbers stay.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct place { /* an address as a number */
    uint64_t hi, lo;
};

struct interval {
    struct place first, last;
};

/* What a step tells apart: intervals whose first `skip` bits are the same, by the next `n_bits`. */
struct cidr_node {
    uint32_t entries; /* where its 2^n_bits entries begin */
    uint8_t skip, n_bits;
};

/* An entry: the first interval that ends there or later, or a node to go on with. */
enum {
    CIDR_INTERVALS_MAX = INT32_MAX,
    CIDR_CROWD = 8, /* intervals in one place beyond which it is a node of its own */
};
#define CIDR_ENTRY_NODE UINT32_C(0x80000000)

struct cidr_index {
    struct cidr_node *nodes; /* the first one is where a search begins; NULL without intervals */
    uint32_t *entries;
};

static inline int place_compare(struct place a, struct place b) {
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

/*
 * `width`: how many bits of an address the intervals differ in, the rest of `first` being 0 and of `last` 1. They are
 * disjoint and sorted, and may go afterwards. Returns 0 or -ENOMEM, also for more than CIDR_INTERVALS_MAX.
 */
int cidr_index_init(struct cidr_index *index, const struct interval *intervals, size_t n, unsigned width);
void cidr_index_deinit(struct cidr_index *index);

/*
 * The number of an interval: it, or one of the CIDR_CROWD - 1 next ones, holds the address, or none does. May be the
 * number behind the last one. Of an address without the bits that intervals share it may be any: it is in none.
 */
static inline size_t cidr_index_find(const struct cidr_index *index, struct place place) {
    if (index->nodes == NULL)
        return 0;
    for (const struct cidr_node *node = index->nodes;;) {
        const unsigned skip = node->skip;
        uint64_t rest = place.hi;
        if (skip >= 64)
            rest = place.lo << (skip - 64);
        else if (skip > 0)
            rest = place.hi << skip | place.lo >> (64 - skip);
        uint32_t entry = index->entries[node->entries + (rest >> (64 - node->n_bits))];
        if ((entry & CIDR_ENTRY_NODE) == 0)
            return entry;
        node = &index->nodes[entry & ~CIDR_ENTRY_NODE];
    }
}
