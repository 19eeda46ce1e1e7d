/*
 * lifetime: whose turn it is, how long it may take, and how a session ends.
 *
 * A session is in one of two conditions: the client's turn (reading, its deadline running, silent in clients.h) or ours
 * (ask(): reading paused, bounded by the time-outs of relay.h). Its one timer is moved at each whole command,
 * never at single bytes, so that a client cannot buy time by dripping. Message text buys as much as data_rate allows,
 * up to the time-out, and the whole of a message has data_time (as Postfix's smtpd_min_data_rate). A client that does
 * not read our replies buys none. Either way it may have to give way to a newcomer, but not while a mailbox server has
 * its final dot (on_final_dot() in delivery.c).
 *
 * It ends in one of two ways: end() closes now; linger() is for the cases in which the client may still be sending
 * when we have said our last word, which a reset would take from it: what comes is dropped for at most LINGER_MS.
 */
#include "session/state.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    LINGER_MS = 5000,      /* how long a client may take to read our last word */
    STRESSED_PERCENT = 80, /* of the connection limit: time-outs get short */
};

/* ---- whose turn it is */

static bool is_stressed(const struct server *server) {
    return server->n_sessions * 100 >= server->max_sessions * STRESSED_PERCENT;
}

static void on_deadline(struct timer *timer);

/* Time for the whole text of a message is not prolonged, nor is any for a client that does not read our replies. */
static void set_deadline(struct session *s, uint64_t until) {
    const struct transaction *t = s->transaction;
    if (t != NULL && t->data_until_ms > 0 && until > t->data_until_ms)
        until = t->data_until_ms;
    if (stream_is_blocked(&s->stream) && timer_is_set(&s->deadline) && until > s->deadline.at_ms)
        return;
    timer_set(s->server->loop, &s->deadline, until, on_deadline);
}

/* Gives the client its time for the next command or block of data. */
void arm(struct session *s) {
    const struct conf_settings *set = &s->server->conf->set;
    bool is_stress = is_stressed(s->server);
    uint64_t ms = is_stress ? set->timeouts.command_stressed : set->timeouts.command;
    if (s->phase == PHASE_DATA || s->phase == PHASE_CHUNK)
        ms = is_stress ? set->timeouts.data_stressed : set->timeouts.data;
    else if (s->phase == PHASE_PROXY)
        ms = set->timeouts.proxy_header;
    else if (s->phase == PHASE_TLS)
        ms = set->timeouts.tls_handshake;
    else if (s->phase == PHASE_LINGER || s->is_refused)
        ms = LINGER_MS;
    set_deadline(s, loop_now(s->server->loop) + ms);
}

uint64_t arm_for_data(struct session *s, uint64_t bytes) {
    const struct conf_settings *set = &s->server->conf->set;
    uint64_t now = loop_now(s->server->loop), rate = set->limits.data_rate;
    uint64_t full_ms = is_stressed(s->server) ? set->timeouts.data_stressed : set->timeouts.data;
    uint64_t bought_ms = bytes * 1000 / rate;
    uint64_t until = (s->deadline.at_ms > now ? s->deadline.at_ms : now) + bought_ms;
    set_deadline(s, until < now + full_ms ? until : now + full_ms);
    return bought_ms == 0 ? 0 : bought_ms * rate / 1000;
}

/* The client waits for us; answered() takes the story up again. */
void ask(struct session *s, const char *what) {
    s->waiting_for = what;
    stream_pause(&s->stream);
    clients_excuse(&s->server->clients, &s->place);
}

void answered(struct session *s) {
    s->waiting_for = NULL;
    clients_touch(&s->server->clients, &s->place);
    arm(s);
    stream_resume(&s->stream);
}

/* ---- ending */

void end_transaction(struct session *s) {
    judge_cancel(s);
    keeping_leave(s);
    transaction_free(s->transaction);
    s->transaction = NULL;
}

/* Replaces a name that the session owns; an empty one owns nothing. Returns 0 or -ENOMEM (then the old one stands). */
int remember(struct str *name, struct str value) {
    char *copy = NULL;
    if (value.len > 0 && (copy = malloc(value.len)) == NULL)
        return -ENOMEM;
    free((char *)name->at);
    if (value.len > 0)
        memcpy(copy, value.at, value.len);
    *name = (struct str){ copy, value.len };
    return 0;
}

/* Ends the session. Its memory goes at the end of the turn, so callers may still look at it. */
void end(struct session *s) {
    struct server *server = s->server;
    if (s->phase == PHASE_OVER)
        return;
    s->phase = PHASE_OVER;
    end_transaction(s);
    timer_cancel(server->loop, &s->deadline);
    clients_leave(&server->clients, &s->place);
    *s->prev = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    stream_close(&s->stream);
    remember(&s->helo, (struct str){ 0 });
    remember(&s->client_name, (struct str){ 0 });
    free(s->memory);
    loop_free_later(server->loop, s);
    server->counters->sessions_now = --server->n_sessions;
    if (server->n_sessions == 0 && server->on_empty != NULL)
        server->on_empty(server->arg);
}

/* After our last word: lets the client read it before the connection goes. What it still sends is dropped. */
void linger(struct session *s) {
    end_transaction(s);
    stream_flush(&s->stream);
    if (!stream_is_tls(&s->stream) && stream_pending(&s->stream) == 0)
        shutdown(s->stream.watch.fd, SHUT_WR);
    s->phase = PHASE_LINGER;
    s->waiting_for = NULL;
    stream_resume(&s->stream); /* what still comes is dropped, not left to be reset over */
    arm(s);
}

/* ---- mistakes */

void hang_up(struct session *s, const char *enhanced, const char *text, const char *logged) {
    say_no(s, 421, enhanced, text);
    log_connection(s, logged);
    linger(s);
}

/* A refusal that the client earned by a mistake; too many end the session. */
void mistake(struct session *s, unsigned code, const char *enhanced, const char *text) {
    if (++s->n_errors > s->server->conf->set.limits.errors)
        hang_up(s, "4.7.0", "Too many errors", "too many errors");
    else
        say_no(s, code, enhanced, text);
}

/* Commands that bring no mail nearer; too many end the session. */
bool is_junk_enough(struct session *s) {
    if (++s->n_junk <= s->server->conf->set.limits.junk_commands)
        return false;
    hang_up(s, "4.7.0", "Too many commands without a message", "too many junk commands");
    return true;
}

/* RFC 2920 3.1: some commands must be the last of a group, and clients that said HELO may not pipeline at all. */
bool is_ahead_of_time(struct session *s) {
    if (!s->has_more)
        return false;
    say_no(s, 554, "5.5.0", "Commands were sent ahead of their time");
    log_connection(s, "improper pipelining");
    linger(s);
    return true;
}

static void run_out_of_time(struct session *s) {
    const struct transaction *t = s->transaction;
    bool is_message = t != NULL && t->data_until_ms > 0;
    s->server->counters->slow_data += is_message;
    if (is_message && loop_now(s->server->loop) >= t->data_until_ms)
        hang_up(s, "4.4.2", "The message takes too long, closing the connection", "message took too long");
    else
        hang_up(s, "4.4.2", "Time-out, closing the connection", "timeout");
}

static void on_deadline(struct timer *timer) {
    struct session *s = (struct session *)((char *)timer - offsetof(struct session, deadline));
    if (s->waiting_for != NULL) { /* ours to bound, see relay.h */
        arm(s);
    } else if (s->phase == PHASE_LINGER || s->phase == PHASE_TLS || s->phase == PHASE_PROXY || s->is_refused) {
        if (s->phase == PHASE_TLS || s->phase == PHASE_PROXY)
            log_connection(s, s->phase == PHASE_TLS ? "TLS handshake timeout" : "PROXY header timeout");
        end(s);
    } else {
        run_out_of_time(s);
    }
}

/* ---- what the worker tells */

static void end_with_421(struct session *s, const char *enhanced, const char *text, const char *logged) {
    if (s->phase != PHASE_PROXY && s->phase != PHASE_TLS && s->phase != PHASE_LINGER)
        say_no(s, 421, enhanced, text);
    log_connection(s, logged);
    end(s);
}

bool server_evict_one(struct server *server) {
    struct client_place *victim = clients_victim(&server->clients);
    if (victim == NULL)
        return false;
    struct session *s = (struct session *)((char *)victim - offsetof(struct session, place));
    server->counters->evicted++;
    if (victim->condition == CLIENTS_SILENT) {
        end_with_421(s, "4.4.2", "Silent for too long on a busy host", "gave way at the connection limit");
    } else {
        server->counters->evicted_waiting++;
        end_with_421(s, "4.3.2", "Too busy, and your network has the most connections; try again later",
                     "gave way at the connection limit while it waited for us");
    }
    return true;
}

void server_shut_down(struct server *server) {
    server->is_shutting_down = true;
    struct session *next;
    for (struct session *s = server->sessions; s != NULL; s = next) {
        next = s->next;
        if (s->transaction == NULL)
            end_with_421(s, "4.3.2", "Shutting down, try again later", "closed while shutting down");
    }
}

void server_end_all(struct server *server) {
    while (server->sessions != NULL)
        end_with_421(server->sessions, "4.3.2", "Shutting down, try again later", "closed at the end of draining");
}
