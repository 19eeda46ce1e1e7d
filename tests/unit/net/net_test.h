/*
 * What the tests of net/ share: a loop, a stream on one end of a socket pair that records what happens to it, and
 * turns.
 *
 * Nothing sleeps: everything is local, so a few turns that do not wait are enough for bytes to arrive.
 */
#pragma once

#include "net/loop.h"
#include "net/stream.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEEN_MAX = 200000 };

/* A stream and its diary. `inside` is true while one of our calls into net/ runs: no callback may come then (law 1). */
struct witness {
    struct stream stream;
    struct loop *loop;
    char seen[SEEN_MAX];
    size_t seen_len;
    size_t consume_max; /* of each on_data; SIZE_MAX: all */
    unsigned n_data, n_end, n_drained, n_tls, n_connected, n_inside;
    enum stream_end end;
    int err;
    bool inside, pauses, closes_in_data, closes_in_end, reopens_in_end;
    const char *answer;
    int reopen_fd;
};

#define CALL(w, expression) \
    do {                     \
        (w)->inside = true;  \
        (expression);        \
        (w)->inside = false; \
    } while (0)

static inline struct witness *witness_of(struct stream *stream) {
    return (struct witness *)((char *)stream - offsetof(struct witness, stream));
}

static const struct stream_ops witness_ops;

static inline size_t on_witness_data(struct stream *stream, const char *at, size_t len) {
    struct witness *w = witness_of(stream);
    size_t used = len < w->consume_max ? len : w->consume_max;
    w->n_inside += w->inside;
    w->n_data++;
    assert_true(w->seen_len + used < SEEN_MAX);
    memcpy(w->seen + w->seen_len, at, used);
    w->seen_len += used;
    w->seen[w->seen_len] = 0;
    if (w->answer)
        CALL(w, stream_write(stream, w->answer, strlen(w->answer)));
    if (w->pauses)
        stream_pause(stream);
    if (w->closes_in_data)
        stream_close(stream);
    return used;
}

static inline void on_witness_end(struct stream *stream, enum stream_end end, int err) {
    struct witness *w = witness_of(stream);
    w->n_inside += w->inside;
    w->n_end++;
    w->end = end;
    w->err = err;
    if (w->closes_in_end || w->reopens_in_end)
        stream_close(stream);
    if (w->reopens_in_end) {
        w->reopens_in_end = false;
        assert_int_equal(stream_open(stream, w->loop, w->reopen_fd, &witness_ops, 1000, 1000), 0);
    }
}

static inline void on_witness_drained(struct stream *stream) {
    witness_of(stream)->n_inside += witness_of(stream)->inside;
    witness_of(stream)->n_drained++;
}

static inline void on_witness_tls(struct stream *stream) {
    witness_of(stream)->n_inside += witness_of(stream)->inside;
    witness_of(stream)->n_tls++;
}

static inline void on_witness_connected(struct stream *stream) {
    witness_of(stream)->n_inside += witness_of(stream)->inside;
    witness_of(stream)->n_connected++;
}

static const struct stream_ops witness_ops = {
    .on_data = on_witness_data,
    .on_end = on_witness_end,
    .on_drained = on_witness_drained,
    .on_tls = on_witness_tls,
    .on_connected = on_witness_connected,
};

static inline struct loop *loop_for_test(void) {
    struct loop *loop;
    assert_int_equal(loop_new(&loop), 0);
    return loop;
}

static inline void turns(struct loop *loop, int n) {
    while (n-- > 0)
        assert_int_equal(loop_turn(loop, 0), 0);
}

static inline struct witness *witness_new(struct loop *loop) {
    struct witness *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->loop = loop;
    w->consume_max = SIZE_MAX;
    return w;
}

/* Opens the witness's stream on one end of a socket pair; returns the other, non-blocking end. */
static inline int witness_open(struct witness *w, uint32_t in_max, uint32_t out_max) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_open(&w->stream, w->loop, fds[0], &witness_ops, in_max, out_max), 0);
    return fds[1];
}

static inline void put(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What the peer has got since last asked; "" for nothing. */
static inline const char *got(int fd) {
    static char text[70000];
    ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = 0;
    return text;
}
