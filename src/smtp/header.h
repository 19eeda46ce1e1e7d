/*
 * header: what a gateway reads from and writes in front of a message.
 *
 * The scanner looks at the canonical header as it streams by, in any slices, and counts; it keeps one field name at
 * most.
 */
#pragma once

#include "base/addr.h"
#include "base/buf.h"

enum { HEADER_RECEIVED_MAX = 100 }; /* RFC 5321 6.3 */

struct header_scanner {
    uint8_t state;
    uint8_t name_len;       /* saturates one past the room in `name` */
    char name[16];          /* start of the field name being read, lower case */
    uint32_t received;      /* Received fields so far */
    bool is_over;           /* the empty line was met, or a line that is no header field */
};

void header_scanner_init(struct header_scanner *s);
void header_scan(struct header_scanner *s, const char *at, size_t len);

/*
 * How much header there is for whoever has to walk through it: all that stands in front of the first empty line, or of
 * the end, and its lines that do not begin with a blank, fields or not. Canonical text, in any slices. All-zero is the
 * start.
 */
struct header_extent {
    uint64_t size;   /* bytes, without the empty line */
    uint64_t fields;
    bool is_in_line;
    bool is_over;    /* the empty line was met */
};

void header_extent_feed(struct header_extent *e, const char *at, size_t len);

/* One Received field, RFC 5321 4.4. */
struct header_received {
    struct str helo;         /* as given; "" */
    struct str client_name;  /* the PTR name, or empty: "unknown" */
    struct ip client;
    struct str by;           /* our host name */
    const char *protocol;    /* "SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS" (RFC 3848, 6531) */
    const char *tls_version; /* "" without TLS */
    const char *tls_cipher;
    struct str id;
    struct str recipient;    /* without <>; empty when there are several */
    const char *date;        /* RFC 5322 */
};

/*
 * Appends the folded field, ending in CRLF. Bytes that could break the syntax (control characters anywhere; specials,
 * blanks and bytes above 126 in names) are replaced by '?'. Returns 0, -ENOBUFS or -ENOMEM; after an error `out` is as
 * it was.
 */
int header_received_format(const struct header_received *r, struct buf *out);
