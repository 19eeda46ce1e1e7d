/*
 * stream_tls: the TLS side of stream.c. Private to the two files.
 *
 * The same three verbs that the plain side has as system calls. Each returns a count > 0, or 0 (the peer closed),
 * -EAGAIN (wait; the flags say for what), -EPROTO (TLS failed: stream->tls_error, or the verify result), or another
 * -errno.
 */
#pragma once

#include "net/stream.h"

#include <sys/types.h>

enum stream_flag {
    STREAM_OPEN = 1 << 0,
    STREAM_CONNECTING = 1 << 1,
    STREAM_PAUSED = 1 << 2,
    STREAM_HELD = 1 << 3,        /* the kernel may hold bytes that epoll was told not to report */
    STREAM_GONE = 1 << 4,        /* the peer closed its half, or cut the connection */
    STREAM_ENDED = 1 << 5,       /* on_end was called */
    STREAM_MUTE = 1 << 6,        /* ended by more than EOF: nothing is read or written any more */
    STREAM_FAILED = 1 << 7,      /* the task will call on_end */
    STREAM_OFFER = 1 << 8,       /* the task will offer what is kept, and read on */
    STREAM_BLOCKED = 1 << 9,     /* output waits for EPOLLOUT */
    STREAM_BUSY = 1 << 10,       /* in a task of the stream, which flushes when it is done */
    STREAM_HANDSHAKE = 1 << 11,  /* TLS is not up yet */
    STREAM_TLS_NEW = 1 << 12,    /* TLS was started inside the on_data that is running */
    STREAM_OFFERING = 1 << 13,   /* on_data is running */
    STREAM_READ_WANTS_OUT = 1 << 14,
    STREAM_WRITE_WANTS_IN = 1 << 15,
    STREAM_TLS_IDLE = 1 << 16,   /* the peer sent too many records without data */
    STREAM_END_SHIFT = 24,       /* two bits: the enum stream_end of STREAM_FAILED */
};

int stream_tls_begin(struct stream *stream, SSL_CTX *tls, bool is_server, const char *name);
int stream_tls_handshake(struct stream *stream);
ssize_t stream_tls_recv(struct stream *stream, void *at, size_t len);
ssize_t stream_tls_send(struct stream *stream, const void *at, size_t len);

/* close_notify if the handshake was done and nothing failed; frees the SSL. */
void stream_tls_end(struct stream *stream);
