/*
 * builtin: what is decided before any rule, and whatever the configuration.
 *
 * Recipients: whose domain is it, may this client send there, does the directory know the address? The answers go to
 * the policy as facts, whose first two rules (relay control and recipient validation, design.md section 4) no policy
 * file can leave out. Decided here alone are limits, and what speaks against a message whatever its content.
 */
#include "session/state.h"

#include "base/clock.h"

#include <errno.h>

static const struct verdict too_many_recipients = {
    .action = ACTION_DEFER, .layer = STR_INIT("limit"), .rule = STR_INIT("TOO MANY RECIPIENTS"),
    .reply = { 452, "4.5.3", STR_INIT("Too many recipients in one message, send the others separately") },
};
static const struct verdict other_server = { /* one transaction serves one mailbox server (design.md section 7) */
    .action = ACTION_DEFER, .layer = STR_INIT("relay"), .rule = STR_INIT("OTHER SERVER"),
    .reply = { 452, "4.5.3", STR_INIT("This recipient must be sent in a message of its own") },
};
static const struct verdict passed = { .action = ACTION_PASS };

/* <postmaster> alone belongs to the first domain configured (RFC 5321 4.5.1). */
static const struct conf_domain *domain_of(const struct conf *conf, const struct smtp_address *address) {
    if (address->domain.len > 0)
        return conf_domain_find(conf, address->domain);
    return conf->n_domains > 0 ? &conf->domains[0] : NULL;
}

static const struct directory *directory_of(const struct server *server, const struct conf_domain *domain) {
    if (domain->set.directory == CONF_DIRECTORY_OF)
        domain = conf_domain_find(server->conf, str_of(domain->set.directory_of));
    return domain != NULL ? server->directories[domain->index] : NULL;
}

static void look_in_directory(const struct server *server, const struct conf_domain *domain,
                              const struct smtp_address *address, struct recipient_view *view) {
    const struct recipient_lookup how = {
        .delimiter = domain->set.delimiter,
        .catch_all = domain->set.catch_all,
        .postmaster = domain->set.postmaster,
        .is_unchecked = domain->set.directory == CONF_DIRECTORY_NONE,
        .takes_routes = domain->set.local_routes,
        .max_age_ms = server->conf->set.timeouts.directory_age,
    };
    enum recipient_way way;
    const char *rewrite = NULL;
    enum recipient_answer answer =
        recipient_find(directory_of(server, domain), &how, address, clock_wall_ms(), &way, &rewrite);
    view->route.address = rewrite != NULL ? str_of(rewrite) : address->text;
    switch (answer) {
    case RECIPIENT_KNOWN:
        view->known = KNOWN_YES;
        break;
    case RECIPIENT_UNKNOWN:
        view->known = KNOWN_NO;
        break;
    case RECIPIENT_ROUTE: /* where recipients are not checked here, Postfix's policy door leaves routes to Postfix */
        view->is_route = true;
        view->known = how.is_unchecked ? KNOWN_OFF : KNOWN_NO;
        break;
    case RECIPIENT_UNCHECKED: /* the mailbox server's answer to RCPT decides */
        view->known = KNOWN_OFF;
        break;
    case RECIPIENT_STALE:
        view->is_stale = true;
        view->known = KNOWN_UNAVAILABLE;
        break;
    case RECIPIENT_NO_DIRECTORY:
        view->known = KNOWN_UNAVAILABLE;
        break;
    }
}

void recipient_look(const struct server *server, const struct ip *client, const struct smtp_address *address,
                    struct recipient_view *ret_view) {
    const struct conf_settings *set = &server->conf->set;
    const struct conf_domain *domain = domain_of(server->conf, address);
    *ret_view = (struct recipient_view){ .is_local = domain != NULL,
                                         .is_enforced = conf_is_enforced(server->conf, NULL),
                                         .known = KNOWN_OFF,
                                         .route = { .group = set->smart_host, .address = address->text } };
    if (domain == NULL) {
        ret_view->may_relay = set->smart_host != NULL
            && cidr_list_contains(set->relay_clients.at, set->relay_clients.n, client);
        return;
    }
    ret_view->route.group = domain->set.servers;
    ret_view->is_enforced = conf_is_enforced(server->conf, domain);
    look_in_directory(server, domain, address, ret_view);
}

bool recipient_is_postmaster(const struct smtp_address *address) {
    return str_eq_nocase(address->local, STR("postmaster")) || str_eq_nocase(address->local, STR("abuse"));
}

const struct verdict *recipient_limit(const struct session *s) {
    return s->transaction->n_asked >= s->server->conf->set.limits.recipients ? &too_many_recipients : NULL;
}

const struct verdict *recipient_server_limit(const struct session *s, const struct route *route) {
    const struct transaction *t = s->transaction;
    return t->n_accepted > 0 && route->group != t->group ? &other_server : NULL;
}

/* ---- messages */

const struct verdict bare_newline_verdict = {
    .action = ACTION_REJECT, .layer = STR_INIT("content"), .rule = STR_INIT("BARE NEWLINE"),
    .reply = { 550, "5.5.2", STR_INIT("Bare <CR> or <LF> in the message, lines must end in <CR><LF>") },
};
const struct verdict endless_verdict = {
    .action = ACTION_REJECT, .layer = STR_INIT("limit"), .rule = STR_INIT("MESSAGE SIZE"),
    .reply = { 552, "5.3.4", STR_INIT("Message too large, and no end of it") },
};
static const struct verdict too_large = {
    .action = ACTION_REJECT, .layer = STR_INIT("limit"), .rule = STR_INIT("MESSAGE SIZE"),
    .reply = { 552, "5.3.4", STR_INIT("Message too large: more than this host takes") },
};
static const struct verdict large_header = {
    .action = ACTION_REJECT, .layer = STR_INIT("limit"), .rule = STR_INIT("HEADER SIZE"),
    .reply = { 552, "5.3.4", STR_INIT("Header too large: more than this host takes") },
};
static const struct verdict many_fields = {
    .action = ACTION_REJECT, .layer = STR_INIT("limit"), .rule = STR_INIT("HEADER FIELDS"),
    .reply = { 552, "5.3.4", STR_INIT("Header has too many fields: more than this host takes") },
};
static const struct verdict no_room = {
    .action = ACTION_DEFER, .layer = STR_INIT("limit"), .rule = STR_INIT("NO ROOM"),
    .reply = { 452, "4.3.1", STR_INIT("No room for the message here, try again later") },
};
static const struct verdict no_share = {
    .action = ACTION_DEFER, .layer = STR_INIT("limit"), .rule = STR_INIT("SPOOL SHARE"),
    .reply = { 452, "4.3.1", STR_INIT("Too much mail from your network is on its way, try again later") },
};
static const struct verdict mail_loop = {
    .action = ACTION_REJECT, .layer = STR_INIT("limit"), .rule = STR_INIT("MAIL LOOP"),
    .reply = { 554, "5.4.6", STR_INIT("Too many hops: the message goes in circles") },
};

struct verdict sender_validate(const struct session *s) {
    const struct relay_envelope *envelope = &s->transaction->envelope; /* RFC 1870 6.1 */
    bool is_announced = (envelope->parameters & SMTP_HAS_SIZE) != 0;
    return is_announced && envelope->size > s->server->conf->set.limits.message_size ? too_large : passed;
}

struct verdict message_validate(const struct session *s) {
    const struct intake *intake = &s->transaction->intake;
    const struct verdict *const excess[] = { [INTAKE_WITHIN] = NULL, [INTAKE_MESSAGE_SIZE] = &too_large,
        [INTAKE_HEADER_SIZE] = &large_header, [INTAKE_HEADER_FIELDS] = &many_fields };
    if (excess[intake->excess] != NULL)
        return *excess[intake->excess];
    if (intake->spool_error != 0)
        return intake->spool_error == -ENOBUFS ? no_share : no_room;
    return intake->header.received > HEADER_RECEIVED_MAX ? mail_loop : passed;
}
