/*
 * How much one client gets done in one turn of the loop, however much of it has arrived: counted in replies. And how
 * much time it gets while it does not read them.
 */
#include "base/hash.h"
#include "session/state.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURN_MAX = 2 * 100 /* an event, and the task behind it */ };

static const char options[] =
    "hostname mx.example.com\nlisten 127.0.0.1:2525\nservers mailbox {\n server 127.0.0.1:2526\n tls none\n}\n"
    "domain example.com {\n directory none\n}\npolicy none\nspool_path /tmp\ngreeting_delay 0\n"
    "limits {\n junk_commands 10000\n errors 1000\n}\n";

static struct stage {
    struct loop *loop;
    struct server server;
    struct journal journal;
    struct worker_counters counters;
    struct relay_events relay_events;
    int fd;
} t;

static struct conf *load(void) {
    struct diag_list diag;
    struct conf *conf = NULL;
    diag_init(&diag);
    if (conf_load_text("postern.conf", str_of(options), &diag, &conf) != 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    return conf;
}

/* Returns how many lines the server has said in one turn. */
static unsigned turn(void) {
    char chunk[65536];
    unsigned lines = 0;
    assert_int_equal(loop_turn(t.loop, 0), 0);
    for (ssize_t n; (n = read(t.fd, chunk, sizeof(chunk))) > 0;)
        for (ssize_t i = 0; i < n; i++)
            lines += chunk[i] == '\n';
    return lines;
}

static int setup(void **state) {
    struct session_origin origin = { .peer.port = 40000 };
    int ends[2];
    t = (struct stage){ .fd = -1 };
    hash_init();
    log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    assert_int_equal(loop_new(&t.loop), 0);
    journal_init(&t.journal, open("/dev/null", O_WRONLY | O_CLOEXEC));
    t.server = (struct server){ .loop = t.loop, .conf = load(), .journal = &t.journal, .counters = &t.counters,
                                .max_sessions = 10 };
    assert_int_equal(relay_new(t.loop, t.server.conf, NULL, 1, &t.relay_events, &t.server.relay), 0);
    t.server.gather = (struct gather_world){ .loop = t.loop, .conf = t.server.conf };
    assert_int_equal(clients_init(&t.server.clients), 0);
    assert_int_equal(ip_parse(STR("203.0.113.7"), &origin.peer.ip), 0);
    origin.client = origin.peer;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    t.fd = ends[0];
    session_start(&t.server, ends[1], &origin, (struct str){ 0 });
    assert_int_equal(turn() + turn(), 1); /* the greeting */
    return 0;
}

static int teardown(void **state) {
    server_end_all(&t.server);
    assert_int_equal(loop_turn(t.loop, 0), 0);
    close(t.fd);
    relay_free(t.server.relay);
    clients_deinit(&t.server.clients);
    loop_free(t.loop);
    journal_deinit(&t.journal);
    conf_free((struct conf *)t.server.conf);
    return 0;
}

/* Sends `command` n times at once. Each is answered by a line, and no turn has more of them than it may. */
static void assert_bounded(const char *command, unsigned n) {
    size_t len = strlen(command);
    char *all = malloc(n * len);
    unsigned answered = 0;
    for (unsigned i = 0; i < n; i++)
        memcpy(all + i * len, command, len);
    assert_int_equal(send(t.fd, "EHLO x\r\n", 8, MSG_NOSIGNAL), 8);
    while (turn() > 0)
        continue;
    assert_int_equal(send(t.fd, all, n * len, MSG_NOSIGNAL), n * len);
    for (unsigned i = 0; answered < n && i < n; i++) {
        unsigned lines = turn();
        assert_true(lines <= TURN_MAX);
        answered += lines;
    }
    assert_int_equal(answered, n);
    free(all);
}

static void commands_that_come_at_once_are_answered_over_several_turns(void **state) {
    assert_bounded("NOOP\r\n", 5000);
}

static void so_are_chunks_of_a_byte(void **state) {
    assert_bounded("BDAT 1\r\nx", 900);
}

static void so_are_lines_that_are_too_long(void **state) {
    char line[3000];
    memset(line, 'x', sizeof(line));
    memcpy(line + sizeof(line) - 3, "\r\n", 3);
    assert_bounded(line, 50);
}

static void pass_time(uint64_t ms) {
    loop_set_time(t.loop, loop_now(t.loop) + ms);
    assert_int_equal(loop_turn(t.loop, 0), 0);
}

static void say_noop(void) {
    assert_int_equal(send(t.fd, "NOOP\r\n", 6, MSG_NOSIGNAL), 6);
    assert_int_equal(loop_turn(t.loop, 0), 0);
}

static void a_client_that_does_not_read_our_replies_buys_no_time_by_talking(void **state) {
    enum { COMMAND_MS = 300000 };
    const int small = 1;
    const struct session *s = t.server.sessions;
    pass_time(0);
    assert_int_equal(setsockopt(s->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    say_noop();
    pass_time(COMMAND_MS - 1000); /* who reads has his time again with each command */
    say_noop();
    pass_time(COMMAND_MS - 1000);
    for (int i = 0; i < 2000 && !stream_is_blocked(&s->stream); i++)
        say_noop();
    assert_true(stream_is_blocked(&s->stream) && stream_pending(&s->stream) < OUTPUT_HIGH);
    pass_time(COMMAND_MS - 1000);
    say_noop();
    assert_int_equal(s->phase, PHASE_COMMAND);
    pass_time(2000);
    assert_int_equal(s->phase, PHASE_LINGER);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(commands_that_come_at_once_are_answered_over_several_turns),
        TEST(so_are_chunks_of_a_byte),
        TEST(so_are_lines_that_are_too_long),
        TEST(a_client_that_does_not_read_our_replies_buys_no_time_by_talking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
