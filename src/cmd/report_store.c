/*
 * How is the store doing? The part of the report that is about it: nothing where none is configured.
 */
#include "cmd/report.h"

#include <inttypes.h>
#include <stdio.h>

static bool is_up(const char *state) {
    return strcmp(state, "up") == 0;
}

int report_store_text(const struct report_store *store, struct buf *out) {
    if (store->state == NULL)
        return 0;
    char latency[32], longest[32];
    snprintf(latency, sizeof(latency), "%.1fms", (double)store->latency_us / 1000);
    snprintf(longest, sizeof(longest), "%.1fms", (double)store->longest_us / 1000);
    int r = buf_puts(out, STR("\nstore\tstate\tlocal\tshared\trows\tpending\tasked\tunavailable\tlatency\tlongest\n"));
    if (r == 0)
        r = buf_putf(out, "%d\t%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\n",
                     store->pid, store->state, store->local, store->shared, store->rows, store->pending, store->asked,
                     store->unavailable, latency, longest);
    bool is_well = is_up(store->local) && (is_up(store->shared) || strcmp(store->shared, "off") == 0);
    if (r == 0 && !is_well && store->why[0] != '\0')
        r = buf_putf(out, "%s\n", store->why);
    return r;
}

int report_store_json(const struct report_store *store, struct buf *out) {
    if (store->state == NULL)
        return buf_puts(out, STR("\"store\":null,"));
    int r = buf_putf(out, "\"store\":{\"pid\":%d,\"uptime_ms\":%" PRIu64 ",\"deaths\":%" PRIu64 ",", store->pid,
                     store->age_ms, store->deaths);
    r = r == 0 ? report_put_member(out, "state", store->state) : r;
    r = r == 0 ? report_put_member(out, "local", store->local) : r;
    r = r == 0 ? report_put_member(out, "shared", store->shared) : r;
    r = r == 0 ? report_put_member(out, "why", store->why) : r;
    r = r == 0 ? buf_putf(out, "\"rows\":%" PRIu64 ",\"pending\":%" PRIu64 ",\"bytes\":%" PRIu64, store->rows,
                          store->pending, store->bytes)
               : r;
    r = r == 0 ? buf_putf(out, ",\"asked\":%" PRIu64 ",\"credits\":%" PRIu64 ",\"unavailable\":%" PRIu64, store->asked,
                          store->credits, store->unavailable)
               : r;
    return r == 0 ? buf_putf(out, ",\"batches\":%" PRIu64 ",\"latency_us\":%" PRIu64 ",\"longest_us\":%" PRIu64 "},",
                             store->batches, store->latency_us, store->longest_us)
                  : r;
}

const char *report_store_warning(const struct report_store *store) {
    if (store->state == NULL)
        return NULL;
    if (store->pid == 0)
        return "the store process does not run";
    if (strcmp(store->local, "full") == 0)
        return "the local store cannot be written";
    if (strcmp(store->local, "down") == 0)
        return "the local store is down";
    return strcmp(store->shared, "down") == 0 ? "the shared store is away" : NULL;
}
