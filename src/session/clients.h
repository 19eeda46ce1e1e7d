/*
 * clients: who is connected to this worker, how often, from which network, and who gives way to a newcomer?
 *
 * The kernel steers all connections of one client to one worker (net/listen.h), so counts here are the whole truth
 * about a client, without shared memory. "Client" is an IPv4 address or an IPv6 /64 (ip_client_key()); its network is
 * the IPv4 /24 or the IPv6 /48 (ip_network_key()).
 *
 * Every connection stands in one of four conditions:
 *
 *   SILENT     it is the client's turn. Silence counts from the last whole command or block of data: a peer that drips
 *              single bytes grows old like one that sends nothing
 *   WAITING    the client waits for us: facts, scanners, the mailbox server's answer
 *   NEWCOMER   it waits for the greeting (greeting_delay)
 *   HELD       its final dot is with the mailbox server: to end it now would make a duplicate
 *
 * Connections of our own (relay_clients, balancers that speak for nobody yet) count as a network of one each.
 * docs/decisions/0003 says why who gives way, and what was rejected.
 */
#pragma once

#include "base/addr.h"
#include "base/budget.h"
#include "base/key_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum clients_condition {
    CLIENTS_NONE, /* it has entered and waits to be let in */
    CLIENTS_SILENT,
    CLIENTS_WAITING,
    CLIENTS_NEWCOMER,
    CLIENTS_HELD,
    CLIENTS_CONDITIONS,
};

/* Newcomers of one network that never give way. */
enum { CLIENTS_SPARED = 1 };

struct client_network;

struct client { /* one a client, while it is connected */
    struct key_node node; /* first; node.key is ip_client_key() */
    uint32_t connections;
    struct budget spool;  /* what its messages hold: part of its network's, or one of ours of the whole */
};

struct client_place { /* embedded in a session */
    struct client_place *prev, *next; /* among those of its network in the same condition */
    struct client *client;            /* NULL: it has not entered */
    struct client_network *network;
    uint8_t condition;                /* enum clients_condition */
};

struct clients_rank; /* networks with the same number of connections that may give way */

struct clients {
    struct key_table clients, own_clients, networks;
    struct clients_rank *ranks;
    uint32_t n_ranks;
    uint32_t top; /* the highest rank that holds a network; 0: none does */
    struct budget spool;       /* of all clients: what their messages hold */
    uint64_t spool_client_max;
};

/* Returns 0 or -ENOMEM. */
int clients_init(struct clients *clients);
/* All have left. */
void clients_deinit(struct clients *clients);

/*
 * Counts one more connection of a client, in no condition yet. `is_ours`: a network of one, whatever its address.
 * Returns 0 or -ENOMEM.
 */
int clients_enter(struct clients *clients, const struct ip *ip, bool is_ours, struct client_place *place);
/* Counts one less. A place that never entered is fine. */
void clients_leave(struct clients *clients, struct client_place *place);

/* What all messages may hold, and those of one client. Before the first one enters; until then there is no bound. */
void clients_set_spool(struct clients *clients, uint64_t max, uint64_t client_max);

/* Connections of the same network, this one included. */
uint32_t clients_of_network(const struct client_place *place);

/* SILENT from now on: the peer did something, or we answered it. */
void clients_touch(struct clients *clients, struct client_place *place);
/* WAITING, but a HELD one stays that until it is touched. */
void clients_excuse(struct clients *clients, struct client_place *place);
/* NEWCOMER, until it is touched. */
void clients_spare(struct clients *clients, struct client_place *place);
/* HELD, until it is touched. */
void clients_hold(struct clients *clients, struct client_place *place);

/*
 * Who gives way at the connection limit: one of the network with most connections that may; among equals, of one that
 * has a SILENT one; among these, of the one that did something longest ago. Of that network it is the one SILENT
 * longest, else the one WAITING since last, which loses least, else the last NEWCOMER. NULL: nobody may give way. O(1).
 */
struct client_place *clients_victim(const struct clients *clients);
