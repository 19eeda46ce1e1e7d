/*
 * resolver_shares: who may have a question under way.
 *
 * Questions are counted from the moment libunbound gets them until it calls back, whether or not anybody still waits
 * for the answer: until then they take its memory and its sockets. Each question of a client is counted in four places:
 * the client's network (the IPv4 /24, the IPv6 /64), there apart for block lists and for all else, the domain it asks
 * about, and all together. The rule, for the network and for the domain alike:
 *
 *     one that has no question under way may have one as long as there is room;
 *     one that has some may have another while it has fewer than its share, which is an eighth of all the room when
 *     that is empty, and shrinks with the square of what is left: a 32nd when it is half full, a 128th at
 *     three quarters.
 *
 * So a single network that only asks slow names stops at about a tenth (360 of 4096), and n of them that come one after
 * another, each taking all it may, leave more than 8 / (8 + n) of the room to who comes next. More than some 300 such
 * networks at once do fill it; those that stay are pushed back to a few questions each as theirs end. Nothing has to be
 * taken back from anybody, which libunbound could not do.
 *
 * A client chooses its names, and whether their servers answer; it does not choose the block lists. They are counted
 * apart so that nobody can make the lists go unasked about himself by filling his own share with slow names.
 *
 * Our own questions (probes of block lists) know no share, and a sixteenth of the room is theirs alone.
 */
#pragma once

#include "base/addr.h"

enum resolver_purpose {
    RESOLVER_FACT, /* about a name that the client chose, or its PTR */
    RESOLVER_LIST, /* to a block list about it */
    RESOLVER_OWN,  /* for ourselves; no client */
    N_RESOLVER_PURPOSES,
};

enum resolver_grant {
    RESOLVER_GRANTED,
    RESOLVER_NETWORK_FULL, /* the client's network has its share */
    RESOLVER_DOMAIN_FULL,  /* the domain has its share */
    RESOLVER_FULL,         /* there is no room at all */
    N_RESOLVER_GRANTS,
};

struct resolver_claim { /* what one question under way counts in; all-zero: nothing */
    uint32_t network, domain; /* places, from 1; 0: none */
    bool is_counted, is_own;
};

struct resolver_shares;

/* For `max` questions. Takes about 60 bytes for each. NULL: no memory. */
struct resolver_shares *resolver_shares_new(unsigned max);
void resolver_shares_free(struct resolver_shares *shares);

/* Counts a question about `domain` (any bytes, their case matters), or says why it may not be asked. */
enum resolver_grant resolver_shares_take(struct resolver_shares *shares, enum resolver_purpose purpose,
                                         const struct ip *client, struct str domain, struct resolver_claim *ret_claim);
void resolver_shares_give(struct resolver_shares *shares, struct resolver_claim *claim);

unsigned resolver_shares_taken(const struct resolver_shares *shares);

/* The network that counts as one client here, as text: "203.0.113.0/24". */
enum { RESOLVER_NETWORK_MAX = IP_TEXT_MAX + 4 };
char *resolver_network_format(const struct ip *client, char out[RESOLVER_NETWORK_MAX]);

/*
 * The part of a name that one party answers for: what `organisation` makes of it (NULL, or nothing: the last two
 * labels); of the name of an address its /24, or /48, as they are delegated. A view of `name`, which has no final dot.
 */
struct str resolver_domain(struct str name, struct str (*organisation)(struct str name));
