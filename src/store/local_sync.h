/*
 * local_sync: the thread that keeps the local store's log synced and short, without holding up who writes it.
 *
 * Private to local.c.
 */
#pragma once

#include <stdbool.h>

struct local_sync;

/* `path`: of the database. Returns 0 or -errno. */
int local_sync_start(const char *path, struct local_sync **ret_sync);
/* Ends the thread after a last sync. Accepts NULL. */
void local_sync_stop(struct local_sync *take_sync);

/* A transaction has been committed, and the log has this many pages. */
void local_sync_note(struct local_sync *sync, int log_pages);

/* True where the log has grown so long that its writer should help, between two transactions. */
bool local_sync_needs_help(const struct local_sync *sync);
void local_sync_helped(struct local_sync *sync);
