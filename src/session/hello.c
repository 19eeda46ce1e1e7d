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
    if (may_introduce(s))
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

struct introduction { /* what one XCLIENT says, taken over whole or not at all */
    struct endpoint client;
    struct str name, helo; /* owned */
    bool is_other, has_name, is_esmtp;
};

static int address_take(struct introduction *i, struct str value) {
    if (str_starts_nocase(value, STR("IPV6:")))
        value = str_from(value, 5);
    i->is_other = true;
    return ip_parse(value, &i->client.ip);
}

static int name_take(struct str *name, struct str value) {
    if (str_is_empty(value))
        return remember(name, value);
    return smtp_domain_parse(value, true, true) == SMTP_ADDRESS_OK ? remember(name, value) : -EINVAL;
}

static int attribute_take(struct introduction *i, struct str name, struct str value) {
    unsigned long long number;
    if (str_eq_nocase(value, STR("[UNAVAILABLE]")) || str_eq_nocase(value, STR("[TEMPUNAVAIL]")))
        value = (struct str){ 0 };
    if (str_eq_nocase(name, STR("ADDR")))
        return str_is_empty(value) ? 0 : address_take(i, value);
    if (str_eq_nocase(name, STR("PORT"))) {
        if (!str_is_empty(value) && str_to_u64(value, UINT16_MAX, &number) < 0)
            return -EINVAL;
        i->client.port = str_is_empty(value) ? 0 : (uint16_t)number;
        return 0;
    }
    if (str_eq_nocase(name, STR("NAME"))) {
        i->has_name = true;
        return name_take(&i->name, value);
    }
    if (str_eq_nocase(name, STR("HELO")))
        return name_take(&i->helo, value);
    if (!str_eq_nocase(name, STR("PROTO")))
        return -EINVAL;
    i->is_esmtp = str_eq_nocase(value, STR("ESMTP"));
    return 0;
}

static int introduction_parse(struct introduction *i, struct str attributes) {
    struct str name;
    char storage[1024];
    struct buf value = BUF_IN(storage);
    int r = attributes.len > 0 ? 1 : -EINVAL;
    while (r > 0) {
        buf_clear(&value);
        r = smtp_xclient_next(&attributes, &name, &value);
        int taken = r > 0 ? attribute_take(i, name, buf_str(&value)) : 0;
        if (taken < 0)
            r = taken;
    }
    return r;
}

static void swap(struct str *a, struct str *b) {
    struct str c = *a;
    *a = *b;
    *b = c;
}

/* A greeting that is not given is to come yet; a name goes with its address. */
int xclient_take(struct session *s, struct str attributes) {
    struct introduction i = { .client = s->origin.client };
    int r = introduction_parse(&i, attributes);
    if (r == 0) {
        s->origin.client = i.client;
        s->is_esmtp = i.is_esmtp;
        swap(&s->helo, &i.helo);
        if (i.is_other || i.has_name)
            swap(&s->client_name, &i.name);
    }
    remember(&i.name, (struct str){ 0 });
    remember(&i.helo, (struct str){ 0 });
    return r;
}
