/*
 * fuzz_zip_names: which names are found does not depend on how an archive is sliced, and a record behind anything else
 * is found.
 *
 * Input: a seed for the slices, the archive.
 */
#include "mime/zip_names.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    unsigned n;
    bool has_planted;
};

static bool on_name(void *arg, struct str name, bool is_encrypted) {
    struct seen *seen = arg;
    assert(name.len > 0 && name.len <= ZIP_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        assert((unsigned char)name.at[i] >= ' ' && name.at[i] != 127);
        seen->hash = (seen->hash ^ (unsigned char)name.at[i]) * 1099511628211U;
    }
    seen->hash = (seen->hash ^ (256u + is_encrypted)) * 1099511628211U;
    seen->has_planted |= str_eq(name, STR("planted.exe"));
    seen->n++;
    return true;
}

static void feed(struct zip_names *zip, const void *at, size_t len, struct seen *seen) {
    char *copy = malloc(len > 0 ? len : 1); /* of exactly its size */
    assert(copy != NULL);
    memcpy(copy, at, len);
    zip_names_feed(zip, copy, len, on_name, seen);
    free(copy);
}

/* seed 0: all at once */
static struct seen read_archive(const uint8_t *at, size_t len, uint32_t seed, bool plants) {
    static const char record[] = "PK\x03\x04\x14\0\0\0\x08\0\0\0\x21\0aaaabbbbcccc\x0b\0\0\0planted.exe";
    struct seen seen = { .hash = 14695981039346656037U };
    struct zip_names zip;
    zip_names_init(&zip);
    for (size_t some; len > 0; at += some, len -= some) {
        seed = seed == 0 ? 0 : seed * 1664525U + 1013904223U;
        some = seed == 0 ? len : 1 + (seed >> 16) % 3000;
        some = some < len ? some : len;
        feed(&zip, at, some, &seen);
    }
    if (plants)
        feed(&zip, record, sizeof(record) - 1, &seen);
    zip_names_end(&zip, on_name, &seen);
    seen.hash += zip.is_unreadable;
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    struct seen whole = read_archive(data + 1, size - 1, 0, false);
    struct seen sliced = read_archive(data + 1, size - 1, 77u + data[0], false);
    assert(whole.hash == sliced.hash && whole.n == sliced.n);
    assert(read_archive(data + 1, size - 1, 0, true).has_planted);
    return 0;
}
