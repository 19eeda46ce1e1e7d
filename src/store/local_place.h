/*
 * local_place: is the local store's file still where it was opened, and what brings it back? Private to local.c.
 *
 * Whoever removes or replaces a SQLite file under a process that has it open leaves that process with one that nobody
 * else sees, and that is gone when it ends.
 */
#pragma once

#include "store/local.h"

#include <sqlite3.h>
#include <sys/stat.h>

enum { LOCAL_PLACE_FILES = 3 }; /* the database, its log and the log's index */

struct local_place {
    const char *path; /* borrowed */
    struct stat files[LOCAL_PLACE_FILES]; /* as they were when it was opened; st_ino 0: there was none */
    sqlite3 *copy; /* NULL: nothing is brought back */
    sqlite3_backup *backup;
};

/* `path` was opened, and read from. */
void local_place_open(struct local_place *place, const char *path);
enum local_place_state local_place_look(const struct local_place *place);

/* As local_restore_on(). Returns 1, 0 or -errno. */
int local_place_restore_on(struct local_place *place, sqlite3 *db, int n_pages);

/* Before `db` is closed: what stands at the path and is not its own is left alone. */
void local_place_leave(struct local_place *place, sqlite3 *db);
/* After it was closed: a log of its own that was left would be taken for that of the file that stands there now. */
void local_place_close(const struct local_place *place);
