/*
 * judge: brings a recipient before the policy.
 *
 * The session knows the wire, the directory and the tables; gather.c finds out the rest, if a rule asks for it. Facts
 * live as long as what they are about: the client's as long as the connection, the HELO's until the next one, the
 * sender's for a transaction. The session's array of them is made at its first recipient, so that an idle one has none.
 */
#include "session/state.h"

#include "policy/text.h"

#include <stdlib.h>

static const struct policy *policy_of(const struct session *s) {
    return s->server->conf->policy.policy;
}

/* ---- what is known for certain */

static struct fact known_fact(enum known known) {
    switch (known) {
    case KNOWN_YES:
        return fact_bool(true);
    case KNOWN_NO:
        return fact_bool(false);
    case KNOWN_UNAVAILABLE:
        return (struct fact){ .state = FACT_UNAVAILABLE };
    case KNOWN_OFF:
        break;
    }
    return (struct fact){ .state = FACT_OFF };
}

static bool is_postmaster(const struct smtp_address *address) {
    return str_eq_nocase(address->local, STR("postmaster")) || str_eq_nocase(address->local, STR("abuse"));
}

static bool is_from_outside(const struct session *s) {
    const struct conf_settings *set = &s->server->conf->set;
    return !cidr_list_contains(set->relay_clients.at, set->relay_clients.n, &s->origin.client.ip);
}

static struct gather_known known_of(const struct session *s) {
    const struct transaction *t = s->transaction;
    struct gather_known known = {
        .client = s->origin.client.ip,
        .is_early = s->is_early,
        .has_helo = true,
        .is_tls = stream_is_tls(&s->stream),
        .helo = s->helo,
        .recipient = t->asked_address,
        .rcpt_is_postmaster = is_postmaster(&t->asked_address),
        .rcpt_local = fact_bool(t->asked_view.is_local),
        .rcpt_known = known_fact(t->asked_view.known),
        .relay_allowed = fact_bool(t->asked_view.may_relay),
        .enforced = fact_bool(t->asked_view.is_enforced),
    };
    if (t->envelope.sender.len > 0)
        smtp_address_parse(t->envelope.sender, true, &known.sender);
    known.sender_is_ours = known.sender.domain.len > 0 && is_from_outside(s)
        && conf_domain_find(s->server->conf, known.sender.domain) != NULL;
    return known;
}

/* ---- from the policy's verdict to ours */

static void write_text(const struct session *s, const struct policy_verdict *verdict, struct str template,
                       struct buf *text) {
    const struct transaction *t = s->transaction;
    const struct policy *policy = policy_of(s);
    struct str values[N_PLACEHOLDERS] = { 0 };
    char client[IP_TEXT_MAX];
    values[TEXT_CLIENT] = str_of(ip_format(&s->origin.client.ip, client));
    values[TEXT_PTR] = ptr_name(&s->memory->ptr);
    values[TEXT_HELO] = s->helo;
    values[TEXT_SENDER] = t->envelope.sender;
    values[TEXT_SENDER_DOMAIN] = str_from(t->envelope.sender, str_find_last(t->envelope.sender, '@') + 1);
    values[TEXT_RCPT] = t->asked_address.text;
    values[TEXT_RCPT_DOMAIN] = t->asked_address.domain;
    values[TEXT_ID] = str_of(s->id);
    if (verdict->rule != RULE_NONE)
        values[TEXT_RULE] = policy->rules[verdict->rule].name;
    text_format(template, values, text);
}

static struct verdict verdict_of_policy(const struct session *s, const struct policy_verdict *from, struct buf *text) {
    const struct policy *policy = policy_of(s);
    struct verdict verdict = { .action = ACTION_PASS, .layer = str_of(layer_names[from->layer]) };
    s->memory->shadow = from->shadow;
    s->memory->open = from->open;
    if (from->rule != RULE_NONE)
        verdict.rule = policy->rules[from->rule].name;
    if (from->cause == CAUSE_DIRECTORY)
        verdict.rule = s->transaction->asked_view.is_stale ? STR("DIRECTORY TOO OLD") : STR("NO DIRECTORY");
    if (from->reply == NULL)
        return verdict;
    verdict.action = from->reply->code >= 500 ? ACTION_REJECT : ACTION_DEFER;
    write_text(s, from, from->reply->text, text);
    verdict.reply = (struct smtp_reply){ from->reply->code, from->reply->enhanced.at, buf_str(text) };
    return verdict;
}

/* ---- judging */

static const struct verdict no_memory = {
    .action = ACTION_DEFER, .layer = STR_INIT("limit"), .rule = STR_INIT("OUR TROUBLE"),
    .reply = { 451, "4.3.0", STR_INIT("Out of memory, try again later") },
};

static void on_gathered(void *arg, const struct policy_verdict *from) {
    struct session *s = arg;
    struct buf text;
    buf_init(&text, SMTP_REPLY_LINE_MAX);
    s->gather = NULL;
    struct verdict verdict = verdict_of_policy(s, from, &text);
    on_judged(s, &verdict);
    buf_deinit(&text);
}

bool judge_recipient(struct session *s, struct buf *text, struct verdict *ret_verdict) {
    const struct gather_world *world = &s->server->gather;
    const struct conf_policy *policy = &s->server->conf->policy;
    struct policy_verdict verdict;
    if (s->memory == NULL)
        s->memory = gather_memory_new(policy->policy);
    else
        gather_forget(s->memory, policy->policy, SCOPE_RECIPIENT);
    *ret_verdict = no_memory;
    if (s->memory == NULL)
        return true;
    struct gather_known known = known_of(s);
    if (gather_now(world, policy, LAYER_POLICY, &known, s->memory, &verdict)) {
        *ret_verdict = verdict_of_policy(s, &verdict, text);
        return true;
    }
    s->gather = gather_start(world, policy, LAYER_POLICY, &known, s->memory, on_gathered, s);
    return s->gather == NULL;
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
