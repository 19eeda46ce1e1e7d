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

static int json_servers(const struct report *report, const char *name, struct buf *out) {
    int r = buf_puts(out, STR("\"servers\":["));
    bool is_first = true;
    for (size_t i = 0; i < report->n_scanner_servers && r == 0; i++) {
        const struct report_scanner_server *s = &report->scanner_servers[i];
        if (strcmp(s->name, name) != 0)
            continue;
        r = buf_puts(out, is_first ? STR("{") : STR(",{"));
        is_first = false;
        r = r == 0 ? report_put_member(out, "address", s->address) : r;
        r = r == 0 ? buf_putf(out, "\"down\":%s,\"connections\":%" PRIu64 ",\"scanned\":%" PRIu64
                              ",\"failed\":%" PRIu64 "}", s->is_down ? "true" : "false", s->connections, s->scanned,
                              s->failed)
                   : r;
    }
    return r == 0 ? buf_puts(out, STR("]")) : r;
}

int report_scanners_json(const struct report *report, struct buf *out) {
    int r = buf_puts(out, STR("\"scanners\":["));
    for (size_t i = 0; i < report->n_scanners && r == 0; i++) {
        const struct report_scanner *s = &report->scanners[i];
        r = buf_puts(out, i > 0 ? STR(",{") : STR("{"));
        r = r == 0 ? report_put_member(out, "name", s->name) : r;
        r = r == 0 ? buf_putf(out, "\"scanned\":%" PRIu64 ",\"found\":%" PRIu64 ",\"skipped\":%" PRIu64
                              ",\"unavailable\":%" PRIu64 ",", s->scanned, s->found, s->skipped, s->unavailable)
                   : r;
        r = r == 0 ? json_servers(report, s->name, out) : r;
        r = r == 0 ? buf_puts(out, STR("}")) : r;
    }
    return r == 0 ? buf_puts(out, STR("],")) : r;
}

bool report_scanner_works(const struct report *report, const struct report_scanner *scanner) {
    for (size_t i = 0; i < report->n_scanner_servers; i++)
        if (strcmp(report->scanner_servers[i].name, scanner->name) == 0 && !report->scanner_servers[i].is_down)
            return true;
    return false;
}
