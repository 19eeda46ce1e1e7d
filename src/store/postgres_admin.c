/*
 * postgres_admin: makes the tables of the shared store, brings older ones up to date, and reads what they say of
 * themselves.
 *
 * A schema has a version; steps[v] leads from v to v + 1, and version 0 is a database without our tables. `init` wants
 * a database without them and `upgrade` one with them, so that neither does the other's work by mistake. All steps are
 * one transaction behind a lock on the table that holds the version: of two administrators at once one comes second and
 * finds the work done. Where just one of the tables is there, `init` makes the other. Programs check the version when
 * they connect, and one that is newer than they are is refused.
 *
 * This is for `postern store`, and what looks at rows for `postern explain`: it blocks, as a command may.
 */
#include "store/postgres.h"

#include "base/buf.h"
#include "store/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const steps[SCHEMA_VERSION] = {
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS grey (k BIGINT PRIMARY KEY, first BIGINT NOT NULL, last BIGINT NOT NULL,"
    " expires BIGINT NOT NULL, forgot BIGINT NOT NULL, passes INTEGER NOT NULL)",
};

/* ---- what the schema says of itself */

void postgres_take_meta(const PGresult *result, struct postgres_meta *meta) {
    for (int i = 0; i < PQntuples(result) && PQnfields(result) == 2; i++) {
        const char *name = PQgetvalue(result, i, 0), *value = PQgetvalue(result, i, 1);
        char *end;
        if (strcmp(name, "version") == 0) {
            meta->version = (unsigned)strtoul(value, &end, 10);
            meta->has_version = true;
            meta->is_malformed |= *value == '\0' || *end != '\0';
        } else if (strcmp(name, "hash_key") == 0) {
            meta->has_key = schema_key_parse(value, meta->key);
            meta->is_malformed |= !meta->has_key;
        }
    }
}

void postgres_take_server(const PGresult *result, struct postgres_meta *meta) {
    bool is_there = PQntuples(result) == 1 && PQnfields(result) == 1;
    snprintf(meta->server, sizeof(meta->server), "%s", is_there ? PQgetvalue(result, 0, 0) : "");
}

const char *postgres_meta_problem(const struct postgres_meta *meta) {
    if (meta->is_malformed || meta->has_version != meta->has_key)
        return "the table meta does not hold what Postern wrote there";
    if (meta->has_version && meta->version > SCHEMA_VERSION)
        return "the tables are of a newer version of Postern than this one";
    if (meta->has_version && meta->version < SCHEMA_VERSION)
        return "the tables are of an older version: 'postern store upgrade' brings them up to date";
    return NULL;
}

int postgres_send_meta(PGconn *conn, const uint8_t key[GREYLIST_KEY_SIZE]) {
    char version[16], text[SCHEMA_KEY_TEXT];
    snprintf(version, sizeof(version), "%u", SCHEMA_VERSION);
    schema_key_format(key, text);
    return PQsendQueryParams(conn, SCHEMA_OFFER_META, 2, NULL, (const char *[]){ "version", version }, NULL, NULL, 0)
        && PQsendQueryParams(conn, SCHEMA_OFFER_META, 2, NULL, (const char *[]){ "hash_key", text }, NULL, NULL, 0);
}

/* ---- making and changing it */

static int fail(struct buf *report, const char *text) {
    buf_puts(report, str_head(str_of(text), strcspn(text, "\n")));
    return -EINVAL;
}

static int run(PGconn *conn, const char *sql, struct buf *report) {
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    bool is_done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    const char *code = is_done ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    int r = is_done ? 0 : fail(report, PQerrorMessage(conn));
    if (code != NULL && (strcmp(code, POSTGRES_NOT_PERMITTED) == 0 || strcmp(code, POSTGRES_NO_SCHEMA) == 0))
        buf_puts(report, STR("; --connect names another role, which may make tables"));
    PQclear(result);
    return r;
}

/* Tables that the role cannot see, since it may not use their schema. Returns 0, or -EINVAL with the reason. */
static int look_for_hidden(PGconn *conn, struct buf *report) {
    PGresult *result = PQexec(conn, "SELECT quote_ident(nspname), quote_ident(current_user) FROM pg_class"
                                    " JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relname = 'grey'"
                                    " AND relkind IN ('r', 'p') AND nspname = ANY(regexp_split_to_array(replace("
                                    "current_setting('search_path'), '\"', ''), ', *'))"
                                    " AND NOT has_schema_privilege(nspname, 'USAGE')");
    int r = 0;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0) {
        buf_putf(report, "the tables are there, and hidden from this role: 'GRANT USAGE ON SCHEMA %s TO %s' shows them",
                 PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
        r = -EINVAL;
    }
    PQclear(result);
    return r;
}

/* Returns 1 where our tables are there, 0 (not both; `meta` says what that table holds) or -EINVAL. */
static int read_meta(PGconn *conn, struct postgres_meta *meta, struct buf *report) {
    PGresult *result = PQexec(conn, "SELECT to_regclass('meta') IS NOT NULL, to_regclass('grey') IS NOT NULL");
    bool is_known = PQresultStatus(result) == PGRES_TUPLES_OK;
    bool has_meta = is_known && PQgetvalue(result, 0, 0)[0] == 't', has_grey = is_known
        && PQgetvalue(result, 0, 1)[0] == 't';
    PQclear(result);
    if (!is_known)
        return fail(report, PQerrorMessage(conn));
    if (!has_meta)
        return look_for_hidden(conn, report);
    result = PQexec(conn, SCHEMA_READ_META);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        postgres_take_meta(result, meta);
    else
        meta->is_malformed = true;
    PQclear(result);
    return meta->is_malformed ? fail(report, postgres_meta_problem(meta)) : has_grey;
}

static int write_meta(PGconn *conn, const uint8_t key[GREYLIST_KEY_SIZE], struct buf *report) {
    char sql[256], text[SCHEMA_KEY_TEXT];
    schema_key_format(key, text);
    snprintf(sql, sizeof(sql),
             "INSERT INTO meta(name, value) VALUES('hash_key', '%s') ON CONFLICT(name) DO NOTHING;"
             "INSERT INTO meta(name, value) VALUES('version', '%u')"
             " ON CONFLICT(name) DO UPDATE SET value = excluded.value", text, SCHEMA_VERSION);
    return run(conn, sql, report);
}

static int climb(PGconn *conn, unsigned from, const uint8_t key[GREYLIST_KEY_SIZE], struct buf *report) {
    int r = run(conn, "BEGIN", report);
    for (unsigned version = from; r == 0 && version < SCHEMA_VERSION; version++)
        r = run(conn, steps[version], report);
    if (r == 0) /* one that was there already is ours, or this fails */
        r = run(conn, "SELECT k, first, last, expires, forgot, passes FROM grey LIMIT 0", report);
    if (r == 0)
        r = write_meta(conn, key, report);
    if (r == 0)
        return run(conn, "COMMIT", report);
    PQclear(PQexec(conn, "ROLLBACK"));
    return r;
}

static int init(PGconn *conn, const uint8_t *key, struct buf *report) {
    struct postgres_meta meta = { 0 };
    int r = read_meta(conn, &meta, report);
    if (r < 0)
        return r;
    if (r > 0 && meta.has_version)
        return fail(report, "the tables are there already; nothing was changed");
    if (meta.has_version && meta.version > SCHEMA_VERSION)
        return fail(report, postgres_meta_problem(&meta));
    r = climb(conn, r > 0 ? SCHEMA_VERSION : 0, key, report); /* tables copied without rows lack just these */
    if (r == 0)
        buf_putf(report, "made the tables of version %u", SCHEMA_VERSION);
    return r;
}

static int upgrade(PGconn *conn, const uint8_t *key, struct buf *report) {
    struct postgres_meta meta = { 0 };
    int r = read_meta(conn, &meta, report);
    if (r < 0)
        return r;
    if (r == 0 || !meta.has_version)
        return fail(report, "there are no tables of Postern to upgrade; 'postern store init' makes them");
    if (meta.version > SCHEMA_VERSION)
        return fail(report, postgres_meta_problem(&meta));
    if (meta.version == SCHEMA_VERSION) {
        buf_putf(report, "the tables are of version %u already", SCHEMA_VERSION);
        return 0;
    }
    r = climb(conn, meta.version, key, report);
    if (r == 0)
        buf_putf(report, "brought the tables from version %u to %u", meta.version, SCHEMA_VERSION);
    return r;
}

/* ---- looking */

static int64_t number_of(const PGresult *result, int column) {
    return strtoll(PQgetvalue(result, 0, column), NULL, 10);
}

static int look_at_one(PGconn *conn, struct row *row, bool *has, struct buf *report) {
    char key[24];
    snprintf(key, sizeof(key), "%lld", (long long)row->key);
    PGresult *result = PQexecParams(conn, SCHEMA_READ, 1, NULL, (const char *[]){ key }, NULL, NULL, 0);
    bool is_read = PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == 6;
    *has = is_read && PQntuples(result) == 1;
    if (*has)
        *row = (struct row){ .key = row->key, .first = number_of(result, 1), .last = number_of(result, 2),
                             .expires = number_of(result, 3), .forgot = number_of(result, 4),
                             .passes = (int32_t)number_of(result, 5) };
    int r = is_read ? 0 : fail(report, PQerrorMessage(conn));
    PQclear(result);
    return r;
}

int postgres_look(const char *conninfo, struct row *rows, bool *has, size_t n, struct buf *report) {
    static const char *const keywords[] = { "connect_timeout", "options", "dbname", NULL };
    const char *const values[] = { "5", "-c statement_timeout=5s", conninfo, NULL };
    char error[256];
    if (postgres_check_conninfo(conninfo, error, sizeof(error)) < 0)
        return fail(report, error);
    PGconn *conn = PQconnectdbParams(keywords, values, 1); /* what stands in `conninfo` counts more */
    int r = PQstatus(conn) == CONNECTION_OK ? 0 : fail(report, PQerrorMessage(conn));
    for (size_t i = 0; r == 0 && i < n; i++)
        r = look_at_one(conn, &rows[i], &has[i], report);
    PQfinish(conn);
    return r;
}

int postgres_administer(enum shared_task task, const char *conninfo, const uint8_t *key, struct buf *report) {
    char error[256];
    if (postgres_check_conninfo(conninfo, error, sizeof(error)) < 0)
        return fail(report, error);
    PGconn *conn = PQconnectdb(conninfo);
    int r;
    if (PQstatus(conn) != CONNECTION_OK)
        r = fail(report, PQerrorMessage(conn));
    else if (run(conn, "SET client_min_messages = warning; SET lock_timeout = '10s'", report) < 0)
        r = -EINVAL;
    else
        r = task == SHARED_INIT ? init(conn, key, report) : upgrade(conn, key, report);
    PQfinish(conn);
    return r;
}
