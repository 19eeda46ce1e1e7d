/*
 * resolver: DNS questions on the loop, answered by libunbound inside the process: cached, with CNAMEs followed and TCP
 * where an answer is cut off.
 *
 * One a worker, made after the fork and before the sandbox (it reads the host's resolv.conf). The laws of net/loop.h
 * hold, though libunbound's own callback comes at once for what is cached. Every question has a deadline of ours, and
 * what was not answered by then is DNS_UNAVAILABLE: not known, never "no". At most `max_in_flight` questions are under
 * way; those that were cancelled count while libunbound still works on them.
 */
#pragma once

#include "net/dns_message.h"
#include "net/loop.h"

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

struct resolver_settings {
    enum resolver_way way;
    const char *resolv_conf; /* RESOLVER_HOST; NULL: /etc/resolv.conf */
    const struct endpoint *forwarders;
    size_t n_forwarders;
    const struct resolver_stub *stubs;
    size_t n_stubs;
    unsigned max_in_flight; /* 0: RESOLVER_IN_FLIGHT */
};

enum { RESOLVER_IN_FLIGHT = 4096 };

/* Returns 0, -EINVAL (a setting that libunbound does not take; `ret_error` says which, static), -ENOMEM, or -errno. */
int resolver_new(struct loop *loop, const struct resolver_settings *settings, struct resolver **ret_resolver,
                 const char **ret_error);
/* All questions must have ended or been cancelled. Accepts NULL. */
void resolver_free(struct resolver *resolver);

/* Questions under way, and answers that had to be given without asking, since too many were. */
unsigned resolver_in_flight(const struct resolver *resolver);
uint64_t resolver_refused(const struct resolver *resolver);

struct resolver_query;
/* `answer` is valid during the call. */
typedef void resolver_fn(struct resolver_query *query, const struct dns_answer *answer);

struct resolver_query { /* embedded by who asks; all-zero is one that was never started */
    struct resolver *resolver;
    resolver_fn *done;
    struct dns_answer *answer; /* waits to be delivered */
    struct timer deadline;
    struct task task;
    int async_id;
    uint16_t type;
    uint8_t state;
};

/*
 * Asks for records of `type` at `name` (presentation form, with or without final dot). `done` comes once, in a later
 * turn, unless the query is cancelled. A query can be started again when it has ended, inside `done` too.
 */
void resolver_start(struct resolver *resolver, struct resolver_query *query, const char *name, enum dns_type type,
                    uint64_t timeout_ms, resolver_fn *done);

/* No call of `done` comes after this. Cancelling a query that is not under way does nothing. */
void resolver_cancel(struct resolver_query *query);

static inline bool resolver_is_asking(const struct resolver_query *query) {
    return query->state != 0;
}
