/*
 * unix_socket: who may connect, and who listens there already?
 *
 * The file is made without rights for others and opened up afterwards, group first, so that there is no moment in which
 * somebody can connect who should not. That it is still the socket is made sure by a descriptor of the file itself
 * (O_PATH): root may have made it in a folder of somebody else, who could put a link to another file in its place.
 *
 * Rejected: removing whatever stands at the path before bind(). Two instances started by mistake would take each
 * other's clients away without a word.
 */
#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(UNIX_SOCKET_PATH_MAX == sizeof(((struct sockaddr_un *)0)->sun_path) - 1, "a path and its NUL");

/* Is somebody listening there? Then it is another instance of ours, and its socket must not be taken away. */
static int remove_stale(const struct sockaddr_un *at) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ? 0 : -errno;
    close(fd);
    if (r == 0 || r == -EAGAIN) /* EAGAIN: it listens, its backlog is full */
        return -EADDRINUSE;
    if (r == -ENOENT)
        return 0;
    struct stat st;
    if (lstat(at->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return -EEXIST; /* a file that is none of ours */
    if (r != -ECONNREFUSED)
        return r;
    return unlink(at->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

int unix_socket_set_access(const char *path, mode_t mode, gid_t group) {
    char name[32];
    struct stat st;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &st) < 0 ? -errno : S_ISSOCK(st.st_mode) ? 0 : -ENOTSOCK;
    if (r == 0 && group != (gid_t)-1 && st.st_gid != group && fchownat(fd, "", (uid_t)-1, group, AT_EMPTY_PATH) < 0)
        r = -errno;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd); /* fchmod() takes no descriptor of O_PATH */
    if (r == 0 && chmod(name, mode) < 0)
        r = -errno;
    close(fd);
    return r;
}

int unix_socket_open(const char *path, mode_t mode, gid_t group, int backlog, int *ret_fd) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path));
    int r = remove_stale(&at);
    if (r != 0)
        return r;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    mode_t before = umask(0177);
    bool is_bound = bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    r = is_bound ? 0 : -errno;
    umask(before);
    if (r == 0)
        r = unix_socket_set_access(path, mode, group);
    if (r == 0 && listen(fd, backlog) < 0)
        r = -errno;
    if (r == 0) {
        *ret_fd = fd;
        return 0;
    }
    if (is_bound)
        unlink(path);
    close(fd);
    return r;
}
