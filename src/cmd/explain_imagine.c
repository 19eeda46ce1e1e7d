/*
 * explain_imagine: a delivery that was never made.
 *
 * What costs nothing is found out as in a session: syntax, tables, the recipient's directory. What would have to be
 * asked (DNS) stays unknown unless --dns; then a loop runs for this one decision. Facts that were given by --set are
 * not asked for, and win over what would have been found.
 *
 * The gathering stops at the first fact that it would have to ask for. To learn what is cheap about later rules too,
 * such facts count as unavailable for the moment, and are unknown again in the end.
 *
 * Without HELO or sender their facts are unknown; without recipient it is one of ours that exists, since a policy is
 * seldom about relaying. What the client did is not known from here: unless given, it did not talk too early, has this
 * one connection, and was never here before.
 */
#include "cmd/explain.h"

#include "base/clock.h"
#include "table/recipients.h"

#include <errno.h>
#include <stdio.h>

struct imagination {
    struct explain *e;
    struct gather_known known;
    struct policy_set held; /* slots that count as unavailable for the moment */
};

static int refuse(const char *what, const char *text) {
    fprintf(stderr, "postern: '%s' is no %s\n", text, what);
    return -EINVAL;
}

/* ---- what is known for certain */

static struct str without_brackets(const char *text) {
    struct str path = str_of(text);
    bool has_brackets = path.len >= 2 && path.at[0] == '<' && path.at[path.len - 1] == '>';
    return has_brackets ? (struct str){ path.at + 1, path.len - 2 } : path;
}

static int parse_path(const char *text, const char *what, struct smtp_address *ret_address) {
    struct str path = without_brackets(text);
    if (path.len > 0 && smtp_address_parse(path, true, ret_address) != SMTP_ADDRESS_OK)
        return refuse(what, text);
    return 0;
}

static const struct conf_domain *directory_domain(const struct conf *conf, const struct conf_domain *domain) {
    return domain->set.directory == CONF_DIRECTORY_OF ? conf_domain_find(conf, str_of(domain->set.directory_of))
                                                      : domain;
}

static struct directory *open_directory(const struct conf *conf, const struct conf_domain *domain) {
    struct directory *directory = NULL;
    struct buf path;
    buf_init(&path, 4096);
    if (domain != NULL && directory_path(conf->set.directory_path, str_of(domain->name), &path) == 0 &&
        buf_putc(&path, '\0') == 0 && directory_open(path.at, &directory) < 0)
        directory = NULL; /* missing or damaged: not known, as in a session */
    buf_deinit(&path);
    return directory;
}

static struct fact look_up_recipient(const struct conf *conf, const struct conf_domain *domain,
                                     const struct smtp_address *address, bool *ret_is_route) {
    const struct recipient_lookup how = {
        .delimiter = domain->set.delimiter,
        .catch_all = domain->set.catch_all,
        .postmaster = domain->set.postmaster,
        .is_unchecked = domain->set.directory == CONF_DIRECTORY_NONE,
        .takes_routes = domain->set.local_routes,
        .max_age_ms = conf->set.timeouts.directory_age,
    };
    struct directory *directory = open_directory(conf, directory_domain(conf, domain));
    enum recipient_way way;
    const char *rewrite;
    enum recipient_answer answer = recipient_find(directory, &how, address, clock_wall_ms(), &way, &rewrite);
    directory_free(directory);
    *ret_is_route = answer == RECIPIENT_ROUTE;
    switch (answer) {
    case RECIPIENT_KNOWN:
        return fact_bool(true);
    case RECIPIENT_UNKNOWN:
    case RECIPIENT_ROUTE:
        return fact_bool(false);
    case RECIPIENT_UNCHECKED:
        return (struct fact){ .state = FACT_OFF };
    case RECIPIENT_NO_DIRECTORY:
    case RECIPIENT_STALE:
        break;
    }
    return (struct fact){ .state = FACT_UNAVAILABLE };
}

static void know_recipient(struct imagination *i, bool is_given) {
    const struct conf *conf = i->e->conf;
    struct gather_known *known = &i->known;
    const struct conf_cidrs *relay = &conf->set.relay_clients;
    const struct conf_domain *domain = is_given ? conf_domain_find(conf, known->recipient.domain) : NULL;
    struct str local = known->recipient.local;
    bool may_relay = conf->set.smart_host != NULL && cidr_list_contains(relay->at, relay->n, &known->client);
    known->rcpt_is_postmaster = str_eq_nocase(local, STR("postmaster")) || str_eq_nocase(local, STR("abuse"));
    known->relay_allowed = fact_bool(domain == NULL && is_given && may_relay);
    bool is_route = false;
    known->rcpt_known = domain != NULL ? look_up_recipient(conf, domain, &known->recipient, &is_route)
                                       : is_given ? (struct fact){ .state = FACT_OFF } : fact_bool(true);
    known->rcpt_local = fact_bool((domain != NULL && !is_route) || !is_given);
    known->enforced = fact_bool(conf_is_enforced(conf, domain));
}

static int know(struct imagination *i, const struct explain_imagined *imagined) {
    const struct conf *conf = i->e->conf;
    struct gather_known *known = &i->known;
    if (ip_parse(str_of(imagined->client), &known->client) < 0)
        return refuse("address", imagined->client);
    if (imagined->from != NULL && parse_path(imagined->from, "sender", &known->sender) < 0)
        return -EINVAL;
    if (imagined->to != NULL && (parse_path(imagined->to, "recipient", &known->recipient) < 0 ||
                                 known->recipient.text.len == 0))
        return known->recipient.text.len == 0 ? refuse("recipient", imagined->to) : -EINVAL;
    known->connections = 1;
    known->has_helo = true;
    known->helo = str_of(imagined->helo != NULL ? imagined->helo : "");
    known->sender_is_ours = known->sender.domain.len > 0 && conf_domain_find(conf, known->sender.domain) != NULL &&
        !cidr_list_contains(conf->set.relay_clients.at, conf->set.relay_clients.n, &known->client);
    know_recipient(i, imagined->to != NULL);
    return 0;
}

/* ---- what stays unknown */

static struct fact *fact_of(struct imagination *i, unsigned number) {
    const struct slot *slot = &i->e->policy->slots[number];
    return &i->e->memory->facts.scope[slot->scope][slot->index];
}

static void hold(struct imagination *i, unsigned number) {
    struct fact *fact = fact_of(i, number);
    if (fact->state != FACT_UNASKED)
        return;
    fact->state = FACT_UNAVAILABLE;
    set_add(&i->held, number);
}

/* All that is about `subject` ("helo", "helo.dnsbl"). */
static void hold_subject(struct imagination *i, const char *subject) {
    struct str wanted = str_of(subject);
    for (unsigned number = 0; number < i->e->policy->n_slots; number++) {
        struct str of = str_of(i->e->policy->slots[number].row->subject);
        if (str_eq(str_head(of, str_find(of, '.')), wanted))
            hold(i, number);
    }
}

static void release_held(struct imagination *i) {
    for (int k = set_next(&i->held, 0); k >= 0; k = set_next(&i->held, (unsigned)k + 1)) {
        const struct slot *slot = &i->e->policy->slots[k];
        *fact_of(i, (unsigned)k) = i->e->policy->initial[slot->scope][slot->index];
    }
}

/* ---- finding out */

static void gather_cheap(struct imagination *i, const struct gather_world *world) {
    const struct conf_policy *policy = &i->e->conf->policy;
    struct policy_verdict verdict;
    while (!gather_now(world, policy, LAYER_POLICY, &i->known, i->e->memory, &verdict)) {
        for (int k = set_next(&verdict.need, 0); k >= 0; k = set_next(&verdict.need, (unsigned)k + 1))
            hold(i, (unsigned)k);
    }
}

/* What was found needs a source, for people. */
static void note_origins(struct explain *e) {
    for (unsigned number = 0; number < e->policy->n_slots; number++) {
        const struct slot *slot = &e->policy->slots[number];
        const struct fact *fact = fact_at(e->policy, &e->memory->facts, number);
        bool is_found = e->policy->initial[slot->scope][slot->index].state != FACT_KNOWN;
        if (is_found && e->origins[number].source.len == 0 && fact->state != FACT_UNASKED
            && fact->state != FACT_PENDING)
            e->origins[number].source = str_of(source_names[slot->row->source]);
    }
}

static void show(struct explain *e, const struct explain_imagined *imagined) {
    e->client = str_of(imagined->client);
    e->helo = str_of(imagined->helo);
    e->has_from = imagined->from != NULL;
    e->has_to = imagined->to != NULL;
    e->from = e->has_from ? without_brackets(imagined->from) : (struct str){ 0 };
    e->to = e->has_to ? without_brackets(imagined->to) : (struct str){ 0 };
    e->was_judged = true;
    e->is_at_connect = e->conf->set.refuse == CONF_REFUSE_AT_CONNECT;
}

int explain_imagine(struct explain *e, const struct explain_imagined *imagined) {
    struct imagination i = { .e = e };
    struct gather_world world = { .conf = e->conf, .timeout_ms = e->conf->set.dns.timeout };
    int r = know(&i, imagined);
    if (r < 0)
        return r;
    r = loop_new(&world.loop);
    if (r < 0)
        return r;
    if (imagined->helo == NULL)
        hold_subject(&i, "helo");
    if (imagined->from == NULL)
        hold_subject(&i, "sender");
    hold_subject(&i, "greylist"); /* the running service's store is not asked */
    if (imagined->asks_dns && e->conf->set.dns.use != CONF_DNS_OFF)
        r = explain_ask_dns(e, &world, &i.known, &i.held);
    else
        gather_cheap(&i, &world);
    release_held(&i);
    loop_free(world.loop);
    note_origins(e);
    explain_note_listings(e);
    show(e, imagined);
    return r;
}
