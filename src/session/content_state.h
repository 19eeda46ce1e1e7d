/*
 * content_state: what the judgement of a message is, for the files that make it up: content.c (judging),
 * content_outcome.c (what the verdicts come to), content_fields.c (what the message is told), content_record.c (what
 * the journal is told). Private to them.
 */
#pragma once

#include "facts/scan.h"
#include "mime/field_filter.h"
#include "session/state.h"

struct content {
    struct session *session;
    struct gather_message message;
    struct scan_text scanned;
    struct content_verdict *verdicts; /* of t->n_accepted recipients */
    bool *is_chosen;                  /* likewise, when all are judged */
    struct recipient *at;             /* being judged */
    struct field_edit edit;           /* of the header, on the way out */
    unsigned n_judged;
    bool has_shadow_need; /* of the decisive recipient: rules that change nothing want to know more */
};

/* What is known of the message, and of this recipient. */
struct gather_known content_known(const struct content *c, const struct recipient *r);

/*
 * The next rule of `tags` from `rule` on, -1: there is none. A rule is known by its layer, action and name, so of
 * several with one name the others are passed over.
 */
int content_tag(const struct policy *policy, const struct policy_set *tags, int rule);
