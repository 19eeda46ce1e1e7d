/*
 * worker_dns: what does a worker say of its questions to DNS?
 *
 * That questions are refused is a warning with who it began with, once for each of the three reasons until none was
 * refused for a minute: whoever fills his share would otherwise fill the log too. A list that changes between trusted
 * and not is a line.
 */
#include "session/worker_dns.h"

#include "base/log.h"
#include "facts/gather.h"

static bool policy_asks_dns(const struct policy *policy) {
    for (unsigned i = 0; i < policy->n_slots; i++)
        if (policy->slots[i].row->cost == COST_DNS)
            return true;
    return false;
}

/* DNS questions begin to be refused, for one of the reasons; status has the counts. */
static void on_dns_refusal(void *arg, const struct resolver_refusal *refusal) {
    char network[RESOLVER_NETWORK_MAX] = "ourselves";
    if (!refusal->is_ours)
        resolver_network_format(refusal->client, network);
    switch (refusal->why) {
    case RESOLVER_NETWORK_FULL:
        log_warning("DNS questions for %s are not asked: it has its share of %u in flight (of %u); this one was about "
                    "%.*s", network, refusal->in_flight, refusal->max_in_flight, STR_ARG(refusal->domain));
        break;
    case RESOLVER_DOMAIN_FULL:
        log_warning("DNS questions about %.*s are not asked: it has its share of %u in flight (of %u); this one was "
                    "for %s", STR_ARG(refusal->domain), refusal->in_flight, refusal->max_in_flight, network);
        break;
    case RESOLVER_FULL:
    case RESOLVER_GRANTED:
    case N_RESOLVER_GRANTS:
        log_warning("DNS questions are not asked: %u of %u are in flight; this one was for %s, about %.*s",
                    refusal->in_flight, refusal->max_in_flight, network, STR_ARG(refusal->domain));
        break;
    }
}

int worker_dns_start(struct loop *loop, const struct worker_setup *setup, struct resolver **ret_resolver) {
    const struct conf *conf = setup->conf;
    if (conf->set.dns.use == CONF_DNS_OFF || !policy_asks_dns(conf->policy.policy))
        return 0;
    struct resolver_settings settings = gather_resolver_settings(conf);
    settings.counters = &setup->counters->dns;
    settings.on_refusal = on_dns_refusal;
    const char *error;
    int r = resolver_new(loop, &settings, ret_resolver, &error);
    if (r < 0)
        log_error("DNS cannot be set up: %s", error);
    return r;
}

static void on_list_change(void *arg, const struct conf_block_list *list, enum dnsbl_kind kind,
                           const struct dnsbl_state *state) {
    if (state->trust == DNSBL_TRUSTED)
        log_info("block list %s is used again for %s", list->zone, dnsbl_kind_names[kind]);
    else
        log_warning("block list %s is not used for %s: %s", list->zone, dnsbl_kind_names[kind],
                    dnsbl_why_texts[state->why]);
}

static void on_list_note(void *arg, const struct conf_block_list *list, enum dnsbl_kind kind,
                         const struct dnsbl_state *state) {
    const struct worker_setup *setup = arg;
    struct worker_list_counters *c = &setup->counters->lists[list - setup->conf->block_lists][kind];
    atomic_store_explicit(&c->trust, state->trust, memory_order_relaxed);
    atomic_store_explicit(&c->why, state->why, memory_order_relaxed);
    atomic_store_explicit(&c->asked, state->asked, memory_order_relaxed);
    atomic_store_explicit(&c->listed, state->listed, memory_order_relaxed);
    atomic_store_explicit(&c->errors, state->errors, memory_order_relaxed);
    atomic_store_explicit(&c->probes, state->probes, memory_order_relaxed);
    atomic_store_explicit(&c->latency_us, state->latency_us, memory_order_relaxed);
}

int worker_dns_lists_start(struct loop *loop, const struct worker_setup *setup, struct resolver *resolver,
                           struct dnsbl **ret_dnsbl) {
    const struct conf *conf = setup->conf;
    const struct dnsbl_settings settings = { .on_change = on_list_change, .on_note = on_list_note,
                                             .arg = (void *)setup };
    if (resolver == NULL || conf->n_block_lists == 0)
        return 0;
    return dnsbl_new(loop, resolver, conf->block_lists, conf->n_block_lists, &settings, ret_dnsbl);
}
