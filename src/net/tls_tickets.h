/*
 * tls_tickets: the keys under which server sessions are kept by the clients, as tickets (RFC 5077, RFC 8446 4.6.1).
 *
 * One set of keys for all contexts of a server, drawn before the workers are forked, so that any worker resumes what
 * another began. They change once a day in every process alike, without a word between them; what the last day's keys
 * made is still taken, and made anew.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdint.h>

struct tls_tickets;

/* Draws the first keys. Returns 0 or -errno. */
int tls_tickets_new(struct tls_tickets **ret_tickets);
/* Wipes them. Accepts NULL. No context that uses them may be used any more. */
void tls_tickets_free(struct tls_tickets *take_tickets);

/* From now on `tls` takes its keys from there. `tickets` outlives it. Returns 0 or -ENOMEM. */
int tls_tickets_use(struct tls_tickets *tickets, SSL_CTX *tls);

/*
 * Turns the keys of the server `tls` as far as the time of clock_ms(), and wipes older ones. Each handshake does so
 * itself; for a process that has none, and forks others. Does nothing to a context without tickets.
 */
void tls_tickets_turn(SSL_CTX *tls, uint64_t now_ms);
