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
    int r = buf_puts(out, STR("\nstore\tstate\tlocal\tshared\trows\tgrowth\tpending\tasked\tgrouped\tunavailable"
                              "\tlatency\tlongest\n"));
    if (r == 0)
        r = buf_putf(out, "%d\t%s\t%s\t%s\t%" PRIu64 "\t%+" PRId64 "/h\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                     "\t%s\t%s\n", store->pid, store->state, store->local, store->shared, store->rows, store->grown,
                     store->pending, store->asked, store->grouped, store->unavailable, latency, longest);
    bool is_well = is_up(store->local) && (is_up(store->shared) || strcmp(store->shared, "off") == 0);
    if (r == 0 && !is_well && store->why[0] != '\0')
        r = buf_putf(out, "%s\n", store->why);
    return r;
}

void report_store_record(const struct report_store *store, struct record *r) {
    if (store->state == NULL) {
        record_null(r, "store");
        return;
    }
    record_open(r, "store", '{');
    record_u64(r, "pid", (uint64_t)store->pid);
    record_u64(r, "uptime_ms", store->age_ms);
    record_u64(r, "deaths", store->deaths);
    report_record_str(r, "state", store->state);
    report_record_str(r, "local", store->local);
    report_record_str(r, "shared", store->shared);
    report_record_str(r, "why", store->why);
    record_u64(r, "rows", store->rows);
    record_thousandths(r, "rows_grown_1h", store->grown * 1000);
    record_u64(r, "pending", store->pending);
    record_u64(r, "bytes", store->bytes);
    record_u64(r, "asked", store->asked);
    record_u64(r, "credits", store->credits);
    record_u64(r, "grouped", store->grouped);
    record_thousandths(r, "grouped_1h", store->grouped_lately * 1000);
    record_u64(r, "crowded", store->crowded);
    record_u64(r, "unavailable", store->unavailable);
    record_u64(r, "batches", store->batches);
    record_u64(r, "latency_us", store->latency_us);
    record_u64(r, "longest_us", store->longest_us);
    record_close(r, '}');
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
    if (strcmp(store->shared, "down") == 0)
        return "the shared store is away";
    return store->grouped_lately > 0 ? "networks are past new_per_network of the greylist" : NULL;
}
