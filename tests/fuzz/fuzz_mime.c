/*
 * fuzz_mime: what is found in a message does not depend on how it is sliced, what is told of it is within its bounds,
 * and nothing that stands in one part hides the next: a file behind it is found, or there is a trouble.
 *
 * Input: a seed for the slices, the text; which is made canonical first, as what the walker is fed is.
 */
#include "mime/banned.h"
#include "smtp/data.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    unsigned n;
    bool has_planted;
    enum mime_trouble trouble;
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
    for (size_t i = 0; i < file->name.len; i++)
        assert((unsigned char)file->name.at[i] >= ' ' && file->name.at[i] != 127);
    if (banned_check(&rules, file, why))
        assert(why[0] != '\0' && strlen(why) < BANNED_WHY_MAX);
    for (const char *c = why; *c != '\0'; c++)
        assert(*c >= ' ' && *c <= 126);
    add(seen, file->name);
    add(seen, file->type);
    add(seen, file->archive);
    seen->hash += file->kind * 2u + file->is_encrypted;
    seen->has_planted |= str_eq(file->name, STR("planted.exe"));
    seen->n++;
}

/* Each slice is memory of exactly its size. */
static void feed(struct walker *walker, const char *at, size_t len) {
    char *copy = malloc(len > 0 ? len : 1);
    assert(copy != NULL);
    memcpy(copy, at, len);
    walker_feed(walker, copy, len);
    free(copy);
}

/* seed 0: all at once */
static struct seen walk(const char *text, size_t len, uint32_t seed) {
    struct seen seen = { .hash = 14695981039346656037U };
    struct walker *walker = walker_new(on_file, &seen);
    assert(walker != NULL);
    for (size_t at = 0, some; at < len; at += some) {
        seed = seed == 0 ? 0 : seed * 1664525U + 1013904223U;
        some = seed == 0 ? len : 1 + (seed >> 16) % 40;
        some = some < len - at ? some : len - at;
        feed(walker, text + at, some);
    }
    seen.trouble = walker_end(walker);
    walker_free(walker);
    return seen;
}

/* The text is one part, and behind it comes another. */
static struct seen walk_with_next(const char *text, size_t len) {
    static const char before[] = "Content-Type: multipart/mixed; boundary=4d8c20b1\r\n\r\n--4d8c20b1\r\n";
    static const char next[] = "--4d8c20b1\r\nContent-Disposition: x; filename=planted.exe\r\n\r\n--4d8c20b1--\r\n";
    struct seen seen = { .hash = 0 };
    struct walker *walker = walker_new(on_file, &seen);
    assert(walker != NULL);
    feed(walker, before, sizeof(before) - 1);
    feed(walker, text, len);
    feed(walker, next, sizeof(next) - 1);
    seen.trouble = walker_end(walker);
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
    struct seen whole = walk(text, len, 0), sliced = walk(text, len, 77u + data[0]);
    assert(whole.hash == sliced.hash && whole.n == sliced.n && whole.trouble == sliced.trouble);
    assert(whole.n < 8 * size + 8);
    struct seen with_next = walk_with_next(text, len);
    assert(with_next.has_planted || with_next.trouble != MIME_FINE);
    free(text);
    return 0;
}
