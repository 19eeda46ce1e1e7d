/*
 * tls_tickets: how do processes that share no memory change their keys together?
 *
 *   seed of day n ── SHA-256 ──▶ seed of day n + 1 ── SHA-256 ──▶ …
 *        └── SHA-256 with a label ──▶ the keys of day n
 *
 * All processes have the seed of one day from the master, and the same clock that never goes back; so they come to the
 * same keys on any later day, at whatever moment each of them looks. A seed is wiped when the next one is made, and
 * nothing leads back from that: who reads a worker's memory can open no ticket of the day before yesterday. He can make
 * the keys of days to come, and has the certificates' keys as well; a restart or a reload draws others.
 *
 * Rejected: keys that the master draws daily and hands to the workers (a message, and moments in which two workers do
 * not agree); OpenSSL's own keys, which stay for the life of a context, which may be months.
 */
#include "net/tls_tickets.h"

#include "base/clock.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SEED_SIZE = 32, NAME_SIZE = 16, KEY_SIZE = 32 };

static const uint64_t DAY_MS = 24 * 60 * 60 * UINT64_C(1000);

struct ticket_keys {
    unsigned char name[NAME_SIZE]; /* stands in the ticket */
    unsigned char cipher[KEY_SIZE], mac[KEY_SIZE];
};

struct tls_tickets {
    uint64_t day;
    unsigned char seed[SEED_SIZE]; /* of `day` */
    struct ticket_keys today, yesterday;
};

/* OpenSSL numbers such data once a process. */
static int data_index(void) {
    static int index = -1;
    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

/* SHA-256 of the seed and a label. Returns whether it could be had; it needs no memory that a handshake does not. */
static bool derive(const unsigned char *seed, const char *label, unsigned char *out) {
    unsigned char text[SEED_SIZE + 8] = { 0 };
    memcpy(text, seed, SEED_SIZE);
    memcpy(text + SEED_SIZE, label, strlen(label));
    bool is_done = EVP_Digest(text, sizeof text, out, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_cleanse(text, sizeof text);
    return is_done;
}

static bool make_keys(const unsigned char *seed, struct ticket_keys *ret_keys) {
    unsigned char name[SEED_SIZE];
    bool is_done = derive(seed, "name", name) && derive(seed, "cipher", ret_keys->cipher) &&
                   derive(seed, "mac", ret_keys->mac);
    memcpy(ret_keys->name, name, NAME_SIZE);
    return is_done;
}

/* One day on. What fails leaves the keys as they are: the next handshake tries again. */
static bool next_day(struct tls_tickets *t) {
    unsigned char seed[SEED_SIZE];
    struct ticket_keys keys;
    bool is_done = derive(t->seed, "next", seed) && make_keys(seed, &keys);
    if (is_done) {
        t->yesterday = t->today;
        t->today = keys;
        memcpy(t->seed, seed, SEED_SIZE);
        t->day++;
    }
    OPENSSL_cleanse(seed, sizeof seed);
    OPENSSL_cleanse(&keys, sizeof keys);
    return is_done;
}

static void turn(struct tls_tickets *t, uint64_t now_ms) {
    while (t->day < now_ms / DAY_MS && next_day(t)) {
    }
}

int tls_tickets_new(struct tls_tickets **ret_tickets) {
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->day = clock_ms() / DAY_MS;
    if (RAND_priv_bytes(t->seed, SEED_SIZE) != 1 || !make_keys(t->seed, &t->today) ||
        RAND_priv_bytes((unsigned char *)&t->yesterday, sizeof t->yesterday) != 1) { /* which made none */
        tls_tickets_free(t);
        return -EIO;
    }
    *ret_tickets = t;
    return 0;
}

void tls_tickets_free(struct tls_tickets *take_tickets) {
    if (take_tickets)
        OPENSSL_cleanse(take_tickets, sizeof *take_tickets);
    free(take_tickets);
}

/* ---- OpenSSL asks */

static bool start(const struct ticket_keys *keys, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                  int is_new) {
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)keys->mac, KEY_SIZE),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, keys->cipher, iv, is_new) == 1;
}

/* A new ticket: 1, or -1 on failure. One that a client brought: 1, 2 (make it a new one), 0 (not ours: no session). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int is_new) {
    struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), data_index());
    turn(t, clock_ms());
    if (is_new) {
        memcpy(name, t->today.name, NAME_SIZE);
        return RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
               start(&t->today, iv, cipher, mac, is_new) ? 1 : -1;
    }
    bool is_of_today = memcmp(name, t->today.name, NAME_SIZE) == 0;
    if (!is_of_today && memcmp(name, t->yesterday.name, NAME_SIZE) != 0)
        return 0;
    if (!start(is_of_today ? &t->today : &t->yesterday, iv, cipher, mac, is_new))
        return -1;
    return is_of_today && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2; /* with TLS 1.3 each is used once */
}

int tls_tickets_use(struct tls_tickets *tickets, SSL_CTX *tls) {
    if (data_index() < 0 || SSL_CTX_set_ex_data(tls, data_index(), tickets) != 1)
        return -ENOMEM;
    SSL_CTX_set_tlsext_ticket_key_evp_cb(tls, on_ticket);
    return 0;
}

void tls_tickets_turn(SSL_CTX *tls, uint64_t now_ms) {
    struct tls_tickets *t = data_index() < 0 ? NULL : SSL_CTX_get_ex_data(tls, data_index());
    if (t)
        turn(t, now_ms);
}
