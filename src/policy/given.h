/*
 * given: what the words of `given` have said of a world so far, for world.c and expect.c.
 */
#pragma once

#include "policy/parse.h"
#include "policy/world.h"

/* The item from `at` up to `end` (blanks in front of that left out) said what slot is now. Returns 0 or -ENOMEM. */
int given_note(struct world *world, unsigned slot, const char *at, const char *end);

/* An item said what this slot is. */
bool given_has(const struct world *world, size_t slot);

/* When all is given: tells the first item that no longer holds. Returns 0 or -EINVAL. */
int given_check(const struct world *world, struct parsed *p);
