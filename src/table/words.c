/*
 * words: open addressing with linear probing over 32-bit hashes and offsets; the bytes stand in one block, so that a
 * lookup touches the slot and, when the hash fits, the word. At most half of the slots are taken.
 */
#include "table/words.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

struct slot {
    uint32_t hash; /* upper half of the word's */
    uint32_t at;   /* its place in `bytes` + 1; 0: free */
};

struct words { /* a word in `bytes`: flags, length (2 bytes), text */
    struct slot *slots;
    size_t n_slots, n;
    uint8_t *bytes;
    size_t len, cap;
};

struct words *words_new(void) {
    return calloc(1, sizeof(struct words));
}

void words_free(struct words *words) {
    if (words == NULL)
        return;
    free(words->slots);
    free(words->bytes);
    free(words);
}

static size_t length_at(const struct words *words, uint32_t at) {
    return (size_t)words->bytes[at] << 8 | words->bytes[at + 1];
}

/* The slot of a word in lower case, or the free one where it would go. */
static struct slot *slot_of(const struct words *words, struct str word) {
    uint64_t hash = hash_bytes(word.at, word.len);
    for (size_t i = hash & (words->n_slots - 1);; i = (i + 1) & (words->n_slots - 1)) {
        struct slot *slot = &words->slots[i];
        if (slot->at == 0)
            return slot;
        if (slot->hash == hash >> 32 && length_at(words, slot->at) == word.len
            && memcmp(words->bytes + slot->at + 2, word.at, word.len) == 0)
            return slot;
    }
}

static int grow(struct words *words) {
    struct words wider = *words;
    wider.n_slots = words->n_slots == 0 ? FIRST_SLOTS : words->n_slots * 2;
    wider.slots = calloc(wider.n_slots, sizeof(*wider.slots));
    if (wider.slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < words->n_slots; i++) {
        uint32_t at = words->slots[i].at;
        if (at == 0)
            continue;
        struct str word = { (const char *)words->bytes + at + 2, length_at(words, at) };
        *slot_of(&wider, word) = words->slots[i];
    }
    free(words->slots);
    *words = wider;
    return 0;
}

static int make_room(struct words *words, size_t more) {
    if (words->len + more <= words->cap)
        return 0;
    size_t cap = words->cap * 2 > words->len + more ? words->cap * 2 : words->len + more + 4096;
    uint8_t *larger = cap <= UINT32_MAX ? realloc(words->bytes, cap) : NULL;
    if (larger == NULL)
        return -ENOMEM;
    words->bytes = larger;
    words->cap = cap;
    return 0;
}

int words_add(struct words *words, struct str word, uint8_t flags) {
    if (word.len == 0 || word.len > UINT16_MAX || make_room(words, word.len + 3) < 0
        || (words->n * 2 >= words->n_slots && grow(words) < 0))
        return -ENOMEM;
    uint8_t *to = words->bytes + words->len;
    to[0] = flags;
    to[1] = (uint8_t)(word.len >> 8);
    to[2] = (uint8_t)word.len;
    for (size_t i = 0; i < word.len; i++)
        to[3 + i] = (uint8_t)ascii_lower(word.at[i]);
    struct str lower = { (const char *)to + 3, word.len };
    struct slot *slot = slot_of(words, lower);
    if (slot->at != 0) {
        words->bytes[slot->at - 1] |= flags;
        return 0;
    }
    *slot = (struct slot){ (uint32_t)(hash_bytes(lower.at, lower.len) >> 32), (uint32_t)words->len + 1 };
    words->len += word.len + 3;
    words->n++;
    return 0;
}

uint8_t words_find(const struct words *words, struct str word) {
    char lower[WORDS_LOOKUP_MAX];
    if (words->n == 0 || word.len == 0 || word.len > sizeof(lower))
        return 0;
    for (size_t i = 0; i < word.len; i++)
        lower[i] = ascii_lower(word.at[i]);
    const struct slot *slot = slot_of(words, (struct str){ lower, word.len });
    return slot->at != 0 ? words->bytes[slot->at - 1] : 0;
}
