/*
 * arena: memory that lives and dies with one connection, message or configuration.
 *
 * A bump allocator over a list of chunks. All-zero is a valid empty arena that owns nothing. Allocations are aligned to
 * 8 bytes and never freed singly; arena_reset() frees all of them at once. `max` (0: none) bounds what a peer can make
 * it take. NULL means no memory, or past the maximum: the caller ends its own session, never the process.
 */
#pragma once

#include "base/str.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    size_t taken;               /* bytes given out, for the maximum */
    size_t max;
};

void *arena_alloc(struct arena *a, size_t size);  /* not cleared */
void *arena_zalloc(struct arena *a, size_t size); /* cleared */

/* A copy of `s` with a NUL behind it. */
char *arena_strdup(struct arena *a, struct str s);

/* A copy of `s` as a view (a NUL stands behind it too); `ret->at` is NULL when memory ran out. */
struct str arena_str(struct arena *a, struct str s);

char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Frees everything; the arena can be used again. */
void arena_reset(struct arena *a);
