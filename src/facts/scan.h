/*
 * scan: one message under the eyes of the scanners: clamd for viruses, spamd for spam.
 *
 * One struct scanners a worker: the servers of both, their breakers, kept connections and counters. One struct scan a
 * message: nothing is asked until scan_want() says what is needed; both are then at work at the same time, each within
 * its own time-out and before the scan's deadline. The text is borrowed and never copied whole: it leaves piece by
 * piece as the sockets drain.
 *
 * Nothing that a scanner does or fails to do is an error of these functions: it is a state. Which of them is a reason
 * to defer is for the policy (on_failure in postern.conf).
 *
 *   SCAN_SKIPPED      this message alone: larger than a limit (ours, or the scanner's own), or the scanner fails on it
 *                     and works otherwise
 *   SCAN_UNAVAILABLE  no server of this scanner works, or none had a place free, in time
 *
 * on_change() obeys the laws of net/loop.h: it never comes from inside a function below, and never after scan_free().
 * It comes once for each scanner that was wanted and has ended; scan_want() and scan_free() may be called inside it.
 */
#pragma once

#include "base/spool.h"
#include "conf/conf.h"
#include "net/loop.h"

struct scanners;
struct scan;

enum scanner { SCANNER_CLAMAV, SCANNER_SPAMASSASSIN, N_SCANNERS };

extern const char *const scanner_names[N_SCANNERS]; /* "clamav", "spamassassin": as the blocks of postern.conf */

/* ---- a worker's */

struct scanner_events { /* for the owner's log; library code does not log */
    /* A server changed: "down: Connection refused", "up again". Once a change. `server` is as in postern.conf. */
    void (*on_server)(void *arg, enum scanner scanner, const char *server, struct str what);
    /* A message was skipped or not scanned although it was wanted: `id` is the scan's, `why` as in its result. */
    void (*on_missed)(void *arg, enum scanner scanner, const char *id, bool is_skipped, struct str why);
    void *arg;
};

/*
 * `conf` and `events` are borrowed. n_workers: among how many the connections to a server are shared out. Returns 0 or
 * -ENOMEM.
 */
int scanners_new(struct loop *loop, const struct conf *conf, unsigned n_workers, const struct scanner_events *events,
                 struct scanners **ret_scanners);
/* Every scan must have been freed. Accepts NULL. */
void scanners_free(struct scanners *scanners);

struct scanner_counters { /* messages, since the start */
    uint64_t scanned;     /* with an answer */
    uint64_t found;       /* of these: infected, or spam in the scanner's own opinion */
    uint64_t skipped, unavailable;
};

struct scanner_server_stats {
    unsigned connections, idle; /* idle: of the connections */
    bool is_down;               /* the breaker is open */
    uint64_t scanned, failed;   /* messages it answered about; attempts that came to nothing */
};

const struct scanner_counters *scanners_counters(const struct scanners *scanners, enum scanner scanner);
void scanners_server_stats(const struct scanners *scanners, enum scanner scanner, size_t server,
                           struct scanner_server_stats *ret_stats);

/* ---- a message's */

struct scan_text {        /* what the views show must live as long as the scan */
    struct str head;      /* our Received, in front of the spool; canonical, may be empty */
    struct spool *spool;  /* canonical text with CRLF line ends */
    struct str user;      /* spamd's user, sent with `user_by_domain yes`: the recipients' domain, or "" */
    const char *id;       /* for events */
};

enum scan_state {
    SCAN_OFF,  /* this scanner is not configured */
    SCAN_IDLE, /* not asked, or cancelled */
    SCAN_RUNNING,
    SCAN_DONE,
    SCAN_SKIPPED,
    SCAN_UNAVAILABLE,
};

enum { SCAN_NAME_MAX = 128, SCAN_SYMBOLS_MAX = 1024, SCAN_WHY_MAX = 160 };

struct scan_virus {
    enum scan_state state;
    struct str name;  /* SCAN_DONE: "" clean; else at most SCAN_NAME_MAX printable ASCII characters without blanks */
    struct str why;   /* SCAN_SKIPPED, SCAN_UNAVAILABLE: a few words for header and journal, without inner names or
                         addresses, printable ASCII */
    uint64_t took_us; /* from scan_want() to the end */
};

struct scan_spam {
    enum scan_state state;
    int64_t score, threshold; /* SCAN_DONE: thousandths (FACT_UNIT) */
    bool is_spam;             /* SCAN_DONE: in spamd's own opinion */
    struct str symbols;       /* SCAN_DONE: "BAYES_99,HTML_MESSAGE", at most SCAN_SYMBOLS_MAX, whole names, cleaned */
    struct str why;
    uint64_t took_us;
};

/*
 * `text` is copied, what it shows is borrowed until scan_free(). deadline_ms: on the loop's clock; what is not known
 * then is unavailable. Returns NULL when memory ran out.
 */
struct scan *scan_new(struct scanners *scanners, const struct scan_text *text, uint64_t deadline_ms,
                      void (*on_change)(void *arg), void *arg);

/*
 * Starts what is wanted and idle, cancels what runs and is not wanted (it is idle again, and can be wanted again). What
 * has ended stays as it is.
 */
void scan_want(struct scan *scan, bool virus, bool spam);

/* Valid until scan_free(); they change with scan_want() and before on_change(). */
const struct scan_virus *scan_virus(const struct scan *scan);
const struct scan_spam *scan_spam(const struct scan *scan);

/* Cancels what runs. Accepts NULL. */
void scan_free(struct scan *scan);
