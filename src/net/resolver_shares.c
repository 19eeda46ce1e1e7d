/*
 * resolver_shares: see the header for the rule. Networks and domains that have a question under way are *holders* in
 * one hash table, each with its count; one whose count falls to 0 is gone. There are at most two for each question, so
 * the places are made at the start and nothing is allocated later.
 *
 * A holder is known by a hash under the process's secret key, so nobody can choose whose count he adds to.
 *
 * Rejected: a fixed share for each network (sixteen networks fill everything); one in proportion to what is left (80
 * networks that come one after another do, the square holds against 300); a queue that serves networks in turn
 * (what is slow cannot be taken back from libunbound, so the queue would stand still behind it, and who waits there
 * would learn at his deadline what he can be told at once).
 */
#include "net/resolver_shares.h"

#include "base/hash.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SHARE = 8,       /* of an empty room */
    OWN_SHARE = 16,  /* of all */
    PREFIX_V4 = 3,   /* bytes */
    PREFIX_V6 = 8,
    LABELS_V4 = 5,   /* 113.0.203.in-addr.arpa */
    LABELS_V6 = 14,  /* /48 */
    DOMAIN = N_RESOLVER_PURPOSES, /* in a holder's hash: it is a domain */
};

struct holder {
    uint64_t hash;
    uint32_t n;    /* questions; 0: the place is free */
    uint32_t next; /* in its bucket, or in the list of free places; 0: none */
};

struct resolver_shares {
    unsigned max, n_own, n_clients;
    uint32_t free;
    uint32_t bucket_mask;
    uint32_t *buckets;
    struct holder *holders; /* [0] is not used: 0 says none */
};

/* ---- holders */

struct resolver_shares *resolver_shares_new(unsigned max) {
    struct resolver_shares *shares = calloc(1, sizeof(*shares));
    uint32_t n_holders = 2 * max, n_buckets = 1;
    while (n_buckets < n_holders)
        n_buckets *= 2;
    if (shares == NULL)
        return NULL;
    shares->max = max;
    shares->bucket_mask = n_buckets - 1;
    shares->buckets = calloc(n_buckets, sizeof(*shares->buckets));
    shares->holders = calloc(n_holders + 1, sizeof(*shares->holders));
    if (shares->buckets == NULL || shares->holders == NULL) {
        resolver_shares_free(shares);
        return NULL;
    }
    for (uint32_t i = 1; i < n_holders; i++)
        shares->holders[i].next = i + 1;
    shares->free = 1;
    return shares;
}

void resolver_shares_free(struct resolver_shares *shares) {
    if (shares == NULL)
        return;
    free(shares->buckets);
    free(shares->holders);
    free(shares);
}

static uint32_t *bucket_of(struct resolver_shares *shares, uint64_t hash) {
    return &shares->buckets[hash & shares->bucket_mask];
}

/* The place of who has this hash; 0: it has no question under way. */
static uint32_t holder_find(struct resolver_shares *shares, uint64_t hash) {
    uint32_t at = *bucket_of(shares, hash);
    while (at != 0 && shares->holders[at].hash != hash)
        at = shares->holders[at].next;
    return at;
}

static uint32_t holder_add(struct resolver_shares *shares, uint64_t hash) {
    uint32_t at = holder_find(shares, hash);
    if (at == 0) {
        uint32_t *bucket = bucket_of(shares, hash);
        at = shares->free;
        assert(at != 0); /* two places for each question that can be under way */
        shares->free = shares->holders[at].next;
        shares->holders[at] = (struct holder){ .hash = hash, .next = *bucket };
        *bucket = at;
    }
    shares->holders[at].n++;
    return at;
}

static void holder_drop(struct resolver_shares *shares, uint32_t at) {
    struct holder *holder = &shares->holders[at];
    assert(holder->n > 0);
    if (--holder->n > 0)
        return;
    uint32_t *link = bucket_of(shares, holder->hash);
    while (*link != at)
        link = &shares->holders[*link].next;
    *link = holder->next;
    holder->next = shares->free;
    shares->free = at;
}

/* ---- the rule */

static uint64_t network_hash(enum resolver_purpose purpose, const struct ip *client) {
    uint8_t key[2 + PREFIX_V6] = { (uint8_t)purpose, client->family };
    memcpy(key + 2, client->bytes, client->family == IP_V6 ? PREFIX_V6 : PREFIX_V4);
    return hash_bytes(key, sizeof(key));
}

static uint64_t domain_hash(struct str domain) {
    return hash_bytes(domain.at, domain.len) ^ DOMAIN;
}

static unsigned share_of(const struct resolver_shares *shares, unsigned left) {
    return (unsigned)((uint64_t)left * left / SHARE / shares->max);
}

static bool may_have_another(struct resolver_shares *shares, uint64_t hash, unsigned left) {
    uint32_t at = holder_find(shares, hash);
    return at == 0 || shares->holders[at].n < share_of(shares, left);
}

/* What clients may still have. */
static unsigned room_left(const struct resolver_shares *shares) {
    unsigned own = shares->max / OWN_SHARE;
    unsigned taken = shares->n_clients + (shares->n_own > own ? shares->n_own : own);
    return shares->max > taken ? shares->max - taken : 0;
}

enum resolver_grant resolver_shares_take(struct resolver_shares *shares, enum resolver_purpose purpose,
                                         const struct ip *client, struct str domain, struct resolver_claim *ret_claim) {
    *ret_claim = (struct resolver_claim){ 0 };
    if (purpose == RESOLVER_OWN) {
        if (resolver_shares_taken(shares) >= shares->max)
            return RESOLVER_FULL;
        shares->n_own++;
        *ret_claim = (struct resolver_claim){ .is_counted = true, .is_own = true };
        return RESOLVER_GRANTED;
    }
    unsigned left = room_left(shares);
    uint64_t network = network_hash(purpose, client), of_domain = domain_hash(domain);
    if (left == 0)
        return RESOLVER_FULL;
    if (!may_have_another(shares, network, left))
        return RESOLVER_NETWORK_FULL;
    if (!may_have_another(shares, of_domain, left))
        return RESOLVER_DOMAIN_FULL;
    shares->n_clients++;
    *ret_claim = (struct resolver_claim){ .network = holder_add(shares, network),
                                          .domain = holder_add(shares, of_domain), .is_counted = true };
    return RESOLVER_GRANTED;
}

void resolver_shares_give(struct resolver_shares *shares, struct resolver_claim *claim) {
    if (!claim->is_counted)
        return;
    if (claim->is_own) {
        shares->n_own--;
    } else {
        shares->n_clients--;
        holder_drop(shares, claim->network);
        holder_drop(shares, claim->domain);
    }
    *claim = (struct resolver_claim){ 0 };
}

unsigned resolver_shares_taken(const struct resolver_shares *shares) {
    return shares->n_own + shares->n_clients;
}

/* ---- names */

char *resolver_network_format(const struct ip *client, char out[RESOLVER_NETWORK_MAX]) {
    char text[IP_TEXT_MAX];
    struct ip network = { .family = client->family };
    size_t prefix = client->family == IP_V6 ? PREFIX_V6 : PREFIX_V4;
    memcpy(network.bytes, client->bytes, prefix);
    if (client->family == IP_NONE)
        snprintf(out, RESOLVER_NETWORK_MAX, "unknown");
    else
        snprintf(out, RESOLVER_NETWORK_MAX, "%s/%zu", ip_format(&network, text), 8 * prefix);
    return out;
}

/* The last `n` labels. */
static struct str last_labels(struct str name, unsigned n) {
    size_t from = name.len;
    while (from > 0 && (name.at[from - 1] != '.' || --n > 0))
        from--;
    return str_from(name, from);
}

struct str resolver_domain(struct str name, struct str (*organisation)(struct str name)) {
    if (str_ends_nocase(name, STR(".in-addr.arpa")))
        return last_labels(name, LABELS_V4);
    if (str_ends_nocase(name, STR(".ip6.arpa")))
        return last_labels(name, LABELS_V6);
    struct str of = organisation != NULL ? organisation(name) : (struct str){ 0 };
    return of.len > 0 ? of : last_labels(name, 2);
}
