/*
 * memory_file: a copy of a file that lives in memory and that no process can change or cut any more, for handing to
 * other processes: what was checked is what all of them read, whatever becomes of the file.
 */
#pragma once

#include <stddef.h>

/* Makes an empty one, named so in /proc. Returns the descriptor, to be written to, or -errno. */
int memory_file_new(const char *name);

/*
 * Copies the first `size` bytes of `fd`, which stands where it stood afterwards. Returns 0, -ESTALE (it is shorter) or
 * -errno.
 */
int memory_file_copy(int memory_fd, int fd, size_t size);

/*
 * Ends all writing. Returns a descriptor for reading, which shares one copy with whoever maps it, or -errno;
 * `take_memory_fd` is closed in any case.
 */
int memory_file_seal(int take_memory_fd);
