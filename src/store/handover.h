/*
 * handover: a shared store that has not met this host before gets all that the host knows.
 *
 * What was handed in went to a server, not to the list as such. When another one stands in its place (an empty one, a
 * backup of last night, a replica that was promoted before it had the last rows), what hosts had handed in may be gone
 * from it, and a triplet would be new again to each host but those that met it. So each host keeps in its file which
 * server it has told everything, and tells another one all rows from the file again. Merging is idempotent, and what
 * was forgotten stays so (row.h), so it does no harm where nothing was lost.
 *
 * It walks through the keys, a slice at a time. Where it ends early, by the death of the process or another server, it
 * begins anew; where merely the connection was lost it goes on.
 */
#pragma once

#include "store/local.h"
#include "store/schema.h"

struct handover {
    char server[SCHEMA_SERVER_MAX]; /* that gets it, or has it */
    bool is_due;
    int64_t from, to; /* keys: where the next slice begins, and what the one that is under way ends with */
    bool is_last;     /* nothing comes behind it */
    uint64_t n;       /* rows handed over */
};

/* `server` (shared.h; "": none so far) and this file have come together, for the first time or again. */
void handover_meet(struct handover *h, const struct local *local, const char *server);

/* The file is gone; what comes next may be another one. */
void handover_reset(struct handover *h);

/* The next slice, perhaps an empty one. Returns 0 or a negative error of the local store. */
int handover_slice(struct handover *h, struct local *local, struct row *rows, size_t max, size_t *ret_n);

/* The server has it. Returns 0 or a negative error; *ret_is_through: that was all, which is kept in the file. */
int handover_settle(struct handover *h, struct local *local, size_t n, bool *ret_is_through);
