/*
 * alloc_fault: lets one allocation fail, chosen by where in the code it stands.
 *
 * A program that is linked with alloc_fault.c and alloc_fault_link_args (meson) has its calls of malloc() and of the
 * arenas pass through here. A site is an allocation with the calls that led to it (a hash of the innermost frames). A
 * first run notes the sites it meets; each further run makes one of them fail: once, or for good from then on, as when
 * memory is really short.
 *
 * Only what runs between alloc_fault_arm(true) and alloc_fault_arm(false) counts, less what the test's own servers do
 * (SPARE_ALLOCATIONS()). Not for several threads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ALLOC_SITES_MAX = 8192 };

struct alloc_sites {
    size_t n;
    uint64_t at[ALLOC_SITES_MAX];
};

/* Sites that are met from now on are added to `sites`, each once; nothing fails. */
void alloc_fault_note(struct alloc_sites *sites);

/* `site` fails from now on: the first time it is met, and with `is_for_good` all allocations after it. */
void alloc_fault_choose(uint64_t site, bool is_for_good);

/* Prints the stack to stderr when the chosen site fails. */
void alloc_fault_trace(void);

/* The chosen site was met. */
bool alloc_fault_has_fired(void);

void alloc_fault_arm(bool is_armed);

/*
 * How many calls of a test's own servers are running. Weak, so that those that are used in ordinary tests, too, need
 * nothing else.
 */
__attribute__((weak)) int alloc_fault_spared;

static inline void alloc_fault_spare_end(const int *unused) {
    (void)unused;
    alloc_fault_spared--;
}

/* To the end of the block, allocations do not count. */
#define SPARE_ALLOCATIONS() \
    __attribute__((cleanup(alloc_fault_spare_end), unused)) const int is_spared_here = ++alloc_fault_spared
