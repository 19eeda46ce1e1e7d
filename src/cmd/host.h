/*
 * host: what the master asks of the machine before it serves: folders, descriptors, cores.
 */
#pragma once

#include "conf/conf.h"

#include <sys/types.h>

/*
 * Makes a folder and those above it where they are missing (mode, and the owner's uid and gid where `owner` is not
 * NULL, for the last one alone). A folder that exists is left as it is. Returns 0 or -errno (-ENOENT for an unknown
 * owner included).
 */
int host_make_folder(const char *path, mode_t mode, const char *owner);

/* Makes the folders that `conf` needs. On failure `error` names the folder. Returns 0 or -errno. */
int host_make_folders(const struct conf *conf, struct buf *error);

/* Raises RLIMIT_NOFILE to what one worker may need. Returns 0, or the number that could be had when it is less. */
unsigned long host_raise_files(const struct conf *conf, unsigned long *ret_needed);

/* The number of workers that `conf` asks for, 1 to WORKER_MAX. */
unsigned host_workers(const struct conf *conf);
