/*
 * postgres: what the files of the PostgreSQL module share. postgres.c keeps the connection and runs batches,
 * postgres_options.c reads what the administrator wrote, postgres_resolve.c begins a connection without ever waiting
 * for DNS, postgres_admin.c makes and upgrades the schema.
 *
 * The module exports `postern_shared` (shared.h) and nothing else.
 */
#pragma once

#include "store/schema.h"
#include "store/shared.h"

#include <libpq-fe.h>
#include <stdbool.h>

/* SQLSTATE */
#define POSTGRES_UNDEFINED_TABLE "42P01"
#define POSTGRES_NOT_PERMITTED "42501"
#define POSTGRES_NO_SCHEMA "3F000"
/* What the role of the service needs. */
#define POSTGRES_RIGHTS "SELECT, INSERT, UPDATE, DELETE ON meta, grey"

/* ---- postgres_options.c */

/* PQconninfoFree() frees it. NULL: it is not what libpq reads (`error` says why, in one line), or no memory. */
PQconninfoOption *postgres_parse(const char *conninfo, char *error, size_t error_size);

/* What is given for a keyword; NULL: nothing. */
const char *postgres_option(const PQconninfoOption *options, const char *keyword);

/* Returns 0 or -EINVAL: not what libpq reads, or what is not to be written here. `error` says why, in one line. */
int postgres_check_conninfo(const char *conninfo, char *error, size_t error_size);

/* Each file and folder that the options name. */
void postgres_files(const char *conninfo, void (*on_file)(void *arg, const char *path), void *arg);

/* Each TCP port that the options name; the usual one where they name none. */
void postgres_ports(const char *conninfo, void (*on_port)(void *arg, uint16_t port), void *arg);

/* Whether libpq would not use the password file that the options name, and complain on standard error each time. */
bool postgres_passfile_is_refused(const PQconninfoOption *options);

/* Whether this connection failed for want of a file that the options name: why that is of no use. */
bool postgres_file_problem(const char *conninfo, const PGconn *failed, char *why, size_t why_size);

/* ---- postgres.c */

/*
 * $1, $2: keys; $3: seconds that what was forgotten is remembered. By the server's clock, since that of one host must
 * not empty the list of all. It passes rows by that another host has locked: who waits for nobody is in no deadlock.
 */
#define POSTGRES_NOW "CAST(extract(epoch FROM now()) AS BIGINT)"
#define POSTGRES_SWEEP \
    "DELETE FROM grey WHERE k IN (SELECT k FROM grey WHERE k >= $1 AND k <= $2" \
    " AND (expires <= " POSTGRES_NOW " OR first <= forgot) AND (forgot = 0 OR forgot <= " POSTGRES_NOW " - $3)" \
    " FOR UPDATE SKIP LOCKED)"

/* ---- postgres_resolve.c */

struct resolving;

/* `problem`: why there is no connection object. Otherwise it is one that PQconnectPoll() takes further. */
typedef void resolving_fn(void *arg, PGconn *take_conn, const char *problem);

/*
 * Begins to connect. Host names are looked up in a thread, since libpq would wait for DNS; `done` comes once, in a
 * later turn, unless cancelled. NULL: no memory.
 */
struct resolving *resolving_start(struct loop *loop, const char *conninfo, resolving_fn *done, void *arg);
void resolving_cancel(struct resolving *take_resolving); /* accepts NULL */

/* ---- postgres_admin.c: what the schema says of itself */

struct postgres_meta {
    bool has_version, has_key;
    unsigned version;
    uint8_t key[GREYLIST_KEY_SIZE];
    bool is_malformed;
    char server[SCHEMA_SERVER_MAX];
};

/* Reads the rows of SCHEMA_READ_META. */
void postgres_take_meta(const PGresult *result, struct postgres_meta *meta);

/*
 * Which rows are these? The cluster, its timeline (another one after a promotion or a restored backup, where the last
 * rows may be missing), and the table. Every user may ask, unless that was taken from PUBLIC.
 */
#define POSTGRES_READ_SERVER \
    "SELECT system_identifier || '.' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.'" \
    " || 'grey'::regclass::oid FROM pg_control_system()"

/* Takes its result. */
void postgres_take_server(const PGresult *result, struct postgres_meta *meta);

/* Why this program cannot use such a schema, or NULL. One without rows is fine: it can be given a key. */
const char *postgres_meta_problem(const struct postgres_meta *meta);

/* Queues the statements that write version and key where there are none. Returns 1 or 0, as libpq does. */
int postgres_send_meta(PGconn *conn, const uint8_t key[GREYLIST_KEY_SIZE]);

/* See shared_ops. */
int postgres_look(const char *conninfo, struct row *rows, bool *has, size_t n, struct buf *report);
int postgres_administer(enum shared_task task, const char *conninfo, const uint8_t *key, struct buf *report);
