/*
 * Before the greeting: layer connection decided with facts that a name server answers, soon, late or never. (The delay
 * itself, and what needs no name server, is in tests/wire.)
 */
#include "base/clock.h"
#include "base/hash.h"
#include "dns_server.h"
#include "session/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REVERSE "7.113.0.203.in-addr.arpa"

enum { NOW_MS = 1000000, DELAY_MS = 4000, DNS_MS = 3000 };

static const char policy_text[] =
    "layer connection {\n"
    "  accept \"PARTNER\" when ptr.confirmed and ptr.name in partner_names\n"
    "  reject \"BANNED IP\" when client in banned\n"
    "  reject \"BANNED PTR\" when ptr.name in banned_names\n"
    "  reject \"EARLY TALKER\" when client.early_talker\n"
    "}\n";

static struct stage {
    char folder[64];
    struct loop *loop;
    uint64_t now_ms;
    struct dns_server dns;
    struct server server;
    struct journal journal;
    struct worker_counters counters;
    int fd;
    bool is_closed;
    struct buf said;
} t;

/* ---- the stage */

static struct conf *load(const char *options) {
    struct diag_list diag;
    struct conf *conf = NULL;
    char path[128], text[2048];
    snprintf(path, sizeof(path), "%s/policy", t.folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(policy_text, file);
    assert_int_equal(fclose(file), 0);
    int len = snprintf(text, sizeof(text),
                       "hostname mx.example.com\nlisten 127.0.0.1:2525\nservers mailbox {\n server 127.0.0.1:2526\n}\n"
                       "domain example.com {\n directory none\n}\npolicy %s\nspool_path %s\n"
                       "table banned cidr {\n entries 203.0.113.9\n}\n"
                       "table banned_names names {\n entries .bad.example\n}\n"
                       "table partner_names names {\n entries .good.example\n}\n%s",
                       path, t.folder, options);
    diag_init(&diag);
    if (conf_load_text("postern.conf", (struct str){ text, (size_t)len }, &diag, &conf) != 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    unlink(path);
    return conf;
}

static int setup(void **state) {
    t = (struct stage){ .fd = -1, .now_ms = NOW_MS };
    hash_init();
    log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    strcpy(t.folder, "/tmp/postern-greeting-XXXXXX");
    assert_non_null(mkdtemp(t.folder));
    assert_int_equal(loop_new(&t.loop), 0);
    loop_set_time(t.loop, t.now_ms);
    dns_server_open(&t.dns, t.loop);
    journal_init(&t.journal, open("/dev/null", O_WRONLY | O_CLOEXEC));
    buf_init(&t.said, 65536);
    return 0;
}

/* A client connects to a server with these options. */
static void connect_from(const char *client, const char *options) {
    int ends[2];
    struct session_origin origin = { .peer.port = 40000 };
    t.server = (struct server){ .loop = t.loop, .conf = load(options), .journal = &t.journal, .counters = &t.counters,
                                .max_sessions = 10 };
    t.server.gather = (struct gather_world){ .loop = t.loop, .conf = t.server.conf, .timeout_ms = DNS_MS,
                                             .resolver = dns_server_resolver(&t.dns, t.loop, 0) };
    assert_int_equal(clients_init(&t.server.clients), 0);
    assert_int_equal(ip_parse(str_of(client), &origin.peer.ip), 0);
    origin.client = origin.peer;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    t.fd = ends[0];
    session_start(&t.server, ends[1], &origin, (struct str){ 0 });
}

static int teardown(void **state) {
    server_end_all(&t.server);
    assert_int_equal(loop_turn(t.loop, 0), 0);
    assert_int_equal(resolver_waiting(t.server.gather.resolver), 0);
    if (t.fd >= 0)
        close(t.fd);
    clients_deinit(&t.server.clients);
    resolver_free(t.server.gather.resolver);
    dns_server_close(&t.dns, t.loop);
    loop_free(t.loop);
    journal_deinit(&t.journal);
    conf_free((struct conf *)t.server.conf);
    buf_deinit(&t.said);
    return rmdir(t.folder);
}

static void turn(void) {
    char chunk[4096];
    ssize_t n;
    assert_int_equal(loop_turn(t.loop, 0), 0);
    while ((n = read(t.fd, chunk, sizeof(chunk))) > 0)
        assert_int_equal(buf_put(&t.said, chunk, (size_t)n), 0);
    t.is_closed = t.is_closed || n == 0;
}

static void settle(void) {
    for (int i = 0; i < 40; i++)
        turn();
}

static void await_question(const char *pattern) {
    uint64_t until = clock_ms() + 5000;
    while (dns_server_asked(&t.dns, pattern) == 0 && clock_ms() < until)
        turn();
    assert_true(dns_server_asked(&t.dns, pattern) > 0);
}

/* A line that begins so, taken. The clock stands still meanwhile. */
static void expect(const char *beginning) {
    uint64_t until = clock_ms() + 5000;
    size_t end;
    while ((end = str_find(buf_str(&t.said), '\n')) == t.said.len && !t.is_closed && clock_ms() < until)
        turn();
    if (!str_starts_nocase(buf_str(&t.said), str_of(beginning)))
        fail_msg("said \"%.*s\" instead of \"%s\"", STR_ARG(buf_str(&t.said)), beginning);
    buf_consume(&t.said, end + 1);
}

static void expect_silence(void) {
    settle();
    assert_int_equal(t.said.len, 0);
    assert_false(t.is_closed);
}

static void pass_time(uint64_t ms) {
    t.now_ms += ms;
    loop_set_time(t.loop, t.now_ms);
    settle();
}

static void client_says(const char *text) {
    assert_int_equal(send(t.fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static bool is_journalled(const char *text) {
    return t.journal.out.len > 0 && memmem(t.journal.out.at, t.journal.out.len, text, strlen(text)) != NULL;
}

/* ---- without delay */

static void who_has_a_banned_name_hears_554_instead_of_the_greeting(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "host.bad.example");
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 0\n");
    expect("554 5.7.1 Refused by policy: BANNED PTR [");
    client_says("EHLO x\r\nQUIT\r\n");
    expect("503 5.5.1");
    expect("221");
    assert_int_equal(t.counters.turned_away, 1);
    assert_true(is_journalled("\"ptr\":\"host.bad.example\",\"early_talker\":false,\"layer\":\"connection\","
                              "\"rule\":\"BANNED PTR\",\"action\":\"reject\""));
    assert_true(is_journalled("\"ptr_status\":\"unconfirmed\""));
}

static void who_has_another_is_greeted_and_no_record_made(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "mail.example.net");
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 0\n");
    expect("220 ");
    assert_int_equal(t.counters.turned_away, 0);
    assert_int_equal(t.journal.out.len, 0);
}

static void by_default_nobody_is_asked_at_connect(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "host.bad.example");
    connect_from("203.0.113.7", "");
    expect_silence(); /* the delay */
    pass_time(DELAY_MS);
    expect("220 ");
    assert_int_equal(t.dns.n_asked, 0);
}

/* ---- while the name server is away */

static void a_name_that_nobody_tells_refuses_nobody(void **state) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 0\n");
    await_question("PTR *");
    pass_time(DNS_MS - 10);
    expect_silence();
    pass_time(10);
    expect("220 ");
}

static void a_reject_behind_a_rule_left_open_is_421(void **state) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_from("203.0.113.9", "refuse at connect\ngreeting_delay 0\n");
    await_question("PTR *");
    pass_time(DNS_MS);
    expect("421 4.4.3 ");
    assert_true(is_journalled("\"open\":\"PARTNER\""));
    settle();
    assert_true(t.is_closed);
}

static void who_leaves_while_we_ask_leaves_nothing_behind(void **state) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 0\n");
    await_question("PTR *");
    assert_int_equal(resolver_waiting(t.server.gather.resolver), 1);
    shutdown(t.fd, SHUT_RDWR);
    settle();
    assert_null(t.server.sessions);
    assert_int_equal(resolver_waiting(t.server.gather.resolver), 0);
    assert_int_equal(t.counters.left_early, 1);
}

static void who_is_told_to_go_while_we_ask_leaves_nothing_behind(void **state) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 0\n");
    await_question("PTR *");
    server_shut_down(&t.server);
    expect("421 4.3.2 ");
    assert_null(t.server.sessions);
    assert_int_equal(resolver_waiting(t.server.gather.resolver), 0);
}

static void a_flood_before_the_greeting_is_left_to_the_kernel(void **state) {
    static char flood[1 << 16];
    size_t sent = 0;
    ssize_t n;
    memset(flood, '\n', sizeof(flood));
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 0\n");
    await_question("PTR *");
    for (int i = 0; i < 200; i++) {
        n = send(t.fd, flood, sizeof(flood), MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        turn();
    }
    assert_non_null(t.server.sessions);
    assert_true(t.server.sessions->stream.in.len <= LOOP_SCRATCH);
    assert_true(sent < 200 * sizeof(flood));
    assert_int_equal(t.counters.early_talkers, 1);
    pass_time(DNS_MS);
    expect("421 4.4.3 "); /* an early talker, who may be a partner for all we know */
}

/* ---- the delay and the question at once */

static void a_refusal_does_not_wait_for_the_delay(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "host.bad.example");
    connect_from("203.0.113.7", "refuse at connect\n");
    expect("554 5.7.1 Refused by policy: BANNED PTR [");
}

static void nor_does_who_is_accepted(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "mail.good.example");
    dns_server_add(&t.dns, "mail.good.example", DNS_A, "203.0.113.7");
    connect_from("203.0.113.7", "refuse at connect\n");
    expect("220 ");
}

static void who_passes_waits_to_the_end_of_the_delay_and_no_longer(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "mail.example.net");
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    connect_from("203.0.113.7", "refuse at connect\n");
    await_question("A mail.example.net");
    pass_time(DELAY_MS - 10);
    expect_silence();
    pass_time(10);
    expect("220 ");
}

static void a_delay_shorter_than_the_question_is_not_the_end_of_it(void **state) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_from("203.0.113.7", "refuse at connect\ngreeting_delay 1s\n");
    await_question("PTR *");
    pass_time(1000);
    expect_silence();
    pass_time(DNS_MS - 1000);
    expect("220 ");
}

static void who_talks_after_the_answer_is_judged_again_without_asking(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "mail.example.net");
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    connect_from("203.0.113.7", "refuse at connect\n");
    await_question("A mail.example.net");
    for (uint64_t until = clock_ms() + 5000; t.server.sessions->gather != NULL && clock_ms() < until;)
        turn();
    assert_null(t.server.sessions->gather);
    unsigned asked = t.dns.n_asked;
    client_says("EHLO x\r\n");
    expect("554 5.7.1 Refused by policy: EARLY TALKER [");
    assert_int_equal(t.dns.n_asked, asked);
    assert_true(is_journalled("\"early_talker\":true"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(who_has_a_banned_name_hears_554_instead_of_the_greeting),
        TEST(who_has_another_is_greeted_and_no_record_made),
        TEST(by_default_nobody_is_asked_at_connect),
        TEST(a_name_that_nobody_tells_refuses_nobody),
        TEST(a_reject_behind_a_rule_left_open_is_421),
        TEST(who_leaves_while_we_ask_leaves_nothing_behind),
        TEST(who_is_told_to_go_while_we_ask_leaves_nothing_behind),
        TEST(a_flood_before_the_greeting_is_left_to_the_kernel),
        TEST(a_refusal_does_not_wait_for_the_delay),
        TEST(nor_does_who_is_accepted),
        TEST(who_passes_waits_to_the_end_of_the_delay_and_no_longer),
        TEST(a_delay_shorter_than_the_question_is_not_the_end_of_it),
        TEST(who_talks_after_the_answer_is_judged_again_without_asking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
