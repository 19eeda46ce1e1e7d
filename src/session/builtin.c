/*
 * builtin: what is decided before any rule, and whatever the configuration.
 *
 * Recipients: is this one ours, is the client allowed to send there, and do we know the address?
 *
 * Relay control and recipient validation of design.md section 4: decided before any rule, for everyone, and no
 * configuration makes an open relay of it. The order: whose domain is it; ours: does its directory know the address;
 * not ours: only relay_clients, and only by the smart host.
 */
#include "session/state.h"

#include "base/clock.h"

static const struct verdict relay_denied = {
    .action = ACTION_REJECT, .layer = "recipient", .rule = "RELAY DENIED", .rcpt_known = KNOWN_OFF,
    .reply = { 554, "5.7.1", STR_INIT("Relay access denied: not a domain of this host") },
};
static const struct verdict no_such_user = {
    .action = ACTION_REJECT, .layer = "recipient", .rule = "NO SUCH USER", .rcpt_known = KNOWN_NO,
    .reply = { 550, "5.1.1", STR_INIT("No such recipient here, check the address") },
};
static const struct verdict no_directory = {
    .action = ACTION_DEFER, .layer = "recipient", .rule = "NO DIRECTORY", .rcpt_known = KNOWN_UNAVAILABLE,
    .reply = { 450, "4.1.1", STR_INIT("This recipient cannot be checked now, try again later") },
};
static const struct verdict old_directory = {
    .action = ACTION_DEFER, .layer = "recipient", .rule = "DIRECTORY TOO OLD", .rcpt_known = KNOWN_UNAVAILABLE,
    .reply = { 450, "4.1.1", STR_INIT("This recipient cannot be checked now, try again later") },
};
static const struct verdict too_many_recipients = {
    .action = ACTION_DEFER, .layer = "limit", .rule = "TOO MANY RECIPIENTS",
    .reply = { 452, "4.5.3", STR_INIT("Too many recipients in one message, send the others separately") },
};
static const struct verdict other_server = { /* one transaction serves one mailbox server (design.md section 7) */
    .action = ACTION_DEFER, .layer = "relay", .rule = "OTHER SERVER",
    .reply = { 452, "4.5.3", STR_INIT("This recipient must be sent in a message of its own") },
};
static const struct verdict passed = { .action = ACTION_PASS, .layer = "recipient", .rule = "" };

/* <postmaster> alone belongs to the first domain configured (RFC 5321 4.5.1). */
static const struct conf_domain *domain_of(const struct conf *conf, const struct smtp_address *address) {
    if (address->domain.len > 0)
        return conf_domain_find(conf, address->domain);
    return conf->n_domains > 0 ? &conf->domains[0] : NULL;
}

static struct verdict validate_foreign(const struct session *s, const struct smtp_address *address,
                                       struct route *ret_route) {
    const struct conf_settings *set = &s->server->conf->set;
    if (set->smart_host == NULL
        || !cidr_list_contains(set->relay_clients.at, set->relay_clients.n, &s->origin.client.ip))
        return relay_denied;
    *ret_route = (struct route){ .group = set->smart_host, .address = address->text };
    return passed;
}

static const struct directory *directory_of(const struct session *s, const struct conf_domain *domain) {
    if (domain->set.directory == CONF_DIRECTORY_OF)
        domain = conf_domain_find(s->server->conf, str_of(domain->set.directory_of));
    return domain != NULL ? s->server->directories[domain->index] : NULL;
}

static struct verdict validate(const struct session *s, const struct smtp_address *address, struct route *ret_route) {
    const struct conf_domain *domain = domain_of(s->server->conf, address);
    if (domain == NULL)
        return validate_foreign(s, address, ret_route);
    const struct recipient_lookup how = {
        .delimiter = domain->set.delimiter,
        .catch_all = domain->set.catch_all,
        .postmaster = domain->set.postmaster,
        .is_unchecked = domain->set.directory == CONF_DIRECTORY_NONE,
        .max_age_ms = s->server->conf->set.timeouts.directory_age,
    };
    enum recipient_way way;
    const char *rewrite = NULL;
    enum recipient_answer answer =
        recipient_find(directory_of(s, domain), &how, address, clock_wall_ms(), &way, &rewrite);
    *ret_route = (struct route){ .group = domain->set.servers, .address = rewrite ? str_of(rewrite) : address->text };
    struct verdict verdict = passed;
    switch (answer) {
    case RECIPIENT_KNOWN:
        verdict.rcpt_known = KNOWN_YES;
        break;
    case RECIPIENT_UNCHECKED: /* the mailbox server's answer to RCPT decides */
        verdict.rcpt_known = KNOWN_OFF;
        break;
    case RECIPIENT_UNKNOWN:
        return no_such_user;
    case RECIPIENT_NO_DIRECTORY:
        return no_directory;
    case RECIPIENT_STALE:
        return old_directory;
    }
    return verdict;
}

struct verdict recipient_validate(const struct session *s, const struct smtp_address *address,
                                  struct route *ret_route) {
    const struct transaction *t = s->transaction;
    if (t->n_asked >= s->server->conf->set.limits.recipients)
        return too_many_recipients;
    struct verdict verdict = validate(s, address, ret_route);
    if (verdict.action == ACTION_PASS && t->n_accepted > 0 && ret_route->group != t->group) {
        enum known known = verdict.rcpt_known;
        verdict = other_server;
        verdict.rcpt_known = known;
    }
    return verdict;
}

/* ---- messages */

const struct verdict bare_newline_verdict = {
    .action = ACTION_REJECT, .layer = "content", .rule = "BARE NEWLINE",
    .reply = { 550, "5.5.2", STR_INIT("Bare <CR> or <LF> in the message, lines must end in <CR><LF>") },
};
const struct verdict endless_verdict = {
    .action = ACTION_REJECT, .layer = "limit", .rule = "MESSAGE SIZE",
    .reply = { 552, "5.3.4", STR_INIT("Message too large, and no end of it") },
};
static const struct verdict too_large = {
    .action = ACTION_REJECT, .layer = "limit", .rule = "MESSAGE SIZE",
    .reply = { 552, "5.3.4", STR_INIT("Message too large: more than this host takes") },
};
static const struct verdict no_room = {
    .action = ACTION_DEFER, .layer = "limit", .rule = "NO ROOM",
    .reply = { 452, "4.3.1", STR_INIT("No room for the message here, try again later") },
};
static const struct verdict mail_loop = {
    .action = ACTION_REJECT, .layer = "limit", .rule = "MAIL LOOP",
    .reply = { 554, "5.4.6", STR_INIT("Too many hops: the message goes in circles") },
};

struct verdict sender_validate(const struct session *s) {
    const struct relay_envelope *envelope = &s->transaction->envelope; /* RFC 1870 6.1 */
    bool is_announced = (envelope->parameters & SMTP_HAS_SIZE) != 0;
    return is_announced && envelope->size > s->server->conf->set.limits.message_size ? too_large : passed;
}

struct verdict message_validate(const struct session *s) {
    const struct intake *intake = &s->transaction->intake;
    if (intake->is_too_large)
        return too_large;
    if (intake->spool_error != 0)
        return no_room;
    return intake->header.received > HEADER_RECEIVED_MAX ? mail_loop : passed;
}
