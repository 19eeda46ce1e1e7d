/*
 * sender: MX, and only where there is none the addresses: most domains cost one question.
 */
#include "facts/sender.h"

#include "facts/addresses.h"

#include <stdlib.h>

struct sender_lookup {
    struct resolver_query query;
    struct resolver *resolver;
    struct addresses_lookup *addresses;
    sender_fn *done;
    void *arg;
    struct ip client;
    uint64_t timeout_ms;
    char domain[DNS_NAME_MAX + 1];
};

static void finish(struct sender_lookup *lookup, struct sender_result result) {
    sender_fn *done = lookup->done;
    void *arg = lookup->arg;
    free(lookup);
    done(arg, &result);
}

static void on_addresses(void *arg, const struct addresses_result *result) {
    finish(arg, (struct sender_result){ .is_unavailable = result->is_unavailable, .resolves = result->is_found });
}

static void on_mx(struct resolver_query *query, const struct dns_answer *answer) {
    struct sender_lookup *lookup = (struct sender_lookup *)query; /* its first member */
    switch (answer->status) {
    case DNS_FOUND:
        finish(lookup, (struct sender_result){ .resolves = true,
                                               .null_mx = answer->n == 1 && answer->records[0].text.len == 0 });
        return;
    case DNS_NO_NAME:
    case DNS_BAD_NAME:
        finish(lookup, (struct sender_result){ 0 });
        return;
    case DNS_UNAVAILABLE:
        finish(lookup, (struct sender_result){ .is_unavailable = true });
        return;
    case DNS_NO_DATA:
        break;
    }
    lookup->addresses = addresses_start(lookup->resolver, &lookup->client, str_of(lookup->domain), lookup->timeout_ms,
                                        on_addresses, lookup);
    if (lookup->addresses == NULL)
        finish(lookup, (struct sender_result){ .is_unavailable = true });
}

struct sender_lookup *sender_start(struct resolver *resolver, const struct ip *client, struct str domain,
                                   uint64_t timeout_ms, sender_fn *done, void *arg) {
    struct sender_lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return NULL;
    domain = str_head(domain, DNS_NAME_MAX);
    memcpy(lookup->domain, domain.at, domain.len);
    lookup->resolver = resolver;
    lookup->client = *client;
    lookup->timeout_ms = timeout_ms;
    lookup->done = done;
    lookup->arg = arg;
    const struct resolver_question question = { .name = lookup->domain, .type = DNS_MX, .timeout_ms = timeout_ms,
                                                .client = *client };
    resolver_start(resolver, &lookup->query, &question, on_mx);
    return lookup;
}

void sender_cancel(struct sender_lookup *take_lookup) {
    if (take_lookup == NULL)
        return;
    resolver_cancel(&take_lookup->query);
    addresses_cancel(take_lookup->addresses);
    free(take_lookup);
}
