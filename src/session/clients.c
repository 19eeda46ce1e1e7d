/*
 * clients: counts by client, networks by rank.
 *
 * A network's *rank* is the number of its connections that may give way: all that are SILENT or WAITING, and its
 * NEWCOMERS past the first CLIENTS_SPARED. Networks of one rank stand in two lists, those with a SILENT connection
 * apart, in the order in which one of them last did something. So the victim stands at the head of a list of the
 * highest rank, and every operation is O(1): a connection changes its network's rank by one, and the search for the
 * next lower rank that is not empty takes back the steps that earlier connections went up.
 *
 * Connections of a network hang in a ring for each condition, in the order in which they came into it.
 *
 * The array of ranks grows when a connection enters, to the number of connections of its network, so that nothing that
 * happens later can fail.
 */
#include "session/clients.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { WITH_SILENT, WITHOUT_SILENT, RANK_LISTS, FIRST_RANKS = 16 };

struct client_network {
    struct key_node node; /* first; node.key is ip_network_key(), unless it is_ours and in no table */
    struct client_network *older, *newer; /* in the list of its rank */
    uint32_t connections;
    uint32_t rank;        /* 0: in no list */
    uint8_t list;         /* WITH_SILENT, WITHOUT_SILENT */
    bool is_ours;
    struct budget spool;  /* shared with the other networks */
    uint32_t n[CLIENTS_CONDITIONS];
    struct client_place rings[CLIENTS_CONDITIONS]; /* heads: .next came first, .prev last */
};

struct clients_rank {
    struct client_network *oldest[RANK_LISTS], *newest[RANK_LISTS];
};

int clients_init(struct clients *clients) {
    *clients = (struct clients){ .ranks = calloc(FIRST_RANKS, sizeof(struct clients_rank)), .n_ranks = FIRST_RANKS };
    clients_set_spool(clients, UINT64_MAX, UINT64_MAX);
    int r = clients->ranks == NULL ? -ENOMEM : key_table_init(&clients->clients);
    if (r == 0)
        r = key_table_init(&clients->own_clients);
    if (r == 0)
        r = key_table_init(&clients->networks);
    if (r < 0)
        clients_deinit(clients);
    return r;
}

void clients_set_spool(struct clients *clients, uint64_t max, uint64_t client_max) {
    clients->spool = (struct budget){ .max = max };
    clients->spool_client_max = client_max;
}

void clients_deinit(struct clients *clients) {
    key_table_deinit(&clients->clients);
    key_table_deinit(&clients->own_clients);
    key_table_deinit(&clients->networks);
    free(clients->ranks);
    *clients = (struct clients){ 0 };
}

/* ---- ranks */

static uint32_t rank_of(const struct client_network *network) {
    uint32_t newcomers = network->n[CLIENTS_NEWCOMER];
    return network->n[CLIENTS_SILENT] + network->n[CLIENTS_WAITING]
        + (newcomers > CLIENTS_SPARED ? newcomers - CLIENTS_SPARED : 0);
}

static bool is_rank_empty(const struct clients_rank *rank) {
    return rank->oldest[WITH_SILENT] == NULL && rank->oldest[WITHOUT_SILENT] == NULL;
}

static void unrank(struct clients *clients, struct client_network *network) {
    if (network->rank == 0)
        return;
    struct clients_rank *rank = &clients->ranks[network->rank];
    *(network->older != NULL ? &network->older->newer : &rank->oldest[network->list]) = network->newer;
    *(network->newer != NULL ? &network->newer->older : &rank->newest[network->list]) = network->older;
    network->rank = 0;
    while (clients->top > 0 && is_rank_empty(&clients->ranks[clients->top]))
        clients->top--;
}

/* Puts a network where it belongs by now, as the one that did something last. */
static void rank(struct clients *clients, struct client_network *network) {
    uint32_t number = rank_of(network);
    unrank(clients, network);
    if (number == 0)
        return;
    assert(number < clients->n_ranks);
    network->rank = number;
    network->list = network->n[CLIENTS_SILENT] > 0 ? WITH_SILENT : WITHOUT_SILENT;
    struct clients_rank *to = &clients->ranks[number];
    network->older = to->newest[network->list];
    network->newer = NULL;
    *(network->older != NULL ? &network->older->newer : &to->oldest[network->list]) = network;
    to->newest[network->list] = network;
    if (clients->top < number)
        clients->top = number;
}

/* Room for rank `number`. Returns 0 or -ENOMEM. */
static int grow_ranks(struct clients *clients, uint32_t number) {
    if (number < clients->n_ranks)
        return 0;
    struct clients_rank *wider = reallocarray(clients->ranks, clients->n_ranks * 2, sizeof(*wider));
    if (wider == NULL)
        return -ENOMEM;
    for (uint32_t i = clients->n_ranks; i < clients->n_ranks * 2; i++)
        wider[i] = (struct clients_rank){ 0 };
    clients->ranks = wider;
    clients->n_ranks *= 2;
    return 0;
}

/* ---- networks and clients */

static struct client_network *network_new(struct clients *clients, uint64_t key, bool is_ours) {
    struct client_network *network = calloc(1, sizeof(*network));
    if (network == NULL)
        return NULL;
    network->node.key = key;
    network->is_ours = is_ours;
    network->spool = (struct budget){ .whole = &clients->spool, .max = UINT64_MAX, .is_shared = true };
    for (int i = 0; i < CLIENTS_CONDITIONS; i++)
        network->rings[i].prev = network->rings[i].next = &network->rings[i];
    if (!is_ours)
        key_table_add(&clients->networks, &network->node);
    return network;
}

static void network_leave(struct clients *clients, struct client_network *network) {
    if (--network->connections > 0)
        return;
    assert(network->rank == 0);
    if (!network->is_ours)
        key_table_remove(&clients->networks, &network->node);
    free(network);
}

static struct client_network *network_enter(struct clients *clients, uint64_t key, bool is_ours) {
    struct client_network *network = is_ours ? NULL : (struct client_network *)key_table_find(&clients->networks, key);
    if (network == NULL)
        network = network_new(clients, key, is_ours);
    if (network == NULL)
        return NULL;
    network->connections++;
    if (grow_ranks(clients, network->connections) == 0)
        return network;
    network_leave(clients, network);
    return NULL;
}

static struct key_table *table_of(struct clients *clients, bool is_ours) {
    return is_ours ? &clients->own_clients : &clients->clients;
}

static struct client *client_enter(struct clients *clients, uint64_t key, struct client_network *network) {
    struct key_table *table = table_of(clients, network->is_ours);
    struct client *client = (struct client *)key_table_find(table, key);
    if (client == NULL) {
        client = calloc(1, sizeof(*client));
        if (client == NULL)
            return NULL;
        client->node.key = key;
        client->spool = (struct budget){ .whole = network->is_ours ? &clients->spool : &network->spool,
                                         .max = clients->spool_client_max };
        key_table_add(table, &client->node);
    }
    client->connections++;
    return client;
}

int clients_enter(struct clients *clients, const struct ip *ip, bool is_ours, struct client_place *place) {
    struct client_network *network = network_enter(clients, ip_network_key(ip), is_ours);
    if (network == NULL)
        return -ENOMEM;
    struct client *client = client_enter(clients, ip_client_key(ip), network);
    if (client == NULL) {
        network_leave(clients, network);
        return -ENOMEM;
    }
    *place = (struct client_place){ .client = client, .network = network, .condition = CLIENTS_NONE };
    return 0;
}

uint32_t clients_of_network(const struct client_place *place) {
    return place->network->connections;
}

/* ---- conditions */

static void leave_ring(struct client_place *place) {
    if (place->condition == CLIENTS_NONE)
        return;
    place->network->n[place->condition]--;
    place->prev->next = place->next;
    place->next->prev = place->prev;
    place->condition = CLIENTS_NONE;
}

static void change(struct clients *clients, struct client_place *place, enum clients_condition condition) {
    struct client_network *network = place->network;
    leave_ring(place);
    struct client_place *head = &network->rings[condition];
    place->prev = head->prev;
    place->next = head;
    head->prev->next = place;
    head->prev = place;
    place->condition = (uint8_t)condition;
    network->n[condition]++;
    rank(clients, network);
}

void clients_leave(struct clients *clients, struct client_place *place) {
    struct client *client = place->client;
    if (client == NULL)
        return;
    leave_ring(place);
    rank(clients, place->network);
    if (--client->connections == 0) {
        assert(client->spool.used == 0);
        key_table_remove(table_of(clients, place->network->is_ours), &client->node);
        free(client);
    }
    network_leave(clients, place->network);
    *place = (struct client_place){ 0 };
}

void clients_touch(struct clients *clients, struct client_place *place) {
    change(clients, place, CLIENTS_SILENT);
}

void clients_excuse(struct clients *clients, struct client_place *place) {
    if (place->condition != CLIENTS_HELD)
        change(clients, place, CLIENTS_WAITING);
}

void clients_spare(struct clients *clients, struct client_place *place) {
    change(clients, place, CLIENTS_NEWCOMER);
}

void clients_hold(struct clients *clients, struct client_place *place) {
    change(clients, place, CLIENTS_HELD);
}

/* ---- who gives way */

struct client_place *clients_victim(const struct clients *clients) {
    if (clients->top == 0)
        return NULL;
    const struct clients_rank *rank = &clients->ranks[clients->top];
    struct client_network *network = rank->oldest[WITH_SILENT];
    if (network == NULL)
        network = rank->oldest[WITHOUT_SILENT];
    if (network->n[CLIENTS_SILENT] > 0)
        return network->rings[CLIENTS_SILENT].next;
    return network->rings[network->n[CLIENTS_WAITING] > 0 ? CLIENTS_WAITING : CLIENTS_NEWCOMER].prev;
}
