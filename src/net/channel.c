/*
 * channel: packets with descriptors between our own processes.
 *
 * SOCK_SEQPACKET keeps the borders of messages, is reliable and says when the other side is gone, so there is no
 * framing here. Descriptors travel as SCM_RIGHTS and arrive close-on-exec. A message is read into the loop's scratch
 * buffer, which is as large as the largest message: a waiting channel owns no memory.
 *
 * Both ends are ours, but a worker meets the network: what is cut, or carries control data that does not fit, is
 * dropped whole and its descriptors closed; the kernel itself discards those beyond what the control buffer holds.
 *
 * Rejected: a stream socket with length prefixes (descriptors would attach to bytes, not to messages); a queue for
 * what does not fit (the caller knows better what to do than to wait).
 */
#include "net/channel.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES_MAX = 64 }; /* read in one turn before others get theirs */

_Static_assert((int)CHANNEL_MESSAGE_MAX <= (int)LOOP_SCRATCH, "a message fits the scratch buffer");

union control { /* aligned for cmsghdr */
    char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
    struct cmsghdr header;
};

int channel_pair(int ret_fds[2]) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

int channel_send(int fd, const void *message, size_t len, const int *fds, size_t n_fds) {
    union control control;
    struct iovec part = { .iov_base = (void *)message, .iov_len = len };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    if (len == 0 || len > CHANNEL_MESSAGE_MAX || n_fds > CHANNEL_FDS_MAX)
        return -EINVAL;
    if (n_fds) {
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, n_fds * sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == ENOBUFS || errno == ETOOMANYREFS ? -EAGAIN : -errno;
    return 0;
}

/* Collects the descriptors of all control messages. */
static size_t take_fds_of(struct msghdr *header, int *ret_fds) {
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (here > CHANNEL_FDS_MAX - n)
            here = CHANNEL_FDS_MAX - n;
        memcpy(ret_fds + n, CMSG_DATA(c), here * sizeof(int));
        n += here;
    }
    return n;
}

static void on_gone(struct channel *channel) {
    watch_stop(channel->loop, &channel->watch);
    channel->on_message(channel, NULL, 0, NULL, 0);
}

/* Reads one message. Returns whether there may be another. */
static bool receive_one(struct channel *channel) {
    union control control;
    int fds[CHANNEL_FDS_MAX];
    struct iovec part = { .iov_base = loop_scratch(channel->loop), .iov_len = CHANNEL_MESSAGE_MAX };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes };
    ssize_t n = recvmsg(channel->watch.fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0 && (n < 0 || header.msg_controllen == 0)) { /* an empty message is never sent: the end, or ECONNRESET */
        on_gone(channel);
        return false;
    }
    size_t n_fds = take_fds_of(&header, fds);
    if (n == 0 || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        while (n_fds)
            close(fds[--n_fds]);
        return true;
    }
    channel->on_message(channel, part.iov_base, (size_t)n, fds, n_fds);
    return true;
}

static void on_channel(struct watch *watch, uint32_t events) {
    struct channel *channel = (struct channel *)((char *)watch - offsetof(struct channel, watch));
    int fd = watch->fd;
    for (int i = 0; i < MESSAGES_MAX && watch->fd == fd && receive_one(channel); i++) {
    }
}

int channel_start(struct channel *channel, struct loop *loop, int fd, channel_fn *on_message, void *arg) {
    *channel = (struct channel){ .loop = loop, .on_message = on_message, .arg = arg };
    int r = watch_start(loop, &channel->watch, fd, EPOLLIN, on_channel);
    if (r < 0)
        channel->watch.fd = -1;
    return r;
}

void channel_stop(struct channel *channel) {
    if (channel->loop)
        watch_stop(channel->loop, &channel->watch);
}
