/*
 * scanner_servers: which server looks at a message, and who is to blame when that comes to nothing?
 *
 * A server is tried in the order of the configuration. One that cannot be connected to is DOWN at once, and the
 * message goes to the next; until a trial of our own has succeeded, after pauses that double from 1 s to 60 s, no
 * message is sent there.
 *
 * An attempt that had begun and came to nothing (no answer in time, an error, nonsense, a connection that was cut) has
 * two possible causes. So the server gets a trial, and while it lasts, seconds at most, nothing new. If it works, the
 * message was to blame: it is skipped, and the server goes on with the others. If not, the server is DOWN. A message is
 * tried at two servers at most, so that one that kills scanners does not kill them all. A server that passes its
 * trials but fails on FAILED_MAX messages in a row, with none answered in between, is DOWN all the same.
 *
 * Where a kept connection turns out to be dead the message goes on a new one, and nobody is to blame.
 *
 * Rejected: opening the breaker after a number of failures alone (whoever sends one bad message often enough would
 * shut the scanner for everybody); trying again with the next client's message (one message in each pause would wait
 * for a dead server); giving a message to the second server because the first is busy (session/pool.c says why).
 */
#include "facts/scanner_servers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PAUSE_MIN_MS = 1000,
    PAUSE_MAX_MS = 60000,
    TRIAL_MS = 5000,
    IDLE_MS = 30000,
    ATTEMPTS_MAX = 2, /* servers that one message may fail at */
    FAILED_MAX = 5,
};

static const struct scanner_conn_ops link_ops, trial_ops;

static void serve(struct scanner_server *server);
static void move_on(struct scanner_call *call);
static void on_pause_end(struct timer *timer);
static void on_trial_time(struct timer *timer);
static void on_call_time(struct timer *timer);

static struct scanner_link *link_of(struct scanner_conn *conn) {
    return (struct scanner_link *)((char *)conn - offsetof(struct scanner_link, conn));
}

static struct loop *loop_of(const struct scanner_server *server) {
    return server->servers->loop;
}

static uint32_t bit_of(const struct scanner_server *server) {
    return UINT32_C(1) << (server - server->servers->at);
}

/* ---- the end of a call */

/* Printable ASCII into `out`, cut where it is full. */
static void clean(struct str from, char *out, size_t size) {
    size_t n = from.len < size - 1 ? from.len : size - 1;

    for (size_t i = 0; i < n; i++)
        out[i] = from.at[i] >= 0x20 && from.at[i] < 0x7f ? from.at[i] : '?';
    out[n] = '\0';
}

static void leave(struct scanner_call *call) {
    if (call->state == SCANNER_CALL_IN_LINE)
        TAILQ_REMOVE(&call->server->line, call, entry);
    else if (call->state == SCANNER_CALL_IN_DOUBT)
        TAILQ_REMOVE(&call->server->in_doubt, call, entry);
    call->state = SCANNER_CALL_IDLE;
    timer_cancel(call->servers->loop, &call->timer);
}

static void on_end_task(struct task *task) {
    struct scanner_call *call = (struct scanner_call *)((char *)task - offsetof(struct scanner_call, task));

    call->state = SCANNER_CALL_IDLE;
    call->on_end(call);
}

static void end(struct scanner_call *call, enum scanner_outcome outcome) {
    leave(call);
    call->result.outcome = outcome;
    call->state = SCANNER_CALL_ENDING;
    task_start(call->servers->loop, &call->task, on_end_task);
}

static void end_with(struct scanner_call *call, enum scanner_outcome outcome, const char *why) {
    call->result.why = why;
    if (call->result.detail[0] == '\0')
        clean(str_of(why), call->result.detail, sizeof(call->result.detail));
    end(call, outcome);
}

static void remember(struct scanner_call *call, const struct scanner_server *server, struct str why) {
    char text[2 * SCANNER_WHY_MAX];
    int len = snprintf(text, sizeof(text), "%s: %.*s", server->conf->text, STR_ARG(why));

    if (len > 0)
        clean(str_of(text), call->result.detail, sizeof(call->result.detail));
}

/* ---- connections */

static struct scanner_link *link_open(struct scanner_server *server, const struct scanner_conn_ops *ops, int *ret_err) {
    struct scanner_link *link = calloc(1, sizeof(*link));

    *ret_err = ENOMEM;
    if (!link)
        return NULL;
    link->server = server;
    int r = scanner_conn_open(&link->conn, loop_of(server), server->conf, server->servers->protocol, ops);
    if (r == 0)
        return link;
    *ret_err = -r;
    free(link);
    return NULL;
}

static void link_free(struct scanner_link *link) {
    timer_cancel(loop_of(link->server), &link->idle_timer);
    scanner_conn_close(&link->conn);
    loop_free_later(loop_of(link->server), link);
}

static void idle_remove(struct scanner_link *link) {
    TAILQ_REMOVE(&link->server->idle, link, entry);
    link->server->n_idle--;
    timer_cancel(loop_of(link->server), &link->idle_timer);
}

static void busy_remove(struct scanner_link *link) {
    TAILQ_REMOVE(&link->server->busy, link, entry);
    link->server->n_busy--;
    if (link->call)
        link->call->link = NULL;
    link->call = NULL;
}

static void on_idle_time(struct timer *timer) {
    struct scanner_link *link = (struct scanner_link *)((char *)timer - offsetof(struct scanner_link, idle_timer));

    idle_remove(link);
    link_free(link);
}

/* The call has its answer: the link is kept, if it can be. */
static void give_back(struct scanner_link *link) {
    struct scanner_server *server = link->server;

    busy_remove(link);
    if (!scanner_conn_is_reusable(&link->conn) ||
        timer_set(loop_of(server), &link->idle_timer, loop_now(loop_of(server)) + IDLE_MS, on_idle_time) < 0) {
        link_free(link);
        return;
    }
    TAILQ_INSERT_HEAD(&server->idle, link, entry);
    server->n_idle++;
}

static void drop_idle(struct scanner_server *server) {
    struct scanner_link *link;

    while ((link = TAILQ_FIRST(&server->idle))) {
        idle_remove(link);
        link_free(link);
    }
}

/* ---- health */

static void tell(struct scanner_server *server, struct str what) {
    server->servers->on_server(server->servers, server->conf, what);
}

/* Those who wait here go to the next server, or hear that there is none. */
static void go_down(struct scanner_server *server, struct str why) {
    struct loop *loop = loop_of(server);
    uint64_t pause = server->n_downs < 6 ? (uint64_t)PAUSE_MIN_MS << server->n_downs : PAUSE_MAX_MS;
    struct scanner_call *call;
    char what[SCANNER_WHY_MAX + 16];

    server->n_downs++;
    server->health = SCANNER_DOWN;
    (void)timer_set(loop, &server->timer, loop_now(loop) + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS), on_pause_end);
    drop_idle(server);
    if (!server->is_down) {
        int len = snprintf(what, sizeof(what), "down: %.*s", STR_ARG(why));
        server->is_down = true;
        tell(server, (struct str){ what, (size_t)len < sizeof(what) ? (size_t)len : sizeof(what) - 1 });
    }
    while ((call = TAILQ_FIRST(&server->in_doubt)))
        end_with(call, SCANNER_CALL_UNAVAILABLE, "no scanner works");
    while ((call = TAILQ_FIRST(&server->line))) {
        leave(call);
        call->tried |= bit_of(server);
        remember(call, server, why);
        move_on(call);
    }
}

static void trial_free(struct scanner_server *server) {
    if (server->trial)
        link_free(server->trial);
    server->trial = NULL;
    timer_cancel(loop_of(server), &server->timer);
}

static void start_trial(struct scanner_server *server) {
    struct loop *loop = loop_of(server);
    int err;

    server->health = SCANNER_ON_TRIAL;
    server->trial = link_open(server, &trial_ops, &err);
    if (server->trial && timer_set(loop, &server->timer, loop_now(loop) + TRIAL_MS, on_trial_time) < 0) {
        err = ENOMEM;
        trial_free(server);
    }
    if (server->trial)
        scanner_conn_ask(&server->trial->conn, NULL);
    else
        go_down(server, str_of(strerror(err)));
}

static void trial_passed(struct scanner_server *server) {
    struct scanner_call *call;
    char why[SCANNER_WHY_MAX];

    trial_free(server);
    if (server->n_failed >= FAILED_MAX) {
        int len = snprintf(why, sizeof(why), "%u messages in a row came to nothing", server->n_failed);
        server->n_failed = FAILED_MAX - 1; /* after the pause one may show that it works again */
        go_down(server, (struct str){ why, (size_t)len });
        return;
    }
    server->health = SCANNER_UP;
    if (server->is_down)
        tell(server, STR("up again"));
    server->is_down = false;
    while ((call = TAILQ_FIRST(&server->in_doubt)))
        end_with(call, SCANNER_CALL_SKIPPED, "the scanner fails on it");
    serve(server);
}

static void trial_failed(struct scanner_server *server, struct str why) {
    trial_free(server);
    go_down(server, why);
}

static void on_pause_end(struct timer *timer) {
    start_trial((struct scanner_server *)((char *)timer - offsetof(struct scanner_server, timer)));
}

static void on_trial_time(struct timer *timer) {
    trial_failed((struct scanner_server *)((char *)timer - offsetof(struct scanner_server, timer)),
                 STR("does not answer"));
}

static void on_trial_answer(struct scanner_conn *conn, enum scanner_answer answer, const struct scanner_reply *reply) {
    struct scanner_server *server = link_of(conn)->server;

    if (answer == SCANNER_WELL || (answer == SCANNER_VERDICT && !reply->is_found))
        trial_passed(server);
    else
        trial_failed(server, answer == SCANNER_VERDICT ? STR("finds something in a text that is clean")
                                                       : reply->text);
}

static void on_trial_end(struct scanner_conn *conn, struct str why) {
    trial_failed(link_of(conn)->server, why);
}

static const struct scanner_conn_ops trial_ops = { .on_answer = on_trial_answer, .on_end = on_trial_end };

/* ---- the line */

/* A server on its first trial after something failed will do, if there is no better. */
static struct scanner_server *choose(const struct scanner_call *call) {
    struct scanner_server *second = NULL;

    for (size_t i = 0; i < call->servers->conf->n_servers; i++) {
        struct scanner_server *server = &call->servers->at[i];

        if (call->tried & bit_of(server) || server->is_down)
            continue;
        if (server->health == SCANNER_UP)
            return server;
        if (!second)
            second = server;
    }
    return second;
}

static uint64_t time_limit(const struct scanner_call *call) {
    uint64_t limit = loop_now(call->servers->loop) + call->servers->conf->timeout;

    return limit < call->deadline_ms ? limit : call->deadline_ms;
}

static void join(struct scanner_call *call, struct scanner_server *server) {
    call->server = server;
    call->state = SCANNER_CALL_IN_LINE;
    TAILQ_INSERT_TAIL(&server->line, call, entry);
    if (timer_set(call->servers->loop, &call->timer, time_limit(call), on_call_time) < 0)
        end_with(call, SCANNER_CALL_UNAVAILABLE, "no memory");
    else
        serve(server);
}

static void move_on(struct scanner_call *call) {
    struct scanner_server *server = call->failures < ATTEMPTS_MAX ? choose(call) : NULL;

    if (server)
        join(call, server);
    else
        end_with(call, SCANNER_CALL_UNAVAILABLE, "no scanner works");
}

static void grant(struct scanner_link *link, struct scanner_call *call) {
    struct scanner_server *server = link->server;

    TAILQ_REMOVE(&server->line, call, entry);
    call->state = SCANNER_CALL_ASKED;
    call->link = link;
    link->call = call;
    TAILQ_INSERT_TAIL(&server->busy, link, entry);
    server->n_busy++;
    (void)timer_set(loop_of(server), &call->timer, time_limit(call), on_call_time); /* it moves: no memory needed */
    scanner_conn_ask(&link->conn, &call->question);
}

/* Gives out what connections there are, and may be. */
static void serve(struct scanner_server *server) {
    struct scanner_call *call;
    struct scanner_link *link;
    int err;

    if (server->is_serving)
        return;
    server->is_serving = true;
    while (server->health == SCANNER_UP && (call = TAILQ_FIRST(&server->line))) {
        if ((link = TAILQ_FIRST(&server->idle))) {
            idle_remove(link);
            grant(link, call);
        } else if (server->n_busy >= server->servers->max) {
            break;
        } else if ((link = link_open(server, &link_ops, &err))) {
            grant(link, call);
        } else {
            go_down(server, str_of(strerror(err)));
        }
    }
    server->is_serving = false;
}

/* ---- what comes of asking */

/* It had begun and came to nothing. The link is gone. */
static void attempt_failed(struct scanner_call *call, struct str why) {
    struct scanner_server *server = call->server;
    struct scanner_server *next;

    remember(call, server, why);
    call->tried |= bit_of(server);
    call->failures++;
    server->failed++;
    server->n_failed++;
    leave(call);
    next = call->failures < ATTEMPTS_MAX ? choose(call) : NULL;
    if (loop_now(call->servers->loop) >= call->deadline_ms) {
        end_with(call, SCANNER_CALL_UNAVAILABLE, "no answer in time");
    } else if (next) {
        join(call, next);
    } else if (server->is_down) {
        end_with(call, SCANNER_CALL_UNAVAILABLE, "no scanner works");
    } else { /* the trial's end is this call's, so it needs no time limit of its own but the deadline */
        call->state = SCANNER_CALL_IN_DOUBT;
        TAILQ_INSERT_TAIL(&server->in_doubt, call, entry);
        if (timer_set(call->servers->loop, &call->timer, call->deadline_ms, on_call_time) < 0)
            end_with(call, SCANNER_CALL_UNAVAILABLE, "no memory");
    }
    if (server->health == SCANNER_UP)
        start_trial(server);
}

static void on_call_time(struct timer *timer) {
    struct scanner_call *call = (struct scanner_call *)((char *)timer - offsetof(struct scanner_call, timer));
    struct scanner_link *link = call->link;
    struct scanner_server *server = call->server;

    if (call->state == SCANNER_CALL_ASKED) {
        busy_remove(link);
        link_free(link);
        attempt_failed(call, STR("no answer in time"));
        serve(server);
    } else {
        end_with(call, SCANNER_CALL_UNAVAILABLE, call->state == SCANNER_CALL_IN_LINE ? "the scanner is busy"
                                                                                    : "no answer in time");
    }
}

/* Names that stand between commas, as many whole ones as fit. */
static void keep_text(struct scanner_result *result, struct str text, size_t max) {
    size_t n = 0;

    assert(max <= SCANNER_TEXT_MAX);
    if (text.len > max) {
        size_t comma = str_find_last(str_head(text, max + 1), ',');
        text = str_head(text, comma <= max ? comma : max);
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];

        if (c > 0x20 && c < 0x7f)
            result->text[n++] = c;
        else if (c != '\r' && c != '\n' && c != ' ' && c != '\t')
            result->text[n++] = '?';
    }
    result->text[n] = '\0';
}

static void on_verdict(struct scanner_call *call, const struct scanner_reply *reply) {
    struct scanner_server *server = call->server;

    server->scanned++;
    server->n_failed = 0;
    server->n_downs = 0;
    call->result.score = reply->score;
    call->result.threshold = reply->threshold;
    call->result.is_found = reply->is_found;
    keep_text(&call->result, reply->text, server->servers->protocol->text_max);
    end(call, SCANNER_CALL_DONE);
}

static void on_link_answer(struct scanner_conn *conn, enum scanner_answer answer, const struct scanner_reply *reply) {
    struct scanner_link *link = link_of(conn);
    struct scanner_server *server = link->server;
    struct scanner_call *call = link->call;

    give_back(link); /* what `reply` shows is there until this returns */
    if (answer == SCANNER_VERDICT) {
        on_verdict(call, reply);
    } else if (answer == SCANNER_TOO_LARGE) {
        remember(call, server, reply->text);
        end_with(call, SCANNER_CALL_SKIPPED, "larger than the scanner takes");
    } else {
        char text[SCANNER_WHY_MAX];
        int len = snprintf(text, sizeof(text), "says: %.*s", STR_ARG(reply->text));
        attempt_failed(call, (struct str){ text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1 });
    }
    serve(server);
}

/* Nothing of this message has been there, so nothing speaks against it. */
static void not_reached(struct scanner_call *call, struct scanner_server *server, struct str why) {
    leave(call);
    call->tried |= bit_of(server);
    remember(call, server, why);
    if (server->health == SCANNER_UP)
        go_down(server, why);
    move_on(call);
}

/* The scanner is not to blame, nor the message: again, on a connection that is new. */
static void ask_again(struct scanner_call *call, struct scanner_server *server) {
    drop_idle(server);
    call->state = SCANNER_CALL_IN_LINE;
    TAILQ_INSERT_HEAD(&server->line, call, entry);
}

static void on_link_end(struct scanner_conn *conn, struct str why) {
    struct scanner_link *link = link_of(conn);
    struct scanner_server *server = link->server;
    struct scanner_call *call = link->call;

    if (!call) { /* an idle one was closed by the scanner, as it may */
        idle_remove(link);
        link_free(link);
        return;
    }
    busy_remove(link);
    link_free(link);
    bool was_stale = scanner_conn_was_stale(conn);
    if (was_stale && !server->is_down)
        ask_again(call, server);
    else if (was_stale || !conn->is_connected)
        not_reached(call, server, why);
    else
        attempt_failed(call, why);
    serve(server);
}

static const struct scanner_conn_ops link_ops = { .on_answer = on_link_answer, .on_end = on_link_end };

/* ---- what the owner calls */

void scanner_call_start(struct scanner_call *call, struct scanner_servers *servers) {
    assert(call->state == SCANNER_CALL_IDLE);
    call->servers = servers;
    call->tried = 0;
    call->failures = 0;
    call->result = (struct scanner_result){ 0 };
    if (call->question.size > servers->conf->size_max)
        end_with(call, SCANNER_CALL_SKIPPED, "larger than is scanned");
    else
        move_on(call);
}

void scanner_call_cancel(struct scanner_call *call) {
    struct scanner_server *server = call->server;

    if (call->state == SCANNER_CALL_IDLE)
        return;
    if (call->state == SCANNER_CALL_ENDING)
        task_cancel(call->servers->loop, &call->task);
    bool was_asked = call->state == SCANNER_CALL_ASKED;
    struct scanner_link *link = call->link;
    leave(call);
    if (!was_asked)
        return;
    busy_remove(link);
    link_free(link);
    serve(server);
}

int scanner_servers_init(struct scanner_servers *servers, struct loop *loop, const struct conf_scanner *conf,
                         const struct scanner_protocol *protocol, unsigned max,
                         void (*on_server)(struct scanner_servers *servers, const struct conf_scanner_server *server,
                                           struct str what)) {
    *servers = (struct scanner_servers){ .loop = loop, .conf = conf, .protocol = protocol, .max = max,
                                         .on_server = on_server };
    servers->at = calloc(conf->n_servers, sizeof(*servers->at));
    if (!servers->at)
        return -ENOMEM;
    for (size_t i = 0; i < conf->n_servers; i++) {
        struct scanner_server *server = &servers->at[i];

        server->servers = servers;
        server->conf = &conf->servers[i];
        TAILQ_INIT(&server->idle);
        TAILQ_INIT(&server->busy);
        TAILQ_INIT(&server->line);
        TAILQ_INIT(&server->in_doubt);
        start_trial(server);
    }
    return 0;
}

void scanner_servers_deinit(struct scanner_servers *servers) {
    if (!servers->at)
        return;
    for (size_t i = 0; i < servers->conf->n_servers; i++) {
        struct scanner_server *server = &servers->at[i];

        assert(TAILQ_EMPTY(&server->busy) && TAILQ_EMPTY(&server->line) && TAILQ_EMPTY(&server->in_doubt));
        trial_free(server);
        drop_idle(server);
    }
    free(servers->at);
    servers->at = NULL;
}
