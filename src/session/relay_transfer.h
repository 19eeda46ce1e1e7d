/*
 * relay_transfer: what a transfer is, for the files that make it up: relay.c (its public life, and the relay around
 * it), relay_steps.c (which connection, and what is written on it), relay_answers.c (what comes back) and relay_ends.c
 * (how an operation ends). Private to them.
 */
#pragma once

#include "base/arena.h"
#include "session/pool.h"
#include "session/relay.h"
#include "session/relay_body.h"
#include "session/relay_replies.h"
#include "session/relay_write.h"

struct relay {
    struct loop *loop;
    const struct conf *conf;
    const struct relay_events *events;
    struct pool *pools; /* one a group */
    unsigned n_orphans;
    char *scratch;      /* a piece of a message on its way from a file */
};

enum operation { NOTHING, RCPT, DELIVER };
enum step { STEP_FORWARD, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_DONE };

struct kept_recipient {
    struct relay_recipient set;
    struct kept_recipient *next;
};

/* On one connection at a time; `writing` and `reading` are two positions along the same steps (relay_steps.c). */
struct relay_transfer {
    struct pool_user user;
    struct relay *relay;
    struct relay_envelope *envelope;
    struct kept_recipient *accepted, **accepted_end;
    struct kept_recipient *write_at, *read_at; /* RCPT: the one at hand, not among the accepted yet */
    struct relay_body *body;
    char *window; /* for body->text; NULL: all of the message is in memory */
    relay_fn *done;
    void *arg;
    struct timer timer; /* RCPT: how long to wait in line; DELIVER: when time is up */
    struct task task;   /* ends the operation, or writes on, in the next turn */
    struct arena arena;
    uint16_t n_accepted, n_given; /* accepted in all; on this borrow */
    uint8_t operation, writing, reading; /* enum operation, enum step */
    uint8_t forward_due, forward_sent; /* answers to XFORWARD or XCLIENT to come, and in all */
    uint8_t forward_first;   /* enum relay_forward_part of the first of these commands */
    uint8_t forward_refused; /* parts refused on this connection */
    uint8_t forward_hidden;  /* parts of which the server gets unknown values, since it refuses the real ones */
    uint8_t later;       /* enum relay_outcome for transfer_end_later() */
    uint8_t repairs;
    bool is_kept : 1;       /* the connection was idle or lent when this operation got it */
    bool has_answer : 1;    /* something was answered on it in this operation */
    bool is_8bit_mail : 1;  /* MAIL said BODY=8BITMIME, */
    bool is_utf8_mail : 1;  /* SMTPUTF8 */
    bool is_orphan : 1;
    bool is_forward_off : 1; /* not even unknown values are taken: nothing is said of the client */
    bool dsn_noted : 1;
};

static inline struct relay_transfer *transfer_of_user(struct pool_user *user) {
    return (struct relay_transfer *)((char *)user - offsetof(struct relay_transfer, user));
}

static inline struct upstream *transfer_up(struct relay_transfer *t) {
    return &t->user.conn->up;
}

static inline bool transfer_offers(struct relay_transfer *t, uint32_t extension) {
    return (transfer_up(t)->offer.extensions & extension) != 0;
}

__attribute__((format(printf, 2, 3)))
void transfer_note(struct relay_transfer *t, const char *format, ...);

/* Warns of an answer that is no client's business. */
void transfer_trouble(struct relay_transfer *t, enum relay_reply_step step, const struct smtp_answer *answer);
/* Says once that the server refuses values of XFORWARD or XCLIENT. */
void transfer_forward_noted(struct relay_transfer *t, enum relay_reply_step step, const struct smtp_answer *answer);

/* ---- relay_steps.c */

/* Stands in line for a connection, from the first step on. Ends nothing at once. */
void transfer_want(struct relay_transfer *t);

/*
 * On the connection that is still lent: from `step` if the transaction open there is the right one, else from the
 * first.
 */
void transfer_use_loan(struct relay_transfer *t, enum step step, bool is_right);

/* From the first step, on a connection without a transaction. */
void transfer_begin_use(struct relay_transfer *t);

/* Writes all that may be written now. Ends nothing at once. */
void transfer_pump(struct relay_transfer *t);

bool transfer_needs_utf8(const struct relay_transfer *t);
bool transfer_is_8bit(const struct relay_transfer *t);
/* An 8-bit message, and this connection's server takes none where another would. */
bool transfer_is_better_elsewhere(struct relay_transfer *t);

/* ---- relay_answers.c */

extern const struct pool_ops transfer_pool_ops;

/* ---- relay_ends.c */

/* What becomes of the connection when an operation has its answer. */
enum afterwards { LEND, RELEASE, DROP };

/* These two call the session, which may end the transfer: nothing of `t` may be touched behind them. */
void transfer_finish(struct relay_transfer *t, enum relay_outcome outcome, const struct smtp_answer *answer);
void transfer_finish_answer(struct relay_transfer *t, enum relay_outcome outcome, const struct smtp_answer *answer,
                            enum afterwards afterwards);

/* In the next turn, for those who are called from where the operation starts (law 1). */
void transfer_end_later(struct relay_transfer *t, enum relay_outcome outcome);
void transfer_drop_and_end_later(struct relay_transfer *t, enum relay_outcome outcome);

/* Time is up: in line (RCPT), or altogether (DELIVER). */
void transfer_on_time(struct timer *timer);

void transfer_free(struct relay_transfer *t);
