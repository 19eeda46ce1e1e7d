/*
 * postgres: the shared store in PostgreSQL. A module of its own: see shared.h.
 *
 *   pause ─▶ resolving ─▶ connecting ─▶ meta [─▶ offer] ─▶ prepare ─▶ idle ◀─▶ reading, merging, sweeping
 *     ▲                                                                │
 *     └──────────────────────── any failure: on_down ──────────────────┘
 *
 * One connection, in libpq's pipeline mode: a batch is as many executions of one prepared statement as it has rows and
 * one sync behind them, so it is one transaction and one round trip. The statements are those of schema.h, which the
 * local store runs too. The caller sorts by key, since two hosts that lock rows in different orders would deadlock.
 *
 * There is one answer to every trouble (an error of the server, a lost connection, silence beyond the limit, a schema
 * that is missing or newer): the connection is given up, what was under way ends in SHARED_AWAY, and after a pause that
 * doubles from 200 ms to 30 s a new one is tried. Merging is idempotent, so a batch whose commit nobody saw is simply
 * merged again. Only a sweep that is refused (a role that may not delete) is no reason to go.
 *
 * All hosts go by the server's clock, so its time is asked for when a connection is made, and then with a read once in
 * CLOCK_EVERY_MS, as the first statement. An answer that took longer than CLOCK_TRIP_MAX_MS tells too little.
 *
 * The schema holds the hash key. One that is empty (tables copied without rows) takes over the key that this host had
 * from its predecessor; what never was shared is not offered.
 *
 * Rejected: one statement over arrays (unnest): faster by a third, but it would be a second text beside SQLite's. Any
 * kind of resending single rows after an error: what fails for one row here fails for all.
 */
#include "store/postgres.h"

#include "base/clock.h"
#include "store/schema.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONNECT_LIMIT_MS = 10000,
    PAUSE_MIN_MS = 200,
    PAUSE_MAX_MS = 30000,
    WHY_MAX = 288,
    CLOCK_EVERY_MS = 60000,
    CLOCK_TRIP_MAX_MS = 1000,
};

enum { OID_INT8 = 20, OID_INT4 = 23 };

enum state {
    STATE_PAUSE,
    STATE_RESOLVING,
    STATE_CONNECTING,
    STATE_META,    /* what the schema says of itself is being read */
    STATE_OFFER,   /* an empty schema is given our key */
    STATE_PREPARE,
    STATE_IDLE,
    STATE_READING,
    STATE_MERGING,
    STATE_SWEEPING,
    STATE_BROKEN,  /* nothing could be sent; go_down() is due */
};

struct shared {
    struct loop *loop;
    const struct shared_events *events;
    void *arg;
    struct watch watch;
    struct timer timer; /* the end of the pause, or the limit of what is under way */
    struct resolving *resolving;
    PGconn *conn;
    char *conninfo;
    enum state state;
    uint64_t timeout_ms, pause_ms;
    bool is_known_down;  /* on_down was called since it was last up, with `told` */
    bool has_key;
    bool has_failed;     /* an error among the results of this batch; `why` says which */
    uint8_t key[GREYLIST_KEY_SIZE];
    struct postgres_meta meta;
    struct row *rows;    /* reading: where results go */
    bool *has;
    size_t n, n_results;
    uint64_t n_dropped;
    bool asks_clock;         /* the first result is the server's time */
    uint64_t asked_ms, asked_wall_ms, clock_due_ms;
    char why[WHY_MAX], told[WHY_MAX];
};

static struct shared *of_watch(struct watch *watch) {
    return (struct shared *)((char *)watch - offsetof(struct shared, watch));
}

static struct shared *of_timer(struct timer *timer) {
    return (struct shared *)((char *)timer - offsetof(struct shared, timer));
}

/* ---- one line of what libpq or the server says, without its line ends */

static void note_why(struct shared *s, const char *text) {
    if (s->why[0] != '\0')
        return; /* the first trouble is the reason of those behind it */
    snprintf(s->why, sizeof(s->why), "%s", text != NULL && text[0] != '\0' ? text : "the connection was lost");
    size_t len = strlen(s->why);
    while (len > 0 && (s->why[len - 1] == '\n' || s->why[len - 1] == ' '))
        s->why[--len] = '\0';
    for (char *at = s->why; *at != '\0'; at++)
        *at = *at == '\n' || *at == '\t' ? ' ' : *at;
}

/* What the server has refused, and what helps: each advice can be run as it stands. */
static void note_error(struct shared *s, const char *code, const char *message) {
    if (strcmp(code, POSTGRES_UNDEFINED_TABLE) == 0) {
        note_why(s, "the database lacks tables of Postern: 'postern store init' makes them");
        return;
    }
    note_why(s, message);
    size_t len = strlen(s->why);
    char *role = strcmp(code, POSTGRES_NOT_PERMITTED) == 0 ? PQescapeIdentifier(s->conn, PQuser(s->conn),
                                                                               strlen(PQuser(s->conn))) : NULL;
    if (role != NULL && strstr(s->why, "permits it") == NULL)
        snprintf(s->why + len, sizeof(s->why) - len, "; 'GRANT " POSTGRES_RIGHTS " TO %s' permits it", role);
    PQfreemem(role);
}

/* ---- up and down */

static void on_socket(struct watch *watch, uint32_t events);
static void on_time(struct timer *timer);

static void limit(struct shared *s, uint64_t ms) {
    timer_set(s->loop, &s->timer, loop_now(s->loop) + ms, on_time);
}

static void give_up_connection(struct shared *s) {
    watch_stop(s->loop, &s->watch);
    resolving_cancel(s->resolving);
    s->resolving = NULL;
    PQfinish(s->conn); /* closes the descriptor, which is no longer watched */
    s->conn = NULL;
}

/* Every trouble ends here; s->why says which. */
static void go_down(struct shared *s) {
    enum state was = s->state;
    char why[WHY_MAX];
    memcpy(why, s->why, sizeof(why));
    s->why[0] = '\0';
    s->state = STATE_PAUSE;
    give_up_connection(s);
    limit(s, s->pause_ms);
    s->pause_ms = s->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : s->pause_ms * 2;
    if (!s->is_known_down || strcmp(why, s->told) != 0) {
        s->is_known_down = true;
        memcpy(s->told, why, sizeof(s->told));
        s->events->on_down(s->arg, why);
    }
    if (was == STATE_READING)
        s->events->on_read(s->arg, SHARED_AWAY);
    else if (was == STATE_MERGING)
        s->events->on_merged(s->arg, SHARED_AWAY);
    else if (was == STATE_SWEEPING)
        s->events->on_swept(s->arg, SHARED_AWAY, 0, NULL);
}

static void fail(struct shared *s, const char *why) {
    note_why(s, why);
    go_down(s);
}

/* Watches the socket for what libpq waits for: the descriptor may be another one after every step of connecting. */
static bool wait_for(struct shared *s, uint32_t events) {
    watch_stop(s->loop, &s->watch);
    return watch_start(s->loop, &s->watch, PQsocket(s->conn), events, on_socket) == 0;
}

/* ---- sending */

/* Sends what is queued as far as it goes; the rest when the socket takes it. */
static bool flush(struct shared *s) {
    int left = PQflush(s->conn);
    return left >= 0 && watch_change(s->loop, &s->watch, left > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN) == 0;
}

/* Ends the pipeline that was queued, and begins to wait for its results. False: it cannot be sent. */
static bool sync_pipeline(struct shared *s, enum state state, uint64_t limit_ms) {
    s->state = state;
    s->n_results = 0;
    s->has_failed = false;
    limit(s, limit_ms);
    return PQpipelineSync(s->conn) && flush(s);
}

/* Returns 1 or 0, as libpq does. */
static int ask_clock(struct shared *s) {
    s->asks_clock = true;
    s->asked_ms = clock_ms();
    s->asked_wall_ms = clock_wall_ms();
    return PQsendQueryParams(s->conn, SCHEMA_READ_CLOCK, 0, NULL, NULL, NULL, NULL, 1);
}

static void ask_meta(struct shared *s) {
    s->meta = (struct postgres_meta){ 0 };
    if (!ask_clock(s) || !PQsendQueryParams(s->conn, SCHEMA_READ_META, 0, NULL, NULL, NULL, NULL, 0)
        || !PQsendQueryParams(s->conn, POSTGRES_READ_SERVER, 0, NULL, NULL, NULL, NULL, 0)
        || !sync_pipeline(s, STATE_META, CONNECT_LIMIT_MS))
        fail(s, PQerrorMessage(s->conn));
}

static void offer_key(struct shared *s) {
    s->asks_clock = false;
    if (!postgres_send_meta(s->conn, s->key) || !sync_pipeline(s, STATE_OFFER, CONNECT_LIMIT_MS))
        fail(s, PQerrorMessage(s->conn));
}

static void prepare(struct shared *s) {
    static const Oid of_read[] = { OID_INT8 };
    static const Oid of_merge[] = { OID_INT8, OID_INT8, OID_INT8, OID_INT8, OID_INT8, OID_INT4, OID_INT8 };
    s->asks_clock = false;
    if (!PQsendPrepare(s->conn, "read", SCHEMA_READ, 1, of_read)
        || !PQsendPrepare(s->conn, "merge", SCHEMA_MERGE, 7, of_merge)
        || !PQsendPrepare(s->conn, "sweep", POSTGRES_SWEEP, 3, of_merge)
        || !sync_pipeline(s, STATE_PREPARE, CONNECT_LIMIT_MS))
        fail(s, PQerrorMessage(s->conn));
}

/* ---- results */

static int64_t int8_of(const PGresult *result, int column) {
    uint64_t value = 0;
    memcpy(&value, PQgetvalue(result, 0, column), sizeof(value));
    return (int64_t)be64toh(value);
}

static int32_t int4_of(const PGresult *result, int column) {
    uint32_t value = 0;
    memcpy(&value, PQgetvalue(result, 0, column), sizeof(value));
    return (int32_t)be32toh(value);
}

static bool is_row(const PGresult *result) {
    static const int sizes[] = { 8, 8, 8, 8, 8, 4 };
    if (PQnfields(result) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        if (PQgetisnull(result, 0, i) || PQgetlength(result, 0, i) != sizes[i])
            return false;
    return true;
}

/* The server read its clock somewhere between question and answer: in the middle, for us. */
static void take_clock(struct shared *s, const PGresult *result) {
    uint64_t now_ms = clock_ms(), trip_ms = now_ms - s->asked_ms;
    if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQgetisnull(result, 0, 0)
        || PQgetlength(result, 0, 0) != 8) {
        s->has_failed = true;
        note_why(s, "the server does not tell its time");
        return;
    }
    if (trip_ms > CLOCK_TRIP_MAX_MS)
        return;
    s->clock_due_ms = now_ms + CLOCK_EVERY_MS;
    s->events->on_clock(s->arg, int8_of(result, 0) - (int64_t)(s->asked_wall_ms + trip_ms / 2));
}

static void take_row(struct shared *s, const PGresult *result) {
    size_t i = s->n_results - s->asks_clock;
    if (i >= s->n || PQntuples(result) == 0)
        return;
    if (!is_row(result) || int8_of(result, 0) != s->rows[i].key) {
        s->has_failed = true;
        note_why(s, "a row is not of the shape that was asked for; are these Postern's tables?");
        return;
    }
    s->rows[i] = (struct row){ .key = int8_of(result, 0), .first = int8_of(result, 1), .last = int8_of(result, 2),
                               .expires = int8_of(result, 3), .forgot = int8_of(result, 4),
                               .passes = int4_of(result, 5) };
    s->has[i] = true;
}

static void take_result(struct shared *s, const PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK && s->asks_clock && s->n_results == 0) {
        take_clock(s, result);
    } else if (status == PGRES_TUPLES_OK && s->state == STATE_READING) {
        take_row(s, result);
    } else if (status == PGRES_TUPLES_OK && s->state == STATE_META && s->n_results == 1) {
        postgres_take_meta(result, &s->meta);
    } else if (status == PGRES_TUPLES_OK && s->state == STATE_META) {
        postgres_take_server(result, &s->meta);
    } else if (status == PGRES_COMMAND_OK && s->state == STATE_SWEEPING) {
        s->n_dropped = strtoull(PQcmdTuples((PGresult *)result), NULL, 10);
    } else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        s->has_failed = true;
        const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        note_error(s, code != NULL ? code : "", PQresultErrorMessage(result));
    }
    s->n_results++;
}

/* Where `s->key` is the one that this schema has always had, or takes over now. */
static void on_meta(struct shared *s) {
    if (postgres_meta_problem(&s->meta) != NULL) {
        fail(s, postgres_meta_problem(&s->meta));
        return;
    }
    if (!s->meta.has_key && s->has_key) {
        offer_key(s);
        return;
    }
    if (!s->meta.has_key) {
        fail(s, "the tables hold no hash key, and this host has none to give: 'postern store init' makes one");
        return;
    }
    memcpy(s->key, s->meta.key, sizeof(s->key));
    s->has_key = true;
    prepare(s);
}

static void on_swept(struct shared *s) {
    char why[WHY_MAX];
    memcpy(why, s->why, sizeof(why));
    s->why[0] = '\0';
    s->state = STATE_IDLE;
    s->events->on_swept(s->arg, SHARED_DONE, s->n_dropped, s->has_failed ? why : NULL);
}

/* All results of the pipeline are there. */
static void on_synced(struct shared *s) {
    enum state was = s->state;
    timer_cancel(s->loop, &s->timer);
    if (s->has_failed && was != STATE_SWEEPING) {
        go_down(s);
        return;
    }
    switch (was) {
    case STATE_META:
        on_meta(s);
        break;
    case STATE_OFFER: /* another host may have been faster: what stands there now counts */
        ask_meta(s);
        break;
    case STATE_PREPARE:
        s->state = STATE_IDLE;
        s->is_known_down = false;
        s->events->on_up(s->arg, s->key, s->meta.server);
        break;
    case STATE_READING:
        s->state = STATE_IDLE;
        s->pause_ms = PAUSE_MIN_MS;
        s->events->on_read(s->arg, SHARED_DONE);
        break;
    case STATE_MERGING:
        s->state = STATE_IDLE;
        s->pause_ms = PAUSE_MIN_MS;
        s->events->on_merged(s->arg, SHARED_DONE);
        break;
    case STATE_SWEEPING:
        on_swept(s);
        break;
    case STATE_PAUSE:
    case STATE_RESOLVING:
    case STATE_CONNECTING:
    case STATE_IDLE:
    case STATE_BROKEN:
        break;
    }
}

static void take_results(struct shared *s) {
    if (!PQconsumeInput(s->conn)) {
        fail(s, PQerrorMessage(s->conn));
        return;
    }
    bool is_synced = false;
    while (!is_synced && s->state != STATE_IDLE && !PQisBusy(s->conn)) {
        PGresult *result = PQgetResult(s->conn);
        is_synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (result != NULL && !is_synced)
            take_result(s, result); /* NULL stands between two statements' results */
        PQclear(result);
        if (PQstatus(s->conn) != CONNECTION_OK) {
            fail(s, PQerrorMessage(s->conn));
            return;
        }
    }
    if (is_synced)
        on_synced(s);
}

/* ---- connecting */

static void on_connected(struct shared *s) {
    if (PQsetnonblocking(s->conn, 1) != 0 || !PQenterPipelineMode(s->conn) || !wait_for(s, EPOLLIN)) {
        fail(s, PQerrorMessage(s->conn));
        return;
    }
    ask_meta(s);
}

static void connect_on(struct shared *s) {
    switch (PQconnectPoll(s->conn)) {
    case PGRES_POLLING_READING:
        if (!wait_for(s, EPOLLIN))
            fail(s, "out of memory");
        break;
    case PGRES_POLLING_WRITING:
        if (!wait_for(s, EPOLLOUT))
            fail(s, "out of memory");
        break;
    case PGRES_POLLING_OK:
        on_connected(s);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        if (!postgres_file_problem(s->conninfo, s->conn, s->why, sizeof(s->why)))
            note_why(s, PQerrorMessage(s->conn));
        go_down(s);
        break;
    }
}

static void on_resolved(void *arg, PGconn *take_conn, const char *problem) {
    struct shared *s = arg;
    s->resolving = NULL;
    s->conn = take_conn;
    s->state = STATE_CONNECTING;
    if (take_conn == NULL)
        fail(s, problem);
    else if (PQstatus(take_conn) == CONNECTION_BAD)
        fail(s, PQerrorMessage(take_conn));
    else if (!wait_for(s, EPOLLOUT)) /* as PQconnectPoll() wants to be called first */
        fail(s, "out of memory");
}

static void begin(struct shared *s) {
    s->state = STATE_RESOLVING;
    limit(s, CONNECT_LIMIT_MS);
    s->resolving = resolving_start(s->loop, s->conninfo, on_resolved, s);
    if (s->resolving == NULL)
        fail(s, "out of memory");
}

static void on_socket(struct watch *watch, uint32_t events) {
    struct shared *s = of_watch(watch);
    if (s->state == STATE_CONNECTING) {
        connect_on(s);
        return;
    }
    if (events & EPOLLOUT && !flush(s))
        fail(s, PQerrorMessage(s->conn));
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        take_results(s);
}

static void on_time(struct timer *timer) {
    struct shared *s = of_timer(timer);
    if (s->state == STATE_PAUSE)
        begin(s);
    else
        fail(s, s->state <= STATE_CONNECTING ? "no connection within 10 s" : "no answer in time");
}

/* ---- what the store process calls */

static int postgres_open(struct loop *loop, const char *conninfo, const uint8_t *key, uint64_t timeout_ms,
                         const struct shared_events *events, void *arg, char *error, size_t error_size,
                         struct shared **ret) {
    int r = postgres_check_conninfo(conninfo, error, error_size);
    if (r < 0)
        return r;
    struct shared *s = calloc(1, sizeof(*s));
    char *copy = strdup(conninfo);
    if (s == NULL || copy == NULL || timer_set(loop, &s->timer, loop_now(loop), on_time) < 0) {
        free(s);
        free(copy);
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    s->loop = loop;
    s->conninfo = copy;
    s->events = events;
    s->arg = arg;
    s->timeout_ms = timeout_ms;
    s->pause_ms = PAUSE_MIN_MS;
    s->has_key = key != NULL;
    if (key != NULL)
        memcpy(s->key, key, sizeof(s->key));
    *ret = s;
    return 0;
}

static void postgres_close(struct shared *take_shared) {
    if (take_shared == NULL)
        return;
    give_up_connection(take_shared);
    timer_cancel(take_shared->loop, &take_shared->timer);
    free(take_shared->conninfo);
    free(take_shared);
}

/* A batch that could not be sent was not begun; the connection goes in a later turn, not inside the caller's call. */
static int abandon(struct shared *s) {
    note_why(s, PQerrorMessage(s->conn));
    s->state = STATE_BROKEN;
    watch_stop(s->loop, &s->watch);
    limit(s, 0);
    return -EIO;
}

static int postgres_read(struct shared *s, struct row *rows, bool *has, size_t n) {
    if (s->state != STATE_IDLE)
        return -ENOTCONN;
    s->rows = rows;
    s->has = has;
    s->n = n;
    s->asks_clock = false;
    if (clock_ms() >= s->clock_due_ms && !ask_clock(s))
        return abandon(s);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = htobe64((uint64_t)rows[i].key);
        const char *values[] = { (const char *)&key };
        has[i] = false;
        if (!PQsendQueryPrepared(s->conn, "read", 1, values, (int[]){ 8 }, (int[]){ 1 }, 1))
            return abandon(s);
    }
    return sync_pipeline(s, STATE_READING, s->timeout_ms) ? 0 : abandon(s);
}

static int postgres_merge(struct shared *s, const struct row *rows, size_t n, int64_t now) {
    static const int lengths[] = { 8, 8, 8, 8, 8, 4, 8 }, formats[] = { 1, 1, 1, 1, 1, 1, 1 };
    if (s->state != STATE_IDLE)
        return -ENOTCONN;
    s->asks_clock = false;
    uint64_t when = htobe64((uint64_t)now);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = htobe64((uint64_t)rows[i].key), first = htobe64((uint64_t)rows[i].first);
        uint64_t last = htobe64((uint64_t)rows[i].last), expires = htobe64((uint64_t)rows[i].expires);
        uint64_t forgot = htobe64((uint64_t)rows[i].forgot);
        uint32_t passes = htobe32((uint32_t)rows[i].passes);
        const char *values[] = { (const char *)&key,    (const char *)&first,  (const char *)&last,
                                 (const char *)&expires, (const char *)&forgot, (const char *)&passes,
                                 (const char *)&when };
        if (!PQsendQueryPrepared(s->conn, "merge", 7, values, lengths, formats, 1))
            return abandon(s);
    }
    return sync_pipeline(s, STATE_MERGING, s->timeout_ms) ? 0 : abandon(s);
}

static int postgres_sweep(struct shared *s, int64_t from, int64_t to) {
    static const int lengths[] = { 8, 8, 8 }, formats[] = { 1, 1, 1 };
    if (s->state != STATE_IDLE)
        return -ENOTCONN;
    const uint64_t numbers[] = { htobe64((uint64_t)from), htobe64((uint64_t)to), htobe64(ROW_FORGET_LIFE) };
    const char *values[] = { (const char *)&numbers[0], (const char *)&numbers[1], (const char *)&numbers[2] };
    s->asks_clock = false;
    s->n_dropped = 0;
    if (!PQsendQueryPrepared(s->conn, "sweep", 3, values, lengths, formats, 1))
        return abandon(s);
    return sync_pipeline(s, STATE_SWEEPING, s->timeout_ms) ? 0 : abandon(s);
}

const struct shared_ops postern_shared = {
    .version = SHARED_VERSION,
    .open = postgres_open,
    .close = postgres_close,
    .files = postgres_files,
    .ports = postgres_ports,
    .read = postgres_read,
    .merge = postgres_merge,
    .sweep = postgres_sweep,
    .administer = postgres_administer,
    .look = postgres_look,
};
