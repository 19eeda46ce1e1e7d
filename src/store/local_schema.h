/*
 * local_schema: makes the local store's tables, and reads what a file says of itself. Private to local.c.
 */
#pragma once

#include "store/local.h"
#include "store/schema.h"

#include <sqlite3.h>

struct local_meta {
    uint8_t key[GREYLIST_KEY_SIZE];
    bool is_shared; /* the key is a shared store's */
    int64_t ahead_ms; /* of the shared store's clock, as last measured */
    char server[SCHEMA_SERVER_MAX]; /* the shared store that has all rows; "": none */
};

/*
 * Sets the connection up, makes the tables where the file is empty, and checks them where it is not. Returns 0 or, with
 * the reason in `why`, what local_open() does.
 */
int local_schema_open(sqlite3 *db, bool syncs_always, struct local_meta *ret_meta, char *why, size_t why_size);

/* Inside a transaction: takes the key, and drops the rows if they are under another one. Returns 0 or -EIO. */
int local_schema_adopt(sqlite3 *db, const struct local_meta *old, const struct local_meta *meta,
                       uint64_t *ret_dropped);

/* Writes ahead_ms or server down. Returns 0 or -EIO. */
int local_schema_keep_clock(sqlite3 *db, int64_t ahead_ms);
int local_schema_keep_server(sqlite3 *db, const char *server);

/* Bytes of the file. Returns 0 or -EIO, as the next. */
int local_schema_size(sqlite3 *db, uint64_t *ret_bytes);
int local_schema_count(sqlite3 *db, struct local_counts *ret_counts);
