/*
 * addresses: A and AAAA side by side. An address that is found is found whatever becomes of the other question.
 */
#include "facts/addresses.h"

#include <stdlib.h>

struct addresses_lookup {
    struct resolver_query v4, v6;
    addresses_fn *done;
    void *arg;
    struct ip client;
    unsigned n_open;
    bool was_unanswered, was_cut;
    struct addresses_result result;
};

static void take(struct addresses_lookup *lookup, const struct dns_answer *answer) {
    lookup->result.is_found = lookup->result.is_found || answer->n > 0;
    lookup->was_unanswered = lookup->was_unanswered || answer->status == DNS_UNAVAILABLE;
    lookup->was_cut = lookup->was_cut || answer->is_cut;
    for (unsigned i = 0; i < answer->n; i++)
        lookup->result.holds = lookup->result.holds || ip_eq(&answer->records[i].ip, &lookup->client);
    if (--lookup->n_open > 0)
        return;
    struct addresses_result result = lookup->result;
    result.is_unavailable = !result.is_found && lookup->was_unanswered;
    result.may_hold = !result.holds && (lookup->was_unanswered || lookup->was_cut);
    addresses_fn *done = lookup->done;
    void *arg = lookup->arg;
    free(lookup);
    done(arg, &result);
}

static void on_v4(struct resolver_query *query, const struct dns_answer *answer) {
    take((struct addresses_lookup *)((char *)query - offsetof(struct addresses_lookup, v4)), answer);
}

static void on_v6(struct resolver_query *query, const struct dns_answer *answer) {
    take((struct addresses_lookup *)((char *)query - offsetof(struct addresses_lookup, v6)), answer);
}

struct addresses_lookup *addresses_start(struct resolver *resolver, const struct ip *client, struct str name,
                                         uint64_t timeout_ms, addresses_fn *done, void *arg) {
    char text[DNS_NAME_MAX + 1];
    struct addresses_lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return NULL;
    name = str_head(name, DNS_NAME_MAX);
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    lookup->done = done;
    lookup->arg = arg;
    lookup->n_open = 2;
    lookup->client = *client;
    struct resolver_question question = { .name = text, .type = DNS_A, .timeout_ms = timeout_ms, .client = *client };
    resolver_start(resolver, &lookup->v4, &question, on_v4);
    question.type = DNS_AAAA;
    resolver_start(resolver, &lookup->v6, &question, on_v6);
    return lookup;
}

void addresses_cancel(struct addresses_lookup *take_lookup) {
    if (take_lookup == NULL)
        return;
    resolver_cancel(&take_lookup->v4);
    resolver_cancel(&take_lookup->v6);
    free(take_lookup);
}
