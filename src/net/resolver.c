/*
 * resolver: a deadline, shares and the laws of asynchrony around libunbound.
 *
 * What clients start are *queries*; what libunbound works on are *flights*, one for each name and type, with the list
 * of queries that wait for it:
 *
 *     resolver_start() ─▶ in the cache? ─▶ under way? join it ─▶ is there room? ─▶ a new flight ─▶ ub_resolve_event()
 *
 * libunbound retries a dead server for 17 s and longer and cannot be stopped: ub_cancel() only keeps it from calling
 * back. So a flight is never cancelled. Who does not want to wait any more leaves its list, and the flight counts, for
 * the client who caused it, until libunbound calls back. That is the count that bounds memory and sockets.
 *
 * libunbound calls back inside ub_resolve_event() for what is in its own cache. So every result, whenever it comes, is
 * parsed once into an answer that all who wait share, and delivered by a task of each; a timer of ours ends what takes
 * too long.
 *
 * An answer is "unknown" unless a server said so: SERVFAIL, REFUSED, a time-out, an answer that cannot be read and a
 * question that was not asked are all DNS_UNAVAILABLE. Only NXDOMAIN and an empty answer mean that there is nothing.
 * Nothing is read out of the number that libunbound gives a question: it wraps.
 *
 * Rejected: c-ares (no cache, one UDP port for all that is in flight), a resolver process (a hop for each cached
 * answer). Of the cache in front, docs/decisions/0019.
 */
#include "net/resolver.h"

#include "net/resolver_cache.h"
#include "net/resolver_unbound.h"

#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { CACHE_BYTES = 8 << 20, FLIGHT_BUCKETS_MIN = 64 };

enum state {
    IDLE,
    WAITING,  /* in a flight's list */
    ANSWERED, /* `answer` is to be delivered; NULL: nothing is known */
    BAD_NAME, /* that is to be delivered */
};

struct resolver_answer { /* shared by all who waited for it */
    unsigned refs;
    struct dns_answer dns;
};

struct resolver_flight {
    struct resolver_flight *next, **prev; /* in its bucket */
    struct resolver *resolver;
    struct resolver_query *waiting;
    struct resolver_claim claim;
    uint64_t hash;
    uint16_t type;
    uint8_t name_len;
    bool is_starting, is_over;
    char name[DNS_NAME_MAX + 1]; /* lower case, no final dot */
};

struct resolver {
    struct loop *loop;
    struct ub_event_base *base;
    struct ub_ctx *ub;
    struct resolver_cache *cache;
    struct resolver_shares *shares;
    struct resolver_flight **flights; /* buckets */
    unsigned n_buckets, n_waiting, max_in_flight;
    struct str (*organisation)(struct str name);
    void (*on_refusal)(void *arg, const struct resolver_refusal *refusal);
    void *arg;
    uint64_t refused_ms[N_RESOLVER_GRANTS]; /* the last time; only with a count */
    struct resolver_counters *counters, own_counters;
};

/* ---- life */

static int resolver_init(struct resolver *resolver, const struct resolver_settings *settings, const char **ret_error) {
    resolver->max_in_flight = settings->max_in_flight != 0 ? settings->max_in_flight : RESOLVER_IN_FLIGHT;
    resolver->organisation = settings->organisation;
    resolver->on_refusal = settings->on_refusal;
    resolver->arg = settings->arg;
    resolver->counters = settings->counters != NULL ? settings->counters : &resolver->own_counters;
    atomic_store_explicit(&resolver->counters->max_in_flight, resolver->max_in_flight, memory_order_relaxed);
    resolver->n_buckets = resolver->max_in_flight + FLIGHT_BUCKETS_MIN;
    resolver->flights = calloc(resolver->n_buckets, sizeof(struct resolver_flight *));
    resolver->cache = resolver_cache_new(CACHE_BYTES);
    resolver->shares = resolver_shares_new(resolver->max_in_flight);
    resolver->base = resolver_events_new(resolver->loop);
    if (resolver->flights == NULL || resolver->cache == NULL || resolver->shares == NULL || resolver->base == NULL)
        return -ENOMEM;
    return resolver_unbound_new(resolver->base, settings, &resolver->ub, ret_error);
}

int resolver_new(struct loop *loop, const struct resolver_settings *settings, struct resolver **ret_resolver,
                 const char **ret_error) {
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    *ret_error = "memory";
    if (resolver == NULL)
        return -ENOMEM;
    resolver->loop = loop;
    int r = resolver_init(resolver, settings, ret_error);
    if (r < 0) {
        resolver_free(resolver);
        return r;
    }
    *ret_resolver = resolver;
    return 0;
}

static void free_flights(struct resolver *resolver) {
    for (unsigned i = 0; resolver->flights != NULL && i < resolver->n_buckets; i++)
        for (struct resolver_flight *flight = resolver->flights[i], *next; flight != NULL; flight = next) {
            next = flight->next;
            assert(flight->waiting == NULL);
            free(flight);
        }
    free(resolver->flights);
}

void resolver_free(struct resolver *resolver) {
    if (resolver == NULL)
        return;
    if (resolver->ub != NULL)
        ub_ctx_delete(resolver->ub); /* it may call back for what is under way */
    free_flights(resolver);
    resolver_cache_free(resolver->cache);
    resolver_shares_free(resolver->shares);
    free(resolver->base);
    free(resolver);
}

/* ---- what is shown */

const struct resolver_counters *resolver_counters(const struct resolver *resolver) {
    return resolver->counters;
}

unsigned resolver_waiting(const struct resolver *resolver) {
    return resolver->n_waiting;
}

static void count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void show_in_flight(struct resolver *resolver) {
    atomic_store_explicit(&resolver->counters->in_flight, resolver_shares_taken(resolver->shares),
                          memory_order_relaxed);
}

static void note_refusal(struct resolver *resolver, enum resolver_grant why, const struct resolver_question *question,
                         struct str domain) {
    uint64_t now = loop_now(resolver->loop);
    bool is_first = atomic_load_explicit(&resolver->counters->refused[why], memory_order_relaxed) == 0;
    bool is_new = is_first || now - resolver->refused_ms[why] > RESOLVER_SPELL_MS;
    resolver->refused_ms[why] = now;
    count(&resolver->counters->refused[why]);
    if (why == RESOLVER_FULL)
        atomic_store_explicit(&resolver->counters->full_ms, now, memory_order_relaxed);
    if (!is_new || resolver->on_refusal == NULL)
        return;
    const struct resolver_refusal refusal = {
        .why = why, .client = &question->client, .domain = domain, .is_ours = question->purpose == RESOLVER_OWN,
        .in_flight = resolver_shares_taken(resolver->shares), .max_in_flight = resolver->max_in_flight,
    };
    resolver->on_refusal(resolver->arg, &refusal);
}

/* ---- queries: WAITING ─▶ ANSWERED ─▶ done */

static struct resolver_query *of_timer(struct timer *timer) {
    return (struct resolver_query *)((char *)timer - offsetof(struct resolver_query, deadline));
}

static struct resolver_query *of_task(struct task *task) {
    return (struct resolver_query *)((char *)task - offsetof(struct resolver_query, task));
}

static void answer_unref(struct resolver_answer *answer) {
    if (answer != NULL && --answer->refs == 0)
        free(answer);
}

/* What is delivered when there is nothing to deliver. */
static const struct dns_answer unavailable = { .status = DNS_UNAVAILABLE }, bad_name = { .status = DNS_BAD_NAME };

static void query_end(struct resolver_query *query, const struct dns_answer *answer) {
    query->state = IDLE;
    query->resolver->n_waiting--;
    query->done(query, answer);
}

static void on_deliver(struct task *task) {
    struct resolver_query *query = of_task(task);
    struct resolver_answer *answer = query->answer;
    const struct dns_answer *what = query->state == BAD_NAME ? &bad_name : answer != NULL ? &answer->dns : &unavailable;
    query->answer = NULL;
    query_end(query, what);
    answer_unref(answer);
}

static void deliver_later(struct resolver_query *query, enum state state) {
    query->state = (uint8_t)state;
    task_start(query->resolver->loop, &query->task, on_deliver);
}

/* Nobody waits for this flight on this query's behalf any more. */
static void query_leave(struct resolver_query *query) {
    timer_cancel(query->resolver->loop, &query->deadline);
    *query->prev = query->next;
    if (query->next != NULL)
        query->next->prev = query->prev;
    query->flight = NULL;
}

static void on_deadline(struct timer *timer) {
    struct resolver_query *query = of_timer(timer);
    query_leave(query);
    query_end(query, &unavailable);
}

static void query_wait(struct resolver_query *query, struct resolver_flight *flight) {
    query->state = WAITING;
    query->flight = flight;
    query->next = flight->waiting;
    if (query->next != NULL)
        query->next->prev = &query->next;
    flight->waiting = query;
    query->prev = &flight->waiting;
}

/* ---- flights */

static struct str flight_name(const struct resolver_flight *flight) {
    return (struct str){ flight->name, flight->name_len };
}

static struct resolver_flight *flight_find(struct resolver *resolver, uint64_t hash, struct str name,
                                           enum dns_type type) {
    struct resolver_flight *flight = resolver->flights[hash % resolver->n_buckets];
    while (flight != NULL
           && (flight->hash != hash || flight->type != type || !str_eq(flight_name(flight), name)))
        flight = flight->next;
    return flight;
}

static void flight_free(struct resolver_flight *flight) {
    struct resolver *resolver = flight->resolver;
    *flight->prev = flight->next;
    if (flight->next != NULL)
        flight->next->prev = flight->prev;
    resolver_shares_give(resolver->shares, &flight->claim);
    show_in_flight(resolver);
    free(flight);
}

/* All who wait get `answer`; NULL: nothing is known. */
static void flight_land(struct resolver_flight *flight, struct resolver_answer *answer) {
    for (struct resolver_query *query = flight->waiting; query != NULL; query = flight->waiting) {
        query_leave(query);
        query->answer = answer;
        if (answer != NULL)
            answer->refs++;
        deliver_later(query, ANSWERED);
    }
    flight->is_over = true;
    if (!flight->is_starting)
        flight_free(flight);
}

static struct resolver_answer *answer_new(const struct resolver_flight *flight, const void *packet, size_t len) {
    struct resolver_answer *answer = malloc(sizeof(*answer));
    if (answer == NULL)
        return NULL;
    answer->refs = 1;
    dns_message_parse(packet, len, (enum dns_type)flight->type, &answer->dns);
    return answer;
}

/* libunbound's answer; perhaps still inside flight_start(), or when its context ends. */
static void on_answer(void *arg, int rcode, void *packet, int len, int security, char *why, int is_rate_limited) {
    struct resolver_flight *flight = arg;
    struct resolver *resolver = flight->resolver;
    struct resolver_answer *answer = NULL;
    if (rcode == 0 && packet != NULL && len > 0) /* else even the length means nothing */
        answer = answer_new(flight, packet, (size_t)len);
    if (answer != NULL)
        resolver_cache_put(resolver->cache, flight_name(flight), (enum dns_type)flight->type,
                           loop_now(resolver->loop), &answer->dns);
    flight_land(flight, answer);
    answer_unref(answer);
}

static struct resolver_flight *flight_new(struct resolver *resolver, uint64_t hash, struct str name,
                                          enum dns_type type) {
    struct resolver_flight *flight = calloc(1, sizeof(*flight));
    struct resolver_flight **bucket = &resolver->flights[hash % resolver->n_buckets];
    if (flight == NULL)
        return NULL;
    flight->resolver = resolver;
    flight->hash = hash;
    flight->type = (uint16_t)type;
    flight->name_len = (uint8_t)name.len;
    memcpy(flight->name, name.at, name.len);
    flight->next = *bucket;
    if (flight->next != NULL)
        flight->next->prev = &flight->next;
    *bucket = flight;
    flight->prev = bucket;
    return flight;
}

/* Gives the question to libunbound. The flight may be over, and freed, when this returns. */
static void flight_start(struct resolver_flight *flight) {
    struct resolver *resolver = flight->resolver;
    flight->is_starting = true;
    count(&resolver->counters->asked);
    show_in_flight(resolver);
    int r = ub_resolve_event(resolver->ub, flight->name, (int)flight->type, 1, flight, on_answer, NULL);
    flight->is_starting = false;
    if (flight->is_over)
        flight_free(flight);
    else if (r != 0) /* out of memory; it will not call back */
        flight_land(flight, NULL);
}

/* ---- asking */

/* Lower case, without the final dot. */
static struct str normalise(struct str name, char out[DNS_NAME_MAX + 1]) {
    if (name.at[name.len - 1] == '.')
        name.len--;
    for (size_t i = 0; i < name.len; i++)
        out[i] = ascii_lower(name.at[i]);
    out[name.len] = '\0';
    return (struct str){ out, name.len };
}

static void refuse(struct resolver_query *query) {
    timer_cancel(query->resolver->loop, &query->deadline);
    query->was_refused = true;
    deliver_later(query, ANSWERED);
}

static bool answer_from_cache(struct resolver_query *query, struct str name, enum dns_type type) {
    struct resolver *resolver = query->resolver;
    struct resolver_answer *answer = malloc(sizeof(*answer));
    if (answer == NULL || !resolver_cache_find(resolver->cache, name, type, loop_now(resolver->loop), &answer->dns)) {
        free(answer);
        return false;
    }
    answer->refs = 1;
    query->answer = answer;
    count(&resolver->counters->cached);
    deliver_later(query, ANSWERED);
    return true;
}

/* No one asks this yet: is there room for it? */
static void take_off(struct resolver_query *query, const struct resolver_question *question, uint64_t hash,
                     struct str name) {
    struct resolver *resolver = query->resolver;
    struct str domain = resolver_domain(name, resolver->organisation);
    struct resolver_claim claim;
    enum resolver_grant grant = resolver_shares_take(resolver->shares, question->purpose, &question->client, domain,
                                                     &claim);
    struct resolver_flight *flight = NULL;
    if (grant != RESOLVER_GRANTED)
        note_refusal(resolver, grant, question, domain);
    else
        flight = flight_new(resolver, hash, name, question->type);
    if (flight == NULL) {
        resolver_shares_give(resolver->shares, &claim);
        refuse(query);
        return;
    }
    flight->claim = claim;
    query_wait(query, flight);
    flight_start(flight);
}

void resolver_start(struct resolver *resolver, struct resolver_query *query, const struct resolver_question *question,
                    resolver_fn *done) {
    char text[DNS_NAME_MAX + 1];
    struct str name = str_of(question->name);
    *query = (struct resolver_query){ .resolver = resolver, .done = done };
    resolver->n_waiting++;
    if (!dns_name_is_possible(name)) {
        deliver_later(query, BAD_NAME);
        return;
    }
    name = normalise(name, text);
    if (answer_from_cache(query, name, question->type))
        return;
    if (timer_set(resolver->loop, &query->deadline, loop_now(resolver->loop) + question->timeout_ms, on_deadline) < 0) {
        refuse(query);
        return;
    }
    uint64_t hash = hash_bytes(name.at, name.len);
    struct resolver_flight *flight = flight_find(resolver, hash, name, question->type);
    if (flight == NULL) {
        take_off(query, question, hash, name);
        return;
    }
    count(&resolver->counters->joined);
    query_wait(query, flight);
}

void resolver_cancel(struct resolver_query *query) {
    if (query->state == IDLE)
        return;
    if (query->state == WAITING)
        query_leave(query);
    else
        task_cancel(query->resolver->loop, &query->task);
    query->resolver->n_waiting--;
    answer_unref(query->answer);
    query->answer = NULL;
    query->state = IDLE;
}
