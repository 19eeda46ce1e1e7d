/*
 * TLS on streams: STARTTLS in mid-stream, injected plaintext, large data through small sockets, cut connections; and
 * the contexts: certificates by name and kind, verification by name, and what an administrator reads when a file is
 * wrong.
 */
#include "tls_test.h"

#include <fcntl.h>

static void handshake(struct tls_pair *pair, const char *name) {
    assert_int_equal(stream_start_tls(&pair->server->stream, pair->server_tls, true, NULL), 0);
    assert_int_equal(stream_start_tls(&pair->client->stream, pair->client_tls, false, name), 0);
    turns(pair->server->loop, 8);
}

static void bytes_go_both_ways_under_tls(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    assert_string_equal(tls_version_name(pair.server->stream.ssl), "");
    handshake(&pair, "a.example");
    assert_int_equal(pair.server->n_tls + pair.client->n_tls, 2);
    assert_true(stream_is_tls(&pair.server->stream));
    assert_string_equal(tls_version_name(pair.server->stream.ssl), "TLSv1.3");
    assert_string_equal(tls_cipher_name(pair.server->stream.ssl), "TLS_AES_256_GCM_SHA384");
    pair.server->answer = "250 OK\r\n";
    stream_write(&pair.client->stream, "EHLO x\r\n", 8);
    turns(loop, 4);
    assert_string_equal(pair.server->seen, "EHLO x\r\n");
    assert_string_equal(pair.client->seen, "250 OK\r\n");
    stream_close(&pair.client->stream);
    turns(loop, 3);
    assert_int_equal(pair.server->n_end, 1);
    assert_int_equal(pair.server->end, STREAM_EOF);
    assert_string_equal(stream_tls_error(&pair.server->stream), "");
    tls_pair_close(&pair);
    loop_free(loop);
}

/* A server that answers STARTTLS as a session does, from inside on_data. */
static SSL_CTX *starttls_tls;

static size_t start_tls_after_line(struct stream *stream, const char *at, size_t len) {
    const char *end = memchr(at, '\n', len);
    if (!end || stream_is_tls(stream))
        return on_witness_data(stream, at, len);
    stream_write(stream, "220 go\r\n", 8);
    assert_int_equal(stream_start_tls(stream, starttls_tls, true, NULL), 0);
    return (size_t)(end - at) + 1;
}

static void plaintext_injected_behind_starttls_is_dropped_and_counted(void **state) {
    struct stream_ops ops = witness_ops;
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    ops.on_data = start_tls_after_line;
    pair.server->stream.ops = &ops;
    starttls_tls = pair.server_tls;
    const char *injection = "STARTTLS\r\nMAIL FROM:<evil@example>\r\n";
    stream_write(&pair.client->stream, injection, strlen(injection));
    turns(loop, 3);
    assert_string_equal(pair.client->seen, "220 go\r\n"); /* in the clear, before anything else */
    stream_start_tls(&pair.client->stream, pair.client_tls, false, NULL);
    turns(loop, 8);
    assert_int_equal(pair.server->n_tls, 1);
    assert_int_equal(stream_tls_dropped(&pair.server->stream), strlen(injection) - 10);
    stream_write(&pair.client->stream, "EHLO x\r\n", 8);
    turns(loop, 3);
    assert_string_equal(pair.server->seen, "EHLO x\r\n");
    tls_pair_close(&pair);
    loop_free(loop);
}

static void kept_plaintext_is_dropped_when_tls_starts_outside_a_callback(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    pair.server->consume_max = 0;
    stream_write(&pair.client->stream, "half a li", 9);
    turns(loop, 3);
    handshake(&pair, NULL);
    assert_int_equal(stream_tls_dropped(&pair.server->stream), 9);
    pair.server->consume_max = SIZE_MAX;
    stream_write(&pair.client->stream, "whole", 5);
    turns(loop, 3);
    assert_string_equal(pair.server->seen, "whole");
    tls_pair_close(&pair);
    loop_free(loop);
}

static void much_data_passes_through_small_sockets_with_pauses(void **state) {
    enum { MUCH = 190000 };
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    int small = 8192;
    tls_pair_open(&pair, loop);
    setsockopt(pair.client->stream.watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    handshake(&pair, NULL);
    char *much = malloc(MUCH);
    for (int i = 0; i < MUCH; i++)
        much[i] = (char)('a' + (i * 7 + i / 251) % 26);
    assert_int_equal(stream_write(&pair.client->stream, much, MUCH), 0);
    for (int i = 0; i < 400 && pair.server->seen_len < MUCH; i++) {
        if (i % 5 == 2)
            stream_pause(&pair.server->stream);
        if (i % 5 == 4)
            stream_resume(&pair.server->stream);
        turns(loop, 1);
    }
    assert_int_equal(pair.server->seen_len, MUCH);
    assert_memory_equal(pair.server->seen, much, MUCH);
    assert_int_equal(pair.client->n_drained, 1);
    assert_null(pair.client->stream.out.at);
    free(much);
    tls_pair_close(&pair);
    loop_free(loop);
}

static void a_cut_connection_is_an_end_like_any_other(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    handshake(&pair, NULL);
    shutdown(pair.client->stream.watch.fd, SHUT_RDWR); /* no close_notify */
    turns(loop, 3);
    assert_int_equal(pair.server->n_end, 1);
    assert_int_equal(pair.server->end, STREAM_EOF);
    tls_pair_close(&pair);
    loop_free(loop);
}

/* ---- certificates */

static void read_name(const X509 *cert, char *ret_name, size_t size) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, ret_name, (int)size);
}

static void assert_served(const char *asked, const char *expected) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    char name[64] = "";
    tls_pair_open(&pair, loop);
    handshake(&pair, asked);
    X509 *cert = SSL_get1_peer_certificate(pair.client->stream.ssl);
    assert_non_null(cert);
    read_name(cert, name, sizeof name);
    assert_string_equal(name, expected);
    X509_free(cert);
    tls_pair_close(&pair);
    loop_free(loop);
}

static void the_name_asked_for_picks_the_certificate(void **state) {
    assert_served("a.example", "a-ec");
    assert_served("b.example", "b-ec");
    assert_served("MX.B.example", "b-ec");
    assert_served("deep.mx.b.example", "a-ec"); /* a wildcard stands for one label */
    assert_served("other.example", "a-ec");
    assert_served(NULL, "a-ec");
}

static void one_name_may_have_an_ecdsa_and_an_rsa_certificate(void **state) {
    struct tls_certificate files[] = {
        { tls_path("a-ec.pem"), tls_path("a-ec.key") },
        { tls_path("a-rsa.pem"), tls_path("a-rsa.key") },
    };
    static const char *const algorithms[] = { "ECDSA+SHA256", "RSA-PSS+SHA256" };
    static const char *const expected[] = { "a-ec", "a-rsa" };
    for (int i = 0; i < 2; i++) {
        struct loop *loop = loop_for_test();
        struct tls_pair pair;
        struct buf error;
        char name[64] = "";
        tls_pair_open(&pair, loop);
        SSL_CTX_free(pair.server_tls);
        buf_init(&error, 512);
        assert_int_equal(tls_server_new(files, 2, TLS_1_3, &error, &pair.server_tls), 0);
        SSL_CTX_set1_sigalgs_list(pair.client_tls, algorithms[i]);
        handshake(&pair, "a.example");
        assert_int_equal(pair.client->n_tls, 1);
        X509 *cert = SSL_get1_peer_certificate(pair.client->stream.ssl);
        read_name(cert, name, sizeof name);
        assert_string_equal(name, expected[i]);
        X509_free(cert);
        tls_pair_close(&pair);
        loop_free(loop);
    }
}

static void assert_verified(const char *ca_file, const char *name, const char *error) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    SSL_CTX_free(pair.client_tls);
    pair.client_tls = tls_client_for_test(true, ca_file);
    handshake(&pair, name);
    assert_int_equal(pair.client->n_tls, error ? 0 : 1);
    assert_int_equal(pair.client->n_end, error ? 1 : 0);
    if (error) {
        assert_int_equal(pair.client->end, STREAM_TLS_BAD);
        assert_non_null(strstr(stream_tls_error(&pair.client->stream), error));
    }
    tls_pair_close(&pair);
    loop_free(loop);
}

static void a_verifying_client_believes_the_right_name_under_the_right_root_only(void **state) {
    assert_verified(tls_path("a-ec.pem"), "a.example", NULL);
    assert_verified(tls_path("a-ec.pem"), "127.0.0.1", NULL);
    assert_verified(tls_path("a-ec.pem"), "127.0.0.2", "IP address mismatch");
    assert_verified(tls_path("a-ec.pem"), "other.example", "certificate verify failed (");
    assert_verified(tls_path("a-ec.pem"), "other.example", "ostname mismatch");
    assert_verified(tls_path("b-ec.pem"), "a.example", "self-signed certificate");
}

static void a_client_below_the_minimum_version_is_turned_away(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    struct buf error;
    struct tls_certificate files[] = { { tls_path("a-ec.pem"), tls_path("a-ec.key") } };
    tls_pair_open(&pair, loop);
    SSL_CTX_free(pair.server_tls);
    buf_init(&error, 512);
    assert_int_equal(tls_server_new(files, 1, TLS_1_3, &error, &pair.server_tls), 0);
    SSL_CTX_set_max_proto_version(pair.client_tls, TLS1_2_VERSION);
    handshake(&pair, "a.example");
    assert_int_equal(pair.server->end, STREAM_TLS_BAD);
    assert_int_equal(pair.server->n_end, 1);
    assert_string_equal(stream_tls_error(&pair.server->stream), "unsupported protocol");
    tls_pair_close(&pair);
    loop_free(loop);
}

static void assert_load_fails(const char *cert, const char *key, const char *in_error, const char *also) {
    struct tls_certificate files[] = { { tls_path("a-ec.pem"), tls_path("a-ec.key") }, { cert, key } };
    struct buf error;
    SSL_CTX *tls = NULL;
    buf_init(&error, 1024);
    assert_true(tls_server_new(files, 2, TLS_1_2, &error, &tls) < 0);
    assert_null(tls);
    assert_int_equal(buf_putc(&error, 0), 0);
    assert_non_null(strstr(error.at, in_error));
    assert_non_null(strstr(error.at, also));
    buf_deinit(&error);
}

static void what_is_wrong_with_a_file_is_said_with_its_name(void **state) {
    char key[128];
    assert_load_fails("/nonexistent.pem", tls_path("b-ec.key"), "/nonexistent.pem: No such file", "");
    assert_load_fails(tls_path("b-ec.pem"), "/nonexistent.key", "/nonexistent.key: No such file", "");
    assert_load_fails(tls_path("b-ec.key"), tls_path("b-ec.key"), "b-ec.key: no certificate", "(no start line)");
    assert_load_fails(tls_path("b-ec.pem"), tls_path("b-ec.pem"), "b-ec.pem: no unencrypted key", "");
    assert_load_fails(tls_path("b-ec.pem"), tls_path("a-ec.key"), "a-ec.key: the key does not belong", "b-ec.pem");
    assert_load_fails(tls_path("b-ec.pem"), tls_path("a-rsa.key"), "a-rsa.key: the key does not belong", "b-ec.pem");
    assert_load_fails(tls_path("a-ec.pem"), tls_path("a-ec.key"), "a-ec.pem: a second certificate", "same names");
    snprintf(key, sizeof key, "%s", tls_path("b-ec.key"));
    struct buf error;
    SSL_CTX *tls = NULL;
    buf_init(&error, 512);
    assert_int_equal(tls_server_new(NULL, 0, TLS_1_2, &error, &tls), -EINVAL);
    assert_int_equal(tls_client_new(true, "/nonexistent.pem", &error, &tls), -ENOENT);
    assert_int_equal(tls_client_new(true, key, &error, &tls), -EINVAL);
    assert_null(tls);
    buf_deinit(&error);
}

static int make_files(void **state) {
    if (tls_files_make(state) < 0)
        return -1;
    tls_make("a-rsa", true, "DNS:mx.a.example,DNS:A.example,IP:127.0.0.1"); /* the same names, in another order */
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_under_tls),
        cmocka_unit_test(plaintext_injected_behind_starttls_is_dropped_and_counted),
        cmocka_unit_test(kept_plaintext_is_dropped_when_tls_starts_outside_a_callback),
        cmocka_unit_test(much_data_passes_through_small_sockets_with_pauses),
        cmocka_unit_test(a_cut_connection_is_an_end_like_any_other),
        cmocka_unit_test(the_name_asked_for_picks_the_certificate),
        cmocka_unit_test(one_name_may_have_an_ecdsa_and_an_rsa_certificate),
        cmocka_unit_test(a_verifying_client_believes_the_right_name_under_the_right_root_only),
        cmocka_unit_test(a_client_below_the_minimum_version_is_turned_away),
        cmocka_unit_test(what_is_wrong_with_a_file_is_said_with_its_name),
    };
    return cmocka_run_group_tests(tests, make_files, tls_files_remove);
}
