/*
 * history: see the header. A table of buckets of HISTORY_BUCKET entries, one cache line each. A client's keyed hash
 * says which bucket is its, and is the half of an entry by which it is told from the others there; the other half is
 * the second in which it passed last. An entry is one word, written and read whole, so workers need no lock: where two
 * write at once, one of two clients is not remembered.
 *
 * That a stranger is taken for somebody who passed takes 32 bits of hash that agree: once in half a thousand million
 * strangers, who then are greeted without delay. Nobody can choose an address for it, since the key is the process's
 * own.
 *
 * Rejected: a file or the store (a delay of some seconds, once a client and start, is not worth a write to disk for
 * each mail); the worker's own memory (a reload would send all regular senders to the end of the queue); exact keys
 * (twice the memory, for an error that nobody will meet).
 */
#include "session/history.h"

#include "base/hash.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { BUCKETS = HISTORY_CLIENTS_MAX / HISTORY_BUCKET };

struct history {
    _Atomic uint64_t entries[BUCKETS][HISTORY_BUCKET]; /* mark << 32 | second; 0: free */
};

int history_new(struct history **ret_history) {
    void *history =
        mmap(NULL, sizeof(struct history), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (history == MAP_FAILED)
        return -errno;
    *ret_history = history;
    return 0;
}

void history_free(struct history *take_history) {
    if (take_history != NULL)
        munmap(take_history, sizeof(*take_history));
}

static uint64_t second_of(uint64_t now_ms) {
    return now_ms / 1000 + 1; /* never 0, and good for 136 years of uptime */
}

static uint64_t load(const _Atomic uint64_t *entry) {
    return atomic_load_explicit(entry, memory_order_relaxed);
}

void history_note(struct history *history, uint64_t client, uint64_t now_ms) {
    uint64_t hash = hash_u64(client);
    _Atomic uint64_t *bucket = history->entries[hash % BUCKETS], *place = &bucket[0];
    for (int i = 0; i < HISTORY_BUCKET; i++) {
        if (load(&bucket[i]) >> 32 == hash >> 32) {
            place = &bucket[i];
            break;
        }
        if ((uint32_t)load(&bucket[i]) < (uint32_t)load(place))
            place = &bucket[i];
    }
    uint64_t entry = (hash >> 32) << 32 | second_of(now_ms);
    if (load(place) != entry) /* most often the same second: spare the other processors the write */
        atomic_store_explicit(place, entry, memory_order_relaxed);
}

bool history_knows(const struct history *history, uint64_t client, uint64_t age_ms, uint64_t now_ms) {
    uint64_t hash = hash_u64(client);
    for (int i = 0; i < HISTORY_BUCKET; i++) {
        uint64_t entry = load(&history->entries[hash % BUCKETS][i]);
        if (entry != 0 && entry >> 32 == hash >> 32)
            return second_of(now_ms) <= (uint32_t)entry + age_ms / 1000;
    }
    return false;
}
