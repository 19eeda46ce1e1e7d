/*
 * resolver: DNS questions on the loop, answered by libunbound inside the process: cached, with CNAMEs followed and TCP
 * where an answer is cut off.
 *
 * One per worker, made after the fork and before the sandbox (it reads the host's resolv.conf). The laws of net/loop.h
 * hold, though libunbound's own callback comes at once for what is cached. Every question has a deadline of ours, and
 * what was not answered by then is DNS_UNAVAILABLE: not known, never "no".
 *
 * At most `max_in_flight` questions are under way, and no client's network and no domain has more than its share of
 * them (resolver_shares.h). They count until libunbound is done with them, whoever waits. What is known already is
 * always answered, and a question that is under way is not asked a second time: neither needs room.
 */
#pragma once

#include "net/dns_message.h"
#include "net/loop.h"
#include "net/resolver_shares.h"

#include <stdatomic.h>

struct resolver;

struct resolver_stub { /* a zone whose servers are asked directly */
    const char *zone;
    struct endpoint server;
};

enum resolver_way {
    RESOLVER_HOST,    /* forwards to the servers of resolv.conf */
    RESOLVER_FORWARD, /* forwards to `forwarders` */
    RESOLVER_RECURSE, /* asks the Internet's servers by itself */
};

/* What a resolver shows of itself, in memory that others may read. One writer. Totals, except where `now` is said. */
struct resolver_counters {
    _Atomic uint64_t in_flight, max_in_flight; /* now; with libunbound, whether or not anybody waits */
    _Atomic uint64_t asked, cached, joined;    /* questions: given to libunbound, known already, under way already */
    _Atomic uint64_t refused[N_RESOLVER_GRANTS]; /* for want of room, by what there was no room in */
    _Atomic uint64_t full_ms;                  /* when a question was last refused because there was no room at all, by
                                                  the loop's clock; only with refused[RESOLVER_FULL] > 0 */
};

/* Questions are being refused; told when that begins, once per reason until none was for RESOLVER_SPELL_MS. */
struct resolver_refusal {
    enum resolver_grant why;
    const struct ip *client;  /* whose question it was … */
    struct str domain;        /* … and what about; a view */
    bool is_ours;             /* nobody's: there is no client */
    unsigned in_flight, max_in_flight;
};

enum { RESOLVER_IN_FLIGHT = 4096, RESOLVER_SPELL_MS = 60000 };

struct resolver_settings {
    enum resolver_way way;
    const char *resolv_conf; /* RESOLVER_HOST; NULL: /etc/resolv.conf */
    const struct endpoint *forwarders;
    size_t n_forwarders;
    const struct resolver_stub *stubs;
    size_t n_stubs;
    unsigned max_in_flight; /* 0: RESOLVER_IN_FLIGHT */
    struct str (*organisation)(struct str name); /* resolver_domain(); NULL: the last two labels */
    struct resolver_counters *counters;          /* borrowed; NULL: the resolver's own */
    void (*on_refusal)(void *arg, const struct resolver_refusal *refusal); /* may be NULL */
    void *arg;
};

/* Returns 0, -EINVAL (a setting that libunbound does not take; `ret_error` says which, static), -ENOMEM, or -errno. */
int resolver_new(struct loop *loop, const struct resolver_settings *settings, struct resolver **ret_resolver,
                 const char **ret_error);
/* All questions must have ended or been cancelled. Accepts NULL. */
void resolver_free(struct resolver *resolver);

const struct resolver_counters *resolver_counters(const struct resolver *resolver);

/* Queries that were started and have not ended. */
unsigned resolver_waiting(const struct resolver *resolver);

struct resolver_query;
struct resolver_flight;
struct resolver_answer;
/* `answer` is valid during the call. */
typedef void resolver_fn(struct resolver_query *query, const struct dns_answer *answer);

struct resolver_query { /* embedded by who asks; all-zero is one that was never started */
    struct resolver *resolver;
    resolver_fn *done;
    struct resolver_flight *flight;      /* WAITING: what it waits for */
    struct resolver_query *next, **prev; /* there, beside others that do */
    struct resolver_answer *answer;      /* waits to be delivered; NULL: what `state` says */
    struct timer deadline;
    struct task task;
    uint8_t state;
    bool was_refused;
};

struct resolver_question {
    const char *name; /* presentation form, with or without final dot; borrowed during the call */
    enum dns_type type;
    uint64_t timeout_ms;
    enum resolver_purpose purpose;
    struct ip client; /* whose question it is; not with RESOLVER_OWN */
};

/*
 * Asks a question. `done` comes once, in a later turn, unless the query is cancelled. A query can be started again when
 * it has ended, inside `done` too.
 */
void resolver_start(struct resolver *resolver, struct resolver_query *query, const struct resolver_question *question,
                    resolver_fn *done);

/* No call of `done` comes after this. Cancelling a query that is not under way does nothing. */
void resolver_cancel(struct resolver_query *query);

static inline bool resolver_is_asking(const struct resolver_query *query) {
    return query->state != 0;
}

/* It was not asked for want of room, or memory: our own trouble, and nothing is to be held against a server. Known as
   soon as the query is started. */
static inline bool resolver_was_refused(const struct resolver_query *query) {
    return query->was_refused;
}
