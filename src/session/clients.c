/*
 * clients: counts by client and the order of silence.
 *
 * A chained hash table that doubles when it is full, keyed with the process's own hash so that no one can choose
 * addresses that collide, and a ring of connections in the order of their last sign of life. Every operation is O(1),
 * the choice of a victim O(CLIENTS_VICTIMS).
 *
 * Rejected: a heap of clients by number of connections (the limit would first hit large honest senders, who are never
 * silent long), and closing the new connection at the limit (the stalled clients would keep everyone else out: what
 * this module exists to prevent).
 */
#include "session/clients.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 256 };

int clients_init(struct clients *clients) {
    struct client **buckets = calloc(FIRST_BUCKETS, sizeof(*buckets));
    if (buckets == NULL)
        return -ENOMEM;
    *clients = (struct clients){ .buckets = buckets, .n_buckets = FIRST_BUCKETS };
    clients->order.prev = clients->order.next = &clients->order;
    return 0;
}

void clients_deinit(struct clients *clients) {
    for (size_t i = 0; i < clients->n_buckets; i++) {
        while (clients->buckets[i] != NULL) {
            struct client *client = clients->buckets[i];
            clients->buckets[i] = client->next;
            free(client);
        }
    }
    free(clients->buckets);
    *clients = (struct clients){ 0 };
}

static struct client **bucket_of(const struct clients *clients, uint64_t key) {
    return &clients->buckets[hash_u64(key) & (clients->n_buckets - 1)];
}

/* Doubles the table. When there is no memory for it, the chains just grow longer. */
static void grow(struct clients *clients) {
    struct clients wider = { .n_buckets = clients->n_buckets * 2 };
    wider.buckets = calloc(wider.n_buckets, sizeof(*wider.buckets));
    if (wider.buckets == NULL)
        return;
    for (size_t i = 0; i < clients->n_buckets; i++) {
        while (clients->buckets[i] != NULL) {
            struct client *client = clients->buckets[i];
            clients->buckets[i] = client->next;
            struct client **to = bucket_of(&wider, client->key);
            client->next = *to;
            *to = client;
        }
    }
    free(clients->buckets);
    clients->buckets = wider.buckets;
    clients->n_buckets = wider.n_buckets;
}

int clients_enter(struct clients *clients, uint64_t key, struct silence *member) {
    struct client *client = *bucket_of(clients, key);
    while (client != NULL && client->key != key)
        client = client->next;
    if (client == NULL) {
        if (clients->n_clients >= clients->n_buckets)
            grow(clients);
        client = malloc(sizeof(*client));
        if (client == NULL)
            return -ENOMEM;
        struct client **bucket = bucket_of(clients, key);
        *client = (struct client){ .next = *bucket, .key = key };
        *bucket = client;
        clients->n_clients++;
    }
    client->connections++;
    member->client = client;
    return 0;
}

static void forget(struct clients *clients, struct client *client) {
    struct client **at = bucket_of(clients, client->key);
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    clients->n_clients--;
    free(client);
}

void clients_leave(struct clients *clients, struct silence *member) {
    clients_excuse(member);
    struct client *client = member->client;
    member->client = NULL;
    if (client != NULL && --client->connections == 0)
        forget(clients, client);
}

void clients_touch(struct clients *clients, struct silence *member) {
    clients_excuse(member);
    struct silence *last = clients->order.prev;
    *member = (struct silence){ .prev = last, .next = &clients->order, .client = member->client };
    last->next = member;
    clients->order.prev = member;
}

void clients_excuse(struct silence *member) {
    if (member->next == NULL)
        return;
    member->prev->next = member->next;
    member->next->prev = member->prev;
    member->prev = member->next = NULL;
}

struct silence *clients_victim(struct clients *clients) {
    struct silence *victim = NULL;
    uint32_t most = 0;
    struct silence *member = clients->order.next;
    for (int i = 0; i < CLIENTS_VICTIMS && member != &clients->order; i++, member = member->next) {
        uint32_t connections = member->client != NULL ? member->client->connections : 1;
        if (connections > most) {
            most = connections;
            victim = member;
        }
    }
    return victim;
}
