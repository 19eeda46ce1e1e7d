/*
 * local_schema: what must be true of a file before it is the local store?
 *
 * An empty file becomes one: tables, version, a hash key from the kernel, in one transaction, so that a crash leaves an
 * empty file. One with tables must be ours, whole as far as a look at its head tells, and not newer than we are. Older
 * versions are brought up to date here: the local store needs no administrator. Nothing of a file that is not ours, or
 * broken, is touched.
 */
#include "store/local_schema.h"

#include "base/hash.h"
#include "store/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Autocommits otherwise checkpoint in the middle of a batch; see local_sync.c. The cache holds the hot pages. A log
 * that has grown keeps its size for the next time, since to cut it takes tens of milliseconds, up to what local.c
 * allows.
 */
static const char pragmas[] = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768;"
                              "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 268435456;";

static const char tables[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE grey (k INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " forgot INTEGER NOT NULL, passes INTEGER NOT NULL);"
    "CREATE TABLE names (n INTEGER PRIMARY KEY, k INTEGER NOT NULL, identity TEXT NOT NULL, sender TEXT,"
    " recipient TEXT);"
    "CREATE TABLE pending (k INTEGER PRIMARY KEY);";

struct opening {
    sqlite3 *db;
    char *why;
    size_t why_size;
};

static int fail(const struct opening *o, const char *text) {
    int code = sqlite3_errcode(o->db);
    const char *path = sqlite3_db_filename(o->db, NULL);
    snprintf(o->why, o->why_size, "%s: %s", path != NULL ? path : "", text);
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? -EBADMSG : code == SQLITE_FULL ? -ENOSPC : -EIO;
}

static int run(const struct opening *o, const char *sql) {
    return sqlite3_exec(o->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(o, sqlite3_errmsg(o->db));
}

/* A single number, or -1. */
static int64_t number(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

/* ---- meta */

static int write_meta(sqlite3 *db, const char *name, const char *value) {
    sqlite3_stmt *statement = NULL;
    int r = -EIO;
    if (sqlite3_prepare_v2(db, "INSERT INTO meta(name, value) VALUES($1, $2)"
                               " ON CONFLICT(name) DO UPDATE SET value = excluded.value", -1, &statement, NULL)
        == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
        r = sqlite3_step(statement) == SQLITE_DONE ? 0 : -EIO;
    }
    sqlite3_finalize(statement);
    return r;
}

static int write_key(sqlite3 *db, const struct local_meta *meta) {
    char text[SCHEMA_KEY_TEXT];
    int r = write_meta(db, "hash_key", schema_key_format(meta->key, text));
    return r < 0 ? r : write_meta(db, "key_is_shared", meta->is_shared ? "1" : "0");
}

static int read_meta(const struct opening *o, struct local_meta *meta) {
    sqlite3_stmt *statement = NULL;
    bool has_version = false, has_key = false, is_newer = false;
    if (sqlite3_prepare_v2(o->db, SCHEMA_READ_META, -1, &statement, NULL) != SQLITE_OK)
        return fail(o, sqlite3_errmsg(o->db));
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        const char *value = (const char *)sqlite3_column_text(statement, 1);
        if (name == NULL || value == NULL)
            continue;
        if (strcmp(name, "version") == 0) {
            has_version = true;
            is_newer = strtoul(value, NULL, 10) > SCHEMA_VERSION;
        } else if (strcmp(name, "hash_key") == 0) {
            has_key = schema_key_parse(value, meta->key);
        } else if (strcmp(name, "key_is_shared") == 0) {
            meta->is_shared = strcmp(value, "1") == 0;
        } else if (strcmp(name, "shared_ahead_ms") == 0) {
            meta->ahead_ms = strtoll(value, NULL, 10);
        } else if (strcmp(name, "shared_server") == 0) {
            snprintf(meta->server, sizeof(meta->server), "%s", value);
        }
    }
    int r = step == SQLITE_DONE ? 0 : fail(o, sqlite3_errmsg(o->db));
    sqlite3_finalize(statement);
    if (r < 0)
        return r;
    if (is_newer) {
        fail(o, "of a newer version of Postern than this one");
        return -EPROTO;
    }
    if (!has_version || !has_key) {
        fail(o, "the table meta does not hold what Postern wrote there");
        return -EBADMSG;
    }
    return 0;
}

/* ---- opening */

static int fill(const struct opening *o, struct local_meta *meta) {
    char version[16];
    snprintf(version, sizeof(version), "%d", SCHEMA_VERSION);
    *meta = (struct local_meta){ 0 };
    hash_make_key(meta->key);
    int r = run(o, tables);
    if (r == 0 && (write_meta(o->db, "version", version) < 0 || write_key(o->db, meta) < 0))
        r = fail(o, sqlite3_errmsg(o->db));
    return r;
}

/* The store process and a command may both find it empty; the one that comes second finds the other's tables. */
static int make(const struct opening *o, struct local_meta *meta) {
    int r = run(o, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    r = number(o->db, "SELECT count(*) FROM sqlite_master") == 0 ? fill(o, meta) : read_meta(o, meta);
    if (r == 0)
        return run(o, "COMMIT");
    sqlite3_exec(o->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

static int try_open(sqlite3 *db, bool syncs_always, struct local_meta *ret_meta, char *why, size_t why_size) {
    struct opening o = { db, why, why_size };
    int64_t n_tables = number(db, "SELECT count(*) FROM sqlite_master"); /* reads the head: is it a database at all? */
    if (n_tables < 0)
        return fail(&o, sqlite3_errmsg(db));
    int64_t n_ours = number(db, "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
                                " AND name IN ('meta', 'grey', 'names', 'pending')");
    if (n_tables > 0 && n_ours != 4) {
        fail(&o, "a database of something else than Postern");
        return -EBADMSG;
    }
    int r = run(&o, pragmas);
    if (r == 0)
        r = run(&o, syncs_always ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (r < 0)
        return r;
    return n_tables == 0 ? make(&o, ret_meta) : read_meta(&o, ret_meta);
}

/* SQLite waits for others by itself, but not where one of them is just changing a new file's journal to WAL. */
int local_schema_open(sqlite3 *db, bool syncs_always, struct local_meta *ret_meta, char *why, size_t why_size) {
    enum { TRIES = 100, PAUSE_MS = 10 };
    int r = try_open(db, syncs_always, ret_meta, why, why_size);
    for (int i = 1; i < TRIES && r < 0 && sqlite3_errcode(db) == SQLITE_BUSY; i++) {
        sqlite3_sleep(PAUSE_MS);
        r = try_open(db, syncs_always, ret_meta, why, why_size);
    }
    return r;
}

int local_schema_adopt(sqlite3 *db, const struct local_meta *old, const struct local_meta *meta,
                       uint64_t *ret_dropped) {
    *ret_dropped = 0;
    if (memcmp(old->key, meta->key, sizeof(meta->key)) == 0)
        return write_key(db, meta);
    if (sqlite3_exec(db, "DELETE FROM pending; DELETE FROM names; DELETE FROM grey", NULL, NULL, NULL) != SQLITE_OK)
        return -EIO;
    *ret_dropped = (uint64_t)sqlite3_changes64(db); /* of the last statement */
    return write_key(db, meta);
}

int local_schema_keep_clock(sqlite3 *db, int64_t ahead_ms) {
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, ahead_ms);
    return write_meta(db, "shared_ahead_ms", text);
}

int local_schema_keep_server(sqlite3 *db, const char *server) {
    return write_meta(db, "shared_server", server);
}

int local_schema_size(sqlite3 *db, uint64_t *ret_bytes) {
    int64_t pages = number(db, "PRAGMA page_count"), page = number(db, "PRAGMA page_size");
    if (pages < 0 || page < 0)
        return -EIO;
    *ret_bytes = (uint64_t)(pages * page);
    return 0;
}

int local_schema_count(sqlite3 *db, struct local_counts *ret_counts) {
    int64_t rows = number(db, "SELECT count(*) FROM grey"), names = number(db, "SELECT count(*) FROM names");
    int64_t pending = number(db, "SELECT count(*) FROM pending");
    if (rows < 0 || names < 0 || pending < 0)
        return -EIO;
    *ret_counts = (struct local_counts){ .rows = (uint64_t)rows, .names = (uint64_t)names,
                                         .pending = (uint64_t)pending };
    return local_schema_size(db, &ret_counts->bytes);
}
