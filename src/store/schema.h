/*
 * schema: the tables of the store and the statements on them, one text for SQLite and PostgreSQL.
 *
 *     meta     what the store says of itself: its version, the hash key
 *     grey     the hot table: a row a key (row.h)
 *
 * and in the local store alone, since only the host itself needs them:
 *
 *     names    who stands behind a key, for `postern greylist`; appended behind and may lag
 *     pending  keys whose rows the shared store has not got yet
 *
 * The databases differ in CREATE TABLE alone (SQLite: `INTEGER PRIMARY KEY` is its row number, so that the table is
 * one tree by key). Parameters first appear in rising order, since SQLite numbers `$1` by appearance; the column of the
 * conflicting row is qualified, since PostgreSQL finds it ambiguous otherwise. No index on `expires`: it would cost
 * three quarters more at each write, and the sweep walks the keys.
 *
 * SCHEMA_MERGE is row_merge() in SQL: a row that says nothing gives nothing but its `forgot`.
 */
#pragma once

#include "store/greylist.h"

#define SCHEMA_VERSION 1

/* The hash key as the table meta holds it: 32 hexadecimal digits. */
enum { SCHEMA_KEY_TEXT = 2 * GREYLIST_KEY_SIZE + 1 };
bool schema_key_parse(const char *text, uint8_t ret_key[GREYLIST_KEY_SIZE]);
char *schema_key_format(const uint8_t key[GREYLIST_KEY_SIZE], char out[SCHEMA_KEY_TEXT]); /* returns `out` */

/* Which server this is, and which table of it: another text when either was replaced (shared.h). */
enum { SCHEMA_SERVER_MAX = 64 };

#define SCHEMA_READ_META "SELECT name, value FROM meta"
/* Milliseconds since 1970 by the shared store's clock. */
#define SCHEMA_READ_CLOCK "SELECT CAST(1000 * extract(epoch FROM now()) AS BIGINT)"
#define SCHEMA_OFFER_META "INSERT INTO meta(name, value) VALUES($1, $2) ON CONFLICT(name) DO NOTHING"

/* Columns in this order, here and below: k, first, last, expires, forgot, passes. */
#define SCHEMA_READ "SELECT k, first, last, expires, forgot, passes FROM grey WHERE k = $1"

#define SCHEMA_SAYS(row) row ".expires > $7 AND " row ".first > grey.forgot AND " row ".first > excluded.forgot"

/* `better` of a column where both say something. */
#define SCHEMA_PICK(column, better) \
    column " = CASE WHEN " SCHEMA_SAYS("grey") " AND " SCHEMA_SAYS("excluded") " AND grey." column " " better \
    " excluded." column " THEN grey." column " WHEN " SCHEMA_SAYS("excluded") " THEN excluded." column \
    " WHEN " SCHEMA_SAYS("grey") " THEN grey." column " ELSE 0 END"

/* $1-$6: the columns; $7: now. */
#define SCHEMA_MERGE \
    "INSERT INTO grey(k, first, last, expires, forgot, passes) VALUES($1, $2, $3, $4, $5, $6)" \
    " ON CONFLICT(k) DO UPDATE SET " SCHEMA_PICK("first", "<") ", " SCHEMA_PICK("last", ">") ", " \
    SCHEMA_PICK("expires", ">") ", " SCHEMA_PICK("passes", ">") ", " \
    "forgot = CASE WHEN grey.forgot > excluded.forgot THEN grey.forgot ELSE excluded.forgot END"
