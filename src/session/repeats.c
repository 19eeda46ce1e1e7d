/*
 * repeats: a table of what was said lately.
 *
 * Entries stand in an array and are found through chains of indices; they are linked in the order in which they began,
 * which is the order in which they end, so expiring looks at those alone that are due. An entry lives for one window
 * from its first line, whatever comes in it: who never stops does not put off the line that counts him.
 *
 * A network is an entry like the others, under a `what` of its own, which counts lines that were written at once. Its
 * clients share that bound. Beyond it every kind of line of each client is one kept line a minute.
 *
 * Rejected: a Bloom filter or sketch (counts would be wrong), and folding when the journal is read (it is the disk that
 * a client must not fill).
 */
#include "session/repeats.h"

#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 2 * REPEATS_MAX, NONE = 0 /* entry 0 is not used */ };

static const uint64_t WHAT_NETWORK = 1;

struct repeat {
    uint64_t who, what;
    uint64_t began_ms;
    uint64_t n;        /* lines in this window; of a network: those written */
    uint64_t repeated; /* counted with `text` */
    char *text;        /* NULL: none is kept */
    uint32_t len;
    uint16_t chain;         /* next in its bucket, or next free */
    uint16_t older, newer;
    const char *ident;
    char last_id[REPEATS_ID_MAX];
};

struct repeats {
    struct repeats_settings settings;
    uint64_t n_counted;
    size_t texts_len;
    uint16_t oldest, newest, free;
    uint16_t pending; /* whose line repeats_keep() gets */
    uint16_t buckets[BUCKETS];
    struct repeat at[REPEATS_MAX + 1];
};

/* ---- the table */

static uint16_t *bucket_of(struct repeats *repeats, uint64_t who, uint64_t what) {
    return &repeats->buckets[hash_u64(hash_u64(who) ^ what) % BUCKETS];
}

static struct repeat *find(struct repeats *repeats, uint64_t who, uint64_t what) {
    uint16_t i = *bucket_of(repeats, who, what);
    while (i != NONE && (repeats->at[i].who != who || repeats->at[i].what != what))
        i = repeats->at[i].chain;
    return i != NONE ? &repeats->at[i] : NULL;
}

static void unchain(struct repeats *repeats, struct repeat *entry) {
    uint16_t *at = bucket_of(repeats, entry->who, entry->what);
    while (&repeats->at[*at] != entry)
        at = &repeats->at[*at].chain;
    *at = entry->chain;
}

static void write_kept(struct repeats *repeats, struct repeat *entry) {
    if (entry->text == NULL)
        return;
    const struct repeats_line line = { .text = { entry->text, entry->len }, .ident = entry->ident,
                                       .repeated = entry->repeated, .last_id = entry->last_id };
    repeats->settings.write(repeats->settings.arg, &line);
    repeats->texts_len -= entry->len;
    free(entry->text);
    entry->text = NULL;
}

/* Entries end in the order in which they began. */
static void end_oldest(struct repeats *repeats) {
    uint16_t i = repeats->oldest;
    struct repeat *entry = &repeats->at[i];
    assert(i != NONE && entry->older == NONE);
    write_kept(repeats, entry);
    unchain(repeats, entry);
    repeats->oldest = entry->newer;
    *(entry->newer != NONE ? &repeats->at[entry->newer].older : &repeats->newest) = NONE;
    *entry = (struct repeat){ .chain = repeats->free };
    repeats->free = i;
    if (repeats->pending == i)
        repeats->pending = NONE;
}

static struct repeat *begin(struct repeats *repeats, uint64_t who, uint64_t what, uint64_t now_ms) {
    if (repeats->free == NONE)
        end_oldest(repeats);
    uint16_t i = repeats->free;
    struct repeat *entry = &repeats->at[i];
    uint16_t *bucket = bucket_of(repeats, who, what);
    repeats->free = entry->chain;
    *entry = (struct repeat){ .who = who, .what = what, .began_ms = now_ms, .chain = *bucket,
                              .older = repeats->newest };
    *bucket = i;
    *(repeats->newest != NONE ? &repeats->at[repeats->newest].newer : &repeats->oldest) = i;
    repeats->newest = i;
    return entry;
}

static struct repeat *find_or_begin(struct repeats *repeats, uint64_t who, uint64_t what, uint64_t now_ms) {
    struct repeat *entry = find(repeats, who, what);
    return entry != NULL ? entry : begin(repeats, who, what, now_ms);
}

/* ---- for who writes lines */

/* IPv4 /24; of IPv6 a client is a /64 already. */
static uint64_t network_key(const struct ip *client) {
    struct ip network = *client;
    if (network.family == IP_V4)
        network.bytes[3] = 0;
    return ip_client_key(&network);
}

/* Takes a whole line from what the network may have written at once. */
static bool take_from_network(struct repeats *repeats, const struct ip *client, uint64_t max, uint64_t now_ms) {
    if (client == NULL || max == 0)
        return true;
    struct repeat *network = find_or_begin(repeats, network_key(client), WHAT_NETWORK, now_ms);
    if (network->n >= max)
        return false;
    network->n++;
    return true;
}

enum repeats_fate repeats_look(struct repeats *repeats, const struct ip *client, uint64_t what,
                               const struct repeats_limits *limits, const char *id, uint64_t now_ms) {
    uint64_t who = client != NULL ? ip_client_key(client) : 0;
    repeats_expire(repeats, now_ms);
    bool may_write = find_or_begin(repeats, who, what, now_ms)->n < limits->client
        && take_from_network(repeats, client, limits->network, now_ms);
    struct repeat *entry = find_or_begin(repeats, who, what, now_ms); /* the network's may have taken its place */
    entry->n++;
    if (may_write && entry->text == NULL)
        return REPEATS_WRITE;
    snprintf(entry->last_id, sizeof(entry->last_id), "%s", id);
    if (entry->text == NULL) {
        repeats->pending = (uint16_t)(entry - repeats->at);
        return REPEATS_KEEP;
    }
    entry->repeated++;
    repeats->n_counted++;
    return REPEATS_COUNTED;
}

bool repeats_keep(struct repeats *repeats, struct str text, const char *ident) {
    uint16_t i = repeats->pending;
    if (text.len > REPEATS_TEXT_MAX)
        return false;
    while (repeats->texts_len + text.len > REPEATS_TEXTS_MAX && repeats->oldest != i)
        end_oldest(repeats);
    char *copy = i == NONE || repeats->pending != i ? NULL : malloc(text.len > 0 ? text.len : 1);
    if (copy == NULL)
        return false;
    memcpy(copy, text.at, text.len);
    struct repeat *entry = &repeats->at[i];
    entry->text = copy;
    entry->len = (uint32_t)text.len;
    entry->ident = ident;
    repeats->texts_len += text.len;
    repeats->pending = NONE;
    return true;
}

void repeats_expire(struct repeats *repeats, uint64_t now_ms) {
    while (repeats->oldest != NONE && now_ms >= repeats->at[repeats->oldest].began_ms + REPEATS_WINDOW_MS)
        end_oldest(repeats);
}

uint64_t repeats_counted(const struct repeats *repeats) {
    return repeats->n_counted;
}

/* ---- its own life */

int repeats_new(const struct repeats_settings *settings, struct repeats **ret_repeats) {
    struct repeats *repeats = calloc(1, sizeof(*repeats));
    if (repeats == NULL)
        return -ENOMEM;
    repeats->settings = *settings;
    for (uint16_t i = REPEATS_MAX; i > NONE; i--) {
        repeats->at[i].chain = repeats->free;
        repeats->free = i;
    }
    *ret_repeats = repeats;
    return 0;
}

void repeats_free(struct repeats *take_repeats) {
    if (take_repeats == NULL)
        return;
    while (take_repeats->oldest != NONE)
        end_oldest(take_repeats);
    free(take_repeats);
}
