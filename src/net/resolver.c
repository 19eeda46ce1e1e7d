/*
 * resolver: a deadline, a bound and the laws of asynchrony around libunbound.
 *
 * libunbound calls back inside ub_resolve_event() for what is in its cache, retries a dead server for 17 s and
 * longer, and goes on with queries that were cancelled. So: every result, whenever it comes, is parsed into an answer
 * of ours and delivered by a task; a timer of ours ends what takes too long; and a query that was cancelled is
 * counted as a ghost for GHOST_SECONDS more, so that a dead server cannot make memory grow with every client.
 *
 * An answer is "unknown" unless a server said so: SERVFAIL, REFUSED, a time-out, an answer that cannot be read and a
 * question that was not asked are all DNS_UNAVAILABLE. Only NXDOMAIN and an empty answer mean that there is nothing.
 *
 * Rejected: c-ares (no cache, one UDP port for all that is in flight), a resolver process (a hop for each cached
 * answer).
 */
#include "net/resolver.h"

#include "net/resolver_events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { GHOST_SECONDS = 16 };

enum state { IDLE, ASKED, ANSWERED };

struct resolver {
    struct loop *loop;
    struct ub_event_base *base;
    struct ub_ctx *ub;
    unsigned max_in_flight, in_flight;
    unsigned ghosts[GHOST_SECONDS]; /* cancelled, by the second in which that was */
    uint64_t ghosts_ms;             /* the newest of those seconds */
    uint64_t refused;
};

/* ---- settings */

static const struct {
    const char *name, *value;
} options[] = {
    { "module-config:", "iterator" }, /* no DNSSEC: the policy asks nothing that it could answer */
    { "use-syslog:", "no" },
    { "verbosity:", "0" },
    { "outgoing-range:", "512" },
    { "num-queries-per-thread:", "4096" },
    { "outgoing-num-tcp:", "32" },
    { "msg-cache-size:", "16m" },
    { "rrset-cache-size:", "32m" },
    { "cache-max-negative-ttl:", "600" },
    { "infra-host-ttl:", "30" },          /* a server that is back is noticed within that time */
    { "infra-cache-max-rtt:", "4000" },
    { "unblock-lan-zones:", "yes" },      /* clients in 10/8 have names too */
    { "insecure-lan-zones:", "yes" },
};

/* Another server of a zone that stands before; said twice, libunbound would complain of the zone. */
static bool is_repeated(const struct resolver_settings *settings, size_t stub) {
    size_t i = 0;
    while (i < stub && strcasecmp(settings->stubs[i].zone, settings->stubs[stub].zone) != 0)
        i++;
    return i < stub;
}

/*
 * RFC 9156 keeps the whole name from servers on the way to its zone, at the price of a question for each label. Where
 * we recurse, those of the root and the top level have no business with our block lists' keys; the servers of a stub
 * zone are told the whole name in the end all the same.
 */
static int set_minimisation(struct ub_ctx *ub, enum resolver_way way, const char **ret_error) {
    *ret_error = "qname-minimisation:";
    return ub_ctx_set_option(ub, "qname-minimisation:", way == RESOLVER_RECURSE ? "yes" : "no");
}

static int set_way(struct ub_ctx *ub, const struct resolver_settings *settings, const char **ret_error) {
    char text[ENDPOINT_TEXT_MAX];
    int r = set_minimisation(ub, settings->way, ret_error);
    if (r == 0 && settings->way == RESOLVER_HOST) {
        const char *path = settings->resolv_conf != NULL ? settings->resolv_conf : "/etc/resolv.conf";
        *ret_error = "resolv.conf";
        r = ub_ctx_resolvconf(ub, path);
    }
    for (size_t i = 0; i < settings->n_forwarders && settings->way == RESOLVER_FORWARD && r == 0; i++) {
        char ip[IP_TEXT_MAX];
        *ret_error = "forwarders";
        snprintf(text, sizeof(text), "%s@%u", ip_format(&settings->forwarders[i].ip, ip), settings->forwarders[i].port);
        r = ub_ctx_set_fwd(ub, text);
    }
    for (size_t i = 0; i < settings->n_stubs && r == 0; i++) {
        char ip[IP_TEXT_MAX], zone[DNS_NAME_MAX + 16];
        *ret_error = "stub zones";
        snprintf(text, sizeof(text), "%s@%u", ip_format(&settings->stubs[i].server.ip, ip),
                 settings->stubs[i].server.port);
        r = ub_ctx_set_stub(ub, settings->stubs[i].zone, text, 0);
        /* what libunbound would answer by itself (127.in-addr.arpa, test), is asked where a server is named for it */
        snprintf(zone, sizeof(zone), "%s transparent", settings->stubs[i].zone);
        if (r == 0 && !is_repeated(settings, i))
            r = ub_ctx_set_option(ub, "local-zone:", zone);
    }
    return r == 0 ? 0 : -EINVAL;
}

static int set_up(struct ub_ctx *ub, const struct resolver_settings *settings, const char **ret_error) {
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        *ret_error = options[i].name;
        if (ub_ctx_set_option(ub, options[i].name, options[i].value) != 0)
            return -EINVAL;
    }
    return set_way(ub, settings, ret_error);
}

static void on_first_answer(void *arg, int rcode, void *packet, int len, int security, char *why, int is_rate_limited) {
}

/*
 * The first question opens what libunbound needs; asked here, for a name that it knows, this happens before the
 * sandbox.
 */
static int finalise(struct ub_ctx *ub, const char **ret_error) {
    *ret_error = "the first question";
    return ub_resolve_event(ub, "localhost", DNS_A, 1, NULL, on_first_answer, NULL) == 0 ? 0 : -EINVAL;
}

int resolver_new(struct loop *loop, const struct resolver_settings *settings, struct resolver **ret_resolver,
                 const char **ret_error) {
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    int r = -ENOMEM;
    *ret_error = "memory";
    if (resolver == NULL)
        return -ENOMEM;
    resolver->loop = loop;
    resolver->max_in_flight = settings->max_in_flight != 0 ? settings->max_in_flight : RESOLVER_IN_FLIGHT;
    resolver->base = resolver_events_new(loop);
    if (resolver->base != NULL)
        resolver->ub = ub_ctx_create_ub_event(resolver->base);
    if (resolver->ub != NULL)
        r = set_up(resolver->ub, settings, ret_error);
    if (r == 0)
        r = finalise(resolver->ub, ret_error);
    if (r < 0) {
        resolver_free(resolver);
        return r;
    }
    *ret_resolver = resolver;
    return 0;
}

void resolver_free(struct resolver *resolver) {
    if (resolver == NULL)
        return;
    if (resolver->ub != NULL)
        ub_ctx_delete(resolver->ub);
    free(resolver->base);
    free(resolver);
}

/* ---- how many are under way */

/* Moves the window of the last GHOST_SECONDS up to now; returns this second's count. */
static unsigned *ghosts_now(struct resolver *resolver) {
    uint64_t second = loop_now(resolver->loop) / 1000;
    uint64_t last = resolver->ghosts_ms;
    for (uint64_t i = last + 1; i <= second && i <= last + GHOST_SECONDS; i++)
        resolver->ghosts[i % GHOST_SECONDS] = 0;
    resolver->ghosts_ms = second;
    return &resolver->ghosts[second % GHOST_SECONDS];
}

static bool is_full(struct resolver *resolver) {
    unsigned n = resolver->in_flight;
    ghosts_now(resolver);
    for (int i = 0; i < GHOST_SECONDS; i++)
        n += resolver->ghosts[i];
    return n >= resolver->max_in_flight;
}

unsigned resolver_in_flight(const struct resolver *resolver) {
    return resolver->in_flight;
}

uint64_t resolver_refused(const struct resolver *resolver) {
    return resolver->refused;
}

/* ---- a question's life: ASKED ─▶ ANSWERED ─▶ done */

static struct resolver_query *of_timer(struct timer *timer) {
    return (struct resolver_query *)((char *)timer - offsetof(struct resolver_query, deadline));
}

static struct resolver_query *of_task(struct task *task) {
    return (struct resolver_query *)((char *)task - offsetof(struct resolver_query, task));
}

/* What is told when there is nothing to tell. */
static const struct dns_answer unavailable = { .status = DNS_UNAVAILABLE }, bad_name = { .status = DNS_BAD_NAME };

static void leave_flight(struct resolver_query *query) {
    timer_cancel(query->resolver->loop, &query->deadline);
    query->resolver->in_flight--;
}

static void on_deliver(struct task *task) {
    struct resolver_query *query = of_task(task);
    struct dns_answer *answer = query->answer;
    const struct dns_answer *told = answer != NULL ? answer : &unavailable;
    if (query->async_id < 0)
        told = &bad_name;
    query->answer = NULL;
    query->state = IDLE;
    query->done(query, told);
    free(answer);
}

static void deliver_later(struct resolver_query *query) {
    query->state = ANSWERED;
    task_start(query->resolver->loop, &query->task, on_deliver);
}

/* libunbound's answer; perhaps still inside resolver_start(). */
static void on_answer(void *arg, int rcode, void *packet, int len, int security, char *why, int is_rate_limited) {
    struct resolver_query *query = arg;
    if (query->state != ASKED)
        return;
    leave_flight(query);
    if (rcode == 0 && packet != NULL && len > 0) { /* else even the length means nothing */
        query->answer = malloc(sizeof(*query->answer));
        if (query->answer != NULL)
            dns_message_parse(packet, (size_t)len, (enum dns_type)query->type, query->answer);
    }
    deliver_later(query);
}

static void on_deadline(struct timer *timer) {
    struct resolver_query *query = of_timer(timer);
    ub_cancel(query->resolver->ub, query->async_id);
    ++*ghosts_now(query->resolver);
    query->resolver->in_flight--;
    query->state = IDLE;
    query->done(query, &unavailable);
}

void resolver_start(struct resolver *resolver, struct resolver_query *query, const char *name, enum dns_type type,
                    uint64_t timeout_ms, resolver_fn *done) {
    *query = (struct resolver_query){ .resolver = resolver, .done = done, .type = (uint16_t)type, .state = ASKED };
    if (is_full(resolver)
        || timer_set(resolver->loop, &query->deadline, loop_now(resolver->loop) + timeout_ms, on_deadline) < 0) {
        resolver->refused++;
        deliver_later(query);
        return;
    }
    resolver->in_flight++;
    int async_id = 0;
    int r = ub_resolve_event(resolver->ub, name, (int)type, 1, query, on_answer, &async_id);
    if (query->state == ANSWERED)
        return; /* it was cached; the id means nothing any more */
    query->async_id = async_id;
    if (r == 0)
        return;
    leave_flight(query);
    query->async_id = r == UB_SYNTAX ? -1 : 0;
    deliver_later(query);
}

void resolver_cancel(struct resolver_query *query) {
    if (query->state == ASKED) {
        ub_cancel(query->resolver->ub, query->async_id);
        ++*ghosts_now(query->resolver);
        leave_flight(query);
    }
    if (query->state == ANSWERED)
        task_cancel(query->resolver->loop, &query->task);
    free(query->answer);
    query->answer = NULL;
    query->state = IDLE;
}
