/*
 * tls: which certificate a client sees, and whom we believe when we are the client.
 *
 * Certificates whose leaves carry the same set of names share one SSL_CTX, whatever their key kinds: OpenSSL then
 * picks ECDSA or RSA by what the client offers. Each distinct set of names has a context of its own, and the first
 * one, which is what the caller gets, owns them all: its SNI callback moves a connection to the context whose names
 * fit, an exact name before a wildcard. An unknown name is no error (RFC 6066 3 allows it, and senders ask for all
 * sorts of MX names): the first serves.
 *
 * Server sessions are kept in tickets only, one a handshake; the keys are drawn before the workers are forked, so
 * that any worker resumes what another began, and change every day (tls_tickets.c). Renegotiation is refused. Encrypted
 * keys are refused too: a daemon has nobody to ask.
 *
 * Rejected: names written in the configuration beside each certificate (they drift apart); choosing by SNI inside one
 * context (SSL_CTX holds one certificate a key kind).
 */
#include "net/tls.h"

#include "base/str.h"
#include "net/tls_tickets.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CERTIFICATES_MAX = 256, NAMES_MAX = 8192 /* bytes of the names of one leaf */ };

struct name_set { /* certificates with the same names */
    SSL_CTX *tls;    /* the first set's is the owner of all this and not counted here */
    struct buf names; /* lower case, sorted, each followed by a newline */
    uint32_t key_kinds; /* bit an EVP_PKEY base id's slot */
};

struct name_sets {
    struct tls_tickets *tickets;
    size_t n;
    struct name_set sets[CERTIFICATES_MAX];
};

struct certificate { /* while it is being loaded */
    X509 *leaf;
    EVP_PKEY *key;
    struct buf names;
};

/* ---- errors */

static int fail(struct buf *error, const char *file, const char *what) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (reason)
        buf_putf(error, "%s: %s (%s)", file, what, reason);
    else
        buf_putf(error, "%s: %s", file, what);
    ERR_clear_error();
    return -EINVAL;
}

static int open_pem(const char *path, struct buf *error, FILE **ret_file) {
    ERR_clear_error();
    *ret_file = fopen(path, "re");
    if (*ret_file)
        return 0;
    int err = errno;
    buf_putf(error, "%s: %s", path, strerror(err));
    return -err;
}

/* ---- the names of a leaf */

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(char **list, int *n, ASN1_STRING *value) {
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, value);
    if (len <= 0 || memchr(text, 0, (size_t)len) || memchr(text, '\n', (size_t)len)) {
        OPENSSL_free(text);
        return len >= 0; /* a name with a NUL or a line end inside is nobody's */
    }
    list[*n] = strndup((char *)text, (size_t)len);
    OPENSSL_free(text);
    if (!list[*n])
        return false;
    for (char *c = list[*n]; *c; c++)
        *c = ascii_lower(*c);
    (*n)++;
    return true;
}

/* dNSName entries; a certificate without any is old enough to be meant by its common name. */
static bool list_names(X509 *leaf, const GENERAL_NAMES *alternatives, char **list, int *n) {
    bool ok = true;
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(alternatives); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);
        if (name->type == GEN_DNS)
            ok = add_name(list, n, name->d.dNSName);
    }
    X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (ok && *n == 0 && at >= 0)
        ok = add_name(list, n, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    return ok;
}

static int names_of(X509 *leaf, struct buf *ret_names) {
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int room = alternatives ? sk_GENERAL_NAME_num(alternatives) : 0, n = 0;
    char **list = calloc((size_t)room + 1, sizeof *list);
    int r = list && list_names(leaf, alternatives, list, &n) ? 0 : -ENOMEM;
    if (r == 0 && n)
        qsort(list, (size_t)n, sizeof *list, by_name);
    for (int i = 0; i < n; i++) {
        if (r == 0 && (i == 0 || strcmp(list[i], list[i - 1]) != 0))
            r = buf_putf(ret_names, "%s\n", list[i]);
    }
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    GENERAL_NAMES_free(alternatives);
    return r;
}

static bool set_has(const struct name_set *set, struct str name) {
    for (struct str rest = buf_str(&set->names); rest.len;) {
        size_t len = str_find(rest, '\n');
        if (str_eq_nocase(str_head(rest, len), name))
            return true;
        rest = str_from(rest, len + 1);
    }
    return false;
}

/* ---- SNI */

static SSL_CTX *choose(const struct name_sets *sets, struct str name) {
    for (size_t i = 0; i < sets->n; i++) {
        if (set_has(&sets->sets[i], name))
            return sets->sets[i].tls;
    }
    /* "*.example.org" stands for one label (RFC 6125 6.4.3). */
    char wildcard[256];
    size_t dot = str_find(name, '.');
    if (dot == name.len || name.len - dot + 1 > sizeof wildcard)
        return NULL;
    wildcard[0] = '*';
    memcpy(wildcard + 1, name.at + dot, name.len - dot);
    for (size_t i = 0; i < sets->n; i++) {
        if (set_has(&sets->sets[i], (struct str){ wildcard, name.len - dot + 1 }))
            return sets->sets[i].tls;
    }
    return NULL;
}

static int on_sni(SSL *ssl, int *alert, void *arg) {
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *tls = name ? choose(arg, str_of(name)) : NULL;
    if (!tls)
        return SSL_TLSEXT_ERR_NOACK;
    if (tls != SSL_get_SSL_CTX(ssl))
        SSL_set_SSL_CTX(ssl, tls);
    return SSL_TLSEXT_ERR_OK;
}

static void name_sets_free(struct name_sets *sets) {
    if (!sets)
        return;
    for (size_t i = 0; i < sets->n; i++) {
        if (i > 0)
            SSL_CTX_free(sets->sets[i].tls);
        buf_deinit(&sets->sets[i].names);
    }
    tls_tickets_free(sets->tickets);
    free(sets);
}

static void on_context_freed(void *parent, void *sets, CRYPTO_EX_DATA *data, int index, long argl, void *argp) {
    name_sets_free(sets);
}

/* The first context frees the others with itself. OpenSSL numbers such data once a process. */
static int own_sets(SSL_CTX *tls, struct name_sets *sets) {
    static int index = -1;
    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_freed);
    if (index < 0 || SSL_CTX_set_ex_data(tls, index, sets) != 1)
        return -ENOMEM;
    SSL_CTX_set_tlsext_servername_callback(tls, on_sni);
    SSL_CTX_set_tlsext_servername_arg(tls, sets);
    return 0;
}

/* ---- contexts */

static int no_passphrase(char *at, int size, int is_writing, void *arg) {
    return -1;
}

static SSL_CTX *context_new(const SSL_METHOD *method, enum tls_version min_version) {
    SSL_CTX *tls = SSL_CTX_new(method);
    if (!tls)
        return NULL;
    SSL_CTX_set_min_proto_version(tls, min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_mode(tls, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(tls, SSL_MODE_AUTO_RETRY); /* it reads on for as long as what comes is no data */
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(tls, 1);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_default_passwd_cb(tls, no_passphrase);
    return tls;
}

/* ---- loading */

static int load_leaf(const char *path, struct buf *error, struct certificate *c) {
    FILE *file;
    int r = open_pem(path, error, &file);
    if (r < 0)
        return r;
    c->leaf = PEM_read_X509_AUX(file, NULL, no_passphrase, NULL);
    fclose(file);
    if (!c->leaf)
        return fail(error, path, "no certificate could be read from it");
    r = names_of(c->leaf, &c->names);
    if (r == -ENOBUFS)
        return fail(error, path, "too many names in the certificate");
    return r;
}

static int load_key(const struct tls_certificate *files, struct buf *error, struct certificate *c) {
    FILE *file;
    char buffer[4096]; /* the file's own would be freed with the key in it */
    int r = open_pem(files->key_file, error, &file);
    if (r < 0)
        return r;
    setvbuf(file, buffer, _IOFBF, sizeof buffer);
    c->key = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
    fclose(file);
    explicit_bzero(buffer, sizeof buffer);
    if (!c->key)
        return fail(error, files->key_file, "no unencrypted key could be read from it");
    if (X509_check_private_key(c->leaf, c->key) == 1)
        return 0;
    ERR_clear_error();
    buf_putf(error, "%s: the key does not belong to the certificate in %s", files->key_file, files->certificate_file);
    return -EINVAL;
}

static uint32_t kind_of(const EVP_PKEY *key) {
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
        return 1;
    case EVP_PKEY_RSA_PSS:
        return 2;
    case EVP_PKEY_EC:
        return 4;
    default:
        return 8;
    }
}

/* The set with these names, made if there is none. */
static struct name_set *set_for(struct name_sets *sets, struct certificate *c, enum tls_version min_version) {
    for (size_t i = 0; i < sets->n; i++) {
        if (str_eq(buf_str(&sets->sets[i].names), buf_str(&c->names)))
            return &sets->sets[i];
    }
    struct name_set *set = &sets->sets[sets->n];
    set->tls = context_new(TLS_server_method(), min_version);
    if (!set->tls || tls_tickets_use(sets->tickets, set->tls) < 0) {
        SSL_CTX_free(set->tls);
        set->tls = NULL;
        return NULL;
    }
    set->names = c->names;
    buf_init(&c->names, NAMES_MAX);
    sets->n++;
    return set;
}

static int add_to_set(struct name_set *set, const struct tls_certificate *files, struct certificate *c,
                      struct buf *error) {
    if (set->key_kinds & kind_of(c->key)) {
        ERR_clear_error();
        return fail(error, files->certificate_file, "a second certificate of the same kind for the same names");
    }
    set->key_kinds |= kind_of(c->key);
    if (SSL_CTX_use_certificate_chain_file(set->tls, files->certificate_file) != 1)
        return fail(error, files->certificate_file, "the certificate cannot be used");
    if (SSL_CTX_use_PrivateKey(set->tls, c->key) != 1)
        return fail(error, files->key_file, "the key cannot be used");
    return 0;
}

static int load_one(struct name_sets *sets, const struct tls_certificate *files, enum tls_version min_version,
                    struct buf *error) {
    struct certificate c = { 0 };
    buf_init(&c.names, NAMES_MAX);
    int r = load_leaf(files->certificate_file, error, &c);
    if (r == 0)
        r = load_key(files, error, &c);
    struct name_set *set = r == 0 ? set_for(sets, &c, min_version) : NULL;
    if (r == 0)
        r = set ? add_to_set(set, files, &c, error) : -ENOMEM;
    buf_deinit(&c.names);
    X509_free(c.leaf);
    EVP_PKEY_free(c.key);
    return r;
}

int tls_server_new(const struct tls_certificate *certificates, size_t n, enum tls_version min_version,
                   struct buf *error, SSL_CTX **ret_tls) {
    if (n == 0 || n > CERTIFICATES_MAX) {
        buf_putf(error, n ? "more than %d certificates" : "no certificate", CERTIFICATES_MAX);
        return -EINVAL;
    }
    struct name_sets *sets = calloc(1, sizeof *sets);
    if (!sets)
        return -ENOMEM;
    int r = tls_tickets_new(&sets->tickets);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = load_one(sets, &certificates[i], min_version, error);
    SSL_CTX *first = sets->sets[0].tls;
    if (r == 0)
        r = own_sets(first, sets);
    if (r < 0) {
        name_sets_free(sets);
        SSL_CTX_free(first);
        return r;
    }
    *ret_tls = first;
    return 0;
}

static int trust(SSL_CTX *tls, const char *ca_file, struct buf *error) {
    FILE *file;
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    if (!ca_file)
        return SSL_CTX_set_default_verify_paths(tls) == 1 ? 0 : fail(error, "system certificates", "cannot be used");
    int r = open_pem(ca_file, error, &file);
    if (r < 0)
        return r;
    fclose(file);
    if (SSL_CTX_load_verify_locations(tls, ca_file, NULL) != 1)
        return fail(error, ca_file, "no certificate could be read from it");
    return 0;
}

int tls_client_new(bool verify, const char *ca_file, struct buf *error, SSL_CTX **ret_tls) {
    SSL_CTX *tls = context_new(TLS_client_method(), TLS_1_2);
    if (!tls)
        return -ENOMEM;
    int r = verify ? trust(tls, ca_file, error) : 0;
    if (r < 0) {
        SSL_CTX_free(tls);
        return r;
    }
    *ret_tls = tls;
    return 0;
}

const char *tls_version_name(const SSL *ssl) {
    return ssl ? SSL_get_version(ssl) : "";
}

const char *tls_cipher_name(const SSL *ssl) {
    const char *name = ssl ? SSL_get_cipher_name(ssl) : NULL;
    return name ? name : "";
}
