/*
 * cidr: a set of prefixes, IPv4 and IPv6, asked whether it holds an address.
 *
 * Prefixes become disjoint sorted intervals (which prefix it was does not matter to a set), so a lookup is one step
 * into an index by the first 16 bits and a binary search among the few intervals that lie there.
 */
#pragma once

#include "base/addr.h"

struct cidr_set;

struct cidr_set *cidr_set_new(void);
void cidr_set_free(struct cidr_set *set);

/* While it is built. Returns 0 or -ENOMEM. */
int cidr_set_add(struct cidr_set *set, const struct cidr *prefix);
/* Ends building; nothing is found before. Returns 0 or -ENOMEM. */
int cidr_set_seal(struct cidr_set *set);

bool cidr_set_has(const struct cidr_set *set, const struct ip *ip);
