/*
 * resolver_cache: answers of DNS, for as long as they say.
 *
 * It stands in front of libunbound, which has a cache too but cannot be asked for what it holds there without being
 * asked to go and find out. An answer that is known must be given even when there is no room for another question.
 *
 * Bounded in bytes. What is asked for again while it is held outlives what was asked for once: a flood of names that
 * nobody asks about twice (a client chooses them) pushes out one another, and not what all clients need.
 */
#pragma once

#include "net/dns_message.h"

struct resolver_cache;

/* Returns NULL: no memory. */
struct resolver_cache *resolver_cache_new(size_t bytes_max);
void resolver_cache_free(struct resolver_cache *cache);

/* An answer that holds at `now_ms`, with the seconds that it still lives as `ttl`. `name`: lower case, no final dot. */
bool resolver_cache_find(struct resolver_cache *cache, struct str name, enum dns_type type, uint64_t now_ms,
                         struct dns_answer *ret_answer);

/* Keeps what is known and has a lifetime: found, no data, no name. Does nothing where there is no memory. */
void resolver_cache_put(struct resolver_cache *cache, struct str name, enum dns_type type, uint64_t now_ms,
                        const struct dns_answer *answer);

size_t resolver_cache_bytes(const struct resolver_cache *cache);
