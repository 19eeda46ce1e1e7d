/*
 * cidr: intervals of a family are two 64-bit words wide; IPv4 addresses stand in the upper half of the first word, so
 * that one sort, one merge, one index and one search serve both families.
 *
 * With a million of them each step of a search is a wait for memory, so two indexes narrow it down to a few intervals:
 * one by the first 16 bits, and for what falls together there a second one, by as many bits as there are intervals for,
 * counted from the first bit in which these differ. Real lists are dense in a few places (2001::/16, the networks of
 * large providers), which one index over all bits would not tell apart.
 *
 * Rejected: a radix tree (a pointer to chase for each bit or byte), keeping prefixes apart by length (33 or 129
 * lookups), and a binary search below the first index (1.5 microseconds for a million prefixes in one /16).
 */
#include "table/cidr.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

enum {
    TOP_BITS = 16,
    TOP_SIZE = 1 << TOP_BITS,
    CROWD = 8, /* intervals in one place from which it has an index of its own */
};

struct place { /* an address as a number: hi, then lo */
    uint64_t hi, lo;
};

struct interval {
    struct place first, last;
};

/* Where to look for addresses with the same first 16 bits: intervals [low, high). */
struct top {
    uint32_t low, high;
    uint32_t below;     /* n_bits > 0: its first entry in family->below */
    uint8_t skip;       /* bits that all its intervals share */
    uint8_t n_bits;     /* of the second index, behind those; 0: there is none */
};

struct family {
    struct interval *intervals;
    size_t n, cap;
    struct top *top; /* by the first 16 bits */
    uint32_t *below; /* 2^n_bits + 1 entries each: the first interval that ends there or later */
};

struct cidr_set {
    struct family v4, v6;
};

static struct place place_of(const struct ip *ip) {
    uint64_t words[2];
    memcpy(words, ip->bytes, sizeof(words));
    return (struct place){ be64toh(words[0]), be64toh(words[1]) };
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
    for (struct family *family = &set->v4;; family = &set->v6) {
        free(family->intervals);
        free(family->top);
        free(family->below);
        if (family == &set->v6)
            break;
    }
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

/* Intervals that overlap become one. Lists are often sorted already. */
static void merge(struct family *family) {
    size_t kept = 0, i = 1;
    while (i < family->n && by_first(&family->intervals[i - 1], &family->intervals[i]) <= 0)
        i++;
    if (i < family->n)
        qsort(family->intervals, family->n, sizeof(*family->intervals), by_first);
    for (i = 0; i < family->n; i++) {
        struct interval *last = kept > 0 ? &family->intervals[kept - 1] : NULL;
        if (last == NULL || compare(family->intervals[i].first, last->last) > 0)
            family->intervals[kept++] = family->intervals[i];
        else if (compare(family->intervals[i].last, last->last) > 0)
            last->last = family->intervals[i].last;
    }
    family->n = kept;
}

static size_t top_of(struct place place) {
    return place.hi >> (64 - TOP_BITS);
}

/* The `n` bits behind the first `skip` ones; all of them are in the upper word. */
static size_t bits_of(struct place place, unsigned skip, unsigned n) {
    return (place.hi << skip) >> (64 - n);
}

/* Which bits a crowd is told apart by. 0 of them: it differs in the lower word alone, or hardly. */
static void measure(const struct family *family, struct top *top) {
    size_t n = top->high - top->low;
    uint64_t differ = family->intervals[top->low].first.hi ^ family->intervals[top->high - 1].last.hi;
    top->n_bits = 0;
    /* One that reaches in from the left, or out to the right, shares nothing with the others. */
    if (n < CROWD || differ == 0 || differ >> (64 - TOP_BITS) != 0)
        return;
    top->skip = (uint8_t)__builtin_clzll(differ);
    while ((size_t)1 << top->n_bits < n / 2 && top->skip + top->n_bits < 64)
        top->n_bits++;
}

/* The second index of a crowd. */
static void index_below(const struct family *family, const struct top *top) {
    uint32_t *entries = family->below + top->below;
    size_t size = (size_t)1 << top->n_bits, at = top->low;
    for (size_t i = 0; i < size; i++) {
        while (at < top->high && bits_of(family->intervals[at].last, top->skip, top->n_bits) < i)
            at++;
        entries[i] = (uint32_t)at;
    }
    entries[size] = top->high;
}

static int seal(struct family *family) {
    size_t at = 0, n_below = 0;
    if (family->n == 0)
        return 0;
    merge(family);
    family->top = calloc(TOP_SIZE, sizeof(*family->top));
    if (family->top == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < TOP_SIZE; i++) {
        struct top *top = &family->top[i];
        while (at < family->n && top_of(family->intervals[at].last) < i)
            at++;
        size_t end = at;
        while (end < family->n && top_of(family->intervals[end].first) <= i)
            end++;
        *top = (struct top){ .low = (uint32_t)at, .high = (uint32_t)end, .below = (uint32_t)n_below };
        if (end > at)
            measure(family, top);
        n_below += top->n_bits > 0 ? ((size_t)1 << top->n_bits) + 1 : 0;
        at = end > at ? end - 1 : at; /* the last one may reach further */
    }
    family->below = malloc((n_below + 1) * sizeof(*family->below));
    if (family->below == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < TOP_SIZE; i++) {
        if (family->top[i].n_bits > 0)
            index_below(family, &family->top[i]);
    }
    return 0;
}

int cidr_set_seal(struct cidr_set *set) {
    int r = seal(&set->v4);
    return r < 0 ? r : seal(&set->v6);
}

bool cidr_set_has(const struct cidr_set *set, const struct ip *ip) {
    const struct family *family = ip->family == IP_V4 ? &set->v4 : &set->v6;
    if (family->top == NULL || ip->family == IP_NONE)
        return false;
    struct place place = place_of(ip);
    const struct top *top = &family->top[top_of(place)];
    size_t low = top->low, high = top->high;
    if (top->n_bits > 0) {
        /* An address without the shared bits is in none; any place it is looked for at says so. */
        const uint32_t *entry = family->below + top->below + bits_of(place, top->skip, top->n_bits);
        low = entry[0];
        high = entry[1] < top->high ? entry[1] + 1 : top->high; /* that one may begin here and end there */
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(family->intervals[middle].last, place) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < top->high && compare(family->intervals[low].first, place) <= 0
        && compare(place, family->intervals[low].last) <= 0;
}
