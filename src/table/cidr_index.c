/*
 * cidr_index: a step of a search looks at as many bits as there are intervals to be told apart.
 *
 * With a million intervals each step is a wait for memory, so there should be two: an entry, and the intervals it
 * names. Where addresses are spread evenly they are told apart by their first 19 bits or so. Real lists are dense in a
 * few places (2001::/16, the networks of large providers); where more than CIDR_CROWD intervals fall together they are
 * a node of their own, by as many bits as there are intervals in it, counted from the first one in which these differ.
 * So the index follows the list, a list of two prefixes needs a few bytes, and each node takes three bits at least.
 *
 * Rejected: a radix tree (a pointer to chase for each bit or byte), keeping prefixes apart by length (33 or 129
 * lookups), a binary search below one index by the first bits (1.5 microseconds for a million prefixes in one /16), a
 * fixed first index of 16 bits with a second one below (a third wait for lists without crowds; half a MiB for two
 * prefixes), entries that hold the node they lead to (twice the memory, and slower for it), and to keep and compare the
 * bits that are skipped: the interval that is found says as much.
 */
#include "table/cidr_index.h"

#include <errno.h>
#include <stdlib.h>

enum { NODE_BITS_MAX = 20 };

struct builder {
    const struct interval *intervals;
    unsigned width;
    struct cidr_node *nodes;
    uint32_t *entries;
    size_t n_nodes, n_entries, cap_nodes, cap_entries;
};

/* ---- numbers of 128 bits */

/* The lowest `n` bits. */
static struct place ones(unsigned n) {
    if (n >= 128)
        return (struct place){ UINT64_MAX, UINT64_MAX };
    if (n >= 64)
        return (struct place){ n > 64 ? UINT64_MAX >> (128 - n) : 0, UINT64_MAX };
    return (struct place){ 0, n > 0 ? UINT64_MAX >> (64 - n) : 0 };
}

static struct place shift_left(uint64_t x, unsigned n) {
    if (n >= 64)
        return (struct place){ x << (n - 64), 0 };
    return (struct place){ n > 0 ? x >> (64 - n) : 0, x << n };
}

static struct place both(struct place a, struct place b) {
    return (struct place){ a.hi | b.hi, a.lo | b.lo };
}

static struct place without(struct place a, struct place b) {
    return (struct place){ a.hi & ~b.hi, a.lo & ~b.lo };
}

/* How many first bits two places share. */
static unsigned shared(struct place a, struct place b) {
    if (a.hi != b.hi)
        return (unsigned)__builtin_clzll(a.hi ^ b.hi);
    return a.lo != b.lo ? 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo) : 128;
}

static struct place later(struct place a, struct place b) {
    return place_compare(a, b) > 0 ? a : b;
}

static struct place earlier(struct place a, struct place b) {
    return place_compare(a, b) < 0 ? a : b;
}

/* ---- building */

/* Room for `more` elements, doubling. */
static void *grow(void *at, size_t *cap, size_t n, size_t more, size_t size) {
    if (n + more <= *cap)
        return at;
    size_t larger = *cap * 2 > n + more ? *cap * 2 : n + more;
    void *to = reallocarray(at, larger, size);
    if (to != NULL)
        *cap = larger;
    return to;
}

static int new_node(struct builder *b, uint32_t *ret_number) {
    struct cidr_node *nodes = grow(b->nodes, &b->cap_nodes, b->n_nodes, 1, sizeof(*nodes));
    if (nodes == NULL || b->n_nodes >= CIDR_ENTRY_NODE)
        return -ENOMEM;
    b->nodes = nodes;
    *ret_number = (uint32_t)b->n_nodes++;
    return 0;
}

static int new_entries(struct builder *b, size_t n, uint32_t *ret_at) {
    uint32_t *entries = grow(b->entries, &b->cap_entries, b->n_entries, n, sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    b->entries = entries;
    if (b->n_entries + n > UINT32_MAX)
        return -ENOMEM;
    *ret_at = (uint32_t)b->n_entries;
    b->n_entries += n;
    return 0;
}

static unsigned bits_for(size_t n, unsigned most) {
    unsigned bits = 1;
    while (bits < most && bits < NODE_BITS_MAX && (size_t)2 << bits <= n)
        bits++;
    return bits;
}

/* The node of the intervals [low, high), as far as they lie within `range`. */
static int build(struct builder *b, size_t low, size_t high, struct interval range, uint32_t *ret_number) {
    const struct interval *all = b->intervals;
    struct place first = later(all[low].first, range.first), last = earlier(all[high - 1].last, range.last);
    unsigned skip = shared(first, last);
    skip = skip < b->width ? skip : b->width - 1; /* a single address: its last bit will do */
    const unsigned n_bits = bits_for(high - low, b->width - skip), below = 128 - skip - n_bits;
    const struct place prefix = without(first, ones(128 - skip));
    struct cidr_node node = { .skip = (uint8_t)skip, .n_bits = (uint8_t)n_bits };
    int r = new_node(b, ret_number);
    if (r == 0)
        r = new_entries(b, (size_t)1 << n_bits, &node.entries);
    size_t at = low;
    for (uint32_t i = 0; i < UINT32_C(1) << n_bits && r == 0; i++) {
        struct interval part = { .first = both(prefix, shift_left(i, below)) };
        part.last = both(part.first, ones(below));
        while (at < high && place_compare(all[at].last, part.first) < 0)
            at++;
        size_t end = at;
        while (end < high && place_compare(all[end].first, part.last) <= 0)
            end++;
        uint32_t entry = (uint32_t)at, child;
        if (end - at > CIDR_CROWD && (r = build(b, at, end, part, &child)) == 0)
            entry = CIDR_ENTRY_NODE | child;
        b->entries[node.entries + i] = entry;
    }
    if (r == 0)
        b->nodes[*ret_number] = node;
    return r;
}

int cidr_index_init(struct cidr_index *index, const struct interval *intervals, size_t n, unsigned width) {
    struct builder b = { .intervals = intervals, .width = width };
    uint32_t first;
    *index = (struct cidr_index){ 0 };
    if (n == 0)
        return 0;
    int r = n <= CIDR_INTERVALS_MAX ? build(&b, 0, n, (struct interval){ .last = ones(128) }, &first) : -ENOMEM;
    if (r < 0) {
        free(b.nodes);
        free(b.entries);
        return r;
    }
    *index = (struct cidr_index){ b.nodes, b.entries };
    return 0;
}

void cidr_index_deinit(struct cidr_index *index) {
    free(index->nodes);
    free(index->entries);
}
