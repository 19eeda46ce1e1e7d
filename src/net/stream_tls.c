/*
 * stream_tls: OpenSSL on the descriptor of a stream.
 *
 * SSL_set_fd() and the non-blocking calls, not memory BIOs: one copy less, and OpenSSL's own idea of when to write.
 * Each call is preceded by ERR_clear_error(), because SSL_get_error() looks at the thread's queue and would find a
 * stranger's error.
 *
 * A peer that closes the TCP connection without close_notify is common among mail servers and no attack on SMTP,
 * whose commands and messages end by their own marks: OpenSSL 3 calls it SSL_R_UNEXPECTED_EOF_WHILE_READING, we call
 * it an end like any other once the handshake is done. During the handshake it is a failure of TLS.
 */
#include "net/stream_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    ERROR_TEXT_MAX = 256,
    HANDSHAKE_RECORDS_MAX = 256, /* a chain of certificates of 100 KB takes 7; some peers cut theirs in pieces */
    IDLE_MAX = 100,              /* after it: two for a KeyUpdate or a ticket, one for an empty record */
};

/* ---- records that bring no data */

static void note_idle(struct stream *stream) {
    if (++stream->tls_idle < (stream->flags & STREAM_HANDSHAKE ? HANDSHAKE_RECORDS_MAX : IDLE_MAX))
        return;
    stream->flags |= STREAM_TLS_IDLE;
    SSL_set_shutdown(stream->ssl, SSL_get_shutdown(stream->ssl) | SSL_RECEIVED_SHUTDOWN);
}

/* Each record counts when it begins, and each handshake message; stream_tls_recv() takes off those with data. */
static void note_message(int is_written, int version, int type, const void *at, size_t len, SSL *ssl, void *arg) {
    if (!is_written && (type == SSL3_RT_HEADER || type == SSL3_RT_HANDSHAKE))
        note_idle(arg);
}

/* ---- the verbs */

/*
 * A name must match the certificate; an IP address is compared as one, and is no SNI (RFC 6066 3). Returns 0 or
 * -ENOMEM.
 */
static int name_the_peer(SSL *ssl, const char *name) {
    struct in6_addr address;
    bool is_ip = inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
    if (is_ip)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1 ? 0 : -ENOMEM;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1 ? 0 : -ENOMEM;
}

int stream_tls_begin(struct stream *stream, SSL_CTX *tls, bool is_server, const char *name) {
    if (stream->ssl)
        return -EALREADY;
    ERR_clear_error();
    SSL *ssl = SSL_new(tls);
    if (!ssl)
        return -ENOMEM;
    if (SSL_set_fd(ssl, stream->watch.fd) != 1 || (name && !is_server && name_the_peer(ssl, name) < 0)) {
        SSL_free(ssl);
        return -ENOMEM;
    }
    if (is_server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    SSL_set_msg_callback(ssl, note_message);
    SSL_set_msg_callback_arg(ssl, stream);
    stream->ssl = ssl;
    stream->tls_idle = 0;
    return 0;
}

/* What the last SSL call meant; `r` is what it returned. */
static int outcome_of(struct stream *stream, int r) {
    int sys_err = errno;
    if (stream->flags & STREAM_TLS_IDLE)
        return -EPROTO;
    switch (SSL_get_error(stream->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return sys_err ? -sys_err : 0;
    default:
        stream->tls_error = (uint32_t)ERR_peek_error();
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? 0 : -EPROTO;
    }
}

static void note_want(struct stream *stream, uint32_t flag, bool is_wanted) {
    stream->flags = is_wanted ? stream->flags | flag : stream->flags & ~flag;
}

int stream_tls_handshake(struct stream *stream) {
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(stream->ssl);
    note_want(stream, STREAM_READ_WANTS_OUT, r != 1 && SSL_want_write(stream->ssl));
    if (r == 1) {
        stream->tls_idle = 0;
        return 0;
    }
    r = outcome_of(stream, r);
    return r == 0 ? -EPROTO : r;
}

ssize_t stream_tls_recv(struct stream *stream, void *at, size_t len) {
    ERR_clear_error();
    errno = 0;
    int n = SSL_read(stream->ssl, at, (int)len);
    note_want(stream, STREAM_READ_WANTS_OUT, n <= 0 && SSL_want_write(stream->ssl));
    if (n > 0) {
        if (SSL_pending(stream->ssl) == 0 && stream->tls_idle > 0)
            stream->tls_idle--; /* a record with data was read to its end */
        return n;
    }
    n = outcome_of(stream, n);
    if (n == 0)
        stream->tls_error = 0; /* an end, not an error */
    return n;
}

ssize_t stream_tls_send(struct stream *stream, const void *at, size_t len) {
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(stream->ssl, at, len > INT32_MAX ? INT32_MAX : (int)len);
    note_want(stream, STREAM_WRITE_WANTS_IN, n <= 0 && SSL_want_read(stream->ssl));
    if (n > 0)
        return n;
    n = outcome_of(stream, n);
    return n == 0 ? -EPIPE : n;
}

void stream_tls_end(struct stream *stream) {
    if (!stream->ssl)
        return;
    ERR_clear_error();
    if (!(stream->flags & (STREAM_HANDSHAKE | STREAM_MUTE | STREAM_FAILED)))
        SSL_shutdown(stream->ssl); /* once: we tell, and do not wait to be told */
    SSL_free(stream->ssl);
    ERR_clear_error();
    stream->ssl = NULL;
}

const char *stream_tls_error(const struct stream *stream) {
    static char text[ERROR_TEXT_MAX];
    if (!stream->ssl || !(stream->flags & STREAM_MUTE))
        return "";
    if (stream->flags & STREAM_TLS_IDLE)
        return "too many records without data";
    const char *reason = stream->tls_error ? ERR_reason_error_string(stream->tls_error) : NULL;
    if (!reason)
        reason = stream->err == EPROTO ? "the peer closed the connection" : strerror(stream->err);
    long verify = SSL_get_verify_result(stream->ssl);
    if (verify == X509_V_OK)
        snprintf(text, sizeof text, "%s", reason);
    else
        snprintf(text, sizeof text, "%s (%s)", reason, X509_verify_cert_error_string(verify));
    return text;
}
