/*
 * resolver_cache: see the header. A hash table of entries that are in one of two lists, each from the latest used to
 * the longest unused (the scheme known as 2Q, or segmented LRU):
 *
 *     put ─▶ NEW ─found─▶ KEPT ─too much (KEPT_SHARE)─▶ NEW ─too much─▶ gone
 *
 * Entries past their time are dropped when they are met; there is nothing to sweep. An entry is one piece of memory:
 * itself, the records, the text, the name.
 */
#include "net/resolver_cache.h"

#include "base/hash.h"

#include <stdlib.h>

enum {
    KEPT_SHARE = 75,        /* per cent of the bytes for what was asked for again */
    BUCKET_BYTES = 256,     /* one bucket for each: about the size of an entry */
    TTL_MAX = 86400,        /* seconds; libunbound's own bounds */
    TTL_NEGATIVE_MAX = 600,
};

struct cached {
    struct cached *next;            /* in its bucket */
    struct cached *newer, *older;   /* in its list */
    uint64_t hash, until_ms;
    size_t bytes;
    uint16_t type, text_len;
    uint8_t name_len, n, status;
    bool is_cut, is_kept;
    struct dns_record records[];   /* n; then the text, then the name */
};

struct cached_list {
    struct cached *newest, *oldest;
    size_t bytes;
};

struct resolver_cache {
    struct cached_list lists[2]; /* by entry->is_kept */
    size_t bytes_max, n_buckets;
    struct cached **buckets;
};

/* ---- life */

struct resolver_cache *resolver_cache_new(size_t bytes_max) {
    struct resolver_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    cache->bytes_max = bytes_max;
    cache->n_buckets = bytes_max / BUCKET_BYTES + 1;
    cache->buckets = calloc(cache->n_buckets, sizeof(struct cached *));
    if (cache->buckets == NULL) {
        free(cache);
        return NULL;
    }
    return cache;
}

void resolver_cache_free(struct resolver_cache *cache) {
    if (cache == NULL)
        return;
    for (size_t i = 0; i < 2; i++)
        for (struct cached *entry = cache->lists[i].newest, *older; entry != NULL; entry = older) {
            older = entry->older;
            free(entry);
        }
    free(cache->buckets);
    free(cache);
}

size_t resolver_cache_bytes(const struct resolver_cache *cache) {
    return cache->lists[0].bytes + cache->lists[1].bytes;
}

/* ---- lists */

static void cached_link(struct resolver_cache *cache, struct cached *entry, bool is_kept) {
    struct cached_list *list = &cache->lists[is_kept];
    entry->is_kept = is_kept;
    entry->newer = NULL;
    entry->older = list->newest;
    *(list->newest != NULL ? &list->newest->newer : &list->oldest) = entry;
    list->newest = entry;
    list->bytes += entry->bytes;
}

static void cached_unlink(struct resolver_cache *cache, struct cached *entry) {
    struct cached_list *list = &cache->lists[entry->is_kept];
    *(entry->newer != NULL ? &entry->newer->older : &list->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &list->oldest) = entry->newer;
    list->bytes -= entry->bytes;
}

static struct cached **cached_bucket(struct resolver_cache *cache, uint64_t hash) {
    return &cache->buckets[hash % cache->n_buckets];
}

static void cached_drop(struct resolver_cache *cache, struct cached *entry) {
    struct cached **link = cached_bucket(cache, entry->hash);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    cached_unlink(cache, entry);
    free(entry);
}

static void cache_make_room(struct resolver_cache *cache) {
    struct cached_list *new = &cache->lists[false], *kept = &cache->lists[true];
    while (kept->bytes > cache->bytes_max / 100 * KEPT_SHARE) {
        struct cached *entry = kept->oldest;
        cached_unlink(cache, entry);
        cached_link(cache, entry, false);
    }
    while (new->bytes + kept->bytes > cache->bytes_max)
        cached_drop(cache, new->oldest);
}

/* ---- finding */

static char *cached_text(struct cached *entry) {
    return (char *)&entry->records[entry->n];
}

static uint64_t cached_hash(struct str name, enum dns_type type) {
    return hash_bytes(name.at, name.len) ^ (uint64_t)type;
}

static struct cached *cached_find(struct resolver_cache *cache, struct str name, enum dns_type type) {
    uint64_t hash = cached_hash(name, type);
    struct cached *entry = *cached_bucket(cache, hash);
    while (entry != NULL
           && (entry->hash != hash || entry->type != type
               || !str_eq((struct str){ cached_text(entry) + entry->text_len, entry->name_len }, name)))
        entry = entry->next;
    return entry;
}

/* The records' texts lie in a copy now. */
static void rebase(struct dns_record *records, unsigned n, const char *from, const char *to) {
    for (unsigned i = 0; i < n; i++)
        if (records[i].text.at != NULL)
            records[i].text.at = to + (records[i].text.at - from);
}

bool resolver_cache_find(struct resolver_cache *cache, struct str name, enum dns_type type, uint64_t now_ms,
                         struct dns_answer *ret_answer) {
    struct cached *entry = cached_find(cache, name, type);
    if (entry == NULL)
        return false;
    if (entry->until_ms <= now_ms) {
        cached_drop(cache, entry);
        return false;
    }
    cached_unlink(cache, entry);
    cached_link(cache, entry, true);
    cache_make_room(cache);
    ret_answer->status = (enum dns_status)entry->status;
    ret_answer->n = entry->n;
    ret_answer->is_cut = entry->is_cut;
    ret_answer->ttl = (uint32_t)((entry->until_ms - now_ms) / 1000);
    ret_answer->text_len = entry->text_len;
    memcpy(ret_answer->records, entry->records, entry->n * sizeof(entry->records[0]));
    memcpy(ret_answer->text, cached_text(entry), entry->text_len);
    rebase(ret_answer->records, entry->n, cached_text(entry), ret_answer->text);
    return true;
}

/* ---- keeping */

static uint64_t lifetime_ms(const struct dns_answer *answer) {
    if (answer->status != DNS_FOUND && answer->status != DNS_NO_DATA && answer->status != DNS_NO_NAME)
        return 0;
    uint32_t max = answer->status == DNS_FOUND ? TTL_MAX : TTL_NEGATIVE_MAX;
    return UINT64_C(1000) * (answer->ttl < max ? answer->ttl : max);
}

static struct cached *cached_new(struct str name, enum dns_type type, const struct dns_answer *answer) {
    struct cached *entry;
    size_t bytes = sizeof(*entry) + answer->n * sizeof(entry->records[0]) + answer->text_len + name.len;
    entry = malloc(bytes);
    if (entry == NULL)
        return NULL;
    *entry = (struct cached){ .hash = cached_hash(name, type), .bytes = bytes, .type = (uint16_t)type,
                             .text_len = answer->text_len, .name_len = (uint8_t)name.len, .n = (uint8_t)answer->n,
                             .status = (uint8_t)answer->status, .is_cut = answer->is_cut };
    memcpy(entry->records, answer->records, answer->n * sizeof(entry->records[0]));
    memcpy(cached_text(entry), answer->text, answer->text_len);
    memcpy(cached_text(entry) + entry->text_len, name.at, name.len);
    rebase(entry->records, entry->n, answer->text, cached_text(entry));
    return entry;
}

void resolver_cache_put(struct resolver_cache *cache, struct str name, enum dns_type type, uint64_t now_ms,
                        const struct dns_answer *answer) {
    uint64_t lives_ms = lifetime_ms(answer);
    struct cached *old = cached_find(cache, name, type);
    bool is_kept = old != NULL && old->is_kept;
    if (old != NULL)
        cached_drop(cache, old);
    if (lives_ms == 0 || name.len > DNS_NAME_MAX)
        return;
    struct cached *entry = cached_new(name, type, answer);
    if (entry == NULL)
        return;
    struct cached **bucket = cached_bucket(cache, entry->hash);
    entry->until_ms = now_ms + lives_ms;
    entry->next = *bucket;
    *bucket = entry;
    cached_link(cache, entry, is_kept);
    cache_make_room(cache);
}
