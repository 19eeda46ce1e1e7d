/*
 * check_mailbox: would this mailbox server relay for us, and what else should its administrator know?
 *
 * The relay's own connection (session/upstream.h) says hello as for a client's mail; then a stranger is introduced, if
 * the group has forward_client, and a recipient named that is nobody's here: a random mailbox at a domain that RFC 2606
 * keeps for such purposes. A server that takes it would send it anywhere: whoever finds a spelling that we take for
 * ours has an open relay. DATA is never said, so nothing leaves.
 *
 * Servers delay clients after some errors (Postfix after 10), and a delay on our connection is a delay for good mail.
 * So the same kind of recipient is asked for again and again, and the slowest answer is shown.
 *
 * Everything is one command at a time: ask() turns the loop until its answer is there.
 */
#include "cmd/check_servers.h"

#include "base/hash.h"
#include "net/tls.h"
#include "session/relay_write.h"
#include "session/upstream.h"

#include <stdarg.h>
#include <stdio.h>

enum { ERRORS_TRIED = 13, SLOW_MS = 500, TURN_MS = 100 };

struct mailbox_check {
    struct upstream up;
    struct upstream_setup setup;
    struct conf quick; /* the configuration with times that a person waits for */
    const struct conf_group *group;
    struct loop *loop;
    struct check_finding *finding;
    struct smtp_answer answer;
    bool is_ready, has_ended;
    bool is_all_taken; /* of the answers since `due` was nothing */
    enum upstream_end end;
    char why[UPSTREAM_WHY_MAX + 1];
    char domain[64]; /* nobody's here */
    uint8_t key[HASH_KEY_SIZE];
};

static struct mailbox_check *check_of(struct upstream *up) {
    return (struct mailbox_check *)((char *)up - offsetof(struct mailbox_check, up));
}

/* ---- what the connection says */

static void on_ready(struct upstream *up) {
    check_of(up)->is_ready = true;
}

static void on_answer(struct upstream *up, const struct smtp_answer *answer) {
    struct mailbox_check *c = check_of(up);
    c->answer = *answer;
    c->is_all_taken &= answer->code / 100 == 2;
}

static void on_drained(struct upstream *up) {
    (void)up;
}

static void on_end(struct upstream *up, enum upstream_end end, struct str why) {
    struct mailbox_check *c = check_of(up);
    c->has_ended = true;
    c->end = end;
    snprintf(c->why, sizeof(c->why), "%.*s", STR_ARG(why));
}

static const struct upstream_ops ops = { on_ready, on_answer, on_drained, on_end };

/* ---- one thing at a time */

/* These wait; upstream's own timer ends a server that hangs. They return false when the connection is gone. */

static bool await_ready(struct mailbox_check *c) {
    while (!c->is_ready && !c->has_ended)
        if (loop_turn(c->loop, TURN_MS) < 0)
            return false;
    return c->is_ready;
}

/* For n commands that are in the buffer already. An answer may be the server's last word. */
static bool await_answers(struct mailbox_check *c, uint32_t n) {
    c->is_all_taken = true;
    upstream_sent(&c->up, n, CHECK_STEP_MS);
    while (c->up.due > 0 && !c->has_ended)
        if (loop_turn(c->loop, TURN_MS) < 0)
            return false;
    return c->up.due == 0;
}

/* Returns false when the connection is gone. */
__attribute__((format(printf, 2, 3)))
static bool ask(struct mailbox_check *c, const char *format, ...) {
    va_list args;
    if (c->has_ended)
        return false;
    va_start(args, format);
    int r = buf_vputf(upstream_out(&c->up), format, args);
    va_end(args);
    return r == 0 && await_answers(c, 1);
}

static void lost(struct mailbox_check *c, const char *at) {
    check_problem(c->finding, "gone at %s: %s", at, c->why);
}

/* ---- hello */

static bool connect_to(struct mailbox_check *c) {
    int r = upstream_connect(&c->up, &c->setup, &ops, false);
    if (r < 0) {
        check_problem(c->finding, "%s", strerror(-r));
        return false;
    }
    if (await_ready(c))
        return true;
    check_problem(c->finding, c->end == UPSTREAM_TLS_BAD ? "no TLS: %s" : "%s", c->why);
    return false;
}

static void note_extensions(struct mailbox_check *c) {
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        { SMTP_EXT_PIPELINING, "PIPELINING" }, { SMTP_EXT_8BITMIME, "8BITMIME" }, { SMTP_EXT_SMTPUTF8, "SMTPUTF8" },
        { SMTP_EXT_DSN, "DSN" }, { SMTP_EXT_CHUNKING, "CHUNKING" }, { SMTP_EXT_XFORWARD, "XFORWARD" },
        { SMTP_EXT_XCLIENT, "XCLIENT" },
    };
    const struct smtp_offer *offer = &c->up.offer;
    char all[160] = "";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(all);
        if (offer->extensions & names[i].bit)
            snprintf(all + len, sizeof(all) - len, "%s%s", len > 0 ? " " : "", names[i].name);
    }
    check_note(c->finding, "offers %s", all[0] != '\0' ? all : "nothing");
    if (offer->size > 0)
        check_note(c->finding, "SIZE %llu", (unsigned long long)offer->size);
    if (offer->size > 0 && offer->size < c->quick.set.limits.message_size)
        check_note(c->finding, "less than limits message_size");
}

static void note_certificate(struct mailbox_check *c, SSL *ssl) {
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    struct tm end;
    if (certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1)
        check_note(c->finding, "certificate until %04d-%02d-%02d", end.tm_year + 1900, end.tm_mon + 1, end.tm_mday);
    if (certificate != NULL && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        check_note(c->finding, "which is over");
    X509_free(certificate);
}

static void note_tls(struct mailbox_check *c) {
    SSL *ssl = c->up.stream.ssl;
    if (ssl == NULL) {
        check_note(c->finding, "no TLS%s%s", c->up.plain_why != NULL ? ": " : "",
                   c->up.plain_why != NULL ? c->up.plain_why : "");
        return;
    }
    check_note(c->finding, "%s%s", tls_version_name(ssl), c->group->tls == CONF_TLS_VERIFY ? ", verified" : "");
    note_certificate(c, ssl);
}

/* ---- who sends */

/* A stranger of RFC 5737 or RFC 3849. */
static struct relay_envelope stranger(bool is_ipv6) {
    struct relay_envelope e = { .helo = STR("stranger.example"), .is_esmtp = true, .client_port = 4025 };
    ip_parse(is_ipv6 ? STR("2001:db8::25") : STR("192.0.2.25"), &e.client);
    return e;
}

/* Returns false when the connection is gone. Sets *ret_is_taken. */
static bool forward(struct mailbox_check *c, bool is_ipv6, bool *ret_is_taken) {
    bool is_xclient = c->group->forward_client == CONF_FORWARD_XCLIENT;
    const struct relay_envelope e = stranger(is_ipv6);
    uint32_t n = 0;
    if (c->has_ended)
        return false;
    int r = is_xclient ? relay_write_xclient(upstream_out(&c->up), &e, c->up.offer.xclient, &n)
                       : relay_write_xforward(upstream_out(&c->up), &e, c->up.offer.xforward, &n);
    if (r < 0 || !await_answers(c, n))
        return false;
    *ret_is_taken = c->is_all_taken;
    return true;
}

/* XCLIENT is answered like a connection, and a hello follows. */
static bool hello_again(struct mailbox_check *c) {
    if (c->has_ended)
        return false;
    c->is_ready = false;
    upstream_hello(&c->up);
    return await_ready(c);
}

static bool introduce(struct mailbox_check *c) {
    enum conf_forward how = c->group->forward_client;
    const char *name = how == CONF_FORWARD_XCLIENT ? "XCLIENT" : "XFORWARD";
    bool is_offered = c->up.offer.extensions & (how == CONF_FORWARD_XCLIENT ? SMTP_EXT_XCLIENT : SMTP_EXT_XFORWARD);
    bool is_accepted;
    if (how == CONF_FORWARD_OFF)
        return true;
    if (!is_offered) {
        check_problem(c->finding, "forward_client: %s is not offered to us", name);
        return true;
    }
    if (how == CONF_FORWARD_XFORWARD) {
        if (!forward(c, true, &is_accepted))
            return false;
        if (!is_accepted)
            check_note(c->finding, "XFORWARD of IPv6 clients is refused: they are unknown there");
    }
    if (!forward(c, false, &is_accepted))
        return false;
    if (!is_accepted)
        check_problem(c->finding, "%s is refused: %u %s", name, c->answer.code, c->answer.text);
    else
        check_note(c->finding, "%s is allowed", name);
    return how != CONF_FORWARD_XCLIENT || !is_accepted || hello_again(c);
}

/* ---- the envelope */

static bool ask_sender(struct mailbox_check *c) {
    if (!ask(c, "MAIL FROM:<>\r\n")) {
        lost(c, "MAIL");
        return false;
    }
    if (!c->is_all_taken)
        check_problem(c->finding, "MAIL is refused: %u %s %s", c->answer.code, c->answer.enhanced, c->answer.text);
    return c->is_all_taken;
}

/* Returns false when the connection is gone. */
static bool ask_stranger(struct mailbox_check *c, unsigned number) {
    unsigned name = c->key[0] << 16 | c->key[1] << 8 | c->key[2];
    return ask(c, "RCPT TO:<postern-check-%06x-%u@%s>\r\n", name, number, c->domain);
}

static bool is_smart_host(const struct mailbox_check *c) {
    return c->quick.set.smart_host == c->group;
}

/* Returns whether an error can follow. */
static bool ask_relaying(struct mailbox_check *c) {
    if (!ask_stranger(c, 0)) {
        lost(c, "RCPT");
        return false;
    }
    if (c->is_all_taken && is_smart_host(c))
        check_note(c->finding, "relays for us, as a smart host must");
    else if (c->is_all_taken)
        check_problem(c->finding, "RELAYS FOR US: took a recipient at %s; leave this host out of its mynetworks, or "
                      "give it a port of its own", c->domain);
    else if (is_smart_host(c))
        check_problem(c->finding, "does not relay for us: %u %s", c->answer.code, c->answer.text);
    else
        check_note(c->finding, "does not relay for us");
    return !c->is_all_taken;
}

static void ask_delay(struct mailbox_check *c) {
    uint64_t slowest = 0;
    unsigned i = 1;
    for (; i < ERRORS_TRIED && slowest < SLOW_MS; i++) {
        uint64_t asked_ms = loop_now(c->loop);
        if (!ask_stranger(c, i)) {
            check_note(c->finding, "ends the connection after %u errors: %s", i, c->why);
            return;
        }
        uint64_t took = loop_now(c->loop) - asked_ms;
        slowest = took > slowest ? took : slowest;
    }
    if (slowest >= SLOW_MS)
        check_note(c->finding, "delays answers after %u errors by %llu ms", i - 1, (unsigned long long)slowest);
    else
        check_note(c->finding, "delays no errors");
}

static void converse(struct mailbox_check *c) {
    if (!connect_to(c))
        return;
    note_tls(c);
    note_extensions(c);
    if (!introduce(c)) {
        lost(c, "the client's address");
        return;
    }
    if (ask_sender(c) && ask_relaying(c))
        ask_delay(c);
}

/* ---- setting up */

/* One of RFC 2606 that is not ours. */
static void choose_domain(struct mailbox_check *c, const struct conf *conf) {
    static const char *const domains[] = { "example.org", "example.net", "example.com", "postern-check.example" };
    for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
        if (conf_domain_find(conf, str_of(domains[i])) != NULL)
            continue;
        snprintf(c->domain, sizeof(c->domain), "%s", domains[i]);
        return;
    }
    snprintf(c->domain, sizeof(c->domain), "check.invalid");
}

static void shorten(uint64_t *timeout) {
    *timeout = *timeout < CHECK_STEP_MS ? *timeout : CHECK_STEP_MS;
}

static void make_quick(struct mailbox_check *c, const struct conf *conf) {
    c->quick = *conf;
    shorten(&c->quick.set.timeouts.server_connect);
    shorten(&c->quick.set.timeouts.server_greeting);
    shorten(&c->quick.set.timeouts.server_command);
    shorten(&c->quick.set.timeouts.tls_handshake);
}

void check_mailbox(struct loop *loop, const struct conf *conf, const struct conf_group *group,
                   const struct conf_server *server, struct check_finding *finding) {
    struct mailbox_check c = { .loop = loop, .group = group, .finding = finding };
    struct buf error;
    SSL_CTX *context = NULL;
    buf_init(&error, CHECK_WORDS_MAX);
    make_quick(&c, conf);
    choose_domain(&c, conf);
    hash_make_key(c.key);
    int r = group->tls == CONF_TLS_NONE
        ? 0 : tls_client_new(group->tls == CONF_TLS_VERIFY, group->ca_file, &error, &context);
    if (r < 0) {
        check_problem(finding, "TLS cannot be set up: %.*s", STR_ARG(buf_str(&error)));
    } else {
        c.setup = (struct upstream_setup){ .loop = loop, .conf = &c.quick, .to = server->at, .name = server->name,
                                           .tls = group->tls, .context = context };
        converse(&c);
        upstream_close(&c.up, true);
        loop_turn(loop, 0); /* frees what the connection left */
    }
    SSL_CTX_free(context);
    buf_deinit(&error);
}
