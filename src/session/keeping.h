/*
 * keeping: what becomes of a message for those of its recipients who do not get it.
 *
 * It is put into the quarantine, pending, before anything goes to the mailbox server, and becomes final or goes again
 * with what the server says (design.md section 7). A delivery that outlives its session takes what is kept beside it
 * along: keeping_orphan() ends that.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>

struct session;
struct server;

/* True: on_kept() follows; false: there is no quarantine, or no memory. */
bool keeping_start(struct session *s);

/* delivery.c's, the end of keeping_start(). */
void on_kept(struct session *s, bool is_kept);

/* How the transaction ended for the others: it stays, or goes away again. */
void keeping_end(struct session *s, bool is_final);

/* The transaction ends, by whatever; what nobody has decided about goes, or waits for the delivery that goes on. */
void keeping_leave(struct session *s);

/* A delivery without a session has ended: `id` is that of the session it had. */
void keeping_orphan(struct server *server, struct str id, bool is_delivered);

/* At the worker's end, when no delivery goes on any more: what still waits is left pending, and will be shown. */
void keeping_forget(struct server *server);
