/*
 * fuzz_tls: a stream with TLS on a socket pair, as a server or as a client, against a peer of OpenSSL that does what
 * the input says. What must hold:
 *   - what is delivered is what the peer sent under TLS, in order, and nothing that came in the clear;
 *   - the stream ends once, and after too many records without data;
 *   - what the stream wrote reaches the peer, unless it ended;
 *   - nothing is called from inside a call of ours.
 *
 * Input: settings, then one byte for each thing that happens; some take the next byte as a number.
 */
#include "net/stream.h"
#include "net/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    IS_CLIENT = 1, IS_TLS_1_2 = 2, HAS_CLEAR = 4, HAS_EARLY = 8 /* written before TLS is up */, /* settings */
    IDLE_MAX = 256, TEXT_MAX = 1 << 20,
};

struct stage {
    struct stream stream; /* first */
    struct loop *loop;
    SSL *peer;
    int fd;
    size_t sent, seen, written, heard; /* by the peer, of it; by us, of us */
    unsigned n_end, n_tls;
    bool is_inside, is_cut;
};

static SSL_CTX *ours[2], *theirs[2]; /* as a server, as a client */

/* ---- what is sent: each byte says where it stands */

static char byte_at(size_t at) {
    return (char)(at * 31 + at / 251);
}

static void make(char *text, size_t from, size_t len) {
    for (size_t i = 0; i < len; i++)
        text[i] = byte_at(from + i);
}

static void check(const char *text, size_t from, size_t len) {
    for (size_t i = 0; i < len; i++)
        assert(text[i] == byte_at(from + i));
}

/* ---- the stream */

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct stage *s = (struct stage *)stream;
    assert(!s->is_inside && s->n_tls == 1);
    size_t used = len > 10 ? len - len % 7 : len; /* some is offered again */
    check(at, s->seen, used);
    s->seen += used;
    assert(s->seen <= s->sent);
    return used;
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    struct stage *s = (struct stage *)stream;
    assert(!s->is_inside && s->n_end == 0);
    s->n_end++;
}

static void on_tls(struct stream *stream) {
    struct stage *s = (struct stage *)stream;
    assert(!s->is_inside && s->n_tls == 0);
    s->n_tls++;
}

static const struct stream_ops ops = { .on_data = on_data, .on_end = on_end, .on_tls = on_tls };

/* ---- contexts, made once */

static void make_files(char *pem, char *key_pem) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_sign(cert, key, EVP_sha256());
    FILE *file = fdopen(mkstemp(pem), "w");
    PEM_write_X509(file, cert);
    fclose(file);
    file = fdopen(mkstemp(key_pem), "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void make_contexts(void) {
    char pem[] = "/tmp/postern-fuzz-XXXXXX", key[] = "/tmp/postern-fuzz-XXXXXX";
    const struct tls_certificate files = { pem, key };
    struct buf error;
    buf_init(&error, 512);
    make_files(pem, key);
    assert(tls_server_new(&files, 1, TLS_1_2, &error, &ours[0]) == 0);
    assert(tls_server_new(&files, 1, TLS_1_2, &error, &theirs[1]) == 0);
    assert(tls_client_new(false, NULL, &error, &ours[1]) == 0);
    assert(tls_client_new(false, NULL, &error, &theirs[0]) == 0);
    unlink(pem);
    unlink(key);
}

/* ---- the play */

static void turns(struct stage *s, unsigned n) {
    while (n-- > 0)
        assert(loop_turn(s->loop, 0) == 0);
}

static void peer_send(struct stage *s, size_t len) {
    char text[4096];
    make(text, s->sent, len);
    ERR_clear_error();
    int n = SSL_is_init_finished(s->peer) ? SSL_write(s->peer, text, (int)len) : 0;
    s->sent += n > 0 ? (size_t)n : 0;
    s->is_cut |= n <= 0 && len > 0; /* a write that is not repeated spoils what follows */
}

static void peer_hear(struct stage *s) {
    char text[4096];
    int n;
    ERR_clear_error();
    while (SSL_is_init_finished(s->peer) && (n = SSL_read(s->peer, text, sizeof(text))) > 0) {
        check(text, s->heard, (size_t)n);
        s->heard += (size_t)n;
        assert(s->heard <= s->written);
    }
}

static void peer_do(struct stage *s, uint8_t what, uint8_t number) {
    ERR_clear_error();
    switch (what % 8) {
    case 0: peer_send(s, 1u + number * 16u); break;
    case 1:
        if (SSL_version(s->peer) == TLS1_3_VERSION && SSL_is_init_finished(s->peer) &&
            SSL_key_update(s->peer, number & 1 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
            SSL_do_handshake(s->peer);
        break;
    case 2: peer_hear(s); break;
    case 3: /* a record of rubbish, or a part of one */
        s->is_cut = true;
        send(s->fd, (uint8_t[]){ 20 + number % 6, 3, 3, 0, number % 32, number, what, 1, 2, 3 }, 5 + number % 6,
             MSG_NOSIGNAL);
        break;
    case 4: SSL_shutdown(s->peer); break;
    case 5: shutdown(s->fd, SHUT_WR); break;
    case 6: /* many of the same */
        for (unsigned i = 0; i < number; i++)
            peer_do(s, what / 8 % 8 == 6 ? 0 : what / 8 % 8, 0);
        break;
    case 7: SSL_do_handshake(s->peer); break;
    }
}

static void stream_do(struct stage *s, uint8_t what, uint8_t number) {
    char text[4096];
    size_t len = 1u + number * 16u;
    s->is_inside = true;
    switch (what % 4) {
    case 0:
        make(text, s->written, len);
        s->written += s->n_end == 0 && stream_write(&s->stream, text, len) == 0 ? len : 0;
        break;
    case 1: stream_pause(&s->stream); break;
    case 2: stream_resume(&s->stream); break;
    case 3: stream_flush(&s->stream); break;
    }
    s->is_inside = false;
}

static void play(struct stage *s, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size && s->sent < TEXT_MAX && s->written < TEXT_MAX; i++) {
        uint8_t number = i + 1 < size ? data[i + 1] : 0;
        if (data[i] >= 0xC0)
            stream_do(s, data[i], number);
        else if (data[i] >= 0x80)
            turns(s, 1);
        else
            peer_do(s, data[i], number);
        i += data[i] < 0x80 || data[i] >= 0xC0;
        assert(s->stream.tls_idle <= IDLE_MAX);
    }
}

/* Both go on for as long as it takes. */
static void play_out(struct stage *s) {
    stream_resume(&s->stream);
    for (unsigned i = 0; i < 400 && s->n_end == 0; i++) {
        SSL_do_handshake(s->peer);
        peer_hear(s);
        turns(s, 1);
    }
    check(s->stream.in.at, s->seen, s->stream.in.len); /* not taken yet */
    if (s->n_end == 0 && !s->is_cut)
        assert(s->n_tls == 1 && s->seen + s->stream.in.len == s->sent && s->heard == s->written);
}

static void begin(struct stage *s, unsigned settings, int fd) {
    bool is_client = settings & IS_CLIENT;
    assert(stream_open(&s->stream, s->loop, fd, &ops, 1 << 16, 1 << 21) == 0);
    if (settings & HAS_CLEAR) {
        char clear[6] = "";
        stream_write(&s->stream, "clear", 5);
        stream_flush(&s->stream);
        assert(recv(s->fd, clear, 5, 0) == 5);
    }
    s->is_inside = true;
    assert(stream_start_tls(&s->stream, ours[is_client], !is_client, NULL) == 0);
    s->is_inside = false;
    if (settings & HAS_EARLY)
        stream_do(s, 0, 3);
    s->peer = SSL_new(theirs[is_client]);
    SSL_set_fd(s->peer, s->fd);
    SSL_set_max_proto_version(s->peer, settings & IS_TLS_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
    if (is_client)
        SSL_set_accept_state(s->peer);
    else
        SSL_set_connect_state(s->peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stage s = { .n_end = 0 };
    int fds[2];
    if (size == 0)
        return 0;
    if (ours[0] == NULL)
        make_contexts();
    assert(loop_new(&s.loop) == 0);
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    s.fd = fds[1];
    begin(&s, data[0], fds[0]);
    for (unsigned i = 0; i < (data[0] & 0x80 ? 0u : 6u); i++) { /* else the input says how far it gets */
        SSL_do_handshake(s.peer);
        turns(&s, 1);
    }
    play(&s, data + 1, size - 1);
    play_out(&s);
    stream_close(&s.stream);
    SSL_free(s.peer);
    close(s.fd);
    loop_free(s.loop);
    ERR_clear_error();
    return 0;
}
