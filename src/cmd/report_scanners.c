/*
 * How are the scanners doing? The part of the report that is about them: nothing where none is configured.
 */
#include "cmd/report.h"

#include <inttypes.h>

int report_scanners_text(const struct report *report, struct buf *out) {
    int r = 0;
    if (report->n_scanners > 0)
        r = buf_puts(out, STR("\nscanner\tscanned\tfound\tskipped\tunavailable\n"));
    for (size_t i = 0; i < report->n_scanners && r == 0; i++) {
        const struct report_scanner *s = &report->scanners[i];
        r = buf_putf(out, "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", s->name, s->scanned,
                     s->found, s->skipped, s->unavailable);
    }
    if (r == 0 && report->n_scanner_servers > 0)
        r = buf_puts(out, STR("\nscanner\tserver\tstate\tconnections\tscanned\tfailed\n"));
    for (size_t i = 0; i < report->n_scanner_servers && r == 0; i++) {
        const struct report_scanner_server *s = &report->scanner_servers[i];
        r = buf_putf(out, "%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", s->name, s->address,
                     s->is_down ? "down" : "up", s->connections, s->scanned, s->failed);
    }
    return r;
}

static void record_servers(const struct report *report, const char *name, struct record *r) {
    record_open(r, "servers", '[');
    for (size_t i = 0; i < report->n_scanner_servers; i++) {
        const struct report_scanner_server *s = &report->scanner_servers[i];
        if (strcmp(s->name, name) != 0)
            continue;
        record_open(r, NULL, '{');
        report_record_str(r, "address", s->address);
        record_bool(r, "down", s->is_down);
        record_u64(r, "connections", s->connections);
        record_u64(r, "scanned", s->scanned);
        record_u64(r, "failed", s->failed);
        record_close(r, '}');
    }
    record_close(r, ']');
}

void report_scanners_record(const struct report *report, struct record *r) {
    record_open(r, "scanners", '[');
    for (size_t i = 0; i < report->n_scanners; i++) {
        const struct report_scanner *s = &report->scanners[i];
        record_open(r, NULL, '{');
        report_record_str(r, "name", s->name);
        record_u64(r, "scanned", s->scanned);
        record_u64(r, "found", s->found);
        record_u64(r, "skipped", s->skipped);
        record_u64(r, "unavailable", s->unavailable);
        record_servers(report, s->name, r);
        record_close(r, '}');
    }
    record_close(r, ']');
}

bool report_scanner_works(const struct report *report, const struct report_scanner *scanner) {
    for (size_t i = 0; i < report->n_scanner_servers; i++)
        if (strcmp(report->scanner_servers[i].name, scanner->name) == 0 && !report->scanner_servers[i].is_down)
            return true;
    return false;
}
