/*
 * fuzz_mime: what is found in a message does not depend on how it is sliced, by neither of those who read it while it
 * comes in (header_check, walker), and what is told of it is within its bounds.
 *
 * Input: a seed for the slices, the text; which is made canonical first, as what they are fed is.
 */
#include "mime/banned.h"
#include "mime/header_check.h"
#include "smtp/data.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    unsigned n;
};

static void add(struct seen *seen, struct str text) {
    for (size_t i = 0; i < text.len; i++)
        seen->hash = (seen->hash ^ (unsigned char)text.at[i]) * 1099511628211U;
    seen->hash = (seen->hash ^ 256) * 1099511628211U;
}

static void on_file(void *arg, const struct mime_file *file) {
    static const struct banned_rules rules = { .uses_defaults = true, .looks_inside = true, .bans_encrypted = true };
    struct seen *seen = arg;
    char why[BANNED_WHY_MAX] = "";
    assert(file->name.len <= MIME_FIELD_MAX && file->type.len <= PART_TYPE_MAX && file->kind < N_FILE_KINDS);
    if (banned_check(&rules, file, why))
        assert(why[0] != '\0' && strlen(why) < BANNED_WHY_MAX);
    for (const char *c = why; *c != '\0'; c++)
        assert(*c >= ' ' && *c <= 126);
    add(seen, file->name);
    add(seen, file->type);
    add(seen, file->archive);
    seen->hash += file->kind * 2u + file->is_encrypted;
    seen->n++;
}

/* seed 0: all at once */
static struct seen read_all(const char *text, size_t len, uint32_t seed) {
    struct seen seen = { .hash = 14695981039346656037U };
    struct header_check check;
    struct walker *walker = walker_new(on_file, &seen);
    assert(walker != NULL);
    header_check_init(&check, len & 1);
    for (size_t at = 0, some; at < len; at += some) {
        seed = seed == 0 ? 0 : seed * 1664525U + 1013904223U;
        some = seed == 0 ? len : 1 + (seed >> 16) % 40;
        some = some < len - at ? some : len - at;
        char *copy = malloc(some); /* of exactly its size */
        memcpy(copy, text + at, some);
        header_check_feed(&check, copy, some);
        walker_feed(walker, copy, some);
        free(copy);
    }
    struct str why = header_check_end(&check);
    assert(why.len < HEADER_WHY_MAX);
    add(&seen, why);
    seen.hash += (unsigned)walker_end(walker);
    walker_free(walker);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct data_decoder decoder;
    size_t used, len, room;
    if (size < 2)
        return 0;
    room = 2 * size + 8;
    char *text = malloc(room);
    assert(text != NULL);
    data_decoder_init(&decoder, true);
    data_decode(&decoder, (const char *)data + 1, size - 1, &used, text, room, &len);
    assert(used == size - 1);
    len += data_decode_finish(&decoder, text + len);
    struct seen whole = read_all(text, len, 0), sliced = read_all(text, len, 77u + data[0]);
    assert(whole.hash == sliced.hash && whole.n == sliced.n);
    assert(whole.n < 8 * size + 8);
    free(text);
    return 0;
}
