/*
 * stream: a TCP or Unix connection with optional TLS: bytes in by callback, bytes out by buffer.
 *
 * Embedded in the session or the mailbox-server connection that owns it. An idle plain stream owns no memory: reading
 * goes through one scratch buffer of the loop (64 KiB), and only what the owner does not consume is kept, in a buffer
 * of at most `in.max` bytes; never more is read than could be kept. Output borrows a block of the loop while bytes
 * wait. It is written at the end of the turn, or at stream_flush(), so that the replies to a pipelined group leave in
 * one packet.
 *
 * Reading can be paused while the owner waits for something. Pausing costs no system call unless the peer goes on
 * sending. The laws of loop.h hold: no callback comes from inside stream_write(), stream_flush(), stream_resume() or
 * stream_start_tls(); after stream_close() none comes at all. A stream that was closed may be opened again at once,
 * inside its own callback too.
 */
#pragma once

#include "base/addr.h"
#include "base/buf.h"
#include "net/loop.h"

#include <openssl/ssl.h>

struct stream;

enum stream_end {
    STREAM_EOF,     /* the peer closed, with or without TLS close_notify */
    STREAM_RESET,   /* cut: ECONNRESET, EPIPE, a time-out of the kernel; `err` says which */
    STREAM_TLS_BAD, /* the TLS handshake or a TLS record failed: stream_tls_error() says why */
    STREAM_FULL,    /* more than in.max bytes left unconsumed, a write past out.max, or no memory; `err` says which */
};

struct stream_ops {
    const char *name; /* a literal that says who the peer is, for the beat (loop_doing()); NULL: nothing to say */
    /*
     * Bytes arrived: `at[0..len)`, what was left unconsumed before included. Returns how many were consumed; the rest
     * is offered again with more behind it, or after stream_resume(). Not called while paused. May close the stream
     * (then return anything); `at` stays readable until the callback returns.
     */
    size_t (*on_data)(struct stream *stream, const char *at, size_t len);
    /*
     * The connection is over. The owner calls stream_close() now or later. Comes once, even while paused. What was
     * received before STREAM_EOF is delivered first, unless paused: then it is still offered after stream_resume(),
     * should the owner want it (a client may send all it has and close its half), and output still goes out. After
     * the other ends nothing is offered and output is dropped.
     */
    void (*on_end)(struct stream *stream, enum stream_end end, int err);
    /*
     * All output has been given to the kernel; only called after a write that could not be finished at once. May be
     * NULL.
     */
    void (*on_drained)(struct stream *stream);
    /* TLS is up. A failure comes as on_end(STREAM_TLS_BAD). May be NULL for streams that never start TLS. */
    void (*on_tls)(struct stream *stream);
    /* connect() succeeded. A failure comes as on_end(STREAM_RESET, errno). May be NULL for accepted streams. */
    void (*on_connected)(struct stream *stream);
};

struct stream {
    struct loop *loop;
    const struct stream_ops *ops;
    SSL *ssl;            /* NULL: plain */
    struct watch watch;  /* watch.fd is the descriptor */
    struct task task;    /* deferred delivery and flush */
    struct buf in;
    struct buf out;
    uint32_t flags;      /* private from here on */
    uint32_t serial;     /* tells one life of this struct from the next */
    uint32_t clear_len;  /* bytes of `out` that go in the clear, before TLS starts */
    uint32_t dropped;    /* see stream_tls_dropped() */
    uint32_t tls_error;  /* of OpenSSL's error queue */
    uint32_t tls_idle;   /* records without data: in the handshake, then after it */
    int err;
};

/*
 * Takes an open non-blocking descriptor; on failure the descriptor is still the caller's. in_max: most bytes kept
 * unconsumed; out_max: most bytes waiting to be written. Returns 0 or -errno.
 */
int stream_open(struct stream *stream, struct loop *loop, int take_fd, const struct stream_ops *ops, uint32_t in_max,
                uint32_t out_max);

/*
 * Opens a socket and connects (from any local address); the outcome, refusals at once included, comes as on_connected
 * or on_end. What is written before goes out when connected. Returns 0 or -errno (no socket to be had; nothing is
 * open).
 */
int stream_connect(struct stream *stream, struct loop *loop, const struct endpoint *to, const struct stream_ops *ops,
                   uint32_t in_max, uint32_t out_max);

/* The same to the Unix socket at `path`. Also -ENAMETOOLONG. A listener whose queue is full refuses: EAGAIN. */
int stream_connect_path(struct stream *stream, struct loop *loop, const char *path, const struct stream_ops *ops,
                        uint32_t in_max, uint32_t out_max);

/*
 * Puts bytes in front of everything received and not consumed, as if they had just arrived (those that came with a
 * descriptor handed over by another worker). They are delivered later, not from inside. Not inside on_data. Returns 0
 * or -ENOBUFS, -ENOMEM.
 */
int stream_unread(struct stream *stream, const char *at, size_t len);

/* Queues bytes. Returns 0 (also when the connection is over and they are dropped), or -ENOBUFS, -ENOMEM (then
 * on_end(STREAM_FULL) follows, not from inside). */
int stream_write(struct stream *stream, const void *data, size_t len);

/*
 * The output buffer, to write into at once with buf_putf() and the like; ask for it anew in each callback. What the
 * buffer refuses (past out.max) is the caller's affair.
 */
struct buf *stream_out(struct stream *stream);

/* Bytes queued and not yet with the kernel. */
size_t stream_pending(const struct stream *stream);

/* Output waits that the kernel does not take: the peer does not read. */
bool stream_is_blocked(const struct stream *stream);

/* Writes what it can now instead of at the end of the turn. Trouble comes as on_end in a later turn. */
void stream_flush(struct stream *stream);

void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* Inside on_data: what it does not consume is offered again in another turn, without more behind it. */
void stream_yield(struct stream *stream);

bool stream_is_paused(const struct stream *stream);

/* True once the peer is known to have closed or cut the connection, even while paused and before on_end was called. */
bool stream_peer_is_gone(const struct stream *stream);

/*
 * Starts TLS. Everything received and not consumed so far is dropped (RFC 3207 4.2, CVE-2011-0411); inside on_data
 * that is what stands behind the bytes that on_data then returns as consumed. As server (is_server) output already
 * queued goes out first, in the clear; what is written later waits for the handshake. As client, `name` is what the
 * certificate must be for when the context verifies (a host name, or an IP address), and what is sent as SNI (host
 * names only); NULL for neither. Returns 0 or -errno. The number of bytes dropped: stream_tls_dropped().
 */
int stream_start_tls(struct stream *stream, SSL_CTX *tls, bool is_server, const char *name);

/*
 * Bytes that stood in the clear behind STARTTLS and were dropped: an injection, or a client that does not wait. Final
 * when the callback that started TLS has returned; so ask in on_tls or on_end.
 */
uint32_t stream_tls_dropped(const struct stream *stream);

bool stream_is_tls(const struct stream *stream);

/*
 * "certificate verify failed (unable to get local issuer certificate)": why TLS failed. Static until the next call; ""
 * if it did not. Gone after stream_close().
 */
const char *stream_tls_error(const struct stream *stream);

/*
 * Flushes what it can (with TLS: close_notify too), closes the descriptor and frees the buffers. No callback comes
 * after. May be called inside a callback of the stream; a closed or zeroed stream is fine.
 */
void stream_close(struct stream *stream);

/*
 * Takes the descriptor out (to hand it to another worker); the stream is closed without touching it. Only for plain
 * streams; output still queued is lost, so flush first.
 */
int stream_steal_fd(struct stream *stream);
