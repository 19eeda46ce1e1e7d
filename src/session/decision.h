/*
 * decision: a verdict about a recipient or a message as reply text, log line, counters and journal record, whichever
 * door it was asked at.
 *
 * A door shows whom it is about as struct envelope, views for the time of a call; nothing here is kept.
 */
#pragma once

#include "facts/gather.h"
#include "journal/id.h"
#include "journal/record.h"
#include "session/session.h"
#include "smtp/reply.h"

enum action { ACTION_PASS, ACTION_REJECT, ACTION_DEFER, ACTION_QUARANTINE /* a message that nobody gets now */ };

enum known { KNOWN_OFF /* nobody was asked */, KNOWN_YES, KNOWN_NO, KNOWN_UNAVAILABLE };

/* What was decided about a recipient or a message, and why. */
struct verdict {
    enum action action;
    struct str layer;        /* "recipient", "relay", "limit", "content" */
    struct str rule;         /* "NO SUCH USER" */
    struct smtp_reply reply; /* without the id; code 0: none (the Postfix door has nothing to say to a pass) */
    enum known rcpt_known;
    struct str server;       /* the mailbox server that answered, "" */
};

/* Whom it is about. */
struct envelope {
    const char *door;       /* "postfix"; NULL: SMTP */
    const char *id;         /* of the session or the connection */
    uint32_t n_decisions;   /* made so far: {id} in a text names the next */
    const struct ip *client;
    struct str client_name; /* said by a balancer or by Postfix; empty: unknown */
    struct str helo;
    struct str sender;      /* .at NULL: there is none yet */
    struct str content;     /* what the message was, for the log: " content=spam score=7.2"; "" */
    struct str tls;         /* the protocol's version; .at NULL: none */
    bool is_early, is_esmtp;
};

enum { NUMBERED_MAX = ID_LEN + 12, CLIENT_LABEL_MAX = 320 };

/* ID.n, which replies, log and journal show; counts *n up. */
void decision_number(const char *id, uint32_t *n, char out[NUMBERED_MAX]);

/* What the directory says, as a fact. */
struct fact known_fact(enum known known);

/*
 * What the policy's verdict about `recipient` means. `text` holds the reply's text, `memory` what was known, and what
 * the journal wants to know of the verdict.
 */
struct verdict verdict_of_policy(const struct conf *conf, struct gather_memory *memory,
                                 const struct envelope *envelope, const struct smtp_address *recipient, bool is_stale,
                                 const struct policy_verdict *from, struct buf *text);

/* When there was no memory to judge. */
extern const struct verdict no_memory_verdict;

/* The client's name, or "". Of two the one that was said, which nobody looked up. `memory` may be NULL. */
struct str envelope_ptr(const struct envelope *envelope, const struct gather_memory *memory);

/* "unknown[203.0.113.7]", for log lines. */
struct str envelope_label(const struct envelope *envelope, char out[CLIENT_LABEL_MAX]);

/* The log line of a refusal, or its part in one; `stage` is "RCPT", "MAIL" or "END-OF-MESSAGE". */
void decision_log(const struct server *server, const struct envelope *envelope, const char *stage,
                  struct str recipient, const struct verdict *v, const char *numbered);

/* The same for a client that was refused before it named a recipient. */
void decision_log_client(const struct server *server, const struct envelope *envelope, const struct verdict *v,
                         const char *numbered);

/* Counts a verdict about a recipient. */
void decision_count(struct worker_counters *counters, const struct verdict *v);

/*
 * The members of its journal record that do not depend on the door; the caller begins the record and ends it with
 * decision_record_end(), or leaves that to rehearsal_start(). `memory` may be NULL.
 */
void record_envelope(struct record *r, const struct envelope *envelope, const struct gather_memory *memory,
                     const char *numbered);
void record_recipient(struct record *r, struct str recipient, const struct verdict *v);
void record_verdict(struct record *r, const struct verdict *v);
struct fold;
/* `fold` says what it is about, and is NULL for a record that has to be written (folding.h). */
void decision_record_end(struct record *r, const struct server *server, const struct fold *fold);
