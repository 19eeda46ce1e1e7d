/*
 * growth: how much has a number grown within the last hour?
 *
 * The number is noted now and then, and one value a minute is kept. Nothing is known before there are two.
 */
#pragma once

#include <stdint.h>

enum { GROWTH_MINUTES = 60 };

struct growth { /* all-zero: nothing is known */
    uint64_t at[GROWTH_MINUTES], last; /* a ring: values a minute apart, and the newest */
    unsigned n, next;
    uint64_t due_ms;
};

/* `now_ms`: of a clock that does not jump. */
void growth_note(struct growth *growth, uint64_t value, uint64_t now_ms);

/* Since the oldest value that is kept, an hour ago at most; negative where it has become less. */
int64_t growth_of(const struct growth *growth);

/* The same of the minute that is under way and the one before it. */
int64_t growth_of_minute(const struct growth *growth);
