/*
 * The second door: what Postfix asks and is answered, on real connections with a directory, tables and a name server.
 */
#include "session/policy_door.h"

#include "base/clock.h"
#include "base/hash.h"
#include "dns_server.h"
#include "fake_store.h"
#include "session/answer_facts.h"
#include "session/policy_instances.h"
#include "smtp/policy_request.h"
#include "table/directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 3, SAID_MAX = 1 << 20 };

#define START "request=smtpd_access_policy\n"
#define RCPT START "protocol_state=RCPT\nprotocol_name=ESMTP\n"
#define CLIENT "client_address=203.0.113.7\n"
#define CONFIRMED "client_name=mail.example.net\nreverse_client_name=mail.example.net\n"
#define GOOD RCPT CLIENT CONFIRMED "helo_name=mail.example.net\nsender=a@example.net\n"

static const char conf_text[] =
    "hostname mx.example.com\nlisten 127.0.0.1:2525\nrelay_clients 192.0.2.0/24\n"
    "servers mailbox {\n server 127.0.0.1:2526\n tls none\n}\n"
    "domain example.com {\n servers mailbox\n}\n"
    "domain tried.example {\n servers mailbox\n enforce no\n directory none\n}\n"
    "domain late.example {\n servers mailbox\n}\n"
    "table banned_senders addresses {\n entries bad@example.net example.org\n}\n"
    "policy policy\n"
    "store {\n path /nowhere/store\n timeout 50ms\n}\n";
static const char policy_text[] =
    "layer connection {\n"
    "  reject \"EARLY\" when client.early_talker\n"
    "  reject \"OFTEN\" when client.connections < 9 or client.rate(connections, 1h) < 9\n" /* off: Postfix knows */
    "}\n"
    "layer greylist {\n"
    "  greylist \"GREY\" when sender.domain == \"grey.example\"\n"
    "}\n"
    "layer policy {\n"
    "  reject \"BANNED SENDER\" when sender.address in banned_senders\n"
    "  reject \"OURS\" when helo.ours\n"
    "  reject \"HELO_IP\" when helo.address\n"
    "  defer \"WAIT\" when sender.domain == \"slow.example\" with 450 4.7.9 \"Wait a while, {client}\"\n"
    "  reject \"PTRNUL\" when ptr.none and sender.domain == \"dns.example\"\n"
    "  reject \"UNCONFIRMED\" when ptr.unconfirmed and sender.domain == \"dns.example\"\n"
    "}\n";

static struct stage {
    char folder[64];
    struct loop *loop;
    uint64_t now_ms;
    struct dns_server dns;
    struct store_client *store_client;
    struct fake_store store;
    struct server server;
    struct directory *directories[3];
    struct journal journal;
    struct worker_counters counters;
    struct policy_door door;
    int fds[CONNECTIONS_MAX];
    bool is_closed[CONNECTIONS_MAX];
    struct buf said[CONNECTIONS_MAX];
    unsigned n_empty;
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
    struct buf text;
    char path[128];
    write_file("policy", policy_text);
    snprintf(path, sizeof(path), "%s/postern.conf", t.folder);
    buf_init(&text, 8192);
    buf_putf(&text, "%sspool_path %s\ndirectory_path %s\ncontrol_socket %s/control\n", conf_text, t.folder, t.folder,
             t.folder);
    diag_init(&diag);
    if (conf_load_text(path, buf_str(&text), &diag, &conf) != 0)
        fail_msg("%.*s", STR_ARG(buf_str(&diag.text)));
    diag_deinit(&diag);
    buf_deinit(&text);
    return conf;
}

static void make_directory(void) {
    struct directory_writer *writer;
    char path[128];
    assert_int_equal(directory_writer_new(t.folder, STR("example.com"), STR("test"), &writer), 0);
    assert_true(directory_writer_add(writer, STR("user"), STR("user@example.com")) >= 0);
    assert_true(directory_writer_add(writer, STR("two words"), STR("\"two words\"@example.com")) >= 0);
    assert_int_equal(directory_writer_commit(writer, clock_wall_ms()), 0);
    snprintf(path, sizeof(path), "%s/example.com.cdb", t.folder);
    assert_int_equal(directory_open(path, &t.directories[0]), 0);
}

static void on_empty(void *arg) {
    t.n_empty++;
}

static int setup(void **state) {
    t = (struct stage){ .fds = { -1, -1, -1 } };
    hash_init();
    log_open("test", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    strcpy(t.folder, "/tmp/postern-door-XXXXXX");
    assert_non_null(mkdtemp(t.folder));
    assert_int_equal(loop_new(&t.loop), 0);
    dns_server_open(&t.dns, t.loop);
    make_directory();
    journal_init(&t.journal, open("/dev/null", O_WRONLY | O_CLOEXEC));
    t.server = (struct server){ .loop = t.loop, .conf = load(), .directories = t.directories, .journal = &t.journal,
                                .counters = &t.counters };
    t.server.gather = (struct gather_world){ .loop = t.loop, .conf = t.server.conf, .timeout_ms = 4000,
                                             .resolver = dns_server_resolver(&t.dns, t.loop, 0) };
    assert_int_equal(store_client_new(t.loop, &t.store_client), 0);
    fake_store_open(&t.store, t.loop, t.store_client);
    t.server.gather.store = t.store_client;
    policy_door_init(&t.door, &t.server, 2);
    t.door.on_empty = on_empty;
    return 0;
}

static int teardown(void **state) {
    char command[128];
    policy_door_end_all(&t.door);
    assert_int_equal(t.door.n, 0);
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (t.fds[i] >= 0)
            close(t.fds[i]);
        buf_deinit(&t.said[i]);
    }
    fake_store_close(&t.store);
    store_client_free(t.store_client);
    resolver_free(t.server.gather.resolver);
    dns_server_close(&t.dns, t.loop);
    loop_free(t.loop);
    journal_deinit(&t.journal);
    directory_free(t.directories[0]);
    conf_free((struct conf *)t.server.conf);
    snprintf(command, sizeof(command), "rm -r %s", t.folder);
    return system(command);
}

static void open_connection(unsigned i) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    t.fds[i] = ends[0];
    buf_init(&t.said[i], SAID_MAX);
    policy_door_start(&t.door, ends[1]);
}

static void hear(void) {
    char chunk[4096];
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        ssize_t n = 1;
        while (t.fds[i] >= 0 && n > 0) {
            n = read(t.fds[i], chunk, sizeof(chunk));
            if (n > 0)
                assert_int_equal(buf_put(&t.said[i], chunk, (size_t)n), 0);
        }
        if (n == 0 || (n < 0 && errno != EAGAIN))
            t.is_closed[i] = true;
    }
}

static void settle(void) {
    for (int turn = 0; turn < 20; turn++) {
        assert_int_equal(loop_turn(t.loop, 0), 0);
        hear();
    }
}

/* Turns until so many answers, or the end, have come. */
static void await(unsigned i, unsigned answers) {
    uint64_t until = clock_ms() + 5000;
    for (;;) {
        unsigned n = 0;
        for (uint32_t k = 1; k < t.said[i].len; k++)
            n += t.said[i].at[k - 1] == '\n' && t.said[i].at[k] == '\n';
        if (n >= answers || t.is_closed[i] || clock_ms() > until)
            return;
        assert_int_equal(loop_turn(t.loop, 20), 0);
        hear();
    }
}

static void say(unsigned i, struct str text) {
    while (text.len > 0 && !t.is_closed[i]) {
        ssize_t n = send(t.fds[i], text.at, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return;
        text = str_from(text, n > 0 ? (size_t)n : 0);
        if (text.len > 0)
            settle();
    }
}

/* The answers so far, taken. `*` at the end of `expected` stands for anything. */
static void expect(unsigned i, const char *expected) {
    size_t len = strlen(expected);
    struct str said = buf_str(&t.said[i]);
    bool fits = len > 0 && expected[len - 1] == '*' ? said.len >= len - 1 && memcmp(said.at, expected, len - 1) == 0
                                                    : str_eq(said, str_of(expected));
    if (!fits)
        fail_msg("said \"%.*s\" instead of \"%s\"", STR_ARG(said), expected);
    buf_clear(&t.said[i]);
}

/* One request on the first connection and its answer. */
static void check(const char *request, const char *expected) {
    if (t.fds[0] < 0)
        open_connection(0);
    say(0, str_of(request));
    await(0, 1);
    expect(0, expected);
}

static bool is_journalled(const char *text) {
    return memmem(t.journal.out.at, t.journal.out.len, text, strlen(text)) != NULL;
}

/* ---- what is judged */

static void a_pass_is_dunno(void **state) {
    check(GOOD "recipient=user@example.com\n\n", "action=DUNNO\n\n");
    assert_int_equal(t.counters.recipients_passed, 1);
    assert_true(is_journalled("\"door\":\"postfix\""));
    assert_true(is_journalled("\"ptr\":\"mail.example.net\""));
    assert_false(is_journalled("\"reply\""));
}

static void an_unknown_recipient_of_a_domain_with_a_directory_is_refused(void **state) {
    check(GOOD "recipient=nobody@example.com\n\n", "action=550 5.1.1 *");
    check(GOOD "recipient=NOBODY@Example.COM\n\n", "action=550 5.1.1 *");
    assert_int_equal(t.counters.unknown, 2);
    assert_true(is_journalled("\"rule\":\"NO SUCH USER\""));
}

static void other_domains_are_postfixs_affair(void **state) {
    check(GOOD "recipient=anyone@elsewhere.example\n\n", "action=DUNNO\n\n");
    check(GOOD "recipient=postmaster\n\n", "action=DUNNO\n\n");
    check(GOOD "recipient=anyone@tried.example\n\n", "action=DUNNO\n\n");
}

static void a_banned_sender_is_refused_with_the_id(void **state) {
    check(RCPT CLIENT CONFIRMED "helo_name=x.example\nsender=bad@example.net\nrecipient=user@example.com\n\n",
          "action=550 5.7.1 *");
    assert_true(is_journalled("\"rule\":\"BANNED SENDER\""));
    say(0, STR(RCPT CLIENT "sender=bad@example.net\nrecipient=user@example.com\n\n"));
    await(0, 1);
    struct str said = buf_str(&t.said[0]);
    struct str id = str_from(said, str_find(said, '[') + 1); /* of the connection, and of its second decision */
    assert_true(str_eq(str_from(id, ID_LEN), STR(".2]\n\n")));
    buf_clear(&t.said[0]);
}

static void what_is_temporary_is_defer_if_permit(void **state) {
    check(GOOD "recipient=user@late.example\n\n", "action=DEFER_IF_PERMIT 4.1.1 *"); /* its directory is missing */
    check(RCPT CLIENT CONFIRMED "helo_name=x.example\nsender=a@slow.example\nrecipient=user@example.com\n\n",
          "action=DEFER_IF_PERMIT 4.7.9 Wait a while, 203.0.113.7 [*");
    assert_int_equal(t.counters.deferred, 2);
}

#define GREY RCPT CLIENT CONFIRMED "sender=a@grey.example\nrecipient=user@example.com\n"
#define GREY_TRIPLET " org:example.net net:203.0.113.0/24 ip:203.0.113.7 a@grey.example user@example.com\n"

static void expect_asked(const char *expected) {
    settle();
    assert_true(str_eq(buf_str(&t.store.heard), str_of(expected)));
    buf_clear(&t.store.heard);
}

static void who_is_greylisted_hears_when_to_come_back(void **state) {
    t.store.answer.seconds_left = 251;
    check(GREY "helo_name=x.example\n\n", "action=DEFER_IF_PERMIT 4.7.1 Greylisted, try again in 270 seconds [*");
    expect_asked("ask" GREY_TRIPLET);
    assert_true(is_journalled("\"greylist\":\"new\""));
}

static void who_is_let_in_is_credited_at_once(void **state) {
    t.store.answer = (struct greylist_answer){ .status = GREYLIST_RETRY, .waited = 301, .may_count = true };
    check(GREY "helo_name=x.example\n\n", "action=DUNNO\n\n");
    expect_asked("ask" GREY_TRIPLET "credit" GREY_TRIPLET);
    assert_true(is_journalled("\"greylist\":\"retry\",\"greylist_waited_s\":301,"));
    t.store.answer = (struct greylist_answer){ .status = GREYLIST_CACHED };
    check(GREY "helo_name=x.example\n\n", "action=DUNNO\n\n");
    expect_asked("ask" GREY_TRIPLET);
}

static void who_is_refused_behind_the_greylist_has_earned_nothing(void **state) {
    t.store.answer = (struct greylist_answer){ .status = GREYLIST_RETRY, .waited = 301, .may_count = true };
    check(GREY "helo_name=[203.0.113.7]\n\n", "action=550 5.7.1 *");
    expect_asked("ask" GREY_TRIPLET);
}

static void a_store_that_is_silent_holds_up_nobody(void **state) {
    t.store.mood = FAKE_STORE_IS_SILENT;
    check(GREY "helo_name=x.example\n\n", "action=DUNNO\n\n");
    assert_true(is_journalled("\"greylist\":{\"state\":\"unavailable\""));
}

static void where_nothing_is_enforced_nothing_is_refused(void **state) {
    check(RCPT CLIENT CONFIRMED "helo_name=[203.0.113.7]\nsender=a@example.net\nrecipient=user@tried.example\n\n",
          "action=DUNNO\n\n");
    assert_int_equal(t.counters.recipients_passed, 1);
}

static void only_rcpt_is_judged(void **state) {
    static const char *const states[] = { "CONNECT", "EHLO", "HELO", "MAIL", "DATA", "END-OF-MESSAGE", "VRFY", "" };
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
        char request[512];
        snprintf(request, sizeof(request), START CLIENT "protocol_state=%s\nsender=bad@example.net\n"
                 "recipient=nobody@example.com\n\n", states[i]);
        check(request, "action=DUNNO\n\n");
    }
    assert_int_equal(t.journal.out.len, 0);
    assert_int_equal(t.counters.refused, 0);
}

static void own_and_authenticated_clients_are_left_alone(void **state) {
    check(GOOD "sasl_username=you\nrecipient=nobody@example.com\n\n", "action=DUNNO\n\n");
    check(RCPT "client_address=192.0.2.9\nrecipient=nobody@example.com\n\n", "action=DUNNO\n\n");
    check(RCPT "client_address=unknown\nrecipient=nobody@example.com\n\n", "action=DUNNO\n\n");
    check(RCPT "recipient=nobody@example.com\n\n", "action=DUNNO\n\n");
    assert_int_equal(t.counters.refused, 0);
}

/* Postfix has relay control of its own; where recipients are validated here, a route is none. */
static void a_route_is_refused_where_recipients_are_validated(void **state) {
    check(GOOD "recipient=user%evil.test@example.com\n\n", "action=550 5.1.1 *");
    check(GOOD "recipient=user+x@evil.test@example.com\n\n", "action=550 5.1.1 *");
    check(GOOD "recipient=evil.test!user@example.com\n\n", "action=550 5.1.1 *");
    check(GOOD "recipient=|sh@example.com\n\n", "action=550 5.1.1 *");
}

static void a_local_part_needs_no_quotes_here(void **state) {
    check(GOOD "recipient=two words@example.com\n\n", "action=DUNNO\n\n");
    check(GOOD "recipient=three more words@example.com\n\n", "action=550 5.1.1 *");
    check(GOOD "recipient=@example.com\n\n", "action=DUNNO\n\n");
}

static void a_local_part_past_the_limit_is_not_looked_up(void **state) {
    char request[1024], local[SMTP_LOCAL_MAX + 2];
    for (size_t len = SMTP_LOCAL_MAX; len <= SMTP_LOCAL_MAX + 1; len++) {
        memset(local, 'x', len);
        local[len] = '\0';
        snprintf(request, sizeof(request), GOOD "recipient=%s@example.com\n\n", local);
        check(request, len > SMTP_LOCAL_MAX ? "action=DUNNO\n\n" : "action=550 5.1.1 *");
    }
}

static void without_a_helo_its_facts_are_off(void **state) {
    check(RCPT CLIENT CONFIRMED "helo_name=[203.0.113.7]\nsender=a@example.net\nrecipient=user@example.com\n\n",
          "action=550 5.7.1 *");
    check(RCPT CLIENT CONFIRMED "helo_name=\nsender=a@example.net\nrecipient=user@example.com\n\n", "action=DUNNO\n\n");
}

#define LITERAL RCPT CLIENT CONFIRMED "helo_name=[198.51.100.5]\nsender=a@example.net\nrecipient=user@example.com\n"

static void ours_is_the_address_that_postfix_was_reached_at(void **state) {
    check(LITERAL "instance=1\nserver_address=198.51.100.5\n\n", "action=550 5.7.1 Refused by policy: OURS [*");
    check(LITERAL "instance=1\nserver_address=198.51.100.6\n\n", "action=550 5.7.1 Refused by policy: HELO_IP [*");
    check(LITERAL "instance=1\nserver_address=unknown\n\n", "action=550 5.7.1 Refused by policy: HELO_IP [*");
    check(LITERAL "instance=1\n\n", "action=550 5.7.1 Refused by policy: HELO_IP [*");
}

/* ---- names */

#define FROM_DNS "helo_name=x.example\nsender=a@dns.example\nrecipient=user@example.com\n"

static void a_client_name_is_a_confirmed_name_and_asks_nothing(void **state) {
    check(RCPT CLIENT CONFIRMED FROM_DNS "\n", "action=DUNNO\n\n");
    assert_int_equal(t.dns.n_asked, 0);
}

static void a_reverse_name_saves_its_own_query_alone(void **state) {
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    check(RCPT CLIENT "client_name=unknown\nreverse_client_name=mail.example.net\n" FROM_DNS "\n",
          "action=DUNNO\n\n");
    assert_int_equal(dns_server_asked(&t.dns, "PTR *"), 0);
    assert_int_equal(dns_server_asked(&t.dns, "A mail.example.net"), 1);
    check(RCPT CLIENT "client_name=unknown\nreverse_client_name=other.example.net\n" FROM_DNS "\n",
          "action=550 5.7.1 *");
    assert_true(is_journalled("\"ptr_status\":\"unconfirmed\""));
}

static void where_both_names_are_unknown_all_is_looked_up(void **state) {
    check(RCPT CLIENT "client_name=unknown\nreverse_client_name=unknown\n" FROM_DNS "\n", "action=550 5.7.1 *");
    assert_int_equal(dns_server_asked(&t.dns, "PTR 7.113.0.203.in-addr.arpa"), 1);
    assert_true(is_journalled("\"ptr_status\":\"none\""));
}

static void a_name_that_is_none_is_looked_up(void **state) {
    check(RCPT CLIENT "client_name=not a name\nreverse_client_name=nor this\n" FROM_DNS "\n", "action=550 5.7.1 *");
    assert_int_equal(dns_server_asked(&t.dns, "PTR 7.113.0.203.in-addr.arpa"), 1);
}

/* ---- many requests */

static void pipelined_requests_are_answered_in_order(void **state) {
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    open_connection(0);
    say(0, STR(RCPT CLIENT "client_name=unknown\nreverse_client_name=mail.example.net\n" FROM_DNS "\n"
               GOOD "recipient=nobody@example.com\n\n" GOOD "recipient=user@example.com\n\n"
               GOOD "recipient=user@late.example\n\n"));
    await(0, 4);
    struct str said = buf_str(&t.said[0]);
    assert_true(str_starts_nocase(said, STR("action=DUNNO\n\naction=550 5.1.1 ")));
    said = str_from(said, str_find(said, ']'));
    assert_true(str_starts_nocase(said, STR("]\n\naction=DUNNO\n\naction=DEFER_IF_PERMIT 4.1.1 ")));
}

static void requests_may_come_in_drips(void **state) {
    static const char two[] = GOOD "recipient=nobody@example.com\n\n" GOOD "recipient=user@example.com\n\n";
    open_connection(0);
    for (size_t i = 0; i < sizeof(two) - 1; i++) {
        say(0, (struct str){ two + i, 1 });
        assert_int_equal(loop_turn(t.loop, 0), 0);
    }
    await(0, 2);
    assert_non_null(memmem(t.said[0].at, t.said[0].len, "]\n\naction=DUNNO\n\n", 17));
}

static void recipients_of_one_message_share_its_facts(void **state) {
    static const char head[] = RCPT CLIENT "client_name=unknown\nreverse_client_name=unknown\ninstance=1.2\n"
                               "helo_name=x.example\nsender=a@dns.example\n";
    char request[1024];
    dns_server_play(&t.dns, "7.113.0.203.in-addr.arpa", DNS_TYPE_ANY, DNS_PLAYS_FAILURE);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(request, sizeof(request), "%srecipient=user%u@elsewhere.example\n\n", head, i);
        check(request, "action=DUNNO\n\n"); /* not known in time: on_failure dns pass */
    }
    unsigned asked = dns_server_asked(&t.dns, "PTR *");
    snprintf(request, sizeof(request), "%srecipient=nobody@example.com\n\n", head);
    check(request, "action=550 5.1.1 *");
    assert_int_equal(dns_server_asked(&t.dns, "PTR *"), asked);
}

static void an_instance_of_another_client_borrows_nothing(void **state) {
    check(RCPT CLIENT CONFIRMED "instance=1.2\n" FROM_DNS "\n", "action=DUNNO\n\n");
    check(RCPT "client_address=203.0.113.8\nclient_name=unknown\nreverse_client_name=unknown\ninstance=1.2\n" FROM_DNS
          "\n", "action=550 5.7.1 *");
    assert_int_equal(dns_server_asked(&t.dns, "PTR 8.113.0.203.in-addr.arpa"), 1);
}

static void more_messages_than_are_kept_are_still_judged(void **state) {
    char request[1024];
    for (unsigned i = 0; i < 3 * POLICY_INSTANCES_KEPT; i++) {
        snprintf(request, sizeof(request), RCPT CLIENT CONFIRMED "instance=%u\nhelo_name=x.example\nsender=%s\n"
                 "recipient=user@example.com\n\n", i % (POLICY_INSTANCES_KEPT + 1),
                 i % 2 ? "bad@example.net" : "good@example.net");
        check(request, i % 2 ? "action=550 5.7.1 *" : "action=DUNNO\n\n");
    }
}

static void who_does_not_read_is_not_read(void **state) {
    enum { REQUESTS = 4000 };
    static const char request[] = START "protocol_state=DATA\n\n";
    open_connection(0);
    for (unsigned i = 0; i < REQUESTS; i++)
        say(0, (struct str){ request, sizeof(request) - 1 });
    await(0, REQUESTS);
    assert_int_equal(t.said[0].len, REQUESTS * strlen("action=DUNNO\n\n"));
    assert_false(t.is_closed[0]);
}

/* ---- broken and hostile peers */

static void what_is_no_request_closes_the_connection(void **state) {
    static const char *const rows[] = { "\n", "HELO x\n", "request=other\n\n", START "sender\n\n", START START "\n",
                                        START "protocol_state=RCPT\nclient_address=7.7\n\n" };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        open_connection(0);
        say(0, str_of(rows[i]));
        await(0, 1);
        expect(0, "");
        assert_true(t.is_closed[0]);
        assert_int_equal(t.door.n, 0);
        close(t.fds[0]);
        t.fds[0] = -1;
        t.is_closed[0] = false;
    }
}

static void what_stood_before_it_is_answered(void **state) {
    open_connection(0);
    say(0, STR(GOOD "recipient=user@example.com\n\njunk\n" GOOD "recipient=user@example.com\n\n"));
    await(0, 2);
    expect(0, "action=DUNNO\n\n");
    assert_true(t.is_closed[0]);
}

static void a_peer_that_leaves_while_we_ask_leaves_nothing_behind(void **state) {
    dns_server_play(&t.dns, "*", DNS_TYPE_ANY, DNS_PLAYS_SILENCE);
    open_connection(0);
    say(0, STR(RCPT CLIENT "client_name=unknown\nreverse_client_name=unknown\n" FROM_DNS "\n"));
    settle();
    assert_int_equal(t.door.n, 1);
    assert_true(resolver_waiting(t.server.gather.resolver) > 0);
    close(t.fds[0]);
    t.fds[0] = -1;
    policy_door_end_all(&t.door);
    settle();
    assert_int_equal(t.n_empty, 1);
    assert_int_equal(t.door.n, 0);
    assert_int_equal(t.counters.refused + t.counters.recipients_passed + t.counters.deferred, 0);
}

static void a_peer_that_closes_its_half_still_gets_its_answers(void **state) {
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    open_connection(0);
    say(0, STR(RCPT CLIENT "client_name=unknown\nreverse_client_name=mail.example.net\n" FROM_DNS "\n"
               GOOD "recipient=user@example.com\n\n"));
    assert_int_equal(shutdown(t.fds[0], SHUT_WR), 0);
    await(0, 3); /* until the end */
    expect(0, "action=DUNNO\n\naction=DUNNO\n\n");
    assert_true(t.is_closed[0]);
    assert_int_equal(t.n_empty, 1);
}

static void begin_clock(void) {
    t.now_ms = 1000000;
    loop_set_time(t.loop, t.now_ms);
}

static void pass_time(uint64_t ms) {
    t.now_ms += ms;
    loop_set_time(t.loop, t.now_ms);
    settle();
}

static void an_idle_connection_is_closed(void **state) {
    begin_clock();
    open_connection(0);
    pass_time(POLICY_IDLE_MS - 1);
    check(GOOD "recipient=user@example.com\n\n", "action=DUNNO\n\n");
    pass_time(POLICY_IDLE_MS - 1);
    assert_false(t.is_closed[0]);
    pass_time(2);
    assert_true(t.is_closed[0]);
}

static void single_bytes_buy_no_time(void **state) {
    begin_clock();
    open_connection(0);
    say(0, STR("req"));
    settle();
    pass_time(POLICY_REQUEST_TIME_MS - 10);
    say(0, STR("uest"));
    settle();
    assert_false(t.is_closed[0]);
    pass_time(20);
    assert_true(t.is_closed[0]);
}

static void at_the_limit_the_one_silent_longest_gives_way(void **state) {
    open_connection(0);
    open_connection(1);
    say(0, STR(GOOD "recipient=user@example.com\n\n"));
    await(0, 1);
    open_connection(2);
    settle();
    assert_int_equal(t.door.n, 2);
    assert_true(t.is_closed[1]);
    assert_false(t.is_closed[0] || t.is_closed[2]);
}

static void while_draining_who_waits_for_us_is_answered_first(void **state) {
    dns_server_add(&t.dns, "mail.example.net", DNS_A, "203.0.113.7");
    open_connection(0);
    open_connection(1);
    say(1, STR(GOOD "recipient=user@example.com\n\n"));
    await(1, 1);
    say(0, STR(RCPT CLIENT "client_name=unknown\nreverse_client_name=mail.example.net\n" FROM_DNS "\n"));
    while (t.dns.n_asked == 0)
        assert_int_equal(loop_turn(t.loop, 20), 0);
    policy_door_close(&t.door);
    assert_int_equal(t.door.n, 1);
    await(0, 2);
    expect(0, "action=DUNNO\n\n");
    assert_true(t.is_closed[0]);
    settle();
    assert_true(t.is_closed[1]);
    assert_int_equal(t.n_empty, 1);
}

static void while_draining_what_was_sent_is_answered(void **state) {
    open_connection(0);
    open_connection(1);
    say(0, STR(GOOD "recipient=user@example.com\n\n"));
    await(0, 1);
    expect(0, "action=DUNNO\n\n");
    say(0, STR(GOOD "recipient=user@example.com\n\n" GOOD "recipient=user@example.com\n\n")); /* not read yet */
    policy_door_close(&t.door);
    await(0, 3);
    expect(0, "action=DUNNO\n\naction=DUNNO\n\n");
    assert_true(t.is_closed[0]);
    say(1, STR(GOOD "recipient=user@example.com\n")); /* connected before, and just about to ask */
    settle();
    say(1, STR("\n"));
    await(1, 2);
    expect(1, "action=DUNNO\n\n");
    assert_true(t.is_closed[1]);
    assert_int_equal(t.n_empty, 1);
}

static void while_draining_half_a_request_buys_ten_seconds_only(void **state) {
    begin_clock();
    open_connection(0);
    open_connection(1); /* which never asks */
    say(0, STR("request=smtpd_access_policy\n"));
    settle();
    policy_door_close(&t.door);
    pass_time(9900);
    say(0, STR("protocol_state=RCPT\n"));
    settle();
    assert_false(t.is_closed[0] || t.is_closed[1]);
    pass_time(101);
    assert_true(t.is_closed[0] && t.is_closed[1]);
    assert_int_equal(t.n_empty, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_pass_is_dunno),
        TEST(an_unknown_recipient_of_a_domain_with_a_directory_is_refused),
        TEST(other_domains_are_postfixs_affair),
        TEST(a_banned_sender_is_refused_with_the_id),
        TEST(what_is_temporary_is_defer_if_permit),
        TEST(who_is_greylisted_hears_when_to_come_back),
        TEST(who_is_let_in_is_credited_at_once),
        TEST(who_is_refused_behind_the_greylist_has_earned_nothing),
        TEST(a_store_that_is_silent_holds_up_nobody),
        TEST(where_nothing_is_enforced_nothing_is_refused),
        TEST(only_rcpt_is_judged),
        TEST(own_and_authenticated_clients_are_left_alone),
        TEST(a_route_is_refused_where_recipients_are_validated),
        TEST(a_local_part_needs_no_quotes_here),
        TEST(a_local_part_past_the_limit_is_not_looked_up),
        TEST(without_a_helo_its_facts_are_off),
        TEST(ours_is_the_address_that_postfix_was_reached_at),
        TEST(a_client_name_is_a_confirmed_name_and_asks_nothing),
        TEST(a_reverse_name_saves_its_own_query_alone),
        TEST(where_both_names_are_unknown_all_is_looked_up),
        TEST(a_name_that_is_none_is_looked_up),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(requests_may_come_in_drips),
        TEST(recipients_of_one_message_share_its_facts),
        TEST(an_instance_of_another_client_borrows_nothing),
        TEST(more_messages_than_are_kept_are_still_judged),
        TEST(who_does_not_read_is_not_read),
        TEST(what_is_no_request_closes_the_connection),
        TEST(what_stood_before_it_is_answered),
        TEST(a_peer_that_leaves_while_we_ask_leaves_nothing_behind),
        TEST(a_peer_that_closes_its_half_still_gets_its_answers),
        TEST(an_idle_connection_is_closed),
        TEST(single_bytes_buy_no_time),
        TEST(at_the_limit_the_one_silent_longest_gives_way),
        TEST(while_draining_who_waits_for_us_is_answered_first),
        TEST(while_draining_what_was_sent_is_answered),
        TEST(while_draining_half_a_request_buys_ten_seconds_only),
    };
    return cmocka_run_group_tests_name("policy_door", tests, NULL, NULL);
}
