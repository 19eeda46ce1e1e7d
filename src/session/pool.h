/*
 * pool: the connections of one worker to the servers of one group: kept, lent, waited for; and which server is well.
 *
 * Who needs a connection embeds a struct pool_user and calls pool_want(); on_granted (or on_nobody) answers, perhaps at
 * once: the user's own completions must therefore not be called from these two. A granted connection is BUSY until the
 * user gives it back by one of pool_lend() (keeps it while nobody needs it), pool_release() (good for the next) or
 * pool_drop() (closed).
 */
#pragma once

#include "session/upstream.h"

#include <sys/queue.h>

struct pool;
struct pool_conn;
struct pool_server;
struct pool_user;

struct pool_ops {
    /* user->conn is the user's, BUSY. */
    void (*on_granted)(struct pool_user *user);
    /* No server is left that could be tried. */
    void (*on_nobody)(struct pool_user *user);
    /* As in struct upstream_ops, for a connection that the user has. */
    void (*on_ready)(struct pool_user *user);
    void (*on_answer)(struct pool_user *user, const struct smtp_answer *answer);
    void (*on_drained)(struct pool_user *user);
    /* The BUSY connection is gone; user->conn is NULL already. `conn` may be read during the call. */
    void (*on_lost)(struct pool_user *user, const struct pool_conn *conn, struct str why);
    /* relay_free() with the user still there (a delivery without a session): user->conn is NULL already. */
    void (*on_shutdown)(struct pool_user *user);
    /* A server's health changed. `arg` is the pool's. */
    void (*on_server)(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what);
};

struct pool_user {
    struct pool *pool;
    struct pool_server *server;   /* in whose line it waits, or whose connection it has or had last */
    struct pool_conn *conn;       /* NULL: none */
    TAILQ_ENTRY(pool_user) link;
    uint64_t tried;               /* servers not to be asked again in this operation, by position in the group */
    uint32_t need;                /* enum smtp_extension: servers that offer all of it come first */
    bool is_delivery;             /* holds a complete message: goes before those with a recipient */
    bool is_waiting;
};

enum pool_conn_state { POOL_OPENING, POOL_IDLE, POOL_LENT, POOL_BUSY };
enum { POOL_STATES = POOL_BUSY + 1 };

struct pool_conn {
    void *free_link[2];   /* loop_free_later() writes here, while the stream's own callback may still run */
    struct upstream up;
    struct timer timer;   /* IDLE: close; LENT: take back */
    struct pool_server *server;
    struct pool_user *user;
    TAILQ_ENTRY(pool_conn) link;
    enum pool_conn_state state;
    uint64_t ready_ms;     /* when it was opened */
    unsigned n_refusals;   /* answers that were 4xx or 5xx */
    bool is_forward_proven;/* XFORWARD was accepted once: from now on it goes out together with MAIL */
    bool is_noted;         /* that it lacks XFORWARD or XCLIENT was said */
    bool is_introduced;    /* XCLIENT has named a client to the server: only another XCLIENT makes it another's */
};

TAILQ_HEAD(pool_line, pool_user);
TAILQ_HEAD(pool_conns, pool_conn);

enum pool_health {
    POOL_UP,      /* well, or never met */
    POOL_LIMITED, /* has connections but takes no more for now */
    POOL_DOWN,    /* not tried for clients until a trial connection has succeeded */
};

struct pool_server {
    struct pool *pool;
    const struct conf_server *conf;
    struct upstream_setup setup;
    struct smtp_offer offer;  /* when last met */
    bool is_met;
    bool is_serving;
    enum pool_health health;
    unsigned failures;        /* in a row */
    uint64_t retry_ms;        /* no connection is opened before */
    uint64_t plain_until_ms;  /* mode `may`: its TLS failed, so it is left out for a while */
    bool is_plain;            /* mode `may`: mail goes in the clear, and that was said */
    bool is_forward_noted;    /* that it refuses values of XFORWARD or XCLIENT was said */
    bool has_no_bdat;         /* it offers CHUNKING and does not know BDAT, and that was said */
    uint64_t trouble_ms;      /* when an answer that is no client's business was last warned of; 0: never */
    uint64_t troubles;        /* how many there were */
    struct timer trial;
    struct pool_conns conns[POOL_STATES];
    unsigned count[POOL_STATES];
    struct pool_line lines[2]; /* recipients; deliveries */
    unsigned n_waiting;
    char text[ENDPOINT_TEXT_MAX];
};

struct pool { /* one a group */
    struct loop *loop;
    const struct conf *conf;
    const struct conf_group *group;
    const struct pool_ops *ops;
    void *arg;
    unsigned max; /* connections a server */
    struct pool_server *servers;
};

/* Returns 0 or -ENOMEM. */
int pool_init(struct pool *pool, struct loop *loop, const struct conf *conf, const struct conf_group *group,
              SSL_CTX *context, unsigned max, const struct pool_ops *ops, void *arg);
void pool_deinit(struct pool *pool);

/* Opens a connection to each server, to learn what it offers. */
void pool_probe(struct pool *pool);

void pool_want(struct pool_user *user);

/* Leaves the line. */
void pool_leave(struct pool_user *user);

/* True when another connection could be had whose server is known to offer `need`. */
bool pool_has_better(const struct pool_user *user, uint32_t need);

/* True when nothing but a connection that is being opened for this user keeps it waiting. */
bool pool_is_opening_for(const struct pool_user *user);

/* The server's bit in `tried`. */
uint64_t pool_server_bit(const struct pool_server *server);

/* Keeps the connection for at most relay_hold while nobody waits for one. user->conn is NULL afterwards if somebody
 * did. */
void pool_lend(struct pool_user *user);
/* The lent connection is in use again. */
void pool_use(struct pool_user *user);
void pool_release(struct pool_user *user);
void pool_drop(struct pool_user *user);

/* The server refuses us in a way that another may not (XFORWARD, XCLIENT): counts as a failure; the connection is
 * closed. */
void pool_refused(struct pool_user *user, struct str why);

/* `what` was answered that says something about us: counted, and told once a minute. */
void pool_trouble(struct pool_user *user, struct str what);

/* Says something about the user's server, once: `*said` remembers. */
void pool_tell_once(struct pool_user *user, bool *said, struct str what);

/* The server took a MAIL: its earlier failures are forgotten. */
void pool_proved(struct pool_user *user);

/* A kept connection was dead: its idle brothers are likely to be dead too, and are closed. */
void pool_drop_idle(struct pool_server *server);
