/*
 * Peers that keep TLS busy without data: what ends them, in both directions, and how much of it one turn reads. And
 * what waits in a stream while a handshake or a connect runs.
 *
 * The peer is OpenSSL on the other end of a socket pair. What OpenSSL does not send (ClientHellos without end, empty
 * records) is sealed by hand under its keys: TLS 1.2, AES-128-GCM.
 */
#include "tls_test.h"

#include <netinet/in.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

enum { IDLE_MAX = 100, HANDSHAKE_RECORDS_MAX = 256, ROUNDS_MAX = 2 * 16 /* an event, and the task behind it */ };

struct peer {
    struct loop *loop;
    struct witness *ours;
    SSL_CTX *our_tls, *peer_tls;
    SSL *ssl;
    int fd;
    unsigned char key[16], iv[12];
    uint64_t seq;
};

static void peer_open(struct peer *peer, struct loop *loop, bool is_server, int version) {
    *peer = (struct peer){ .loop = loop, .ours = witness_new(loop), .seq = 1 };
    SSL_CTX *server = tls_server_for_test(), *client = tls_client_for_test(false, NULL);
    peer->our_tls = is_server ? client : server;
    peer->peer_tls = is_server ? server : client;
    SSL_CTX_clear_options(peer->peer_tls, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_max_proto_version(peer->peer_tls, version);
    SSL_CTX_set_cipher_list(peer->peer_tls, "ECDHE-ECDSA-AES128-GCM-SHA256");
    peer->fd = witness_open(peer->ours, 20000, 100000);
    peer->ssl = SSL_new(peer->peer_tls);
    SSL_set_fd(peer->ssl, peer->fd);
    if (is_server)
        SSL_set_accept_state(peer->ssl);
    else
        SSL_set_connect_state(peer->ssl);
}

static void peer_close(struct peer *peer) {
    stream_close(&peer->ours->stream);
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->our_tls);
    SSL_CTX_free(peer->peer_tls);
    close(peer->fd);
    free(peer->ours);
    loop_free(peer->loop);
}

static void peer_handshake(struct peer *peer) {
    bool is_server = !SSL_is_server(peer->ssl);
    assert_int_equal(stream_start_tls(&peer->ours->stream, peer->our_tls, is_server, NULL), 0);
    for (int i = 0; i < 20 && !(SSL_do_handshake(peer->ssl) == 1 && peer->ours->n_tls == 1); i++)
        turns(peer->loop, 1);
    assert_int_equal(peer->ours->n_tls, 1);
    turns(peer->loop, 2);
}

/* A connected pair, our side the server unless `is_server` is the peer. */
static void peer_connect(struct peer *peer, bool is_server, int version) {
    peer_open(peer, loop_for_test(), is_server, version);
    peer_handshake(peer);
}

/* ---- records that OpenSSL would not send (RFC 5246 6.2.3.3, RFC 5288 3) */

static void peer_find_keys(struct peer *peer) {
    unsigned char master[48], randoms[64], block[40];
    bool is_server = SSL_is_server(peer->ssl);
    char digest[] = "SHA256", label[] = "key expansion";
    SSL_SESSION_get_master_key(SSL_get_session(peer->ssl), master, sizeof master);
    SSL_get_server_random(peer->ssl, randoms, 32);
    SSL_get_client_random(peer->ssl, randoms + 32, 32);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof master),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof label - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof randoms),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    assert_int_equal(EVP_KDF_derive(context, block, sizeof block, params), 1);
    memcpy(peer->key, block + (is_server ? 16 : 0), 16);
    memcpy(peer->iv, block + 32 + (is_server ? 4 : 0), 4);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

/* Sends one record of `type`. False: the socket is full. */
static bool peer_forge(struct peer *peer, unsigned char type, const void *text, size_t len) {
    unsigned char record[300] = { type, 3, 3, 0, (unsigned char)(8 + len + 16) }, aad[13];
    int n;
    assert_true(len < 200);
    if (peer->seq == 1)
        peer_find_keys(peer);
    for (int i = 0; i < 8; i++)
        aad[i] = record[5 + i] = peer->iv[4 + i] = (unsigned char)(peer->seq >> (56 - 8 * i));
    memcpy(aad + 8, (unsigned char[]){ type, 3, 3, 0, (unsigned char)len }, 5);
    EVP_CIPHER_CTX *seal = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(seal, EVP_aes_128_gcm(), NULL, peer->key, peer->iv);
    EVP_EncryptUpdate(seal, NULL, &n, aad, sizeof aad);
    EVP_EncryptUpdate(seal, record + 13, &n, text, (int)len);
    EVP_EncryptFinal_ex(seal, record + 13 + len, &n);
    EVP_CIPHER_CTX_ctrl(seal, EVP_CTRL_AEAD_GET_TAG, 16, record + 13 + len);
    EVP_CIPHER_CTX_free(seal);
    ssize_t sent = send(peer->fd, record, 13 + len + 16, MSG_NOSIGNAL);
    peer->seq += sent > 0;
    return sent > 0;
}

/* ---- floods: each sends one, and returns whether it went out */

typedef bool flood_fn(struct peer *peer);

static bool send_key_update(struct peer *peer) {
    return SSL_key_update(peer->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(peer->ssl) == 1;
}

static bool send_key_update_that_wants_one(struct peer *peer) {
    return SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(peer->ssl) == 1;
}

static bool send_ticket(struct peer *peer) {
    return SSL_new_session_ticket(peer->ssl) == 1 && SSL_do_handshake(peer->ssl) == 1;
}

static bool send_client_hello(struct peer *peer) {
    static const unsigned char hello[45] = { 1, 0, 0, 41, 3, 3, [38] = 0, 0, 2, 0xC0, 0x2B, 1, 0 };
    return peer_forge(peer, SSL3_RT_HANDSHAKE, hello, sizeof hello);
}

static bool send_hello_request(struct peer *peer) {
    return peer_forge(peer, SSL3_RT_HANDSHAKE, (unsigned char[]){ 0, 0, 0, 0 }, 4);
}

static bool send_empty_record(struct peer *peer) {
    return peer_forge(peer, SSL3_RT_APPLICATION_DATA, "", 0);
}

/* The empty ones that OpenSSL does not count: one with data stands between them. */
static bool send_empty_records_and_a_byte(struct peer *peer) {
    bool is_sent = true;
    for (int i = 0; i < 20; i++)
        is_sent = is_sent && send_empty_record(peer);
    return is_sent && peer_forge(peer, SSL3_RT_APPLICATION_DATA, "x", 1);
}

static bool send_warning(struct peer *peer) {
    return peer_forge(peer, SSL3_RT_ALERT, (unsigned char[]){ 1, 90 }, 2);
}

static void flood(struct peer *peer, flood_fn *send_one) {
    for (int i = 0; i < 2000 && peer->ours->n_end == 0; i++) {
        if (!send_one(peer))
            turns(peer->loop, 1);
        assert_true(peer->ours->stream.tls_idle <= IDLE_MAX + 1); /* a record, and what stands in it */
    }
    turns(peer->loop, 4);
}

static void assert_flood_ends(bool is_server, int version, flood_fn *send_one, const char *why) {
    struct peer peer;
    peer_connect(&peer, is_server, version);
    flood(&peer, send_one);
    assert_int_equal(peer.ours->n_end, 1);
    assert_int_equal(peer.ours->end, STREAM_TLS_BAD);
    assert_string_equal(stream_tls_error(&peer.ours->stream), why);
    peer_close(&peer);
}

static const char too_many[] = "too many records without data";

static void key_updates_without_end_end_the_connection_of_a_client(void **state) {
    assert_flood_ends(false, TLS1_3_VERSION, send_key_update, too_many);
    assert_flood_ends(false, TLS1_3_VERSION, send_key_update_that_wants_one, too_many);
}

static void key_updates_and_tickets_without_end_end_the_connection_to_a_server(void **state) {
    assert_flood_ends(true, TLS1_3_VERSION, send_key_update, too_many);
    assert_flood_ends(true, TLS1_3_VERSION, send_key_update_that_wants_one, too_many);
    assert_flood_ends(true, TLS1_3_VERSION, send_ticket, too_many);
}

static void renegotiation_that_is_asked_for_without_end_ends_the_connection(void **state) {
    assert_flood_ends(false, TLS1_2_VERSION, send_client_hello, too_many);
    assert_flood_ends(true, TLS1_2_VERSION, send_hello_request, too_many);
}

static void empty_records_and_warnings_without_end_end_the_connection(void **state) {
    assert_flood_ends(false, TLS1_2_VERSION, send_empty_records_and_a_byte, too_many);
    assert_flood_ends(true, TLS1_2_VERSION, send_empty_records_and_a_byte, too_many);
    assert_flood_ends(false, TLS1_2_VERSION, send_empty_record, "record too small"); /* OpenSSL's own limit: 32 */
    assert_flood_ends(false, TLS1_2_VERSION, send_warning, "too many warn alerts");
}

/* All of it stands in the socket before we look, so that OpenSSL has it in one read. */
static void a_flood_is_ended_within_the_buffer_in_which_it_came(void **state) {
    struct peer peer;
    peer_connect(&peer, false, TLS1_3_VERSION);
    for (int i = 0; i < 500 && send_key_update(&peer); i++)
        ;
    turns(peer.loop, 1);
    assert_int_equal(peer.ours->n_end, 1);
    assert_in_range(peer.ours->stream.tls_idle, IDLE_MAX, IDLE_MAX + 1);
    peer_close(&peer);
}

static void a_handshake_in_pieces_of_a_byte_ends_the_connection(void **state) {
    static const unsigned char head[] = { 1, 0, 0x3F, 0xFF };
    struct peer peer;
    peer_open(&peer, loop_for_test(), false, TLS1_3_VERSION);
    stream_start_tls(&peer.ours->stream, peer.our_tls, true, NULL);
    turns(peer.loop, 1);
    for (int i = 0; i < 2000 && peer.ours->n_end == 0; i++) {
        const unsigned char piece[] = { SSL3_RT_HANDSHAKE, 3, 1, 0, 1, i < 4 ? head[i] : 0 };
        if (send(peer.fd, piece, sizeof piece, MSG_NOSIGNAL) < 0)
            turns(peer.loop, 1);
    }
    turns(peer.loop, 4);
    assert_int_equal(peer.ours->end, STREAM_TLS_BAD);
    assert_string_equal(stream_tls_error(&peer.ours->stream), too_many);
    assert_int_equal(peer.ours->stream.tls_idle, HANDSHAKE_RECORDS_MAX);
    peer_close(&peer);
}

static void an_honest_peer_may_change_its_keys_between_its_data(void **state) {
    struct peer peer;
    peer_connect(&peer, false, TLS1_3_VERSION);
    for (int i = 0; i < 20; i++) {
        assert_true(send_key_update_that_wants_one(&peer));
        assert_int_equal(SSL_write(peer.ssl, "x", 1), 1);
        turns(peer.loop, 2);
        stream_write(&peer.ours->stream, "y", 1);
        turns(peer.loop, 1);
        assert_int_equal(SSL_read(peer.ssl, (char[1]){ 0 }, 1), 1);
    }
    assert_int_equal(peer.ours->seen_len, 20);
    assert_int_equal(peer.ours->n_end, 0);
    peer_close(&peer);
}

static void data_records_never_count(void **state) {
    struct peer peer;
    char record[16000];
    memset(record, 'x', sizeof record);
    peer_connect(&peer, false, TLS1_3_VERSION);
    uint32_t before = peer.ours->stream.tls_idle;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(SSL_write(peer.ssl, record, i % 100 ? 1 : sizeof record), i % 100 ? 1 : sizeof record);
        turns(peer.loop, 1);
    }
    turns(peer.loop, 2);
    assert_int_equal(peer.ours->seen_len, 990 + 10 * sizeof record);
    assert_true(peer.ours->stream.tls_idle <= before);
    peer_close(&peer);
}

static void records_of_one_byte_are_read_a_few_in_a_turn(void **state) {
    struct peer peer;
    peer_connect(&peer, false, TLS1_3_VERSION);
    for (int i = 0; i < 200; i++)
        assert_int_equal(SSL_write(peer.ssl, "x", 1), 1);
    for (size_t before = 0; before < 200; before = peer.ours->seen_len) {
        turns(peer.loop, 1);
        assert_in_range(peer.ours->seen_len - before, 1, ROUNDS_MAX);
    }
    peer_close(&peer);
}

/* ---- what waits for a handshake, or for a connection */

static void output_queued_during_a_handshake_leaves_when_it_ends(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    stream_start_tls(&pair.server->stream, pair.server_tls, true, NULL);
    stream_start_tls(&pair.client->stream, pair.client_tls, false, NULL);
    stream_write(&pair.server->stream, "220 hi\r\n", 8);
    stream_write(&pair.client->stream, "EHLO x\r\n", 8);
    turns(loop, 8);
    assert_string_equal(pair.client->seen, "220 hi\r\n");
    assert_string_equal(pair.server->seen, "EHLO x\r\n");
    tls_pair_close(&pair);
    loop_free(loop);
}

static void a_client_that_has_output_in_the_clear_begins_the_handshake_behind_it(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    stream_write(&pair.client->stream, "STARTTLS\r\n", 10);
    stream_start_tls(&pair.client->stream, pair.client_tls, false, NULL);
    turns(loop, 2);
    assert_string_equal(pair.server->seen, "STARTTLS\r\n");
    pair.server->seen_len = 0;
    stream_start_tls(&pair.server->stream, pair.server_tls, true, NULL);
    turns(loop, 8);
    assert_int_equal(pair.client->n_tls, 1);
    tls_pair_close(&pair);
    loop_free(loop);
}

static void output_queued_while_connecting_leaves_when_connected(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof address;
    *(struct sockaddr_in *)&address = (struct sockaddr_in){ AF_INET, 0, { htonl(INADDR_LOOPBACK) }, { 0 } };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(struct sockaddr_in)), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &len);
    struct endpoint to = endpoint_from_sockaddr(&address);
    assert_int_equal(stream_connect(&w->stream, loop, &to, &witness_ops, 1000, 1000), 0);
    stream_write(&w->stream, "hello", 5);
    task_cancel(loop, &w->stream.task); /* as if it had run before the connection was there, as on a slow network */
    turns(loop, 4);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_string_equal(got(fd), "hello");
    stream_close(&w->stream);
    close(fd);
    close(listener);
    free(w);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_updates_without_end_end_the_connection_of_a_client),
        cmocka_unit_test(key_updates_and_tickets_without_end_end_the_connection_to_a_server),
        cmocka_unit_test(renegotiation_that_is_asked_for_without_end_ends_the_connection),
        cmocka_unit_test(empty_records_and_warnings_without_end_end_the_connection),
        cmocka_unit_test(a_flood_is_ended_within_the_buffer_in_which_it_came),
        cmocka_unit_test(a_handshake_in_pieces_of_a_byte_ends_the_connection),
        cmocka_unit_test(an_honest_peer_may_change_its_keys_between_its_data),
        cmocka_unit_test(data_records_never_count),
        cmocka_unit_test(records_of_one_byte_are_read_a_few_in_a_turn),
        cmocka_unit_test(output_queued_during_a_handshake_leaves_when_it_ends),
        cmocka_unit_test(a_client_that_has_output_in_the_clear_begins_the_handshake_behind_it),
        cmocka_unit_test(output_queued_while_connecting_leaves_when_connected),
    };
    return cmocka_run_group_tests(tests, tls_files_make, tls_files_remove);
}
