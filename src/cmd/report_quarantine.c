/*
 * How full is the quarantine? The part of the report that is about it: nothing where none is configured.
 *
 * A quarantine that is full or cannot be used defers the mail that it should keep, so it warns before that.
 */
#include "cmd/report.h"

#include <inttypes.h>
#include <stdio.h>

enum { WARN_PERCENT = 90 };

/* "3.4G": what a reader compares with size_max, written in the same way. */
static char *format_size(uint64_t bytes, char out[32]) {
    static const char units[] = "KMGTP";
    double size = (double)bytes;
    int unit = -1;
    while (size >= 1024 && unit < 4) {
        size /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(out, 32, "%" PRIu64, bytes);
    else
        snprintf(out, 32, "%.1f%c", size, units[unit]);
    return out;
}

/* "+1.2M", "-3.0K" */
static char *format_growth(int64_t bytes, char out[32]) {
    char size[32];
    snprintf(out, 32, "%c%.30s", bytes < 0 ? '-' : '+', format_size((uint64_t)(bytes < 0 ? -bytes : bytes), size));
    return out;
}

static const char *state_of(const struct report_quarantine *q) {
    return q->is_broken ? "broken" : q->is_counted ? "ok" : "starting";
}

int report_quarantine_text(const struct report_quarantine *q, struct buf *out) {
    char bytes[32], limit[32], growth[32];
    if (q->path == NULL)
        return 0;
    int r = buf_puts(out, STR("\nquarantine\tstate\tmessages\tpending\tsize\tof\tgrowth\n"));
    return r != 0 ? r : buf_putf(out, "%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\t%s/h\n", q->path, state_of(q),
                                 q->messages, q->pending, format_size(q->bytes, bytes),
                                 format_size(q->size_max, limit), format_growth(q->grown, growth));
}

void report_quarantine_record(const struct report_quarantine *q, struct record *r) {
    if (q->path == NULL) {
        record_null(r, "quarantine");
        return;
    }
    record_open(r, "quarantine", '{');
    report_record_str(r, "path", q->path);
    report_record_str(r, "state", state_of(q));
    record_u64(r, "messages", q->messages);
    record_u64(r, "pending", q->pending);
    record_u64(r, "bytes", q->bytes);
    record_thousandths(r, "bytes_grown_1h", q->grown * 1000);
    record_u64(r, "size_max", q->size_max);
    record_close(r, '}');
}

const char *report_quarantine_warning(const struct report_quarantine *q) {
    if (q->path == NULL)
        return NULL;
    if (q->is_broken)
        return "the quarantine cannot be used";
    return q->bytes >= q->size_max / 100 * WARN_PERCENT ? "the quarantine is nearly full" : NULL;
}
