/*
 * scanner_conn: how do a message and its question get to a scanner, and how does the answer come back?
 *
 * Pieces of at most 64 KiB are written until 256 KiB wait in the stream; then the kernel must have taken all of it
 * before more is written, and after 1 MiB in one turn of the loop others have theirs. Writing is done by a task or by
 * on_drained, never inside on_data, so the loop's scratch buffer is free to read the spool into.
 *
 * An answer may come before all is written: the scanner will not have more of it, or has failed. It may not come before
 * and be a verdict: a scanner that has not seen the whole message cannot say that it is clean. After an early answer
 * the connection is out of step, and closed.
 *
 * Rejected: a thread or a blocking write to the scanner (a worker has one loop); shutdown() behind the text (both
 * protocols say where it ends, and a half-closed connection looks like a client that has gone).
 */
#include "facts/scanner_conn.h"

#include <errno.h>

enum {
    PIECE = LOOP_SCRATCH,
    AHEAD = 256 * 1024,
    OUT_MAX = AHEAD + 2 * PIECE,
    TURN_MAX = 1024 * 1024,
    CONNECT_MS = 5000,
};

static struct scanner_conn *of_stream(struct stream *stream) {
    return (struct scanner_conn *)((char *)stream - offsetof(struct scanner_conn, stream));
}

static struct scanner_conn *of_task(struct task *task) {
    return (struct scanner_conn *)((char *)task - offsetof(struct scanner_conn, task));
}

static void fail(struct scanner_conn *conn, const char *why) {
    scanner_conn_close(conn);
    conn->ops->on_end(conn, str_of(why));
}

/* ---- the question */

/* Returns bytes, or -errno. */
static long next_piece(struct scanner_conn *conn, const char **ret_at) {
    const struct scanner_question *q = &conn->question;
    long n;

    if (conn->at < q->head.len) {
        *ret_at = q->head.at + conn->at;
        n = (long)(q->head.len - conn->at);
    } else {
        n = spool_read(q->spool, conn->at - q->head.len, loop_scratch(conn->loop), LOOP_SCRATCH, ret_at);
    }
    if (n <= 0)
        return n < 0 ? n : -EIO;
    if (n > PIECE)
        n = PIECE;
    return (uint64_t)n < q->size - conn->at ? n : (long)(q->size - conn->at);
}

static int write_piece(struct scanner_conn *conn) {
    const char *at = NULL;
    long len = next_piece(conn, &at);
    int r = 0;

    if (len < 0)
        return (int)len;
    if (conn->protocol->put_piece)
        r = conn->protocol->put_piece(stream_out(&conn->stream), (uint32_t)len);
    conn->at += (uint64_t)len;
    return r < 0 ? r : stream_write(&conn->stream, at, (size_t)len);
}

static int write_begin(struct scanner_conn *conn) {
    conn->is_begun = true;
    conn->is_written = conn->is_trial;
    return conn->protocol->put_begin(stream_out(&conn->stream), conn->is_trial ? NULL : &conn->question,
                                     conn->asked == 1);
}

static int write_end(struct scanner_conn *conn) {
    conn->is_written = true;
    return conn->protocol->put_end ? conn->protocol->put_end(stream_out(&conn->stream)) : 0;
}

/* Writes what the connection takes now. Returns 0 or -errno. */
static int write_on(struct scanner_conn *conn) {
    uint64_t start = conn->at;
    int r = conn->is_begun ? 0 : write_begin(conn);

    while (r == 0 && !conn->is_written) {
        if (stream_pending(&conn->stream) >= AHEAD) {
            stream_flush(&conn->stream);
            if (stream_pending(&conn->stream) > 0)
                return 0; /* on_drained will come */
        }
        if (conn->at == conn->question.size) {
            r = write_end(conn);
        } else if (conn->at - start >= TURN_MAX) {
            task_start(conn->loop, &conn->task, conn->task.run);
            return 0;
        } else {
            r = write_piece(conn);
        }
    }
    return r;
}

static void go_on(struct scanner_conn *conn) {
    if (!conn->is_connected || !conn->is_out || conn->is_written)
        return;
    int r = write_on(conn);
    if (r < 0)
        fail(conn, r == -ENOMEM || r == -ENOBUFS ? "no memory" : "the spool cannot be read");
}

static void on_task(struct task *task) {
    go_on(of_task(task));
}

/* ---- the answer */

/* What an answer to this question cannot be. */
static bool is_possible(const struct scanner_conn *conn, enum scanner_answer answer) {
    if (answer == SCANNER_VERDICT)
        return conn->is_written;
    return answer != SCANNER_NONSENSE && (answer != SCANNER_WELL || conn->is_trial);
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct scanner_conn *conn = of_stream(stream);
    struct scanner_reply reply = { 0 };
    size_t used = 0;

    if (!conn->is_out || !conn->is_begun) {
        fail(conn, "talks out of turn");
        return len;
    }
    enum scanner_answer answer = conn->protocol->read((struct str){ at, len }, conn->asked, &used, &reply);
    if (answer == SCANNER_MORE)
        return 0;
    if (!is_possible(conn, answer)) {
        fail(conn, "its answer is nonsense");
        return len;
    }
    conn->is_spoiled = !conn->is_written || used < len || answer != SCANNER_VERDICT;
    conn->is_out = false;
    task_cancel(conn->loop, &conn->task);
    conn->ops->on_answer(conn, answer, &reply);
    return used;
}

/* ---- the stream */

static void on_end(struct stream *stream, enum stream_end end, int err) {
    struct scanner_conn *conn = of_stream(stream);

    if (end == STREAM_FULL)
        fail(conn, err == ENOMEM ? "no memory" : "its answer has no end");
    else if (end == STREAM_RESET && err)
        fail(conn, strerror(err));
    else
        fail(conn, "closed the connection");
}

static void on_drained(struct stream *stream) {
    go_on(of_stream(stream));
}

static void on_connected(struct stream *stream) {
    struct scanner_conn *conn = of_stream(stream);

    conn->is_connected = true;
    timer_cancel(conn->loop, &conn->timer);
    go_on(conn);
}

static void on_connect_time(struct timer *timer) {
    fail((struct scanner_conn *)((char *)timer - offsetof(struct scanner_conn, timer)), "connect timed out");
}

static const struct stream_ops stream_ops = {
    .name = "bytes of a scanner",
    .on_data = on_data, .on_end = on_end, .on_drained = on_drained, .on_connected = on_connected,
};

/* ---- what the owner calls */

int scanner_conn_open(struct scanner_conn *conn, struct loop *loop, const struct conf_scanner_server *server,
                      const struct scanner_protocol *protocol, const struct scanner_conn_ops *ops) {
    *conn = (struct scanner_conn){ .loop = loop, .protocol = protocol, .ops = ops, .task.run = on_task };
    int r = timer_set(loop, &conn->timer, loop_now(loop) + CONNECT_MS, on_connect_time);
    if (r == 0 && server->path)
        r = stream_connect_path(&conn->stream, loop, server->path, &stream_ops, protocol->answer_max, OUT_MAX);
    else if (r == 0)
        r = stream_connect(&conn->stream, loop, &server->at, &stream_ops, protocol->answer_max, OUT_MAX);
    if (r < 0)
        timer_cancel(loop, &conn->timer);
    conn->is_open = r == 0;
    return r;
}

void scanner_conn_ask(struct scanner_conn *conn, const struct scanner_question *question_or_null) {
    conn->is_trial = question_or_null == NULL;
    conn->question = question_or_null ? *question_or_null : (struct scanner_question){ 0 };
    conn->asked++;
    conn->at = 0;
    conn->is_out = true;
    conn->is_begun = conn->is_written = false;
    task_start(conn->loop, &conn->task, conn->task.run);
}

bool scanner_conn_is_reusable(const struct scanner_conn *conn) {
    return conn->is_open && conn->protocol->keeps_connections && !conn->is_spoiled && !conn->is_out;
}

bool scanner_conn_was_stale(const struct scanner_conn *conn) {
    return conn->asked > 1 && conn->is_out;
}

void scanner_conn_close(struct scanner_conn *conn) {
    if (!conn->is_open)
        return;
    conn->is_open = false;
    timer_cancel(conn->loop, &conn->timer);
    task_cancel(conn->loop, &conn->task);
    stream_close(&conn->stream);
}
