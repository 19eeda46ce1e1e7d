/*
 * delivery: what happens to a message from its last byte to our answer?
 *
 *   on_message ─▶ content_judge ─▶ on_content_judged ─▶ keeping_start ─▶ on_kept ─▶ hand_on ─▶ on_delivered ─▶ conclude
 *
 * The message is its sender's until conclude() says 250. So the steps are in an order in which each may fail and leave
 * nothing behind: the copy for the quarantine is on the disk, but pending, before anything goes to the mailbox server,
 * and becomes final only behind the server's own 250 (design.md section 7).
 *
 * All of it has to end within final_reply_limit, since after 10 minutes at the latest a client gives up (RFC 5321
 * 4.5.3.2.6) and would send again what we delivered: the scanners end in time for the mailbox server to have its share.
 */
#include "session/folding.h"
#include "session/state.h"

#include "base/clock.h"

#include <errno.h>

/* How much time must be left when our final dot goes out: a quarter where the limit is shorter than usual. */
static uint64_t reserve_of(uint64_t limit_ms) {
    return limit_ms / 4 < RELAY_RESERVE_MS ? limit_ms / 4 : RELAY_RESERVE_MS;
}

/* The client has its turn again. */
static void finish(struct session *s) {
    end_transaction(s);
    if (s->waiting_for != NULL)
        answered(s);
    else
        arm(s);
}

static void conclude(struct session *s, const struct verdict *verdict) {
    answer_message(s, verdict);
    if (verdict->action == ACTION_PASS || verdict->action == ACTION_QUARANTINE) {
        s->n_errors = s->n_junk = 0;
        guessers_forgive(s->server->guessers, s->place.client->node.key, s->server->conf->set.limits.errors);
        count_event(s, RATE_MESSAGES);
    }
    finish(s);
}

/* ---- to the mailbox server */

bool client_is_there(void *arg) {
    const struct session *s = arg;
    return !stream_peer_is_gone(&s->stream);
}

/* To end the session from here on would make a duplicate, so it does not give way any more. */
static bool on_final_dot(void *arg) {
    struct session *s = arg;
    if (!client_is_there(s))
        return false;
    clients_hold(&s->server->clients, &s->place);
    return true;
}

static void on_delivered(void *arg, const struct relay_result *result) {
    struct session *s = arg;
    struct transaction *t = s->transaction;
    char words[1024];
    struct buf text = BUF_IN(words);
    struct verdict verdict = verdict_of_relay(s, result, &text);
    if (t->outcome.n_kept > 0)
        keeping_end(s, verdict.action == ACTION_PASS);
    if (verdict.action == ACTION_PASS)
        judge_credit(s);
    conclude(s, &verdict);
}

static void hand_on(struct session *s) {
    struct transaction *t = s->transaction;
    struct relay_message message = {
        .spool = &t->intake.spool,
        .has_8bit = t->intake.decoder.has_8bit,
        .deadline_ms = t->deadline_ms,
        .reserve_ms = t->reserve_ms,
        .client_is_there = on_final_dot,
    };
    t->asked_us = clock_us();
    int r = content_write_head(s);
    message.head = buf_str(&t->head);
    message.edit = content_edit(t);
    if (r == 0 && t->outcome.n_kept > 0)
        relay_choose(t->transfer, content_chosen(t));
    if (r < 0 || relay_deliver(t->transfer, &message, on_delivered, s) < 0) {
        if (t->outcome.n_kept > 0)
            keeping_end(s, false);
        say_no(s, 451, "4.3.0", "Out of memory, try again later");
        finish(s);
        return;
    }
    if (s->waiting_for == NULL)
        ask(s, "the mailbox server's answer to the message");
}

/* ---- into the quarantine */

/* Nobody gets it, and nobody hears of that: who sent it must not learn what we keep. */
static const struct verdict kept_verdict = {
    .action = ACTION_QUARANTINE, .layer = STR_INIT("content"),
    .reply = { 250, "2.0.0", STR_INIT("Message taken") },
};

static const struct verdict not_kept_verdict = {
    .action = ACTION_DEFER, .layer = STR_INIT("content"), .rule = STR_INIT("QUARANTINE"),
    .reply = { 451, "4.3.0", STR_INIT("The message cannot be kept here now, try again later") },
};

void on_kept(struct session *s, bool is_kept) {
    struct transaction *t = s->transaction;
    if (!is_kept) {
        conclude(s, &not_kept_verdict);
    } else if (t->outcome.n_handed_on > 0) {
        hand_on(s);
    } else if (!client_is_there(s)) { /* it will send again what it was not told of */
        keeping_end(s, false);
        conclude(s, &not_kept_verdict);
    } else {
        struct verdict verdict = kept_verdict;
        verdict.rule = t->told.rule;
        keeping_end(s, true);
        conclude(s, &verdict);
    }
}

/* ---- the story */

void on_content_judged(struct session *s) {
    struct transaction *t = s->transaction;
    if (content_has_rules(s->server))
        t->judged_us = clock_us();
    if (t->outcome.fate != CONTENT_TAKEN) {
        conclude(s, &t->told);
    } else if (t->outcome.n_kept == 0) {
        hand_on(s);
    } else if (!keeping_start(s)) {
        conclude(s, &not_kept_verdict);
    } else if (s->waiting_for == NULL) {
        ask(s, "the quarantine");
    }
}

void on_message(struct session *s) {
    struct transaction *t = s->transaction;
    const uint64_t limit_ms = s->server->conf->set.timeouts.final_reply_limit;
    struct verdict verdict = message_validate(s);
    t->data_until_ms = 0;
    if (verdict.action != ACTION_PASS) {
        if (t->intake.spool_error == -ENOBUFS)
            s->server->counters->spool_refused++;
        else if (t->intake.spool_error != 0)
            folding_line(s->server, LOG_LEVEL_WARNING, NULL, "spool", s->id,
                         "spool: a message cannot be kept in %s: %s sid=%s", s->server->conf->set.spool_path,
                         strerror(-t->intake.spool_error), s->id);
        conclude(s, &verdict);
        return;
    }
    t->ended_us = clock_us();
    t->deadline_ms = loop_now(s->server->loop) + limit_ms;
    t->reserve_ms = reserve_of(limit_ms);
    if (transaction_write_head(s, t) < 0) {
        say_no(s, 451, "4.3.0", "Out of memory, try again later");
        finish(s);
    } else if (content_judge(s)) {
        on_content_judged(s);
    } else {
        ask(s, "the scanners");
    }
}
