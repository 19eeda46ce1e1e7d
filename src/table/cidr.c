/*
 * cidr: disjoint sorted intervals, and an index of them (cidr_index.h), in three families: IPv4, IPv6 networks (up to
 * /64, as most of them are), and smaller ones.
 *
 * While a set is built, intervals of all families are two numbers of 128 bits, so that one sort, one merge and one
 * index serve all. Then they are packed into as many bytes as their family needs, 8 for IPv4: a lookup in a million of
 * them is two waits for memory, and the less of it there is, the more of it is near.
 */
#include "table/cidr.h"

#include "table/cidr_index.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

struct packed4 { /* the first 32 bits */
    uint32_t first, last;
};

struct packed6 { /* the first 64 */
    uint64_t first, last;
};

enum { V4, V6_NETWORKS, V6_SMALL, N_FAMILIES };

static const unsigned widths[N_FAMILIES] = { 32, 64, 128 };

struct family {
    struct interval *building;
    size_t cap, n;
    void *packed; /* once sealed: struct packed4, packed6, interval */
    struct cidr_index index;
};

struct cidr_set {
    struct family families[N_FAMILIES];
};

static struct place place_of(const struct ip *ip) {
    uint64_t words[2];
    memcpy(words, ip->bytes, sizeof(words));
    return (struct place){ be64toh(words[0]), be64toh(words[1]) };
}

static int by_first(const void *a, const void *b) {
    return place_compare(((const struct interval *)a)->first, ((const struct interval *)b)->first);
}

struct cidr_set *cidr_set_new(void) {
    return calloc(1, sizeof(struct cidr_set));
}

void cidr_set_free(struct cidr_set *set) {
    if (set == NULL)
        return;
    for (unsigned i = 0; i < N_FAMILIES; i++) {
        struct family *family = &set->families[i];
        free(family->building);
        free(family->packed);
        cidr_index_deinit(&family->index);
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
    struct family *family = &set->families[prefix->ip.family == IP_V4 ? V4
                                           : prefix->bits <= 64 ? V6_NETWORKS : V6_SMALL];
    if (family->n == family->cap) {
        size_t cap = family->cap == 0 ? 16 : family->cap * 2;
        struct interval *larger = reallocarray(family->building, cap, sizeof(*larger));
        if (larger == NULL)
            return -ENOMEM;
        family->building = larger;
        family->cap = cap;
    }
    struct place first = place_of(&prefix->ip);
    family->building[family->n++] = (struct interval){ first, last_of(first, prefix) };
    return 0;
}

/* Intervals that overlap become one. Lists are often sorted already. */
static void merge(struct family *family) {
    size_t kept = 0, i = 1;
    while (i < family->n && by_first(&family->building[i - 1], &family->building[i]) <= 0)
        i++;
    if (i < family->n)
        qsort(family->building, family->n, sizeof(*family->building), by_first);
    for (i = 0; i < family->n; i++) {
        struct interval *last = kept > 0 ? &family->building[kept - 1] : NULL;
        if (last == NULL || place_compare(family->building[i].first, last->last) > 0)
            family->building[kept++] = family->building[i];
        else if (place_compare(family->building[i].last, last->last) > 0)
            last->last = family->building[i].last;
    }
    family->n = kept;
}

static size_t packed_size(unsigned width) {
    return width == 32 ? sizeof(struct packed4) : width == 64 ? sizeof(struct packed6) : sizeof(struct interval);
}

/* In their own place: each takes no more room than it had. */
static void pack(struct family *family, unsigned width) {
    struct interval *all = family->building;
    for (size_t i = 0; i < family->n && width < 128; i++) {
        const struct interval at = all[i];
        const struct packed4 packed4 = { (uint32_t)(at.first.hi >> 32), (uint32_t)(at.last.hi >> 32) };
        const struct packed6 packed6 = { at.first.hi, at.last.hi };
        char *to = (char *)all + i * packed_size(width);
        memcpy(to, width == 32 ? (const void *)&packed4 : &packed6, packed_size(width));
    }
    void *smaller = realloc(all, family->n * packed_size(width) + 1);
    family->packed = smaller != NULL ? smaller : all;
    family->building = NULL;
}

int cidr_set_seal(struct cidr_set *set) {
    for (unsigned i = 0; i < N_FAMILIES; i++) {
        struct family *family = &set->families[i];
        merge(family);
        int r = cidr_index_init(&family->index, family->building, family->n, widths[i]);
        if (r < 0)
            return r;
        pack(family, widths[i]);
    }
    return 0;
}

static size_t end_of_search(const struct family *family, size_t from) {
    return from + CIDR_CROWD < family->n ? from + CIDR_CROWD : family->n;
}

static bool has_v4(const struct family *family, struct place place) {
    const struct packed4 *all = family->packed;
    const uint32_t number = (uint32_t)(place.hi >> 32);
    size_t i = cidr_index_find(&family->index, place), end = end_of_search(family, i);
    while (i < end && all[i].last < number)
        i++;
    return i < end && all[i].first <= number;
}

static bool has_v6(const struct family *family, struct place place) {
    const struct packed6 *all = family->packed;
    size_t i = cidr_index_find(&family->index, place), end = end_of_search(family, i);
    while (i < end && all[i].last < place.hi)
        i++;
    return i < end && all[i].first <= place.hi;
}

static bool has_small_v6(const struct family *family, struct place place) {
    const struct interval *all = family->packed;
    size_t i = cidr_index_find(&family->index, place), end = end_of_search(family, i);
    while (i < end && place_compare(all[i].last, place) < 0)
        i++;
    return i < end && place_compare(all[i].first, place) <= 0;
}

bool cidr_set_has(const struct cidr_set *set, const struct ip *ip) {
    const struct place place = place_of(ip);
    switch ((enum ip_family)ip->family) {
    case IP_V4:
        return has_v4(&set->families[V4], place);
    case IP_V6:
        return has_v6(&set->families[V6_NETWORKS], place) || has_small_v6(&set->families[V6_SMALL], place);
    case IP_NONE:
        break;
    }
    return false;
}
