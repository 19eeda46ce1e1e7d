/*
 * spool: where does a message stay between the client's data and the mailbox server?
 *
 * In one growing buffer while it is small, as nearly all are: no system call, and the relay sends straight out of it.
 * Once it holds more than memory_max bytes it is emptied into an unlinked temporary file, and filled again; so the file
 * holds the front of the message and the buffer its end, and at most memory_max plus one piece of a message is ever in
 * memory.
 *
 * The file is made with O_TMPFILE, so it never has a name; where the file system does not know that, it gets a name
 * that is taken away at once. It is not synced: a message that is only here is still its sender's.
 *
 * Rejected: mapping the file (a full disk becomes SIGBUS instead of ENOSPC); one shared file for all messages (needs a
 * free list, and a crash of that code mixes mail).
 */
#include "base/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void spool_init(struct spool *spool, const char *dir, size_t memory_max) {
    assert(memory_max + SPOOL_ROOM_MAX <= UINT32_MAX);
    *spool = (struct spool){ .fd = -1, .memory_max = memory_max, .dir = dir };
    buf_init(&spool->memory, (uint32_t)(memory_max + SPOOL_ROOM_MAX));
}

void spool_leave_budget(struct spool *spool) {
    budget_give(spool->budget, spool_size(spool));
    spool->budget = NULL;
}

void spool_deinit(struct spool *spool) {
    budget_give(spool->budget, spool_size(spool));
    buf_deinit(&spool->memory);
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
    spool->file_size = 0;
}

/* A file with a name for a moment, for file systems without O_TMPFILE. */
static int open_named(const char *dir) {
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/message.XXXXXX", dir);

    if (len < 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (unlink(path) < 0) {
        int err = errno;
        close(fd);
        return -err;
    }
    return fd;
}

static int open_file(const char *dir) {
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    if (errno == EOPNOTSUPP || errno == EISDIR)
        return open_named(dir);
    return -errno;
}

static int write_all(int fd, const char *at, size_t len, uint64_t offset) {
    while (len > 0) {
        ssize_t n = pwrite(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        at += n;
        len -= (size_t)n;
        offset += (size_t)n;
    }
    return 0;
}

static int spill(struct spool *spool) {
    if (spool->fd < 0) {
        int fd = open_file(spool->dir);

        if (fd < 0)
            return fd;
        spool->fd = fd;
    }
    int r = write_all(spool->fd, spool->memory.at, spool->memory.len, spool->file_size);
    if (r < 0)
        return r;
    spool->file_size += spool->memory.len;
    buf_clear(&spool->memory);
    return 0;
}

char *spool_room(struct spool *spool, size_t len) {
    return len <= SPOOL_ROOM_MAX ? buf_room(&spool->memory, len) : NULL;
}

int spool_wrote(struct spool *spool, size_t len) {
    if (!budget_take(spool->budget, len))
        return -ENOBUFS;
    spool->memory.len += (uint32_t)len;
    return spool->memory.len > spool->memory_max ? spill(spool) : 0;
}

uint64_t spool_size(const struct spool *spool) {
    return spool->file_size + spool->memory.len;
}

static long read_file(const struct spool *spool, uint64_t offset, char *scratch, size_t len) {
    uint64_t left = spool->file_size - offset;

    if (len > left)
        len = (size_t)left;
    for (;;) {
        ssize_t n = pread(spool->fd, scratch, len, (off_t)offset);

        if (n > 0 || len == 0)
            return n;
        if (n == 0)
            return -EIO; /* shorter than what was written: someone cut it */
        if (errno != EINTR)
            return -errno;
    }
}

long spool_read(struct spool *spool, uint64_t offset, char *scratch, size_t scratch_len, const char **ret) {
    if (offset < spool->file_size) {
        *ret = scratch;
        return read_file(spool, offset, scratch, scratch_len);
    }
    offset -= spool->file_size;
    if (offset >= spool->memory.len)
        return 0;
    *ret = spool->memory.at + offset;
    return (long)(spool->memory.len - offset);
}
