/*
 * How is the service doing? In words, in JSON, and as one line for monitoring.
 *
 * Monitoring wakes people, so the two levels are kept apart by what mail feels: critical when a sender is deferred
 * now (no worker, a server group with every server down), warning when somebody should look before that happens. The
 * master judges, not the subcommand, so that all who ask over the control socket get the same judgement.
 */
#include "cmd/report.h"

#include "base/clock.h"
#include "cmd/columns.h"

#include <inttypes.h>
#include <stdio.h>

struct total {
    const char *name;
    uint64_t value;
};

enum { N_TOTALS = 33 };

static void list_totals(const struct report_totals *t, struct total out[N_TOTALS]) {
    const struct total list[N_TOTALS] = {
        {"sessions_now", t->sessions_now},
        {"sessions", t->sessions},
        {"messages", t->messages},
        {"recipients_passed", t->recipients_passed},
        {"refused", t->refused},
        {"deferred", t->deferred},
        {"unknown", t->unknown},
        {"relay_denied", t->relay_denied},
        {"evicted", t->evicted},
        {"evicted_waiting", t->evicted_waiting},
        {"too_many", t->too_many},
        {"too_many_network", t->too_many_network},
        {"slow_data", t->slow_data},
        {"spool_now", t->spool_now},
        {"spool_refused", t->spool_refused},
        {"guessers_cut", t->guessers_cut},
        {"refused_from_memory", t->refused_from_memory},
        {"handed_over", t->handed_over},
        {"early_talkers", t->early_talkers},
        {"left_early", t->left_early},
        {"turned_away", t->turned_away},
        {"quarantined", t->quarantined},
        {"quarantine_failed", t->quarantine_failed},
        {"unrehearsed", t->unrehearsed},
        {"journal_folded", t->journal_folded},
        {"journal_bytes", t->journal_bytes},
        {"journal_bytes_minute", t->journal_bytes_minute},
        {"journal_bytes_hour", t->journal_bytes_hour},
        {"log_folded", t->log_folded},
        {"log_bytes", t->log_bytes},
        {"log_bytes_minute", t->log_bytes_minute},
        {"log_bytes_hour", t->log_bytes_hour},
        {"journal_lost", t->journal_lost},
    };
    memcpy(out, list, sizeof(list));
}

/* "3d 4h", "5m 12s", "8s": the two largest units are all a reader wants. */
static char *format_age(uint64_t ms, char out[32]) {
    static const struct {
        unsigned seconds;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    uint64_t s = ms / 1000;
    unsigned i = 0;
    while (i < 3 && s < units[i].seconds)
        i++;
    int n = snprintf(out, 32, "%" PRIu64 "%c", s / units[i].seconds, units[i].name);
    if (i < 3)
        snprintf(
            out + n, 32 - (size_t)n, " %" PRIu64 "%c", s % units[i].seconds / units[i + 1].seconds, units[i + 1].name);
    return out;
}

static const char *directory_state_name(enum report_directory_state state) {
    switch (state) {
    case REPORT_DIRECTORY_FINE:
        return "ok";
    case REPORT_DIRECTORY_MISSING:
        return "missing";
    case REPORT_DIRECTORY_OLD:
        return "too old";
    case REPORT_DIRECTORY_NONE:
        return "none";
    case REPORT_DIRECTORY_ALIAS:
        return "alias";
    }
    return "unknown";
}

/* ---- for people */

static int text_head(const struct report *report, struct buf *out) {
    char when[CLOCK_RFC3339_MAX], age[32];
    int r = buf_putf(out, "postern %s, up %s%s\n", report->version,
        format_age(report->now_ms - report->started_ms, age), report->is_stopping ? ", draining" : "");
    if (r == 0)
        r = buf_putf(
            out, "configuration %s, loaded %s\n", report->conf_path, clock_format_rfc3339(report->loaded_ms, when));
    if (r == 0 && report->last_reload != NULL)
        r = buf_putf(
            out, "last reload %s: %s\n", clock_format_rfc3339(report->last_reload_ms, when), report->last_reload);
    if (r == 0 && report->death_age_ms > 0)
        r = buf_putf(out, "workers that died %" PRIu64 ", the last one %s ago\n", report->worker_deaths,
                     format_age(report->death_age_ms, age));
    return r;
}

static int text_workers(const struct report *report, struct buf *out) {
    int r = buf_puts(out, STR("\nslot\tpid\tprocess\tstate\tup\tsessions\n"));
    for (size_t i = 0; i < report->n_workers && r == 0; i++) {
        const struct report_worker *w = &report->workers[i];
        char age[32];
        r = buf_putf(out, "%u\t%d\t%u\t%s\t%s\t%" PRIu64 "\n", w->slot, w->pid, w->process, w->state,
            format_age(w->age_ms, age), w->sessions);
    }
    return r;
}

static int text_servers(const struct report *report, struct buf *out) {
    int r = buf_puts(out, STR("\nservers\taddress\tstate\tconnections\twaiting\ttls\ttrouble\n"));
    for (size_t i = 0; i < report->n_servers && r == 0; i++) {
        const struct report_server *s = &report->servers[i];
        r = buf_putf(out, "%s\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%" PRIu64 "\n", s->group, s->address,
            s->is_down ? "down" : "up", s->connections, s->waiting, s->is_plain ? "clear" : "-", s->troubles);
    }
    return r;
}

static int text_lists(const struct report *report, struct buf *out) {
    int r = 0;
    if (report->n_lists > 0)
        r = buf_puts(out, STR("\nblock list\tkind\tasked\tlisted\terrors\tlatency\ttrusted\n"));
    for (size_t i = 0; i < report->n_lists && r == 0; i++) {
        const struct report_list *l = &report->lists[i];
        char latency[32];
        snprintf(latency, sizeof(latency), "%" PRIu64 "ms", l->latency_us / 1000);
        r = buf_putf(out, "%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s%s\n", l->zone, l->kind,
                     l->asked, l->listed, l->errors, latency, l->why == NULL ? "yes" : "no: ",
                     l->why == NULL ? "" : l->why);
    }
    return r;
}

static int text_directories(const struct report *report, struct buf *out) {
    int r = buf_puts(out, STR("\ndirectory\tstate\taddresses\tage\n"));
    for (size_t i = 0; i < report->n_directories && r == 0; i++) {
        const struct report_directory *d = &report->directories[i];
        char age[32] = "-";
        if (d->state == REPORT_DIRECTORY_FINE || d->state == REPORT_DIRECTORY_OLD)
            format_age(d->age_ms, age);
        r = buf_putf(out, "%s\t%s\t%" PRIu64 "\t%s%s\n", d->domain, directory_state_name(d->state), d->count, age,
                     d->is_broken ? " (the file there now cannot be read)" : "");
    }
    return r;
}

static int text_totals(const struct report *report, struct buf *out) {
    struct total totals[N_TOTALS];
    list_totals(&report->totals, totals);
    int r = buf_putc(out, '\n');
    for (unsigned i = 0; i < N_TOTALS && r == 0; i++)
        r = buf_putf(out, "%s\t%" PRIu64 "\n", totals[i].name, totals[i].value);
    return r;
}

static int put_parts(const struct report *report, struct buf *out) {
    int r = text_head(report, out);
    r = r == 0 ? text_workers(report, out) : r;
    r = r == 0 ? text_servers(report, out) : r;
    r = r == 0 ? report_scanners_text(report, out) : r;
    r = r == 0 ? text_lists(report, out) : r;
    r = r == 0 ? report_dns_text(&report->dns, out) : r;
    r = r == 0 ? text_directories(report, out) : r;
    r = r == 0 ? report_store_text(&report->store, out) : r;
    r = r == 0 ? report_quarantine_text(&report->quarantine, out) : r;
    return r == 0 ? text_totals(report, out) : r;
}

/* The parts write their tables with tabs. */
int report_text(const struct report *report, struct buf *out) {
    struct buf tables;
    buf_init(&tables, out->max);
    int r = put_parts(report, &tables);
    r = r == 0 ? columns_align(buf_str(&tables), out) : r;
    buf_deinit(&tables);
    return r;
}

/* ---- for programs */

void report_record_str(struct record *r, const char *name, const char *text) {
    if (text != NULL)
        record_str(r, name, str_of(text));
    else
        record_null(r, name);
}

static void record_head(const struct report *report, struct record *r) {
    report_record_str(r, "version", report->version);
    report_record_str(r, "configuration", report->conf_path);
    record_time(r, "started", report->started_ms);
    record_time(r, "loaded", report->loaded_ms);
    report_record_str(r, "last_reload", report->last_reload);
    record_bool(r, "last_reload_failed", report->last_reload_failed);
    record_bool(r, "draining", report->is_stopping);
    record_u64(r, "uptime_ms", report->now_ms - report->started_ms);
    record_u64(r, "worker_deaths", report->worker_deaths);
}

static void record_workers(const struct report *report, struct record *r) {
    record_open(r, "workers", '[');
    for (size_t i = 0; i < report->n_workers; i++) {
        const struct report_worker *w = &report->workers[i];
        record_open(r, NULL, '{');
        record_u64(r, "slot", w->slot);
        record_u64(r, "pid", (uint64_t)w->pid);
        record_u64(r, "process", w->process);
        report_record_str(r, "state", w->state);
        record_u64(r, "uptime_ms", w->age_ms);
        record_u64(r, "sessions", w->sessions);
        record_close(r, '}');
    }
    record_close(r, ']');
}

static void record_servers(const struct report *report, struct record *r) {
    record_open(r, "servers", '[');
    for (size_t i = 0; i < report->n_servers; i++) {
        const struct report_server *s = &report->servers[i];
        record_open(r, NULL, '{');
        report_record_str(r, "group", s->group);
        report_record_str(r, "address", s->address);
        record_bool(r, "down", s->is_down);
        record_u64(r, "connections", s->connections);
        record_u64(r, "waiting", s->waiting);
        record_bool(r, "clear", s->is_plain);
        record_u64(r, "trouble", s->troubles);
        record_close(r, '}');
    }
    record_close(r, ']');
}

static void record_lists(const struct report *report, struct record *r) {
    record_open(r, "block_lists", '[');
    for (size_t i = 0; i < report->n_lists; i++) {
        const struct report_list *l = &report->lists[i];
        record_open(r, NULL, '{');
        report_record_str(r, "zone", l->zone);
        report_record_str(r, "kind", l->kind);
        report_record_str(r, "why", l->why == NULL ? "" : l->why);
        record_bool(r, "trusted", l->why == NULL);
        record_u64(r, "asked", l->asked);
        record_u64(r, "listed", l->listed);
        record_u64(r, "errors", l->errors);
        record_u64(r, "probes", l->probes);
        record_u64(r, "latency_us", l->latency_us);
        record_close(r, '}');
    }
    record_close(r, ']');
}

static void record_directories(const struct report *report, struct record *r) {
    record_open(r, "directories", '[');
    for (size_t i = 0; i < report->n_directories; i++) {
        const struct report_directory *d = &report->directories[i];
        record_open(r, NULL, '{');
        report_record_str(r, "domain", d->domain);
        report_record_str(r, "state", directory_state_name(d->state));
        record_bool(r, "broken", d->is_broken);
        record_u64(r, "addresses", d->count);
        record_u64(r, "age_ms", d->age_ms);
        record_close(r, '}');
    }
    record_close(r, ']');
}

static void record_totals(const struct report *report, struct record *r) {
    struct total totals[N_TOTALS];
    list_totals(&report->totals, totals);
    record_open(r, "totals", '{');
    for (unsigned i = 0; i < N_TOTALS; i++)
        record_u64(r, totals[i].name, totals[i].value);
    record_close(r, '}');
}

int report_json(const struct report *report, struct buf *out) {
    struct record r;
    record_begin(&r, out);
    record_head(report, &r);
    record_workers(report, &r);
    record_servers(report, &r);
    report_scanners_record(report, &r);
    record_lists(report, &r);
    report_dns_record(&report->dns, &r);
    record_directories(report, &r);
    report_store_record(&report->store, &r);
    report_quarantine_record(&report->quarantine, &r);
    record_totals(report, &r);
    return record_end(&r);
}

/* ---- for monitoring */

struct finding {
    struct buf *out;
    enum report_health worst;
    enum report_health level; /* what is being written now */
    int r;
};

__attribute__((format(printf, 2, 3)))
static void found(struct finding *finding, const char *format, ...) {
    va_list args;
    if (finding->r == 0 && finding->worst != REPORT_OK)
        finding->r = buf_puts(finding->out, STR("; "));
    if (finding->level > finding->worst)
        finding->worst = finding->level;
    va_start(args, format);
    if (finding->r == 0)
        finding->r = buf_vputf(finding->out, format, args);
    va_end(args);
}

static unsigned count_ready(const struct report *report) {
    unsigned n = 0;
    for (size_t i = 0; i < report->n_workers; i++)
        n += strcmp(report->workers[i].state, "ready") == 0;
    return n;
}

static void find_dead_groups(const struct report *report, struct finding *finding) {
    for (size_t i = 0; i < report->n_servers;) {
        size_t first = i;
        bool any_is_up = false;
        for (; i < report->n_servers && strcmp(report->servers[i].group, report->servers[first].group) == 0; i++)
            any_is_up |= !report->servers[i].is_down;
        if (!any_is_up)
            found(finding, "all servers of %s are down", report->servers[first].group);
    }
}

/* Deferring is felt by senders; mail that passes unscanned should be looked at. */
static void find_dead_scanners(const struct report *report, struct finding *finding, bool is_deferring) {
    for (size_t i = 0; i < report->n_scanners; i++)
        if (report->scanners[i].is_deferring == is_deferring && !report_scanner_works(report, &report->scanners[i]))
            found(finding, "no server of %s works", report->scanners[i].name);
}

/* Many of one kind are one remark with the first one's name: the line is read on a telephone. */
static void find_directories(
    const struct report *report, struct finding *finding, enum report_directory_state state, const char *what) {
    const char *first = NULL;
    unsigned n = 0;
    for (size_t i = 0; i < report->n_directories; i++)
        if (report->directories[i].state == state && n++ == 0)
            first = report->directories[i].domain;
    if (n == 1)
        found(finding, "the directory of %s is %s", first, what);
    else if (n > 1)
        found(finding, "the directories of %s and %u more are %s", first, n - 1, what);
}

static void find_warnings(const struct report *report, struct finding *finding) {
    if (report->death_age_ms > 0 && report->death_age_ms < REPORT_DEATH_RECENT_MS)
        found(finding, "a worker died in the last 5 minutes");
    for (size_t i = 0; i < report->n_servers; i++)
        if (report->servers[i].is_down)
            found(finding, "server %s is down", report->servers[i].address);
    find_dead_scanners(report, finding, false);
    for (size_t i = 0; i < report->n_scanner_servers; i++)
        if (report->scanner_servers[i].is_down)
            found(finding, "%s %s is down", report->scanner_servers[i].name, report->scanner_servers[i].address);
    find_directories(report, finding, REPORT_DIRECTORY_MISSING, "missing");
    find_directories(report, finding, REPORT_DIRECTORY_OLD, "too old");
    const char *dns = report_dns_warning(&report->dns);
    if (dns != NULL)
        found(finding, "%s", dns);
    const char *store = report_store_warning(&report->store);
    if (store != NULL)
        found(finding, "%s", store);
    const char *quarantine = report_quarantine_warning(&report->quarantine);
    if (quarantine != NULL)
        found(finding, "%s", quarantine);
    if (report->last_reload_failed)
        found(finding, "the last reload failed");
    if (report->totals.journal_lost > 0)
        found(finding, "%" PRIu64 " journal lines were lost", report->totals.journal_lost);
}

int report_check(const struct report *report, struct buf *out, enum report_health *ret_health) {
    struct finding finding = { .out = out, .worst = REPORT_OK, .level = REPORT_CRITICAL };
    unsigned ready = count_ready(report);
    if (ready == 0)
        found(&finding, report->is_stopping ? "stopping" : "no worker is ready");
    find_dead_groups(report, &finding);
    find_dead_scanners(report, &finding, true);
    finding.level = REPORT_WARNING;
    find_warnings(report, &finding);
    if (finding.worst == REPORT_OK)
        finding.r = buf_putf(out, "%u workers, %" PRIu64 " sessions, %zu servers, %zu directories", ready,
            report->totals.sessions_now, report->n_servers, report->n_directories);
    *ret_health = finding.worst;
    return finding.r;
}
