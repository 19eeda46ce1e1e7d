/*
 * load_check: does the configuration as a whole make sense?
 *
 * What is the matter with one statement was told when it was read. Here is what holds between them: names that must
 * exist somewhere else, limits that must fit each other, files that must be there, and what an administrator should be
 * told about a configuration that is right, but may not do what was meant.
 */
#include "conf/loader.h"

#include "conf/store.h"
#include "smtp/address.h"
#include "smtp/local_route.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

/* RFC 5321 2.3.5: EHLO and the greeting take a fully qualified name. */
static int check_hostname(struct loader *l) {
    char name[HOST_NAME_MAX + 1] = "";
    if (l->conf->set.hostname != NULL)
        return 0;
    gethostname(name, sizeof(name) - 1);
    if (strchr(name, '.') == NULL || smtp_domain_parse(str_of(name), false, false) != SMTP_ADDRESS_OK) {
        ERROR(l, NULL, "no hostname: the host calls itself '%s', which is not fully qualified; "
              "write 'hostname mx.example.com'", name);
        return 0;
    }
    l->conf->set.hostname = arena_strdup(&l->conf->arena, str_of(name));
    return l->conf->set.hostname == NULL ? -ENOMEM : 0;
}

static void check_file(struct loader *l, const char *path, const char *what) {
    if (path != NULL && access(path, F_OK) < 0)
        ERROR(l, NULL, "%s %s: %s", what, path, strerror(errno));
}

static void check_files(struct loader *l) {
    const struct conf *conf = l->conf;
    for (size_t i = 0; i < conf->set.tls.n_certificates; i++) {
        check_file(l, conf->set.tls.certificates[i].certificate_file, "certificate");
        check_file(l, conf->set.tls.certificates[i].key_file, "key");
    }
    for (size_t i = 0; i < conf->n_groups; i++)
        check_file(l, conf->groups[i].ca_file, "ca_file");
}

static void check_order(struct loader *l, const char *small_name, uint64_t small, const char *large_name,
                        uint64_t large) {
    if (small > large)
        ERROR(l, NULL, "%s is larger than %s; it cannot have an effect", small_name, large_name);
}

static void check_limits(struct loader *l) {
    const struct conf_settings *set = &l->conf->set;
    check_order(l, "limits connections_client", set->limits.connections_client, "limits connections",
                set->limits.connections);
    check_order(l, "timeouts command_stressed", set->timeouts.command_stressed, "timeouts command",
                set->timeouts.command);
    check_order(l, "timeouts data_stressed", set->timeouts.data_stressed, "timeouts data", set->timeouts.data);
    if (set->workers > set->limits.server_connections)
        ERROR(l, NULL, "limits server_connections is less than workers: each worker needs one of its own");
    if (set->workers > set->limits.connections)
        ERROR(l, NULL, "limits connections is less than workers: each worker needs one of its own");
    /* RFC 5321 4.5.3.1.8, 4.5.3.1.7 */
    if (set->limits.recipients < 100)
        diag_warning(l->diag, &l->source, NULL, "limits recipients: RFC 5321 wants 100 at least");
    if (set->limits.message_size < 65536)
        diag_warning(l->diag, &l->source, NULL, "limits message_size: RFC 5321 wants 64K at least");
}

/* Where a domain's own block, or else domain_defaults, has the option; else where the domain stands. */
static const char *place_of(const struct loader *l, const struct origin *origin, const char *option,
                            const struct diag_source **ret_source) {
    const struct statement *blocks[] = { origin->statement, l->defaults };
    *ret_source = &l->source;
    for (size_t i = 0; i < 2; i++) {
        for (const struct statement *s = blocks[i] ? blocks[i]->children : NULL; s != NULL; s = s->next) {
            if (statement_is(s, option))
                return s->words[s->n_words - 1].at;
        }
    }
    *ret_source = origin->source;
    return origin->at;
}

static void check_domain(struct loader *l, const struct conf_domain *domain) {
    const struct origin *origin = &l->origins[domain->index];
    const struct conf_domain_settings *set = &domain->set;
    if (set->servers == NULL) {
        diag_error(l->diag, origin->source, origin->at, "domain '%s' has no servers; name a group in its block or in "
                   "domain_defaults", domain->name);
    }
    if (set->directory != CONF_DIRECTORY_OF)
        return;
    const struct conf_domain *of = conf_domain_find(l->conf, str_of(set->directory_of));
    if (of != NULL && of->set.directory == CONF_DIRECTORY_OWN)
        return;
    const struct diag_source *source;
    const char *at = place_of(l, origin, "directory", &source);
    diag_error(l->diag, source, at, of == NULL ? "'%s', whose directory domain '%s' uses, is no domain of ours"
               : "'%s', whose directory domain '%s' uses, has no directory of its own", set->directory_of,
               domain->name);
}

static void check_dns(struct loader *l) {
    const struct conf_settings *set = &l->conf->set;
    if (set->dns.use == CONF_DNS_FORWARD && set->dns.forward_to.n == 0)
        ERROR(l, NULL, "dns use forward: no forward_to says to whom");
    if (set->dns.use != CONF_DNS_FORWARD && set->dns.forward_to.n > 0)
        diag_warning(l->diag, &l->source, NULL, "dns forward_to has an effect with 'use forward' only");
}

static void check_scanner(struct loader *l, const char *name, const struct conf_scanner *scanner) {
    const struct conf_settings *set = &l->conf->set;
    if (scanner->n_servers == 0)
        return;
    if (scanner->timeout >= set->timeouts.final_reply_limit)
        ERROR(l, NULL, "%s timeout is not less than timeouts final_reply_limit: a client would have its answer before "
              "a scanner that hangs is given up", name);
    if (set->workers > scanner->connections)
        ERROR(l, NULL, "%s connections is less than workers: each worker needs one of its own", name);
}

/* It goes into a header as it is. */
static void check_subject_tag(struct loader *l) {
    for (const char *c = l->conf->set.subject_tag; *c != '\0'; c++) {
        if (*c >= ' ' && *c < 127)
            continue;
        ERROR(l, NULL, "subject_tag holds something else than printable ASCII");
        return;
    }
}

/* What everybody should know who reads why nothing is refused (design.md section 4). */
static void tell_what_is_not_enforced(struct loader *l) {
    const struct conf *conf = l->conf;
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < conf->n_domains; i++) {
        if (conf->domains[i].set.enforce)
            continue;
        first = first == NULL ? conf->domains[i].name : first;
        n++;
    }
    if (!conf->set.enforce)
        diag_warning(l->diag, &l->source, NULL, "enforce no: the rules of the policy refuse nothing");
    else if (n > 0)
        diag_warning(l->diag, &l->source, NULL, "enforce no: the rules of the policy refuse nothing for domain %s%s",
                     first, n > 1 ? " and others" : "");
}

/* ---- routes in local parts */

static void warn_route(struct loader *l, const struct conf_domain *domain, const char *option, const char *address) {
    struct smtp_address parsed;
    char canonical[SMTP_LOCAL_MAX];
    if (address == NULL || smtp_address_parse(str_of(address), true, &parsed) != SMTP_ADDRESS_OK)
        return;
    if (smtp_local_kind((struct str){ canonical, smtp_local_canonical(&parsed, canonical) }) != SMTP_LOCAL_PLAIN)
        diag_warning(l->diag, &l->source, NULL, "%s of domain %s: a mailbox server could take %s for a route and send "
                     "the mail on", option, domain->name, address);
}

static void check_routes(struct loader *l, const struct conf_domain *domain) {
    const struct conf_domain_settings *set = &domain->set;
    warn_route(l, domain, "catch_all", set->catch_all);
    warn_route(l, domain, "postmaster", set->postmaster);
    if (!set->local_routes && strpbrk(set->delimiter, "%!") != NULL)
        diag_warning(l->diag, &l->source, NULL, "delimiter %s of domain %s: %% and ! begin no sub-address, since a "
                     "mailbox server could take them for a route; see local_routes", set->delimiter, domain->name);
}

/* The first one by name: a table of domains would fill the screen. */
static void tell_what_takes_routes(struct loader *l) {
    const struct conf *conf = l->conf;
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < conf->n_domains; i++) {
        check_routes(l, &conf->domains[i]);
        if (conf->domains[i].set.local_routes && n++ == 0)
            first = conf->domains[i].name;
    }
    if (n > 0)
        diag_warning(l->diag, &l->source, NULL, "local_routes yes: a mailbox server that relays for this host makes it "
                     "an open relay through domain %s%s; try 'postern check --servers'", first,
                     n > 1 ? " and others" : "");
}

int loader_check(struct loader *l) {
    const struct conf *conf = l->conf;
    int r = check_hostname(l);
    if (conf->n_listeners == 0)
        ERROR(l, NULL, "no listener; expected at least one 'listen ADDRESS:PORT' or 'policy_listen ADDRESS:PORT'");
    if (conf->n_domains == 0)
        diag_warning(l->diag, &l->source, NULL, "no domain: all mail will be refused as relaying");
    if (conf->set.smart_host != NULL && conf->set.relay_clients.n == 0)
        diag_warning(l->diag, &l->source, NULL, "smart_host is used for relay_clients only, and there are none");
    for (size_t i = 0; i < conf->n_domains; i++)
        check_domain(l, &conf->domains[i]);
    check_limits(l);
    check_subject_tag(l);
    check_dns(l);
    conf_store_check(conf, &l->source, l->diag);
    check_scanner(l, "clamav", &conf->set.clamav);
    check_scanner(l, "spamassassin", &conf->set.spamassassin);
    check_files(l);
    tell_what_is_not_enforced(l);
    tell_what_takes_routes(l);
    return r;
}
