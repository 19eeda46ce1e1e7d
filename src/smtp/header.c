/*
 * header: has this message been going in circles, and how does it say that it came through us?
 *
 * The scanner counts Received fields and nothing else. It sees canonical text (data.h), so a line end is CRLF and the
 * first CR at the start of a line is the empty line. A line that is neither a field, a continuation of one, nor empty
 * ends the header: what follows is body to most readers, and a Received quoted in a body is no hop. Blanks before the
 * colon are allowed (RFC 5322 4.5.8), since the hop that wrote them is a hop.
 *
 * The extent is another question: how long is the walk for those who take everything up to the empty line for the
 * header (field_filter does, since a mail client may)? Hence it counts lines that are no fields, too.
 *
 * Rejected: remembering where fields stand, for the "bad header" fact. That is the content layer's, which reads the
 * spool.
 */
#include "smtp/header.h"

enum {
    FIRST_LINE, /* start of the header: there is nothing to continue yet */
    LINE_START,
    NAME,
    NAME_BLANK, /* behind a field name, before its colon */
    VALUE,
};

/* ---- reading */

void header_scanner_init(struct header_scanner *s) {
    *s = (struct header_scanner){ .state = FIRST_LINE };
}

/* ftext of RFC 5322 3.6.8 */
static inline bool is_name_byte(char c) {
    return c > 32 && c < 127 && c != ':';
}

static void name_add(struct header_scanner *s, char c) {
    if (s->name_len < sizeof(s->name))
        s->name[s->name_len] = ascii_lower(c);
    if (s->name_len <= sizeof(s->name))
        s->name_len++;
}

static void name_end(struct header_scanner *s) {
    if (s->name_len <= sizeof(s->name) && str_eq((struct str){ s->name, s->name_len }, STR("received")))
        s->received++;
    s->state = VALUE;
}

/* One byte outside a value. */
static void scan_byte(struct header_scanner *s, char c) {
    bool is_blank = c == ' ' || c == '\t';
    bool is_start = s->state == FIRST_LINE || s->state == LINE_START;
    if (is_start && is_name_byte(c)) {
        s->name_len = 0;
        s->state = NAME;
        name_add(s, c);
    } else if (s->state == LINE_START && is_blank) {
        s->state = VALUE;
    } else if (s->state == NAME && is_name_byte(c)) {
        name_add(s, c);
    } else if (!is_start && c == ':') {
        name_end(s);
    } else if (!is_start && is_blank) {
        s->state = NAME_BLANK;
    } else {
        s->is_over = true;
    }
}

void header_scan(struct header_scanner *s, const char *at, size_t len) {
    const char *end = at + len;
    while (at < end && !s->is_over) {
        if (s->state == VALUE) {
            const char *lf = memchr(at, '\n', (size_t)(end - at));
            if (lf == NULL)
                return;
            s->state = LINE_START;
            at = lf + 1;
        } else {
            scan_byte(s, *at++);
        }
    }
}

void header_extent_feed(struct header_extent *e, const char *at, size_t len) {
    const char *end = at + len;
    while (at < end && !e->is_over) {
        if (!e->is_in_line && *at == '\r') {
            e->is_over = true;
            return;
        }
        if (!e->is_in_line && *at != ' ' && *at != '\t')
            e->fields++;
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf != NULL ? lf + 1 : end;
        e->size += (uint64_t)(stop - at);
        e->is_in_line = lf == NULL;
        at = stop;
    }
}

/* ---- writing */

/* A name in a from or by clause: what is no atom, dot or literal is replaced; some of it ends a clause or comment. */
static char clean_name(char c) {
    return c <= 32 || c > 126 || strchr("()<>@,;\\\"", c) != NULL ? '?' : c;
}

/* Text that its maker has already checked: an address keeps its quotes and its UTF-8. */
static char clean_text(char c) {
    return (unsigned char)c < 32 || c == 127 ? '?' : c;
}

/* `*error` is the first one; after it nothing is added. */
static void put(struct buf *out, int *error, struct str text, char clean(char)) {
    char *to = NULL;
    if (*error == 0)
        *error = buf_put(out, text.at, text.len);
    if (*error == 0)
        to = out->at + out->len - text.len;
    for (size_t i = 0; to != NULL && i < text.len; i++)
        to[i] = clean(to[i]);
}

static void put_literal(struct buf *out, int *error, const char *text) {
    if (*error == 0)
        *error = buf_puts(out, str_of(text));
}

/* Address-literal of RFC 5321 4.1.3; a client without address is "[unknown]". */
static void put_client(struct buf *out, int *error, const struct ip *client) {
    char text[IP_TEXT_MAX];
    put_literal(out, error, client->family == IP_V6 ? " [IPv6:" : " [");
    put_literal(out, error, ip_format(client, text));
    put_literal(out, error, "])");
}

static void put_tls(struct buf *out, int *error, const struct header_received *r) {
    if (r->tls_version == NULL || r->tls_version[0] == '\0')
        return;
    put_literal(out, error, "\r\n\t(using ");
    put(out, error, str_of(r->tls_version), clean_name);
    put_literal(out, error, " with cipher ");
    put(out, error, str_of(r->tls_cipher), clean_name);
    put_literal(out, error, ")");
}

int header_received_format(const struct header_received *r, struct buf *out) {
    uint32_t before = out->len;
    int error = 0;
    put_literal(out, &error, "Received: from ");
    put(out, &error, r->helo.len > 0 ? r->helo : STR("unknown"), clean_name);
    put_literal(out, &error, " (");
    put(out, &error, r->client_name.len > 0 ? r->client_name : STR("unknown"), clean_name);
    put_client(out, &error, &r->client);
    put_tls(out, &error, r);
    put_literal(out, &error, "\r\n\tby ");
    put(out, &error, r->by, clean_name);
    put_literal(out, &error, " (Postern) with ");
    put(out, &error, str_of(r->protocol), clean_name);
    put_literal(out, &error, " id ");
    put(out, &error, r->id, clean_name);
    if (r->recipient.len > 0) {
        put_literal(out, &error, "\r\n\tfor <");
        put(out, &error, r->recipient, clean_text);
        put_literal(out, &error, ">");
    }
    put_literal(out, &error, ";\r\n\t");
    put(out, &error, str_of(r->date), clean_text);
    put_literal(out, &error, "\r\n");
    if (error < 0)
        out->len = before;
    return error;
}
