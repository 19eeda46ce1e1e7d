/*
 * address: mailboxes and paths of RFC 5321 4.1.2, with UTF-8 by RFC 6531 where it is allowed.
 *
 * Views into the text that was parsed. The local part stands as written (quotes and escapes included) beside its
 * meaning: "a\ b"@x and "a b"@x are one mailbox, so lookups use smtp_local_canonical(). Source routes are parsed and
 * dropped (RFC 5321 appendix C). Outputs are untouched unless the result is OK (0).
 */
#pragma once

#include "base/addr.h"
#include "base/buf.h"

/* RFC 5321 4.5.3.1.1 to 4.5.3.1.3; the path counts with < and > and its source route. */
enum { SMTP_LOCAL_MAX = 64, SMTP_DOMAIN_MAX = 255, SMTP_PATH_MAX = 256 };

struct smtp_address {
    struct str text;   /* local@domain as written, without <> and source route; empty for the null path */
    struct str local;  /* as written */
    struct str domain; /* as written, without the @; empty for <> and <postmaster>; "[192.0.2.1]" for a literal */
    bool is_quoted;    /* local is a quoted-string */
    bool is_literal;   /* domain is an address literal */
    bool is_utf8;      /* has bytes above 127 */
};

enum smtp_address_result {
    SMTP_ADDRESS_OK,
    SMTP_ADDRESS_SYNTAX,   /* 501 5.1.3 (recipient), 5.1.7 (sender) */
    SMTP_ADDRESS_TOO_LONG, /* local part > 64, domain > 255, path > 256: 501 5.1.3 / 5.1.7 */
    SMTP_ADDRESS_UTF8,     /* UTF-8 without SMTPUTF8, 553 5.6.7; or bytes that are not valid UTF-8 */
};

/*
 * Parses a path at the start of `*rest` ("<" … ">") and moves `*rest` behind it. allow_null: "<>" is fine (MAIL).
 * allow_postmaster: "<postmaster>" without domain is fine (RCPT). An address without <> is a syntax error (RFC 5321
 * 4.1.1.2).
 */
enum smtp_address_result smtp_path_parse(struct str *rest, bool allow_null, bool allow_postmaster, bool allow_utf8,
                                         struct smtp_address *ret_address);

/* Parses all of `text` as local@domain (directories, command line). */
enum smtp_address_result smtp_address_parse(struct str text, bool allow_utf8, struct smtp_address *ret_address);

/*
 * Parses all of `text` as a domain name (letters, digits, hyphens, underscores; labels 1-63; no final dot) or, with
 * allow_literal, an address literal.
 */
enum smtp_address_result smtp_domain_parse(struct str text, bool allow_literal, bool allow_utf8);

/* Parses "[192.0.2.1]" or "[IPv6:2001:db8::1]". Returns 0 or -EINVAL. */
int smtp_literal_parse(struct str text, struct ip *ret_ip);

/*
 * The local part as lookups compare it: quotes and escapes resolved, ASCII letters in lower case, UTF-8 bytes
 * unchanged. Returns its length (<= local.len), written to `out`. `address` comes from one of the parsers above.
 */
size_t smtp_local_canonical(const struct smtp_address *address, char out[SMTP_LOCAL_MAX]);

/*
 * The canonical local part without its sub-address: "user+detail" and '+' give "user". Nothing is cut when it starts
 * with a delimiter. delimiters: any of these bytes; "" for none.
 */
struct str smtp_local_without_detail(struct str canonical, const char *delimiters);

/* True when all of `text` is UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool smtp_utf8_is_valid(struct str text);

/*
 * RFC 3461 4 xtext. Encoding: bytes outside 33..126 and '+', '=' become +XX. Output needs at most 3 x the input to
 * encode, 1 x to decode. Return 0, -EINVAL (decoding only), -ENOBUFS or -ENOMEM; after an error `out` is as it was.
 */
int xtext_encode(struct str text, struct buf *out);
int xtext_decode(struct str text, struct buf *out);
bool xtext_is_valid(struct str text);
