/*
 * local_index: has anybody committed into the local store's file since we last looked? Without a system call, where
 * SQLite's own answer (PRAGMA data_version) takes a transaction. Private to local.c.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { LOCAL_INDEX_WORDS = 12 };

struct local_index {
    const volatile uint32_t *header;  /* NULL: there is none, and each look finds that somebody may have */
    uint32_t seen[LOCAL_INDEX_WORDS]; /* when it was looked at last */
};

/* `db`: in WAL mode, and has read something. Good until it is closed. */
void local_index_open(struct local_index *index, sqlite3 *db);

/*
 * True: since the look before, nobody has committed but `db` itself, as far as that was told. What was committed before
 * this look is seen by each transaction that begins behind it.
 */
bool local_index_is_still(struct local_index *index);

/* `db` has committed something (sqlite3_wal_hook() says so once for each). */
void local_index_on_commit(struct local_index *index);
