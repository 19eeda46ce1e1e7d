/*
 * handover: see the header.
 *
 * Rejected: to mark all rows as pending (a transaction over ten million rows takes the store away for as many seconds,
 * and again when they are settled); to hand over only what changed lately (nobody knows how old a backup was).
 */
#include "store/handover.h"

#include <stdio.h>
#include <string.h>

void handover_meet(struct handover *h, const struct local *local, const char *server) {
    if (h->is_due && strcmp(h->server, server) == 0)
        return; /* it goes on */
    bool has_all = server[0] == '\0' || strcmp(local_shared_server(local), server) == 0;
    *h = (struct handover){ .from = INT64_MIN, .is_due = !has_all };
    snprintf(h->server, sizeof(h->server), "%s", server);
}

void handover_reset(struct handover *h) {
    *h = (struct handover){ 0 };
}

int handover_slice(struct handover *h, struct local *local, struct row *rows, size_t max, size_t *ret_n) {
    int r = local_rows_from(local, h->from, rows, max, ret_n);
    if (r < 0)
        return r;
    h->to = *ret_n > 0 ? rows[*ret_n - 1].key : INT64_MAX;
    h->is_last = *ret_n < max || h->to == INT64_MAX;
    return 0;
}

int handover_settle(struct handover *h, struct local *local, size_t n, bool *ret_is_through) {
    *ret_is_through = h->is_last;
    h->n += n;
    if (!h->is_last) {
        h->from = h->to + 1;
        return 0;
    }
    h->is_due = false;
    return local_keep_shared_server(local, h->server);
}
