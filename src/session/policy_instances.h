/*
 * policy_instances: the messages that a connection of the Postfix door asks about, and what is known of each.
 *
 * A connection keeps the last few of them. Owned by it; valid until it is asked for another.
 */
#pragma once

#include "session/session.h"
#include "smtp/policy_request.h"

enum { POLICY_INSTANCES_KEPT = 4 };

/* One message, while its recipients come. */
struct policy_instance {
    struct buf text;               /* its first request; empty: not in use */
    struct policy_request request; /* views of `text` */
    struct ip client;
    struct smtp_address sender;
    struct gather_memory *memory;
    uint32_t used;                 /* when: of two the higher one later */
};

struct policy_instances {
    struct policy_instance at[POLICY_INSTANCES_KEPT];
    uint32_t n_used;
};

/* The message that the request, whose bytes are `text`, belongs to; or a new one in the place of the one used longest
   ago. NULL: no memory. */
struct policy_instance *policy_instance_of(struct policy_instances *instances, const struct server *server,
                                           const struct policy_request *request, struct str text,
                                           const struct ip *client);

void policy_instances_deinit(struct policy_instances *instances);

/* An address as Postfix writes it: without <>, and without the quotes that a local part may need. */
struct smtp_address policy_address_of(struct str text);

/* False: "unknown", or nothing. */
bool policy_name_is_known(struct str name);
