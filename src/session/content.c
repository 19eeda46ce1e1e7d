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
#include "session/content_state.h"

#include <errno.h>

/* ---- one recipient */

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
    char words[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_IN(words);
    smtp_address_parse(r->address, true, &address);
    struct verdict verdict = judge_words(s, from, &address, &r->view, &text);
    struct str kept = arena_str(&t->arena, buf_str(&text)); /* enhanced code, NUL, words */
    if (verdict.reply.code != 0 && kept.at != NULL) {
        verdict.reply.enhanced = kept.at;
        verdict.reply.text = str_from(kept, kept.len - verdict.reply.text.len);
    }
    return kept.at != NULL ? verdict : no_memory_verdict;
}

static bool asks_scanners(const struct policy *policy, const struct policy_set *slots) {
    bool is_any = false;
    for (int i = set_next(slots, 0); i >= 0; i = set_next(slots, (unsigned)i + 1))
        is_any |= policy->slots[i].row->source == SOURCE_VIRUS || policy->slots[i].row->source == SOURCE_SPAM;
    return is_any;
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
    if (t->outcome.decisive == c->n_judged - 1) {
        t->told = words_of(s, c->at, from);
        c->has_shadow_need = asks_scanners(policy_of(s), &from->shadow_need);
    }
}

struct gather_known content_known(const struct content *c, const struct recipient *r) {
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
        const struct gather_known known = content_known(c, c->at);
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

/* spamd keeps settings and a Bayes database a user; a message for several domains is nobody's. <postmaster> alone is in
 * the first domain. */
static struct str user_of(const struct conf *conf, const struct transaction *t) {
    struct str domain = { 0 };
    for (const struct recipient *r = t->accepted; r != NULL; r = r->next) {
        struct str its = str_from(r->address, str_find_last(r->address, '@') + 1);
        if (its.len == 0 && conf->n_domains > 0)
            its = str_of(conf->domains[0].name);
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
        const struct gather_known known = content_known(c, r);
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
    look_end(intake->look);
    c->session = s;
    c->at = t->accepted;
    c->verdicts = arena_zalloc(&t->arena, t->n_accepted * sizeof(*c->verdicts));
    c->is_chosen = arena_zalloc(&t->arena, t->n_accepted * sizeof(*c->is_chosen));
    c->message = (struct gather_message){
        .size = spool_size(&intake->spool), .has_bare_newlines = intake_has_bare(intake),
        .header_bad = look_header_bad(intake->look), .attachment_banned = look_attachment_banned(intake->look),
    };
    c->scanned = (struct scan_text){ .head = buf_str(&t->head), .spool = &t->intake.spool,
                                     .user = user_of(s->server->conf, t), .id = s->id };
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
