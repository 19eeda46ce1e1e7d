/*
 * answer: the one place where a verdict becomes a reply, a log line and a journal record.
 *
 * Every decision of a session has a number; ID.n names it in the reply, the log and the journal, so that one grep
 * leads from a sender's complaint to the reason. Log lines are shaped like Postfix's, with key=value behind, so that
 * pflogsumm and fail2ban read them: refusals as NAME/smtpd "NOQUEUE: reject: RCPT from …", messages handed on as
 * "ID_n: client=…" and, as NAME/relay, "ID_n: to=<…>, relay=…, status=sent (…)". pflogsumm wants queue ids of word
 * characters, hence ID_n there; `grep` for ID.n finds both.
 */
#include "session/state.h"

#include "base/clock.h"
#include "journal/record.h"
#include "session/answer_facts.h"
#include "session/folding.h"
#include "session/rehearsal.h"

#include <stdio.h>

/* ---- replies */

static void write_reply(struct session *s, const struct smtp_reply *reply) {
    struct buf *out = stream_out(&s->stream);
    if (out != NULL)
        smtp_reply_format(reply, out);
}

void say(struct session *s, unsigned code, const char *enhanced, const char *text) {
    const struct smtp_reply reply = { code, enhanced, str_of(text) };
    write_reply(s, &reply);
}

/* "TEXT [ID]": what a sender can quote and an administrator can look up. */
static void say_with_id(struct session *s, const struct smtp_reply *reply, const char *id) {
    char text[SMTP_REPLY_LINE_MAX];
    struct str shown = str_head(reply->text, SMTP_REPLY_LINE_MAX - 64);
    bool has_id = shown.at != NULL && memmem(shown.at, shown.len, id, ID_LEN) != NULL; /* a rule's own text with {id} */
    int len = snprintf(text, sizeof(text), "%.*s%s%s%s", STR_ARG(shown), has_id ? "" : " [", has_id ? "" : id,
                       has_id ? "" : "]");
    const struct smtp_reply with_id = { reply->code, reply->enhanced, { text, (size_t)len } };
    write_reply(s, &with_id);
}

void say_no(struct session *s, unsigned code, const char *enhanced, const char *text) {
    const struct smtp_reply reply = { code, enhanced, str_of(text) };
    say_with_id(s, &reply, s->id);
}

/* ---- outcomes at the mailbox server */

static struct verdict of_answer(const struct smtp_answer *answer, struct buf *text) {
    struct verdict verdict = { .layer = STR_INIT("relay"), .rule = STR_INIT("MAILBOX SERVER") };
    buf_put(text, answer->text, answer->text_len);
    verdict.reply = (struct smtp_reply){ answer->code, answer->enhanced[0] ? answer->enhanced : NULL, buf_str(text) };
    if (answer->code / 100 == 2)
        verdict.action = ACTION_PASS;
    else
        verdict.action = answer->code / 100 == 5 ? ACTION_REJECT : ACTION_DEFER;
    return verdict;
}

struct verdict verdict_of_refusal(const struct smtp_reply *reply) {
    return (struct verdict){ .action = ACTION_REJECT, .layer = STR_INIT("relay"), .rule = STR_INIT("MAILBOX SERVER"),
                             .reply = *reply };
}

struct verdict verdict_of_relay(const struct session *s, const struct relay_result *result, struct buf *text) {
    (void)s;
    static const struct {
        enum action action;
        const char *rule;
        struct smtp_reply reply;
    } outcomes[] = {
        [RELAY_TROUBLE] = { ACTION_DEFER, "MAILBOX SERVER TROUBLE",
                            { 451, "4.3.0", STR_INIT("The mailbox server is not ready for mail, try again later") } },
        [RELAY_NO_SERVER] = { ACTION_DEFER, "NO MAILBOX SERVER",
                              { 451, "4.4.1", STR_INIT("The mailbox server does not answer, try again later") } },
        [RELAY_BUSY] = { ACTION_DEFER, "MAILBOX SERVER BUSY",
                         { 451, "4.3.2", STR_INIT("The mailbox server is busy, try again later") } },
        [RELAY_LOST] = { ACTION_DEFER, "MAILBOX SERVER LOST",
                         { 451, "4.3.0", STR_INIT("The mailbox server went away, try again later") } },
        [RELAY_NEEDS_SMTPUTF8] = { ACTION_REJECT, "NO SMTPUTF8",
                                   { 550, "5.6.7", STR_INIT("The mailbox server takes ASCII addresses only") } },
        [RELAY_TOO_LARGE] = { ACTION_REJECT, "MESSAGE SIZE",
                              { 552, "5.3.4", STR_INIT("Message too large for the mailbox server") } },
        [RELAY_TOO_MANY] = { ACTION_DEFER, "TOO MANY RECIPIENTS",
                             { 452, "4.5.3", STR_INIT("Too many recipients in one message, send the rest apart") } },
        [RELAY_TIMED_OUT] = { ACTION_DEFER, "MAILBOX SERVER SLOW",
                              { 451, "4.4.2", STR_INIT("The mailbox server took too long, try again later") } },
        [RELAY_UNKNOWN] = { ACTION_DEFER, "OUTCOME UNKNOWN",
                            { 451, "4.4.2", STR_INIT("The mailbox server went away before it answered, try again") } },
        [RELAY_LOCAL] = { ACTION_DEFER, "OUR TROUBLE", { 451, "4.3.0", STR_INIT("Local trouble, try again later") } },
    };
    struct verdict verdict;
    if (result->outcome == RELAY_ANSWERED) {
        verdict = of_answer(result->answer, text);
    } else {
        verdict = (struct verdict){ .action = outcomes[result->outcome].action,
                                    .layer = STR_INIT("relay"),
                                    .rule = str_of(outcomes[result->outcome].rule),
                                    .reply = outcomes[result->outcome].reply };
    }
    if (result->outcome == RELAY_TIMED_OUT && result->is_final_dot_sent)
        verdict.rule = str_of(outcomes[RELAY_UNKNOWN].rule); /* it may have arrived, and the sender will try again */
    verdict.server = result->server;
    return verdict;
}

/* ---- log */

static struct envelope envelope_of(const struct session *s) {
    return (struct envelope){
        .id = s->id,
        .client = &s->origin.client.ip,
        .client_name = s->client_name,
        .helo = s->helo,
        .sender = s->transaction != NULL ? s->transaction->envelope.sender : (struct str){ 0 },
        .tls = str_of(stream_is_tls(&s->stream) ? tls_version_name(s->stream.ssl) : NULL),
        .is_early = s->is_early,
        .is_esmtp = s->is_esmtp,
    };
}

static struct str client_label(const struct session *s, char out[CLIENT_LABEL_MAX]) {
    const struct envelope envelope = envelope_of(s);
    return envelope_label(&envelope, out);
}

void log_connection(const struct session *s, const char *what) {
    char label[CLIENT_LABEL_MAX];
    client_label(s, label);
    const char *verb = s->last_verb == SMTP_UNKNOWN ? "CONNECT" : smtp_verb_name((enum smtp_verb)s->last_verb);
    folding_line(s->server, LOG_LEVEL_INFO, &s->origin.client.ip, what, s->id, "%s after %s from %s sid=%s", what,
                 s->phase == PHASE_DATA ? "DATA content" : verb, label, s->id);
}

static void log_refusal(const struct session *s, const char *stage, struct str recipient, const struct verdict *v,
                        const char *id) {
    struct envelope envelope = envelope_of(s);
    char words[CONTENT_WORDS_MAX];
    if (stage[0] == 'E')
        envelope.content = content_words(s->transaction, words);
    decision_log(s->server, &envelope, stage, recipient, v, id);
}

static void log_delivery(struct session *s, const struct verdict *v, const char *id) {
    const struct transaction *t = s->transaction;
    char label[CLIENT_LABEL_MAX], queue_id[NUMBERED_MAX];
    client_label(s, label);
    snprintf(queue_id, sizeof(queue_id), "%s", id);
    queue_id[ID_LEN] = '_';
    double seconds = (double)(clock_us() - t->began_us) / 1e6;
    const struct data_decoder *d = &t->intake.decoder;
    char bare[96] = "";
    if (d->bare_lf != 0 || d->bare_cr != 0 || d->nul != 0)
        snprintf(bare, sizeof(bare), " bare_lf=%u bare_cr=%u nul=%u", d->bare_lf, d->bare_cr, d->nul);
    char words[CONTENT_WORDS_MAX];
    log_info("%s: client=%s, helo=<%.*s> proto=%s%s%s%s%.*s sid=%s", queue_id, label, STR_ARG(s->helo),
             s->is_esmtp ? "ESMTP" : "SMTP", stream_is_tls(&s->stream) ? " tls=" : "",
             tls_version_name(s->stream.ssl), bare, STR_ARG(content_words(t, words)), id);
    log_ident("postern/relay");
    log_info("%s: from=<%.*s>, size=%llu, nrcpt=%u", queue_id, STR_ARG(t->envelope.sender),
             (unsigned long long)spool_size(&t->intake.spool), t->n_accepted);
    const bool *is_chosen = content_chosen(t);
    for (const struct recipient *r = t->accepted; r != NULL; r = r->next) {
        if (is_chosen == NULL || *is_chosen++)
            log_info("%s: to=<%.*s>, relay=%.*s, delay=%.2f, dsn=%s, status=sent (%u %.*s)", queue_id,
                     STR_ARG(r->address), STR_ARG(v->server), seconds, v->reply.enhanced ? v->reply.enhanced : "2.0.0",
                     v->reply.code, STR_ARG(v->reply.text));
        else
            log_info("%s: to=<%.*s>, relay=quarantine, delay=%.2f, dsn=2.0.0, status=sent (kept in quarantine as %s)",
                     queue_id, STR_ARG(r->address), seconds, id);
    }
    log_ident("postern/smtpd");
}

/* ---- journal */

static void begin(struct record *r, const struct session *s, const char *id) {
    const struct envelope envelope = envelope_of(s);
    record_begin(r, &s->server->journal->out);
    record_envelope(r, &envelope, s->memory, id);
}

static void record_time_taken(struct record *r, const struct session *s, bool was_relayed) {
    const struct transaction *t = s->transaction;
    if (t == NULL)
        return;
    uint64_t now = clock_us();
    record_open(r, "took_us", '{');
    record_u64(r, "transaction", now - t->began_us);
    if (t->judged_us > 0)
        record_u64(r, "content", t->judged_us - t->ended_us);
    if (was_relayed)
        record_u64(r, "relay", now - t->asked_us);
    record_close(r, '}');
}

/* The facts in memory are about this recipient: no limit refused it before the policy saw it. */
static bool was_judged(const struct session *s, struct str recipient) {
    const struct transaction *t = s->transaction;
    return s->memory != NULL && t != NULL && t->asked != NULL && t->asked->address.at == recipient.at;
}

/* True: the record is ended when rules that changed nothing know what they would have done. */
static bool rehearse(const struct session *s, struct record *r, const struct fold *fold) {
    if (!s->memory->has_shadow_need)
        return false;
    const struct gather_known known = judge_known(s, &s->transaction->asked_address, &s->transaction->asked_view);
    const struct envelope envelope = envelope_of(s);
    return rehearsal_start(s->server, r, &envelope, &known, s->memory, fold);
}

static void journal_recipient(struct session *s, struct str recipient, const struct verdict *v, const char *id) {
    if (s->server->journal->fd < 0)
        return;
    struct record r;
    begin(&r, s, id);
    record_recipient(&r, recipient, v);
    record_verdict(&r, v);
    record_time_taken(&r, s, v->server.len > 0);
    const struct envelope envelope = envelope_of(s);
    struct fold fold = fold_of(&envelope, v, "RCPT", id);
    if (was_judged(s, recipient)) {
        if (rehearse(s, &r, &fold))
            return;
        record_judgement(&r, s->server->conf, s->memory, loop_now(s->server->loop));
        fold_add_judgement(&fold, s->memory, &s->memory->shadow);
    }
    decision_record_end(&r, s->server, &fold);
}

static void journal_message(struct session *s, const struct verdict *v, const char *id) {
    if (s->server->journal->fd < 0)
        return;
    const struct transaction *t = s->transaction;
    struct record r;
    begin(&r, s, id);
    record_open(&r, "rcpts", '[');
    for (const struct recipient *to = t->accepted; to != NULL; to = to->next)
        record_str(&r, NULL, to->address);
    record_close(&r, ']');
    record_verdict(&r, v);
    record_time_taken(&r, s, v->server.len > 0);
    const bool is_refusal = v->action == ACTION_REJECT || v->action == ACTION_DEFER;
    const struct envelope envelope = envelope_of(s);
    struct fold fold = is_refusal ? fold_of(&envelope, v, "END-OF-MESSAGE", id) : (struct fold){ 0 };
    content_record_end(s, &r, &fold);
}

static void journal_client(struct session *s, const struct verdict *v, const char *id) {
    if (s->server->journal->fd < 0)
        return;
    struct record r;
    begin(&r, s, id);
    record_verdict(&r, v);
    const struct envelope envelope = envelope_of(s);
    struct fold fold = fold_of(&envelope, v, "CONNECT", id);
    if (s->memory != NULL) {
        record_judgement(&r, s->server->conf, s->memory, loop_now(s->server->loop));
        fold_add_judgement(&fold, s->memory, &s->memory->shadow);
    }
    decision_record_end(&r, s->server, &fold);
}

/* ---- verdicts */

void answer_client(struct session *s, const struct verdict *v) {
    const struct envelope envelope = envelope_of(s);
    char id[NUMBERED_MAX];
    decision_number(s->id, &s->n_decisions, id);
    s->server->counters->turned_away++;
    say_with_id(s, &v->reply, id);
    decision_log_client(s->server, &envelope, v, id);
    journal_client(s, v, id);
}

void answer_recipient(struct session *s, struct str recipient, const struct verdict *v) {
    char id[NUMBERED_MAX];
    decision_number(s->id, &s->n_decisions, id);
    decision_count(s->server->counters, v);
    if (v->action == ACTION_PASS) {
        write_reply(s, &v->reply);
    } else {
        say_with_id(s, &v->reply, id);
        log_refusal(s, "RCPT", recipient, v, id);
    }
    journal_recipient(s, recipient, v, id);
}

void answer_message(struct session *s, const struct verdict *v) {
    char id[NUMBERED_MAX];
    decision_number(s->id, &s->n_decisions, id);
    say_with_id(s, &v->reply, id);
    if (v->action == ACTION_PASS || v->action == ACTION_QUARANTINE) {
        s->server->counters->messages++;
        log_delivery(s, v, id);
    } else {
        struct str first = s->transaction->accepted != NULL ? s->transaction->accepted->address : (struct str){ 0 };
        log_refusal(s, s->last_verb == SMTP_MAIL ? "MAIL" : "END-OF-MESSAGE", first, v, id);
    }
    journal_message(s, v, id);
}
