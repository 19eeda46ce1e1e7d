/*
 * file: how much of what a path names may be taken into memory?
 *
 * Regular files up to a size. The file is opened without waiting and looked at before it is read: a pipe would block
 * the start for ever, /dev/zero would fill the memory. A file that grows while it is read is taken at the size it had,
 * and one that shrinks as far as it reaches.
 *
 * Rejected: mapping the file. Whoever truncates it meanwhile would stop the program by SIGBUS.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t file_fill(int fd, char *to, size_t size, size_t least) {
    size_t len = 0;
    while (len < least) {
        ssize_t n = read(fd, to + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int size_of(int fd, size_t max, size_t *ret_size) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if ((uintmax_t)st.st_size > max)
        return -EFBIG;
    *ret_size = (size_t)st.st_size;
    return 0;
}

int file_read_fd(int fd, size_t max, struct arena *arena, struct str *ret_text) {
    size_t size = 0, len = 0;
    int r = size_of(fd, max, &size);
    if (r < 0)
        return r;
    char *at = arena_alloc(arena, size + 1);
    if (at == NULL)
        return -ENOMEM;
    while (len < size) {
        ssize_t n = pread(fd, at + len, size - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    at[len] = '\0';
    *ret_text = (struct str){ at, len };
    return 0;
}

int file_read(const char *path, size_t max, struct arena *arena, struct str *ret_text) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = file_read_fd(fd, max, arena, ret_text);
    close(fd);
    return r;
}

int file_write(int fd, const char *at, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}
