/*
 * source: a file that people write, in memory.
 */
#pragma once

#include "base/arena.h"

enum { SOURCE_MAX = 16 * 1024 * 1024 };

/*
 * Reads a whole regular file into the arena. Returns 0, -EFBIG (more than SOURCE_MAX bytes), -EISDIR, -EINVAL (no
 * regular file: a device or a pipe would never end), or -errno.
 */
int source_read(const char *path, struct arena *arena, struct str *ret_text);
