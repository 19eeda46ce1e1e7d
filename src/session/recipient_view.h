/*
 * recipient_view: what configuration and directory say about a recipient, for both doors (builtin.c).
 */
#pragma once

#include "session/decision.h"
#include "smtp/address.h"

struct route {
    const struct conf_group *group;
    struct str address; /* what the mailbox server is told: as written, or where the configuration rewrites it to */
};

/* What the configuration and the directory say about a recipient. */
struct recipient_view {
    struct route route;
    enum known known;
    bool is_local;    /* its domain is one of ours */
    bool may_relay;   /* not ours, but this client may send anywhere */
    bool is_enforced; /* no `enforce no` for its domain */
    bool is_route;    /* of ours, but a mailbox server could send it on: no client may relay by it */
    bool is_stale;    /* not in the directory, which is too old to be believed */
};

/* Asks nothing but tables and the clock. */
void recipient_look(const struct server *server, const struct ip *client, const struct smtp_address *address,
                    struct recipient_view *ret_view);

/* postmaster@ or abuse@ (RFC 2142 2, 4), whatever the domain. */
bool recipient_is_postmaster(const struct smtp_address *address);
