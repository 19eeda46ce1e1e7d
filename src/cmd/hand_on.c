/*
 * hand_on: see the header.
 *
 * The relay of the session is used as it is, on a loop of the command's own: one transfer for each group of servers,
 * its recipients one after the other, then the message. Each of these steps stops the loop when its answer is there.
 *
 * Fields of the text that claim to be ours are dropped as on the way of any mail: what lies in the quarantine is what
 * its sender wrote.
 */
#include "cmd/hand_on.h"

#include "net/tls.h"
#include "session/relay.h"

#include <errno.h>
#include <stdlib.h>

enum { FINAL_REPLY_MS = 600000 };

struct handing {
    const struct conf *conf;
    const struct hand_on_message *message;
    struct buf *said;
    struct field_edit edit;
    struct loop *loop;
    struct relay *relay;
    SSL_CTX **tls;
    enum relay_outcome outcome; /* of the last step */
    bool is_sent;
    unsigned code;
    char text[512];
    unsigned n_done, n_refused, n_deferred, n_unknown; /* recipients */
};

static void on_orphan(void *arg, struct str id, const struct relay_result *result) {
    (void)arg, (void)id, (void)result; /* no transfer is ended before its answer */
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    struct handing *h = arg;
    buf_putf(h->said, "server %s (%s): %.*s\n", server->name, group->name, STR_ARG(what));
}

static void on_note(void *arg, struct str id, struct str what) {
    (void)arg, (void)id, (void)what;
}

static void on_answer(void *arg, const struct relay_result *result) {
    struct handing *h = arg;
    const struct smtp_answer *answer = result->answer;
    h->outcome = result->outcome;
    h->is_sent = result->is_final_dot_sent;
    h->code = answer != NULL ? answer->code : 0;
    snprintf(h->text, sizeof(h->text), "%.*s", answer != NULL ? (int)answer->text_len : 0,
             answer != NULL ? answer->text : "");
    loop_stop(h->loop);
}

static bool always(void *arg) {
    (void)arg;
    return true;
}

static const char *words_of(enum relay_outcome outcome) {
    switch (outcome) {
    case RELAY_ANSWERED:
        return "";
    case RELAY_TROUBLE:
        return "the server wants something of this host";
    case RELAY_NO_SERVER:
        return "no server of the group answers";
    case RELAY_BUSY:
        return "the server is busy";
    case RELAY_LOST:
        return "the server went away";
    case RELAY_NEEDS_SMTPUTF8:
        return "the server takes ASCII addresses only";
    case RELAY_TOO_LARGE:
        return "it is larger than the server takes";
    case RELAY_TOO_MANY:
        return "the server takes fewer recipients at once";
    case RELAY_TIMED_OUT:
        return "the server took too long";
    case RELAY_UNKNOWN:
        return "the connection broke before the server's answer";
    case RELAY_LOCAL:
        return "the message cannot be read, or memory is short";
    }
    return "";
}

/* Counts what the last step said about n recipients, of whom `who` names the first. */
static void count(struct handing *h, struct str who, unsigned n) {
    bool is_unknown = h->outcome == RELAY_UNKNOWN || (h->outcome == RELAY_TIMED_OUT && h->is_sent);
    bool is_refused = h->outcome == RELAY_TOO_LARGE || h->outcome == RELAY_NEEDS_SMTPUTF8 ||
                      (h->outcome == RELAY_ANSWERED && h->code / 100 == 5);
    if (is_unknown)
        h->n_unknown += n;
    else if (is_refused)
        h->n_refused += n;
    else
        h->n_deferred += n;
    buf_putf(h->said, "%.*s%s: ", STR_ARG(who), n > 1 ? " and others" : "");
    if (h->outcome == RELAY_ANSWERED || h->outcome == RELAY_TROUBLE)
        buf_putf(h->said, "%u %s\n", h->code, h->text);
    else
        buf_putf(h->said, "%s\n", words_of(h->outcome));
}

static bool was_accepted(const struct handing *h) {
    return h->outcome == RELAY_ANSWERED && h->code / 100 == 2;
}

static struct relay_envelope envelope_of(const struct hand_on_message *m) {
    return (struct relay_envelope){
        .client = m->client, .helo = m->helo, .is_esmtp = true, .sender = m->sender, .id = m->id,
        .parameters = m->is_utf8 ? SMTP_HAS_SMTPUTF8 : 0,
        .body = m->is_8bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
    };
}

/* The message's text, when there is somebody to take it. Returns 0 or -ENOMEM. */
static int deliver(struct handing *h, struct relay_transfer *transfer, struct str who, unsigned n) {
    const struct relay_message message = {
        .head = h->message->head, .spool = h->message->spool, .edit = &h->edit, .has_8bit = h->message->is_8bit,
        .deadline_ms = loop_now(h->loop) + FINAL_REPLY_MS, .reserve_ms = 0, .client_is_there = always,
    };
    int r = relay_deliver(transfer, &message, on_answer, h);
    if (r == 0)
        r = loop_run(h->loop);
    if (r < 0)
        return r;
    if (was_accepted(h))
        h->n_done += n;
    else
        count(h, who, n);
    return 0;
}

const struct conf_domain *hand_on_domain(const struct conf *conf, struct str recipient) {
    size_t at = str_find_last(recipient, '@');
    if (at < recipient.len)
        return conf_domain_find(conf, str_from(recipient, at + 1));
    return conf->n_domains > 0 ? &conf->domains[0] : NULL;
}

static const struct conf_group *group_of(const struct conf *conf, struct str recipient) {
    const struct conf_domain *domain = hand_on_domain(conf, recipient);
    return domain != NULL ? domain->set.servers : conf->set.smart_host;
}

static int hand_to(struct handing *h, const struct conf_group *group) {
    const struct hand_on_message *m = h->message;
    const struct relay_envelope envelope = envelope_of(m);
    struct relay_transfer *transfer = NULL;
    struct str first = { 0 };
    unsigned n = 0;
    int r = 0;
    for (size_t i = 0; i < m->n_recipients && r == 0; i++) {
        const struct relay_recipient recipient = { .address = m->addresses[i] };
        if (group_of(h->conf, m->recipients[i]) != group)
            continue;
        if (transfer == NULL && (transfer = relay_begin(h->relay, group, &envelope)) == NULL)
            return -ENOMEM;
        r = relay_rcpt(transfer, &recipient, on_answer, h);
        if (r == 0)
            r = loop_run(h->loop);
        if (r == 0 && was_accepted(h)) {
            first = n++ == 0 ? m->recipients[i] : first;
        } else if (r == 0) {
            count(h, m->recipients[i], 1);
        }
    }
    if (r == 0 && n > 0)
        r = deliver(h, transfer, first, n);
    relay_end(transfer);
    return r;
}

/* Each recipient's servers are known, or nothing begins. */
static bool are_known(struct handing *h) {
    bool is_known = true;
    for (size_t i = 0; i < h->message->n_recipients; i++) {
        if (group_of(h->conf, h->message->recipients[i]) != NULL)
            continue;
        buf_putf(h->said, "%.*s: no mailbox server is configured for its domain\n", STR_ARG(h->message->recipients[i]));
        is_known = false;
    }
    return is_known;
}

static int start(struct handing *h, const struct relay_events *events) {
    struct buf error;
    buf_init(&error, 1024);
    h->tls = calloc(h->conf->n_groups + 1, sizeof(*h->tls));
    int r = h->tls != NULL ? loop_new(&h->loop) : -ENOMEM;
    for (size_t i = 0; i < h->conf->n_groups && r == 0; i++) {
        const struct conf_group *group = &h->conf->groups[i];
        if (group->tls != CONF_TLS_NONE)
            r = tls_client_new(group->tls == CONF_TLS_VERIFY, group->ca_file, &error, &h->tls[i]);
    }
    if (r == 0)
        r = relay_new(h->loop, h->conf, h->tls, 1, events, &h->relay);
    if (error.len > 0)
        buf_putf(h->said, "%.*s\n", STR_ARG(buf_str(&error)));
    buf_deinit(&error);
    return r;
}

static void stop(struct handing *h) {
    relay_free(h->relay);
    for (size_t i = 0; h->tls != NULL && i < h->conf->n_groups; i++)
        SSL_CTX_free(h->tls[i]);
    free(h->tls);
    loop_free(h->loop);
}

int hand_on(const struct conf *conf, const struct hand_on_message *message, struct buf *said) {
    struct handing h = { .conf = conf, .message = message, .said = said,
                         .edit = { .authserv_id = str_of(conf->set.hostname) } };
    const struct relay_events events = { .on_orphan = on_orphan, .on_server = on_server, .on_note = on_note,
                                         .arg = &h };
    if (!are_known(&h))
        return HAND_ON_REFUSED;
    int r = start(&h, &events);
    for (size_t i = 0; i < conf->n_groups && r == 0; i++)
        r = hand_to(&h, &conf->groups[i]);
    stop(&h);
    if (r < 0)
        return r;
    if (h.n_unknown > 0)
        return HAND_ON_UNKNOWN;
    if (h.n_done > 0)
        return h.n_refused + h.n_deferred > 0 ? HAND_ON_PARTLY : HAND_ON_DONE;
    return h.n_deferred > 0 ? HAND_ON_DEFERRED : HAND_ON_REFUSED;
}
