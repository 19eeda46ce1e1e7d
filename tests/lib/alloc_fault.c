/*
 * alloc_fault: see the header. The linker sends calls of X() to __wrap_X() (--wrap), in our static libraries as well;
 * shared libraries keep their own. Arenas are wrapped as a whole, since most of their allocations come from a chunk
 * that is there and would never fail.
 */
#include "alloc_fault.h"

#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 3, TABLE = 4 * ALLOC_SITES_MAX };

static struct {
    struct alloc_sites *noted;
    uint64_t table[TABLE]; /* of `noted`, by hash; 0: free */
    uint64_t chosen;
    bool is_armed, is_for_good, has_fired, is_traced;
} fault;

#if defined(__SANITIZE_ADDRESS__)
void __sanitizer_print_stack_trace(void);
#else
static void __sanitizer_print_stack_trace(void) {}
#endif

void alloc_fault_choose(uint64_t site, bool is_for_good) {
    fault.chosen = site;
    fault.is_for_good = is_for_good;
    fault.has_fired = false;
}

void alloc_fault_trace(void) {
    fault.is_traced = true;
}

bool alloc_fault_has_fired(void) {
    return fault.has_fired;
}

void alloc_fault_arm(bool is_armed) {
    fault.is_armed = is_armed;
}

/* Frame pointers are there: the build keeps them. `frame` is the wrapper's. */
static uint64_t site_of(void *const *frame) {
    uint64_t hash = 0xcbf29ce484222325;
    for (int i = 0; i < FRAMES && frame != NULL; i++) {
        hash = (hash ^ (uint64_t)(uintptr_t)frame[1]) * 0x100000001b3;
        hash ^= hash >> 29;
        frame = frame[0];
    }
    return hash | 1;
}

/* Where `site` stands in the table, or would stand. */
static size_t place_of(uint64_t site) {
    size_t at = site % TABLE;
    while (fault.table[at] != 0 && fault.table[at] != site)
        at = (at + 1) % TABLE;
    return at;
}

static void note(uint64_t site) {
    size_t at = place_of(site);
    if (fault.table[at] == site || fault.noted->n == ALLOC_SITES_MAX)
        return;
    fault.table[at] = site;
    fault.noted->at[fault.noted->n++] = site;
}

void alloc_fault_note(struct alloc_sites *sites) {
    memset(fault.table, 0, sizeof(fault.table));
    for (size_t i = 0; i < sites->n; i++)
        fault.table[place_of(sites->at[i])] = sites->at[i];
    fault.noted = sites;
}

static bool fails(void *const *frame) {
    if (!fault.is_armed || alloc_fault_spared > 0)
        return false;
    if (fault.has_fired)
        return fault.is_for_good;
    if (fault.noted == NULL && fault.chosen == 0)
        return false;
    uint64_t site = site_of(frame);
    if (fault.noted != NULL)
        note(site);
    fault.has_fired = site == fault.chosen;
    if (fault.has_fired && fault.is_traced)
        __sanitizer_print_stack_trace();
    return fault.has_fired;
}

/* The wrapper that calls this is the allocation. */
#define FAILS() fails(__builtin_frame_address(0))

#define WRAP(result, name, declaration, arguments, none) \
    result __real_##name declaration; \
    result __wrap_##name declaration; \
    result __wrap_##name declaration { \
        if (FAILS()) \
            return none; \
        return __real_##name arguments; \
    }

WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, realloc, (void *at, size_t size), (at, size), NULL)
WRAP(char *, strdup, (const char *text), (text), NULL)
WRAP(char *, strndup, (const char *text, size_t len), (text, len), NULL)
WRAP(void *, arena_alloc, (struct arena * arena, size_t size), (arena, size), NULL)
WRAP(void *, arena_zalloc, (struct arena * arena, size_t size), (arena, size), NULL)
WRAP(char *, arena_strdup, (struct arena * arena, struct str text), (arena, text), NULL)
WRAP(struct str, arena_str, (struct arena * arena, struct str text), (arena, text), (struct str){ 0 })
