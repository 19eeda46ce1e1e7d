/*
 * files: the master's side of the journal: opens, rotates, compresses, expires.
 *
 * PATH/postern-YYYYMMDD-HHMMSS-PROCESS.jsonl (UTC), one a worker process; closed ones become .jsonl.zst (libzstd, in a
 * child of low priority) and are removed after keep_days. Names sort by time. Files of other names are left alone.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* A name of a journal file (without folder), plain or compressed: when it was begun, and by which process. */
bool journal_files_parse(const char *name, uint64_t *ret_begun_ms, unsigned *ret_process);

/*
 * Creates and opens a journal file for a worker process (mode 0640), and locks it (flock(2)) for as long as any process
 * has this descriptor: a locked file is live. Returns the descriptor or -errno; its path goes to `ret_path` (a NUL
 * stands behind it). The name may lie some seconds ahead of `wall_ms` when that one is taken.
 */
int journal_files_open(const char *dir, unsigned process, uint64_t wall_ms, struct buf *ret_path);

/* When a file of the journal was last written to, by its time stamp; 0: there is none. */
uint64_t journal_files_newest_ms(const char *dir);

/*
 * True when the file behind `path` is larger than `max_size` bytes (0: any size is fine), was begun on an earlier UTC
 * day than `wall_ms`, or is gone.
 */
bool journal_files_is_due(const char *path, uint64_t max_size, uint64_t wall_ms);

/*
 * Compresses PATH to PATH.zst (written beside, synced, renamed) and removes PATH, unless it is live. Blocks: for a
 * child process. Returns 0 or -errno.
 */
int journal_files_compress(const char *path);

/*
 * Compresses every .jsonl in `dir` that is not live and was begun a minute or longer before `wall_ms`, and removes
 * files of days more than keep_days ago (0: none). Goes on after an error. Blocks: for a child process. Returns 0 or
 * the first -errno.
 */
int journal_files_tidy(const char *dir, unsigned keep_days, uint64_t wall_ms);
