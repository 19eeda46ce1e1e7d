/*
 * row: what the store remembers of one key, and how two memories of it become one.
 *
 * A row is either a triplet (who, sender, recipient) or an identity on its way to the automatic whitelist; only the key
 * tells which, and a key is a keyed hash (greylist.h), so the hot table holds nothing a reader could use. Rows of the
 * local and of the shared store, and of hosts that wrote without each other, are joined by row_merge(); the statement
 * that writes rows (schema.h) says the same in SQL. It is commutative, associative and idempotent, so that it does not
 * matter who writes first, or twice.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    ROW_UNPASSED = 0,
    ROW_FORGOTTEN = -1, /* by an administrator: what was seen at or before `last` counts no more, wherever it is kept */
};

struct row {
    int64_t key;
    int64_t first;  /* first seen; of an identity: first counted. Seconds since 1970 */
    int64_t last;   /* last seen (refreshed at most once an hour); of an identity: last counted or used */
    int64_t expires;
    /* Of a triplet 0: it has not waited, 1: it has, 2: and was counted for its sender. Of an identity: the count. */
    int32_t passes;
};

/* Whether it still says anything: not expired, not forgotten. */
bool row_is_alive(const struct row *row, int64_t now);

/* Both are of one key. Rows still alive; earliest first-seen, latest last-seen, most passes (design.md section 5). */
struct row row_merge(const struct row *a, const struct row *b, int64_t now);
