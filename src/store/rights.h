/*
 * rights: what the store process gives up before it meets a worker, and what it still may.
 *
 * Without a shared store: the folder of its file, and no network. With one also what its client needs: sockets to
 * connect, the files by which names are looked up, the libraries and certificates of the system, and the files that
 * `postgresql` names (a password file, certificates).
 */
#pragma once

#include "store/process.h"
#include "store/shared.h"

/*
 * What the environment says to PostgreSQL's client counts no more, and HOME is that of the user the process becomes.
 * To be called before the client's library is loaded.
 */
void rights_clean_environment(const char *user);

/* `shared`: NULL: none. Returns 0 (gaps are logged) or -errno, logged. */
int rights_give_up(const struct store_setup *setup, const struct shared_ops *shared);

/*
 * Whether a file that the client needs was replaced by another one, or came with a folder that was not there: then it
 * cannot be read from in here, and only a process that begins anew can.
 */
bool rights_are_stale(const struct store_setup *setup, const struct shared_ops *shared);
