/*
 * report: the state of the service at one moment, and how it is told to people, programs and monitoring.
 *
 * The master fills a struct report (summary.c); writing it is pure. Times are wall clock, ages in ms.
 */
#pragma once

#include "base/buf.h"
#include "journal/record.h"

enum report_health {
    REPORT_OK,
    REPORT_WARNING,
    REPORT_CRITICAL,
    REPORT_UNKNOWN
}; /* exit codes of monitoring plugins */

struct report_worker {
    unsigned slot, process;
    int pid; /* 0: none runs */
    uint64_t age_ms, sessions;
    const char *state; /* "ready", "starting", "ending", "waiting" (to be started again) */
};

struct report_server {
    const char *group;
    const char *address;
    uint64_t connections, waiting;
    uint64_t troubles; /* answers about us */
    bool is_down;
    bool is_plain;     /* `tls may`: in the clear */
};

enum report_directory_state {
    REPORT_DIRECTORY_FINE,
    REPORT_DIRECTORY_MISSING,
    REPORT_DIRECTORY_OLD,
    REPORT_DIRECTORY_NONE, /* `directory none`: the mailbox server decides */
    REPORT_DIRECTORY_ALIAS /* `directory of` another domain */
};

struct report_directory {
    const char *domain;
    enum report_directory_state state;
    bool is_broken; /* the file that lies there is not the one in use, because it cannot be read */
    uint64_t count, age_ms;
};

struct report_list { /* a block list; numbers of all workers together */
    const char *zone, *kind; /* "IPv4", "IPv6", "names" */
    const char *why;         /* it is not trusted by some worker; NULL: all trust it */
    uint64_t asked, listed, errors, probes, latency_us; /* probes: rounds of them */
};

struct report_scanner { /* "clamav", "spamassassin"; numbers of all workers together */
    const char *name;
    bool is_deferring; /* on_failure: mail is deferred while none of its servers works */
    uint64_t scanned, found, skipped, unavailable; /* messages */
};

struct report_scanner_server {
    const char *name, *address; /* of the scanner; "unix:/run/clamav/clamd.ctl" */
    uint64_t connections, scanned, failed;
    bool is_down;
};

struct report_dns { /* the resolvers of all workers together; questions since the start, except the first two */
    uint64_t in_flight, max_in_flight; /* now; 0: no policy asks DNS */
    uint64_t asked, cached, joined;
    uint64_t refused_client, refused_domain, refused_full;
    uint64_t full_age_ms; /* since one was last refused because there was no room at all; 0: never */
};

struct report_quarantine {
    const char *path; /* NULL: none is configured */
    bool is_broken, is_counted;
    uint64_t messages, pending, bytes, size_max;
    int64_t grown; /* bytes within the last hour */
};

struct report_store {
    const char *state; /* of its process: store_child_state(); NULL: none is configured */
    const char *local, *shared; /* "up", "down", "full" (can be read, not written), "off" */
    const char *why;   /* one of them was last lost; "" */
    int pid;           /* 0: none runs */
    uint64_t age_ms, deaths;
    uint64_t asked, credits, unavailable, batches, latency_us, longest_us, rows, pending, bytes;
    uint64_t grouped, crowded; /* store/counters.h */
    int64_t grown, grouped_lately; /* rows, and attempts without rows of their own, within the last hour */
};

struct report_totals {
    uint64_t sessions_now, sessions, messages, recipients_passed, refused, deferred, relay_denied, unknown;
    uint64_t evicted, evicted_waiting, too_many, too_many_network, handed_over, early_talkers, left_early;
    uint64_t slow_data, spool_now, spool_refused, guessers_cut, refused_from_memory, turned_away, journal_lost;
    uint64_t journal_folded, journal_bytes, journal_bytes_minute, journal_bytes_hour; /* in the last …: growth.h */
    uint64_t log_folded, log_bytes, log_bytes_minute, log_bytes_hour;
    uint64_t quarantined, quarantine_failed, unrehearsed;
};

struct report {
    const char *version, *conf_path;
    uint64_t now_ms, started_ms, loaded_ms; /* wall clock */
    bool is_stopping;
    const char *last_reload; /* NULL: none so far */
    uint64_t last_reload_ms;
    bool last_reload_failed;
    uint64_t worker_deaths;    /* unplanned, since the start */
    uint64_t death_age_ms;     /* since the last of them; 0: none */
    struct report_totals totals;
    const struct report_worker *workers;
    size_t n_workers;
    const struct report_server *servers; /* those of a group stand together */
    size_t n_servers;
    const struct report_list *lists;
    size_t n_lists;
    const struct report_scanner *scanners;               /* those that are configured */
    size_t n_scanners;
    const struct report_scanner_server *scanner_servers; /* those of a scanner stand together */
    size_t n_scanner_servers;
    const struct report_directory *directories;
    size_t n_directories;
    struct report_store store;
    struct report_quarantine quarantine;
    struct report_dns dns;
};

enum { REPORT_DEATH_RECENT_MS = 300000, REPORT_FULL_RECENT_MS = 300000 };

/* Each returns 0, -ENOBUFS or -ENOMEM. */
int report_text(const struct report *report, struct buf *out);
int report_json(const struct report *report, struct buf *out);

/* One line without its end: what is wrong, worst first, or what is well. */
int report_check(const struct report *report, struct buf *out, enum report_health *ret_health);

/* ---- shared by the files that write it: of the text, lines whose cells are told apart by tabs (columns.h) */

void report_record_str(struct record *r, const char *name, const char *text); /* NULL: null */

/* ---- report_scanners.c: nothing, or an empty array, where none is configured */

int report_scanners_text(const struct report *report, struct buf *out);
void report_scanners_record(const struct report *report, struct record *r);
bool report_scanner_works(const struct report *report, const struct report_scanner *scanner);

/* ---- report_dns.c: nothing, or a member that is null, where no policy asks DNS */

int report_dns_text(const struct report_dns *dns, struct buf *out);
void report_dns_record(const struct report_dns *dns, struct record *r);
const char *report_dns_warning(const struct report_dns *dns); /* NULL: all is well */

/* ---- report_quarantine.c: nothing, or a member that is null, where none is configured */

int report_quarantine_text(const struct report_quarantine *quarantine, struct buf *out);
void report_quarantine_record(const struct report_quarantine *quarantine, struct record *r);
const char *report_quarantine_warning(const struct report_quarantine *quarantine); /* NULL: all is well */

/* ---- report_store.c: nothing, or a member that is null, where no store is configured */

int report_store_text(const struct report_store *store, struct buf *out);
void report_store_record(const struct report_store *store, struct record *r);
const char *report_store_warning(const struct report_store *store); /* NULL: all is well */
