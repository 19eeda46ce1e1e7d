/*
 * relay: handing a transaction to a mailbox server while its client is still on the line.
 *
 * One a worker: for each server group of the configuration a pool of connections to each of its servers (at most
 * server_connections / workers, at least 1), with health and breaker. A session that has a recipient for a group begins
 * a *transfer*; the transfer borrows connections, never owns one:
 *
 *   relay_begin ─▶ relay_rcpt ─▶ … relay_rcpt ─▶ relay_deliver ─▶ relay_end
 *
 * relay_rcpt: MAIL (once a borrow) and RCPT go to the server; its answer comes back. The connection stays lent for at
 *   most relay_hold and only while nobody waits; taken back means RSET, then the next in line or the pool.
 * relay_deliver: on the borrowed connection if it is still lent and every accepted RCPT was given on it, else MAIL and
 *   the accepted RCPTs again, pipelined; then the data, by BDAT where the server offers CHUNKING, else DATA. The same
 *   replay repairs a connection that the server dropped in between.
 * Another server of the group is tried only before MAIL, never after it.
 *
 * Every completion obeys the laws of net/loop.h. A transfer has at most one operation pending. relay_end() may be
 * called at any time, inside a completion too: pending completions do not come any more; a delivery whose final dot has
 * gone out goes on without the session and its end is reported through relay_events.on_orphan.
 */
#pragma once

#include "base/addr.h"
#include "base/spool.h"
#include "conf/conf.h"
#include "mime/field_filter.h"
#include "net/loop.h"
#include "smtp/command.h"
#include "smtp/reply.h"

struct relay;
struct relay_transfer;

enum relay_outcome {
    RELAY_ANSWERED,       /* the server's own answer to MAIL, RCPT or the data (a 421 has become 451 4.3.0), about this
                             sender, recipient or message */
    RELAY_TROUBLE,        /* 451 4.3.0: it answered something about us (relay_replies.h), which is `answer` */
    RELAY_NO_SERVER,      /* none could be reached, or none spoke SMTP or TLS as asked: 451 4.4.1 */
    RELAY_BUSY,           /* no connection came free in server_wait: 451 4.3.2 */
    RELAY_LOST,           /* 451 4.3.0: the server went away or talked nonsense after MAIL, before our final dot, or
                             refused in the replay what it had accepted (`answer`). Nothing was delivered */
    RELAY_NEEDS_SMTPUTF8, /* 550 5.6.7 */
    RELAY_TOO_LARGE,      /* larger than the server's SIZE: 552 5.3.4 */
    RELAY_TOO_MANY,       /* recipients for one transaction of the server (RFC 9422 RCPTMAX): 452 4.5.3 */
    RELAY_TIMED_OUT,      /* 451 4.4.2: final_reply_limit, or the client was gone before our final dot. That was not
                             sent, or its answer did not come in time */
    RELAY_UNKNOWN,        /* 451 4.4.2: the connection broke between our final dot and its answer; "outcome unknown" */
    RELAY_LOCAL,          /* no memory, spool unreadable: 451 4.3.0 */
};

struct relay_result {
    enum relay_outcome outcome;
    bool is_final_dot_sent; /* RELAY_TIMED_OUT: true means that the outcome is unknown */
    /* For RELAY_ANSWERED, and where there is one otherwise, else NULL. Valid during the callback; inner names are
     * gone. */
    const struct smtp_answer *answer;
    struct str server;      /* "10.0.0.5:25", for log and journal, never for the client; empty: none was reached */
};

typedef void relay_fn(void *arg, const struct relay_result *result);

/* Who sends, for XFORWARD and XCLIENT, and the sender of the transaction. The views must live as long as the
 * transfer. */
struct relay_envelope {
    struct ip client;
    uint16_t client_port;
    struct str client_name; /* empty: unknown */
    struct str helo;
    bool is_esmtp;
    struct str sender;      /* without <>, as written by the client */
    uint32_t parameters;    /* enum smtp_parameter of MAIL */
    uint64_t size;          /* of SIZE= */
    enum smtp_body body;
    struct str ret, envid;
    struct str id;          /* session id, for logs and XFORWARD IDENT */
};

struct relay_recipient {
    struct str address; /* without <>; as written, or rewritten */
    uint32_t parameters;
    struct str notify, orcpt;
};

enum { RELAY_RESERVE_MS = 60000 };

struct relay_message {
    struct str head;       /* our Received and result fields, canonical */
    struct spool *spool;   /* canonical text that ends in CRLF */
    const struct field_edit *edit; /* of its header; NULL: it goes on as it came. Borrowed like the spool */
    bool has_8bit;
    uint64_t deadline_ms;  /* on the loop's clock: from the client's final dot, final_reply_limit */
    uint64_t reserve_ms;   /* of that must be left when our final dot goes out: RELAY_RESERVE_MS, or less */
    /* asked right before the final dot (or the last chunk) goes out, with relay_deliver's arg */
    bool (*client_is_there)(void *arg);
};

struct relay_stats { /* for status */
    unsigned connections, idle, lent, waiting;
    bool is_open; /* breaker: true = not tried until `retry_ms` */
    bool is_plain; /* `tls may`: mail goes there in the clear */
    uint64_t troubles; /* answers that were about us */
    uint64_t retry_ms;
};

struct relay_events { /* what is logged by the owner (the session's log lines and journal) */
    /* a delivery whose session had left has ended */
    void (*on_orphan)(void *arg, struct str id, const struct relay_result *result);
    /* a server changed: "down: Connection refused", "takes no more connections: …", "goes on without TLS: …",
     * "up again"; or says something about us: "answers 530 … to MAIL, …" */
    void (*on_server)(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what);
    /* something about a transfer that an administrator wants to see: DSN dropped, 8-bit sent unchanged, connection
     * repaired */
    void (*on_note)(void *arg, struct str id, struct str what);
    void *arg;
};

/*
 * `conf`, group_tls (one a group, NULL where the mode is none) and `events` are borrowed. Returns 0 or -ENOMEM.
 */
int relay_new(struct loop *loop, const struct conf *conf, SSL_CTX *const *group_tls, unsigned n_workers,
              const struct relay_events *events, struct relay **ret_relay);
/* Drops all connections (QUIT where idle). All transfers must have ended; deliveries without a session end as
 * RELAY_UNKNOWN. */
void relay_free(struct relay *relay);

/* Asks each server of each group for its EHLO, so that the offer is known early. */
void relay_probe(struct relay *relay);

/* SIZE, 8BITMIME, SMTPUTF8, DSN as far as all servers offered them when last met; the smallest SIZE (0: none named). */
struct smtp_offer relay_offer(const struct relay *relay);

/* Number of deliveries that go on without a session (drain waits for them). */
unsigned relay_orphans(const struct relay *relay);

void relay_server_stats(const struct relay *relay, unsigned group, unsigned server, struct relay_stats *ret_stats);

/* Begins a transfer to `group`. Copies the envelope's struct, not what its views show. Returns NULL when memory ran
 * out. */
struct relay_transfer *relay_begin(struct relay *relay, const struct conf_group *group,
                                   const struct relay_envelope *envelope);

/* Passes one recipient. An accepted one (2xx) is kept (copied) for the replay. Returns 0 (done will be called) or
 * -ENOMEM. */
int relay_rcpt(struct relay_transfer *transfer, const struct relay_recipient *recipient, relay_fn *done, void *arg);

/*
 * The message is for some of the accepted recipients alone: is_chosen[n] says it of the n-th, at least one. The others
 * are not told to the server again, or if they were, are forgotten there.
 */
void relay_choose(struct relay_transfer *transfer, const bool *is_chosen);

/*
 * Hands the message to all accepted recipients (at least one). The message's struct is copied; its spool and head are
 * borrowed until done is called, or, once the final dot is out, not needed any more. Returns 0 or -ENOMEM.
 */
int relay_deliver(struct relay_transfer *transfer, const struct relay_message *message, relay_fn *done, void *arg);

/* A delivery whose final dot is out: relay_end() would let it go on, and on_orphan would tell its end. Accepts NULL. */
bool relay_outlives(const struct relay_transfer *transfer);

/* Gives back what is borrowed. No completion comes after this. Accepts NULL. */
void relay_end(struct relay_transfer *take_transfer);
