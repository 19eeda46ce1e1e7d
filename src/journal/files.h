/*
 * files: the master's side of the journal: opens, rotates, compresses, expires.
 *
 * PATH/postern-YYYYMMDD-HHMMSS-PROCESS.jsonl, one a worker process; closed ones become .jsonl.zst (libzstd, in a child of low priority) and are removed after keep_days. Names sort by time.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

/* Creates and opens a journal file for a worker process (mode 0640), returns the descriptor or -errno; its path goes to `ret_path`. */
int journal_files_open(const char *dir, unsigned process, uint64_t wall_ms, struct buf *ret_path);

/* True when the file behind `path` is larger than `max_size`, or was begun on an earlier UTC day than `wall_ms`. */
bool journal_files_is_due(const char *path, uint64_t max_size, uint64_t wall_ms);

/* Compresses PATH to PATH.zst (written beside, synced, renamed) and removes PATH. Blocks: for a child process. Returns 0 or -errno. */
int journal_files_compress(const char *path);

/* Compresses every .jsonl in `dir` that is not in `in_use` (n paths), and removes files older than keep_days. Blocks: for a child process. Returns 0 or the first -errno. */
int journal_files_tidy(const char *dir, const char *const *in_use, size_t n, unsigned keep_days, uint64_t wall_ms);
