/*
 * judge: brings a recipient before the policy, or a client that has not named one.
 *
 * The session knows the wire, the directory and the tables; gather.c finds out the rest, if a rule asks for it. Facts
 * live as long as what they are about: the client's as long as the connection, the HELO's until the next one, the
 * sender's for a transaction. The session's array of them is made at its first recipient, so that an idle one has none,
 * unless clients are refused at connect.
 *
 * What only shadow rules want to know is found out after the reply: rehearsal.h.
 */
#include "session/state.h"

#include <stdlib.h>

/* ---- what is known for certain */

static bool is_from_outside(const struct session *s) {
    const struct conf_settings *set = &s->server->conf->set;
    return !cidr_list_contains(set->relay_clients.at, set->relay_clients.n, &s->origin.client.ip);
}

/* Layer connection asks about nothing else. */
static struct gather_known known_of_client(const struct session *s) {
    return (struct gather_known){
        .client = s->origin.client.ip,
        .connections = s->place.client->connections,
        .is_early = s->is_early,
        .enforced = fact_bool(true),
    };
}

/* Our address, where the HELO may be about it: else it is not worth a system call. */
static struct ip server_address(const struct session *s) {
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(address);
    bool may_be_address = s->helo.len > 0
        && (strchr("[0123456789", s->helo.at[0]) != NULL || str_find(s->helo, ':') < s->helo.len);
    if (s->origin.server.family != IP_NONE || !may_be_address)
        return s->origin.server;
    getsockname(s->stream.watch.fd, (struct sockaddr *)&address, &len);
    return endpoint_from_sockaddr(&address).ip;
}

struct gather_known judge_known(const struct session *s, const struct smtp_address *address,
                                const struct recipient_view *view) {
    const struct transaction *t = s->transaction;
    struct gather_known known = {
        .client = s->origin.client.ip,
        .server = server_address(s),
        .connections = s->place.client->connections,
        .is_early = s->is_early,
        .has_helo = true,
        .is_tls = stream_is_tls(&s->stream),
        .helo = s->helo,
        .recipient = *address,
        .rcpt_is_postmaster = recipient_is_postmaster(address),
        .rcpt_local = fact_bool(view->is_local && !view->is_route),
        .rcpt_known = known_fact(view->known),
        .relay_allowed = fact_bool(view->may_relay),
        .enforced = fact_bool(view->is_enforced),
    };
    if (t->envelope.sender.len > 0)
        smtp_address_parse(t->envelope.sender, true, &known.sender);
    known.sender_is_ours = known.sender.domain.len > 0 && is_from_outside(s)
        && conf_domain_find(s->server->conf, known.sender.domain) != NULL;
    return known;
}

/* ---- from the policy's verdict to ours */

struct verdict judge_words(const struct session *s, const struct policy_verdict *from,
                           const struct smtp_address *address, const struct recipient_view *view, struct buf *text) {
    const struct envelope envelope = { .id = s->id, .n_decisions = s->n_decisions, .client = &s->origin.client.ip,
                                       .helo = s->helo, .sender = s->transaction->envelope.sender };
    return verdict_of_policy(s->server->conf, s->memory, &envelope, address, view->is_stale, from, text);
}

static struct verdict verdict_of(const struct session *s, const struct policy_verdict *from, struct buf *text) {
    const struct transaction *t = s->transaction;
    if (from->rule == RULE_NO_SUCH_USER && from->cause == CAUSE_RULE)
        count_event(s, RATE_UNKNOWN);
    return judge_words(s, from, &t->asked_address, &t->asked_view, text);
}

/* Said instead of a greeting. */
static struct verdict verdict_of_client(const struct session *s, const struct policy_verdict *from, struct buf *text) {
    static const struct smtp_address nobody;
    const struct envelope envelope = { .id = s->id, .n_decisions = s->n_decisions, .client = &s->origin.client.ip };
    struct verdict verdict = verdict_of_policy(s->server->conf, s->memory, &envelope, &nobody, false, from, text);
    if (verdict.action != ACTION_PASS)
        verdict.reply.code = verdict_code_at_connect(verdict.action == ACTION_REJECT);
    return verdict;
}

/* ---- judging clients */

static bool has_accept(const struct policy *policy) {
    for (unsigned i = policy->first_rule[LAYER_CONNECTION]; i < policy->first_rule[LAYER_CONNECTION + 1]; i++)
        if (policy->rules[i].action == ACT_ACCEPT)
            return true;
    return false;
}

bool judge_accepts(struct session *s) {
    const struct conf_policy *policy = &s->server->conf->policy;
    const struct gather_known known = known_of_client(s);
    struct policy_verdict verdict;
    struct gather_memory *memory = has_accept(policy->policy) ? gather_memory_new(policy->policy) : NULL;
    bool is_decided = memory != NULL
        && gather_now(&s->server->gather, policy, LAYER_CONNECTION, &known, memory, &verdict);
    free(memory); /* an idle session has none */
    return is_decided && verdict.action == ACT_ACCEPT;
}

static void on_client_gathered(void *arg, const struct policy_verdict *from) {
    struct session *s = arg;
    char words[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_IN(words);
    s->gather = NULL;
    struct verdict verdict = verdict_of_client(s, from, &text);
    on_client_judged(s, &verdict);
}

/* May come a second time, when the client has talked meanwhile: all that DNS said is still true. */
bool judge_client(struct session *s, struct buf *text, struct verdict *ret_verdict) {
    const struct gather_world *world = &s->server->gather;
    const struct conf_policy *policy = &s->server->conf->policy;
    const struct gather_known known = known_of_client(s);
    struct policy_verdict verdict;
    judge_cancel(s);
    if (s->memory == NULL)
        s->memory = gather_memory_new(policy->policy);
    else
        gather_forget_fact(s->memory, policy->policy, F_CLIENT_EARLY_TALKER);
    *ret_verdict = no_memory_verdict;
    if (s->memory == NULL)
        return true;
    if (gather_now(world, policy, LAYER_CONNECTION, &known, s->memory, &verdict)) {
        *ret_verdict = verdict_of_client(s, &verdict, text);
        return true;
    }
    s->gather = gather_start(world, policy, LAYER_CONNECTION, &known, s->memory, on_client_gathered, s);
    return s->gather == NULL;
}

/* ---- judging recipients */

static void on_gathered(void *arg, const struct policy_verdict *from) {
    struct session *s = arg;
    char words[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_IN(words);
    s->gather = NULL;
    struct verdict verdict = verdict_of(s, from, &text);
    on_judged(s, &verdict);
}

bool judge_recipient(struct session *s, struct buf *text, struct verdict *ret_verdict) {
    const struct gather_world *world = &s->server->gather;
    const struct conf_policy *policy = &s->server->conf->policy;
    struct policy_verdict verdict;
    if (s->memory == NULL)
        s->memory = gather_memory_new(policy->policy);
    else
        gather_forget(s->memory, policy->policy, SCOPE_RECIPIENT);
    *ret_verdict = no_memory_verdict;
    if (s->memory == NULL)
        return true;
    count_event(s, RATE_RECIPIENTS);
    struct gather_known known = judge_known(s, &s->transaction->asked_address, &s->transaction->asked_view);
    if (gather_now(world, policy, LAYER_POLICY, &known, s->memory, &verdict)) {
        *ret_verdict = verdict_of(s, &verdict, text);
        return true;
    }
    s->gather = gather_start(world, policy, LAYER_POLICY, &known, s->memory, on_gathered, s);
    return s->gather == NULL;
}

void judge_credit(struct session *s) {
    const struct transaction *t = s->transaction;
    const bool *is_chosen = content_chosen(t);
    struct smtp_address sender = { 0 }, recipient;
    if (t->envelope.sender.len > 0)
        smtp_address_parse(t->envelope.sender, true, &sender);
    for (const struct recipient *r = t->accepted; r != NULL; r = r->next) {
        bool got_it = is_chosen == NULL || *is_chosen++; /* for the others it was refused, or lies in the quarantine */
        if (got_it && r->may_earn && smtp_address_parse(r->address, true, &recipient) == SMTP_ADDRESS_OK)
            gather_credit(&s->server->gather, s->memory, &s->origin.client.ip, &sender, &recipient);
    }
}

void judge_cancel(struct session *s) {
    gather_cancel(s->gather);
    s->gather = NULL;
    if (s->memory != NULL)
        gather_forget_unavailable(s->memory, policy_of(s));
}

void judge_forget(struct session *s, enum fact_scope scope) {
    judge_cancel(s);
    if (s->memory != NULL)
        gather_forget(s->memory, policy_of(s), scope);
}
