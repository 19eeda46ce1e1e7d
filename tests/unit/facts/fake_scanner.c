/*
 * fake_scanner: bytes come in, are cut into questions, and are answered as the test says.
 */
#include "fake_scanner.h"

#include "alloc_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TEXT_MAX = 64 << 20 };

static const char trial_head[] = "Subject: does the scanner work?";

static struct fake_conn *of_task(struct task *task) {
    return (struct fake_conn *)((char *)task - offsetof(struct fake_conn, task));
}

static void conn_close(struct fake_conn *conn) {
    stream_close(&conn->stream);
    task_cancel(conn->fake->loop, &conn->task);
    LIST_REMOVE(conn, entry);
    conn->fake->n_open--;
    buf_deinit(&conn->in);
    buf_deinit(&conn->text);
    buf_deinit(&conn->out);
    loop_free_later(conn->fake->loop, conn);
}

/* ---- what it does */

static void close_task(struct task *task) {
    conn_close(of_task(task));
}

static void byte_task(struct task *task) {
    struct fake_conn *conn = of_task(task);

    if (conn->out.len == 0)
        return;
    stream_write(&conn->stream, conn->out.at, 1);
    stream_flush(&conn->stream);
    buf_consume(&conn->out, 1);
    task_start(conn->fake->loop, &conn->task, byte_task);
}

static void endless_task(struct task *task) {
    struct fake_conn *conn = of_task(task);
    char bytes[1000];

    memset(bytes, 'a', sizeof(bytes));
    if (stream_pending(&conn->stream) == 0)
        stream_write(&conn->stream, bytes, sizeof(bytes));
    task_start(conn->fake->loop, &conn->task, endless_task);
}

static void put_answer(struct fake_conn *conn, struct buf *out) {
    const char *says = conn->play->says;

    if (conn->fake->is_clamd && says[0] != '!')
        buf_putf(out, "%u: ", conn->n_questions);
    buf_puts(out, str_of(says + (says[0] == '!')));
    if (conn->fake->is_clamd)
        buf_putc(out, '\0');
}

static void say(struct fake_conn *conn, unsigned times) {
    for (unsigned i = 0; i < times; i++)
        put_answer(conn, stream_out(&conn->stream));
    stream_flush(&conn->stream);
}

static void say_half(struct fake_conn *conn) {
    put_answer(conn, &conn->out);
    stream_write(&conn->stream, conn->out.at, conn->out.len / 2);
    stream_flush(&conn->stream);
}

static void close_later(struct fake_conn *conn) {
    task_start(conn->fake->loop, &conn->task, close_task);
}

static void on_question(struct fake_conn *conn) {
    struct fake_scanner *fake = conn->fake;

    switch (conn->play->act) {
    case FAKE_SAYS:
        say(conn, 1);
        if (fake->closes_after || !fake->is_clamd)
            close_later(conn);
        break;
    case FAKE_SAYS_TWICE:
        say(conn, 2);
        break;
    case FAKE_SAYS_BYTES:
        put_answer(conn, &conn->out);
        task_start(fake->loop, &conn->task, byte_task);
        break;
    case FAKE_SAYS_HALF:
        say_half(conn);
        close_later(conn);
        break;
    case FAKE_CLOSES:
        close_later(conn);
        break;
    case FAKE_ENDLESS:
        task_start(fake->loop, &conn->task, endless_task);
        break;
    case FAKE_SAYS_EARLY: case FAKE_CLOSES_EARLY: case FAKE_DEAF: case FAKE_SILENT:
        break;
    }
}

/* Some of the text has come. What acts now reads no further. */
static void on_text(struct fake_conn *conn) {
    enum fake_act act = conn->play->act;

    conn->has_acted = act == FAKE_SAYS_EARLY || act == FAKE_CLOSES_EARLY || act == FAKE_DEAF;
    if (!conn->has_acted)
        return;
    stream_pause(&conn->stream);
    if (act == FAKE_SAYS_EARLY)
        say(conn, 1);
    if (act != FAKE_DEAF)
        close_later(conn);
}

static void begin(struct fake_conn *conn, bool is_trial) {
    conn->is_trial = is_trial;
    conn->play = is_trial ? &conn->fake->trial : &conn->fake->message;
    conn->n_questions++;
}

static void end(struct fake_conn *conn) {
    struct fake_scanner *fake = conn->fake;

    fake->n_trials += conn->is_trial;
    fake->n_messages += !conn->is_trial;
    conn->is_reading_text = false;
    if (!conn->is_trial) {
        buf_clear(&fake->text);
        buf_puts(&fake->text, buf_str(&conn->text));
    }
    buf_clear(&conn->text);
    on_question(conn);
}

/* ---- clamd */

static bool take(struct buf *in, const char *word, size_t len) {
    if (in->len < len || memcmp(in->at, word, len) != 0)
        return false;
    buf_consume(in, (uint32_t)len);
    return true;
}

static void take_text(struct fake_conn *conn, size_t *left) {
    size_t n = conn->in.len < *left ? conn->in.len : *left;

    buf_put(&conn->text, conn->in.at, n);
    buf_consume(&conn->in, (uint32_t)n);
    *left -= n;
}

/* Returns false when more must come. What kind of question it is shows in the first bytes of its text. */
static bool read_clamd(struct fake_conn *conn) {
    struct buf *in = &conn->in;

    if (!conn->has_session)
        return conn->has_session = take(in, "zIDSESSION", 11);
    if (!conn->is_reading_text) {
        conn->play = NULL;
        return conn->is_reading_text = take(in, "zINSTREAM", 10);
    }
    if (conn->text_left == 0) {
        if (in->len < 4)
            return false;
        const unsigned char *at = (const unsigned char *)in->at;
        conn->text_left = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
        buf_consume(in, 4);
        if (conn->text_left > 0)
            return true;
        if (!conn->play)
            begin(conn, false);
        end(conn);
        return true;
    }
    if (in->len == 0)
        return false;
    take_text(conn, &conn->text_left);
    if (!conn->play && conn->text.len >= sizeof(trial_head) - 1)
        begin(conn, str_starts_nocase(buf_str(&conn->text), str_of(trial_head)));
    if (conn->play)
        on_text(conn);
    return true;
}

/* ---- spamd */

static bool read_spamd(struct fake_conn *conn) {
    struct buf *in = &conn->in;

    if (!conn->is_reading_text) {
        const char *end_of_head = memmem(in->at ? in->at : "", in->len, "\r\n\r\n", 4);
        if (!end_of_head)
            return false;
        size_t len = (size_t)(end_of_head + 4 - in->at);
        struct str head = { in->at, len };
        bool is_trial = str_starts_nocase(head, STR("PING "));
        const char *length = memmem(head.at, head.len, "Content-length: ", 16);
        conn->text_left = length ? (size_t)strtoull(length + 16, NULL, 10) : 0;
        buf_clear(&conn->fake->head);
        buf_puts(&conn->fake->head, head);
        buf_consume(in, (uint32_t)len);
        begin(conn, is_trial);
        conn->is_reading_text = !is_trial;
        if (is_trial)
            end(conn);
        return true;
    }
    if (in->len == 0)
        return false;
    take_text(conn, &conn->text_left);
    on_text(conn);
    if (conn->text_left == 0 && !conn->has_acted)
        end(conn);
    return true;
}

/* ---- connections */

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    SPARE_ALLOCATIONS();
    struct fake_conn *conn = (struct fake_conn *)stream;

    buf_put(&conn->in, at, len);
    if (conn->in.len > conn->fake->conn_bytes)
        conn->fake->conn_bytes = conn->in.len;
    while (!conn->has_acted && (conn->fake->is_clamd ? read_clamd(conn) : read_spamd(conn)))
        ;
    return len;
}

static void on_end(struct stream *stream, enum stream_end end_of, int err) {
    (void)end_of, (void)err;
    conn_close((struct fake_conn *)stream);
}

static const struct stream_ops ops = { .on_data = on_data, .on_end = on_end };

static void on_accept(struct watch *watch, uint32_t events) {
    SPARE_ALLOCATIONS();
    struct fake_scanner *fake = (struct fake_scanner *)watch;
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    fake->n_connections++;
    if (fake->closes_on_accept) {
        close(fd);
        return;
    }
    struct fake_conn *conn = calloc(1, sizeof(*conn));
    conn->fake = fake;
    buf_init(&conn->in, TEXT_MAX);
    buf_init(&conn->text, TEXT_MAX);
    buf_init(&conn->out, TEXT_MAX);
    if (stream_open(&conn->stream, fake->loop, fd, &ops, 1 << 20, 1 << 20) < 0)
        abort();
    LIST_INSERT_HEAD(&fake->conns, conn, entry);
    fake->n_open++;
}

void fake_scanner_listen(struct fake_scanner *fake) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(at.sun_path, fake->path);
    unlink(fake->path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0 ||
        watch_start(fake->loop, &fake->watch, fd, EPOLLIN, on_accept) < 0)
        abort();
}

void fake_scanner_open(struct fake_scanner *fake, struct loop *loop, bool is_clamd) {
    static unsigned n;

    *fake = (struct fake_scanner){ .loop = loop, .is_clamd = is_clamd };
    LIST_INIT(&fake->conns);
    buf_init(&fake->text, TEXT_MAX);
    buf_init(&fake->head, TEXT_MAX);
    snprintf(fake->path, sizeof(fake->path), "/tmp/postern-scanner-%d-%u", (int)getpid(), n++);
    snprintf(fake->name, sizeof(fake->name), "unix:%s", fake->path);
    fake->conf = (struct conf_scanner_server){ .path = fake->path, .text = fake->name };
    fake->trial = fake->message = (struct fake_play){ FAKE_SAYS, is_clamd ? "stream: OK" : "SPAMD/1.5 0 PONG\r\n" };
    fake_scanner_listen(fake);
}

void fake_scanner_drop(struct fake_scanner *fake) {
    struct fake_conn *conn;

    while ((conn = LIST_FIRST(&fake->conns)))
        conn_close(conn);
}

void fake_scanner_stop(struct fake_scanner *fake) {
    fake_scanner_drop(fake);
    if (fake->watch.fd > 0)
        watch_close(fake->loop, &fake->watch);
    fake->watch.fd = -1;
    unlink(fake->path);
}

void fake_scanner_close(struct fake_scanner *fake) {
    fake_scanner_stop(fake);
    buf_deinit(&fake->text);
    buf_deinit(&fake->head);
}
