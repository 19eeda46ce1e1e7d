/*
 * mailbox: the mailbox server that transcripts are played against: on the test's own loop, obedient, or as its rules
 * say.
 *
 * A rule is "COMMAND PREFIX = REPLY" (RCPT TO:<full@example.com> = 452 4.2.2 Mailbox full). Replies: text, `drop`
 * (closes instead of answering), `hang` (says nothing). The final dot is the command "DOT", a chunk that is not the
 * last one "CHUNK", the greeting "CONNECT". Of rules that fit the newest counts.
 * Everything it is told is kept, line by line, as it stood on the wire.
 */
#pragma once

#include "base/addr.h"
#include "base/buf.h"
#include "net/loop.h"

struct mailbox;

/* Listens on a free loopback port. NULL: that failed. */
struct mailbox *mailbox_new(struct loop *loop);
void mailbox_free(struct mailbox *mailbox);
struct endpoint mailbox_endpoint(const struct mailbox *mailbox);

/* is_once: the rule is used up by the first command that it fits. */
void mailbox_rule(struct mailbox *mailbox, struct str prefix, struct str reply, bool is_once);
/* Obedient again. */
void mailbox_forget_rules(struct mailbox *mailbox);
/* The EHLO keywords it offers, blank-separated, '=' for a blank inside one ("SIZE=1000"). */
void mailbox_offers(struct mailbox *mailbox, struct str keywords);
/* Closes the connections it has. */
void mailbox_drop(struct mailbox *mailbox);
/* No longer listens, and drops. */
void mailbox_leave(struct mailbox *mailbox);

/* For whoever asks not what, but whether all of it was right. */
struct mailbox_counts {
    uint64_t messages; /* final dots and last chunks answered 2xx */
    uint64_t bare;     /* CR or LF that stood alone */
    uint64_t unknown;  /* commands that are none */
};
const struct mailbox_counts *mailbox_counts(const struct mailbox *mailbox);

/* What it was told so far; cut from the front by the test. */
struct buf *mailbox_heard(struct mailbox *mailbox);
