/*
 * TLS to a mailbox server: whom do the modes require and verify believe, and what does the one hear who is not
 * believed?
 *
 * Certificates are made on the spot. That of the server is self-signed, for a.example and 127.0.0.1.
 */
#include "session/relay.h"

#include "../net/tls_test.h"
#include "fake_server.h"

#define HELLO "EHLO mx.example\r\n"
#define STARTED HELLO "STARTTLS\r\n" HELLO

enum { SECOND = 1000 };

struct world {
    struct loop *loop;
    struct fake_server server;
    struct conf_server at;
    struct conf_group group;
    struct conf conf;
    struct relay_events events;
    struct relay *relay;
    SSL_CTX *server_tls, *client_tls;
    char health[1024];
    enum relay_outcome outcome;
    unsigned n_done;
};

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    struct world *w = arg;

    snprintf(w->health, sizeof(w->health), "%.*s", STR_ARG(what));
}

static void on_note(void *arg, struct str id, struct str what) {
}

static void on_done(void *arg, const struct relay_result *result) {
    struct world *w = arg;

    w->n_done++;
    w->outcome = result->outcome;
}

static void world_open(struct world *w, enum conf_tls_mode mode, const char *name, const char *ca_file) {
    *w = (struct world){ .server_tls = tls_server_for_test() };
    w->client_tls = tls_client_for_test(mode == CONF_TLS_VERIFY, ca_file ? tls_path(ca_file) : NULL);
    assert_int_equal(loop_new(&w->loop), 0);
    loop_set_time(w->loop, 1000000);
    fake_server_start(&w->server, w->loop);
    w->server.tls = w->server_tls;
    w->server.ehlo = "250-inner.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    w->at = (struct conf_server){ .at = w->server.at, .name = name };
    w->group = (struct conf_group){ .name = "g", .servers = &w->at, .n_servers = 1, .tls = mode };
    w->conf = (struct conf){ .groups = &w->group, .n_groups = 1, .set = {
        .hostname = "mx.example", .limits = { .server_connections = 4, .recipients = 10 },
        .timeouts = { .tls_handshake = 30 * SECOND, .relay_hold = 3 * SECOND, .server_connect = 10 * SECOND,
                      .server_greeting = 30 * SECOND, .server_command = 60 * SECOND, .server_idle = 60 * SECOND,
                      .server_wait = 5 * SECOND } } };
    w->events = (struct relay_events){ .on_server = on_server, .on_note = on_note, .arg = w };
    assert_int_equal(relay_new(w->loop, &w->conf, &w->client_tls, 1, &w->events, &w->relay), 0);
}

static void world_close(struct world *w) {
    relay_free(w->relay);
    assert_int_equal(loop_turn(w->loop, 0), 0);
    fake_server_stop(&w->server);
    SSL_CTX_free(w->client_tls);
    SSL_CTX_free(w->server_tls);
    loop_free(w->loop);
}

static void pass_a_recipient(struct world *w) {
    const struct relay_envelope envelope = { .sender = STR("a@far.example"), .id = STR("session1") };
    const struct relay_recipient recipient = { .address = STR("b@near.example") };
    struct relay_transfer *transfer = relay_begin(w->relay, &w->group, &envelope);

    assert_non_null(transfer);
    assert_int_equal(relay_rcpt(transfer, &recipient, on_done, w), 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(loop_turn(w->loop, 0), 0);
    assert_int_equal(w->n_done, 1);
    relay_end(transfer);
}

static void a_server_with_the_right_certificate_is_believed(void **state) {
    static const struct { enum conf_tls_mode mode; const char *name, *ca_file; } cases[] = {
        { CONF_TLS_VERIFY, "a.example", "a-ec.pem" },
        { CONF_TLS_VERIFY, "127.0.0.1", "a-ec.pem" },
        { CONF_TLS_REQUIRE, "wrong.example", NULL }, /* which asks for encryption alone */
        { CONF_TLS_MAY, "wrong.example", NULL },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;

        world_open(&w, cases[i].mode, cases[i].name, cases[i].ca_file);
        pass_a_recipient(&w);
        assert_int_equal(w.outcome, RELAY_ANSWERED);
        assert_true(stream_is_tls(&w.server.conns[0]->stream));
        assert_string_equal(fake_server_heard(&w.server),
                            STARTED "MAIL FROM:<a@far.example>\r\nRCPT TO:<b@near.example>\r\n");
        world_close(&w);
    }
}

static void a_server_with_the_wrong_certificate_hears_nothing_of_the_mail(void **state) {
    static const struct { const char *name, *ca_file, *why; } cases[] = {
        { "wrong.example", "a-ec.pem", "down: TLS handshake: certificate verify failed (hostname mismatch)" },
        { "127.0.0.2", "a-ec.pem", "down: TLS handshake: certificate verify failed (IP address mismatch)" },
        { "a.example", "b-ec.pem", "down: TLS handshake: certificate verify failed (self-signed certificate)" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w;

        world_open(&w, CONF_TLS_VERIFY, cases[i].name, cases[i].ca_file);
        pass_a_recipient(&w);
        assert_int_equal(w.outcome, RELAY_NO_SERVER);
        assert_string_equal(w.health, cases[i].why);
        assert_string_equal(fake_server_heard(&w.server), HELLO "STARTTLS\r\n");
        world_close(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_with_the_right_certificate_is_believed),
        cmocka_unit_test(a_server_with_the_wrong_certificate_hears_nothing_of_the_mail),
    };
    return cmocka_run_group_tests(tests, tls_files_make, tls_files_remove);
}
