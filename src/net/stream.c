/*
 * stream: one connection, from its descriptor to the callbacks of its owner and back.
 *
 * Reading. epoll reports, receive() fills the loop's scratch buffer, offer() shows it to the owner and keeps what he
 * did not consume. A plain receive that does not fill the buffer has emptied the kernel's, so there is no second call
 * to hear EAGAIN: in steady state a command costs one recv and its reply one send. While the owner has paused, the
 * first event that comes anyway takes EPOLLIN out (STREAM_HELD); resuming puts it back and reads on.
 *
 * Writing. Bytes gather in `out`, a block borrowed from the loop, and leave in one send by the task at the end of the
 * turn. So the answers of a turn leave together, whoever they are for: peers on this host are woken once, not once
 * each, which is a quarter of what a short answer costs. Only a short send asks for EPOLLOUT.
 *
 * Ends. What goes wrong in a function the owner called (a write, a flush, a connect) is remembered and told by the
 * task, so that law 1 holds; what goes wrong in an event is told there. A failed send reads the rest first: a mailbox
 * server's "421" often stands before its reset. After any callback the stream may be closed, even opened anew: live()
 * compares serials, and every helper that may run a callback returns whether the stream is still the one it was.
 *
 * Rejected: a callback for writable (each owner would keep its own output queue); a read buffer for each connection
 * (4 KiB times 10,000 idle ones); reading until EAGAIN (a system call more for each command); unregistering at pause
 * (two calls for every pause, most of which see no event).
 */
#include "net/stream.h"

#include "net/stream_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    READ_ROUNDS_MAX = 16,       /* receives in one event before others get their turn, … */
    READ_BYTES_MAX = 256 * 1024,/* … and bytes */
    CLOSE_DISCARD_MAX = 1 << 20 /* unread bytes thrown away at close: closing over them resets the connection */
};

static struct stream *stream_of_watch(struct watch *watch) {
    return (struct stream *)((char *)watch - offsetof(struct stream, watch));
}

static struct stream *stream_of_task(struct task *task) {
    return (struct stream *)((char *)task - offsetof(struct stream, task));
}

static bool has(const struct stream *s, uint32_t flags) {
    return (s->flags & flags) != 0;
}

static bool live(const struct stream *s, uint32_t serial) {
    return has(s, STREAM_OPEN) && s->serial == serial;
}

/* ---- what epoll is asked for */

static uint32_t wanted_events(const struct stream *s) {
    uint32_t events = 0;
    if (has(s, STREAM_MUTE))
        return EPOLLET;
    if (has(s, STREAM_CONNECTING))
        return EPOLLOUT;
    if (!has(s, STREAM_GONE))
        events |= EPOLLRDHUP;
    bool wants_in = has(s, STREAM_HANDSHAKE) ? s->clear_len == 0 : !has(s, STREAM_HELD);
    if ((wants_in && !has(s, STREAM_GONE)) || has(s, STREAM_WRITE_WANTS_IN))
        events |= EPOLLIN;
    if (has(s, STREAM_BLOCKED | STREAM_READ_WANTS_OUT))
        events |= EPOLLOUT;
    /* EPOLLHUP and EPOLLERR cannot be declined; edge-triggered they come once and not in every turn. */
    return events ? events : EPOLLET;
}

static void update_events(struct stream *s) {
    watch_change(s->loop, &s->watch, wanted_events(s));
}

/* ---- the end */

static void out_release(struct stream *s) {
    if (s->out.cap == LOOP_BLOCK) {
        loop_block_give(s->loop, s->out.at);
        buf_init(&s->out, s->out.max);
    } else if (s->out.at) {
        buf_deinit(&s->out);
    }
}

/* Tells the owner, once. Returns whether the stream is still there. */
static bool end_now(struct stream *s, enum stream_end end, int err) {
    uint32_t serial = s->serial;
    bool is_first = !has(s, STREAM_ENDED);
    s->flags |= STREAM_ENDED;
    if (end == STREAM_EOF || end == STREAM_RESET)
        s->flags |= STREAM_GONE;
    if (end != STREAM_EOF) {
        s->flags |= STREAM_MUTE;
        s->flags &= ~(uint32_t)STREAM_BLOCKED;
        s->err = err;
        out_release(s);
    }
    update_events(s);
    if (is_first)
        s->ops->on_end(s, end, err);
    return live(s, serial);
}

static void end_later(struct stream *s, enum stream_end end, int err) {
    if (has(s, STREAM_FAILED | STREAM_MUTE))
        return;
    s->flags |= STREAM_FAILED | (uint32_t)end << STREAM_END_SHIFT;
    s->err = err;
    task_start(s->loop, &s->task, s->task.run);
}

/* ---- writing */

static struct buf *out_of(struct stream *s) {
    if (!s->out.at) {
        s->out.at = loop_block_take(s->loop);
        s->out.cap = s->out.at ? LOOP_BLOCK : 0;
    }
    return &s->out;
}

static ssize_t transmit(struct stream *s, const char *at, size_t len) {
    if (s->ssl && s->clear_len == 0)
        return stream_tls_send(s, at, len);
    ssize_t n = send(s->watch.fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static void flush_failed(struct stream *s, int err) {
    s->flags |= STREAM_HELD | STREAM_OFFER;
    end_later(s, err == EPROTO ? STREAM_TLS_BAD : STREAM_RESET, err);
}

static bool may_flush(const struct stream *s) {
    if (has(s, STREAM_CONNECTING | STREAM_MUTE | STREAM_FAILED | STREAM_BLOCKED))
        return false;
    return !has(s, STREAM_HANDSHAKE) || s->clear_len > 0;
}

/* All that goes in the clear has gone. A client speaks first. */
static void begin_handshake(struct stream *s) {
    update_events(s);
    if (!SSL_is_server(s->ssl))
        task_start(s->loop, &s->task, s->task.run);
}

/* Gives the kernel what it takes; calls nobody. */
static void flush(struct stream *s) {
    size_t done = 0;
    ssize_t n = 0;
    while (done < s->out.len && may_flush(s)) {
        size_t len = s->clear_len ? s->clear_len : s->out.len - done;
        n = transmit(s, s->out.at + done, len);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
        if (s->clear_len && (s->clear_len -= (uint32_t)n) == 0)
            begin_handshake(s);
        if (!s->ssl && (size_t)n < len) {
            n = -EAGAIN;
            break;
        }
    }
    if (done == s->out.len) {
        out_release(s);
        return;
    }
    buf_consume(&s->out, done);
    if (n == -EAGAIN) {
        s->flags |= STREAM_BLOCKED;
        update_events(s);
    } else if (n < 0) {
        flush_failed(s, (int)-n);
    }
}

static void flush_later(struct stream *s) {
    if (!has(s, STREAM_BUSY | STREAM_BLOCKED))
        task_start(s->loop, &s->task, s->task.run);
}

/* What was written while nothing could leave (connecting, or in a handshake) can leave now. */
static void flush_kept(struct stream *s) {
    if (s->out.len)
        flush_later(s);
}

/* EPOLLOUT came for output that waited. Returns whether the stream is still there. */
static bool on_writable(struct stream *s) {
    uint32_t serial = s->serial;
    s->flags &= ~(uint32_t)(STREAM_BLOCKED | STREAM_WRITE_WANTS_IN);
    flush(s);
    if (has(s, STREAM_BLOCKED | STREAM_FAILED))
        return true;
    update_events(s);
    if (s->out.len == 0 && s->ops->on_drained)
        s->ops->on_drained(s);
    return live(s, serial);
}

/* ---- reading */

static ssize_t receive(struct stream *s, char *at, size_t len) {
    if (s->ssl)
        return stream_tls_recv(s, at, len);
    ssize_t n;
    do {
        n = recv(s->watch.fd, at, len, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Keeps what on_data left. `kept` holds all of what was offered if it held anything before. Returns 0 or -errno. */
static int keep_rest(struct stream *s, struct buf *kept, const char *fresh, size_t len, size_t used) {
    int r = 0;
    if (used > len)
        used = len;
    if (has(s, STREAM_TLS_NEW)) { /* RFC 3207 4.2: nothing that came in the clear is taken for what came under TLS */
        s->flags &= ~(uint32_t)STREAM_TLS_NEW;
        s->dropped += (uint32_t)(len - used);
        buf_clear(kept);
    } else if (kept->len) {
        buf_consume(kept, used);
    } else if (used < len) {
        r = buf_put(kept, fresh + used, len - used);
    }
    if (kept->len == 0)
        buf_deinit(kept);
    s->in = *kept;
    return r;
}

/* Shows the owner what is kept and, behind it, `fresh`. Returns whether the stream is still there. */
static bool offer(struct stream *s, const char *fresh, size_t len) {
    uint32_t serial = s->serial;
    /* Out of the stream's reach while the owner looks at it, so that stream_close() does not free it under him. */
    struct buf kept = s->in;
    buf_init(&s->in, kept.max);
    int r = 0;
    if (kept.len) {
        r = buf_put(&kept, fresh, len);
        fresh = kept.at;
        len = kept.len;
    }
    if (r == 0) {
        s->flags |= STREAM_OFFERING;
        size_t used = s->ops->on_data(s, fresh, len);
        if (!live(s, serial)) {
            buf_deinit(&kept);
            return false;
        }
        s->flags &= ~(uint32_t)STREAM_OFFERING;
        r = keep_rest(s, &kept, fresh, len, used);
    } else {
        s->in = kept;
    }
    return r == 0 || end_now(s, STREAM_FULL, -r);
}

/* A receive that brought nothing. Returns whether the stream is still there. */
static bool on_nothing(struct stream *s, ssize_t n) {
    if (n == -EAGAIN) {
        if (has(s, STREAM_READ_WANTS_OUT))
            update_events(s);
        return true;
    }
    s->flags |= STREAM_GONE;
    if (has(s, STREAM_FAILED)) /* the task says how it ended */
        return true;
    if (n == 0)
        return end_now(s, STREAM_EOF, 0);
    return end_now(s, n == -EPROTO ? STREAM_TLS_BAD : STREAM_RESET, (int)-n);
}

/* Reads and offers: all that the kernel has, or enough for a turn. Returns whether the stream is still there. */
static bool read_on(struct stream *s, uint32_t events) {
    size_t total = 0;
    for (int round = 0; round < READ_ROUNDS_MAX && total < READ_BYTES_MAX; round++) {
        size_t room = s->in.max - s->in.len;
        size_t len = room == 0 ? 1 : room < LOOP_SCRATCH ? room : LOOP_SCRATCH;
        ssize_t n = receive(s, loop_scratch(s->loop), len);
        if (n <= 0)
            return on_nothing(s, n);
        if (room == 0)
            return end_now(s, STREAM_FULL, ENOBUFS);
        if (!offer(s, loop_scratch(s->loop), (size_t)n))
            return false;
        if (has(s, STREAM_OFFER)) /* the owner wants to go on in another turn */
            return true;
        total += (size_t)n;
        bool is_empty = !s->ssl && (size_t)n < len;
        /* Less than asked for, and the peer had closed before: that was all. */
        if (is_empty && (events & EPOLLRDHUP) && !has(s, STREAM_PAUSED | STREAM_MUTE))
            return on_nothing(s, 0);
        if (is_empty || has(s, STREAM_PAUSED | STREAM_MUTE | STREAM_HANDSHAKE | STREAM_FAILED))
            return true;
    }
    if (s->ssl || has(s, STREAM_GONE)) { /* what OpenSSL holds, or lies behind a close, epoll does not report again */
        s->flags |= STREAM_OFFER | STREAM_HELD;
        task_start(s->loop, &s->task, s->task.run);
    }
    return true;
}

/* The peer does something while the owner does not listen. Returns whether the stream is still there. */
static bool on_knock(struct stream *s, uint32_t events) {
    s->flags |= STREAM_HELD;
    if (events & EPOLLERR) {
        int err = 0;
        socklen_t len = sizeof err;
        getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len);
        return end_now(s, STREAM_RESET, err ? err : ECONNRESET);
    }
    if (events & (EPOLLRDHUP | EPOLLHUP))
        return end_now(s, STREAM_EOF, 0);
    update_events(s);
    return true;
}

/* ---- events and the task */

static bool on_connect_event(struct stream *s) {
    uint32_t serial = s->serial;
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(s->watch.fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    s->flags &= ~(uint32_t)STREAM_CONNECTING;
    if (err)
        return end_now(s, STREAM_RESET, err);
    update_events(s);
    flush_kept(s);
    if (s->ops->on_connected)
        s->ops->on_connected(s);
    return live(s, serial);
}

static bool handshake(struct stream *s) {
    uint32_t serial = s->serial;
    int r = stream_tls_handshake(s);
    if (r == -EAGAIN) {
        update_events(s);
        return true;
    }
    if (r < 0)
        return end_now(s, STREAM_TLS_BAD, -r);
    s->flags &= ~(uint32_t)(STREAM_HANDSHAKE | STREAM_HELD);
    update_events(s);
    flush_kept(s);
    if (s->ops->on_tls)
        s->ops->on_tls(s);
    if (!live(s, serial))
        return false;
    /* The peer's first record may have come in one packet with the end of its handshake. */
    return has(s, STREAM_PAUSED) || read_on(s, 0);
}

static bool handle_event(struct stream *s, uint32_t events) {
    if (has(s, STREAM_FAILED))
        return true;
    if (has(s, STREAM_CONNECTING))
        return on_connect_event(s);
    bool wants_write = has(s, STREAM_WRITE_WANTS_IN) ? (events & EPOLLIN) : (events & EPOLLOUT);
    if (has(s, STREAM_BLOCKED) && wants_write && !on_writable(s))
        return false;
    if (has(s, STREAM_HANDSHAKE) && s->clear_len == 0)
        return handshake(s);
    if (has(s, STREAM_READ_WANTS_OUT) && (events & EPOLLOUT)) {
        s->flags &= ~(uint32_t)STREAM_READ_WANTS_OUT;
        update_events(s);
        events |= EPOLLIN;
    }
    if (!(events & ~(uint32_t)EPOLLOUT) || has(s, STREAM_MUTE | STREAM_GONE | STREAM_FAILED))
        return true;
    if (has(s, STREAM_PAUSED | STREAM_HANDSHAKE))
        return on_knock(s, events);
    if (has(s, STREAM_OFFER) && s->in.len) /* the task offers that first */
        return true;
    return read_on(s, events);
}

static bool handle_task(struct stream *s) {
    if (has(s, STREAM_HANDSHAKE) && !has(s, STREAM_FAILED | STREAM_MUTE) && s->clear_len == 0 && !SSL_is_server(s->ssl))
        return handshake(s);
    if (has(s, STREAM_OFFER) && !has(s, STREAM_PAUSED | STREAM_MUTE | STREAM_HANDSHAKE)) {
        s->flags &= ~(uint32_t)STREAM_OFFER;
        if (s->in.len && !offer(s, NULL, 0))
            return false;
        if (has(s, STREAM_OFFER))
            return true;
        bool is_hidden = has(s, STREAM_HELD) || s->ssl;
        if (is_hidden && !has(s, STREAM_PAUSED | STREAM_MUTE | STREAM_HANDSHAKE | STREAM_CONNECTING)) {
            s->flags &= ~(uint32_t)STREAM_HELD;
            if (!read_on(s, 0))
                return false;
            update_events(s);
        }
    }
    if (!has(s, STREAM_FAILED))
        return true;
    s->flags &= ~(uint32_t)STREAM_FAILED;
    return end_now(s, (enum stream_end)(s->flags >> STREAM_END_SHIFT), s->err);
}

/* A stuck process shows whose bytes it was at, which says more than that it was at some. */
static void note_peer(const struct stream *s) {
    if (s->ops->name != NULL)
        loop_doing(s->loop, s->ops->name);
}

/* What it writes leaves at the end of the turn: see the top. */
static void on_event(struct watch *watch, uint32_t events) {
    struct stream *s = stream_of_watch(watch);
    note_peer(s);
    handle_event(s, events);
}

static void on_task(struct task *task) {
    struct stream *s = stream_of_task(task);
    note_peer(s);
    s->flags |= STREAM_BUSY;
    if (handle_task(s)) {
        flush(s);
        s->flags &= ~(uint32_t)STREAM_BUSY;
    }
}

/* ---- open */

static int open_as(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops, uint32_t in_max,
                   uint32_t out_max, uint32_t flags) {
    *s = (struct stream){ .loop = loop, .ops = ops, .task.run = on_task, .serial = loop_serial(loop) };
    buf_init(&s->in, in_max);
    buf_init(&s->out, out_max);
    s->flags = flags;
    int r = watch_start(loop, &s->watch, fd, wanted_events(s), on_event);
    s->flags |= r == 0 ? STREAM_OPEN : 0;
    return r;
}

int stream_open(struct stream *stream, struct loop *loop, int take_fd, const struct stream_ops *ops, uint32_t in_max,
                uint32_t out_max) {
    return open_as(stream, loop, take_fd, ops, in_max, out_max, 0);
}

/* Connects a new socket. Returns 0 or -errno (no socket to be had); what connect() says comes as on_end. */
static int connect_as(struct stream *s, struct loop *loop, int take_fd, const struct sockaddr *to, socklen_t to_len,
                      const struct stream_ops *ops, uint32_t in_max, uint32_t out_max) {
    int err = connect(take_fd, to, to_len) < 0 ? errno : 0;
    int r = open_as(s, loop, take_fd, ops, in_max, out_max, STREAM_CONNECTING);
    if (r < 0)
        close(take_fd);
    else if (err && err != EINPROGRESS)
        end_later(s, STREAM_RESET, err);
    return r;
}

int stream_connect(struct stream *stream, struct loop *loop, const struct endpoint *to, const struct stream_ops *ops,
                   uint32_t in_max, uint32_t out_max) {
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(to, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect_as(stream, loop, fd, (struct sockaddr *)&address, len, ops, in_max, out_max);
}

int stream_connect_path(struct stream *stream, struct loop *loop, const char *path, const struct stream_ops *ops,
                        uint32_t in_max, uint32_t out_max) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    return connect_as(stream, loop, fd, (struct sockaddr *)&address, sizeof address, ops, in_max, out_max);
}

int stream_unread(struct stream *stream, const char *at, size_t len) {
    char *end = buf_room(&stream->in, len);
    if (!end)
        return len > stream->in.max - stream->in.len ? -ENOBUFS : -ENOMEM;
    memmove(stream->in.at + len, stream->in.at, stream->in.len);
    memcpy(stream->in.at, at, len);
    stream->in.len += (uint32_t)len;
    stream->flags |= STREAM_OFFER;
    task_start(stream->loop, &stream->task, stream->task.run);
    return 0;
}

/* ---- output */

int stream_write(struct stream *stream, const void *data, size_t len) {
    if (!has(stream, STREAM_OPEN) || has(stream, STREAM_MUTE | STREAM_FAILED) || len == 0)
        return 0;
    int r = buf_put(out_of(stream), data, len);
    if (r < 0)
        end_later(stream, STREAM_FULL, -r);
    else
        flush_later(stream);
    return r;
}

struct buf *stream_out(struct stream *stream) {
    flush_later(stream);
    return out_of(stream);
}

size_t stream_pending(const struct stream *stream) {
    return stream->out.len;
}

bool stream_is_blocked(const struct stream *stream) {
    return has(stream, STREAM_BLOCKED);
}

void stream_flush(struct stream *stream) {
    if (has(stream, STREAM_OPEN))
        flush(stream);
}

/* ---- input */

void stream_pause(struct stream *stream) {
    stream->flags |= STREAM_PAUSED;
}

void stream_resume(struct stream *stream) {
    if (!has(stream, STREAM_PAUSED))
        return;
    stream->flags &= ~(uint32_t)STREAM_PAUSED;
    if (stream->in.len || stream->ssl || has(stream, STREAM_HELD | STREAM_OFFERING | STREAM_OFFER)) {
        stream->flags |= STREAM_OFFER;
        task_start(stream->loop, &stream->task, stream->task.run);
    }
}

void stream_yield(struct stream *stream) {
    stream_pause(stream);
    stream_resume(stream);
}

bool stream_is_paused(const struct stream *stream) {
    return has(stream, STREAM_PAUSED);
}

bool stream_peer_is_gone(const struct stream *stream) {
    return has(stream, STREAM_GONE);
}

/* ---- TLS */

int stream_start_tls(struct stream *stream, SSL_CTX *tls, bool is_server, const char *name) {
    int r = stream_tls_begin(stream, tls, is_server, name);
    if (r < 0)
        return r;
    stream->flags |= STREAM_HANDSHAKE;
    stream->clear_len = stream->out.len;
    if (has(stream, STREAM_OFFERING)) {
        stream->flags |= STREAM_TLS_NEW;
    } else {
        stream->dropped += stream->in.len;
        buf_deinit(&stream->in);
    }
    update_events(stream);
    task_start(stream->loop, &stream->task, stream->task.run);
    return 0;
}

uint32_t stream_tls_dropped(const struct stream *stream) {
    return stream->dropped;
}

bool stream_is_tls(const struct stream *stream) {
    return stream->ssl && !has(stream, STREAM_HANDSHAKE);
}

/* ---- the close */

static void release(struct stream *s) {
    task_cancel(s->loop, &s->task);
    out_release(s);
    buf_deinit(&s->in);
    s->flags = 0;
}

void stream_close(struct stream *stream) {
    if (!has(stream, STREAM_OPEN))
        return;
    flush(stream);
    stream_tls_end(stream);
    if (has(stream, STREAM_HELD))
        recv(stream->watch.fd, NULL, CLOSE_DISCARD_MAX, MSG_TRUNC | MSG_DONTWAIT);
    watch_close(stream->loop, &stream->watch);
    release(stream);
}

int stream_steal_fd(struct stream *stream) {
    int fd = stream->watch.fd;
    watch_stop(stream->loop, &stream->watch);
    release(stream);
    return fd;
}
