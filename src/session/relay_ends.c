/*
 * relay_ends: how does an operation of a transfer end, and what becomes of the connection and of the transfer?
 *
 * Each operation ends once, through transfer_finish(): it calls the session, which may free the transfer there and
 * then, so it is the last thing that whoever calls it does. The connection has been given back before, so that the
 * session can start its next operation at once.
 *
 * Law 1: nothing that relay_rcpt() and relay_deliver() call ends an operation at once. What runs below them ends it by
 * transfer_end_later(); answers, lost connections and timers may end it at once.
 */
#include "session/relay_transfer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MIN_MS = 100 }; /* between two looks at who waits for a connection that is being opened */

static struct relay_transfer *of_task(struct task *task) {
    return (struct relay_transfer *)((char *)task - offsetof(struct relay_transfer, task));
}

static struct relay_transfer *of_timer(struct timer *timer) {
    return (struct relay_transfer *)((char *)timer - offsetof(struct relay_transfer, timer));
}

static struct str transfer_id(const struct relay_transfer *t) {
    return t->is_orphan ? (struct str){ t->body->id, t->body->id_len } : t->envelope->id;
}

void transfer_note(struct relay_transfer *t, const char *format, ...) {
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

/* "answers 530 5.7.0 Must issue STARTTLS to MAIL", and what that leads to. */
enum { ANSWER_LINE_MAX = 240 };

static struct str answer_line(char out[ANSWER_LINE_MAX], enum relay_reply_step step, const struct smtp_answer *answer,
                              const char *consequence) {
    struct str text = str_head((struct str){ answer->text, answer->text_len }, 100);
    int len = snprintf(out, ANSWER_LINE_MAX, "answers %u %s%s%.*s to %s, %s", answer->code, answer->enhanced,
                       answer->enhanced[0] ? " " : "", STR_ARG(text), relay_reply_step_name(step), consequence);

    return (struct str){ out, len < ANSWER_LINE_MAX ? (size_t)len : ANSWER_LINE_MAX - 1 };
}

void transfer_trouble(struct relay_transfer *t, enum relay_reply_step step, const struct smtp_answer *answer) {
    char line[ANSWER_LINE_MAX];

    pool_trouble(&t->user, answer_line(line, step, answer, "which is about us: the sender gets 451"));
}

void transfer_forward_noted(struct relay_transfer *t, enum relay_reply_step step, const struct smtp_answer *answer) {
    char line[ANSWER_LINE_MAX];

    pool_tell_once(&t->user, &t->user.server->is_forward_noted,
                   answer_line(line, step, answer, "goes on with the client unknown"));
}

void transfer_free(struct relay_transfer *t) {
    timer_cancel(t->relay->loop, &t->timer);
    task_cancel(t->relay->loop, &t->task);
    arena_reset(&t->arena);
    free(t->window);
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

void transfer_finish(struct relay_transfer *t, enum relay_outcome outcome, const struct smtp_answer *answer) {
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

void transfer_finish_answer(struct relay_transfer *t, enum relay_outcome outcome, const struct smtp_answer *answer,
                            enum afterwards afterwards) {
    struct smtp_answer clean = *answer; /* the connection's own may be gone when it is read */

    clean_answer(t, &clean, transfer_up(t)->server_name);
    switch (afterwards) {
    case LEND: pool_lend(&t->user); break;
    case RELEASE: pool_release(&t->user); break;
    case DROP: pool_drop(&t->user); break;
    }
    transfer_finish(t, outcome, &clean);
}

static void on_end_task(struct task *task) {
    struct relay_transfer *t = of_task(task);

    transfer_finish(t, t->later, NULL);
}

void transfer_end_later(struct relay_transfer *t, enum relay_outcome outcome) {
    t->later = (uint8_t)outcome;
    task_start(t->relay->loop, &t->task, on_end_task);
}

void transfer_drop_and_end_later(struct relay_transfer *t, enum relay_outcome outcome) {
    pool_drop(&t->user);
    transfer_end_later(t, outcome);
}

/* ---- time */

static void rcpt_timed_out(struct relay_transfer *t) {
    if (!t->user.is_waiting)
        return; /* the server's own time-out counts now */
    if (pool_is_opening_for(&t->user)) { /* not busy: new, and bounded by its own time-outs */
        uint64_t wait_ms = t->relay->conf->set.timeouts.server_wait;

        wait_ms = wait_ms > WAIT_MIN_MS ? wait_ms : WAIT_MIN_MS;
        if (timer_set(t->relay->loop, &t->timer, loop_now(t->relay->loop) + wait_ms, transfer_on_time) == 0)
            return;
    }
    pool_leave(&t->user);
    transfer_finish(t, RELAY_BUSY, NULL);
}

void transfer_on_time(struct timer *timer) {
    struct relay_transfer *t = of_timer(timer);

    if (t->operation != DELIVER) {
        rcpt_timed_out(t);
        return;
    }
    pool_leave(&t->user);
    if (t->user.conn)
        pool_drop(&t->user);
    transfer_finish(t, RELAY_TIMED_OUT, NULL);
}
