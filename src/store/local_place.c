/*
 * local_place: see the header.
 *
 * A file that was removed is copied back from what is still open, a few pages at a time, while questions are answered
 * from there; what they write goes into both (sqlite3_backup keeps up with its own connection). The copy gets the path
 * when it is complete, and only if nothing has come there meanwhile.
 *
 * Rejected: a new, empty file (who had waited would wait again); to put the copy in place of another file (an
 * administrator has restored a backup, and means it).
 */
#include "store/local_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { DATABASE, LOG, INDEX, PATH_SIZE = 4096 };

static const char *const suffixes[LOCAL_PLACE_FILES] = { "", "-wal", "-shm" };

static bool name(const struct local_place *place, const char *suffix, char out[PATH_SIZE]) {
    return snprintf(out, PATH_SIZE, "%s%s", place->path, suffix) < PATH_SIZE;
}

/* st_ino 0: there is none. */
static struct stat look(const struct local_place *place, unsigned file) {
    char path[PATH_SIZE];
    struct stat info = { 0 };
    if (!name(place, suffixes[file], path) || stat(path, &info) < 0)
        info.st_ino = 0;
    return info;
}

static bool is_own(const struct local_place *place, unsigned file) {
    const struct stat now = look(place, file);
    return now.st_ino == place->files[file].st_ino && now.st_dev == place->files[file].st_dev;
}

void local_place_open(struct local_place *place, const char *path) {
    *place = (struct local_place){ .path = path };
    for (unsigned i = 0; i < LOCAL_PLACE_FILES; i++)
        place->files[i] = look(place, i);
}

enum local_place_state local_place_look(const struct local_place *place) {
    if (look(place, DATABASE).st_ino == 0)
        return LOCAL_REMOVED;
    for (unsigned i = 0; i < LOCAL_PLACE_FILES; i++)
        if (place->files[i].st_ino != 0 && !is_own(place, i))
            return LOCAL_REPLACED;
    return LOCAL_IN_PLACE;
}

/* ---- bringing it back */

static bool copy_name(const struct local_place *place, char out[PATH_SIZE]) {
    return name(place, "-restored", out);
}

static int start(struct local_place *place, sqlite3 *db) {
    char path[PATH_SIZE];
    if (!copy_name(place, path))
        return -ENAMETOOLONG;
    unlink(path); /* of one that did not come to its end */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &place->copy, flags, NULL) == SQLITE_OK)
        place->backup = sqlite3_backup_init(place->copy, "main", db, "main");
    return place->backup != NULL ? 0 : -EIO;
}

static void stop(struct local_place *place) {
    char path[PATH_SIZE];
    sqlite3_backup_finish(place->backup);
    sqlite3_close(place->copy);
    place->backup = NULL;
    place->copy = NULL;
    if (copy_name(place, path))
        unlink(path);
}

static int put_in_place(struct local_place *place) {
    char path[PATH_SIZE];
    int r = sqlite3_backup_finish(place->backup) == SQLITE_OK ? 0 : -EIO;
    place->backup = NULL;
    if (r == 0 && copy_name(place, path) && renameat2(AT_FDCWD, path, AT_FDCWD, place->path, RENAME_NOREPLACE) < 0)
        r = errno == EEXIST ? 0 : -errno; /* something came: that counts */
    stop(place);
    return r;
}

int local_place_restore_on(struct local_place *place, sqlite3 *db, int n_pages) {
    int r = place->backup == NULL ? start(place, db) : 0;
    int step = r == 0 ? sqlite3_backup_step(place->backup, n_pages) : SQLITE_ERROR;
    if (step == SQLITE_OK || step == SQLITE_BUSY || step == SQLITE_LOCKED)
        return 1;
    if (step == SQLITE_DONE)
        return put_in_place(place);
    stop(place);
    return r < 0 ? r : step == SQLITE_FULL ? -ENOSPC : -EIO;
}

/* ---- leaving */

void local_place_leave(struct local_place *place, sqlite3 *db) {
    int persists = place->files[LOG].st_ino != 0 && !is_own(place, LOG);
    if (place->backup != NULL || place->copy != NULL)
        stop(place);
    if (persists && db != NULL) /* or SQLite would remove another's log */
        sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &persists);
}

void local_place_close(const struct local_place *place) {
    char path[PATH_SIZE];
    for (unsigned i = LOG; i < LOCAL_PLACE_FILES; i++)
        if (place->path != NULL && place->files[i].st_ino != 0 && !is_own(place, DATABASE) && is_own(place, i)
            && name(place, suffixes[i], path))
            unlink(path);
}
