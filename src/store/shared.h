/*
 * shared: a store that several hosts share, as the store process sees it: reads and merges in batches, asynchronously.
 *
 * One implementation, postgres.c, is a loadable module (libpq brings Kerberos, LDAP and TLS libraries along, so only a
 * store process that is told to use it loads it). At most one read, merge or sweep is under way at a time. A failure of
 * any kind ends in SHARED_AWAY: the store goes on with the local rows, and on_up says when the server is back. Nothing
 * here waits.
 */
#pragma once

#include "base/buf.h"
#include "net/loop.h"
#include "store/row.h"

#include <stddef.h>

enum shared_result { SHARED_DONE, SHARED_AWAY };
enum shared_task { SHARED_INIT, SHARED_UPGRADE };

struct shared;

struct shared_events {
    /*
     * It can be used (again), with this hash key. `server` names what holds the rows, in less than SCHEMA_SERVER_MAX
     * characters: another text when rows that were merged may be missing.
     */
    void (*on_up)(void *arg, const uint8_t *key, const char *server);
    /* It cannot be used, and why: one line for the log, again if it changes. */
    void (*on_down)(void *arg, const char *why);
    /* How far the shared store's clock is ahead of this host's: before on_up, and again from time to time. */
    void (*on_clock)(void *arg, int64_t ahead_ms);
    /* A read: rows[i].passes etc. are filled in and has[i] set where the store holds one. */
    void (*on_read)(void *arg, enum shared_result result);
    void (*on_merged)(void *arg, enum shared_result result);
    /* `problem`: why it was refused, by a server that is there otherwise; NULL: it was not. */
    void (*on_swept)(void *arg, enum shared_result result, uint64_t n_dropped, const char *problem);
};

struct shared_ops { /* exported by the module as `postern_shared` */
    uint32_t version; /* SHARED_VERSION */
    /*
     * Begins to connect, and goes on trying with growing pauses. `conninfo` as libpq's; `key` is the hash key that this
     * host once had from the shared store, which an empty schema takes over; NULL: it never had one. Returns 0 or
     * -errno (the options make no sense; `error` says why).
     */
    int (*open)(struct loop *loop, const char *conninfo, const uint8_t *key, uint64_t timeout_ms,
                const struct shared_events *events, void *arg, char *error, size_t error_size, struct shared **ret);
    void (*close)(struct shared *take_shared);
    /* Each file or folder that `conninfo` names, which open() must be able to read for as long as it is used. */
    void (*files)(const char *conninfo, void (*on_file)(void *arg, const char *path), void *arg);
    /* Each TCP port that `conninfo` names, or none and means. */
    void (*ports)(const char *conninfo, void (*on_port)(void *arg, uint16_t port), void *arg);
    /* Arrays stay valid until the completion. Sorted by key, each key once. Returns 0 or -errno: nothing follows. */
    int (*read)(struct shared *shared, struct row *rows, bool *has, size_t n);
    int (*merge)(struct shared *shared, const struct row *rows, size_t n, int64_t now);
    /* Drops the rows with these keys, both included, that are spent (row.h) by the server's clock. */
    int (*sweep)(struct shared *shared, int64_t from, int64_t to);
    /*
     * For `postern store`: makes the tables, or brings older ones up to date; new ones get `key`. Blocks. Returns 0 or
     * a negative error; `report` says in one line what was done or why not.
     */
    int (*administer)(enum shared_task task, const char *conninfo, const uint8_t *key, struct buf *report);
    /*
     * For `postern explain`: fills in the rows whose keys are given, in any order, and `has`. Writes nothing. Blocks,
     * for some seconds at most. Returns 0 or a negative error; `report` says in one line why.
     */
    int (*look)(const char *conninfo, struct row *rows, bool *has, size_t n, struct buf *report);
};

enum { SHARED_VERSION = 7 };

/* Loads the module at `path`. NULL: it cannot be loaded, or is of another version; `why` says so in one line. */
const struct shared_ops *shared_load(const char *path, struct buf *why);
