/*
 * relay_steps: on which connection does a transfer go on, and what is written there?
 *
 * On a connection two positions move along the same steps,
 *
 *     FORWARD ─▶ MAIL ─▶ RCPT … RCPT ─▶ DATA ─▶ BODY
 *
 * `writing` is the step to be written next, `reading` the one whose answer comes next. Where the server offers
 * PIPELINING writing runs ahead of reading; else they move in lock step. transfer_pump() writes what may be written;
 * each answer (relay_answers.c) moves `reading` and pumps again. A replay is nothing but DELIVER from the first step; a
 * recipient on a connection that is still lent begins at RCPT, a delivery on one at DATA.
 *
 * What cannot be taken back waits: MAIL for the first XFORWARD's answer on a connection (a server that refuses it is
 * left for the next one), BDAT for all answers before it. DATA need not: without its final dot nothing is delivered.
 *
 * Rejected: waiting for XFORWARD's answer each time (a round trip for each message).
 */
#include "session/relay_transfer.h"

enum { AHEAD_MAX = 256 * 1024 }; /* of commands that wait for the kernel: a thousand recipients with long parameters */

/* ---- writing */

static void written(struct relay_transfer *t, int r, uint32_t n_answers, uint64_t limit_ms) {
    upstream_sent(transfer_up(t), n_answers, limit_ms);
    if (r < 0)
        upstream_broken(transfer_up(t));
}

static uint64_t command_limit(const struct relay_transfer *t) {
    return t->relay->conf->set.timeouts.server_command;
}

static void note_no_forward(struct relay_transfer *t, enum conf_forward forward) {
    struct pool_conn *conn = t->user.conn;

    if (conn->is_noted || conn->is_introduced)
        return;
    conn->is_noted = true;
    transfer_note(t, "the server does not hear of the client's address: no %s",
                  forward == CONF_FORWARD_XCLIENT ? "XCLIENT" : "XFORWARD");
}

static void write_forward(struct relay_transfer *t) {
    struct upstream *up = transfer_up(t);
    enum conf_forward forward = t->user.pool->group->forward_client;
    bool is_offered = transfer_offers(t, forward == CONF_FORWARD_XCLIENT ? SMTP_EXT_XCLIENT : SMTP_EXT_XFORWARD);
    const struct relay_envelope envelope = relay_hide_client(t->envelope, t->forward_hidden);
    uint32_t n = 0;
    int r = 0;

    if (forward != CONF_FORWARD_OFF && !is_offered)
        note_no_forward(t, forward);
    if (forward == CONF_FORWARD_XFORWARD && is_offered && !t->is_forward_off)
        r = relay_write_xforward(upstream_out(up), &envelope, up->offer.xforward, &n);
    else if (forward == CONF_FORWARD_XCLIENT && is_offered)
        r = relay_write_xclient(upstream_out(up), &envelope, up->offer.xclient, &n);
    t->forward_due = t->forward_sent = (uint8_t)n;
    t->forward_first = (uint8_t)relay_forward_first(up->offer.xforward);
    t->forward_refused = 0;
    t->writing = STEP_MAIL;
    t->reading = n ? STEP_FORWARD : STEP_MAIL;
    if (n)
        written(t, r, n, command_limit(t));
}

/* On this connection XFORWARD was accepted, and nothing of it refused for this client: MAIL need not wait. */
static bool is_forward_proven(const struct relay_transfer *t) {
    return t->user.conn->is_forward_proven && t->user.pool->group->forward_client == CONF_FORWARD_XFORWARD
        && !t->forward_hidden;
}

static bool is_utf8(struct str s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] > 127)
            return true;
    return false;
}

bool transfer_needs_utf8(const struct relay_transfer *t) {
    if (t->envelope->parameters & SMTP_HAS_SMTPUTF8 || is_utf8(t->envelope->sender))
        return true;
    for (const struct kept_recipient *k = t->write_at; k; k = k->next) /* one may have been rewritten */
        if (is_utf8(k->set.address))
            return true;
    return false;
}

bool transfer_is_8bit(const struct relay_transfer *t) {
    bool is_declared = t->envelope->body == SMTP_BODY_8BITMIME;

    return is_declared || (t->operation == DELIVER && t->body->message.has_8bit);
}

bool transfer_is_better_elsewhere(struct relay_transfer *t) {
    if (!transfer_is_8bit(t) || transfer_offers(t, SMTP_EXT_8BITMIME))
        return false;
    return pool_has_better(&t->user, SMTP_EXT_8BITMIME);
}

static uint64_t message_size(const struct relay_transfer *t) {
    return t->operation == DELIVER ? t->body->total : t->envelope->size;
}

static void write_mail(struct relay_transfer *t) {
    struct upstream *up = transfer_up(t);
    struct relay_mail mail = {
        .extensions = up->offer.extensions,
        .has_size = t->operation == DELIVER || t->envelope->parameters & SMTP_HAS_SIZE,
        .size = message_size(t), .is_8bit = transfer_is_8bit(t), .is_utf8 = transfer_needs_utf8(t),
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

    if (t->dsn_noted || transfer_offers(t, SMTP_EXT_DSN) ||
        !(asked & (SMTP_HAS_RET | SMTP_HAS_ENVID | SMTP_HAS_NOTIFY | SMTP_HAS_ORCPT)))
        return;
    t->dsn_noted = true;
    transfer_note(t, "DSN parameters dropped: the server does not offer DSN");
}

static void write_rcpt(struct relay_transfer *t) {
    struct upstream *up = transfer_up(t);

    note_dsn(t);
    written(t, relay_write_rcpt(upstream_out(up), &t->write_at->set, up->offer.extensions), 1, command_limit(t));
    t->write_at = t->write_at->next;
    if (!t->write_at)
        t->writing = t->operation == RCPT ? STEP_DONE : STEP_DATA;
}

/* Returns whether there is more to write now. */
static bool write_data(struct relay_transfer *t) {
    bool is_chunked = transfer_offers(t, SMTP_EXT_CHUNKING) && !t->user.server->has_no_bdat;

    if (is_chunked && t->reading != STEP_DATA)
        return false; /* a BDAT cannot be taken back */
    relay_body_begin(t->body, is_chunked);
    if (t->body->message.has_8bit && !transfer_offers(t, SMTP_EXT_8BITMIME))
        transfer_note(t, "8-bit message sent unchanged: the server does not offer 8BITMIME");
    t->writing = STEP_BODY;
    if (is_chunked)
        t->reading = STEP_BODY;
    else
        written(t, buf_puts(upstream_out(transfer_up(t)), STR("DATA\r\n")), 1, command_limit(t));
    return true;
}

static void on_pump_task(struct task *task) {
    transfer_pump((struct relay_transfer *)((char *)task - offsetof(struct relay_transfer, task)));
}

static void write_body(struct relay_transfer *t) {
    struct relay *relay = t->relay;

    switch (relay_body_write(t->body, transfer_up(t), relay->scratch, t->arg)) {
    case RELAY_BODY_SENT:
        t->writing = STEP_DONE;
        /* from now on what counts is the answer; moving a timer away cannot fail */
        (void)timer_set(relay->loop, &t->timer, t->body->message.deadline_ms, transfer_on_time);
        break;
    case RELAY_BODY_WAIT: break;
    case RELAY_BODY_YIELD: task_start(relay->loop, &t->task, on_pump_task); break;
    case RELAY_BODY_STOP: transfer_drop_and_end_later(t, RELAY_TIMED_OUT); break;
    case RELAY_BODY_LOCAL: transfer_drop_and_end_later(t, RELAY_LOCAL); break;
    }
}

void transfer_pump(struct relay_transfer *t) {
    while (t->writing != STEP_DONE) {
        if (t->writing == STEP_BODY) {
            if (t->reading == STEP_BODY && !transfer_up(t)->is_ahead)
                write_body(t);
            return;
        }
        if (!upstream_may_write(transfer_up(t)))
            return;
        if (t->writing == STEP_FORWARD) {
            write_forward(t);
        } else if (t->writing == STEP_MAIL) {
            if (t->reading == STEP_FORWARD && !is_forward_proven(t))
                return;
            write_mail(t);
        } else if (t->writing == STEP_RCPT) {
            if (stream_pending(&transfer_up(t)->stream) > AHEAD_MAX) {
                stream_flush(&transfer_up(t)->stream);
                if (stream_pending(&transfer_up(t)->stream) > 0)
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
    const struct smtp_offer *offer = &transfer_up(t)->offer;

    return offer->extensions & SMTP_EXT_SIZE && offer->size && message_size(t) > offer->size;
}

/* Those accepted before would not fit into the replay together with this one. */
static bool is_one_too_many(struct relay_transfer *t) {
    uint32_t max = transfer_up(t)->rcpt_max;

    return t->operation == RCPT && max && t->n_accepted >= max;
}

/* Refuses what this server could never take. Returns false when the operation is over. */
static bool check_connection(struct relay_transfer *t) {
    enum relay_outcome outcome;

    if (transfer_needs_utf8(t) && !transfer_offers(t, SMTP_EXT_SMTPUTF8)) /* in the replay another took them */
        outcome = t->operation == DELIVER ? RELAY_LOST : RELAY_NEEDS_SMTPUTF8;
    else if (is_too_large(t))
        outcome = RELAY_TOO_LARGE;
    else if (is_one_too_many(t))
        outcome = RELAY_TOO_MANY;
    else
        return true;
    pool_release(&t->user);
    transfer_end_later(t, outcome);
    return false;
}

/* read_at does not move during RCPT: it is the one at hand. */
static void rewind_to_first(struct relay_transfer *t) {
    t->write_at = t->operation == DELIVER ? t->accepted : t->read_at;
}

void transfer_begin_use(struct relay_transfer *t) {
    t->writing = t->reading = STEP_FORWARD;
    rewind_to_first(t);
    t->read_at = t->write_at;
    t->n_given = 0;
    t->has_answer = false;
    if (check_connection(t))
        transfer_pump(t);
}

void transfer_want(struct relay_transfer *t) {
    uint64_t until_ms = loop_now(t->relay->loop) + t->relay->conf->set.timeouts.server_wait;

    if (t->operation == RCPT && timer_set(t->relay->loop, &t->timer, until_ms, transfer_on_time) < 0) {
        transfer_end_later(t, RELAY_LOCAL);
        return;
    }
    rewind_to_first(t);
    t->user.is_delivery = t->operation == DELIVER;
    t->user.need = (transfer_needs_utf8(t) ? SMTP_EXT_SMTPUTF8 : 0u) | (transfer_is_8bit(t) ? SMTP_EXT_8BITMIME : 0u);
    pool_want(&t->user);
}

void transfer_use_loan(struct relay_transfer *t, enum step step, bool is_right) {
    struct upstream *up = transfer_up(t);

    pool_use(&t->user);
    t->is_kept = true;
    t->has_answer = false;
    if (is_right) {
        t->writing = t->reading = (uint8_t)step;
        t->read_at = t->write_at;
        if (check_connection(t))
            transfer_pump(t);
    } else if ((up->mail_max && up->mails >= up->mail_max) || transfer_is_better_elsewhere(t)) {
        pool_release(&t->user);
        transfer_want(t);
    } else {
        upstream_reset(up);
        transfer_begin_use(t);
    }
}
