/*
 * scanner_servers: the servers of one scanner, and what has one message looked at by one of them.
 *
 * One a worker and scanner. A message embeds a struct scanner_call; it stands in a server's line until a connection is
 * free, is asked about, and if that comes to nothing, at the next server that works. Its end comes once, through
 * call->on_end, in a later turn of tasks, unless it was cancelled.
 *
 *     UP ── an attempt fails ──▶ ON_TRIAL ── works ──▶ UP: the message is to blame, and skipped
 *                                   │
 *     cannot connect ─────────────▶ DOWN ── after a pause: a trial ──▶ UP, or DOWN with a pause twice as long
 */
#pragma once

#include "facts/scanner_conn.h"

#include <sys/queue.h>

struct scanner_servers;
struct scanner_server;
struct scanner_link;
struct scanner_call;

/* ---- calls */

enum scanner_outcome { SCANNER_CALL_DONE, SCANNER_CALL_SKIPPED, SCANNER_CALL_UNAVAILABLE };

enum { SCANNER_TEXT_MAX = 1024 };

struct scanner_result {
    enum scanner_outcome outcome;
    int64_t score, threshold;        /* DONE */
    bool is_found;                   /* DONE */
    char text[SCANNER_TEXT_MAX + 1]; /* DONE: printable ASCII without blanks, names whole */
    const char *why;                 /* else: a few fixed words, for whoever reads the message */
    char detail[SCANNER_WHY_MAX];    /* else: the same for the administrator; printable ASCII */
};

enum scanner_call_state { SCANNER_CALL_IDLE, SCANNER_CALL_IN_LINE, SCANNER_CALL_ASKED, SCANNER_CALL_IN_DOUBT,
                          SCANNER_CALL_ENDING };

TAILQ_HEAD(scanner_calls, scanner_call);

struct scanner_call {
    struct task task;        /* ENDING: on_end */
    struct timer timer;      /* for this server's answer, and the deadline */
    struct scanner_servers *servers;
    struct scanner_server *server; /* IN_LINE, ASKED, IN_DOUBT: where */
    struct scanner_link *link;     /* ASKED */
    TAILQ_ENTRY(scanner_call) entry;
    enum scanner_call_state state;
    uint32_t tried;          /* servers that came to nothing, by number */
    unsigned failures;       /* attempts that did */
    uint64_t deadline_ms;
    struct scanner_question question;
    struct scanner_result result;
    void (*on_end)(struct scanner_call *call);
};

/* Fill `question`, `deadline_ms`, `on_end` of a zeroed or ended call before. */
void scanner_call_start(struct scanner_call *call, struct scanner_servers *servers);
/* on_end does not come any more. An idle or ended one is fine. */
void scanner_call_cancel(struct scanner_call *call);

/* ---- servers */

enum scanner_health { SCANNER_UP, SCANNER_ON_TRIAL, SCANNER_DOWN };

struct scanner_link { /* a connection of a server */
    void *free_link[2]; /* loop_free_later() writes here, while the stream's own callback may still run */
    struct scanner_conn conn;
    struct timer idle_timer;
    struct scanner_server *server;
    struct scanner_call *call; /* NULL: idle, or the trial */
    TAILQ_ENTRY(scanner_link) entry;
};

TAILQ_HEAD(scanner_links, scanner_link);

struct scanner_server {
    struct scanner_servers *servers;
    const struct conf_scanner_server *conf;
    enum scanner_health health;
    bool is_down;            /* DOWN, or on trial after having been */
    bool is_serving;
    struct timer timer;      /* DOWN: the next trial; ON_TRIAL: its end */
    struct scanner_link *trial;
    struct scanner_links idle, busy;
    unsigned n_idle, n_busy;
    struct scanner_calls line, in_doubt;
    unsigned n_downs;        /* in a row, for the pause */
    unsigned n_failed;       /* messages in a row that came to nothing */
    uint64_t scanned, failed;
};

struct scanner_servers {
    struct loop *loop;
    const struct conf_scanner *conf;
    const struct scanner_protocol *protocol;
    unsigned max;            /* connections to each */
    struct scanner_server *at;
    void (*on_server)(struct scanner_servers *servers, const struct conf_scanner_server *server, struct str what);
};

/* Begins with a trial of each server. `max` > 0. Returns 0 or -ENOMEM. */
int scanner_servers_init(struct scanner_servers *servers, struct loop *loop, const struct conf_scanner *conf,
                         const struct scanner_protocol *protocol, unsigned max,
                         void (*on_server)(struct scanner_servers *servers, const struct conf_scanner_server *server,
                                           struct str what));
/* All calls have ended. */
void scanner_servers_deinit(struct scanner_servers *servers);
