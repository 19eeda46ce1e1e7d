/*
 * row: what the store remembers of one key, and how two memories of it become one.
 *
 * A row is either a triplet (who, sender, recipient) or an identity on its way to the automatic whitelist; only the key
 * tells which, and a key is a keyed hash (greylist.h), so the hot table holds nothing a reader could use. Rows of the
 * local and of the shared store, and of hosts that wrote without each other, are joined by row_merge(); the statement
 * that writes rows (schema.h) says the same in SQL. It is commutative, associative and idempotent, so that it does not
 * matter who writes first, or twice.
 *
 * What an administrator forgets must stay forgotten when another host still has it: `forgot` says since when, and
 * whatever was first seen before that says nothing, wherever it is kept. Here alone order matters: an attempt made
 * after the forgetting is lost where it met the older rows before it heard of it, and its sender waits once more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The longest life that an option allows, and a year for clocks; s. */
#define ROW_LIFE_MAX ((int64_t)11 * 365 * 24 * 3600)

enum { ROW_PASSES_MAX = 1 << 30, ROW_CLOCK_MAX = 24 * 3600 /* s that another host's clock may be ahead */ };
enum { ROW_FORGET_LIFE = 90 * 24 * 3600 }; /* s; longer than any row that another host may still hold lives */

struct row {
    int64_t key;
    int64_t first;   /* first seen; of an identity: first counted. Seconds since 1970 */
    int64_t last;    /* last seen (refreshed at most once an hour); of an identity: last counted or used */
    int64_t expires;
    int64_t forgot;  /* what was first seen at or before this counts no more; 0: never forgotten */
    /* Of a triplet 0: it has not waited, 1: it has, 2: and was counted for its sender. Of an identity: the count. */
    int32_t passes;
};

/* Whether it still says anything: not expired, not forgotten. */
bool row_is_alive(const struct row *row, int64_t now);

/* Whether the store may drop it: it says nothing, and nothing that another host may hold needs to be forgotten. */
bool row_is_spent(const struct row *row, int64_t now);

/*
 * The row as this program may have written it: a database holds what other hosts, administrators and whoever got into
 * it have written. No time is negative or further ahead than a row lives, and nothing is forgotten in the future.
 */
struct row row_bounded(const struct row *row, int64_t now);

/* Both are of one key. Of those alive: earliest first-seen, latest last-seen, most passes (design.md section 5). */
struct row row_merge(const struct row *a, const struct row *b, int64_t now);
