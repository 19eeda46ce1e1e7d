/*
 * decision: how is a verdict told?
 *
 * Log lines are shaped like Postfix's, with key=value behind, so that pflogsumm and fail2ban read them. What the two
 * doors have in common stands here; what only a session has (deliveries, time taken) in answer.c, the answers of
 * Postfix's protocol in policy_door.c.
 */
#include "session/decision.h"

#include "base/clock.h"
#include "facts/greylist.h"
#include "policy/text.h"
#include "session/folding.h"

#include <stdio.h>

const struct verdict no_memory_verdict = {
    .action = ACTION_DEFER, .layer = STR_INIT("limit"), .rule = STR_INIT("OUR TROUBLE"),
    .reply = { 451, "4.3.0", STR_INIT("Out of memory, try again later") },
};

void decision_number(const char *id, uint32_t *n, char out[NUMBERED_MAX]) {
    char digits[U64_DIGITS_MAX];
    struct str number = str_of_u64(++*n, digits);
    size_t len = strnlen(id, ID_LEN);
    memcpy(out, id, len);
    out[len++] = '.';
    memcpy(out + len, number.at, number.len);
    out[len + number.len] = '\0';
}

/* ---- from the policy */

struct fact known_fact(enum known known) {
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

static void write_text(const struct conf *conf, const struct gather_memory *memory, const struct envelope *e,
                       const struct smtp_address *recipient, const struct policy_verdict *verdict, struct buf *text) {
    struct str values[N_PLACEHOLDERS] = { 0 };
    char client[IP_TEXT_MAX], zones[LIST_ZONES_MAX], numbered[NUMBERED_MAX], seconds[16];
    uint32_t n = e->n_decisions;
    decision_number(e->id, &n, numbered);
    values[TEXT_CLIENT] = str_of(ip_format(e->client, client));
    values[TEXT_PTR] = ptr_name(&memory->ptr);
    values[TEXT_HELO] = e->helo;
    values[TEXT_SENDER] = e->sender;
    values[TEXT_SENDER_DOMAIN] = str_from(e->sender, str_find_last(e->sender, '@') + 1);
    values[TEXT_RCPT] = recipient->text;
    values[TEXT_RCPT_DOMAIN] = recipient->domain;
    values[TEXT_ID] = str_of(numbered);
    values[TEXT_LIST] = list_answers_zones(memory->lists, conf, &conf->policy, &verdict->because, zones);
    values[TEXT_VIRUS] = memory->virus_name;
    values[TEXT_REASON] = (struct str){ memory->reasons, memory->reasons_len };
    if (memory->reasons_len == 0)
        values[TEXT_REASON] = values[TEXT_LIST];
    if (memory->greylist.is_answered) {
        snprintf(seconds, sizeof(seconds), "%u", greylist_seconds_told(memory->greylist.answer.seconds_left));
        values[TEXT_SECONDS] = str_of(seconds);
    }
    if (verdict->rule != RULE_NONE)
        values[TEXT_RULE] = conf->policy.policy->rules[verdict->rule].name;
    text_format(verdict->reply->text, values, text);
}

struct verdict verdict_of_policy(const struct conf *conf, struct gather_memory *memory,
                                 const struct envelope *envelope, const struct smtp_address *recipient, bool is_stale,
                                 const struct policy_verdict *from, struct buf *text) {
    const struct policy *policy = conf->policy.policy;
    struct verdict verdict = { .action = ACTION_PASS, .layer = str_of(layer_names[from->layer]) };
    memory->shadow = from->shadow;
    memory->open = from->open;
    memory->against = from->reply == NULL || from->open != RULE_NONE ? 0
        : list_answers_all_against(memory->lists, conf, &conf->policy, &from->because);
    memory->has_shadow_need = !set_is_empty(&from->shadow_need);
    if (from->rule != RULE_NONE)
        verdict.rule = policy->rules[from->rule].name;
    if (from->cause == CAUSE_DIRECTORY)
        verdict.rule = is_stale ? STR("DIRECTORY TOO OLD") : STR("NO DIRECTORY");
    if (from->reply == NULL)
        return verdict;
    verdict.action = from->reply->code >= 500 ? ACTION_REJECT : ACTION_DEFER;
    buf_puts(text, from->reply->enhanced); /* which may stand in the middle of the policy's text */
    buf_putc(text, '\0');
    size_t start = text->len;
    write_text(conf, memory, envelope, recipient, from, text);
    verdict.reply = (struct smtp_reply){ from->reply->code, text->at, str_from(buf_str(text), start) };
    return verdict;
}

/* ---- log */

struct str envelope_label(const struct envelope *envelope, char out[CLIENT_LABEL_MAX]) {
    char ip[IP_TEXT_MAX];
    struct str name = str_is_empty(envelope->client_name) ? STR("unknown") : envelope->client_name;
    struct str address = str_of(ip_format(envelope->client, ip));
    name = str_head(name, CLIENT_LABEL_MAX - IP_TEXT_MAX - 3);
    memcpy(out, name.at, name.len);
    out[name.len] = '[';
    memcpy(out + name.len + 1, address.at, address.len);
    memcpy(out + name.len + 1 + address.len, "]", 2);
    return (struct str){ out, name.len + address.len + 2 };
}

static bool is_relay_denied(const struct verdict *verdict) {
    return str_eq(verdict->rule, STR("RELAY DENIED"));
}

/* "Recipient address rejected: …" is how pflogsumm knows one kind from another. */
static struct str pflogsumm_words(const struct verdict *verdict) {
    return is_relay_denied(verdict) ? STR("") : STR("Recipient address rejected: ");
}

static struct str code_text(unsigned code, char out[3]) {
    out[0] = (char)('0' + code / 100);
    out[1] = (char)('0' + code / 10 % 10);
    out[2] = (char)('0' + code % 10);
    return (struct str){ out, 3 };
}

/* The words of a line, gathered: an empty one costs nothing. */
struct log_gather {
    struct str at[48];
    size_t n;
};

static void add(struct log_gather *g, struct str word) {
    if (word.len > 0 && g->n < sizeof(g->at) / sizeof(*g->at))
        g->at[g->n++] = word;
}

static void add_named(struct log_gather *g, struct str before, struct str word, struct str behind) {
    add(g, before);
    add(g, word);
    add(g, behind);
}

/* "450 4.7.1 " */
static void add_codes(struct log_gather *g, const struct verdict *v, char code[3]) {
    add_named(g, STR(""), code_text(v->reply.code, code), STR(" "));
    add_named(g, STR(""), str_of(v->reply.enhanced), STR(" "));
}

void decision_log(const struct server *server, const struct envelope *e, const char *stage, struct str recipient,
                  const struct verdict *v, const char *numbered) {
    char label[CLIENT_LABEL_MAX], code[3];
    struct log_gather g = { .n = 0 };
    add_named(&g, STR("NOQUEUE: reject: "), str_of(stage), STR(" from "));
    add_named(&g, STR(""), envelope_label(e, label), STR(": "));
    add_codes(&g, v, code);
    if (stage[0] == 'R') {
        add_named(&g, STR("<"), recipient, STR(">: "));
        add(&g, pflogsumm_words(v));
    }
    add_named(&g, STR(""), v->reply.text, STR("; "));
    add_named(&g, STR("from=<"), e->sender, STR("> "));
    add_named(&g, STR("to=<"), recipient, STR("> "));
    add_named(&g, STR("proto="), e->is_esmtp ? STR("ESMTP") : STR("SMTP"), STR(" "));
    add_named(&g, STR("helo=<"), e->helo, STR("> "));
    add_named(&g, STR("layer="), v->layer, STR(" "));
    add_named(&g, STR("rule=\""), v->rule, STR("\""));
    add(&g, e->content);
    if (v->server.len > 0)
        add_named(&g, STR(" server="), v->server, STR(""));
    if (e->door != NULL)
        add_named(&g, STR(" door="), str_of(e->door), STR(""));
    add_named(&g, STR(" sid="), str_of(numbered), STR(""));
    /* Postfix logs its own NOQUEUE line of what is asked at its door: no reader should count both. */
    folding_log(server, e->client, fold_what(v, e->door != NULL ? e->door : stage), numbered, g.at, g.n,
                e->door != NULL ? "postern/policy" : "postern/smtpd");
}

void decision_log_client(const struct server *server, const struct envelope *e, const struct verdict *v,
                         const char *numbered) {
    char text[CLIENT_LABEL_MAX], code[3];
    struct str label = envelope_label(e, text);
    struct log_gather g = { .n = 0 };
    add_named(&g, STR("NOQUEUE: reject: CONNECT from "), label, STR(": "));
    add_codes(&g, v, code);
    add_named(&g, STR("<"), label, STR(">: Client host rejected: "));
    add_named(&g, STR(""), v->reply.text, STR("; proto=SMTP "));
    add_named(&g, STR("layer="), v->layer, STR(" "));
    add_named(&g, STR("rule=\""), v->rule, STR("\""));
    add_named(&g, STR(" sid="), str_of(numbered), STR(""));
    folding_log(server, e->client, fold_what(v, "CONNECT"), numbered, g.at, g.n, "postern/smtpd");
}

/* ---- counters */

void decision_count(struct worker_counters *counters, const struct verdict *v) {
    switch (v->action) {
    case ACTION_PASS:
        counters->recipients_passed++;
        break;
    case ACTION_REJECT:
        counters->refused++;
        break;
    case ACTION_DEFER:
        counters->deferred++;
        break;
    case ACTION_QUARANTINE: /* of messages alone */
        break;
    }
    if (is_relay_denied(v)) /* not any 554: mailbox servers have their own */
        counters->relay_denied++;
    if (v->rcpt_known == KNOWN_NO)
        counters->unknown++;
}

/* ---- journal */

static const char *const outcome_names[] = { [ACTION_PASS] = "pass", [ACTION_REJECT] = "reject",
                                            [ACTION_DEFER] = "defer", [ACTION_QUARANTINE] = "quarantine" };
static const char *const known_names[] = { [KNOWN_OFF] = "off", [KNOWN_YES] = "yes", [KNOWN_NO] = "no",
                                           [KNOWN_UNAVAILABLE] = "unavailable" };

struct str envelope_ptr(const struct envelope *e, const struct gather_memory *memory) {
    return e->client_name.len > 0 || memory == NULL || memory->ptr.status < PTR_UNCONFIRMED ? e->client_name
                                                                                            : ptr_name(&memory->ptr);
}

void record_envelope(struct record *r, const struct envelope *e, const struct gather_memory *memory,
                     const char *numbered) {
    struct str ptr = envelope_ptr(e, memory);
    record_time(r, "time", clock_wall_ms());
    record_str(r, "id", str_of(numbered));
    if (e->door != NULL)
        record_str(r, "door", str_of(e->door));
    record_ip(r, "client", e->client);
    if (ptr.len > 0)
        record_str(r, "ptr", ptr);
    record_str(r, "helo", e->helo);
    record_str(r, "sender", e->sender);
    if (e->door == NULL)
        record_bool(r, "early_talker", e->is_early);
    record_str(r, "tls", e->tls);
}

void record_recipient(struct record *r, struct str recipient, const struct verdict *v) {
    record_str(r, "rcpt", recipient);
    record_str(r, "rcpt_known", str_of(known_names[v->rcpt_known]));
}

static void record_reply(struct record *r, const struct smtp_reply *reply) {
    record_open(r, "reply", '{');
    record_u64(r, "code", reply->code);
    if (reply->enhanced != NULL)
        record_str(r, "enhanced", str_of(reply->enhanced));
    record_str(r, "text", reply->text);
    record_close(r, '}');
}

void record_verdict(struct record *r, const struct verdict *v) {
    record_str(r, "layer", v->layer);
    if (v->rule.len > 0)
        record_str(r, "rule", v->rule);
    record_str(r, "action", str_of(outcome_names[v->action]));
    if (v->reply.code != 0)
        record_reply(r, &v->reply);
    if (v->server.len > 0)
        record_str(r, "server", v->server);
}

void decision_record_end(struct record *r, const struct server *server, const struct fold *fold) {
    if (!folding_record(server, r, fold) && record_end(r) < 0)
        server->journal->lost++;
    server->counters->journal_lost = server->journal->told + server->journal->lost;
}
