/*
 * local_index: see the header.
 *
 * The index of SQLite's log (-shm) begins with a header (https://www.sqlite.org/walformat.html, section 2.1) that each
 * commit writes anew, with a count of commits and a checksum, before it returns. It stands in memory that all
 * connections share, and SQLite's own reads begin by looking there. We ask SQLite for its mapping, and compare all
 * bytes of the header with those seen before: one that is being written is another one. A commit of our own is no news:
 * if the count has risen by just that one, the header is taken for seen.
 *
 * Rejected: a mapping of our own (to close a descriptor of the file would drop SQLite's locks); to read the count alone
 * (a header that is half written would pass for whole).
 */
#include "store/local_index.h"

#include <stdatomic.h>
#include <stddef.h>

enum {
    REGION = 32768, /* the piece in which SQLite maps the index */
    COMMITS = 2,    /* the word of the header that counts them */
};

void local_index_open(struct local_index *index, sqlite3 *db) {
    sqlite3_file *file = NULL;
    volatile void *at = NULL;
    *index = (struct local_index){ 0 };
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file->pMethods != NULL
        && file->pMethods->iVersion >= 2 && file->pMethods->xShmMap(file, 0, REGION, 0, &at) == SQLITE_OK)
        index->header = at;
}

/* Returns whether it is the one seen before. */
static bool see(struct local_index *index) {
    bool is_same = true;
    for (size_t i = 0; i < LOCAL_INDEX_WORDS; i++) {
        uint32_t word = index->header[i];
        is_same &= word == index->seen[i];
        index->seen[i] = word;
    }
    return is_same;
}

bool local_index_is_still(struct local_index *index) {
    bool is_still = index->header != NULL && see(index);
    atomic_thread_fence(memory_order_acquire); /* what is read behind it is not older */
    return is_still;
}

void local_index_on_commit(struct local_index *index) {
    if (index->header != NULL && index->header[COMMITS] == index->seen[COMMITS] + 1)
        see(index);
}
