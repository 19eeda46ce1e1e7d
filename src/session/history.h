/*
 * history: which clients have sent mail through here lately?
 *
 * A client that passed once is spared the greeting delay for a while. The master makes the table before the first
 * worker and keeps it as long as it runs: shared memory, so that what is known outlives a worker and a reload. It is
 * lost when the program ends, which costs each client one delay.
 *
 * "Client" is an IPv4 address or an IPv6 /64 (ip_client_key()). Time is that of the loop (clock_ms()), the same for all
 * processes of a host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { HISTORY_CLIENTS_MAX = 1 << 18, HISTORY_BUCKET = 8 }; /* 2 MiB, of which only what is used takes memory */

struct history;

/* Before fork(), and after hash_init(): the workers must inherit both. Returns 0 or -errno. */
int history_new(struct history **ret_history);

/* Accepts NULL. */
void history_free(struct history *take_history);

/* The client passed. Of HISTORY_BUCKET clients that share a place the one that passed longest ago gives way. */
void history_note(struct history *history, uint64_t client, uint64_t now_ms);

/* Whether it passed within `age_ms`. */
bool history_knows(const struct history *history, uint64_t client, uint64_t age_ms, uint64_t now_ms);
