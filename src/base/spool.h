/*
 * spool: one message between client and mailbox server: memory first, an unlinked temporary file past `memory_max`.
 *
 * Holds canonical text (smtp/data.h). Nothing survives a crash, and nothing should: until the mailbox server has said
 * 250 the message is its sender's.
 */
#pragma once

#include "base/budget.h"
#include "base/buf.h"

#include <stdint.h>

enum { SPOOL_ROOM_MAX = 256 * 1024 }; /* most bytes asked for at once */

struct spool {
    struct buf memory;
    int fd;             /* -1: all in memory */
    uint64_t file_size; /* bytes in the file, which come before those in memory */
    size_t memory_max;
    const char *dir;
    struct budget *budget; /* of which all it holds is taken; NULL: none */
};

/* `dir` is borrowed. */
void spool_init(struct spool *spool, const char *dir, size_t memory_max);
void spool_deinit(struct spool *spool);

/* Room for at least `len` (<= SPOOL_ROOM_MAX) bytes to write into; NULL: no memory. Follow with spool_wrote(). */
char *spool_room(struct spool *spool, size_t len);
/* `len` bytes were written into the room. Returns 0, -ENOBUFS (past the budget), or -errno of the file (-ENOSPC …): the
 * message is lost to us, not to its sender. */
int spool_wrote(struct spool *spool, size_t len);

/* It counts on no budget any more: what it belongs to may go before it does. */
void spool_leave_budget(struct spool *spool);

uint64_t spool_size(const struct spool *spool);

/*
 * Reads at `offset` without copying when it can: *ret points into memory (then more than scratch_len bytes may come) or
 * into `scratch`. Returns bytes (0: end, *ret untouched) or -errno.
 */
long spool_read(struct spool *spool, uint64_t offset, char *scratch, size_t scratch_len, const char **ret);
