/*
 * Certificates made on the spot in a temporary folder, and a pair of streams to hold a handshake between.
 */
#pragma once

#include "net_test.h"

#include "net/tls.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

static char tls_dir[] = "/tmp/postern-tls-XXXXXX";

/* A path in the folder; 32 of them may be in use at a time. */
static inline const char *tls_path(const char *name) {
    static char paths[32][128];
    static unsigned next;
    char *path = paths[next++ % 32];
    snprintf(path, sizeof paths[0], "%s/%s", tls_dir, name);
    return path;
}

/* Writes NAME.pem and NAME.key: self-signed, RSA or P-256, `names` like "DNS:a.example,DNS:*.b.example". */
static inline void tls_make(const char *name, bool is_rsa, const char *names) {
    char file[64];
    EVP_PKEY *key = is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert_non_null(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    assert_non_null(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    snprintf(file, sizeof file, "%s.pem", name);
    FILE *out = fopen(tls_path(file), "we");
    assert_int_equal(PEM_write_X509(out, cert), 1);
    fclose(out);
    snprintf(file, sizeof file, "%s.key", name);
    out = fopen(tls_path(file), "we");
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline int tls_files_make(void **state) {
    if (!mkdtemp(tls_dir))
        return -1;
    tls_make("a-ec", false, "DNS:a.example,DNS:mx.a.example,IP:127.0.0.1");
    tls_make("b-ec", false, "DNS:b.example,DNS:*.b.example");
    return 0;
}

static inline int tls_files_remove(void **state) {
    static const char *const files[] = { "a-ec.pem", "a-ec.key", "a-rsa.pem", "a-rsa.key", "b-ec.pem", "b-ec.key" };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(tls_path(files[i]));
    return rmdir(tls_dir);
}

struct tls_pair {
    SSL_CTX *server_tls, *client_tls;
    struct witness *server, *client;
};

static inline SSL_CTX *tls_server_for_test(void) {
    struct tls_certificate files[] = {
        { tls_path("a-ec.pem"), tls_path("a-ec.key") },
        { tls_path("b-ec.pem"), tls_path("b-ec.key") },
    };
    struct buf error;
    SSL_CTX *tls = NULL;
    buf_init(&error, 512);
    assert_int_equal(tls_server_new(files, 2, TLS_1_2, &error, &tls), 0);
    assert_int_equal(error.len, 0);
    buf_deinit(&error);
    return tls;
}

static inline SSL_CTX *tls_client_for_test(bool verify, const char *ca_file) {
    struct buf error;
    SSL_CTX *tls = NULL;
    buf_init(&error, 512);
    assert_int_equal(tls_client_new(verify, ca_file, &error, &tls), 0);
    buf_deinit(&error);
    return tls;
}

static inline void tls_pair_open(struct tls_pair *pair, struct loop *loop) {
    int fds[2];
    *pair = (struct tls_pair){ .server = witness_new(loop), .client = witness_new(loop) };
    pair->server_tls = tls_server_for_test();
    pair->client_tls = tls_client_for_test(false, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(stream_open(&pair->server->stream, loop, fds[0], &witness_ops, 20000, 4000000), 0);
    assert_int_equal(stream_open(&pair->client->stream, loop, fds[1], &witness_ops, 20000, 4000000), 0);
}

static inline void tls_pair_close(struct tls_pair *pair) {
    stream_close(&pair->client->stream);
    stream_close(&pair->server->stream);
    SSL_CTX_free(pair->client_tls);
    SSL_CTX_free(pair->server_tls);
    free(pair->client);
    free(pair->server);
}
