/*
 * sender: can mail be sent back to the sender's domain?
 *
 * MX first; without MX records its addresses count (RFC 5321 5.1). A single MX that is the root says that the domain
 * takes, and so sends, no mail (RFC 7505). The address literal of a sender resolves by itself.
 */
#pragma once

#include "net/resolver.h"

struct sender_result {
    bool is_unavailable; /* nothing is known */
    bool resolves;       /* true with null_mx too: the domain exists */
    bool null_mx;
};

struct sender_lookup;
typedef void sender_fn(void *arg, const struct sender_result *result);

/* `client`: whose sender it is. `done` comes once, in a later turn, unless cancelled. NULL: no memory. */
struct sender_lookup *sender_start(struct resolver *resolver, const struct ip *client, struct str domain,
                                   uint64_t timeout_ms, sender_fn *done, void *arg);
/* Accepts NULL; not after `done`, which frees it. */
void sender_cancel(struct sender_lookup *take_lookup);
