/*
 * relay: how does a transaction get to a mailbox server without owning a connection to it?
 *
 * A transfer does one operation at a time: pass a recipient (RCPT) or hand on the message (DELIVER). Either needs a
 * connection, which the pool grants, at once or later. On a connection two positions move along the same steps,
 *
 *     FORWARD ─▶ MAIL ─▶ RCPT … RCPT ─▶ DATA ─▶ BODY
 *
 * `writing` is the step to be written next, `reading` the one whose answer comes next. Where the server offers
 * PIPELINING writing runs ahead of reading; else they move in lock step. pump() writes what may be written, on_answer()
 * reads one answer and pumps again. A replay is nothing but DELIVER from the first step; a recipient on a connection
 * that is still lent begins at RCPT, a delivery on one at DATA.
 *
 * What cannot be taken back waits: MAIL for the first XFORWARD's answer on a connection (a server that refuses it is
 * left for the next one), BDAT for all answers before it. DATA need not: without its final dot nothing is delivered.
 *
 * A connection that was kept (idle or lent) and dies before it has answered anything was dead already: the operation
 * starts again on another, and nobody notices. Any other death after MAIL ends the operation.
 *
 * Law 1: nothing that relay_rcpt() and relay_deliver() call ends an operation at once. pump(), on_granted() and
 * on_nobody() end by end_later(); on_answer(), on_lost() and timers may end at once, as the last thing they do, since
 * the session may free the transfer.
 *
 * Rejected: waiting for XFORWARD's answer each time (a round trip for each message); trying the second server after a
 * lost MAIL (it may have been a recipient's own refusal, and two servers of a group may share a queue).
 */
#include "session/relay.h"

#include "base/arena.h"
#include "session/pool.h"
#include "session/relay_body.h"
#include "session/relay_write.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REPAIRS_MAX = 3,
    WAIT_MIN_MS = 100, /* between two looks at who waits for a connection that is being opened */
    /* the most that a client can make us keep for each recipient it may name: address, NOTIFY, ORCPT, the structs */
    RECIPIENT_BYTES = SMTP_PATH_MAX + SMTP_ORCPT_MAX + 256,
    ENVELOPE_BYTES = 4096,
};

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

struct relay_transfer {
    struct pool_user user;
    struct relay *relay;
    struct relay_envelope *envelope;
    struct kept_recipient *accepted, **accepted_end;
    struct kept_recipient *write_at, *read_at; /* RCPT: the one at hand, not among the accepted yet */
    struct relay_body *body;
    relay_fn *done;
    void *arg;
    struct timer timer; /* RCPT: how long to wait in line; DELIVER: when time is up */
    struct task task;   /* ends the operation, or writes on, in the next turn */
    struct arena arena;
    uint16_t n_accepted, n_given; /* accepted in all; on this borrow */
    uint8_t operation, writing, reading; /* enum operation, enum step */
    uint8_t forward_due; /* answers to XFORWARD or XCLIENT to come */
    uint8_t later;       /* enum relay_outcome for end_later() */
    uint8_t repairs;
    bool is_kept : 1;       /* the connection was idle or lent when this operation got it */
    bool has_answer : 1;    /* something was answered on it in this operation */
    bool is_8bit_mail : 1;  /* MAIL said BODY=8BITMIME, */
    bool is_utf8_mail : 1;  /* SMTPUTF8 */
    bool is_orphan : 1;
    bool dsn_noted : 1;
};

static const struct pool_ops pool_ops;
static void pump(struct relay_transfer *t);

static struct relay_transfer *of_user(struct pool_user *user) {
    return (struct relay_transfer *)((char *)user - offsetof(struct relay_transfer, user));
}

static struct relay_transfer *of_task(struct task *task) {
    return (struct relay_transfer *)((char *)task - offsetof(struct relay_transfer, task));
}

static struct relay_transfer *of_timer(struct timer *timer) {
    return (struct relay_transfer *)((char *)timer - offsetof(struct relay_transfer, timer));
}

static struct upstream *up_of(struct relay_transfer *t) {
    return &t->user.conn->up;
}

static bool offers(struct relay_transfer *t, uint32_t extension) {
    return (up_of(t)->offer.extensions & extension) != 0;
}

static struct str transfer_id(const struct relay_transfer *t) {
    return t->is_orphan ? (struct str){ t->body->id, t->body->id_len } : t->envelope->id;
}

__attribute__((format(printf, 2, 3)))
static void note(struct relay_transfer *t, const char *format, ...) {
    char text[512];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0)
        return;
    struct str what = { text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1 };
    t->relay->events->on_note(t->relay->events->arg, transfer_id(t), what);
}

/* ---- the end of an operation */

static void transfer_free(struct relay_transfer *t) {
    timer_cancel(t->relay->loop, &t->timer);
    task_cancel(t->relay->loop, &t->task);
    arena_reset(&t->arena);
    loop_free_later(t->relay->loop, t);
}

/* Inner names stay inside, and a server that closes down is our trouble (design.md section 7). */
static void clean_answer(struct relay_transfer *t, struct smtp_answer *answer, const char *server_name) {
    char ip[IP_TEXT_MAX];
    const struct conf_server *server = t->user.server->conf;
    struct str inner[] = { str_of(server_name), str_of(server->name), str_of(ip_format(&server->at.ip, ip)) };

    relay_hide_names(answer, inner, 3, str_of(t->relay->conf->set.hostname));
    if (answer->code == 421) { /* RFC 5321 4.2.1: it would mean that we close */
        answer->code = 451;
        memcpy(answer->enhanced, "4.3.0", sizeof("4.3.0"));
    }
}

/* Calls the session, which may end the transfer: nothing of `t` may be touched behind this. */
static void finish(struct relay_transfer *t, enum relay_outcome outcome, const struct smtp_answer *answer) {
    relay_fn *done = t->done;
    void *arg = t->arg;
    struct relay_result result = {
        .outcome = outcome, .answer = answer,
        .is_final_dot_sent = t->operation == DELIVER && t->body->is_final_dot_sent,
        .server = t->user.server ? str_of(t->user.server->text) : STR(""),
    };

    t->operation = NOTHING;
    t->done = NULL;
    timer_cancel(t->relay->loop, &t->timer);
    task_cancel(t->relay->loop, &t->task);
    if (!t->is_orphan) {
        done(arg, &result);
        return;
    }
    t->relay->n_orphans--;
    t->relay->events->on_orphan(t->relay->events->arg, transfer_id(t), &result);
    transfer_free(t);
}

/* What becomes of the connection when an operation has its answer. */
enum afterwards { LEND, RELEASE, DROP };

static void finish_answer(struct relay_transfer *t, enum relay_outcome outcome, const struct smtp_answer *answer,
                          enum afterwards afterwards) {
    struct smtp_answer clean = *answer; /* the connection's own may be gone when it is read */

    clean_answer(t, &clean, up_of(t)->server_name);
    switch (afterwards) {
    case LEND: pool_lend(&t->user); break;
    case RELEASE: pool_release(&t->user); break;
    case DROP: pool_drop(&t->user); break;
    }
    finish(t, outcome, &clean);
}

static void on_end_task(struct task *task) {
    struct relay_transfer *t = of_task(task);

    finish(t, t->later, NULL);
}

static void end_later(struct relay_transfer *t, enum relay_outcome outcome) {
    t->later = (uint8_t)outcome;
    task_start(t->relay->loop, &t->task, on_end_task);
}

static void drop_and_end_later(struct relay_transfer *t, enum relay_outcome outcome) {
    pool_drop(&t->user);
    end_later(t, outcome);
}

/* ---- writing */

static void written(struct relay_transfer *t, int r, uint32_t n_answers, uint64_t limit_ms) {
    upstream_sent(up_of(t), n_answers, limit_ms);
    if (r < 0)
        upstream_broken(up_of(t));
}

static uint64_t command_limit(const struct relay_transfer *t) {
    return t->relay->conf->set.timeouts.server_command;
}

static void write_forward(struct relay_transfer *t) {
    struct upstream *up = up_of(t);
    enum conf_forward forward = t->user.pool->group->forward_client;
    bool is_offered = offers(t, forward == CONF_FORWARD_XCLIENT ? SMTP_EXT_XCLIENT : SMTP_EXT_XFORWARD);
    uint32_t n = 0;
    int r = 0;

    if (forward != CONF_FORWARD_OFF && !is_offered && !t->user.conn->is_noted) {
        t->user.conn->is_noted = true;
        note(t, "the server is not told the client's address: no %s",
             forward == CONF_FORWARD_XCLIENT ? "XCLIENT" : "XFORWARD");
    }
    if (forward == CONF_FORWARD_XFORWARD && is_offered)
        r = relay_write_xforward(upstream_out(up), t->envelope, up->offer.xforward, &n);
    else if (forward == CONF_FORWARD_XCLIENT && is_offered)
        r = relay_write_xclient(upstream_out(up), t->envelope, up->offer.xclient, &n);
    t->forward_due = (uint8_t)n;
    t->writing = STEP_MAIL;
    t->reading = n ? STEP_FORWARD : STEP_MAIL;
    if (n)
        written(t, r, n, command_limit(t));
}

static bool is_utf8(struct str s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] > 127)
            return true;
    return false;
}

static bool needs_utf8(const struct relay_transfer *t) {
    if (t->envelope->parameters & SMTP_HAS_SMTPUTF8 || is_utf8(t->envelope->sender))
        return true;
    for (const struct kept_recipient *k = t->write_at; k; k = k->next) /* one may have been rewritten */
        if (is_utf8(k->set.address))
            return true;
    return false;
}

static bool is_8bit(const struct relay_transfer *t) {
    bool is_declared = t->envelope->body == SMTP_BODY_8BITMIME;

    return is_declared || (t->operation == DELIVER && t->body->message.has_8bit);
}

static uint64_t message_size(const struct relay_transfer *t) {
    return t->operation == DELIVER ? t->body->total : t->envelope->size;
}

static void write_mail(struct relay_transfer *t) {
    struct upstream *up = up_of(t);
    struct relay_mail mail = {
        .extensions = up->offer.extensions,
        .has_size = t->operation == DELIVER || t->envelope->parameters & SMTP_HAS_SIZE,
        .size = message_size(t), .is_8bit = is_8bit(t), .is_utf8 = needs_utf8(t),
    };

    t->is_8bit_mail = mail.is_8bit && mail.extensions & SMTP_EXT_8BITMIME;
    t->is_utf8_mail = mail.is_utf8;
    t->writing = STEP_RCPT;
    up->is_dirty = true;
    up->mails++;
    written(t, relay_write_mail(upstream_out(up), t->envelope, &mail), 1, command_limit(t));
}

static void note_dsn(struct relay_transfer *t) {
    uint32_t asked = t->envelope->parameters | t->write_at->set.parameters;

    if (t->dsn_noted || offers(t, SMTP_EXT_DSN) ||
        !(asked & (SMTP_HAS_RET | SMTP_HAS_ENVID | SMTP_HAS_NOTIFY | SMTP_HAS_ORCPT)))
        return;
    t->dsn_noted = true;
    note(t, "DSN parameters dropped: the server does not offer DSN");
}

static void write_rcpt(struct relay_transfer *t) {
    struct upstream *up = up_of(t);

    note_dsn(t);
    written(t, relay_write_rcpt(upstream_out(up), &t->write_at->set, up->offer.extensions), 1, command_limit(t));
    t->write_at = t->write_at->next;
    if (!t->write_at)
        t->writing = t->operation == RCPT ? STEP_DONE : STEP_DATA;
}

/* Returns whether there is more to write now. */
static bool write_data(struct relay_transfer *t) {
    bool is_chunked = offers(t, SMTP_EXT_CHUNKING);

    if (is_chunked && t->reading != STEP_DATA)
        return false; /* a BDAT cannot be taken back */
    relay_body_begin(t->body, is_chunked);
    if (t->body->message.has_8bit && !offers(t, SMTP_EXT_8BITMIME))
        note(t, "8-bit message sent unchanged: the server does not offer 8BITMIME");
    t->writing = STEP_BODY;
    if (is_chunked)
        t->reading = STEP_BODY;
    else
        written(t, buf_puts(upstream_out(up_of(t)), STR("DATA\r\n")), 1, command_limit(t));
    return true;
}

static void on_pump_task(struct task *task) {
    pump(of_task(task));
}

static void on_time(struct timer *timer);

static void write_body(struct relay_transfer *t) {
    struct relay *relay = t->relay;

    switch (relay_body_write(t->body, up_of(t), relay->scratch, t->arg)) {
    case RELAY_BODY_SENT:
        t->writing = STEP_DONE;
        /* from now on what counts is the answer; moving a timer away cannot fail */
        (void)timer_set(relay->loop, &t->timer, t->body->message.deadline_ms, on_time);
        break;
    case RELAY_BODY_WAIT: break;
    case RELAY_BODY_YIELD: task_start(relay->loop, &t->task, on_pump_task); break;
    case RELAY_BODY_STOP: drop_and_end_later(t, RELAY_TIMED_OUT); break;
    case RELAY_BODY_LOCAL: drop_and_end_later(t, RELAY_LOCAL); break;
    }
}

/* Writes all that may be written now. Ends nothing at once. */
static void pump(struct relay_transfer *t) {
    while (t->writing != STEP_DONE) {
        if (t->writing == STEP_BODY) {
            if (t->reading == STEP_BODY && !up_of(t)->is_ahead)
                write_body(t);
            return;
        }
        if (!upstream_may_write(up_of(t)))
            return;
        if (t->writing == STEP_FORWARD) {
            write_forward(t);
        } else if (t->writing == STEP_MAIL) {
            bool is_proven = t->user.conn->is_forward_proven &&
                t->user.pool->group->forward_client == CONF_FORWARD_XFORWARD;
            if (t->reading == STEP_FORWARD && !is_proven)
                return;
            write_mail(t);
        } else if (t->writing == STEP_RCPT) {
            if (stream_pending(&up_of(t)->stream) > 256 * 1024) { /* a thousand recipients with long parameters */
                stream_flush(&up_of(t)->stream);
                if (stream_pending(&up_of(t)->stream) > 0)
                    return;
            }
            write_rcpt(t);
        } else if (!write_data(t)) {
            return;
        }
    }
}

/* ---- getting a connection */

static bool is_too_large(struct relay_transfer *t) {
    const struct smtp_offer *offer = &up_of(t)->offer;

    return offer->extensions & SMTP_EXT_SIZE && offer->size && message_size(t) > offer->size;
}

/* Refuses what this server could never take. Returns false when the operation is over. */
static bool check_connection(struct relay_transfer *t) {
    enum relay_outcome outcome;

    if (needs_utf8(t) && !offers(t, SMTP_EXT_SMTPUTF8)) /* in the replay: another server took the recipients */
        outcome = t->operation == DELIVER ? RELAY_LOST : RELAY_NEEDS_SMTPUTF8;
    else if (is_too_large(t))
        outcome = RELAY_TOO_LARGE;
    else
        return true;
    pool_release(&t->user);
    end_later(t, outcome);
    return false;
}

/* read_at does not move during RCPT: it is the one at hand. */
static void rewind_to_first(struct relay_transfer *t) {
    t->write_at = t->operation == DELIVER ? t->accepted : t->read_at;
}

/* From the first step, on a connection without a transaction. */
static void begin_use(struct relay_transfer *t) {
    t->writing = t->reading = STEP_FORWARD;
    rewind_to_first(t);
    t->read_at = t->write_at;
    t->n_given = 0;
    t->has_answer = false;
    if (check_connection(t))
        pump(t);
}

static void on_granted(struct pool_user *user) {
    struct relay_transfer *t = of_user(user);

    t->is_kept = user->conn->up.mails > 0 || user->conn->ready_ms != loop_now(t->relay->loop);
    begin_use(t);
}

static void want(struct relay_transfer *t) {
    uint64_t until_ms = loop_now(t->relay->loop) + t->relay->conf->set.timeouts.server_wait;

    if (t->operation == RCPT && timer_set(t->relay->loop, &t->timer, until_ms, on_time) < 0) {
        end_later(t, RELAY_LOCAL);
        return;
    }
    rewind_to_first(t);
    t->user.is_delivery = t->operation == DELIVER;
    t->user.need = (needs_utf8(t) ? SMTP_EXT_SMTPUTF8 : 0u) | (is_8bit(t) ? SMTP_EXT_8BITMIME : 0u);
    pool_want(&t->user);
}

static void on_nobody(struct pool_user *user) {
    end_later(of_user(user), RELAY_NO_SERVER);
}

/* On the connection that is still lent: from `step` if the transaction open there is the right one, else from the
 * first. */
static void use_loan(struct relay_transfer *t, enum step step, bool is_right) {
    struct upstream *up = up_of(t);

    pool_use(&t->user);
    t->is_kept = true;
    t->has_answer = false;
    if (is_right) {
        t->writing = t->reading = (uint8_t)step;
        t->read_at = t->write_at;
        if (check_connection(t))
            pump(t);
    } else if ((up->mail_max && up->mails >= up->mail_max) ||
               (is_8bit(t) && !offers(t, SMTP_EXT_8BITMIME) && pool_has_better(&t->user, SMTP_EXT_8BITMIME))) {
        pool_release(&t->user);
        want(t);
    } else {
        upstream_reset(up);
        begin_use(t);
    }
}

/* ---- answers */

enum kind { POSITIVE, INTERMEDIATE, NEGATIVE, NONSENSE };

static enum kind kind_of(const struct smtp_answer *answer) {
    if (answer->code >= 200 && answer->code < 300)
        return POSITIVE;
    if (answer->code == 354)
        return INTERMEDIATE;
    return answer->code >= 400 && answer->code < 600 ? NEGATIVE : NONSENSE;
}

/* A kept connection that was dead, and nobody knew. Returns false when it was not, or too often. */
static bool may_repair(const struct relay_transfer *t) {
    if (t->operation == DELIVER && t->body->is_final_dot_sent)
        return false;
    return t->is_kept && !t->has_answer && t->repairs < REPAIRS_MAX;
}

/* `user.conn` is gone already. */
static void repair(struct relay_transfer *t, struct str why) {
    t->repairs++;
    task_cancel(t->relay->loop, &t->task); /* it would write on */
    note(t, "connection repaired: %.*s", STR_ARG(why));
    pool_drop_idle(t->user.server);
    want(t);
}

/*
 * The client's address is refused: the next server. A 501 is about a value that a client chose, its HELO or its PTR;
 * anything else is the server's word against us all.
 */
static void on_forward_refused(struct relay_transfer *t, const char *command, const struct smtp_answer *answer) {
    struct str text = str_head((struct str){ answer->text, answer->text_len }, 120);
    char why[UPSTREAM_WHY_MAX];
    int len = snprintf(why, sizeof(why), "%s: %u %.*s", command, answer->code, STR_ARG(text));

    if (answer->code == 501) {
        note(t, "next server: %s", why);
        t->user.tried |= pool_server_bit(t->user.server);
        pool_drop(&t->user);
    } else {
        pool_refused(&t->user, (struct str){ why, (size_t)len });
    }
    want(t);
}

static void on_forward_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    bool is_xclient = t->user.pool->group->forward_client == CONF_FORWARD_XCLIENT;
    bool is_accepted = is_xclient ? answer->code == 220 : kind_of(answer) == POSITIVE;

    if (!is_accepted && t->writing > STEP_MAIL) { /* accepted before, so MAIL went with it */
        finish_answer(t, RELAY_LOST, answer, DROP);
        return;
    }
    if (!is_accepted) {
        on_forward_refused(t, is_xclient ? "XCLIENT" : "XFORWARD", answer);
        return;
    }
    if (--t->forward_due > 0)
        return;
    t->reading = STEP_MAIL;
    t->user.conn->is_forward_proven = true;
    if (is_xclient)
        upstream_hello(up_of(t)); /* the server has forgotten our EHLO; on_ready goes on */
    else
        pump(t);
}

/* The replay is refused: no recipient may be left out in silence. With DATA under way only closing makes sure that
 * nothing is sent. */
static void on_replay_refused(struct relay_transfer *t, const struct smtp_answer *answer) {
    finish_answer(t, RELAY_LOST, answer, t->writing > STEP_DATA ? DROP : RELEASE);
}

static void on_mail_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    pool_proved(&t->user);
    if (kind_of(answer) == POSITIVE) {
        t->reading = STEP_RCPT;
        pump(t);
    } else if (t->operation == DELIVER) {
        on_replay_refused(t, answer);
    } else {
        finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
    }
}

static void accept_recipient(struct relay_transfer *t) {
    *t->accepted_end = t->read_at;
    t->accepted_end = &t->read_at->next;
    t->n_accepted++;
    t->n_given++;
}

static void on_rcpt_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    bool is_accepted = kind_of(answer) == POSITIVE;

    if (t->operation == RCPT) {
        if (is_accepted)
            accept_recipient(t);
        finish_answer(t, RELAY_ANSWERED, answer, LEND);
        return;
    }
    if (!is_accepted) {
        on_replay_refused(t, answer);
        return;
    }
    t->n_given++;
    t->read_at = t->read_at->next;
    if (!t->read_at)
        t->reading = STEP_DATA;
    pump(t);
}

static void on_data_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    if (kind_of(answer) == NEGATIVE) {
        finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
        return;
    }
    if (kind_of(answer) != INTERMEDIATE) {
        finish_answer(t, RELAY_LOST, answer, DROP);
        return;
    }
    t->reading = STEP_BODY;
    upstream_sent(up_of(t), 1, 0); /* a server may refuse before it has seen all */
    pump(t);
}

/* A chunk taken: all of it had been written, and it was not the last. */
static bool is_chunk_taken(const struct relay_transfer *t, const struct upstream *up) {
    const struct relay_body *body = t->body;

    if (!body->is_chunked)
        return false;
    return up->due > 0 || (!body->is_last_begun && body->at == body->chunk_end);
}

static void on_body_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    struct upstream *up = up_of(t);
    bool is_last = t->body->is_final_dot_sent && up->due == 0;
    enum kind kind = kind_of(answer);

    if (kind == NEGATIVE) { /* of the whole, or of a chunk, which is as final (RFC 3030 2) */
        if (is_last && !t->body->is_chunked)
            up->is_dirty = false;
        finish_answer(t, RELAY_ANSWERED, answer, is_last ? RELEASE : DROP);
    } else if (kind == POSITIVE && is_last) {
        up->is_dirty = false;
        finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
    } else if (kind == POSITIVE && is_chunk_taken(t, up)) {
        pump(t);
    } else {
        finish_answer(t, t->body->is_final_dot_sent ? RELAY_UNKNOWN : RELAY_LOST, answer, DROP);
    }
}

static void on_421(struct relay_transfer *t, const struct smtp_answer *answer) {
    if (may_repair(t)) {
        pool_drop(&t->user);
        repair(t, STR("421"));
    } else if (t->reading == STEP_FORWARD) {
        on_forward_answer(t, answer);
    } else {
        finish_answer(t, RELAY_ANSWERED, answer, DROP);
    }
}

static void on_answer(struct pool_user *user, const struct smtp_answer *answer) {
    struct relay_transfer *t = of_user(user);

    if (answer->code == 421) {
        on_421(t, answer);
        return;
    }
    t->has_answer = true;
    if (kind_of(answer) == NONSENSE || (kind_of(answer) == INTERMEDIATE && t->reading != STEP_DATA)) {
        bool is_sent = t->operation == DELIVER && t->body->is_final_dot_sent;

        finish_answer(t, is_sent ? RELAY_UNKNOWN : RELAY_LOST, answer, DROP);
        return;
    }
    switch ((enum step)t->reading) {
    case STEP_FORWARD: on_forward_answer(t, answer); break;
    case STEP_MAIL: on_mail_answer(t, answer); break;
    case STEP_RCPT: on_rcpt_answer(t, answer); break;
    case STEP_DATA: on_data_answer(t, answer); break;
    case STEP_BODY: on_body_answer(t, answer); break;
    case STEP_DONE: break;
    }
}

static void on_ready(struct pool_user *user) {
    pump(of_user(user));
}

static void on_lost(struct pool_user *user, const struct pool_conn *conn, struct str why) {
    struct relay_transfer *t = of_user(user);

    task_cancel(t->relay->loop, &t->task);
    if (t->operation == DELIVER && t->body->is_final_dot_sent) {
        finish(t, RELAY_UNKNOWN, NULL);
    } else if (may_repair(t)) {
        repair(t, why);
    } else if (t->writing <= STEP_MAIL) { /* MAIL was not sent */
        note(t, "next server: %.*s", STR_ARG(why));
        user->tried |= pool_server_bit(conn->server);
        want(t);
    } else {
        note(t, "connection lost: %.*s", STR_ARG(why));
        finish(t, RELAY_LOST, NULL);
    }
}

static void on_shutdown(struct pool_user *user) {
    struct relay_transfer *t = of_user(user);

    if (t->is_orphan)
        finish(t, RELAY_UNKNOWN, NULL);
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    const struct relay *relay = arg;

    relay->events->on_server(relay->events->arg, group, server, what);
}

static const struct pool_ops pool_ops = {
    .on_granted = on_granted, .on_nobody = on_nobody, .on_ready = on_ready, .on_answer = on_answer,
        .on_drained = on_ready,
    .on_lost = on_lost, .on_shutdown = on_shutdown, .on_server = on_server,
};

/* ---- time */

static void rcpt_timed_out(struct relay_transfer *t) {
    if (!t->user.is_waiting)
        return; /* the server's own time-out counts now */
    if (pool_is_opening_for(&t->user)) { /* not busy: new, and bounded by its own time-outs */
        uint64_t wait_ms = t->relay->conf->set.timeouts.server_wait;

        wait_ms = wait_ms > WAIT_MIN_MS ? wait_ms : WAIT_MIN_MS;
        if (timer_set(t->relay->loop, &t->timer, loop_now(t->relay->loop) + wait_ms, on_time) == 0)
            return;
    }
    pool_leave(&t->user);
    finish(t, RELAY_BUSY, NULL);
}

static void on_time(struct timer *timer) {
    struct relay_transfer *t = of_timer(timer);

    if (t->operation != DELIVER) {
        rcpt_timed_out(t);
        return;
    }
    pool_leave(&t->user);
    if (t->user.conn)
        pool_drop(&t->user);
    finish(t, RELAY_TIMED_OUT, NULL);
}

/* ---- the transfer */

struct relay_transfer *relay_begin(struct relay *relay, const struct conf_group *group,
                                   const struct relay_envelope *envelope) {
    struct relay_transfer *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->relay = relay;
    t->user.pool = &relay->pools[group->index];
    t->arena.max = ENVELOPE_BYTES + relay->conf->set.limits.recipients * RECIPIENT_BYTES;
    t->accepted_end = &t->accepted;
    t->envelope = arena_alloc(&t->arena, sizeof(*t->envelope));
    if (!t->envelope) {
        arena_reset(&t->arena);
        free(t);
        return NULL;
    }
    *t->envelope = *envelope;
    return t;
}

static struct kept_recipient *keep(struct relay_transfer *t, const struct relay_recipient *recipient) {
    struct kept_recipient *kept = arena_zalloc(&t->arena, sizeof(*kept));

    if (!kept)
        return NULL;
    kept->set = (struct relay_recipient){
        .address = arena_str(&t->arena, recipient->address), .parameters = recipient->parameters,
        .notify = arena_str(&t->arena, recipient->notify), .orcpt = arena_str(&t->arena, recipient->orcpt),
    };
    return kept->set.address.at && kept->set.notify.at && kept->set.orcpt.at ? kept : NULL;
}

static void start(struct relay_transfer *t, enum operation operation, relay_fn *done, void *arg) {
    assert(t->operation == NOTHING && !t->is_orphan);
    t->operation = (uint8_t)operation;
    t->done = done;
    t->arg = arg;
    t->repairs = 0;
    t->user.tried = 0;
}

int relay_rcpt(struct relay_transfer *transfer, const struct relay_recipient *recipient, relay_fn *done, void *arg) {
    struct relay_transfer *t = transfer;
    struct kept_recipient *kept = keep(t, recipient);

    if (!kept || t->n_accepted == UINT16_MAX)
        return -ENOMEM;
    start(t, RCPT, done, arg);
    t->write_at = t->read_at = kept;
    if (t->user.conn)
        use_loan(t, STEP_RCPT, t->is_utf8_mail || !needs_utf8(t));
    else
        want(t);
    return 0;
}

static int copy_message(struct relay_transfer *t, const struct relay_message *message) {
    if (!t->relay->scratch && message->spool->fd >= 0)
        t->relay->scratch = malloc(RELAY_BODY_PIECE);
    t->body = arena_zalloc(&t->arena, sizeof(*t->body));
    if (!t->body || (!t->relay->scratch && message->spool->fd >= 0))
        return -ENOMEM;
    t->body->message = *message;
    t->body->total = message->head.len + spool_size(message->spool);
    struct str id = str_head(t->envelope->id, sizeof(t->body->id));
    if (id.len)
        memcpy(t->body->id, id.at, id.len);
    t->body->id_len = (uint8_t)id.len;
    return 0;
}

int relay_deliver(struct relay_transfer *transfer, const struct relay_message *message, relay_fn *done, void *arg) {
    struct relay_transfer *t = transfer;
    uint64_t deadline_ms = message->deadline_ms;
    uint64_t last_ms = deadline_ms > message->reserve_ms ? deadline_ms - message->reserve_ms : 1;

    assert(t->n_accepted > 0);
    if (copy_message(t, message) < 0 || timer_set(t->relay->loop, &t->timer, last_ms + 1, on_time) < 0)
        return -ENOMEM;
    start(t, DELIVER, done, arg);
    t->write_at = t->accepted;
    if (t->user.conn) {
        bool is_declared = !is_8bit(t) || t->is_8bit_mail || !offers(t, SMTP_EXT_8BITMIME);
        bool is_better_elsewhere =
            is_8bit(t) && !offers(t, SMTP_EXT_8BITMIME) && pool_has_better(&t->user, SMTP_EXT_8BITMIME);

        use_loan(t, STEP_DATA, t->n_given == t->n_accepted && is_declared && !is_better_elsewhere);
    } else {
        want(t);
    }
    return 0;
}

/*
 * Before DATA (and not within a BDAT) RSET makes a connection good again; later only closing it does. Behind an XCLIENT
 * that was not answered yet nobody would say the new EHLO.
 */
static bool is_resettable(const struct relay_transfer *t) {
    bool is_xclient = t->user.pool->group->forward_client == CONF_FORWARD_XCLIENT;

    if (t->operation == NOTHING)
        return true;
    if (is_xclient && t->reading == STEP_FORWARD && t->writing > STEP_FORWARD)
        return false;
    return t->operation == RCPT || t->writing <= STEP_DATA;
}

void relay_end(struct relay_transfer *take_transfer) {
    struct relay_transfer *t = take_transfer;

    if (!t)
        return;
    if (t->operation == DELIVER && t->body->is_final_dot_sent && t->user.conn) {
        t->is_orphan = true;
        t->relay->n_orphans++;
        return;
    }
    pool_leave(&t->user);
    if (t->user.conn && is_resettable(t) && t->user.conn->up.state == UPSTREAM_READY)
        pool_release(&t->user);
    else if (t->user.conn)
        pool_drop(&t->user);
    transfer_free(t);
}

/* ---- the relay */

int relay_new(struct loop *loop, const struct conf *conf, SSL_CTX *const *group_tls, unsigned n_workers,
              const struct relay_events *events, struct relay **ret_relay) {
    struct relay *relay = calloc(1, sizeof(*relay));
    uint64_t max = conf->set.limits.server_connections / (n_workers ? n_workers : 1);

    if (!relay)
        return -ENOMEM;
    relay->loop = loop;
    relay->conf = conf;
    relay->events = events;
    relay->pools = calloc(conf->n_groups ? conf->n_groups : 1, sizeof(*relay->pools));
    if (!relay->pools) {
        free(relay);
        return -ENOMEM;
    }
    for (size_t i = 0; i < conf->n_groups; i++) {
        int r = pool_init(&relay->pools[i], loop, conf, &conf->groups[i], group_tls ? group_tls[i] : NULL,
            (unsigned)max, &pool_ops, relay);

        if (r < 0) {
            relay_free(relay);
            return r;
        }
    }
    *ret_relay = relay;
    return 0;
}

void relay_free(struct relay *relay) {
    if (!relay)
        return;
    for (size_t i = 0; i < relay->conf->n_groups; i++)
        pool_deinit(&relay->pools[i]);
    free(relay->pools);
    free(relay->scratch);
    free(relay);
}

void relay_probe(struct relay *relay) {
    for (size_t i = 0; i < relay->conf->n_groups; i++)
        pool_probe(&relay->pools[i]);
}

struct smtp_offer relay_offer(const struct relay *relay) {
    struct smtp_offer all = { .extensions = SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN };

    for (size_t i = 0; i < relay->conf->n_groups; i++) {
        for (size_t j = 0; j < relay->conf->groups[i].n_servers; j++) {
            const struct pool_server *server = &relay->pools[i].servers[j];

            all.extensions &= server->is_met ? server->offer.extensions : (uint32_t)(SMTP_EXT_SIZE | SMTP_EXT_8BITMIME);
            if (server->is_met && server->offer.size && (all.size == 0 || server->offer.size < all.size))
                all.size = server->offer.size;
        }
    }
    return all;
}

unsigned relay_orphans(const struct relay *relay) {
    return relay->n_orphans;
}

void relay_server_stats(const struct relay *relay, unsigned group, unsigned server, struct relay_stats *ret_stats) {
    const struct pool_server *s = &relay->pools[group].servers[server];

    *ret_stats = (struct relay_stats){
        .idle = s->count[POOL_IDLE], .lent = s->count[POOL_LENT] + s->count[POOL_BUSY], .waiting = s->n_waiting,
        .is_open = s->health == POOL_DOWN, .retry_ms = s->retry_ms,
    };
    ret_stats->connections = ret_stats->idle + ret_stats->lent + s->count[POOL_OPENING];
}
