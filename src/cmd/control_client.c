/*
 * The other side of the control socket: a subcommand that asks and waits.
 *
 * Blocking, with one deadline for the whole answer kept by poll(), since nothing else happens in such a process. The
 * answer ends with the connection; an answer without its first line means that the master went away in between, and
 * is never taken for a success.
 */
#include "cmd/control.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int wait_for(int fd, short events, uint64_t deadline_ms) {
    for (;;) {
        uint64_t now = clock_ms();
        if (now >= deadline_ms)
            return -ETIMEDOUT;
        struct pollfd p = { .fd = fd, .events = events };
        int n = poll(&p, 1, (int)(deadline_ms - now));
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

static int send_all(int fd, const char *at, size_t len, uint64_t deadline_ms) {
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) {
            int r = wait_for(fd, POLLOUT, deadline_ms);
            if (r != 0)
                return r;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

static int read_all(int fd, struct buf *answer, uint64_t deadline_ms) {
    char part[4096];
    for (;;) {
        ssize_t n = recv(fd, part, sizeof(part), 0);
        int r = 0;
        if (n == 0)
            return 0;
        if (n > 0)
            r = buf_put(answer, part, (size_t)n);
        else if (errno == EAGAIN)
            r = wait_for(fd, POLLIN, deadline_ms);
        else if (errno != EINTR)
            r = -errno;
        if (r != 0)
            return r;
    }
}

static int converse(int fd, const char *path, const char *request, uint64_t deadline_ms, struct buf *answer) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        return errno == EAGAIN ? -EBUSY : -errno;
    int r = send_all(fd, request, strlen(request), deadline_ms);
    if (r == 0)
        r = send_all(fd, "\n", 1, deadline_ms);
    return r == 0 ? read_all(fd, answer, deadline_ms) : r;
}

int control_ask(const char *path, const char *request, unsigned timeout_ms, struct buf *answer) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = converse(fd, path, request, clock_ms() + timeout_ms, answer);
    close(fd);
    if (r != 0)
        return r;
    const struct str ok = STR("ok\n"), error = STR("error ");
    if (str_eq(str_head(buf_str(answer), ok.len), ok)) {
        buf_consume(answer, (uint32_t)ok.len);
        return 0;
    }
    if (str_eq(str_head(buf_str(answer), error.len), error)) {
        buf_consume(answer, (uint32_t)error.len);
        return 1;
    }
    return -EPROTO;
}
