/*
 * addresses: all addresses of a name, of both families at once: for a HELO name that should lead to its client, and a
 * domain without MX.
 */
#pragma once

#include "net/resolver.h"

struct addresses_result {
    bool is_unavailable; /* no address was found, and one of the two questions was not answered */
    bool is_found;       /* at least one */
    bool holds;          /* the client's address is among them */
    bool may_hold;       /* nobody knows: a question was not answered, or there were more addresses than are read */
};

struct addresses_lookup;
typedef void addresses_fn(void *arg, const struct addresses_result *result);

/* `client`: whose name it is. `done` comes once, in a later turn, unless cancelled. NULL: no memory. */
struct addresses_lookup *addresses_start(struct resolver *resolver, const struct ip *client, struct str name,
                                         uint64_t timeout_ms, addresses_fn *done, void *arg);
/* Accepts NULL; not after `done`, which frees it. */
void addresses_cancel(struct addresses_lookup *take_lookup);
