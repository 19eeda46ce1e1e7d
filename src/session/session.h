/*
 * session: one client, from connect to quit.
 *
 * A session is started for an accepted descriptor and from then on lives by itself on the worker's loop; it frees
 * itself. What all sessions of a worker share is struct server: borrowed, and outliving them. Nothing here blocks,
 * and nothing waits but by ask() in session.c.
 */
#pragma once

#include "conf/conf.h"
#include "facts/gather.h"
#include "journal/id.h"
#include "journal/writer.h"
#include "session/clients.h"
#include "session/guessers.h"
#include "session/history.h"
#include "session/refusals.h"
#include "session/relay.h"
#include "session/worker.h"

struct session;
struct quarantine;
struct folding;
struct kept_orphan;

/* Where a connection comes from. */
struct session_origin {
    struct endpoint peer;   /* the other end of the TCP connection */
    struct endpoint client; /* whom it speaks for: the same, unless a PROXY header said otherwise */
    struct ip server;       /* our address in the PROXY header; IP_NONE: that of the connection */
    bool expects_proxy;     /* a PROXY header must come first; `client` is not known yet */
    bool allows_xclient;    /* XCLIENT is offered, once */
    bool may_multiplex;     /* it stays so: the balancer sends mail of several clients in one connection */
    bool is_settled;        /* we are its client's worker: the kernel or another worker brought it here */
    bool is_local;          /* PROXY LOCAL: the balancer itself, looking whether we live */
};

/* What the sessions of a worker share. */
struct server {
    struct loop *loop;
    const struct conf *conf;
    struct relay *relay;
    struct gather_world gather;
    SSL_CTX *tls; /* NULL: no STARTTLS */
    struct directory **directories; /* by conf->domains[].index */
    struct journal *journal;
    struct worker_counters *counters;
    struct id_source ids;
    struct clients clients;
    struct rates *rates;      /* NULL: no rule asks what a client did lately */
    struct history *history;  /* NULL: nobody is remembered */
    struct refusals *refusals; /* recipients that mailbox servers do not know */
    struct guessers *guessers; /* NULL: guesses are counted by session alone */
    struct session *sessions; /* all of them, newest first */
    uint64_t n_sessions;
    uint64_t max_sessions;    /* this worker's share of limits.connections */
    struct quarantine *quarantine; /* NULL: there is none */
    struct kept_orphan *kept_orphans; /* see keeping.h */
    struct folding *folding;  /* see folding.h; NULL: every line is written */
    struct rehearsal *rehearsals; /* see rehearsal.h */
    unsigned n_rehearsals, n_rehearsed_messages;
    bool are_rehearsals_full; /* and the log was told */
    bool is_shutting_down;    /* sessions without a transaction are told to come back */

    /*
     * Gives a connection to the worker whose client it is, with what was read from it already. False: it is ours, or
     * the other one does not take it now; on true the callee has its own copy of the descriptor.
     */
    bool (*hand_over)(void *arg, int fd, const struct session_origin *origin, struct str unread);
    void (*on_empty)(void *arg); /* the last session has ended */
    void *arg;
};

/*
 * Serves `take_fd`. `unread`: bytes that were received already. At the limit of all connections another gives way; at
 * the limit of the client or of its network, or when no other may give way (clients.h), it answers 421 and closes.
 */
void session_start(struct server *server, int take_fd, const struct session_origin *origin, struct str unread);

/*
 * Ends the session that has to give way (clients_victim()) with 421 (no descriptors, no memory, connection limit).
 * False: there is none to end.
 */
bool server_evict_one(struct server *server);

/*
 * Sessions without a transaction end now with 421, the others when they begin the next one. (A worker that was only
 * replaced by a reload does not call this: its sessions end when their clients do.)
 */
void server_shut_down(struct server *server);

/* Ends all that is left, drain_limit being over. */
void server_end_all(struct server *server);
