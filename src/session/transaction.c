/*
 * transaction: the envelope of one message, its memory, and the field we put in front.
 *
 * All that the client said about a message lives in the transaction's arena and goes with it; the arena's maximum
 * follows from the limits, so a client can make it neither grow without end nor be too small for what it may send.
 */
#include "session/state.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
    ALIGNED = 8, /* what the arena and the NUL behind a text add to each allocation, at most */
    RECIPIENT_BYTES = SMTP_PATH_MAX + sizeof(struct recipient) + 2 * ALIGNED, /* with its address */
    WORDS_MAX = SMTP_ORCPT_MAX + 64, /* and NOTIFY */
    ENVELOPE_BYTES = 8192,
    HEAD_MAX = 65536, /* with the tags of all rules */
};

static void copy_envelope(struct session *s, struct transaction *t, const struct smtp_command *mail) {
    t->envelope = (struct relay_envelope){
        .client = s->origin.client.ip,
        .client_port = s->origin.client.port,
        .client_name = s->client_name,
        .helo = s->helo,
        .is_esmtp = s->is_esmtp,
        .sender = arena_str(&t->arena, mail->address.text),
        .parameters = mail->parameters,
        .size = mail->size,
        .body = mail->body,
        .ret = arena_str(&t->arena, mail->ret),
        .envid = arena_str(&t->arena, mail->envid),
        .id = str_of(s->id),
    };
}

struct transaction *transaction_new(struct session *s, const struct smtp_command *mail) {
    const struct conf_settings *set = &s->server->conf->set;
    struct transaction *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->arena.max = ENVELOPE_BYTES + set->limits.command_line
        + set->limits.recipients * (RECIPIENT_BYTES + content_recipient_bytes(s->server));
    t->last = &t->accepted;
    t->began_us = clock_us();
    buf_init(&t->head, HEAD_MAX);
    buf_init(&t->asked_words, WORDS_MAX);
    intake_init(&t->intake, set->spool_path, set->limits.memory_spool, &(struct intake_limits){
        .message_size = set->limits.message_size, .header_size = set->limits.header_size,
        .header_fields = set->limits.header_fields });
    copy_envelope(s, t, mail);
    if (t->envelope.sender.at == NULL || t->envelope.ret.at == NULL || t->envelope.envid.at == NULL) {
        transaction_free(t);
        return NULL;
    }
    return t;
}

void transaction_free(struct transaction *t) {
    if (t == NULL)
        return;
    relay_end(t->transfer); /* first: it may still borrow the spool */
    content_free(t->content);
    intake_deinit(&t->intake);
    buf_deinit(&t->head);
    buf_deinit(&t->asked_words);
    arena_reset(&t->arena);
    free(t);
}

/* RFC 3848 and RFC 6531 4.3. */
static const char *protocol_of(const struct session *s) {
    bool is_tls = stream_is_tls(&s->stream);
    if (s->transaction->envelope.parameters & SMTP_HAS_SMTPUTF8)
        return is_tls ? "UTF8SMTPS" : "UTF8SMTP";
    if (!s->is_esmtp)
        return "SMTP";
    return is_tls ? "ESMTPS" : "ESMTP";
}

/* A name that a balancer told, or one that leads back to the address: of others a reader must not think anything. */
static struct str client_name(const struct session *s) {
    bool is_confirmed = s->memory != NULL && s->memory->ptr.status == PTR_CONFIRMED;
    return s->client_name.len > 0 || !is_confirmed ? s->client_name : ptr_name(&s->memory->ptr);
}

int transaction_write_head(struct session *s, struct transaction *t) {
    char date[CLOCK_RFC5322_MAX];
    const struct header_received received = {
        .helo = s->helo,
        .client_name = client_name(s),
        .client = s->origin.client.ip,
        .by = str_of(s->server->conf->set.hostname),
        .protocol = protocol_of(s),
        .tls_version = tls_version_name(s->stream.ssl),
        .tls_cipher = tls_cipher_name(s->stream.ssl),
        .id = str_of(s->id),
        /* several: none is told of the others */
        .recipient = t->n_accepted == 1 ? t->accepted->address : (struct str){ 0 },
        .date = clock_format_rfc5322(clock_wall_ms(), date),
    };
    return header_received_format(&received, &t->head);
}
