/*
 * What a mailbox server says, byte by byte arbitrary, against the real relay, pool and upstream: a transfer with two
 * recipients and a message, on loopback, with a clock of our own.
 *
 * The first byte holds the settings; the rest is what the server sends on its newest connection. These bytes are stage
 * directions and are not sent,
 *
 *   \x1e   the server waits until it hears nothing more
 *   \x1d   3.1 s go by (relay_hold)
 *   \x1c   61 s go by (server_command, server_idle)
 *   \x1f   the server closes its newest connection
 *   \x1b   the client leaves
 *
 * When the bytes are used up the server is gone for good. What must hold:
 *   - each operation ends exactly once, never from inside its start, and none after the client has left;
 *   - a message is reported as taken only if on one connection the server had its end (the final dot, or the last byte
 *     of the last chunk) before it began a 2xx line;
 *   - the server never meets a bare CR or LF;
 *   - in the end no delivery is left without a session.
 */
#include "session/relay.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    IS_LARGE = 1 << 0, IS_8BIT = 1 << 1, IS_XFORWARD = 1 << 2, IS_XCLIENT = 1 << 3, /* settings */
    WAITS = 1 << 4, /* the connection is given back before the message is complete */
    CONNS_MAX = 12, HEARD_MAX = 4 << 20, QUIET_TURNS = 4, SECOND = 1000,
};

struct ear { /* one connection, as the server sees it */
    int fd;
    struct buf heard;
    bool has_end;     /* the whole message was heard */
    bool is_line;     /* what is sent next stands within a line */
    bool has_said_ok; /* a 2xx line was begun after that */
};

struct stage {
    struct loop *loop;
    struct relay *relay;
    struct relay_transfer *transfer;
    struct relay_envelope envelope;
    struct relay_message message;
    struct spool spool;
    unsigned settings;
    uint64_t now_ms;
    struct ear ears[CONNS_MAX];
    unsigned n_ears;
    unsigned n_started, n_done, n_accepted, n_orphans;
    bool is_starting, is_over;
};

static struct endpoint server_at;
static int listen_fd = -1;

static void must(bool holds) {
    if (!holds)
        abort();
}

/* ---- the server's side */

static void listen_once(void) {
    struct sockaddr_storage bound = { 0 };
    socklen_t len = sizeof(bound);

    if (listen_fd >= 0)
        return;
    must(endpoint_parse(STR("127.0.0.1:0"), &server_at) == 0);
    socklen_t at_len = endpoint_to_sockaddr(&server_at, &bound);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(listen_fd >= 0 && bind(listen_fd, (struct sockaddr *)&bound, at_len) == 0 && listen(listen_fd, 64) == 0);
    must(getsockname(listen_fd, (struct sockaddr *)&bound, &len) == 0);
    server_at = endpoint_from_sockaddr(&bound);
}

static void close_ear(struct ear *ear) {
    struct linger reset = { .l_onoff = 1 }; /* leaves no port behind in TIME_WAIT */

    if (ear->fd < 0)
        return;
    setsockopt(ear->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(ear->fd);
    ear->fd = -1;
}

static void accept_all(struct stage *s) {
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct ear ear = { .fd = fd };

        if (s->is_over || s->n_ears == CONNS_MAX) {
            close_ear(&ear);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); /* what is said is heard in the next turn */
        buf_init(&ear.heard, HEARD_MAX);
        s->ears[s->n_ears++] = ear;
    }
}

static bool has_whole_chunk(struct str heard) {
    const char *at = memmem(heard.at, heard.len, " LAST\r\n", 7);
    const char *from = at;
    unsigned long long size = 0;

    if (!at)
        return false;
    while (from > heard.at && from[-1] >= '0' && from[-1] <= '9')
        from--;
    must(str_to_u64((struct str){ from, (size_t)(at - from) }, UINT64_MAX, &size) == 0);
    return (size_t)(heard.at + heard.len - (at + 7)) >= size;
}

static void check_heard(struct ear *ear) {
    struct str heard = buf_str(&ear->heard);

    for (size_t i = 0; i < heard.len; i++) {
        must(heard.at[i] != '\n' || (i > 0 && heard.at[i - 1] == '\r'));
        must(heard.at[i] != '\r' || i + 1 == heard.len || heard.at[i + 1] == '\n');
    }
    if (heard.at != NULL) /* NULL: nothing was ever heard */
        ear->has_end = memmem(heard.at, heard.len, "\r\n.\r\n", 5) || has_whole_chunk(heard);
}

/* Returns whether anything was heard. */
static bool hear(struct stage *s) {
    static char piece[65536];
    bool has_some = false;

    accept_all(s);
    for (unsigned i = 0; i < s->n_ears; i++) {
        struct ear *ear = &s->ears[i];
        ssize_t n;

        while (ear->fd >= 0 && (n = recv(ear->fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0) {
            must(buf_put(&ear->heard, piece, (size_t)n) == 0);
            has_some = true;
        }
        if (has_some && ear->heard.len)
            check_heard(ear);
    }
    return has_some;
}

/* ---- the client's side */

static void on_done(void *arg, const struct relay_result *result) {
    struct stage *s = arg;
    bool is_taken = result->outcome == RELAY_ANSWERED && result->answer->code / 100 == 2;
    bool is_true = false;

    must(s->transfer && !s->is_starting && ++s->n_done == s->n_started);
    must(result->outcome != RELAY_ANSWERED || result->answer);
    must(result->answer == NULL || (result->answer->code != 421 && result->answer->text_len < SMTP_ANSWER_TEXT_MAX));
    if (s->n_started <= 2) {
        s->n_accepted += is_taken;
        return;
    }
    hear(s);
    for (unsigned i = 0; i < s->n_ears; i++)
        is_true |= s->ears[i].has_said_ok;
    must(!is_taken || is_true);
}

static bool client_is_there(void *arg) {
    return ((struct stage *)arg)->transfer != NULL;
}

static void pass_time(struct stage *s, uint64_t ms) {
    s->now_ms += ms;
    loop_set_time(s->loop, s->now_ms);
}

static void leave(struct stage *s) {
    relay_end(s->transfer);
    s->transfer = NULL;
}

/* Starts what comes next when nothing is pending. */
static void go_on(struct stage *s) {
    static const char *const addresses[] = { "b@near.example", "c@near.example" };

    if (!s->transfer || s->n_done < s->n_started || s->n_started == 3)
        return;
    s->is_starting = true;
    if (s->n_started < 2) {
        struct relay_recipient recipient = { .address = str_of(addresses[s->n_started]) };

        s->n_started++;
        must(relay_rcpt(s->transfer, &recipient, on_done, s) == 0);
    } else if (s->n_accepted > 0) {
        if (s->settings & WAITS)
            pass_time(s, 3100);
        s->n_started++;
        s->message.deadline_ms = s->now_ms + 240 * SECOND;
        must(relay_deliver(s->transfer, &s->message, on_done, s) == 0);
    }
    s->is_starting = false;
}

static void settle(struct stage *s) {
    for (unsigned quiet = 0; quiet < QUIET_TURNS; quiet++) {
        go_on(s);
        must(loop_turn(s->loop, 0) == 0);
        if (hear(s))
            quiet = 0;
    }
}

/* ---- the play */

static void say(struct stage *s, const uint8_t *at, size_t len) {
    if (len == 0)
        return;
    if (s->n_ears == 0)
        settle(s);
    hear(s);
    struct ear *ear = s->n_ears ? &s->ears[s->n_ears - 1] : NULL;
    if (!ear || ear->fd < 0)
        return;
    ssize_t n = send(ear->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++) {
        if (!ear->is_line && at[i] == '2' && ear->has_end)
            ear->has_said_ok = true;
        ear->is_line = at[i] != '\n';
    }
    go_on(s);
    must(loop_turn(s->loop, 0) == 0);
    hear(s);
}

static void act(struct stage *s, uint8_t direction) {
    switch (direction) {
    case 0x1b: leave(s); break;
    case 0x1c: pass_time(s, 61 * SECOND); break;
    case 0x1d: pass_time(s, 3100); break;
    case 0x1f:
        if (s->n_ears)
            close_ear(&s->ears[s->n_ears - 1]);
        break;
    default: break;
    }
    settle(s);
}

static void play(struct stage *s, const uint8_t *data, size_t size) {
    size_t from = 0;

    for (size_t i = 0; i <= size; i++) {
        if (i < size && (data[i] < 0x1b || data[i] > 0x1f))
            continue;
        say(s, data + from, i - from);
        if (i < size)
            act(s, data[i]);
        from = i + 1;
    }
}

/* The server is gone; every operation comes to its end, at the latest by its time-outs. */
static void end_play(struct stage *s) {
    hear(s);
    s->is_over = true;
    for (unsigned i = 0; i < s->n_ears; i++)
        close_ear(&s->ears[i]);
    for (int i = 0; i < 10 && s->transfer && (s->n_done < s->n_started || s->n_started < 2); i++) {
        settle(s);
        pass_time(s, 60 * SECOND);
    }
    settle(s);
    must(!s->transfer || s->n_done == s->n_started);
    leave(s);
    settle(s);
    must(relay_orphans(s->relay) == 0);
}

static void on_orphan(void *arg, struct str id, const struct relay_result *result) {
    struct stage *s = arg;

    must(!s->transfer && ++s->n_orphans == 1 && str_eq(id, STR("session1")));
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
}

static void on_note(void *arg, struct str id, struct str what) {
}

static void write_message(struct stage *s) {
    static const char line[] = ".a line that begins with a dot, and is long enough to make a file of some of them\r\n";

    spool_init(&s->spool, "/tmp", 100000);
    for (unsigned i = 0; i < (s->settings & IS_LARGE ? 4000u : 2u); i++) {
        memcpy(spool_room(&s->spool, sizeof(line) - 1), line, sizeof(line) - 1);
        must(spool_wrote(&s->spool, sizeof(line) - 1) == 0);
    }
    s->message = (struct relay_message){
        .head = STR("X: 1\r\n\r\n"), .spool = &s->spool, .has_8bit = (s->settings & IS_8BIT) != 0,
        .reserve_ms = RELAY_RESERVE_MS, .client_is_there = client_is_there,
    };
}

static void begin_play(struct stage *s, const struct conf *conf, const struct relay_events *events) {
    must(loop_new(&s->loop) == 0);
    loop_set_time(s->loop, s->now_ms);
    must(relay_new(s->loop, conf, NULL, 1, events, &s->relay) == 0);
    s->envelope = (struct relay_envelope){
        .sender = STR("a@far.example"), .helo = STR("far.example"), .id = STR("session1"), .is_esmtp = true,
    };
    must(ip_parse(STR("192.0.2.7"), &s->envelope.client) == 0);
    write_message(s);
    s->transfer = relay_begin(s->relay, &conf->groups[0], &s->envelope);
    must(s->transfer != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stage s = { .now_ms = 1000000, .settings = size ? data[0] : 0 };
    const struct relay_events events = { on_orphan, on_server, on_note, &s };

    listen_once();
    struct conf_server server = { .at = server_at, .name = "127.0.0.1" };
    struct conf_group group = {
        .name = "g", .servers = &server, .n_servers = 1,
        .forward_client = s.settings & IS_XFORWARD ? CONF_FORWARD_XFORWARD
                        : s.settings & IS_XCLIENT ? CONF_FORWARD_XCLIENT : CONF_FORWARD_OFF,
    };
    struct conf conf = { .groups = &group, .n_groups = 1, .set = {
        .hostname = "mx.example", .limits = { .server_connections = 2, .recipients = 10 },
        .timeouts = { .tls_handshake = 30 * SECOND, .relay_hold = 3 * SECOND, .server_connect = 10 * SECOND,
                      .server_greeting = 30 * SECOND, .server_command = 60 * SECOND, .server_idle = 60 * SECOND,
                      .server_wait = 5 * SECOND } } };

    begin_play(&s, &conf, &events);
    if (size > 1)
        play(&s, data + 1, size - 1);
    end_play(&s);
    relay_free(s.relay);
    must(loop_turn(s.loop, 0) == 0);
    loop_free(s.loop);
    spool_deinit(&s.spool);
    for (unsigned i = 0; i < s.n_ears; i++)
        buf_deinit(&s.ears[i].heard);
    return 0;
}
