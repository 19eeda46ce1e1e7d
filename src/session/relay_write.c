/*
 * relay_write: what do we say to a mailbox server, and what of its answers may a client read?
 *
 * XFORWARD (and XCLIENT, which has the same attributes) follow Postfix's README files of these names: values in xtext,
 * "[UNAVAILABLE]" for what is not known, IPv6 addresses with "IPV6:" in front, and only attributes that the server's
 * EHLO named.
 *
 * Parameters of MAIL and RCPT stand only where the server offers their extension. Those of DSN are passed as the client
 * wrote them.
 */
#include "session/relay_write.h"

#include <stdio.h>

static bool is_name_byte(char c) {
    c = ascii_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int put_attribute(struct buf *out, const char *name, struct str value) {
    int r = buf_putf(out, " %s=", name);

    if (r < 0)
        return r;
    return str_is_empty(value) ? buf_puts(out, STR("[UNAVAILABLE]")) : xtext_encode(value, out);
}

static int put_address(struct buf *out, const struct ip *client) {
    char text[IP_TEXT_MAX];

    if (client->family == IP_NONE)
        return put_attribute(out, "ADDR", STR(""));
    return buf_putf(out, " ADDR=%s%s", client->family == IP_V6 ? "IPV6:" : "", ip_format(client, text));
}

static bool is_host_name(struct str name) {
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_byte(name.at[i]) && name.at[i] != '.')
            return false;
    return name.len <= SMTP_DOMAIN_MAX;
}

/* A name from the DNS may hold any bytes; a server that is told such a one refuses the command. */
static struct str shown_name(struct str name) {
    return is_host_name(name) ? name : STR("");
}

static int put_client(struct buf *out, const struct relay_envelope *envelope, uint32_t attributes) {
    int r = 0;

    if (attributes & SMTP_FORWARD_NAME)
        r = put_attribute(out, "NAME", shown_name(envelope->client_name));
    if (r == 0 && attributes & SMTP_FORWARD_ADDR)
        r = put_address(out, &envelope->client);
    if (r == 0 && attributes & SMTP_FORWARD_PORT)
        r = envelope->client_port ? buf_putf(out, " PORT=%u", envelope->client_port)
                                  : put_attribute(out, "PORT", STR(""));
    return r;
}

static int put_session(struct buf *out, const struct relay_envelope *envelope, uint32_t attributes) {
    int r = 0;

    if (attributes & SMTP_FORWARD_PROTO)
        r = put_attribute(out, "PROTO", envelope->is_esmtp ? STR("ESMTP") : STR("SMTP"));
    if (r == 0 && attributes & SMTP_FORWARD_HELO)
        r = put_attribute(out, "HELO", envelope->helo);
    if (r == 0 && attributes & SMTP_FORWARD_IDENT)
        r = put_attribute(out, "IDENT", envelope->id);
    if (r == 0 && attributes & SMTP_FORWARD_SOURCE)
        r = put_attribute(out, "SOURCE", STR("REMOTE"));
    return r;
}

enum {
    ABOUT_CLIENT = SMTP_FORWARD_NAME | SMTP_FORWARD_ADDR | SMTP_FORWARD_PORT,
    ABOUT_SESSION = SMTP_FORWARD_PROTO | SMTP_FORWARD_HELO | SMTP_FORWARD_IDENT | SMTP_FORWARD_SOURCE,
};

struct relay_envelope relay_hide_client(const struct relay_envelope *envelope, unsigned hidden) {
    struct relay_envelope e = *envelope;

    if (hidden & FORWARD_CLIENT) {
        e.client = (struct ip){ .family = IP_NONE };
        e.client_port = 0;
        e.client_name = STR("");
    }
    if (hidden & FORWARD_SESSION)
        e.helo = STR("");
    return e;
}

enum relay_forward_part relay_forward_first(uint32_t attributes) {
    return attributes & ABOUT_CLIENT ? FORWARD_CLIENT : FORWARD_SESSION;
}

int relay_write_xforward(struct buf *out, const struct relay_envelope *envelope, uint32_t attributes,
                         uint32_t *ret_commands) {
    int r = 0;

    *ret_commands = !!(attributes & ABOUT_CLIENT) + !!(attributes & ABOUT_SESSION);
    if (attributes & ABOUT_CLIENT)
        r = buf_puts(out, STR("XFORWARD"));
    if (r == 0)
        r = put_client(out, envelope, attributes);
    if (r == 0 && attributes & ABOUT_CLIENT)
        r = buf_puts(out, STR("\r\n"));
    if (r == 0 && attributes & ABOUT_SESSION)
        r = buf_puts(out, STR("XFORWARD"));
    if (r == 0)
        r = put_session(out, envelope, attributes);
    if (r == 0 && attributes & ABOUT_SESSION)
        r = buf_puts(out, STR("\r\n"));
    return r;
}

int relay_write_xclient(struct buf *out, const struct relay_envelope *envelope, uint32_t attributes,
                        uint32_t *ret_commands) {
    attributes &= ABOUT_CLIENT | SMTP_FORWARD_PROTO | SMTP_FORWARD_HELO;
    *ret_commands = attributes != 0;
    if (!attributes)
        return 0;
    int r = buf_puts(out, STR("XCLIENT"));
    if (r == 0)
        r = put_client(out, envelope, attributes);
    if (r == 0)
        r = put_session(out, envelope, attributes);
    return r == 0 ? buf_puts(out, STR("\r\n")) : r;
}

int relay_write_mail(struct buf *out, const struct relay_envelope *envelope, const struct relay_mail *mail) {
    int r = buf_putf(out, "MAIL FROM:<%.*s>", STR_ARG(envelope->sender));

    if (r == 0 && mail->has_size && mail->extensions & SMTP_EXT_SIZE) /* RFC 1870 */
        r = buf_putf(out, " SIZE=%llu", (unsigned long long)mail->size);
    if (r == 0 && mail->is_8bit && mail->extensions & SMTP_EXT_8BITMIME) /* RFC 6152 */
        r = buf_puts(out, STR(" BODY=8BITMIME"));
    if (r == 0 && mail->is_utf8) /* RFC 6531 */
        r = buf_puts(out, STR(" SMTPUTF8"));
    if (mail->extensions & SMTP_EXT_DSN) { /* RFC 3461 */
        if (r == 0 && envelope->parameters & SMTP_HAS_RET)
            r = buf_putf(out, " RET=%.*s", STR_ARG(envelope->ret));
        if (r == 0 && envelope->parameters & SMTP_HAS_ENVID)
            r = buf_putf(out, " ENVID=%.*s", STR_ARG(envelope->envid));
    }
    return r == 0 ? buf_puts(out, STR("\r\n")) : r;
}

int relay_write_rcpt(struct buf *out, const struct relay_recipient *recipient, uint32_t extensions) {
    int r = buf_putf(out, "RCPT TO:<%.*s>", STR_ARG(recipient->address));

    if (extensions & SMTP_EXT_DSN) {
        if (r == 0 && recipient->parameters & SMTP_HAS_NOTIFY)
            r = buf_putf(out, " NOTIFY=%.*s", STR_ARG(recipient->notify));
        if (r == 0 && recipient->parameters & SMTP_HAS_ORCPT)
            r = buf_putf(out, " ORCPT=%.*s", STR_ARG(recipient->orcpt));
    }
    return r == 0 ? buf_puts(out, STR("\r\n")) : r;
}

/* ---- inner names */

/* True when the word `inner` stands at text[at]. A dot behind it may end the sentence, or go on with the name. */
static bool stands_at(struct str text, size_t at, struct str inner) {
    if (inner.len == 0 || text.len - at < inner.len || !str_eq_nocase((struct str){ text.at + at, inner.len }, inner))
        return false;
    if (at > 0 && (is_name_byte(text.at[at - 1]) || text.at[at - 1] == '@' || text.at[at - 1] == '.'))
        return false;
    struct str rest = str_from(text, at + inner.len);
    if (rest.len == 0)
        return true;
    return !is_name_byte(rest.at[0]) && !(rest.len > 1 && rest.at[0] == '.' && is_name_byte(rest.at[1]));
}

static size_t inner_len(struct str text, size_t at, const struct str *inner, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (stands_at(text, at, inner[i]))
            return inner[i].len;
    return 0;
}

void relay_hide_names(struct smtp_answer *answer, const struct str *inner, size_t n, struct str name) {
    char out[SMTP_ANSWER_TEXT_MAX];
    struct str text = { answer->text, answer->text_len };
    size_t len = 0;

    for (size_t at = 0; at < text.len && len < sizeof(out) - 1;) {
        size_t found = inner_len(text, at, inner, n);

        if (found == 0) {
            out[len++] = text.at[at++];
            continue;
        }
        struct str put = str_head(name, sizeof(out) - 1 - len);
        memcpy(out + len, put.at, put.len);
        len += put.len;
        at += found;
    }
    memcpy(answer->text, out, len);
    answer->text[len] = '\0';
    answer->text_len = (unsigned)len;
}
