/*
 * relay_answers: what does an answer, or a lost connection, mean for the operation at hand?
 *
 * A kept connection (idle or lent) that dies before it has answered anything was dead already: the operation starts
 * again on another, and nobody notices. Any other death after MAIL ends the operation; before MAIL the next server is
 * asked.
 *
 * Rejected: trying the second server after a lost MAIL (it may have been a recipient's own refusal, and two servers of
 * a group may share a queue).
 */
#include "session/relay_transfer.h"

#include <stdio.h>

enum { REPAIRS_MAX = 3 };

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

/*
 * The same for a 421 with which a loan answers: it took nothing, even when the message, in one chunk, was out already.
 * Where the session has left there is nothing to send again.
 */
static bool may_repair_421(const struct relay_transfer *t) {
    return t->is_kept && !t->has_answer && t->repairs < REPAIRS_MAX && !t->is_orphan;
}

/* `user.conn` is gone already. */
static void repair(struct relay_transfer *t, struct str why) {
    t->repairs++;
    if (t->operation == DELIVER)
        t->body->is_final_dot_sent = false;
    task_cancel(t->relay->loop, &t->task); /* it would write on */
    transfer_note(t, "connection repaired: %.*s", STR_ARG(why));
    pool_drop_idle(t->user.server);
    transfer_want(t);
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
        transfer_note(t, "next server: %s", why);
        t->user.tried |= pool_server_bit(t->user.server);
        pool_drop(&t->user);
    } else {
        pool_refused(&t->user, (struct str){ why, (size_t)len });
    }
    transfer_want(t);
}

static void on_forward_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    bool is_xclient = t->user.pool->group->forward_client == CONF_FORWARD_XCLIENT;
    bool is_accepted = is_xclient ? answer->code == 220 : kind_of(answer) == POSITIVE;

    if (!is_accepted && t->writing > STEP_MAIL) { /* accepted before, so MAIL went with it */
        transfer_finish_answer(t, RELAY_LOST, answer, DROP);
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
        upstream_hello(transfer_up(t)); /* the server has forgotten our EHLO; on_ready goes on */
    else
        transfer_pump(t);
}

/* The replay is refused: no recipient may be left out in silence. With DATA under way only closing makes sure that
 * nothing is sent. */
static void on_replay_refused(struct relay_transfer *t, const struct smtp_answer *answer) {
    transfer_finish_answer(t, RELAY_LOST, answer, t->writing > STEP_DATA ? DROP : RELEASE);
}

static void on_mail_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    pool_proved(&t->user);
    if (kind_of(answer) == POSITIVE) {
        t->reading = STEP_RCPT;
        transfer_pump(t);
    } else if (t->operation == DELIVER) {
        on_replay_refused(t, answer);
    } else {
        transfer_finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
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
        transfer_finish_answer(t, RELAY_ANSWERED, answer, LEND);
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
    transfer_pump(t);
}

static void on_data_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    if (kind_of(answer) == NEGATIVE) {
        transfer_finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
        return;
    }
    if (kind_of(answer) != INTERMEDIATE) {
        transfer_finish_answer(t, RELAY_LOST, answer, DROP);
        return;
    }
    t->reading = STEP_BODY;
    upstream_sent(transfer_up(t), 1, 0); /* a server may refuse before it has seen all */
    transfer_pump(t);
}

/* A chunk taken: all of it had been written, and it was not the last. */
static bool is_chunk_taken(const struct relay_transfer *t, const struct upstream *up) {
    const struct relay_body *body = t->body;

    if (!body->is_chunked)
        return false;
    return up->due > 0 || (!body->is_last_begun && body->at == body->chunk_end);
}

static void on_body_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    struct upstream *up = transfer_up(t);
    bool is_last = t->body->is_final_dot_sent && up->due == 0;
    enum kind kind = kind_of(answer);

    if (kind == NEGATIVE) { /* of the whole, or of a chunk, which is as final (RFC 3030 2) */
        if (is_last && !t->body->is_chunked)
            up->is_dirty = false;
        transfer_finish_answer(t, RELAY_ANSWERED, answer, is_last ? RELEASE : DROP);
    } else if (kind == POSITIVE && is_last && stream_pending(&up->stream) == 0) { /* else it came before the end */
        up->is_dirty = false;
        transfer_finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
    } else if (kind == POSITIVE && is_chunk_taken(t, up)) {
        transfer_pump(t);
    } else {
        transfer_finish_answer(t, t->body->is_final_dot_sent ? RELAY_UNKNOWN : RELAY_LOST, answer, DROP);
    }
}

static void on_421(struct relay_transfer *t, const struct smtp_answer *answer) {
    if (may_repair_421(t)) {
        pool_drop(&t->user);
        repair(t, STR("421"));
    } else if (t->reading == STEP_FORWARD) {
        on_forward_answer(t, answer);
    } else {
        transfer_finish_answer(t, RELAY_ANSWERED, answer, DROP);
    }
}

static void on_answer(struct pool_user *user, const struct smtp_answer *answer) {
    struct relay_transfer *t = transfer_of_user(user);

    if (answer->code == 421) {
        on_421(t, answer);
        return;
    }
    t->has_answer = true;
    if (kind_of(answer) == NONSENSE || (kind_of(answer) == INTERMEDIATE && t->reading != STEP_DATA)) {
        bool is_sent = t->operation == DELIVER && t->body->is_final_dot_sent;

        transfer_finish_answer(t, is_sent ? RELAY_UNKNOWN : RELAY_LOST, answer, DROP);
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

/* ---- what the pool tells */

static void on_granted(struct pool_user *user) {
    struct relay_transfer *t = transfer_of_user(user);

    t->is_kept = user->conn->up.mails > 0 || user->conn->ready_ms != loop_now(t->relay->loop);
    transfer_begin_use(t);
}

static void on_nobody(struct pool_user *user) {
    transfer_end_later(transfer_of_user(user), RELAY_NO_SERVER);
}

static void on_ready(struct pool_user *user) {
    transfer_pump(transfer_of_user(user));
}

static void on_lost(struct pool_user *user, const struct pool_conn *conn, struct str why) {
    struct relay_transfer *t = transfer_of_user(user);

    task_cancel(t->relay->loop, &t->task);
    if (t->operation == DELIVER && t->body->is_final_dot_sent) {
        transfer_finish(t, RELAY_UNKNOWN, NULL);
    } else if (may_repair(t)) {
        repair(t, why);
    } else if (t->writing <= STEP_MAIL) { /* MAIL was not sent */
        transfer_note(t, "next server: %.*s", STR_ARG(why));
        user->tried |= pool_server_bit(conn->server);
        transfer_want(t);
    } else {
        transfer_note(t, "connection lost: %.*s", STR_ARG(why));
        transfer_finish(t, RELAY_LOST, NULL);
    }
}

static void on_shutdown(struct pool_user *user) {
    struct relay_transfer *t = transfer_of_user(user);

    if (t->is_orphan)
        transfer_finish(t, RELAY_UNKNOWN, NULL);
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    const struct relay *relay = arg;

    relay->events->on_server(relay->events->arg, group, server, what);
}

const struct pool_ops transfer_pool_ops = {
    .on_granted = on_granted, .on_nobody = on_nobody, .on_ready = on_ready, .on_answer = on_answer,
    .on_drained = on_ready, .on_lost = on_lost, .on_shutdown = on_shutdown, .on_server = on_server,
};
