/*
 * fake_server: the mailbox server of test_relay, scripted by one string a command.
 *
 * It knows just enough SMTP to find commands, the final dot and the end of a chunk; everything else is what the test
 * put into its fields, so that a test shows beside its assertions what the server did. Rejected: a thread or a process
 * of its own (then a test would have to wait).
 */
#include "fake_server.h"

#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void close_conn(struct fake_conn *conn) {
    if (conn->is_open)
        stream_close(&conn->stream);
    conn->is_open = false;
}

static void say(struct fake_conn *conn, const char *answer) {
    if (!answer)
        return;
    bool closes = answer[0] == '!';
    answer += closes;
    if (*answer)
        stream_write(&conn->stream, answer, strlen(answer));
    if (closes)
        close_conn(conn);
}

static void hear(struct fake_conn *conn, const char *at, size_t len) {
    assert_int_equal(buf_put(&conn->server->heard, at, len), 0);
}

static void on_rcpt(struct fake_conn *conn, struct str line) {
    struct fake_server *server = conn->server;
    bool refuses = server->refuse && memmem(line.at, line.len, server->refuse, strlen(server->refuse));

    say(conn, refuses ? "550 5.1.1 no such user\r\n" : server->rcpt);
}

static void on_bdat(struct fake_conn *conn, struct str line) {
    unsigned long long size = 0;

    str_word(&line);
    assert_int_equal(str_to_u64(str_word(&line), UINT64_MAX, &size), 0);
    conn->chunk_left = size;
    conn->is_last_chunk = str_eq_nocase(str_word(&line), STR("LAST"));
}

static void on_command(struct fake_conn *conn, struct str line) {
    struct fake_server *s = conn->server;
    const struct { struct str verb; const char *answer; } table[] = {
        { STR("EHLO"), s->ehlo }, { STR("HELO"), s->helo }, { STR("MAIL"), s->mail }, { STR("RSET"), s->rset },
        { STR("XFORWARD"), s->xforward }, { STR("XCLIENT"), s->xclient }, { STR("STARTTLS"), s->starttls },
        { STR("QUIT"), "!221 bye\r\n" },
    };

    if (str_starts_nocase(line, STR("RCPT"))) {
        on_rcpt(conn, line);
    } else if (str_starts_nocase(line, STR("BDAT"))) {
        on_bdat(conn, line);
    } else if (str_starts_nocase(line, STR("DATA"))) {
        conn->is_in_data = s->data && s->data[0] == '3';
        say(conn, s->data);
    } else {
        for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
            if (str_starts_nocase(line, table[i].verb))
                say(conn, table[i].answer);
    }
    if (s->tls && str_starts_nocase(line, STR("STARTTLS")))
        assert_int_equal(stream_start_tls(&conn->stream, s->tls, true, NULL), 0);
}

static void on_message(struct fake_conn *conn, const char *answer) {
    if (answer && answer[0] == '2')
        conn->server->messages++;
    say(conn, answer);
}

static size_t take_chunk(struct fake_conn *conn, const char *at, size_t len) {
    size_t n = len < conn->chunk_left ? len : (size_t)conn->chunk_left;

    hear(conn, at, n);
    conn->chunk_left -= n;
    bool is_bdat_known = conn->server->bdat == NULL || conn->server->bdat[0] != '5';
    if (conn->chunk_left == 0 && conn->is_last_chunk && is_bdat_known)
        on_message(conn, conn->server->dot);
    else if (conn->chunk_left == 0)
        say(conn, conn->server->bdat);
    return n;
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct fake_conn *conn = (struct fake_conn *)stream;
    size_t used = 0;

    while (used < len && conn->is_open) {
        if (conn->chunk_left) {
            used += take_chunk(conn, at + used, len - used);
            continue;
        }
        const char *end = memchr(at + used, '\n', len - used);
        if (!end)
            break;
        struct str line = { at + used, (size_t)(end - at) + 1 - used };
        hear(conn, line.at, line.len);
        used += line.len;
        if (!conn->is_in_data) {
            on_command(conn, line);
        } else if (str_eq(line, STR(".\r\n"))) {
            conn->is_in_data = false;
            on_message(conn, conn->server->dot);
        }
    }
    return used;
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    close_conn((struct fake_conn *)stream);
}

static const struct stream_ops ops = { .on_data = on_data, .on_end = on_end };

static void on_accept(struct listener *listener, int take_fd, const struct endpoint *client) {
    struct fake_server *server = listener->arg;
    struct fake_conn *conn = calloc(1, sizeof(*conn));

    assert_non_null(conn);
    assert_true(server->connections < FAKE_CONNS_MAX);
    if (server->connections)
        assert_int_equal(buf_putc(&server->heard, '|'), 0);
    server->conns[server->connections++] = conn;
    conn->server = server;
    conn->is_open = true;
    assert_int_equal(stream_open(&conn->stream, server->loop, take_fd, &ops, 65536, 65536), 0);
    say(conn, server->greeting);
}

static bool on_short(struct listener *listener, int err) {
    return false;
}

void fake_server_listen(struct fake_server *server) {
    assert_int_equal(listen_open(&server->at, 1, false, &server->fd), 0);
    assert_int_equal(listener_start(&server->listener, server->loop, server->fd, on_accept, on_short, server), 0);
}

void fake_server_start(struct fake_server *server, struct loop *loop) {
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);

    *server = (struct fake_server){
        .loop = loop, .fd = -1, .greeting = "220 inner.example ESMTP\r\n",
            .ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n",
        .helo = "250 inner.example\r\n", .mail = "250 2.1.0 ok\r\n", .rcpt = "250 2.1.5 ok\r\n",
            .data = "354 go\r\n", .dot = "250 2.0.0 kept as 1\r\n",
        .rset = "250 2.0.0 ok\r\n", .bdat = "250 2.0.0 chunk\r\n", .xforward = "250 2.0.0 ok\r\n",
            .xclient = "220 inner.example\r\n",
        .starttls = "220 2.0.0 go\r\n",
    };
    buf_init(&server->heard, 16 * 1024 * 1024);
    assert_int_equal(endpoint_parse(STR("127.0.0.1:0"), &server->at), 0);
    fake_server_listen(server);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&bound, &len), 0);
    server->at = endpoint_from_sockaddr(&bound);
}

void fake_server_refuse(struct fake_server *server) {
    if (server->fd < 0)
        return;
    listener_stop(&server->listener, false);
    close(server->fd);
    server->fd = -1;
}

void fake_server_drop_all(struct fake_server *server) {
    for (unsigned i = 0; i < server->connections; i++)
        close_conn(server->conns[i]);
}

void fake_server_say(struct fake_server *server, unsigned conn, const char *text) {
    say(server->conns[conn], text);
}

const char *fake_server_heard(struct fake_server *server) {
    static char text[4096];
    size_t len = server->heard.len < sizeof(text) - 1 ? server->heard.len : sizeof(text) - 1;

    if (len)
        memcpy(text, server->heard.at, len);
    text[len] = '\0';
    buf_clear(&server->heard);
    return text;
}

void fake_server_stop(struct fake_server *server) {
    fake_server_refuse(server);
    fake_server_drop_all(server);
    for (unsigned i = 0; i < server->connections; i++)
        free(server->conns[i]);
    buf_deinit(&server->heard);
}
