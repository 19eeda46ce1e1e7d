/*
 * worker: one process that serves clients: the loop, the sessions, the pools of mailbox-server connections.
 *
 * The master makes everything that needs rights (sockets, keys, journal files, directories) and forks; the child
 * calls worker_run() and never returns to the master's code. What changes later comes as a message on the channel
 * between them, with descriptors where there are any.
 *
 *   master ─▶ worker   DIRECTORY (domain, new file)   DRAIN (accept no more, end within drain_limit)
 *                      JOURNAL (new pipe)                 STORE (a connection to the store process)
 *                      TABLE (name, new file)
 *   worker ─▶ master   READY
 *   worker ─▶ worker   HANDOVER (a connection whose client belongs to the other; see handover.h)
 *
 * Numbers for `postern status` stand in memory that master and worker share, so asking costs the worker nothing.
 */
#pragma once

#include "conf/conf.h"
#include "facts/dnsbl.h"
#include "facts/scan.h"
#include "net/beat.h"
#include "session/history.h"
#include "table/directory.h"

#include <stdatomic.h>

enum { WORKER_MAX = 64, WORKER_SERVERS_MAX = 64 };

enum worker_message_type {
    WORKER_READY = 1, /* to the master: it accepts */
    WORKER_DIRECTORY,
    WORKER_DRAIN,
    WORKER_JOURNAL,
    WORKER_TABLE,     /* here is another file of a table, named in `domain` */
    WORKER_STORE,     /* here is a connection to a (new) store process */
    WORKER_CLOSED,    /* to the master, once, after WORKER_DRAIN or SIGTERM: it accepts no more */
};

struct worker_message {
    uint32_t type;     /* enum worker_message_type */
    char domain[256];  /* WORKER_DIRECTORY: whose, WORKER_TABLE: which; NUL-terminated. A directory without a descriptor
                          is gone */
};

struct worker_server_counters { /* one mailbox server as this worker sees it */
    _Atomic uint32_t connections, idle, lent, waiting;
    _Atomic uint32_t is_down; /* the breaker is open */
    _Atomic uint32_t is_plain; /* `tls may`: in the clear */
    _Atomic uint64_t troubles; /* answers about us, not about a sender, recipient or message */
};

struct worker_list_counters { /* one block list, for one enum dnsbl_kind, as this worker sees it */
    _Atomic uint32_t trust, why; /* enum dnsbl_trust_state, enum dnsbl_why */
    _Atomic uint64_t asked, listed, errors, probes, latency_us;
};

struct worker_scanner_counters { /* one scanner, as this worker sees it */
    _Atomic uint64_t scanned, found, skipped, unavailable; /* messages */
    struct {
        _Atomic uint32_t connections, is_down;
        _Atomic uint64_t scanned, failed;
    } servers[CONF_SCANNER_SERVERS_MAX];
};

/* One writer (the worker), any reader. Totals since the process started, except `now` ones. */
struct worker_counters {
    struct beat beat;            /* of its loop; the master watches it */
    _Atomic uint64_t started_ms; /* wall clock */
    _Atomic uint64_t sessions_now, sessions;
    _Atomic uint64_t messages;           /* ended in 250 */
    _Atomic uint64_t recipients_passed, refused, deferred; /* decisions about recipients */
    _Atomic uint64_t relay_denied, unknown;                /* of the refused */
    _Atomic uint64_t evicted;            /* gave way at the connection limit … */
    _Atomic uint64_t evicted_waiting;    /* … while it waited for us, or for the greeting */
    _Atomic uint64_t too_many;           /* refused: limit per client … */
    _Atomic uint64_t too_many_network;   /* … and per network */
    _Atomic uint64_t slow_data;          /* sessions that ended for sending a message too slowly */
    _Atomic uint64_t spool_now;          /* bytes that messages hold, in memory and on the disk */
    _Atomic uint64_t spool_refused;      /* messages past their share of it */
    _Atomic uint64_t guessers_cut;       /* sessions that ended for naming recipients that nobody has */
    _Atomic uint64_t refused_from_memory; /* recipients that a mailbox server had refused some minutes before */
    _Atomic uint64_t handed_over;        /* connections given to another worker */
    _Atomic uint64_t early_talkers;
    _Atomic uint64_t left_early;         /* clients gone before they were greeted */
    _Atomic uint64_t turned_away;        /* by layer connection, instead of the greeting */
    _Atomic uint64_t journal_lost;
    _Atomic uint64_t journal_folded, log_folded; /* counted instead of being written */
    _Atomic uint64_t journal_bytes, log_bytes;   /* written */
    _Atomic uint64_t unrehearsed;        /* decisions whose shadow rules could not be tried */
    _Atomic uint64_t quarantined, quarantine_failed; /* messages */
    struct {
        _Atomic uint64_t messages, pending, bytes; /* in the folder, as this worker counted it … */
        _Atomic uint64_t counted_ms;               /* … by clock_ms(); 0: not yet */
        _Atomic uint32_t is_broken;                /* there should be one, and it cannot be used */
    } quarantine;
    struct resolver_counters dns;
    struct worker_list_counters lists[CONF_BLOCK_LISTS_MAX][N_DNSBL_KINDS];
    struct worker_scanner_counters scanners[N_SCANNERS];
    struct worker_server_counters servers[WORKER_SERVERS_MAX]; /* groups' servers, one after the other */
};

struct worker_setup {
    const struct conf *conf;
    unsigned slot;            /* 0 .. n_slots - 1 */
    unsigned n_slots;         /* as many as sockets a listener; clients belong to ip_client_slot(ip, n_slots) */
    unsigned n_workers;       /* slot s is served by worker s % n_workers; here for limits that are shared out */
    unsigned process;         /* 0-255, in ids and in the journal's file name */
    SSL_CTX *tls;             /* NULL: no STARTTLS */
    SSL_CTX **group_tls;      /* one a server group, for connecting; NULL where the group's mode is none */
    const int *listen_fds;    /* this worker's sockets: n_listen of them */
    const unsigned *listen_of;/* which listener of conf each belongs to */
    const bool *listen_is_shared; /* true: one for all workers (inherited, or a file): hand over by client address */
    size_t n_listen;
    uint64_t id_floor_ms;     /* ids are of later times; 0: of any */
    int master_fd;            /* channel to the master */
    int mesh_fd;              /* where others hand connections to us */
    const int *mesh_fds;      /* n_slots: where to hand connections of slot s */
    int journal_fd;           /* -1: none */
    /* By conf->domains[].index; NULL: none configured or missing. Owned by the worker from now on. */
    struct directory **directories;
    struct worker_counters *counters;
    struct history *history;  /* the master's, shared by all workers */
};

/*
 * The life of a worker process, sandbox included. Returns the exit code: 0 after a drain, 1 after an error that was
 * logged.
 */
int worker_run(const struct worker_setup *setup);
