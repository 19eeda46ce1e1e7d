/* Which sessions a server resumes, and for how many days. Client and server talk through memory. */
#include "tls_test.h"

#include "base/clock.h"
#include "net/tls_tickets.h"

#include <sys/wait.h>

static const uint64_t DAY_MS = 24 * 60 * 60 * UINT64_C(1000);

static SSL_SESSION *session; /* what the client was given last */

static SSL_CTX *client_new(int version) {
    struct buf error;
    SSL_CTX *tls = NULL;
    buf_init(&error, 512);
    assert_int_equal(tls_client_new(false, NULL, &error, &tls), 0);
    SSL_CTX_set_max_proto_version(tls, version);
    buf_deinit(&error);
    return tls;
}

static void join(SSL *client, SSL *server) {
    BIO *near, *far;
    assert_int_equal(BIO_new_bio_pair(&near, 65536, &far, 65536), 1);
    SSL_set_bio(client, near, near);
    SSL_set_bio(server, far, far);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
}

/* A connection that brings `session` if there is one, and leaves with a new one. Returns whether it was resumed. */
static bool connects_again(SSL_CTX *server_tls, SSL_CTX *client_tls, const char *name) {
    SSL *client = SSL_new(client_tls), *server = SSL_new(server_tls);
    char byte;
    join(client, server);
    SSL_set_tlsext_host_name(client, name);
    if (session)
        assert_int_equal(SSL_set_session(client, session), 1);
    for (int i = 0; i < 4; i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
    SSL_read(client, &byte, 1); /* tickets of TLS 1.3 come behind the handshake */
    bool is_resumed = SSL_session_reused(server) == 1;
    SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* a session that was cut is not resumed */
    SSL_set_shutdown(server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_SESSION_free(session);
    session = SSL_get1_session(client);
    SSL_free(client);
    SSL_free(server);
    return is_resumed;
}

static void forget(SSL_CTX *server_tls, SSL_CTX *client_tls) {
    SSL_SESSION_free(session);
    session = NULL;
    SSL_CTX_free(server_tls);
    SSL_CTX_free(client_tls);
}

static void assert_days(int version, const char *name) {
    SSL_CTX *server_tls = tls_server_for_test(), *client_tls = client_new(version);
    const uint64_t now_ms = clock_ms();
    assert_false(connects_again(server_tls, client_tls, name));
    assert_non_null(session);
    assert_true(connects_again(server_tls, client_tls, name));
    SSL_SESSION *first = session;
    SSL_SESSION_up_ref(first);
    tls_tickets_turn(server_tls, now_ms + DAY_MS);
    assert_true(connects_again(server_tls, client_tls, name)); /* and it is given one of today */
    tls_tickets_turn(server_tls, now_ms + 2 * DAY_MS);
    assert_true(connects_again(server_tls, client_tls, name));
    SSL_SESSION_free(session);
    session = first;
    assert_false(connects_again(server_tls, client_tls, name));
    forget(server_tls, client_tls);
}

static void a_session_is_resumed_for_two_days_and_no_longer(void **state) {
    assert_days(TLS1_3_VERSION, "a.example");
    assert_days(TLS1_2_VERSION, "a.example");
}

static void so_is_one_under_another_certificate(void **state) {
    assert_days(TLS1_3_VERSION, "b.example");
}

static void time_does_not_go_back_and_a_long_silence_forgets_all(void **state) {
    SSL_CTX *server_tls = tls_server_for_test(), *client_tls = client_new(TLS1_3_VERSION);
    const uint64_t now_ms = clock_ms();
    tls_tickets_turn(server_tls, now_ms + DAY_MS);
    assert_false(connects_again(server_tls, client_tls, "a.example"));
    tls_tickets_turn(server_tls, 0);
    assert_true(connects_again(server_tls, client_tls, "a.example"));
    tls_tickets_turn(server_tls, now_ms + 400 * DAY_MS);
    assert_false(connects_again(server_tls, client_tls, "a.example"));
    forget(server_tls, client_tls);
}

static void another_server_does_not_take_them(void **state) {
    SSL_CTX *server_tls = tls_server_for_test(), *client_tls = client_new(TLS1_3_VERSION);
    assert_false(connects_again(server_tls, client_tls, "a.example"));
    SSL_CTX_free(server_tls);
    server_tls = tls_server_for_test();
    assert_false(connects_again(server_tls, client_tls, "a.example"));
    forget(server_tls, client_tls);
}

/* Two workers that were forked at one moment, and meet the next days at different ones. */
static void processes_with_the_same_beginning_agree_on_every_later_day(void **state) {
    SSL_CTX *server_tls = tls_server_for_test(), *client_tls = client_new(TLS1_3_VERSION);
    const uint64_t now_ms = clock_ms();
    int fds[2], status;
    unsigned char der[4096];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        tls_tickets_turn(server_tls, now_ms + DAY_MS);
        tls_tickets_turn(server_tls, now_ms + 3 * DAY_MS);
        connects_again(server_tls, client_tls, "a.example");
        unsigned char *at = der;
        int len = session ? i2d_SSL_SESSION(session, &at) : 0;
        _exit(len > 0 && send(fds[1], der, (size_t)len, 0) == len ? 0 : 1);
    }
    ssize_t len = recv(fds[0], der, sizeof der, 0);
    assert_true(len > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    const unsigned char *at = der;
    session = d2i_SSL_SESSION(NULL, &at, len);
    assert_non_null(session);
    tls_tickets_turn(server_tls, now_ms + 3 * DAY_MS);
    assert_true(connects_again(server_tls, client_tls, "a.example"));
    close(fds[0]);
    close(fds[1]);
    forget(server_tls, client_tls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_resumed_for_two_days_and_no_longer),
        cmocka_unit_test(so_is_one_under_another_certificate),
        cmocka_unit_test(time_does_not_go_back_and_a_long_silence_forgets_all),
        cmocka_unit_test(another_server_does_not_take_them),
        cmocka_unit_test(processes_with_the_same_beginning_agree_on_every_later_day),
    };
    return cmocka_run_group_tests(tests, tls_files_make, tls_files_remove);
}
