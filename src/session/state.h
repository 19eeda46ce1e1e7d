/*
 * state: what a session is, for the files that make one up: session.c (the story), input.c (bytes cut into what it
 * handles), greeting.c (when a client is greeted), hello.c (what is offered), transaction.c (the envelope), builtin.c
 * (verdicts before any rule), judge.c (the policy's), delivery.c (from the end of a message to its answer), content.c
 * (the policy's about the message), keeping.c (the quarantine), answer.c (the one place where a verdict becomes reply,
 * log line and journal record) and lifetime.c (whose turn it is, and how it ends).
 *
 * An idle session before MAIL is this struct, one struct client, and the copy of its HELO name; no buffer.
 */
#pragma once

#include "facts/gather.h"
#include "net/stream.h"
#include "session/content.h"
#include "session/decision.h"
#include "session/intake.h"
#include "session/keeping.h"
#include "session/recipient_view.h"
#include "session/session.h"
#include "table/recipients.h"

/* ---- the envelope */

struct recipient {
    struct recipient *next;
    struct str address; /* as the client wrote it */
    bool may_earn;      /* the greylist counts it when the message was taken */
    struct recipient_view view;  /* from here on: where layer content has rules */
    struct fact *facts;          /* of its scope, as found out for it */
    struct policy_set shadow;    /* rules that would have acted, when the message was judged for it */
};

struct transaction { /* from MAIL to the answer to the message, or RSET */
    struct arena arena;
    struct relay_envelope envelope;
    struct relay_transfer *transfer;
    const struct conf_group *group;     /* where it goes; NULL until a recipient passed validation */
    struct recipient *accepted, **last;
    struct recipient *asked;            /* the one that policy or mailbox server are being asked about */
    struct smtp_address asked_address;
    struct relay_recipient asked_for;   /* as the mailbox server is told of it, who keeps it if it is accepted */
    struct buf asked_words;             /* its NOTIFY and ORCPT */
    struct recipient_view asked_view;
    unsigned n_asked, n_accepted;       /* RCPT commands, and those answered 2xx */
    struct intake intake;
    struct buf head;                    /* our Received field, and what was found out about the message */
    struct content *content;            /* it is judged, or was; NULL: nothing to judge */
    struct content_outcome outcome;
    struct verdict told;                /* of outcome.decisive */
    uint64_t deadline_ms, reserve_ms;   /* see relay_message */
    struct quarantine_put *kept;        /* for those who do not get it; NULL: nothing is, or it was decided about */
    uint64_t chunk_left;                /* BDAT: bytes of this chunk still to come */
    uint64_t marked;                    /* intake.decoder.received at the last sign of life … */
    uint64_t paid;                      /* … and as far as it has moved the deadline */
    uint64_t data_until_ms;             /* its text must be complete, on the loop's clock; 0: none has begun */
    uint64_t asked_us, began_us;
    uint64_t ended_us, judged_us;       /* the message: its last byte; what becomes of it was decided (0: not yet) */
    bool is_chunked, is_last_chunk;     /* BDAT */
};

/* Begins a transaction for MAIL. NULL: no memory. */
struct transaction *transaction_new(struct session *s, const struct smtp_command *mail);
/* Gives back what is borrowed. Accepts NULL. */
void transaction_free(struct transaction *t);

/* Writes the message's Received field to t->head. Returns 0 or -ENOMEM. */
int transaction_write_head(struct session *s, struct transaction *t);

/* ---- the session */

enum phase {
    PHASE_PROXY,     /* a PROXY header must come */
    PHASE_GREETING,  /* the client must wait for it: see greeting.c */
    PHASE_COMMAND,
    PHASE_LONG_LINE, /* the rest of a command line over the limit is skipped */
    PHASE_DATA,
    PHASE_CHUNK,     /* BDAT */
    PHASE_TLS,       /* the handshake is running */
    PHASE_LINGER,    /* the last word was said; what still comes is dropped, so that it is not lost to a reset */
    PHASE_OVER,      /* closed, freed at the end of the turn */
};

struct session {
    struct stream stream; /* first: session_of() */
    struct timer deadline;
    struct client_place place;
    struct server *server;
    struct session *next, **prev; /* among server->sessions */
    struct transaction *transaction;
    const char *waiting_for; /* "the answer to RCPT": reading is paused; NULL: the client's turn */
    struct gather_memory *memory; /* facts; NULL until something was judged */
    struct gather *gather;        /* facts are being found out */
    struct str helo;         /* owned; empty before HELO */
    struct str client_name;  /* owned; by XCLIENT; empty: unknown */
    struct session_origin origin;
    char id[ID_LEN + 1];
    uint8_t phase;      /* enum phase */
    uint8_t last_verb;  /* enum smtp_verb, for the log */
    bool is_esmtp;
    bool is_early;      /* talked before the greeting */
    bool was_introduced; /* an XCLIENT has said for whom it speaks */
    bool is_refused;    /* was told 554 instead of a greeting: QUIT is all that is heard from it */
    bool has_more;      /* bytes wait behind the command that is running */
    uint32_t n_decisions;
    uint16_t n_errors, n_junk, n_transactions;
};

static inline struct session *session_of(struct stream *stream) {
    return (struct session *)stream; /* its first member */
}

static inline const struct policy *policy_of(const struct session *s) {
    return s->server->conf->policy.policy;
}

/* A balancer that has not said for whom it speaks is no client, and comes as often as it has clients. */
static inline bool is_balancer(const struct session *s) {
    return s->origin.is_local || (s->origin.allows_xclient && ip_eq(&s->origin.client.ip, &s->origin.peer.ip));
}

/* What follows an introduction may be the client's own words, handed through: it must not name itself. */
static inline bool may_introduce(const struct session *s) {
    return s->origin.allows_xclient && (!s->was_introduced || s->origin.may_multiplex);
}

/* Something happened that rules about `client.rate` count. */
static inline void count_event(const struct session *s, enum rate_kind kind) {
    const struct server *server = s->server;
    rates_count(server->rates, s->place.client->node.key, kind, loop_now(server->loop));
}

/* ---- input.c */

enum {
    INPUT_MAX = 128 * 1024,  /* unconsumed: a read of the stream and a command line */
    OUTPUT_HIGH = 64 * 1024, /* replies that the client has not taken: no command is read before it does */
    OUTPUT_MAX = OUTPUT_HIGH + 16 * 1024,
};

extern const struct stream_ops session_input;

/* ---- session.c, for input.c: each but on_command() says how many bytes it took */

size_t on_proxy_header(struct session *s, const char *at, size_t len);
size_t on_early_talk(struct session *s);
void on_command(struct session *s, struct str line);
size_t on_data_bytes(struct session *s, const char *at, size_t len);
size_t on_chunk_bytes(struct session *s, const char *at, size_t len);
void on_tls(struct stream *stream);

/* ---- delivery.c */

/* The client's message is complete. */
void on_message(struct session *s);

/* Whether the client is still on the line: relay_message.client_is_there. */
bool client_is_there(void *session);

/* ---- greeting.c */

/* Counts the client in. False: it has too many connections already, and was told so; the caller ends the session. */
bool admit(struct session *s);

/* Greets the client or turns it away: now, or when it has waited (if it `may_wait` for us at all) and was judged. */
void greeting_start(struct session *s, bool may_wait);

/* It talked meanwhile. */
void greeting_hurry(struct session *s);

/* A recipient was accepted: this client is spared the delay for a while. */
void greeting_remember(struct session *s);

/* session.c's, how the greeting ends. */
void greet(struct session *s);
void turn_away(struct session *s, const struct verdict *verdict);

/* ---- hello.c */

/* The lines of an EHLO reply behind the first. */
void write_offer(const struct session *s, struct buf *out);

/*
 * Takes over what XCLIENT says and forgets the greeting before it. Returns 0, -ENOMEM, or another negative error
 * (nothing, or an attribute that is malformed or unknown); then nothing has changed.
 */
int xclient_take(struct session *s, struct str attributes);

/* ---- builtin.c: what is decided before any rule and for everyone (design.md section 4) */

/* Why no further recipient is taken in this transaction, or NULL. */
const struct verdict *recipient_limit(const struct session *s);
/* Why this one cannot go with those that were taken, or NULL. */
const struct verdict *recipient_server_limit(const struct session *s, const struct route *route);

/* MAIL: what speaks against the message before it is sent. */
struct verdict sender_validate(const struct session *s);

/* ---- judge.c: a client or a recipient before the policy */

/* Whether layer connection accepts the client (`accept`), by what costs nothing to find out. */
bool judge_accepts(struct session *s);

/*
 * Decides layer connection. True: at once, and *ret_verdict is set (its text in `text`); false: on_client_judged()
 * follows. A verdict that passes has a rule exactly when it was an `accept`.
 */
bool judge_client(struct session *s, struct buf *text, struct verdict *ret_verdict);
/* greeting.c's, the end of a judgement that had to wait. */
void on_client_judged(struct session *s, const struct verdict *verdict);

/* Decides about t->asked. True: at once, and *ret_verdict is set (its text in `text`); false: on_judged() follows. */
bool judge_recipient(struct session *s, struct buf *text, struct verdict *ret_verdict);
/* session.c's, the end of a judgement that had to wait. */
void on_judged(struct session *s, const struct verdict *verdict);

/* What is known for certain about a recipient. */
struct gather_known judge_known(const struct session *s, const struct smtp_address *address,
                                const struct recipient_view *view);

/* What the policy's verdict about it means. `text` holds the reply's text. */
struct verdict judge_words(const struct session *s, const struct policy_verdict *from,
                           const struct smtp_address *address, const struct recipient_view *view, struct buf *text);

/* The message was taken: the greylist counts what its recipients may earn. */
void judge_credit(struct session *s);

/* What ends with a scope is forgotten; what is being found out is given up. */
void judge_forget(struct session *s, enum fact_scope scope);
void judge_cancel(struct session *s);

/* A message that is complete: size, room, loops. */
struct verdict message_validate(const struct session *s);

/* Known before the end of the message; the connection is closed after them. */
extern const struct verdict bare_newline_verdict, endless_verdict;

/* ---- lifetime.c */

/* Gives the client its time for what it has to send next, by phase. */
void arm(struct session *s);

/*
 * `bytes` of message text came in: the deadline moves as far as data_rate allows for them, not past the whole time-out.
 * Returns for how many of them it has moved.
 */
uint64_t arm_for_data(struct session *s, uint64_t bytes);

/*
 * The client waits for us from now on; answered() gives it the turn again. `what` is for a reader of the log or a
 * debugger.
 */
void ask(struct session *s, const char *what);
void answered(struct session *s);

/* Replaces a name that the session owns; an empty one owns nothing. Returns 0 or -ENOMEM (then the old one stands). */
int remember(struct str *name, struct str value);

void end_transaction(struct session *s);

/* Ends the session. Its memory goes at the end of the turn, so callers may still look at it. */
void end(struct session *s);

/* After our last word: the connection goes when the client has read it. */
void linger(struct session *s);

/* 421, a log line, and the end. */
void hang_up(struct session *s, const char *enhanced, const char *text, const char *logged);

/* A refusal that the client earned by a mistake; too many end the session. */
void mistake(struct session *s, unsigned code, const char *enhanced, const char *text);

/* Counts a command that brings no mail nearer. True: that was one too many, and the session is over. */
bool is_junk_enough(struct session *s);

/*
 * RFC 2920 3.1: some commands must be the last of a group, and who said HELO may not pipeline at all. True: something
 * stands behind this one, and the session is over.
 */
bool is_ahead_of_time(struct session *s);

/* ---- answer.c */

/* A reply that decides nothing: "250 2.0.0 Ok". */
void say(struct session *s, unsigned code, const char *enhanced, const char *text);

/* The same with the session's id behind it: for refusals that concern no mail (syntax, sequence, closing). */
void say_no(struct session *s, unsigned code, const char *enhanced, const char *text);

/* A verdict about a client, instead of the greeting. */
void answer_client(struct session *s, const struct verdict *verdict);

/* A verdict about a recipient, at RCPT. */
void answer_recipient(struct session *s, struct str recipient, const struct verdict *verdict);

/* A verdict about a message, at its end or, when it is refused for what it announces, at MAIL. */
void answer_message(struct session *s, const struct verdict *verdict);

/* What the outcome at the mailbox server means for the client. `text` holds the reply's text. */
struct verdict verdict_of_relay(const struct session *s, const struct relay_result *result, struct buf *text);

/* The same for what it said of a recipient some minutes ago. */
struct verdict verdict_of_refusal(const struct smtp_reply *reply);

/* A log line about the connection itself: "timeout after RCPT from unknown[203.0.113.7]". */
void log_connection(const struct session *s, const char *what);
