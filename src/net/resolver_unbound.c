/*
 * resolver_unbound: see the header. What is set here bounds what libunbound keeps and how much work one question or
 * one answer may become on our loop; what nobody set would be libunbound's default for a resolver of a whole network.
 */
#include "net/resolver_unbound.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static const struct {
    const char *name, *value;
} options[] = {
    { "module-config:", "iterator" }, /* no DNSSEC: the policy asks nothing that it could answer */
    { "use-syslog:", "no" },
    { "verbosity:", "0" },
    { "outgoing-range:", "512" },
    { "num-queries-per-thread:", "4096" },
    { "outgoing-num-tcp:", "32" },
    { "edns-buffer-size:", "1232" },
    { "msg-buffer-size:", "16384" },      /* of an answer over TCP; a larger one is dropped, and unavailable */
    { "max-query-restarts:", "8" },       /* aliases; CHAIN_MAX in dns_message.c */
    { "max-sent-count:", "32" },          /* packets for one question */
    { "msg-cache-size:", "8m" },          /* 8 more are in our own (resolver_cache.h), in front of it */
    { "rrset-cache-size:", "32m" },
    { "cache-max-negative-ttl:", "600" },
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

/*
 * How long libunbound remembers that a server did not answer. A forwarder that is silent about some names, because
 * their servers are, is not away: remembered for 30 s, three such names a second were enough to have every name go
 * unasked. So of forwarders nothing is remembered, and a dead one costs each question a try. Of the servers of a zone,
 * which answer for nobody else's, it is.
 */
static int set_memory_of_servers(struct ub_ctx *ub, enum resolver_way way, const char **ret_error) {
    *ret_error = "infra-host-ttl:";
    return ub_ctx_set_option(ub, "infra-host-ttl:", way == RESOLVER_RECURSE ? "30" : "0");
}

static int set_way(struct ub_ctx *ub, const struct resolver_settings *settings, const char **ret_error) {
    char text[ENDPOINT_TEXT_MAX];
    int r = set_minimisation(ub, settings->way, ret_error);
    if (r == 0)
        r = set_memory_of_servers(ub, settings->way, ret_error);
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

int resolver_unbound_new(struct ub_event_base *base, const struct resolver_settings *settings, struct ub_ctx **ret_ub,
                         const char **ret_error) {
    struct ub_ctx *ub = ub_ctx_create_ub_event(base);
    *ret_error = "memory";
    if (ub == NULL)
        return -ENOMEM;
    int r = set_up(ub, settings, ret_error);
    if (r == 0)
        r = finalise(ub, ret_error);
    if (r < 0) {
        ub_ctx_delete(ub);
        return r;
    }
    *ret_ub = ub;
    return 0;
}
