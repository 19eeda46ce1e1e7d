/*
 * local: see the header.
 *
 * One connection, one writer. SQLite is set up so that a commit costs what writing costs: write-ahead log, no
 * checkpoint of its own accord (it would take 35 to 70 ms in the middle of a batch; local_sync.c does it beside),
 * synchronous NORMAL. Statements are those of schema.h, prepared once. `names` and `pending` are this file's own
 * tables.
 *
 * Rows that were read last are kept (recent.h). Who writes forgets what he writes; where another connection has
 * committed, a command's, all is forgotten, before anything is answered by it: local_index.c tells whether one may
 * have, and if so SQLite whether it has.
 *
 * Rejected: a mapping of the database (a disk error would be a SIGBUS); one table with the readable columns (four times
 * the size of what every question reads).
 */
#include "store/local.h"

#include "base/clock.h"
#include "base/hash.h"
#include "store/local_index.h"
#include "store/local_place.h"
#include "store/local_schema.h"
#include "store/local_sync.h"
#include "store/recent.h"
#include "store/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    BUSY_MS = 1000, /* a command's transaction takes a few */
    SLICE_MIN = 64, SLICE_MAX = 16384, /* rows that a sweep or a count looks at in one step */
    LOG_PAGES_MAX = 65536, /* 256 MiB: a disk that does not keep up slows the writer down, before it is full */
};

enum statement { READ, MERGE, ROWS_FROM, MARK, PENDING, SETTLE, VERSION, NAME, ROWS_END, SWEEP_ROWS, NAMES_END,
                 SWEEP_NAMES, COUNT_ROWS, COUNT_PENDING, BEGIN, BEGIN_READ, COMMIT, ROLLBACK, N_STATEMENTS };

static const char *const texts[N_STATEMENTS] = {
    [READ] = SCHEMA_READ,
    [MERGE] = SCHEMA_MERGE,
    [ROWS_FROM] = "SELECT k, first, last, expires, forgot, passes FROM grey WHERE k >= $1 ORDER BY k LIMIT $2",
    [MARK] = "INSERT INTO pending(k) VALUES($1) ON CONFLICT(k) DO NOTHING",
    [PENDING] = "SELECT pending.k, first, last, expires, forgot, passes"
                " FROM pending LEFT JOIN grey ON grey.k = pending.k LIMIT $1",
    [SETTLE] = "DELETE FROM pending WHERE k = $1 AND NOT EXISTS (SELECT 1 FROM grey WHERE k = $1 AND (first <> $2"
               " OR last <> $3 OR expires <> $4 OR forgot <> $5 OR passes <> $6))",
    [VERSION] = "PRAGMA data_version", /* of what other connections have committed */
    [NAME] = "INSERT INTO names(k, identity, sender, recipient) VALUES($1, $2, $3, $4)",
    [ROWS_END] = "SELECT k FROM grey WHERE k >= $1 ORDER BY k LIMIT 1 OFFSET $2",
    [SWEEP_ROWS] = "DELETE FROM grey WHERE k >= $1 AND k <= $2 AND (expires <= $3 OR first <= forgot)"
              " AND (forgot = 0 OR forgot <= $4)",
    [NAMES_END] = "SELECT n FROM names WHERE n >= $1 ORDER BY n LIMIT 1 OFFSET $2",
    [SWEEP_NAMES] = "DELETE FROM names WHERE n >= $1 AND n <= $2 AND NOT EXISTS"
                    " (SELECT 1 FROM grey WHERE grey.k = names.k)",
    [COUNT_ROWS] = "SELECT count(*), max(k) FROM (SELECT k FROM grey WHERE k >= $1 ORDER BY k LIMIT $2)",
    [COUNT_PENDING] = "SELECT count(*), max(k) FROM (SELECT k FROM pending WHERE k >= $1 ORDER BY k LIMIT $2)",
    [BEGIN] = "BEGIN IMMEDIATE",
    [BEGIN_READ] = "BEGIN",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
};

struct walk { /* through a table, a slice at a time */
    int64_t at;     /* where the next slice begins */
    unsigned slice; /* rows that it looks at */
};

struct local {
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    struct local_sync *sync; /* NULL: a command, or each commit is synced */
    struct local_meta meta;
    int64_t version;        /* of what others have written, when local_was_written() looked; 0: it has not */
    struct recent recent;
    int64_t recent_version; /* of what others had written when the rows in it were read */
    struct local_index index;
    struct local_place place;
    int log_pages;          /* in the write-ahead log */
    struct walk rows, names; /* of the sweep */
    bool sweeps_names;       /* the rows' turn is over */
    struct walk count;
    bool counts_pending;     /* again behind the rows */
    struct local_counts counted; /* in this round */
    char *path;
    char why[256];
};

/* ---- statements */

static int fail(struct local *local, const char *doing) {
    int code = sqlite3_errcode(local->db);
    snprintf(local->why, sizeof(local->why), "%s: %s: %s", local->path, doing, sqlite3_errmsg(local->db));
    return code == SQLITE_FULL ? -ENOSPC : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? -EBADMSG : -EIO;
}

/* Runs to the end a statement that gives no rows, and makes it ready for the next time. */
static int run(struct local *local, enum statement which) {
    sqlite3_stmt *statement = local->statements[which];
    int step = sqlite3_step(statement);
    int r = step == SQLITE_DONE ? 0 : fail(local, "cannot write");
    sqlite3_reset(statement);
    return r;
}

static int begin(struct local *local) {
    return run(local, BEGIN);
}

/* The thread does what it can beside us; this is the rest. */
static void shorten_log(struct local *local) {
    if (local->log_pages > LOG_PAGES_MAX)
        sqlite3_wal_checkpoint_v2(local->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
    else if (local_sync_needs_help(local->sync)
             && sqlite3_wal_checkpoint_v2(local->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
        local_sync_helped(local->sync);
}

/* Ends the transaction: commits, or takes all back. */
static int end(struct local *local, int r) {
    if (r == 0)
        r = run(local, COMMIT);
    if (r < 0) {
        char why[sizeof(local->why)];
        memcpy(why, local->why, sizeof(why));
        if (!sqlite3_get_autocommit(local->db)) /* some errors have rolled back already */
            run(local, ROLLBACK);
        memcpy(local->why, why, sizeof(why));
        return r;
    }
    if (local->sync != NULL) {
        local_sync_note(local->sync, local->log_pages);
        shorten_log(local);
    }
    return 0;
}

static struct row row_of(sqlite3_stmt *statement) {
    return (struct row){
        .key = sqlite3_column_int64(statement, 0), .first = sqlite3_column_int64(statement, 1),
        .last = sqlite3_column_int64(statement, 2), .expires = sqlite3_column_int64(statement, 3),
        .forgot = sqlite3_column_int64(statement, 4), .passes = sqlite3_column_int(statement, 5),
    };
}

/* ---- life */

static int on_commit(void *arg, sqlite3 *db, const char *name, int n_pages) {
    struct local *local = arg;
    local->log_pages = n_pages;
    local_index_on_commit(&local->index);
    return SQLITE_OK;
}

static int prepare(struct local *local) {
    for (int i = 0; i < N_STATEMENTS; i++)
        if (sqlite3_prepare_v3(local->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &local->statements[i], NULL)
            != SQLITE_OK)
            return fail(local, "cannot be used");
    return 0;
}

static void release(struct local *local) {
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(local->statements[i]);
    local_place_leave(&local->place, local->db);
    sqlite3_close(local->db);
    local_place_close(&local->place);
    free(local->path);
    free(local);
}

static int open_database(struct local *local, const struct local_options *options) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (options->is_command ? 0 : SQLITE_OPEN_CREATE);
    if (sqlite3_open_v2(options->path, &local->db, flags, NULL) != SQLITE_OK)
        return fail(local, "cannot be opened");
    sqlite3_busy_timeout(local->db, BUSY_MS);
    int r = local_schema_open(local->db, options->syncs_always, &local->meta, local->why, sizeof(local->why));
    if (r == 0)
        r = prepare(local);
    sqlite3_wal_hook(local->db, on_commit, local);
    if (r == 0) {
        local_index_open(&local->index, local->db);
        local_place_open(&local->place, local->path);
    }
    if (r == 0 && !options->is_command && !options->syncs_always)
        r = local_sync_start(options->path, &local->sync);
    return r;
}

int local_open(const struct local_options *options, struct buf *why, struct local **ret_local) {
    struct local *local = calloc(1, sizeof(*local));
    int r = local != NULL && (local->path = strdup(options->path)) != NULL ? 0 : -ENOMEM;
    if (r == 0)
        r = open_database(local, options);
    if (r < 0) {
        const char *said = r == -ENOMEM ? "out of memory" : local->why[0] != '\0' ? local->why : strerror(-r);
        buf_puts(why, str_of(said));
        if (local != NULL)
            release(local);
        return r;
    }
    local->rows = local->names = local->count = (struct walk){ .at = INT64_MIN, .slice = SLICE_MIN };
    *ret_local = local;
    return 0;
}

void local_close(struct local *take_local) {
    if (take_local == NULL)
        return;
    local_sync_stop(take_local->sync);
    release(take_local); /* the last connection checkpoints */
}

const char *local_why(const struct local *local) {
    return local->why;
}

enum local_place_state local_look(const struct local *local) {
    return local_place_look(&local->place);
}

int local_restore_on(struct local *local, int n_pages) {
    int r = local_place_restore_on(&local->place, local->db, n_pages);
    if (r < 0)
        snprintf(local->why, sizeof(local->why), "%s: was removed, and cannot be brought back: %s", local->path,
                 strerror(-r));
    return r;
}

const uint8_t *local_hash_key(const struct local *local) {
    return local->meta.key;
}

bool local_key_is_shared(const struct local *local) {
    return local->meta.is_shared;
}

int local_adopt_key(struct local *local, const uint8_t key[GREYLIST_KEY_SIZE], uint64_t *ret_dropped) {
    struct local_meta meta = local->meta;
    meta.is_shared = true;
    memcpy(meta.key, key, sizeof(meta.key));
    int r = begin(local);
    if (r < 0)
        return r;
    recent_forget_all(&local->recent);
    if (local_schema_adopt(local->db, &local->meta, &meta, ret_dropped) < 0)
        r = fail(local, "cannot take the shared key");
    r = end(local, r);
    if (r == 0)
        local->meta = meta;
    return r;
}

int64_t local_shared_ahead_ms(const struct local *local) {
    return local->meta.ahead_ms;
}

int local_keep_shared_ahead(struct local *local, int64_t ahead_ms) {
    int r = begin(local);
    if (r < 0)
        return r;
    if (local_schema_keep_clock(local->db, ahead_ms) < 0)
        r = fail(local, "cannot write");
    r = end(local, r);
    if (r == 0)
        local->meta.ahead_ms = ahead_ms;
    return r;
}

const char *local_shared_server(const struct local *local) {
    return local->meta.server;
}

int local_keep_shared_server(struct local *local, const char *server) {
    int r = begin(local);
    if (r < 0)
        return r;
    if (local_schema_keep_server(local->db, server) < 0)
        r = fail(local, "cannot write");
    r = end(local, r);
    if (r == 0)
        snprintf(local->meta.server, sizeof(local->meta.server), "%s", server);
    return r;
}

/* Another one when somebody else has written. 0: it cannot be told. */
static int64_t version_of(struct local *local) {
    sqlite3_stmt *statement = local->statements[VERSION];
    int64_t version = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return version;
}

bool local_was_written(struct local *local) {
    int64_t version = version_of(local);
    bool is_another = version != local->version;
    local->version = version;
    return is_another;
}

/* ---- rows */

static int read_one(struct local *local, struct row *row, bool *has) {
    if (recent_find(&local->recent, row, has))
        return 0;
    sqlite3_stmt *statement = local->statements[READ];
    sqlite3_bind_int64(statement, 1, row->key);
    int step = sqlite3_step(statement);
    *has = step == SQLITE_ROW;
    if (step == SQLITE_ROW)
        *row = row_of(statement);
    int r = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : fail(local, "cannot read");
    sqlite3_reset(statement);
    if (r == 0)
        recent_keep(&local->recent, row, *has);
    return r;
}

/* In one transaction too: each would take and drop SQLite's locks otherwise, which costs more than the rows. */
static int read_all(struct local *local, struct row *rows, bool *has, size_t n) {
    int r = run(local, BEGIN_READ);
    if (r < 0)
        return r;
    int64_t version = version_of(local);
    if (version != local->recent_version || version == 0)
        recent_forget_all(&local->recent);
    local->recent_version = version;
    for (size_t i = 0; i < n && r == 0; i++)
        r = read_one(local, &rows[i], &has[i]);
    run(local, COMMIT); /* nothing was written, so nothing can fail that matters */
    return r;
}

static bool are_recent(const struct local *local, struct row *rows, bool *has, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!recent_find(&local->recent, &rows[i], &has[i]))
            return false;
    return true;
}

int local_read(struct local *local, struct row *rows, bool *has, size_t n) {
    if (local_index_is_still(&local->index) && are_recent(local, rows, has, n))
        return 0;
    int r = read_all(local, rows, has, n);
    if (r < 0)
        recent_forget_all(&local->recent); /* what was committed before that look was perhaps not met */
    return r;
}

static void bind_row(sqlite3_stmt *statement, const struct row *row) {
    sqlite3_bind_int64(statement, 1, row->key);
    sqlite3_bind_int64(statement, 2, row->first);
    sqlite3_bind_int64(statement, 3, row->last);
    sqlite3_bind_int64(statement, 4, row->expires);
    sqlite3_bind_int64(statement, 5, row->forgot);
    sqlite3_bind_int(statement, 6, row->passes);
}

static int merge_one(struct local *local, const struct row *row, int64_t now) {
    sqlite3_stmt *statement = local->statements[MERGE];
    recent_forget(&local->recent, row->key);
    bind_row(statement, row);
    sqlite3_bind_int64(statement, 7, now);
    return run(local, MERGE);
}

int local_merge(struct local *local, const struct row *rows, size_t n, int64_t now, bool is_pending) {
    if (n == 0)
        return 0;
    int r = begin(local);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = merge_one(local, &rows[i], now);
        if (r == 0 && is_pending) {
            sqlite3_bind_int64(local->statements[MARK], 1, rows[i].key);
            r = run(local, MARK);
        }
    }
    return end(local, r);
}

static int read_rows(struct local *local, sqlite3_stmt *statement, struct row *rows, size_t max, size_t *ret_n) {
    int step;
    *ret_n = 0;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW && *ret_n < max)
        rows[(*ret_n)++] = row_of(statement);
    int r = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : fail(local, "cannot read");
    sqlite3_reset(statement);
    return r;
}

int local_rows_from(struct local *local, int64_t from, struct row *rows, size_t max, size_t *ret_n) {
    sqlite3_stmt *statement = local->statements[ROWS_FROM];
    sqlite3_bind_int64(statement, 1, from);
    sqlite3_bind_int64(statement, 2, (int64_t)max);
    return read_rows(local, statement, rows, max, ret_n);
}

/* One that was swept meanwhile is all zero and says nothing. */
int local_pending(struct local *local, struct row *rows, size_t max, size_t *ret_n) {
    sqlite3_stmt *statement = local->statements[PENDING];
    sqlite3_bind_int64(statement, 1, (int64_t)max);
    return read_rows(local, statement, rows, max, ret_n);
}

int local_settle(struct local *local, const struct row *rows, size_t n) {
    int r = begin(local);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++) {
        bind_row(local->statements[SETTLE], &rows[i]);
        r = run(local, SETTLE);
    }
    return end(local, r);
}

int local_count(struct local *local, struct local_counts *ret_counts) {
    return local_schema_count(local->db, ret_counts) == 0 ? 0 : fail(local, "cannot read");
}

/* ---- walks through tables, a slice at a time: at INT64_MAX one is at the end, and begins again */

/* Where a slice ends; INT64_MAX behind the last row. */
static int slice_end(struct local *local, enum statement which, const struct walk *walk, int64_t *ret_end) {
    sqlite3_stmt *statement = local->statements[which];
    sqlite3_bind_int64(statement, 1, walk->at);
    sqlite3_bind_int64(statement, 2, walk->slice - 1);
    int step = sqlite3_step(statement);
    *ret_end = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : INT64_MAX;
    int r = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : fail(local, "cannot read");
    sqlite3_reset(statement);
    return r;
}

static int drop_rows(struct local *local, int64_t to, int64_t now, uint64_t *ret_dropped) {
    sqlite3_stmt *statement = local->statements[SWEEP_ROWS];
    sqlite3_bind_int64(statement, 1, local->rows.at);
    sqlite3_bind_int64(statement, 2, to);
    sqlite3_bind_int64(statement, 3, now);
    sqlite3_bind_int64(statement, 4, now - ROW_FORGET_LIFE);
    int r = run(local, SWEEP_ROWS);
    if (r == 0)
        *ret_dropped = (uint64_t)sqlite3_changes(local->db);
    if (r < 0 || *ret_dropped > 0)
        recent_forget_all(&local->recent);
    return r;
}

static int drop_names(struct local *local, int64_t to) {
    sqlite3_bind_int64(local->statements[SWEEP_NAMES], 1, local->names.at);
    sqlite3_bind_int64(local->statements[SWEEP_NAMES], 2, to);
    return run(local, SWEEP_NAMES);
}

static void walk_on(struct walk *walk, int64_t to, uint64_t took_us, uint64_t budget_us) {
    walk->at = to == INT64_MAX ? INT64_MIN : to + 1;
    if (took_us > budget_us / 2 && walk->slice > SLICE_MIN)
        walk->slice /= 2;
    else if (took_us < budget_us / 4 && walk->slice < SLICE_MAX)
        walk->slice *= 2;
}

int local_count_on(struct local *local, uint64_t budget_us, struct local_counts *ret_counts, bool *ret_is_round) {
    const uint64_t began = clock_us();
    sqlite3_stmt *statement = local->statements[local->counts_pending ? COUNT_PENDING : COUNT_ROWS];
    struct walk *walk = &local->count;
    sqlite3_bind_int64(statement, 1, walk->at);
    sqlite3_bind_int64(statement, 2, walk->slice);
    int r = sqlite3_step(statement) == SQLITE_ROW ? 0 : fail(local, "cannot read");
    int64_t n = sqlite3_column_int64(statement, 0), last = sqlite3_column_int64(statement, 1);
    sqlite3_reset(statement);
    if (r == 0)
        r = local_schema_size(local->db, &local->counted.bytes) == 0 ? 0 : fail(local, "cannot read");
    if (r < 0)
        return r;
    *(local->counts_pending ? &local->counted.pending : &local->counted.rows) += (uint64_t)n;
    bool is_end = n < walk->slice || last == INT64_MAX;
    *ret_is_round = is_end && local->counts_pending;
    *ret_counts = local->counted;
    walk_on(walk, is_end ? INT64_MAX : last, clock_us() - began, budget_us);
    local->counts_pending = local->counts_pending != is_end;
    if (*ret_is_round)
        local->counted = (struct local_counts){ 0 };
    return 0;
}

/* A round goes through the rows, then through the names. */
int local_sweep(struct local *local, int64_t now, uint64_t budget_us, uint64_t *ret_dropped, bool *ret_is_round) {
    uint64_t began = clock_us();
    bool is_names = local->sweeps_names;
    struct walk *walk = is_names ? &local->names : &local->rows;
    int64_t to;
    *ret_dropped = 0;
    *ret_is_round = false;
    int r = begin(local);
    if (r < 0)
        return r;
    r = slice_end(local, is_names ? NAMES_END : ROWS_END, walk, &to);
    if (r == 0)
        r = is_names ? drop_names(local, to) : drop_rows(local, to, now, ret_dropped);
    r = end(local, r);
    if (r < 0)
        return r;
    walk_on(walk, to, clock_us() - began, budget_us);
    *ret_is_round = is_names && to == INT64_MAX;
    local->sweeps_names = is_names != (to == INT64_MAX);
    return 0;
}

/* ---- names */

static void bind_text(sqlite3_stmt *statement, int at, struct str text) {
    sqlite3_bind_text(statement, at, text.len > 0 ? text.at : "", (int)text.len, SQLITE_STATIC);
}

int local_write_names(struct local *local, const struct local_name *names, size_t n) {
    sqlite3_stmt *statement = local->statements[NAME];
    int r = begin(local);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++) {
        sqlite3_bind_int64(statement, 1, names[i].key);
        bind_text(statement, 2, names[i].identity);
        if (names[i].is_triplet) {
            bind_text(statement, 3, names[i].sender);
            bind_text(statement, 4, names[i].recipient);
        } else {
            sqlite3_bind_null(statement, 3);
            sqlite3_bind_null(statement, 4);
        }
        r = run(local, NAME);
    }
    return end(local, r);
}

static struct str text_of(sqlite3_stmt *statement, int column) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return (struct str){ text, text != NULL ? (size_t)sqlite3_column_bytes(statement, column) : 0 };
}

int local_each(struct local *local, local_fn *fn, void *arg) {
    sqlite3_stmt *statement = NULL;
    int step = SQLITE_DONE, r = 0;
    if (sqlite3_prepare_v2(local->db, "SELECT grey.k, first, last, expires, forgot, passes, identity, sender, recipient"
                                      " FROM (SELECT k, identity, sender, recipient FROM names GROUP BY k) AS names"
                                      " JOIN grey ON grey.k = names.k", -1, &statement, NULL) != SQLITE_OK)
        return fail(local, "cannot read");
    while (r == 0 && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        struct row row = row_of(statement);
        struct local_name name = { .key = row.key, .identity = text_of(statement, 6), .sender = text_of(statement, 7),
                                   .recipient = text_of(statement, 8),
                                   .is_triplet = sqlite3_column_type(statement, 8) != SQLITE_NULL };
        r = fn(arg, &name, &row);
    }
    if (r == 0 && step != SQLITE_DONE)
        r = fail(local, "cannot read");
    sqlite3_finalize(statement);
    return r;
}
