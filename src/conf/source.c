/*
 * source: how much of what a path names may be taken into memory?
 *
 * Regular files up to SOURCE_MAX bytes. The file is opened without waiting and looked at before it is read, since a
 * configuration may name anything: a pipe would block the start for ever, /dev/zero would fill the memory. A file that
 * grows while it is read is taken at the size it had.
 */
#include "conf/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int size_of(int fd, size_t *ret_size) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size > SOURCE_MAX)
        return -EFBIG;
    *ret_size = (size_t)st.st_size;
    return 0;
}

static int read_all(int fd, struct arena *arena, struct str *ret_text) {
    size_t size = 0, len = 0;
    int r = size_of(fd, &size);
    if (r < 0)
        return r;
    char *at = arena_alloc(arena, size + 1);
    if (at == NULL)
        return -ENOMEM;
    while (len < size) {
        ssize_t n = read(fd, at + len, size - len);
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

int source_read(const char *path, struct arena *arena, struct str *ret_text) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int r = read_all(fd, arena, ret_text);
    close(fd);
    return r;
}
