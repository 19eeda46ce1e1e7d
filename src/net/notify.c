/*
 * notify: what systemd wants to hear, and the sockets it may have opened for us.
 *
 * The protocol is a datagram to a Unix socket and two environment variables; both are documented as stable
 * interfaces, and their author advises to speak them directly rather than to link a library that brings compression
 * and cryptography into every process.
 */
#include "net/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_FIRST = 3, LISTEN_FDS_MAX = 1024 };

int notify_send(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path || !path[0])
        return 0;
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof to.sun_path)
        return -EINVAL;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') /* the abstract name space */
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    socklen_t to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t n = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, to_len);
    int r = n < 0 ? -errno : 0;
    close(fd);
    return r;
}

/* A whole decimal number, or -1. */
static long number_in(const char *name) {
    const char *text = getenv(name);
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || *end ? -1 : value;
}

uint64_t notify_watchdog_ms(void) {
    const long pid = number_in("WATCHDOG_PID"), usec = number_in("WATCHDOG_USEC");
    const bool is_ours = getenv("WATCHDOG_PID") == NULL || pid == (long)getpid();
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    if (!is_ours || usec <= 0)
        return 0;
    return usec < 2000 ? 2 : (uint64_t)usec / 1000;
}

int notify_listen_fds(void) {
    long pid = number_in("LISTEN_PID"), n = number_in("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (pid != (long)getpid() || n <= 0 || n > LISTEN_FDS_MAX)
        return 0;
    for (int fd = LISTEN_FIRST; fd < LISTEN_FIRST + n; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
            return 0;
    }
    return (int)n;
}
