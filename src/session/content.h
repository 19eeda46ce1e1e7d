/*
 * content: a message before layer content, for each of its recipients, and what one reply can say of all of it.
 *
 * One message may be judged differently for its recipients: the abuse desk gets what others do not. One reply must be
 * true for all of them, so
 *
 *   any deferred                  that reply; nothing is handed on or kept, and the client comes again
 *   all refused                   that reply
 *   otherwise                     250: who passed gets it, for the others it goes into quarantine, never away
 *
 * (design.md section 7; content_settle() is that table, and pure.)
 */
#pragma once

#include "policy/verdict.h"
#include "session/recipient_view.h"

struct session;
struct transaction;
struct recipient;
struct content;

/* What kind of mail it was, for reports; in the order in which one outweighs another. */
enum content_kind {
    CONTENT_CLEAN,
    CONTENT_UNSCANNED,  /* a scanner that was needed had nothing to say */
    CONTENT_BAD_HEADER,
    CONTENT_OTHER,      /* refused, quarantined or tagged by a rule about something else */
    CONTENT_SPAM,
    CONTENT_BANNED,     /* an attachment */
    CONTENT_INFECTED,
};

const char *content_kind_name(enum content_kind kind);

/* What the policy says of the message for one recipient. */
struct content_verdict {
    uint8_t action; /* ACT_PASS, ACT_ACCEPT, ACT_REJECT, ACT_DEFER, ACT_QUARANTINE */
    uint8_t kind;   /* enum content_kind */
    uint16_t rule;  /* RULE_NONE: nothing ended it */
    struct policy_set tags;
};

enum content_fate { CONTENT_TAKEN, CONTENT_REJECTED, CONTENT_DEFERRED };

/* Of the message as a whole. */
struct content_outcome {
    enum content_fate fate;
    unsigned decisive;         /* number of the recipient whose verdict is the one to tell */
    unsigned n_handed_on, n_kept; /* CONTENT_TAKEN */
    struct policy_set tags;    /* of all to whom it is handed on */
};

/* What kind of mail it is for the recipient to whom `verdict` and `facts` belong. */
enum content_kind content_kind_of(const struct policy *policy, const struct facts *facts,
                                  const struct policy_verdict *verdict);

/* From the verdicts of all n >= 1 recipients; behind a deferral there may be none, since it decides. */
struct content_outcome content_settle(const struct content_verdict *verdicts, unsigned n);

/* Handed on, if the message is taken at all. */
static inline bool content_passes(const struct content_verdict *verdict) {
    return verdict->action == ACT_PASS || verdict->action == ACT_ACCEPT;
}

/* Without rules of layer content everything passes, and nothing is looked at or kept. */
bool content_has_rules(const struct server *server);

/* What a recipient that was accepted takes of the transaction's arena, at most. */
size_t content_recipient_bytes(const struct server *server);

/* Keeps what is known of t->asked, which was accepted. Returns 0 or -ENOMEM. */
int content_keep_recipient(struct session *s, struct recipient *r);

/*
 * Judges s->transaction for each recipient that was accepted; t->head has our Received field already. True: at once,
 * and t->outcome says what is to be done, t->told what the policy says of the decisive recipient; false:
 * on_content_judged() follows.
 */
bool content_judge(struct session *s);

/* session.c's, the end of a judgement that had to wait. */
void on_content_judged(struct session *s);

/* For each recipient in turn whether the message is handed on to it. NULL: to all of them. */
const bool *content_chosen(const struct transaction *t);

/*
 * Puts the fields that tell what was found out in front of t->head, and makes content_edit() true. Returns 0, -ENOBUFS
 * or -ENOMEM.
 */
int content_write_head(struct session *s);

/* What becomes of the header that came. NULL: nothing. */
const struct field_edit *content_edit(const struct transaction *t);

/*
 * What a log line says of a message that was judged, so that it answers why: " content=infected virus=NAME",
 * " content=spam score=7.2", " content=banned file=<a.exe: extension exe>". "" where there was no judgement.
 */
enum { CONTENT_WORDS_MAX = 512 };
struct str content_words(const struct transaction *t, char out[CONTENT_WORDS_MAX]);

/*
 * What the message's journal record says of its content, and the record's end: now, or when rules that change nothing
 * know what they would have done (rehearsal.h), which takes the message's text along.
 */
struct fold;
void content_record_end(struct session *s, struct record *r, struct fold *fold);

/* What is under way is cancelled. Accepts NULL. */
void content_free(struct content *content);
