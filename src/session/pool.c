/*
 * pool: which connection to a mailbox server does a transfer get, and when?
 *
 * A connection is in one of four lists of its server: OPENING ─▶ IDLE ⇄ BUSY ⇄ LENT. Nobody waits for one particular
 * connection: who needs one stands in the server's line, and serve() gives out whatever comes free: an idle connection,
 * else a new one, else the loan that was lent longest. Deliveries go before recipients, because behind a delivery a
 * client's whole message waits; in each line it is first come, first served. Recipients leave the line after
 * server_wait, so deliveries starve nobody for long.
 *
 * Servers are tried in the order of the configuration. A failed attempt to open a connection opens the breaker: nothing
 * is opened before retry_ms, a pause that doubles from 1 s to 60 s. With other connections alive the server is only
 * LIMITED and the line goes on with these; with none it is DOWN: its line moves on to the next server, and no client is
 * sent to it until a trial connection of our own, made at the end of each pause, has become ready. So no client ever
 * waits for a server that is known to be dead.
 *
 * Rejected: spilling to the second server when the first is busy (fail-over order would become load balancing behind
 * the administrator's back); a trial by the next client (one client in each pause would wait for a dead server's
 * time-out).
 */
#include "session/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* Servers slow down a peer that errs often (Postfix behind 10 errors of a session): for good mail too. */
    REFUSALS_PER_CONNECTION = 8,
};

enum { PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 60000, PLAIN_MS = 10 * 60 * 1000, TROUBLE_MS = 60000 };

static const struct upstream_ops upstream_ops;
static void serve(struct pool_server *server);

static struct pool_conn *conn_of(struct upstream *up) {
    return (struct pool_conn *)((char *)up - offsetof(struct pool_conn, up));
}

uint64_t pool_server_bit(const struct pool_server *server) {
    size_t i = (size_t)(server - server->pool->servers);

    return 1ull << (i < 63 ? i : 63);
}

static unsigned n_conns(const struct pool_server *server) {
    return server->count[POOL_OPENING] + server->count[POOL_IDLE] + server->count[POOL_LENT] + server->count[POOL_BUSY];
}

static unsigned n_alive(const struct pool_server *server) {
    return n_conns(server) - server->count[POOL_OPENING];
}

static void conn_move(struct pool_conn *conn, enum pool_conn_state state) {
    struct pool_server *server = conn->server;

    TAILQ_REMOVE(&server->conns[conn->state], conn, link);
    server->count[conn->state]--;
    conn->state = state;
    TAILQ_INSERT_TAIL(&server->conns[state], conn, link);
    server->count[state]++;
}

/* ---- health */

static void tell(struct pool_server *server, struct str what) {
    server->pool->ops->on_server(server->pool->arg, server->pool->group, server->conf, what);
}

static void say_health(struct pool_server *server, enum pool_health health, struct str why) {
    char what[UPSTREAM_WHY_MAX + 64];
    static const char *const names[] = {
        [POOL_UP] = "up again", [POOL_LIMITED] = "takes no more connections", [POOL_DOWN] = "down",
    };

    if (server->health == health)
        return;
    server->health = health;
    int len = snprintf(what, sizeof(what), "%s%s%.*s", names[health], why.len ? ": " : "", STR_ARG(why));
    tell(server, (struct str){ what, (size_t)len });
}

/* `tls may` does not fail, so somebody must be told that it does not encrypt: once, until it does again. */
static void say_plain(struct pool_server *server, bool is_plain, struct str why) {
    char what[UPSTREAM_WHY_MAX + 32];

    if (server->is_plain == is_plain)
        return;
    server->is_plain = is_plain;
    int len = snprintf(what, sizeof(what), is_plain ? "goes on without TLS: %.*s" : "uses TLS again%.*s", STR_ARG(why));
    tell(server, (struct str){ what, (size_t)len });
}

/* Those who wait go to the next server, or hear that there is none. */
static void move_line_on(struct pool_server *server) {
    struct pool_user *user;

    for (int i = 1; i >= 0; i--)
        while ((user = TAILQ_FIRST(&server->lines[i]))) {
            pool_leave(user);
            user->tried |= pool_server_bit(server);
            pool_want(user);
        }
}

static void on_trial(struct timer *timer);

static void server_failed(struct pool_server *server, struct str why) {
    struct loop *loop = server->pool->loop;
    uint64_t now = loop_now(loop);

    if (now >= server->retry_ms) { /* several that fail together are one failure */
        uint64_t pause = server->failures < 6 ? (uint64_t)PAUSE_MIN_MS << server->failures : PAUSE_MAX_MS;

        server->failures++;
        server->retry_ms = now + (pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
        (void)timer_set(loop, &server->trial, server->retry_ms, on_trial);
    }
    say_health(server, n_alive(server) > 0 ? POOL_LIMITED : POOL_DOWN, why);
    if (server->health == POOL_DOWN)
        move_line_on(server);
}

/* ---- opening and closing */

static void conn_free(struct pool_conn *conn, bool say_quit) {
    struct pool_server *server = conn->server;

    if (conn->user)
        conn->user->conn = NULL;
    conn->user = NULL;
    timer_cancel(server->pool->loop, &conn->timer);
    upstream_close(&conn->up, say_quit);
    TAILQ_REMOVE(&server->conns[conn->state], conn, link);
    server->count[conn->state]--;
    loop_free_later(server->pool->loop, conn);
}

/*
 * After a connection has gone: a server that was LIMITED may have lost its last one. Within the pause it is DOWN, and
 * the trial at the pause's end is set already; behind the pause nothing speaks against the next client's opening one.
 */
static void after_gone(struct pool_server *server) {
    bool is_paused = loop_now(server->pool->loop) < server->retry_ms;

    if (server->health == POOL_LIMITED && is_paused && n_alive(server) == 0 && server->count[POOL_OPENING] == 0) {
        say_health(server, POOL_DOWN, STR("no connection left"));
        move_line_on(server);
    }
    serve(server);
}

static bool may_open(const struct pool_server *server) {
    if (n_conns(server) >= server->pool->max || loop_now(server->pool->loop) < server->retry_ms)
        return false;
    return server->failures == 0 || server->count[POOL_OPENING] == 0;
}

/* Returns false when that failed at once; the server has been told. */
static bool open_conn(struct pool_server *server) {
    struct pool_conn *conn = calloc(1, sizeof(*conn));

    if (!conn) {
        server_failed(server, STR("no memory"));
        return false;
    }
    conn->server = server;
    conn->state = POOL_OPENING;
    bool is_plain = server->setup.tls == CONF_TLS_MAY && loop_now(server->pool->loop) < server->plain_until_ms;
    int r = upstream_connect(&conn->up, &server->setup, &upstream_ops, is_plain);
    if (r < 0) {
        free(conn);
        server_failed(server, str_of(strerror(-r)));
        return false;
    }
    TAILQ_INSERT_TAIL(&server->conns[POOL_OPENING], conn, link);
    server->count[POOL_OPENING]++;
    return true;
}

static void on_trial(struct timer *timer) {
    struct pool_server *server = (struct pool_server *)((char *)timer - offsetof(struct pool_server, trial));

    if (server->health == POOL_DOWN && may_open(server))
        (void)open_conn(server);
    else
        serve(server);
}

/* ---- giving out */

static void on_timer(struct timer *timer);

static void grant(struct pool_user *user, struct pool_conn *conn) {
    timer_cancel(user->pool->loop, &conn->timer);
    conn_move(conn, POOL_BUSY);
    conn->user = user;
    user->conn = conn;
    user->pool->ops->on_granted(user);
}

/* The one used last: so that those too many grow old and are closed. */
static struct pool_conn *idle_conn(struct pool_server *server) {
    struct pool_conn *conn;

    TAILQ_FOREACH_REVERSE(conn, &server->conns[POOL_IDLE], pool_conns, link)
        if (upstream_may_write(&conn->up))
            return conn;
    return NULL;
}

static void make_idle(struct pool_conn *conn) {
    struct pool *pool = conn->server->pool;

    if (conn->user)
        conn->user->conn = NULL;
    conn->user = NULL;
    conn_move(conn, POOL_IDLE);
    if (timer_set(pool->loop, &conn->timer, loop_now(pool->loop) + pool->conf->set.timeouts.server_idle, on_timer) < 0)
        conn_free(conn, true); /* nothing would ever close it */
}

/* RFC 9422; or it would take the next client for the one that XCLIENT named. */
static bool is_used_up(const struct pool_conn *conn) {
    const struct upstream *up = &conn->up;

    return (up->mail_max && up->mails >= up->mail_max)
        || (conn->is_introduced && !(up->offer.extensions & SMTP_EXT_XCLIENT))
        || conn->n_refusals >= REFUSALS_PER_CONNECTION;
}

static void take_back(struct pool_conn *conn) {
    if (is_used_up(conn) || conn->up.is_broken) {
        conn_free(conn, true);
        return;
    }
    upstream_reset(&conn->up);
    make_idle(conn);
}

/* Gives out what can be given. Granting may give back at once, so this does not call itself: the loop goes on
 * instead. */
static void serve(struct pool_server *server) {
    struct pool_user *user;
    struct pool_conn *conn;

    if (server->is_serving)
        return;
    server->is_serving = true;
    while ((user = TAILQ_FIRST(&server->lines[1])) || (user = TAILQ_FIRST(&server->lines[0]))) {
        unsigned coming = server->count[POOL_OPENING] + server->count[POOL_IDLE];

        if ((conn = idle_conn(server))) {
            pool_leave(user);
            grant(user, conn);
        } else if (coming >= server->n_waiting) {
            break;
        } else if (may_open(server)) {
            if (!open_conn(server))
                continue; /* the line has moved on, or goes on with what there is */
        } else if ((conn = TAILQ_FIRST(&server->conns[POOL_LENT]))) {
            take_back(conn);
        } else {
            break;
        }
    }
    server->is_serving = false;
}

static void on_timer(struct timer *timer) {
    struct pool_conn *conn = (struct pool_conn *)((char *)timer - offsetof(struct pool_conn, timer));
    struct pool_server *server = conn->server;

    if (conn->state == POOL_LENT)
        take_back(conn);
    else
        conn_free(conn, true);
    after_gone(server);
}

/* ---- what the connections say */

static void on_up_ready(struct upstream *up) {
    struct pool_conn *conn = conn_of(up);
    struct pool_server *server = conn->server;

    server->offer = up->offer;
    server->is_met = true;
    if (up->plain_why)
        say_plain(server, true, str_of(up->plain_why));
    else if (stream_is_tls(&up->stream))
        say_plain(server, false, STR(""));
    if (conn->state == POOL_BUSY) {
        server->pool->ops->on_ready(conn->user);
        return;
    }
    if (conn->state == POOL_OPENING) {
        conn->ready_ms = loop_now(server->pool->loop);
        server->retry_ms = 0;
        timer_cancel(server->pool->loop, &server->trial);
        say_health(server, POOL_UP, STR(""));
        make_idle(conn);
    }
    serve(server);
}

static void on_up_answer(struct upstream *up, const struct smtp_answer *answer) {
    struct pool_conn *conn = conn_of(up);

    assert(conn->state == POOL_BUSY); /* only a user has answers due */
    conn->n_refusals += answer->code >= 400;
    conn->server->pool->ops->on_answer(conn->user, answer);
}

static void on_up_drained(struct upstream *up) {
    struct pool_conn *conn = conn_of(up);

    if (conn->state == POOL_BUSY)
        conn->server->pool->ops->on_drained(conn->user);
}

static void opening_failed(struct pool_server *server, enum upstream_end end, struct str why) {
    if (end == UPSTREAM_TLS_BAD && server->setup.tls == CONF_TLS_MAY) {
        server->plain_until_ms = loop_now(server->pool->loop) + PLAIN_MS;
        say_plain(server, true, why);
        if (server->health == POOL_DOWN)
            (void)open_conn(server); /* it was the trial */
        else
            serve(server);
        return;
    }
    server_failed(server, why);
    serve(server);
}

static void on_up_end(struct upstream *up, enum upstream_end end, struct str why) {
    struct pool_conn *conn = conn_of(up);
    struct pool_server *server = conn->server;
    struct pool_user *user = conn->user;
    enum pool_conn_state state = conn->state;

    conn_free(conn, false);
    if (state == POOL_OPENING) {
        opening_failed(server, end, why);
        return;
    }
    if (state == POOL_BUSY)
        server->pool->ops->on_lost(user, conn, why);
    after_gone(server);
}

static const struct upstream_ops upstream_ops = {
    .on_ready = on_up_ready, .on_answer = on_up_answer, .on_drained = on_up_drained, .on_end = on_up_end,
};

/* ---- what users call */

/* A DOWN server waits for its trial, if only memory for the trial's timer was to be had. */
static bool may_try(const struct pool_server *server) {
    if (server->health != POOL_DOWN)
        return true;
    return !timer_is_set(&server->trial) && may_open(server);
}

static struct pool_server *choose(const struct pool_user *user, uint32_t need) {
    struct pool *pool = user->pool;

    for (size_t i = 0; i < pool->group->n_servers; i++) {
        struct pool_server *server = &pool->servers[i];
        bool has_need = !server->is_met || (server->offer.extensions & need) == need;

        if (may_try(server) && !(user->tried & pool_server_bit(server)) && has_need)
            return server;
    }
    return NULL;
}

void pool_want(struct pool_user *user) {
    struct pool_server *server = choose(user, user->need);

    if (!server)
        server = choose(user, 0);
    if (!server) {
        user->pool->ops->on_nobody(user);
        return;
    }
    user->server = server;
    user->is_waiting = true;
    server->n_waiting++;
    TAILQ_INSERT_TAIL(&server->lines[user->is_delivery], user, link);
    serve(server);
}

void pool_leave(struct pool_user *user) {
    if (!user->is_waiting)
        return;
    user->is_waiting = false;
    user->server->n_waiting--;
    TAILQ_REMOVE(&user->server->lines[user->is_delivery], user, link);
}

bool pool_has_better(const struct pool_user *user, uint32_t need) {
    const struct pool_server *server = choose(user, need);

    return server && server->is_met && server != user->server;
}

bool pool_is_opening_for(const struct pool_user *user) {
    const struct pool_server *server = user->server;
    const struct pool_user *other;
    unsigned ahead = 0;

    for (int i = 1; i >= user->is_delivery; i--)
        TAILQ_FOREACH(other, &server->lines[i], link) {
            if (other == user)
                break;
            ahead++;
        }
    return ahead < server->count[POOL_OPENING];
}

void pool_lend(struct pool_user *user) {
    struct pool_conn *conn = user->conn;
    struct pool *pool = user->pool;

    conn_move(conn, POOL_LENT);
    uint64_t until_ms = loop_now(pool->loop) + pool->conf->set.timeouts.relay_hold;
    if (timer_set(pool->loop, &conn->timer, until_ms, on_timer) < 0)
        take_back(conn);
    if (conn->server->n_waiting > 0)
        serve(conn->server);
}

void pool_use(struct pool_user *user) {
    conn_move(user->conn, POOL_BUSY);
    timer_cancel(user->pool->loop, &user->conn->timer);
}

void pool_release(struct pool_user *user) {
    struct pool_server *server = user->server;

    take_back(user->conn);
    after_gone(server);
}

void pool_drop(struct pool_user *user) {
    struct pool_server *server = user->server;

    conn_free(user->conn, false);
    after_gone(server);
}

void pool_refused(struct pool_user *user, struct str why) {
    struct pool_server *server = user->server;

    user->tried |= pool_server_bit(server);
    conn_free(user->conn, true);
    pool_drop_idle(server);
    server_failed(server, why);
    serve(server);
}

void pool_trouble(struct pool_user *user, struct str what) {
    struct pool_server *server = user->server;
    uint64_t now = loop_now(user->pool->loop);

    server->troubles++;
    if (server->trouble_ms && now < server->trouble_ms + TROUBLE_MS)
        return;
    server->trouble_ms = now;
    tell(server, what);
}

void pool_tell_once(struct pool_user *user, bool *said, struct str what) {
    if (!*said)
        tell(user->server, what);
    *said = true;
}

void pool_proved(struct pool_user *user) {
    user->server->failures = 0;
}

void pool_drop_idle(struct pool_server *server) {
    struct pool_conn *conn, *next;

    for (conn = TAILQ_FIRST(&server->conns[POOL_IDLE]); conn; conn = next) {
        next = TAILQ_NEXT(conn, link);
        conn_free(conn, true);
    }
}

/* ---- life */

static void server_init(struct pool *pool, struct pool_server *server, const struct conf_server *conf,
                        SSL_CTX *context) {
    server->pool = pool;
    server->conf = conf;
    server->setup = (struct upstream_setup){
        .loop = pool->loop, .conf = pool->conf, .to = conf->at, .name = conf->name, .context = context,
        .tls = context ? pool->group->tls : CONF_TLS_NONE,
    };
    for (int i = 0; i < POOL_STATES; i++)
        TAILQ_INIT(&server->conns[i]);
    TAILQ_INIT(&server->lines[0]);
    TAILQ_INIT(&server->lines[1]);
    (void)endpoint_format(&conf->at, server->text);
}

int pool_init(struct pool *pool, struct loop *loop, const struct conf *conf, const struct conf_group *group,
              SSL_CTX *context, unsigned max, const struct pool_ops *ops, void *arg) {
    assert(context || group->tls == CONF_TLS_NONE);
    *pool = (struct pool){ .loop = loop, .conf = conf, .group = group, .ops = ops, .arg = arg, .max = max ? max : 1 };
    pool->servers = calloc(group->n_servers, sizeof(*pool->servers));
    if (!pool->servers)
        return -ENOMEM;
    for (size_t i = 0; i < group->n_servers; i++)
        server_init(pool, &pool->servers[i], &group->servers[i], context);
    return 0;
}

static void server_deinit(struct pool_server *server) {
    timer_cancel(server->pool->loop, &server->trial);
    for (int state = 0; state < POOL_STATES; state++) {
        struct pool_conn *conn;

        while ((conn = TAILQ_FIRST(&server->conns[state]))) {
            struct pool_user *user = conn->user;

            conn_free(conn, state == POOL_IDLE);
            if (user)
                server->pool->ops->on_shutdown(user);
        }
    }
}

void pool_deinit(struct pool *pool) {
    if (!pool->servers)
        return;
    for (size_t i = 0; i < pool->group->n_servers; i++)
        server_deinit(&pool->servers[i]);
    free(pool->servers);
    pool->servers = NULL;
}

void pool_probe(struct pool *pool) {
    for (size_t i = 0; i < pool->group->n_servers; i++)
        if (n_conns(&pool->servers[i]) == 0 && may_open(&pool->servers[i]))
            (void)open_conn(&pool->servers[i]);
}
