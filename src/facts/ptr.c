/*
 * ptr: see the header. The lookup owns PTR_NAMES_MAX + 1 queries; the last answer decides and frees it.
 *
 * A client with twenty names is judged by the first eight that its server sent: looking all of them up would let it
 * make us ask as much as it likes.
 */
#include "facts/ptr.h"

#include "smtp/address.h"

#include <stdlib.h>

struct candidate {
    struct resolver_query query; /* first: of_query() */
    struct ptr_lookup *lookup;
    uint8_t name_len;
    bool is_confirmed, is_unknown;
    char name[DNS_NAME_MAX + 1];
};

struct ptr_lookup {
    struct resolver *resolver;
    ptr_fn *done;
    void *arg;
    struct ip client;
    uint64_t timeout_ms;
    struct resolver_query query; /* the PTR itself */
    unsigned n_names, n_open;
    struct candidate names[PTR_NAMES_MAX];
};

static struct ptr_lookup *of_query(struct resolver_query *query) {
    return (struct ptr_lookup *)((char *)query - offsetof(struct ptr_lookup, query));
}

static void finish(struct ptr_lookup *lookup, const struct ptr_result *result) {
    ptr_fn *done = lookup->done;
    void *arg = lookup->arg;
    free(lookup);
    done(arg, result);
}

/* mail, other, static, access: how well a name speaks for who has it. */
static unsigned rank(enum name_class class) {
    switch (class) {
    case NAME_MAIL:
        return 0;
    case NAME_OTHER:
        return 1;
    case NAME_STATIC:
        return 2;
    case NAME_ACCESS:
        break;
    }
    return 3;
}

static struct str name_of(const struct candidate *c) {
    return (struct str){ c->name, c->name_len };
}

static bool is_better(const struct candidate *a, const struct candidate *b, const struct ip *client) {
    if (a->is_confirmed != b->is_confirmed)
        return a->is_confirmed;
    unsigned rank_a = rank(name_classify(name_of(a), client)), rank_b = rank(name_classify(name_of(b), client));
    return rank_a != rank_b ? rank_a < rank_b : strcmp(a->name, b->name) < 0;
}

/* Would this name, if it were confirmed, speak better for the client than the one chosen? */
static bool might_be_better(const struct candidate *unknown, const struct candidate *best, const struct ip *client) {
    struct candidate confirmed = *unknown;
    confirmed.is_confirmed = true;
    return is_better(&confirmed, best, client);
}

static void decide(struct ptr_lookup *lookup) {
    const struct candidate *best = &lookup->names[0];
    bool is_unknown = false;
    for (unsigned i = 1; i < lookup->n_names; i++)
        if (is_better(&lookup->names[i], best, &lookup->client))
            best = &lookup->names[i];
    for (unsigned i = 0; i < lookup->n_names; i++)
        is_unknown = is_unknown || (lookup->names[i].is_unknown
                                    && might_be_better(&lookup->names[i], best, &lookup->client));
    struct ptr_result result = { .status = PTR_NAMED };
    if (!is_unknown) {
        result.status = best->is_confirmed ? PTR_CONFIRMED : PTR_UNCONFIRMED;
        result.class = (uint8_t)name_classify(name_of(best), &lookup->client);
        result.name_len = best->name_len;
        memcpy(result.name, best->name, best->name_len);
    }
    finish(lookup, &result);
}

static void on_addresses(struct resolver_query *query, const struct dns_answer *answer) {
    struct candidate *candidate = (struct candidate *)query;
    struct ptr_lookup *lookup = candidate->lookup;
    for (unsigned i = 0; i < answer->n; i++)
        candidate->is_confirmed = candidate->is_confirmed || ip_eq(&answer->records[i].ip, &lookup->client);
    /* with more addresses than are read, ours may be among the others */
    candidate->is_unknown = !candidate->is_confirmed && (answer->status == DNS_UNAVAILABLE || answer->is_cut);
    if (--lookup->n_open == 0)
        decide(lookup);
}

static void ask(struct ptr_lookup *lookup, struct resolver_query *query, const char *name, enum dns_type type,
                resolver_fn *done) {
    const struct resolver_question question = { .name = name, .type = type, .timeout_ms = lookup->timeout_ms,
                                                .client = lookup->client };
    resolver_start(lookup->resolver, query, &question, done);
}

static void add_name(struct ptr_lookup *lookup, struct str name) {
    struct candidate *candidate = &lookup->names[lookup->n_names++];
    candidate->lookup = lookup;
    candidate->name_len = (uint8_t)name.len;
    memcpy(candidate->name, name.at, name.len);
}

static void ask_addresses(struct ptr_lookup *lookup) {
    lookup->n_open = lookup->n_names;
    enum dns_type type = lookup->client.family == IP_V4 ? DNS_A : DNS_AAAA;
    for (unsigned i = 0; i < lookup->n_names; i++)
        ask(lookup, &lookup->names[i].query, lookup->names[i].name, type, on_addresses);
}

static void on_names(struct resolver_query *query, const struct dns_answer *answer) {
    struct ptr_lookup *lookup = of_query(query);
    struct ptr_result result = { .status = answer->status == DNS_UNAVAILABLE ? PTR_UNAVAILABLE : PTR_NONE };
    for (unsigned i = 0; i < answer->n && lookup->n_names < PTR_NAMES_MAX; i++) {
        struct str name = answer->records[i].text;
        if (name.len == 0 || name.len > DNS_NAME_MAX)
            continue;
        add_name(lookup, name);
    }
    if (lookup->n_names == 0) {
        finish(lookup, &result);
        return;
    }
    ask_addresses(lookup);
}

static struct ptr_lookup *lookup_new(struct resolver *resolver, const struct ip *client, uint64_t timeout_ms,
                                     ptr_fn *done, void *arg) {
    struct ptr_lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return NULL;
    lookup->resolver = resolver;
    lookup->client = *client;
    lookup->timeout_ms = timeout_ms;
    lookup->done = done;
    lookup->arg = arg;
    return lookup;
}

struct ptr_lookup *ptr_start(struct resolver *resolver, const struct ip *client, uint64_t timeout_ms, ptr_fn *done,
                             void *arg) {
    char name[DNS_NAME_MAX + 1];
    struct ptr_lookup *lookup = lookup_new(resolver, client, timeout_ms, done, arg);
    if (lookup == NULL)
        return NULL;
    dns_reverse_name(client, dns_reverse_suffix(client), name);
    ask(lookup, &lookup->query, name, DNS_PTR, on_names);
    return lookup;
}

bool ptr_is_name(struct str name) {
    return name.len <= DNS_NAME_MAX && smtp_domain_parse(name, false, false) == SMTP_ADDRESS_OK;
}

struct ptr_lookup *ptr_confirm_start(struct resolver *resolver, const struct ip *client, struct str name,
                                     uint64_t timeout_ms, ptr_fn *done, void *arg) {
    struct ptr_lookup *lookup = lookup_new(resolver, client, timeout_ms, done, arg);
    if (lookup == NULL)
        return NULL;
    add_name(lookup, name);
    ask_addresses(lookup);
    return lookup;
}

void ptr_take_confirmed(const struct ip *client, struct str name, struct ptr_result *ret_result) {
    *ret_result = (struct ptr_result){ .status = PTR_CONFIRMED, .class = (uint8_t)name_classify(name, client),
                                       .name_len = (uint8_t)name.len };
    memcpy(ret_result->name, name.at, name.len);
}

void ptr_cancel(struct ptr_lookup *take_lookup) {
    if (take_lookup == NULL)
        return;
    resolver_cancel(&take_lookup->query);
    for (unsigned i = 0; i < take_lookup->n_names; i++)
        resolver_cancel(&take_lookup->names[i].query);
    free(take_lookup);
}
