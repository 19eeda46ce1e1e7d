/*
 * clients: who is connected to this worker, how often, and who has been silent longest.
 *
 * Steering brings all connections of one client to one worker (net/listen.h), so counts here are the whole truth
 * about a client, without shared memory. "Client" is an IPv4 address or an IPv6 /64 (ip_client_key()).
 *
 * The silence list holds every connection that the *peer* keeps waiting, the one silent longest first. A connection
 * leaves the list while we make the peer wait (a mailbox server's answer is out), so that it can never be chosen for
 * our own slowness. Silence counts from the last whole command or block of data: a peer that drips single bytes grows
 * old in the list like one that sends nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client { /* one a client, while it is connected */
    struct client *next; /* in its hash bucket */
    uint64_t key;
    uint32_t connections;
};

struct silence { /* embedded in a session */
    struct silence *prev, *next; /* NULL, NULL: not in the list */
    struct client *client;       /* NULL until the client is known (PROXY header still to come) */
};

struct clients {
    struct client **buckets;
    size_t n_buckets, n_clients;
    struct silence order; /* head of the ring: order.next is silent longest */
};

/* Returns 0 or -ENOMEM. */
int clients_init(struct clients *clients);
void clients_deinit(struct clients *clients);

/* Counts one more connection of a client. Returns 0 or -ENOMEM. */
int clients_enter(struct clients *clients, uint64_t key, struct silence *member);
/* Counts one less and leaves the silence list. A member that never entered is fine. */
void clients_leave(struct clients *clients, struct silence *member);

/* The peer did something (or we answered it): it goes to the end of the list, entering it if it was not there. */
void clients_touch(struct clients *clients, struct silence *member);
/* The peer waits for us. */
void clients_excuse(struct silence *member);

/*
 * Who gives way at the connection limit: among the CLIENTS_VICTIMS silent longest, the one whose client holds the
 * most connections; of those the one silent longest. Looking further down the list would let a busy large sender pay
 * for many quiet strangers. NULL when all are excused.
 */
enum { CLIENTS_VICTIMS = 64 };
struct silence *clients_victim(struct clients *clients);
