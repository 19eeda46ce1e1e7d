/*
 * content_fields: what is a message told of what was found out about it?
 *
 * The one copy that is handed on carries what the scanners said, and the tags of all its recipients. The fields stand
 * in front of our Received: a message whose first line begins with a blank would otherwise be folded into one of them.
 * What others claim in our name is dropped on the way (mime/field_filter.h).
 */
#include "mime/result_fields.h"
#include "session/content_state.h"

#include <errno.h>

const bool *content_chosen(const struct transaction *t) {
    return t->outcome.n_kept > 0 ? t->content->is_chosen : NULL;
}

static enum result_state state_of(enum scan_state state) {
    if (state == SCAN_DONE)
        return RESULT_KNOWN;
    return state == SCAN_SKIPPED || state == SCAN_UNAVAILABLE ? RESULT_MISSED : RESULT_NONE;
}

/* In the policy's opinion, for anybody who gets it. */
static bool is_spam(const struct content *c) {
    for (unsigned i = 0; i < c->n_judged; i++)
        if (content_passes(&c->verdicts[i]) && c->verdicts[i].kind == CONTENT_SPAM)
            return true;
    return false;
}

static struct result_fields fields_of(const struct content *c, const struct transaction *t) {
    struct result_fields fields = { .is_spam = is_spam(c), .bad_header = look_header_fault(t->intake.look),
                                    .banned = look_banned_name(t->intake.look) };
    if (c->message.scan == NULL)
        return fields;
    const struct scan_virus *virus = scan_virus(c->message.scan);
    const struct scan_spam *spam = scan_spam(c->message.scan);
    fields.virus = state_of(virus->state);
    fields.virus_name = virus->name;
    fields.virus_missed = virus->why;
    fields.spam = state_of(spam->state);
    fields.spam_missed = spam->why;
    fields.score = spam->score;
    fields.threshold = spam->threshold;
    fields.tests = spam->symbols;
    return fields;
}

static int write_tags(const struct policy *policy, const struct policy_set *tags, struct buf *out) {
    int r = 0;
    for (int i = content_tag(policy, tags, 0); i >= 0 && r == 0; i = content_tag(policy, tags, i + 1))
        r = result_tag_format(policy->rules[i].name, out);
    return r;
}

/* The subject tag stands in the configuration without the blank that parts it from the subject. */
static int set_edit(struct content *c, const struct session *s) {
    struct arena *arena = &s->transaction->arena;
    const char *tag = s->server->conf->set.subject_tag;
    c->edit = (struct field_edit){ .authserv_id = str_of(s->server->conf->set.hostname) };
    if (tag == NULL || tag[0] == '\0' || !is_spam(c))
        return 0;
    c->edit.subject_tag = str_of(arena_printf(arena, "%s ", tag));
    c->edit.subject_fold = str_of(arena_printf(arena, "%s\r\n ", tag));
    c->edit.subject = str_of(arena_printf(arena, "Subject: %s\r\n", tag));
    bool is_whole = c->edit.subject_tag.at != NULL && c->edit.subject_fold.at != NULL && c->edit.subject.at != NULL;
    return is_whole ? 0 : -ENOMEM;
}

int content_write_head(struct session *s) {
    struct transaction *t = s->transaction;
    struct content *c = t->content;
    struct buf head;
    if (c == NULL)
        return 0;
    const struct result_fields fields = fields_of(c, t);
    buf_init(&head, t->head.max);
    int r = result_fields_format(&fields, &head);
    if (r == 0)
        r = write_tags(s->server->conf->policy.policy, &t->outcome.tags, &head);
    if (r == 0)
        r = buf_puts(&head, buf_str(&t->head));
    if (r == 0)
        r = set_edit(c, s);
    struct buf received = t->head;
    if (r == 0)
        t->head = head;
    buf_deinit(r == 0 ? &received : &head);
    return r;
}

const struct field_edit *content_edit(const struct transaction *t) {
    return t->content != NULL ? &t->content->edit : NULL;
}
