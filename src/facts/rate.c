/*
 * rate: see the header. The model: a policy's distinct (kind, window) pairs are its *series*, a handful. A client that
 * is counted has one ring of counters for each, RATE_PARTS whole parts of the window and the one that is running:
 *
 *        now - window                                              now
 *     |  .  |  3  |  0  |  1  |  0  |  0  |  2  |  0  |  4  |  1  |  .  .
 *     └ leaves next                                            └ running
 *
 * The sum of the ring is the answer. It covers the window and what of the oldest part lies before it: the only error,
 * bounded, to the side of counting more, and the same for one event and for a million. A ring is brought up to date
 * when it is written to; reading leaves out what is too old.
 *
 * Clients stand in a hash table under the process's own key and in a list by when they were last heard of. At the
 * bound the one at its end gives way; those whose every window is over go earlier, two for each event, so that a flood
 * is paid back in memory when it is over. Someone with very many addresses can push the counts of others out: then
 * rules about rates do not fire, and nobody is refused for it.
 *
 * Rejected: two counters a window, the older one weighted by what is left of it (smooths a burst away that stands at
 * its wrong end: up to half the count is made up); a time for each event (a client decides how much memory it takes);
 * a table shared by all workers (locks, for what steering gives for nothing).
 */
#include "facts/rate.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

struct series {
    uint64_t part_ms; /* RATE_PARTS of them are the window, rounded up */
    uint32_t window_s;
    uint8_t kind; /* enum rate_kind */
};

struct ring {
    uint64_t part; /* number of the newest one: time divided by part_ms */
    uint32_t counts[RATE_PARTS + 1];
};

struct counted { /* a client */
    struct counted *next; /* in its hash bucket */
    struct counted *older, *newer;
    uint64_t key;
    uint64_t last_ms;
    struct ring rings[]; /* one a series */
};

struct rates {
    struct counted **buckets;
    size_t n_buckets, n_clients, clients_max;
    struct counted *oldest, *newest;
    uint64_t longest_ms; /* of the windows, with what they cover beyond */
    size_t n_series;
    struct series series[];
};

/* ---- rings */

static void ring_add(struct ring *ring, uint64_t part) {
    if (part - ring->part > RATE_PARTS)
        memset(ring->counts, 0, sizeof(ring->counts));
    else
        for (uint64_t i = ring->part + 1; i <= part; i++)
            ring->counts[i % (RATE_PARTS + 1)] = 0;
    ring->part = part;
    uint32_t *count = &ring->counts[part % (RATE_PARTS + 1)];
    *count += *count < UINT32_MAX;
}

static uint64_t ring_sum(const struct ring *ring, uint64_t part) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i <= RATE_PARTS && i <= ring->part; i++)
        if (ring->part - i + RATE_PARTS >= part)
            sum += ring->counts[(ring->part - i) % (RATE_PARTS + 1)];
    return sum;
}

/* ---- clients */

static size_t client_size(size_t n_series) {
    return sizeof(struct counted) + n_series * sizeof(struct ring);
}

static struct counted **bucket_of(const struct rates *rates, uint64_t key) {
    return &rates->buckets[hash_u64(key) & (rates->n_buckets - 1)];
}

static struct counted *find(const struct rates *rates, uint64_t key) {
    struct counted *client = *bucket_of(rates, key);
    while (client != NULL && client->key != key)
        client = client->next;
    return client;
}

static void unlink_from_list(struct rates *rates, struct counted *client) {
    *(client->older != NULL ? &client->older->newer : &rates->oldest) = client->newer;
    *(client->newer != NULL ? &client->newer->older : &rates->newest) = client->older;
}

static void append_to_list(struct rates *rates, struct counted *client) {
    client->older = rates->newest;
    client->newer = NULL;
    *(rates->newest != NULL ? &rates->newest->newer : &rates->oldest) = client;
    rates->newest = client;
}

static void forget(struct rates *rates, struct counted *client) {
    struct counted **at = bucket_of(rates, client->key);
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    unlink_from_list(rates, client);
    rates->n_clients--;
    free(client);
}

static struct counted *add(struct rates *rates, uint64_t key) {
    if (rates->n_clients == rates->clients_max)
        forget(rates, rates->oldest);
    struct counted *client = calloc(1, client_size(rates->n_series));
    if (client == NULL)
        return NULL;
    struct counted **bucket = bucket_of(rates, key);
    client->key = key;
    client->next = *bucket;
    *bucket = client;
    append_to_list(rates, client);
    rates->n_clients++;
    return client;
}

static void forget_two_that_are_over(struct rates *rates, uint64_t now_ms) {
    for (int i = 0; i < 2 && rates->oldest != NULL && rates->oldest->last_ms + rates->longest_ms < now_ms; i++)
        forget(rates, rates->oldest);
}

/* ---- from the policy */

static bool is_rate(const struct slot *slot) {
    return slot->row == &fact_rows[F_CLIENT_RATE];
}

/* Slots are distinct, and so are the series. */
static void add_series(struct rates *rates, const struct slot *slot) {
    uint64_t part_ms = ((uint64_t)slot->window_s * 1000 + RATE_PARTS - 1) / RATE_PARTS;
    uint64_t covered_ms = part_ms * (RATE_PARTS + 1);
    rates->series[rates->n_series++] = (struct series){ .part_ms = part_ms, .window_s = slot->window_s,
                                                        .kind = slot->rate };
    if (rates->longest_ms < covered_ms)
        rates->longest_ms = covered_ms;
}

int rates_new(const struct policy *policy, size_t bytes_max, struct rates **ret_rates) {
    size_t n = 0;
    for (unsigned i = 0; i < policy->n_slots; i++)
        n += is_rate(&policy->slots[i]);
    *ret_rates = NULL;
    if (n == 0)
        return 0;
    struct rates *rates = calloc(1, sizeof(*rates) + n * sizeof(struct series));
    if (rates == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < policy->n_slots; i++)
        if (is_rate(&policy->slots[i]))
            add_series(rates, &policy->slots[i]);
    rates->clients_max = bytes_max / client_size(n) > 0 ? bytes_max / client_size(n) : 1;
    rates->n_buckets = 1;
    while (rates->n_buckets < rates->clients_max)
        rates->n_buckets *= 2;
    rates->buckets = calloc(rates->n_buckets, sizeof(*rates->buckets));
    if (rates->buckets == NULL) {
        free(rates);
        return -ENOMEM;
    }
    *ret_rates = rates;
    return 0;
}

void rates_free(struct rates *take_rates) {
    if (take_rates == NULL)
        return;
    while (take_rates->oldest != NULL)
        forget(take_rates, take_rates->oldest);
    free(take_rates->buckets);
    free(take_rates);
}

/* ---- counting */

void rates_count(struct rates *rates, uint64_t client, enum rate_kind kind, uint64_t now_ms) {
    if (rates == NULL)
        return;
    bool is_asked = false;
    for (size_t i = 0; i < rates->n_series; i++)
        is_asked |= rates->series[i].kind == kind;
    if (!is_asked)
        return;
    forget_two_that_are_over(rates, now_ms);
    struct counted *counted = find(rates, client);
    if (counted != NULL) {
        unlink_from_list(rates, counted);
        append_to_list(rates, counted);
    } else if ((counted = add(rates, client)) == NULL) {
        return;
    }
    counted->last_ms = now_ms;
    for (size_t i = 0; i < rates->n_series; i++)
        if (rates->series[i].kind == kind)
            ring_add(&counted->rings[i], now_ms / rates->series[i].part_ms);
}

uint64_t rates_value(const struct rates *rates, uint64_t client, enum rate_kind kind, uint32_t window_s,
                     uint64_t now_ms) {
    const struct counted *counted = rates != NULL ? find(rates, client) : NULL;
    for (size_t i = 0; counted != NULL && i < rates->n_series; i++)
        if (rates->series[i].kind == kind && rates->series[i].window_s == window_s)
            return ring_sum(&counted->rings[i], now_ms / rates->series[i].part_ms);
    return 0;
}

size_t rates_clients(const struct rates *rates) {
    return rates != NULL ? rates->n_clients : 0;
}

size_t rates_clients_max(const struct rates *rates) {
    return rates != NULL ? rates->clients_max : 0;
}
