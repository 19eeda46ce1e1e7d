/*
 * hello: what we offer, and whom a balancer says it speaks for.
 *
 * Offered is what *all* mailbox servers can take (SIZE, 8BITMIME, SMTPUTF8, DSN: a message is accepted before its
 * server is known) and what is ours alone (PIPELINING, CHUNKING, ENHANCEDSTATUSCODES, STARTTLS, LIMITS). No
 * BINARYMIME: few mailbox servers take it, and converting breaks signatures.
 */
#include "session/state.h"

#include <errno.h>

void write_offer(const struct session *s, struct buf *out) {
    const struct conf_settings *set = &s->server->conf->set;
    struct smtp_offer servers = relay_offer(s->server->relay);
    uint64_t size = set->limits.message_size;
    if (servers.size != 0 && servers.size < size)
        size = servers.size;
    buf_puts(out, STR("250-PIPELINING\r\n"));
    if (servers.extensions & SMTP_EXT_SIZE)
        buf_putf(out, "250-SIZE %llu\r\n", (unsigned long long)size);
    if (s->server->tls != NULL && !stream_is_tls(&s->stream))
        buf_puts(out, STR("250-STARTTLS\r\n"));
    if (s->origin.allows_xclient)
        buf_puts(out, STR("250-XCLIENT NAME ADDR PORT PROTO HELO\r\n"));
    if (servers.extensions & SMTP_EXT_8BITMIME)
        buf_puts(out, STR("250-8BITMIME\r\n"));
    if ((servers.extensions & SMTP_EXT_SMTPUTF8) && set->smtputf8)
        buf_puts(out, STR("250-SMTPUTF8\r\n"));
    if (servers.extensions & SMTP_EXT_DSN)
        buf_puts(out, STR("250-DSN\r\n"));
    buf_putf(out, "250-LIMITS MAILMAX=%llu RCPTMAX=%llu\r\n", (unsigned long long)set->limits.transactions,
             (unsigned long long)set->limits.recipients);
    buf_puts(out, STR("250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"));
}

/* ---- XCLIENT: a named balancer says whom it speaks for (Postfix's XCLIENT_README) */

static int xclient_attribute(struct session *s, struct str name, struct str value) {
    bool is_unknown = str_eq_nocase(value, STR("[UNAVAILABLE]")) || str_eq_nocase(value, STR("[TEMPUNAVAIL]"));
    unsigned long long number;
    if (str_eq_nocase(name, STR("ADDR"))) {
        if (is_unknown)
            return 0;
        if (str_starts_nocase(value, STR("IPV6:")))
            value = str_from(value, 5);
        return ip_parse(value, &s->origin.client.ip);
    }
    if (str_eq_nocase(name, STR("PORT"))) {
        if (is_unknown)
            return 0;
        if (str_to_u64(value, UINT16_MAX, &number) < 0)
            return -EINVAL;
        s->origin.client.port = (uint16_t)number;
        return 0;
    }
    if (str_eq_nocase(name, STR("NAME")) || str_eq_nocase(name, STR("HELO"))) {
        struct str *field = ascii_lower(name.at[0]) == 'n' ? &s->client_name : &s->helo;
        if (is_unknown || str_is_empty(value))
            return remember(field, (struct str){ 0 });
        return smtp_domain_parse(value, true, true) == SMTP_ADDRESS_OK ? remember(field, value) : -EINVAL;
    }
    if (str_eq_nocase(name, STR("PROTO"))) {
        s->is_esmtp = str_eq_nocase(value, STR("ESMTP"));
        return 0;
    }
    return -EINVAL;
}

int xclient_take(struct session *s, struct str attributes) {
    struct str name;
    struct buf value;
    buf_init(&value, 1024);
    int r = attributes.len > 0 ? 1 : -EINVAL;
    while (r > 0) {
        buf_clear(&value);
        r = smtp_xclient_next(&attributes, &name, &value);
        if (r > 0 && xclient_attribute(s, name, buf_str(&value)) < 0)
            r = -EINVAL;
    }
    buf_deinit(&value);
    return r;
}
