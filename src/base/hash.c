/*
 * hash: SipHash-2-4 under a process key.
 *
 * A client chooses its own address, HELO and recipients; a table keyed by them with an unkeyed hash can be filled with
 * collisions on purpose. SipHash with a secret key makes that guessing. One key serves all tables of a process and of
 * the workers forked from it, so a hash can be compared between them, and is never written anywhere. What is kept in a
 * file is hashed under a key that the file keeps (hash_keyed).
 *
 * Rejected: getrandom() lazily at the first hash (a worker may be in its sandbox by then, and the keys would differ).
 */
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static uint64_t key[2];

struct sip {
    uint64_t v0, v1, v2, v3;
};

void hash_make_key(uint8_t ret_key[HASH_KEY_SIZE]) {
    size_t have = 0;
    while (have < HASH_KEY_SIZE) {
        ssize_t n = getrandom(ret_key + have, HASH_KEY_SIZE - have, 0);
        if (n < 0 && errno != EINTR)
            abort(); /* a kernel without getrandom(2): nothing built on this may run */
        if (n > 0)
            have += (size_t)n;
    }
}

void hash_init(void) {
    hash_make_key((uint8_t *)key);
}

static uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s) {
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static struct sip sip_begin(const uint64_t with[2]) {
    return (struct sip){
        .v0 = with[0] ^ 0x736f6d6570736575,
        .v1 = with[1] ^ 0x646f72616e646f6d,
        .v2 = with[0] ^ 0x6c7967656e657261,
        .v3 = with[1] ^ 0x7465646279746573,
    };
}

static void sip_word(struct sip *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t sip_end(struct sip *s) {
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Up to 8 bytes as a little-endian word, whatever the machine: the test vectors hold everywhere. */
static uint64_t load_le(const unsigned char *at, size_t len) {
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

static uint64_t sip(const uint64_t with[2], const void *data, size_t len) {
    const unsigned char *at = data;
    struct sip s = sip_begin(with);
    size_t whole = len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        sip_word(&s, load_le(at + i, 8));
    uint64_t last = (uint64_t)len << 56;
    if (len > whole)
        last |= load_le(at + whole, len - whole);
    sip_word(&s, last);
    return sip_end(&s);
}

uint64_t hash_bytes(const void *data, size_t len) {
    return sip(key, data, len);
}

uint64_t hash_keyed(const uint8_t with[HASH_KEY_SIZE], const void *data, size_t len) {
    uint64_t words[2] = { load_le(with, 8), load_le(with + 8, 8) };
    return sip(words, data, len);
}

uint64_t hash_u64(uint64_t value) {
    struct sip s = sip_begin(key);
    sip_word(&s, value);
    sip_word(&s, (uint64_t)8 << 56);
    return sip_end(&s);
}
