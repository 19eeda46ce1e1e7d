/*
 * content: see the header.
 *
 * Recipients are judged one after the other, each with the facts that its own RCPT has found out; what is known of the
 * message itself is found out once.
 *
 * The engine asks for what the first undecided rule needs, so the spam scanner's turn would come when the virus scanner
 * has answered, and another recipient's scanner when the first one's verdict is there. But scanners are slow, most mail
 * is clean, and the client waits. So a first pass looks, asking nobody, which scanners clean mail will need, for any of
 * its recipients; all of these begin at once, and are given up when the last verdict is there.
 *
 * Rejected: judging the message once with the strictest (or mildest) recipient's rules.
 */

#include "facts/scan.h"
#include "session/answer_facts.h"
#include "session/state.h"

#include <errno.h>

struct content {
    struct session *session;
    struct gather_message message;
    struct scan_text scanned;
    struct content_verdict *verdicts; /* of t->n_accepted recipients */
    bool *is_chosen;                  /* likewise, when all are judged */
    struct recipient *at;             /* being judged */
    unsigned n_judged;
};

/* ---- one recipient */

static const struct policy *policy_of(const struct session *s) {
    return s->server->conf->policy.policy;
}

bool content_has_rules(const struct server *server) {
    const struct policy *policy = server->conf->policy.policy;
    return policy->first_rule[LAYER_CONTENT] < policy->first_rule[LAYER_CONTENT + 1];
}

size_t content_recipient_bytes(const struct server *server) {
    if (!content_has_rules(server))
        return 0;
    return server->conf->policy.policy->n_facts[SCOPE_RECIPIENT] * sizeof(struct fact)
        + sizeof(struct content_verdict) + sizeof(bool);
}

int content_keep_recipient(struct session *s, struct recipient *r) {
    struct transaction *t = s->transaction;
    if (!content_has_rules(s->server))
        return 0;
    r->view = t->asked_view;
    r->facts = arena_alloc(&t->arena, policy_of(s)->n_facts[SCOPE_RECIPIENT] * sizeof(*r->facts));
    if (r->facts == NULL)
        return -ENOMEM;
    gather_save_recipient(s->memory, policy_of(s), r->facts);
    return 0;
}

/* The policy's words, as the client hears them if it hears of this recipient. */
static struct verdict words_of(struct session *s, const struct recipient *r, const struct policy_verdict *from) {
    struct transaction *t = s->transaction;
    struct smtp_address address;
    struct buf text;
    buf_init(&text, SMTP_REPLY_LINE_MAX);
    smtp_address_parse(r->address, true, &address);
    struct verdict verdict = judge_words(s, from, &address, &r->view, &text);
    struct str kept = arena_str(&t->arena, buf_str(&text)); /* enhanced code, NUL, words */
    if (verdict.reply.code != 0 && kept.at != NULL) {
        verdict.reply.enhanced = kept.at;
        verdict.reply.text = str_from(kept, kept.len - verdict.reply.text.len);
    }
    buf_deinit(&text);
    return kept.at != NULL ? verdict : no_memory_verdict;
}

/* The decisive one is always the newest or one that was decisive before: its words are enough to keep. */
static void note(struct content *c, const struct policy_verdict *from) {
    struct session *s = c->session;
    struct transaction *t = s->transaction;
    struct content_verdict *verdict = &c->verdicts[c->n_judged++];
    *verdict = (struct content_verdict){
        .action = from->action, .rule = from->rule, .tags = from->tags,
        .kind = (uint8_t)content_kind_of(policy_of(s), &s->memory->facts, from),
    };
    gather_save_recipient(s->memory, policy_of(s), c->at->facts);
    c->at->shadow = from->shadow;
    c->is_chosen[c->n_judged - 1] = content_passes(verdict);
    t->outcome = content_settle(c->verdicts, c->n_judged);
    if (t->outcome.decisive == c->n_judged - 1)
        t->told = words_of(s, c->at, from);
}

static struct gather_known known_of(const struct content *c, const struct recipient *r) {
    struct smtp_address address;
    smtp_address_parse(r->address, true, &address);
    struct gather_known known = judge_known(c->session, &address, &r->view);
    known.message = &c->message;
    return known;
}

/* ---- one after the other */

static bool go_on(struct content *c);

static void give_up(struct transaction *t) {
    t->outcome = (struct content_outcome){ .fate = CONTENT_DEFERRED };
    t->told = no_memory_verdict;
}

static void on_gathered(void *arg, const struct policy_verdict *verdict) {
    struct content *c = arg;
    c->session->gather = NULL;
    note(c, verdict);
    c->at = c->at->next;
    if (go_on(c))
        on_content_judged(c->session);
}

/* Asks for no more than the next recipient needs. True: there is none left that could change the outcome. */
static bool go_on(struct content *c) {
    struct session *s = c->session;
    struct transaction *t = s->transaction;
    const struct gather_world *world = &s->server->gather;
    const struct conf_policy *policy = &s->server->conf->policy;
    for (; c->at != NULL && t->outcome.fate != CONTENT_DEFERRED; c->at = c->at->next) {
        const struct gather_known known = known_of(c, c->at);
        struct policy_verdict verdict;
        gather_load_recipient(s->memory, policy->policy, c->at->facts);
        if (gather_now(world, policy, LAYER_CONTENT, &known, s->memory, &verdict)) {
            note(c, &verdict);
            continue;
        }
        s->gather = gather_start(world, policy, LAYER_CONTENT, &known, s->memory, on_gathered, c);
        if (s->gather != NULL)
            return false;
        give_up(t);
    }
    if (c->message.scan != NULL)
        scan_want(c->message.scan, false, false);
    return true;
}

/* ---- the message */

static void on_scan(void *arg) {
    struct content *c = arg;
    if (c->session->gather != NULL)
        gather_on_scan(c->session->gather);
}

/* spamd keeps settings and a Bayes database a user; a message for several domains is nobody's. */
static struct str user_of(const struct transaction *t) {
    struct str domain = { 0 };
    for (const struct recipient *r = t->accepted; r != NULL; r = r->next) {
        struct str its = str_from(r->address, str_find_last(r->address, '@') + 1);
        if (domain.len > 0 && !str_eq_nocase(its, domain))
            return (struct str){ 0 };
        domain = its;
    }
    return domain;
}

/* What a scanner says of clean mail. */
static struct fact clean_value(const struct slot *slot) {
    switch ((enum fact_type)slot->type) {
    case TYPE_NUMBER:
    case TYPE_COUNT:
        return fact_number(0);
    case TYPE_STRING:
    case TYPE_ADDRESS:
        return fact_text(STR(""));
    case TYPE_BOOL:
    case TYPE_ENUM:
        break;
    }
    return fact_bool(false);
}

/* Notes the scanners among what is needed and makes believe that they have answered. False: there is none. */
static bool assume_clean(struct content *c, const struct policy_set *need) {
    bool is_any = false;
    for (int i = set_next(need, 0); i >= 0; i = set_next(need, (unsigned)i + 1)) {
        const struct slot *slot = &policy_of(c->session)->slots[i];
        if (slot->row->source != SOURCE_VIRUS && slot->row->source != SOURCE_SPAM)
            continue;
        *(slot->row->source == SOURCE_VIRUS ? &c->message.also_virus : &c->message.also_spam) = true;
        c->session->memory->facts.scope[SCOPE_MESSAGE][slot->index] = clean_value(slot);
        is_any = true;
    }
    return is_any;
}

static void look_ahead(struct content *c) {
    struct session *s = c->session;
    const struct conf_policy *policy = &s->server->conf->policy;
    for (const struct recipient *r = s->transaction->accepted; r != NULL; r = r->next) {
        const struct gather_known known = known_of(c, r);
        struct policy_verdict verdict;
        gather_load_recipient(s->memory, policy->policy, r->facts);
        while (!gather_now(&s->server->gather, policy, LAYER_CONTENT, &known, s->memory, &verdict)
               && assume_clean(c, &verdict.need))
            continue;
    }
    gather_forget(s->memory, policy->policy, SCOPE_MESSAGE); /* what was made believe */
}

static bool init(struct content *c, struct session *s) {
    struct transaction *t = s->transaction;
    const struct intake *intake = &t->intake;
    c->session = s;
    c->at = t->accepted;
    c->verdicts = arena_zalloc(&t->arena, t->n_accepted * sizeof(*c->verdicts));
    c->is_chosen = arena_zalloc(&t->arena, t->n_accepted * sizeof(*c->is_chosen));
    c->message = (struct gather_message){
        .size = spool_size(&intake->spool), .has_bare_newlines = intake_has_bare(intake),
        .header_bad = look_header_bad(intake->look), .attachment_banned = look_attachment_banned(intake->look),
    };
    c->scanned = (struct scan_text){ .head = buf_str(&t->head), .spool = &t->intake.spool, .user = user_of(t),
                                     .id = s->id };
    if (s->server->gather.scanners != NULL)
        c->message.scan = scan_new(s->server->gather.scanners, &c->scanned, t->deadline_ms - t->reserve_ms, on_scan, c);
    return c->verdicts != NULL && c->is_chosen != NULL;
}

bool content_judge(struct session *s) {
    struct transaction *t = s->transaction;
    t->outcome = (struct content_outcome){ .fate = CONTENT_TAKEN, .n_handed_on = t->n_accepted };
    if (!content_has_rules(s->server))
        return true;
    struct content *c = t->content = arena_zalloc(&t->arena, sizeof(*c));
    if (c == NULL || !init(c, s)) {
        give_up(t);
        return true;
    }
    gather_forget(s->memory, policy_of(s), SCOPE_MESSAGE);
    look_ahead(c);
    return go_on(c);
}

void content_free(struct content *content) {
    if (content != NULL)
        scan_free(content->message.scan);
}

/* ---- what follows from it */

const bool *content_chosen(const struct transaction *t) {
    return t->outcome.n_kept > 0 ? t->content->is_chosen : NULL;
}

/*
 * ---- the journal
 *
 *     "kind":"spam"                              see content.h
 *     "tags":["SPAM","BAD HEADER"]               of the copy that was handed on; left out: none
 *     "virus":"Eicar-Signature"
 *     "spam":{"score":7.2,"required":5,"tests":"BAYES_99,HTML_MESSAGE"}
 *     "unscanned":{"virus":"larger than 25 MiB"} why a scanner that was needed said nothing
 *     "verdicts":[{"rcpt":"…","action":"quarantine","rule":"SPAM","kind":"spam"}]    of those that differ from the
 *                                                record's own, which is the decisive recipient's ("rcpt")
 */

static void record_tags(struct record *r, const struct policy *policy, const struct policy_set *tags) {
    int i = set_next(tags, 0);
    if (i < 0)
        return;
    record_open(r, "tags", '[');
    for (; i >= 0; i = set_next(tags, (unsigned)i + 1))
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

void content_record(struct session *s, struct record *r) {
    const struct transaction *t = s->transaction;
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
        if (c->message.scan != NULL)
            record_scan(r, c->message.scan);
        record_others(r, c, t);
    }
    record_content_judgement(r, s->server->conf, &facts, loop_now(s->server->loop));
}

int content_write_head(struct session *s) {
    (void)s;
    return 0;
}
