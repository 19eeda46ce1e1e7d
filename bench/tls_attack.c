/*
 * tls_attack: keeps a server busy under TLS without data, for the measure "attacks".
 *
 *     tls_attack keyupdate|hello|empty PORT SECONDS
 *
 * KeyUpdates (TLS 1.3), ClientHellos or empty records (TLS 1.2, AES-128-GCM, sealed by hand, since OpenSSL would not
 * send them) as fast as the server takes them; when it closes, again from the start. Prints how many were sent on how
 * many connections.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct attack {
    SSL *ssl;
    int fd;
    unsigned char key[16], iv[12];
    uint64_t seq;
    EVP_CIPHER_CTX *seal;
};

typedef bool send_fn(struct attack *a);

/* One line of the greeting or of an answer, as short as those of a test are. */
static bool say(int fd, const char *text) {
    char answer[4096];
    size_t len = strlen(text);
    if (len > 0 && send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        return false;
    return recv(fd, answer, sizeof answer, 0) > 0 && answer[0] == '2';
}

static int dial(uint16_t port) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && say(fd, "") && say(fd, "EHLO x\r\n") &&
        say(fd, "STARTTLS\r\n"))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* RFC 5246 6.3: what we write with. */
static void find_keys(struct attack *a) {
    unsigned char master[48], randoms[64], block[40];
    char digest[] = "SHA256", label[] = "key expansion";
    SSL_SESSION_get_master_key(SSL_get_session(a->ssl), master, sizeof master);
    SSL_get_server_random(a->ssl, randoms, 32);
    SSL_get_client_random(a->ssl, randoms + 32, 32);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof master),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof label - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof randoms),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    if (EVP_KDF_derive(context, block, sizeof block, params) != 1)
        abort();
    memcpy(a->key, block, 16);
    memcpy(a->iv, block + 32, 4);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

static bool send_record(struct attack *a, unsigned char type, const void *text, size_t len) {
    unsigned char record[128] = { type, 3, 3, 0, (unsigned char)(8 + len + 16) }, aad[13];
    int n;
    if (++a->seq == 1)
        find_keys(a);
    for (int i = 0; i < 8; i++)
        aad[i] = record[5 + i] = a->iv[4 + i] = (unsigned char)(a->seq >> (56 - 8 * i));
    memcpy(aad + 8, (unsigned char[]){ type, 3, 3, 0, (unsigned char)len }, 5);
    EVP_EncryptInit_ex(a->seal, EVP_aes_128_gcm(), NULL, a->key, a->iv);
    EVP_EncryptUpdate(a->seal, NULL, &n, aad, sizeof aad);
    EVP_EncryptUpdate(a->seal, record + 13, &n, text, (int)len);
    EVP_EncryptFinal_ex(a->seal, record + 13 + len, &n);
    EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_AEAD_GET_TAG, 16, record + 13 + len);
    return send(a->fd, record, 13 + len + 16, MSG_NOSIGNAL) == (ssize_t)(13 + len + 16);
}

static bool send_key_update(struct attack *a) {
    return SSL_key_update(a->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(a->ssl) == 1;
}

static bool send_hello(struct attack *a) {
    static const unsigned char hello[45] = { 1, 0, 0, 41, 3, 3, [38] = 0, 0, 2, 0xC0, 0x2B, 1, 0 };
    return send_record(a, SSL3_RT_HANDSHAKE, hello, sizeof hello);
}

/* One with data between them, so that OpenSSL does not count them itself. */
static bool send_empty(struct attack *a) {
    return send_record(a, SSL3_RT_APPLICATION_DATA, "\n", a->seq % 20 == 0);
}

static const struct way {
    const char *name;
    int version;
    send_fn *send_one;
} ways[] = {
    { "keyupdate", TLS1_3_VERSION, send_key_update },
    { "hello", TLS1_2_VERSION, send_hello },
    { "empty", TLS1_2_VERSION, send_empty },
};

/* Returns how many were sent before the server had enough, or the time was over. */
static unsigned long attack_once(SSL_CTX *tls, const struct way *way, uint16_t port, time_t until) {
    struct attack a = { .fd = dial(port) };
    unsigned long n = 0;
    if (a.fd < 0) {
        usleep(10000);
        return 0;
    }
    a.ssl = SSL_new(tls);
    a.seal = EVP_CIPHER_CTX_new();
    SSL_set_fd(a.ssl, a.fd);
    if (SSL_connect(a.ssl) == 1)
        while (time(NULL) < until && way->send_one(&a))
            n++;
    EVP_CIPHER_CTX_free(a.seal);
    SSL_free(a.ssl);
    close(a.fd);
    ERR_clear_error();
    return n;
}

int main(int argc, char **argv) {
    const struct way *way = NULL;
    for (size_t i = 0; argc == 4 && i < sizeof ways / sizeof ways[0]; i++)
        if (strcmp(argv[1], ways[i].name) == 0)
            way = &ways[i];
    if (way == NULL) {
        fprintf(stderr, "usage: tls_attack keyupdate|hello|empty PORT SECONDS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls, way->version);
    SSL_CTX_set_max_proto_version(tls, way->version);
    SSL_CTX_set_cipher_list(tls, "ECDHE-ECDSA-AES128-GCM-SHA256");
    time_t until = time(NULL) + strtol(argv[3], NULL, 10);
    unsigned long sent = 0, connections = 0;
    for (; time(NULL) < until; connections++)
        sent += attack_once(tls, way, (uint16_t)strtoul(argv[2], NULL, 10), until);
    printf("{\"sent\": %lu, \"connections\": %lu}\n", sent, connections);
    SSL_CTX_free(tls);
    return 0;
}
