/*
 * cidr: intervals of a family are two 64-bit words wide; IPv4 addresses stand in the upper half of the first word, so
 * that one sort, one merge, one index and one search serve both families.
 *
 * Rejected: a radix tree (a pointer to chase for each bit or byte), and keeping prefixes apart by length (33 or 129
 * lookups).
 */
#include "table/cidr.h"

#include <errno.h>
#include <stdlib.h>

enum { INDEX_BITS = 16, INDEX_SIZE = (1 << INDEX_BITS) + 1 };

struct place { /* an address as a number: hi, then lo */
    uint64_t hi, lo;
};

struct interval {
    struct place first, last;
};

struct family {
    struct interval *intervals;
    size_t n, cap;
    uint32_t *index; /* by the first 16 bits: the first interval that ends there or later */
};

struct cidr_set {
    struct family v4, v6;
};

static struct place place_of(const struct ip *ip) {
    struct place p = { 0 };
    for (int i = 0; i < 8; i++) {
        p.hi = p.hi << 8 | ip->bytes[i];
        p.lo = p.lo << 8 | ip->bytes[8 + i];
    }
    return p;
}

static int compare(struct place a, struct place b) {
    if (a.hi != b.hi)
        return a.hi < b.hi ? -1 : 1;
    return a.lo < b.lo ? -1 : a.lo > b.lo;
}

static int by_first(const void *a, const void *b) {
    return compare(((const struct interval *)a)->first, ((const struct interval *)b)->first);
}

struct cidr_set *cidr_set_new(void) {
    return calloc(1, sizeof(struct cidr_set));
}

void cidr_set_free(struct cidr_set *set) {
    if (set == NULL)
        return;
    free(set->v4.intervals);
    free(set->v4.index);
    free(set->v6.intervals);
    free(set->v6.index);
    free(set);
}

/* The last address of a prefix: all bits behind it are ones; of an IPv4 address only the 32 that it has. */
static struct place last_of(struct place first, const struct cidr *prefix) {
    unsigned width = prefix->ip.family == IP_V4 ? 32 : 128;
    for (unsigned bit = prefix->bits; bit < width; bit++) {
        if (bit < 64)
            first.hi |= UINT64_C(1) << (63 - bit);
        else
            first.lo |= UINT64_C(1) << (127 - bit);
    }
    return first;
}

int cidr_set_add(struct cidr_set *set, const struct cidr *prefix) {
    struct family *family = prefix->ip.family == IP_V4 ? &set->v4 : &set->v6;
    if (family->n == family->cap) {
        size_t cap = family->cap == 0 ? 16 : family->cap * 2;
        struct interval *larger = reallocarray(family->intervals, cap, sizeof(*larger));
        if (larger == NULL)
            return -ENOMEM;
        family->intervals = larger;
        family->cap = cap;
    }
    struct place first = place_of(&prefix->ip);
    family->intervals[family->n++] = (struct interval){ first, last_of(first, prefix) };
    return 0;
}

/* Intervals that overlap become one. */
static void merge(struct family *family) {
    size_t kept = 0;
    qsort(family->intervals, family->n, sizeof(*family->intervals), by_first);
    for (size_t i = 0; i < family->n; i++) {
        struct interval *last = kept > 0 ? &family->intervals[kept - 1] : NULL;
        if (last == NULL || compare(family->intervals[i].first, last->last) > 0)
            family->intervals[kept++] = family->intervals[i];
        else if (compare(family->intervals[i].last, last->last) > 0)
            last->last = family->intervals[i].last;
    }
    family->n = kept;
}

static int seal(struct family *family) {
    if (family->n == 0)
        return 0;
    merge(family);
    family->index = calloc(INDEX_SIZE, sizeof(*family->index));
    if (family->index == NULL)
        return -ENOMEM;
    size_t at = 0;
    for (uint64_t top = 0; top < INDEX_SIZE - 1; top++) {
        while (at < family->n && family->intervals[at].last.hi >> (64 - INDEX_BITS) < top)
            at++;
        family->index[top] = (uint32_t)at;
    }
    family->index[INDEX_SIZE - 1] = (uint32_t)family->n;
    return 0;
}

int cidr_set_seal(struct cidr_set *set) {
    int r = seal(&set->v4);
    return r < 0 ? r : seal(&set->v6);
}

bool cidr_set_has(const struct cidr_set *set, const struct ip *ip) {
    const struct family *family = ip->family == IP_V4 ? &set->v4 : &set->v6;
    if (family->index == NULL || ip->family == IP_NONE)
        return false;
    struct place place = place_of(ip);
    uint64_t top = place.hi >> (64 - INDEX_BITS);
    size_t low = family->index[top];
    size_t high = family->index[top + 1]; /* the first that ends behind this stretch: it may begin inside */
    high = high < family->n ? high + 1 : family->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(family->intervals[middle].last, place) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < family->n && compare(family->intervals[low].first, place) <= 0
        && compare(place, family->intervals[low].last) <= 0;
}
