/*
 * entry: what a file of the quarantine says of the message behind it.
 *
 * A block of lines that a person reads, an empty line, and the message as it came, without our fields:
 *
 *     postern quarantine 1
 *     id: d23r28hv000400.2
 *     time: 2026-11-27T20:48:46.123Z
 *     host: mx.example.com
 *     client: 203.0.113.7
 *     helo: mail.example.net
 *     sender: someone@example.net          empty: the null sender
 *     recipient: anna@example.com          one line each, and behind it, where the configuration has rewritten it,
 *     as: a.smith@example.com              what the mailbox server is told
 *     kind: spam
 *     rule: SPAM
 *     action: reject                       what the rule said: reject, for somebody while others get it, or quarantine
 *     details: 7.2 of 5, BAYES_99,HTML_MESSAGE
 *     mail: 8bit smtputf8                  what its envelope said; left out: neither
 *
 * '%' and control characters are written as %XX. Pure: bytes in, values out.
 *
 * A file was written by a worker, which may have been taken over, and what it says ends in commands to the mailbox
 * server, in mail and on terminals. So it is read as hostile input: each field is parsed again as what it is, and
 * control characters in those that are free text become '?'.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

enum { QUARANTINE_HEAD_MAX = 1 << 20, QUARANTINE_RECIPIENTS_MAX = 50000 };

struct quarantine_entry {
    struct str id, time, host, client, helo, sender, kind, rule, action, details;
    const struct str *recipients; /* as their sender wrote them */
    const struct str *addresses;  /* what the mailbox server is told of each: the same, or rewritten */
    size_t n_recipients;
    bool is_8bit, is_utf8;
    const char *malformed; /* of one that is refused: the field at fault, where it is one; else NULL */
};

/* Returns 0, -ENOBUFS (also: more than QUARANTINE_RECIPIENTS_MAX) or -ENOMEM. */
int quarantine_entry_format(const struct quarantine_entry *entry, struct buf *out);

/*
 * Reads the block at the front of `text`; what is unescaped goes into `arena`. *ret_len is its length, the empty line
 * included. Returns 0, -EAGAIN (it is not whole), -EBADMSG (it is none, of a newer version, or malformed: then only
 * ret_entry->malformed is set) or -ENOMEM.
 */
int quarantine_entry_parse(struct str text, struct arena *arena, struct quarantine_entry *ret_entry, size_t *ret_len);
