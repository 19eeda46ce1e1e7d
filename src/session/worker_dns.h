/*
 * worker_dns: a worker's resolver and its block lists: when it has them, what is logged of them, and their numbers for
 * `postern status`.
 */
#pragma once

#include "session/worker.h"

/*
 * *ret_resolver stays as it is where no rule may ask: a resolver takes memory and descriptors. `setup` must outlive it.
 * Returns 0 or -errno, logged.
 */
int worker_dns_start(struct loop *loop, const struct worker_setup *setup, struct resolver **ret_resolver);

/* *ret_dnsbl stays as it is without lists, or without a resolver (NULL). Returns 0 or -errno. */
int worker_dns_lists_start(struct loop *loop, const struct worker_setup *setup, struct resolver *resolver,
                           struct dnsbl **ret_dnsbl);
