/*
 * tls: OpenSSL contexts for the two roles, and what is said about a connection in logs and Received lines.
 *
 * The master (still privileged) builds the server context before it forks, so workers never read key files.
 * Certificates of several names and kinds (ECDSA and RSA together) live in one context; SNI picks among names, and
 * within a name OpenSSL picks the kind that the client can use.
 */
#pragma once

#include "base/buf.h"

#include <openssl/ssl.h>

enum tls_version { TLS_1_2, TLS_1_3 };

struct tls_certificate {
    const char *certificate_file; /* PEM chain, leaf first */
    const char *key_file;
};

/*
 * A context for accepting. On failure `error` holds what to tell the administrator, file name included. Names are
 * taken from each leaf's subjectAltName; a client without SNI, or with an unknown name, gets the first certificate
 * (of each key kind).
 */
int tls_server_new(const struct tls_certificate *certificates, size_t n, enum tls_version min_version,
                   struct buf *error, SSL_CTX **ret_tls);

/* A context for connecting. verify: chain (system store, or `ca_file` when not NULL) and name must be right. */
int tls_client_new(bool verify, const char *ca_file, struct buf *error, SSL_CTX **ret_tls);

/* "TLSv1.3" and "TLS_AES_256_GCM_SHA384"; "" on a plain connection. */
const char *tls_version_name(const SSL *ssl);
const char *tls_cipher_name(const SSL *ssl);
