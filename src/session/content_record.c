/*
 * content_record: what was a message, and why was it treated so? Members of its journal record, of one that was judged:
 *
 *     "rcpt":"user@example.com"                  the decisive recipient, whose verdict the record's own is
 *     "kind":"spam"                              see content.h
 *     "tags":["SPAM","BAD HEADER"]               of the copy that was handed on; left out: none
 *     "bad_header":"Date is missing"             what is wrong, where a rule asks about headers
 *     "banned":"a.pdf.exe: extension exe"        likewise about attachments
 *     "virus":"Eicar-Signature"
 *     "spam":{"score":7.2,"required":5,"tests":"BAYES_99,HTML_MESSAGE"}
 *     "unscanned":{"virus":"larger than 25 MiB"} why a scanner that was needed said nothing
 *     "verdicts":[{"rcpt":"…","action":"quarantine","rule":"SPAM","kind":"spam"}]    of those that differ from the
 *                                                record's own, which is the decisive recipient's ("rcpt")
 *
 * Sizes and bare newlines are told of every message, and with them the facts of the decisive recipient's judgement
 * (answer_facts.h), so that it can be decided again.
 */
#include "session/answer_facts.h"
#include "session/rehearsal.h"
#include "session/content_state.h"

static void record_tags(struct record *r, const struct policy *policy, const struct policy_set *tags) {
    int i = content_tag(policy, tags, 0);
    if (i < 0)
        return;
    record_open(r, "tags", '[');
    for (; i >= 0; i = content_tag(policy, tags, i + 1))
        record_str(r, NULL, policy->rules[i].name);
    record_close(r, ']');
}

static bool is_missed(enum scan_state state) {
    return state == SCAN_SKIPPED || state == SCAN_UNAVAILABLE;
}

static void record_scan(struct record *r, const struct scan *scan) {
    const struct scan_virus *virus = scan_virus(scan);
    const struct scan_spam *spam = scan_spam(scan);
    if (virus->state == SCAN_DONE && virus->name.len > 0)
        record_str(r, "virus", virus->name);
    if (spam->state == SCAN_DONE) {
        record_open(r, "spam", '{');
        record_thousandths(r, "score", spam->score);
        record_thousandths(r, "required", spam->threshold);
        record_str(r, "tests", spam->symbols);
        record_close(r, '}');
    }
    if (!is_missed(virus->state) && !is_missed(spam->state))
        return;
    record_open(r, "unscanned", '{');
    if (is_missed(virus->state))
        record_str(r, "virus", virus->why);
    if (is_missed(spam->state))
        record_str(r, "spam", spam->why);
    record_close(r, '}');
}

static void record_faults(struct record *r, const struct look *look) {
    if (look_header_fault(look).len > 0)
        record_str(r, "bad_header", look_header_fault(look));
    if (look_banned_name(look).len > 0)
        record_str(r, "banned", look_banned_name(look));
}

static bool is_same(const struct content_verdict *a, const struct content_verdict *b) {
    return a->action == b->action && a->rule == b->rule;
}

static void record_others(struct record *r, const struct content *c, const struct transaction *t) {
    const struct policy *policy = policy_of(c->session);
    const struct content_verdict *decisive = &c->verdicts[t->outcome.decisive];
    const struct recipient *to = t->accepted;
    bool is_open = false;
    for (unsigned i = 0; i < c->n_judged; i++, to = to->next) {
        const struct content_verdict *v = &c->verdicts[i];
        if (is_same(v, decisive))
            continue;
        if (!is_open)
            record_open(r, "verdicts", '[');
        is_open = true;
        record_open(r, NULL, '{');
        record_str(r, "rcpt", to->address);
        record_str(r, "action", str_of(action_names[v->action]));
        if (v->rule != RULE_NONE)
            record_str(r, "rule", policy->rules[v->rule].name);
        record_str(r, "kind", str_of(content_kind_name((enum content_kind)v->kind)));
        record_close(r, '}');
    }
    if (is_open)
        record_close(r, ']');
}

struct str content_words(const struct transaction *t, char out[CONTENT_WORDS_MAX]) {
    const struct content *c = t->content;
    if (c == NULL || c->n_judged == 0)
        return (struct str){ out, 0 };
    const struct scan *scan = c->message.scan;
    struct str file = str_head(look_banned_name(t->intake.look), CONTENT_WORDS_MAX / 4);
    size_t len = (size_t)snprintf(out, CONTENT_WORDS_MAX, " content=%s",
                                  content_kind_name((enum content_kind)c->verdicts[t->outcome.decisive].kind));
    if (scan != NULL && scan_virus(scan)->state == SCAN_DONE && scan_virus(scan)->name.len > 0)
        len += (size_t)snprintf(out + len, CONTENT_WORDS_MAX - len, " virus=%.*s", STR_ARG(scan_virus(scan)->name));
    if (scan != NULL && scan_spam(scan)->state == SCAN_DONE)
        len += (size_t)snprintf(out + len, CONTENT_WORDS_MAX - len, " score=%.1f",
                                (double)scan_spam(scan)->score / FACT_UNIT);
    if (file.len > 0)
        len += (size_t)snprintf(out + len, CONTENT_WORDS_MAX - len, " file=<%.*s>", STR_ARG(file));
    return (struct str){ out, len }; /* names have their maxima: it fits */
}

/* What reports count of it beside its verdict. */
static void add_kind(struct fold *fold, const struct content *c, const struct transaction *t) {
    const struct scan *scan = c->message.scan;
    fold_add(fold, &c->verdicts[t->outcome.decisive].kind, sizeof(c->verdicts[t->outcome.decisive].kind));
    if (scan != NULL && scan_virus(scan)->state == SCAN_DONE && scan_virus(scan)->name.len > 0)
        fold_add(fold, scan_virus(scan)->name.at, scan_virus(scan)->name.len);
}

void content_record_end(struct session *s, struct record *r, struct fold *fold) {
    struct transaction *t = s->transaction;
    const struct content *c = t->content;
    struct content_facts facts = { .size = spool_size(&t->intake.spool),
                                   .has_bare_newlines = intake_has_bare(&t->intake) };
    if (c != NULL && c->n_judged > 0) {
        const struct recipient *decisive = t->accepted;
        for (unsigned i = 0; i < t->outcome.decisive; i++)
            decisive = decisive->next;
        gather_load_recipient(s->memory, policy_of(s), decisive->facts);
        facts.memory = s->memory;
        facts.shadow = &decisive->shadow;
        record_str(r, "rcpt", decisive->address);
        record_str(r, "kind", str_of(content_kind_name((enum content_kind)c->verdicts[t->outcome.decisive].kind)));
        record_tags(r, policy_of(s), &t->outcome.tags);
        record_faults(r, t->intake.look);
        if (c->message.scan != NULL)
            record_scan(r, c->message.scan);
        record_others(r, c, t);
        add_kind(fold, c, t);
        const struct gather_known known = content_known(c, decisive);
        if (c->has_shadow_need && s->server->gather.scanners != NULL &&
            rehearsal_start_message(s->server, r, &known, &facts, buf_str(&t->head), &t->intake.spool, fold))
            return;
    }
    record_content_judgement(r, s->server->conf, &facts, loop_now(s->server->loop));
    if (facts.memory != NULL)
        fold_add_judgement(fold, facts.memory, facts.shadow);
    decision_record_end(r, s->server, fold);
}
