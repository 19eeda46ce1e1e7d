/*
 * gather_known: facts that are there for the looking, and how any fact gets its value.
 *
 * The wire, the directory and the tables answer at once, so nobody waits for these: gather_known_value(). A table or
 * pattern test is a fact of its own, made from the value it is about whenever that one is set: gather_set().
 */
#include "facts/gather_state.h"

#include "facts/helo.h"

struct str gather_helo_name(struct str name) {
    return name.len > 0 && name.at[name.len - 1] == '.' ? str_head(name, name.len - 1) : name;
}

/*
 * Its own name, or one of the addresses that we listen on or were reached at; where others speak for us (a balancer, an
 * address translator, Postfix), two tables say which names and addresses are ours besides.
 */
static bool is_ours(const struct gather *g, struct str helo, const struct ip *ip) {
    const struct conf *conf = g->world->conf;
    struct str name = gather_helo_name(helo);
    if (ip->family == IP_NONE)
        return str_eq_nocase(name, str_of(conf->set.hostname))
            || (conf->our_names != NULL && table_has(conf->our_names->table, name));
    if (ip_eq(ip, &g->known.server))
        return true;
    for (size_t i = 0; i < conf->n_listeners; i++)
        if (ip_eq(ip, &conf->listeners[i].at.ip))
            return true;
    return conf->our_addresses != NULL && table_has_ip(conf->our_addresses->table, ip);
}

static struct fact helo_value(const struct gather *g, enum fact_id id) {
    struct ip ip;
    struct str helo = g->known.helo;
    if (!g->known.has_helo)
        return (struct fact){ .state = FACT_OFF };
    struct helo_shape shape = helo_look(helo, &ip);
    bool is_name = !shape.is_address && !shape.is_invalid;
    switch ((unsigned)id) {
    case F_HELO_NAME:
        return fact_text(helo);
    case F_HELO_INVALID:
        return fact_bool(shape.is_invalid);
    case F_HELO_ADDRESS:
        return fact_bool(shape.is_address);
    case F_HELO_UNQUALIFIED:
        return fact_bool(shape.is_unqualified);
    case F_HELO_ACCESS:
        return fact_bool(is_name && name_classify(helo, &g->known.client) == NAME_ACCESS);
    case F_HELO_STATIC:
        return fact_bool(is_name && name_classify(helo, &g->known.client) == NAME_STATIC);
    }
    return fact_bool(is_ours(g, helo, &ip));
}

/* What the client does, which another server has seen and we have not. */
static struct fact client_value(const struct gather *g, const struct slot *slot) {
    const struct gather_known *known = &g->known;
    uint64_t n = known->connections;
    if (known->is_second_hand)
        return (struct fact){ .state = FACT_OFF };
    if (slot->row == &fact_rows[F_CLIENT_EARLY_TALKER])
        return fact_bool(known->is_early);
    if (slot->row == &fact_rows[F_CLIENT_RATE])
        n = g->world->rates == NULL ? 0
            : rates_value(g->world->rates, ip_client_key(&known->client), (enum rate_kind)slot->rate, slot->window_s,
                          loop_now(g->world->loop));
    return fact_number((int64_t)n * FACT_UNIT);
}

static struct fact message_value(const struct gather_message *message, enum fact_id id) {
    switch ((unsigned)id) {
    case F_HEADER_BAD:
        return message->header_bad;
    case F_ATTACHMENT_BANNED:
        return message->attachment_banned;
    case F_SIZE:
        return fact_number((int64_t)message->size * FACT_UNIT);
    }
    return fact_bool(message->has_bare_newlines);
}

struct fact gather_known_value(const struct gather *g, const struct slot *slot) {
    const struct gather_known *known = &g->known;
    const enum fact_id id = (enum fact_id)(slot->row - fact_rows);
    switch ((unsigned)id) {
    case F_CLIENT_EARLY_TALKER:
    case F_CLIENT_RATE:
    case F_CLIENT_CONNECTIONS:
        return client_value(g, slot);
    case F_CLIENT_TLS:
        return fact_bool(known->is_tls);
    case F_SENDER_ADDRESS:
        return fact_text(known->sender.text);
    case F_SENDER_DOMAIN:
        return fact_text(known->sender.domain);
    case F_SENDER_NULL:
        return fact_bool(known->sender.text.len == 0);
    case F_SENDER_OURS:
        return fact_bool(known->sender_is_ours);
    case F_RCPT_ADDRESS:
        return fact_text(known->recipient.text);
    case F_RCPT_DOMAIN:
        return fact_text(known->recipient.domain);
    case F_RCPT_POSTMASTER:
        return fact_bool(known->rcpt_is_postmaster);
    case F_RCPT_LOCAL:
        return known->rcpt_local;
    case F_RCPT_KNOWN:
        return known->rcpt_known;
    case F_RCPT_RELAY_ALLOWED:
        return known->relay_allowed;
    case F_RCPT_ENFORCED:
        return known->enforced;
    }
    if (known->message != NULL && id >= F_HEADER_BAD)
        return message_value(known->message, id);
    return id >= F_HELO_NAME && id <= F_HELO_OURS ? helo_value(g, id) : (struct fact){ .state = FACT_OFF };
}

/* A table or pattern test on a value that is known. */
static struct fact test_value(const struct gather *g, unsigned number, struct fact value) {
    const struct slot *slot = &g->policy->policy->slots[number];
    enum table_answer answer = TABLE_NO;
    if (slot->row == &fact_rows[F_CLIENT])
        return fact_bool(g->policy->tables[number] != NULL
                         && table_has_ip(g->policy->tables[number], &g->known.client));
    if (value.state != FACT_KNOWN)
        return value;
    if (slot->kind == SLOT_PATTERN)
        answer = pattern_ask(g->policy->patterns[number], value.text);
    else if (g->policy->tables[number] != NULL)
        answer = table_ask(g->policy->tables[number], value.text);
    return answer == TABLE_UNKNOWN ? (struct fact){ .state = FACT_UNAVAILABLE } : fact_bool(answer == TABLE_YES);
}

void gather_set(struct gather *g, unsigned number, struct fact value) {
    const struct slot *slot = &g->policy->policy->slots[number];
    struct fact *fact = gather_fact(g->memory, slot);
    *fact = slot->kind == SLOT_FACT ? value : test_value(g, number, value);
    fact->since_ms = g->world->loop != NULL ? (uint32_t)loop_now(g->world->loop) : 0;
}

void gather_fill(struct gather *g, enum group group, struct fact (*value)(const struct gather *, enum fact_id)) {
    const struct policy *policy = g->policy->policy;
    for (unsigned i = 0; i < policy->n_slots; i++) {
        const struct slot *slot = &policy->slots[i];
        const struct fact *fact = gather_fact(g->memory, slot);
        if (gather_group_of(slot) == group && (fact->state == FACT_UNASKED || fact->state == FACT_PENDING))
            gather_set(g, i, value(g, (enum fact_id)(slot->row - fact_rows)));
    }
}

struct fact gather_unavailable(const struct gather *g, enum fact_id id) {
    return (struct fact){ .state = FACT_UNAVAILABLE };
}

struct fact gather_off(const struct gather *g, enum fact_id id) {
    return (struct fact){ .state = FACT_OFF };
}
