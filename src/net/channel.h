/*
 * channel: datagrams with descriptors between our own processes (SOCK_SEQPACKET socket pairs).
 *
 * One message is one packet of 1 to CHANNEL_MESSAGE_MAX bytes with at most CHANNEL_FDS_MAX descriptors. Sending never
 * waits: a full channel is -EAGAIN and the caller decides (a handed-over connection is served where it is). The
 * reader gets the number of bytes and the descriptors; what they mean is the caller's affair. A message that was cut
 * or has too many descriptors is dropped with its descriptors closed.
 */
#pragma once

#include "net/loop.h"

#include <stddef.h>

enum { CHANNEL_MESSAGE_MAX = 65536, CHANNEL_FDS_MAX = 16 };

/* Returns 0 or -errno; both ends non-blocking and close-on-exec. */
int channel_pair(int ret_fds[2]);

/* Borrows the descriptors. Returns 0 or -errno (-EAGAIN: full; -EINVAL: empty, or past a maximum). */
int channel_send(int fd, const void *message, size_t len, const int *fds, size_t n_fds);

struct channel;
/*
 * The descriptors belong to the callee, the message is valid until it returns. len 0 and n_fds 0: the other side is
 * gone, and the channel has stopped.
 */
typedef void channel_fn(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds);

struct channel {
    struct watch watch;
    struct loop *loop;
    channel_fn *on_message;
    void *arg;
};

/* `fd` is borrowed: the owner closes it after channel_stop(). Returns 0 or -errno. */
int channel_start(struct channel *channel, struct loop *loop, int fd, channel_fn *on_message, void *arg);
void channel_stop(struct channel *channel);
