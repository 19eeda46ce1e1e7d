/*
 * relay_answers: what does an answer, or a lost connection, mean for the operation at hand?
 *
 * A kept connection (idle or lent) that dies before it has answered anything was dead already: the operation starts
 * again on another, and nobody notices. Any other death after MAIL ends the operation; before MAIL the next server is
 * asked. What a server refuses is sorted by relay_replies.c.
 *
 * A value of XFORWARD or XCLIENT that the server refuses (an IPv6 address where it has no IPv6) costs no mail: the
 * command is said again with that value unknown, and XFORWARD, which only informs, is then left out. XCLIENT is not:
 * without it the server would trust the client as it trusts us.
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

/* ---- a "no" */

/* It is about this sender, recipient or message, or about us (relay_replies.h). */
static void on_no(struct relay_transfer *t, enum relay_reply_step step, const struct smtp_answer *answer,
                  enum afterwards afterwards) {
    if (relay_reply_way(step, answer) == RELAY_REPLY_PASSED) {
        transfer_finish_answer(t, RELAY_ANSWERED, answer, afterwards);
        return;
    }
    transfer_trouble(t, step, answer);
    transfer_finish_answer(t, RELAY_TROUBLE, answer, afterwards);
}

/*
 * The replay is refused: no recipient may be left out in silence. With DATA under way only closing makes sure that
 * nothing is sent.
 */
static void on_replay_refused(struct relay_transfer *t, enum relay_reply_step step, const struct smtp_answer *answer) {
    if (kind_of(answer) == NEGATIVE && relay_reply_way(step, answer) == RELAY_REPLY_OURS)
        transfer_trouble(t, step, answer);
    transfer_finish_answer(t, RELAY_LOST, answer, t->writing > STEP_DATA ? DROP : RELEASE);
}

/* ---- the steps */

static enum relay_reply_step forward_step(const struct relay_transfer *t) {
    bool is_xclient = t->user.pool->group->forward_client == CONF_FORWARD_XCLIENT;

    return is_xclient ? RELAY_REPLY_XCLIENT : RELAY_REPLY_XFORWARD;
}

/* The next server. A 501 is about a value of this client's; anything else is the server's word against us all. */
static void on_forward_refused(struct relay_transfer *t, const struct smtp_answer *answer) {
    struct str text = str_head((struct str){ answer->text, answer->text_len }, 120);
    char why[UPSTREAM_WHY_MAX];
    int len = snprintf(why, sizeof(why), "%s: %u %.*s", relay_reply_step_name(forward_step(t)), answer->code,
                       STR_ARG(text));

    if (relay_reply_way(forward_step(t), answer) == RELAY_REPLY_WITHOUT) {
        transfer_note(t, "next server: %s", why);
        t->user.tried |= pool_server_bit(t->user.server);
        pool_drop(&t->user);
    } else {
        pool_refused(&t->user, (struct str){ why, (size_t)len });
    }
    transfer_want(t);
}

/* All answers to it are there, and one of them refused a value. */
static void forward_without(struct relay_transfer *t, const struct smtp_answer *answer) {
    bool is_xclient = forward_step(t) == RELAY_REPLY_XCLIENT;

    if (is_xclient && t->forward_hidden) {
        on_forward_refused(t, answer);
        return;
    }
    transfer_forward_noted(t, forward_step(t), answer);
    if (t->forward_hidden) /* unknown values are no better */
        t->is_forward_off = true;
    t->forward_hidden = is_xclient ? FORWARD_ALL : t->forward_hidden | t->forward_refused;
    if (t->writing > STEP_MAIL) { /* what went with it must not count */
        pool_drop(&t->user);
        transfer_want(t);
        return;
    }
    t->writing = STEP_FORWARD;
    transfer_pump(t);
}

static bool is_forward_accepted(const struct relay_transfer *t, const struct smtp_answer *answer) {
    return forward_step(t) == RELAY_REPLY_XCLIENT ? answer->code == 220 : kind_of(answer) == POSITIVE;
}

static bool may_go_without(const struct relay_transfer *t, const struct smtp_answer *answer) {
    return kind_of(answer) == NEGATIVE && relay_reply_way(forward_step(t), answer) == RELAY_REPLY_WITHOUT;
}

static void on_forward_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    bool is_accepted = is_forward_accepted(t, answer);

    if (!is_accepted && !may_go_without(t, answer)) {
        if (t->writing > STEP_MAIL || kind_of(answer) != NEGATIVE) /* accepted before, so MAIL went with it */
            transfer_finish_answer(t, RELAY_LOST, answer, DROP);
        else
            on_forward_refused(t, answer);
        return;
    }
    if (!is_accepted)
        t->forward_refused |= t->forward_due == t->forward_sent ? t->forward_first : FORWARD_SESSION;
    if (--t->forward_due > 0)
        return;
    if (t->forward_refused) {
        forward_without(t, answer);
        return;
    }
    t->reading = STEP_MAIL;
    t->user.conn->is_forward_proven = true;
    if (forward_step(t) == RELAY_REPLY_XCLIENT) {
        t->user.conn->is_introduced = true;
        upstream_hello(transfer_up(t)); /* the server has forgotten our EHLO; on_ready goes on */
    } else {
        transfer_pump(t);
    }
}

static void on_mail_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    pool_proved(&t->user);
    if (kind_of(answer) == POSITIVE) {
        t->reading = STEP_RCPT;
        transfer_pump(t);
    } else if (t->operation == DELIVER) {
        on_replay_refused(t, RELAY_REPLY_MAIL, answer);
    } else {
        on_no(t, RELAY_REPLY_MAIL, answer, RELEASE);
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

    if (t->operation == RCPT && is_accepted) {
        accept_recipient(t);
        transfer_finish_answer(t, RELAY_ANSWERED, answer, LEND);
        return;
    }
    if (t->operation == RCPT) {
        on_no(t, RELAY_REPLY_RCPT, answer, LEND);
        return;
    }
    if (!is_accepted) {
        on_replay_refused(t, RELAY_REPLY_RCPT, answer);
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
        on_no(t, RELAY_REPLY_DATA, answer, RELEASE);
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

/* It does not know the command, so nothing of the message is taken, and what follows it is no message there. */
static bool may_use_data(const struct relay_transfer *t, const struct smtp_answer *answer) {
    bool is_first = t->body->is_chunked && !t->body->is_any_chunk_taken;

    return is_first && !t->is_orphan && relay_reply_way(RELAY_REPLY_BDAT, answer) == RELAY_REPLY_WITHOUT;
}

static void on_bdat_unknown(struct relay_transfer *t, const struct smtp_answer *answer) {
    char what[80];
    int len = snprintf(what, sizeof(what), "offers CHUNKING and answers %u to BDAT: goes on with DATA", answer->code);

    pool_tell_once(&t->user, &t->user.server->has_no_bdat, (struct str){ what, (size_t)len });
    t->body->is_final_dot_sent = false;
    task_cancel(t->relay->loop, &t->task); /* it would write on */
    pool_drop(&t->user);
    transfer_want(t);
}

static void on_text_refused(struct relay_transfer *t, const struct smtp_answer *answer, bool is_last) {
    const struct relay_body *body = t->body;
    bool is_first_chunk = body->is_chunked && !body->is_any_chunk_taken;

    if (may_use_data(t, answer)) {
        on_bdat_unknown(t, answer);
        return;
    }
    if (is_last && !body->is_chunked)
        transfer_up(t)->is_dirty = false;
    on_no(t, is_first_chunk ? RELAY_REPLY_BDAT : RELAY_REPLY_TEXT, answer, is_last ? RELEASE : DROP);
}

static void on_body_answer(struct relay_transfer *t, const struct smtp_answer *answer) {
    struct upstream *up = transfer_up(t);
    bool is_last = t->body->is_final_dot_sent && up->due == 0;
    enum kind kind = kind_of(answer);

    if (kind == NEGATIVE) { /* of the whole, or of a chunk, which is as final (RFC 3030 2) */
        on_text_refused(t, answer, is_last);
    } else if (kind == POSITIVE && is_last && stream_pending(&up->stream) == 0) { /* else it came before the end */
        up->is_dirty = false;
        transfer_finish_answer(t, RELAY_ANSWERED, answer, RELEASE);
    } else if (kind == POSITIVE && is_chunk_taken(t, up)) {
        t->body->is_any_chunk_taken = true;
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
