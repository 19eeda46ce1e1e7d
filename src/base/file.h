/*
 * file: files that are read from their beginning to their end, into memory; and all of some bytes into a file.
 *
 * Whoever reads a whole file says how large it may be: what a path names may be anything, and a configuration names
 * paths.
 */
#pragma once

#include "base/arena.h"

#include <sys/types.h>

/*
 * Reads from where the file stands until `least` of the `size` bytes are there, or it ends. Interrupted reads go on.
 * Returns how many, or -errno. For pipes too.
 */
ssize_t file_fill(int fd, char *to, size_t size, size_t least);

/*
 * Reads a whole regular file of at most `max` bytes into the arena; a NUL stands behind it. Never waits for a pipe's
 * writer. Returns 0, -EFBIG, -EISDIR, -EINVAL (no regular file: a device or a pipe might never end) or -errno.
 */
int file_read(const char *path, size_t max, struct arena *arena, struct str *ret_text);

/* The same of an open file, from its beginning; where it stands is left alone. */
int file_read_fd(int fd, size_t max, struct arena *arena, struct str *ret_text);

/* Writes all of it, where the file stands. Interrupted writes go on. Returns 0 or -errno. */
int file_write(int fd, const char *at, size_t len);
