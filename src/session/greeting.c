/*
 * greeting: when is a client greeted, and is it?
 *
 * Mail servers wait for the greeting, as RFC 5321 4.3.1 bids them; much of what sends spam does not. So a client
 * that nothing is known about waits `greeting_delay`, and one that talks meanwhile is an early talker, which is a fact
 * for the policy and by itself no refusal. With `refuse at connect` layer connection is decided in the same time.
 *
 *    admit ─▶ greeting_start ─▶ PHASE_GREETING ─ the delay is over, and the judgement if there is one ─▶ greet
 *                                    │ talks: greeting_hurry (no delay any more, judged anew) ─────────▶ greet
 *                                    └ layer connection refuses, which needs no delay ─────────────────▶ turn_away
 *
 * Who waits: everyone but clients that had a recipient accepted within `client_memory` (history.h), our own
 * (relay_clients), those that layer connection accepts by what wire and tables say of them, and balancers, which are
 * no clients. A client that a balancer introduces (XCLIENT) has waited for the balancer's greeting, not for ours.
 *
 * What waits is a session like any other that is idle: no buffer, no facts (unless `refuse at connect` asks for
 * some). Its timer is the delay's. It waits because we want it to, so at the connection limit it does not give way,
 * unless its network has other newcomers (clients.h): else whoever connects often enough would let no stranger wait for
 * its greeting to the end. An early talker is greeted at once: it has told what it could tell, and need not be kept.
 *
 * The judgement takes a client that has not talked yet for one that does not. If it talks before the greeting after
 * all, the layer is decided again; what DNS said meanwhile is remembered.
 *
 * Rejected: half a greeting ("220-") to lure early talkers (real servers do that to wait longer; some clients take it
 * for the whole); a delay for everyone (mail servers with much mail for us pay for what we know of them already).
 */
#include "session/state.h"

/* ---- who may come in */

/* The administrator's own, which no stranger's network may shut out. */
static bool is_relay_client(const struct session *s) {
    const struct conf_cidrs *ours = &s->server->conf->set.relay_clients;
    return cidr_list_contains(ours->at, ours->n, &s->origin.client.ip);
}

/* Of this worker's connections one network may hold its share, and always one. With 100 percent there are no shares. */
static bool is_network_full(const struct session *s) {
    uint64_t percent = s->server->conf->set.limits.connections_network;
    uint64_t share = s->server->max_sessions * percent / 100;
    return percent < 100 && clients_of_network(&s->place) > (share > 0 ? share : 1);
}

static bool turn_down(struct session *s, _Atomic uint64_t *counter, const char *text, const char *logged) {
    ++*counter;
    say_no(s, 421, "4.7.0", text);
    log_connection(s, logged);
    return false;
}

bool admit(struct session *s) {
    struct server *server = s->server;
    bool is_ours = is_balancer(s) || is_relay_client(s);
    if (clients_enter(&server->clients, &s->origin.client.ip, is_ours, &s->place) < 0) {
        say_no(s, 421, "4.3.0", "Out of memory, try again later");
        return false;
    }
    if (is_balancer(s))
        return true;
    count_event(s, RATE_CONNECTIONS);
    if (s->place.client->connections > server->conf->set.limits.connections_client)
        return turn_down(s, &server->counters->too_many, "Too many connections from your address",
                         "too many connections");
    if (is_network_full(s))
        return turn_down(s, &server->counters->too_many_network, "Too many connections from your network",
                         "too many connections from its network");
    return true;
}

/* ---- who must wait */

static bool is_remembered(const struct session *s) {
    const struct server *server = s->server;
    return server->history != NULL
        && history_knows(server->history, s->place.client->node.key, server->conf->set.client_memory,
                         loop_now(server->loop));
}

void greeting_remember(struct session *s) {
    if (s->server->history != NULL && !s->is_early)
        history_note(s->server->history, s->place.client->node.key, loop_now(s->server->loop));
}

static bool judges_clients(const struct session *s) {
    return s->server->conf->set.refuse == CONF_REFUSE_AT_CONNECT && !is_balancer(s);
}

static bool must_wait(struct session *s) {
    const struct conf_settings *set = &s->server->conf->set;
    if (set->greeting_delay == 0 || s->is_early || is_balancer(s) || is_remembered(s) || is_relay_client(s))
        return false;
    return judges_clients(s) || !judge_accepts(s); /* where it is judged, the verdict says the same */
}

/* ---- waiting */

static void go_on(struct session *s) {
    if (s->gather != NULL || timer_is_set(&s->deadline))
        return;
    stream_resume(&s->stream);
    greet(s);
}

static void on_delay_over(struct timer *timer) {
    go_on((struct session *)((char *)timer - offsetof(struct session, deadline)));
}

void on_client_judged(struct session *s, const struct verdict *verdict) {
    if (verdict->action == ACTION_PASS && verdict->rule.len == 0) {
        go_on(s);
        return;
    }
    timer_cancel(s->server->loop, &s->deadline);
    if (verdict->action == ACTION_PASS) {
        go_on(s);
    } else {
        stream_resume(&s->stream);
        turn_away(s, verdict);
    }
}

static void judge(struct session *s) {
    struct verdict verdict;
    char words[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_IN(words);
    if (judge_client(s, &text, &verdict))
        on_client_judged(s, &verdict);
}

/* Whatever it says is left to the kernel until we have made up our mind: it has shown already what it is. */
static void judge_unheard(struct session *s) {
    stream_pause(&s->stream);
    judge(s);
}

void greeting_start(struct session *s, bool may_wait) {
    struct loop *loop = s->server->loop;
    s->phase = PHASE_GREETING;
    clients_touch(&s->server->clients, &s->place);
    timer_cancel(loop, &s->deadline);
    if (may_wait && must_wait(s)) {
        clients_spare(&s->server->clients, &s->place);
        timer_set(loop, &s->deadline, loop_now(loop) + s->server->conf->set.greeting_delay, on_delay_over);
    }
    if (!judges_clients(s))
        go_on(s);
    else if (may_wait && !s->is_early)
        judge(s);
    else
        judge_unheard(s);
}

void greeting_hurry(struct session *s) {
    timer_cancel(s->server->loop, &s->deadline);
    if (judges_clients(s))
        judge_unheard(s);
    else
        go_on(s);
}
