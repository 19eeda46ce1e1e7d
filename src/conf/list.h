/*
 * list: arrays that grow inside an arena without keeping a capacity.
 *
 * An array of n entries has room for the next power of two, so it is full exactly when n is a power of two (or 0).
 * What it outgrew stays in the arena: twice the size at most.
 */
#pragma once

#include "base/arena.h"

#include <errno.h>

/* Makes room for entry n of the array at *list (a pointer to its first entry). Returns 0 or -ENOMEM. */
static inline int list_grow(struct arena *arena, void *list, size_t n, size_t entry_size) {
    void **at = list;
    if ((n & (n - 1)) != 0)
        return 0;
    void *larger = arena_alloc(arena, (n == 0 ? 1 : 2 * n) * entry_size);
    if (larger == NULL)
        return -ENOMEM;
    if (n > 0)
        memcpy(larger, *at, n * entry_size);
    *at = larger;
    return 0;
}
