/*
 * What shadow rules ask after the reply: nobody waits for it, and no record is lost or told about another, at both
 * doors, whatever the client does next. With real connections and a name server.
 */
#include "session/rehearsal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "dns_server.h"
#include "session/policy_door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REVERSE "7.113.0.203.in-addr.arpa"
#define REQUEST "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=203.0.113.7\n" \
                "client_name=unknown\nreverse_client_name=unknown\n"

static const char conf_text[] =
    "hostname mx.example.com\nlisten 127.0.0.1:2525\nservers mailbox {\n server 127.0.0.1:2526\n tls none\n}\n"
    "domain example.com {\n servers mailbox\n directory none\n}\npolicy policy\n"
    "greeting_delay 0\n"; /* the clock of the loop stands still */
static const char policy_text[] =
    "layer policy {\n"
    "  shadow reject \"NAMELESS\" when ptr.none\n"
    "  shadow reject \"NO SENDER\" when not sender.resolves\n"
    "  reject \"REFUSED\" when sender.domain == \"refused.example\"\n"
    "}\n";

static struct stage {
    char folder[64];
    struct loop *loop;
    uint64_t now_ms;
    struct dns_server dns;
    struct server server;
    struct directory *directories[1];
    struct journal journal;
    struct worker_counters counters;
    struct policy_door door;
    int fd; /* the peer's end of a connection */
    struct buf said;
} t;

/* ---- the stage */

static void write_file(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", t.folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static struct conf *load(void) {
    struct diag_list diag;
    struct conf *conf = NULL;
    char text[2048], path[128];
    write_file("policy", policy_text);
    snprintf(path, sizeof(path), "%s/postern.conf", t.folder);
    snprintf(text, sizeof(text), "%sspool_path %s\ndirectory_path %s\ncontrol_socket %s/control\n", conf_text,
             t.folder, t.folder, t.folder);
    diag_init(&diag);
    if (conf_load_text(path, str_of(text), &diag, &conf) != 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    return conf;
}

static int setup(void **state) {
    t = (struct stage){ .fd = -1, .now_ms = 1000000 };
    hash_init();
    log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    strcpy(t.folder, "/tmp/postern-rehearsal-XXXXXX");
    assert_non_null(mkdtemp(t.folder));
    assert_int_equal(loop_new(&t.loop), 0);
    loop_set_time(t.loop, t.now_ms);
    dns_server_open(&t.dns, t.loop);
    journal_init(&t.journal, open("/dev/null", O_WRONLY | O_CLOEXEC));
    buf_init(&t.said, 1 << 20);
    t.server = (struct server){ .loop = t.loop, .conf = load(), .directories = t.directories, .journal = &t.journal,
                                .counters = &t.counters, .max_sessions = 10 };
    assert_int_equal(clients_init(&t.server.clients), 0);
    t.server.gather = (struct gather_world){ .loop = t.loop, .conf = t.server.conf, .timeout_ms = 4000,
                                             .resolver = dns_server_resolver(&t.dns, t.loop, 0) };
    policy_door_init(&t.door, &t.server, 2);
    return 0;
}

static int teardown(void **state) {
    char command[128];
    server_end_all(&t.server);
    policy_door_end_all(&t.door);
    rehearsals_finish(&t.server);
    assert_int_equal(t.server.n_rehearsals, 0);
    assert_int_equal(resolver_waiting(t.server.gather.resolver), 0);
    if (t.fd >= 0)
        close(t.fd);
    buf_deinit(&t.said);
    resolver_free(t.server.gather.resolver);
    dns_server_close(&t.dns, t.loop);
    clients_deinit(&t.server.clients);
    loop_free(t.loop);
    journal_deinit(&t.journal);
    conf_free((struct conf *)t.server.conf);
    snprintf(command, sizeof(command), "rm -r %s", t.folder);
    return system(command);
}

static void turn(void) {
    char chunk[4096];
    ssize_t n;
    assert_int_equal(loop_turn(t.loop, 0), 0);
    while (t.fd >= 0 && (n = recv(t.fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0)
        assert_int_equal(buf_put(&t.said, chunk, (size_t)n), 0);
}

/* Turns until that stands in `where`. */
static void await(const struct buf *where, const char *text) {
    uint64_t until = clock_ms() + 5000;
    while (where->len == 0 || memmem(where->at, where->len, text, strlen(text)) == NULL) {
        if (clock_ms() > until)
            fail_msg("\"%s\" does not come, but \"%.*s\"", text, STR_ARG(buf_str(where)));
        turn();
    }
}

/* Each line is said when the answer to the one before it has come. */
static void say(const char *line, const char *answer) {
    buf_clear(&t.said);
    assert_int_equal(send(t.fd, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
    await(&t.said, answer);
}

static int peer_end(void) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    t.fd = ends[0];
    return ends[1];
}

static void connect_postfix(void) {
    policy_door_start(&t.door, peer_end());
}

static void connect_client(const char *helo) {
    struct session_origin origin = { 0 };
    char line[128];
    assert_int_equal(ip_parse(STR("203.0.113.7"), &origin.peer.ip), 0);
    origin.client = origin.peer;
    session_start(&t.server, peer_end(), &origin, STR(""));
    await(&t.said, "220 ");
    snprintf(line, sizeof(line), "HELO %s\r\n", helo);
    say(line, "250 ");
}

static void be_refused(const char *sender) {
    char line[128];
    snprintf(line, sizeof(line), "MAIL FROM:<%s>\r\n", sender);
    say(line, "250 ");
    say("RCPT TO:<user@example.com>\r\n", "550 5.7.1");
}

static void await_no_rehearsal(void) {
    uint64_t until = clock_ms() + 5000;
    while (t.server.n_rehearsals > 0 && clock_ms() < until)
        turn();
    assert_int_equal(t.server.n_rehearsals, 0);
}

static void be_silent(void) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
}

static unsigned n_journalled(const char *text) {
    unsigned n = 0;
    const char *at = t.journal.out.at, *end = at + t.journal.out.len;
    while (at != NULL && at < end && (at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        at += strlen(text);
        n++;
    }
    return n;
}

static void assert_journalled(const char *text) {
    if (n_journalled(text) != 1)
        fail_msg("not once \"%s\" in \"%.*s\"", text, STR_ARG(buf_str(&t.journal.out)));
}

/* ---- the reply first */

static void postfix_is_answered_while_dns_is_silent(void **state) {
    be_silent();
    connect_postfix();
    say(REQUEST "sender=a@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    assert_int_equal(t.server.n_rehearsals, 1);
    assert_int_equal(t.journal.out.len, 0);
    loop_set_time(t.loop, t.now_ms += 3999);
    turn();
    assert_int_equal(t.journal.out.len, 0);
    loop_set_time(t.loop, t.now_ms += 1); /* the budget is spent */
    await_no_rehearsal();
    assert_int_equal(n_journalled("\n"), 1);
    assert_journalled("\"ptr.none\":{\"state\":\"unavailable\",\"src\":\"dns\",\"after\":4000}");
    assert_int_equal(n_journalled("\"shadow\""), 0);
}

static void a_client_is_answered_while_dns_is_silent(void **state) {
    be_silent();
    connect_client("mail.example.net");
    be_refused("a@refused.example");
    assert_int_equal(t.journal.out.len, 0);
    loop_set_time(t.loop, t.now_ms += 4000);
    await_no_rehearsal();
    assert_int_equal(n_journalled("\n"), 1);
    assert_journalled("\"rule\":\"REFUSED\",\"action\":\"reject\",\"reply\":{\"code\":550,");
}

static void what_would_have_acted_is_journalled_with_the_decision(void **state) {
    dns_server_add(&t.dns, "b.example", DNS_A, "192.0.2.1");
    connect_postfix();
    say(REQUEST "sender=a@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    await_no_rehearsal();
    assert_int_equal(n_journalled("\n"), 1);
    assert_journalled("\"action\":\"pass\"");
    assert_journalled("\"shadow\":[\"NAMELESS\"]");
    assert_journalled("\"ptr_status\":\"none\"");
    assert_journalled("\"sender.resolves\":{\"v\":true,");
}

static void a_name_that_only_a_shadow_rule_asked_for_is_journalled(void **state) {
    dns_server_add(&t.dns, REVERSE, DNS_PTR, "mail.example.net");
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    connect_postfix();
    say(REQUEST "sender=a@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    await_no_rehearsal();
    assert_journalled("\"ptr\":\"mail.example.net\"");
    assert_journalled("\"ptr_status\":\"confirmed\"");
}

static void a_name_that_postfix_told_is_journalled_once(void **state) {
    connect_postfix();
    say("request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=203.0.113.7\nclient_name=mail.example.net\n"
        "reverse_client_name=mail.example.net\nsender=a@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    assert_int_equal(t.server.n_rehearsals, 1);
    await_no_rehearsal();
    assert_journalled("\"ptr\":\"mail.example.net\"");
    assert_journalled("\"shadow\":[\"NO SENDER\"]");
}

/* ---- whatever comes next */

static void who_quits_at_once_is_journalled_whole(void **state) {
    connect_client("mail.example.net");
    be_refused("a@refused.example");
    say("QUIT\r\n", "221 ");
    server_end_all(&t.server);
    assert_int_equal(t.server.n_sessions, 0);
    await_no_rehearsal();
    assert_int_equal(n_journalled("\n"), 1);
    assert_journalled("\"helo\":\"mail.example.net\",\"sender\":\"a@refused.example\"");
    assert_journalled("\"shadow\":[\"NAMELESS\",\"NO SENDER\"]");
}

static void a_new_envelope_leaves_the_record_of_the_old_one_alone(void **state) {
    dns_server_play(&t.dns, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_client("first.example.net");
    be_refused("first@refused.example");
    say("RSET\r\n", "250 ");
    say("HELO second.example.net\r\n", "250 ");
    be_refused("second@refused.example");
    say("RCPT TO:<other@example.com>\r\n", "550 ");
    assert_int_equal(t.server.n_rehearsals, 3);
    loop_set_time(t.loop, t.now_ms += 4000);
    await_no_rehearsal();
    assert_int_equal(n_journalled("\n"), 3);
    assert_journalled("\"helo\":\"first.example.net\",\"sender\":\"first@refused.example\",");
    assert_journalled("\"rcpt\":\"other@example.com\"");
    assert_int_equal(n_journalled("\"helo\":\"second.example.net\",\"sender\":\"second@refused.example\","), 2);
}

static void what_the_session_has_found_out_is_not_asked_again(void **state) {
    connect_client("mail.example.net");
    be_refused("a@refused.example");
    await_no_rehearsal();
    unsigned before = dns_server_asked(&t.dns, "*");
    say("RCPT TO:<other@example.com>\r\n", "550 ");
    await_no_rehearsal();
    assert_int_equal(dns_server_asked(&t.dns, "*"), before); /* from the resolver's cache */
    assert_int_equal(n_journalled("\"shadow\":[\"NAMELESS\",\"NO SENDER\"]"), 2);
}

/* ---- bounds */

static void at_the_end_of_the_worker_what_is_known_is_written(void **state) {
    dns_server_play(&t.dns, REVERSE, DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    connect_client("mail.example.net");
    be_refused("a@refused.example");
    uint64_t until = clock_ms() + 5000;
    while (dns_server_asked(&t.dns, "* refused.example") < 1 && clock_ms() < until)
        turn();
    for (int i = 0; i < 20; i++) /* the answer arrives */
        turn();
    server_end_all(&t.server);
    rehearsals_finish(&t.server);
    assert_int_equal(n_journalled("\n"), 1);
    assert_journalled("\"rule\":\"REFUSED\"");
    assert_int_equal(n_journalled("ptr.none"), 0);
}

static void past_the_bound_what_is_known_is_written_at_once(void **state) {
    be_silent();
    connect_postfix();
    for (unsigned i = 0; i < REHEARSALS_MAX; i++)
        say(REQUEST "sender=a@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    assert_int_equal(t.server.n_rehearsals, REHEARSALS_MAX);
    assert_int_equal(t.journal.out.len, 0);
    assert_false(t.server.are_rehearsals_full);
    say(REQUEST "sender=last@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    assert_int_equal(t.server.n_rehearsals, REHEARSALS_MAX);
    assert_int_equal(n_journalled("\n"), 1);
    assert_journalled("\"sender\":\"last@b.example\"");
    assert_true(t.server.are_rehearsals_full);
    assert_int_equal(n_journalled("\"unrehearsed\":true"), 1);
    assert_int_equal(t.counters.unrehearsed, 1);
    rehearsals_finish(&t.server);
    assert_int_equal(n_journalled("\n"), REHEARSALS_MAX + 1);
    assert_int_equal(n_journalled("\"unrehearsed\":true"), REHEARSALS_MAX + 1); /* cut short */
    assert_int_equal(t.counters.unrehearsed, REHEARSALS_MAX + 1);
}

static void without_a_journal_nothing_is_asked(void **state) {
    close(t.journal.fd);
    t.journal.fd = -1;
    connect_postfix();
    say(REQUEST "sender=a@b.example\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
    for (int i = 0; i < 20; i++)
        turn();
    assert_int_equal(t.server.n_rehearsals, 0);
    assert_int_equal(t.dns.n_asked, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(postfix_is_answered_while_dns_is_silent),
        TEST(a_client_is_answered_while_dns_is_silent),
        TEST(what_would_have_acted_is_journalled_with_the_decision),
        TEST(a_name_that_only_a_shadow_rule_asked_for_is_journalled),
        TEST(a_name_that_postfix_told_is_journalled_once),
        TEST(who_quits_at_once_is_journalled_whole),
        TEST(a_new_envelope_leaves_the_record_of_the_old_one_alone),
        TEST(what_the_session_has_found_out_is_not_asked_again),
        TEST(at_the_end_of_the_worker_what_is_known_is_written),
        TEST(past_the_bound_what_is_known_is_written_at_once),
        TEST(without_a_journal_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
