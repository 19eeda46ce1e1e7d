/*
 * hand_on: a command hands a message to the mailbox servers, as the daemon would, and waits for the answer.
 */
#pragma once

#include "base/spool.h"
#include "conf/conf.h"

struct hand_on_message {
    struct str sender;              /* without <>; "" */
    const struct str *recipients;   /* without <>: whose domain says which servers they have, */
    const struct str *addresses;    /* and what these are told of each */
    size_t n_recipients;
    struct str head;                /* fields in front, canonical */
    struct spool *spool;            /* canonical text */
    struct str id;                  /* for the servers' logs */
    struct ip client;               /* who sent it, for XFORWARD; family IP_NONE: nobody */
    struct str helo;
    bool is_8bit, is_utf8;
};

enum hand_on_result {
    HAND_ON_DONE,     /* every server said 250 for every recipient */
    HAND_ON_PARTLY,   /* for some of them */
    HAND_ON_REFUSED,  /* for none: 5xx */
    HAND_ON_DEFERRED, /* for none: 4xx, or the server is away */
    HAND_ON_UNKNOWN,  /* the connection broke behind the final dot: it may have arrived */
};

/* The domain of ours that this recipient is in: the first one for `postmaster` alone (RFC 5321 4.5.1). NULL: none. */
const struct conf_domain *hand_on_domain(const struct conf *conf, struct str recipient);

/* `said` gets a line for each recipient or server that did not take it. Returns an enum hand_on_result or -errno. */
int hand_on(const struct conf *conf, const struct hand_on_message *message, struct buf *said);
