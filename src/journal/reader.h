/*
 * reader: the lines of a folder of journal files, plain and compressed.
 *
 * Files are those of files.h; which of them can hold a record follows from their names (when begun, by which process)
 * and from when they were last written to. A file that a worker writes to is read as far as it goes; a line without an
 * end, or longer than JOURNAL_LINE_MAX, is skipped.
 */
#pragma once

#include "journal/members.h"

#include <stdint.h>

enum { JOURNAL_LINE_MAX = 1 << 20 };

/* A line without its end, which may be changed. Anything but 0 ends reading and is returned. */
typedef int journal_line_fn(void *arg, char *line, size_t len);

/* One file; ".zst" at the end of its name: compressed. Returns 0, what `fn` returned, or -errno (-EBADMSG: damaged). */
int journal_read_file(const char *path, journal_line_fn *fn, void *arg);

/*
 * Every file of `dir` that may hold records written at or after `since_ms` (wall clock; 0: all), in the order of their
 * names; the lines in them may be older. Goes on behind a file that is damaged or gone. Returns 0, what `fn` returned,
 * or the first -errno.
 */
int journal_read(const char *dir, uint64_t since_ms, journal_line_fn *fn, void *arg);

/*
 * The records that decision "ID.n" (or a decision of session "ID") may have been counted in, having none of its own:
 * those of its process with `repeated` whose ids, from `id` to `last_id`, it lies between. Calls `fn` for each. Returns
 * 0, what `fn` returned, -EINVAL (not an id), or the first -errno.
 */
int journal_find_folded(const char *dir, const char *id, journal_line_fn *fn, void *arg);

/*
 * Finds the record of a decision, "ID.n", or the first one of a session, "ID", written as id_clean() takes it. Opens
 * only files that can hold it, those of its process first. Returns 1 with the line (no NUL behind it; free it), 0 when
 * there is none, -EINVAL (not an id), or -errno.
 */
int journal_find(const char *dir, const char *id, char **ret_line, size_t *ret_len);
