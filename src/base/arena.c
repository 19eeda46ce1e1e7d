/*
 * arena: a bump allocator over a list of chunks.
 *
 * A connection pays nothing until its first allocation, then 512 bytes; chunks double up to 64 KiB, so a message with a
 * thousand recipients makes a dozen calls of malloc(). What does not fit into half of a chunk gets one of its own,
 * placed *behind* the newest, so that the room left in that one is not wasted.
 *
 * `max` bounds the bytes given out (rounded up to the alignment), which is what a peer can make us take; the chunks
 * themselves are at most twice that, plus one.
 *
 * Rejected: obstacks (abort on failure), freeing singly (nobody would), a mark and release (lifetimes here are whole
 * connections and whole messages).
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_FIRST = 512, CHUNK_LAST = 64 * 1024, ALIGNMENT = 8 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGNMENT) char data[];
};

static struct arena_chunk *chunk_new(size_t size) {
    struct arena_chunk *chunk = malloc(sizeof(*chunk) + size);
    if (chunk) {
        chunk->older = NULL;
        chunk->size = size;
        chunk->used = 0;
    }
    return chunk;
}

/* A chunk with at least `size` bytes left, linked into the list; NULL: no memory. */
static struct arena_chunk *chunk_add(struct arena *a, size_t size) {
    size_t next = CHUNK_FIRST - sizeof(struct arena_chunk);
    if (a->chunks)
        next = a->chunks->size < CHUNK_LAST / 2 ? a->chunks->size * 2 : CHUNK_LAST;
    bool is_alone = size > next / 2;
    struct arena_chunk *chunk = chunk_new(is_alone ? size : next);
    if (!chunk)
        return NULL;
    if (is_alone && a->chunks) {
        chunk->older = a->chunks->older;
        a->chunks->older = chunk;
    } else {
        chunk->older = a->chunks;
        a->chunks = chunk;
    }
    return chunk;
}

void *arena_alloc(struct arena *a, size_t size) {
    if (size > SIZE_MAX / 2)
        return NULL;
    /* Also for 0 bytes: two allocations never share an address, and NULL means failure. */
    size = size > 0 ? (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    if (a->max > 0 && (size > a->max || a->taken > a->max - size))
        return NULL;
    struct arena_chunk *chunk = a->chunks;
    if (!chunk || chunk->size - chunk->used < size)
        chunk = chunk_add(a, size);
    if (!chunk)
        return NULL;
    void *at = chunk->data + chunk->used;
    chunk->used += size;
    a->taken += size;
    return at;
}

void *arena_zalloc(struct arena *a, size_t size) {
    void *at = arena_alloc(a, size);
    return at ? memset(at, 0, size) : NULL;
}

char *arena_strdup(struct arena *a, struct str s) {
    char *at = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;
    if (!at)
        return NULL;
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    at[s.len] = '\0';
    return at;
}

struct str arena_str(struct arena *a, struct str s) {
    char *at = arena_strdup(a, s);
    return (struct str){ at, at ? s.len : 0 };
}

char *arena_printf(struct arena *a, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *at = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
    if (at)
        vsnprintf(at, (size_t)len + 1, format, again);
    va_end(again);
    va_end(args);
    return at;
}

void arena_reset(struct arena *a) {
    while (a->chunks) {
        struct arena_chunk *older = a->chunks->older;
        free(a->chunks);
        a->chunks = older;
    }
    a->taken = 0;
}
