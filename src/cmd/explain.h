/*
 * explain: one decision and why it is so, for `postern explain`.
 *
 *     explain_init ─▶ explain_record | explain_imagine ─▶ explain_decide ─▶ explain_print | explain_print_json
 *
 * Where the facts come from is the only difference between a decision of the journal and an imagined one. What was not
 * recorded, or not given, stays unasked; explain_decide() says what the policy makes of it.
 */
#pragma once

#include "facts/gather.h"
#include "journal/members.h"
#include "journal/record.h"

enum { EXPLAIN_FLIPS_MAX = 64, EXPLAIN_LISTINGS_MAX = 64 };

/* Where a slot's value comes from. */
struct explain_origin {
    struct str source; /* "dns", "given"; empty: nothing is known */
    int64_t age_ms;    /* at the time of the decision; -1: not known, or of no interest */
    bool is_late;      /* instead, how long after the decision it came: only shadow rules wanted to know */
};

/* A fact that by itself would have made another outcome, were it this. */
struct explain_flip {
    uint16_t slot;
    struct fact fact;
    struct policy_verdict verdict; /* DECIDE_NEED: it would then depend on `need` */
};

/* A block list that holds the client or a name of it. */
struct explain_listing {
    struct str about; /* "dnsbl", "helo.dnsbl" … */
    struct str zone;
    struct str codes; /* "127.0.0.2, 127.0.0.4" */
};

/* A block list that was put to the test by --dns. */
struct explain_list {
    const char *zone, *kind; /* "IPv4", "IPv6", "names" */
    const char *why;         /* it is not trusted; NULL: it is */
};

struct explain {
    const struct conf *conf;
    const struct policy *policy;
    struct gather_memory *memory; /* the facts */
    enum policy_layer last; /* tried; LAYER_CONTENT where something is known of the message, which RCPT comes before */
    struct explain_origin origins[POLICY_SLOTS_MAX];
    struct policy_verdict verdict; /* DECIDE_NEED: what is known does not decide it */
    struct policy_verdict assumed; /* the same if what is not known stays unanswered */
    struct policy_verdict enforced; /* the same if `enforce no` did not hold; where it does: `is_lenient` */
    bool is_lenient;
    struct rule_trace trace[POLICY_RULES_MAX];
    struct explain_flip flips[EXPLAIN_FLIPS_MAX];
    size_t n_flips;
    struct explain_listing listings[EXPLAIN_LISTINGS_MAX];
    size_t n_listings;
    struct explain_list lists[CONF_BLOCK_LISTS_MAX];
    size_t n_lists;
    struct arena arena;

    /* what to print above: empty where there is nothing */
    struct str id, time, client, ptr, ptr_status, helo, from, to;
    struct str recorded_action, recorded_layer, recorded_rule, recorded_reply; /* of the journal */
    struct str recorded_policy; /* hash */
    bool has_to, has_from;
    bool is_at_connect; /* what layer connection says is said instead of the greeting, with codes of its own */
    bool is_recorded, was_judged; /* by the policy; else limits, or the mailbox server, decided alone */
    struct members members; /* of the record; strings above lie in its line */
};

/* `conf` has a policy. Returns 0 or -ENOMEM. */
int explain_init(struct explain *e, const struct conf *conf);
void explain_deinit(struct explain *e);

/* ---- explain_facts.c */

/* Takes over a record; `line` must live as long as `e`, and is changed. Returns 0 or -EINVAL (no record). */
int explain_record(struct explain *e, char *line, size_t len);

/*
 * Takes over "FACT=VALUE" for a fact as the policy writes it ("client in banned=true", "dnsbl.hits=2"), and what
 * follows from it. Returns 0, -EINVAL (a wrong value), -ENOENT (no such fact), or 1: no rule asks for it.
 */
int explain_set(struct explain *e, struct str assignment);

/* ---- explain_lists.c */

/* The listings that a record names. */
void explain_record_listings(struct explain *e);

/* Those that were found, with their codes. */
void explain_note_listings(struct explain *e);

void explain_print_lists(const struct explain *e, struct buf *out);
void explain_print_lists_json(const struct explain *e, struct record *r);

/* ---- explain_store.c */

struct explain_today { /* what the greylist would say now */
    bool is_asked; /* false: there is no store */
    bool is_known; /* false: `file_problem` says why */
    bool has_asked_server; /* false: hosts share none, or `server_problem` says why */
    struct greylist_answer answer;
    char file_problem[200], server_problem[200];
};

/* Nothing is recorded. Waits for the server, where hosts share one, for some seconds at most. */
void explain_ask_store(const struct explain *e, const struct greylist_question *question,
                       struct explain_today *ret_today);

/* ---- explain_greylist.c: nothing where the store has no part in the decision */

void explain_print_greylist(const struct explain *e, struct buf *out);
void explain_print_greylist_json(const struct explain *e, struct record *r);

/* ---- explain_content.c: nothing where no message was judged */

void explain_print_content(const struct explain *e, struct buf *out);
void explain_print_content_json(const struct explain *e, struct record *r);

/* ---- explain_dns.c */

/*
 * Asks DNS for what the decision needs. Block lists are asked only if it needs them too, and after their probes, since
 * nothing is known yet of how far they can be trusted. `held` are slots that must stay as they are. Returns 0 or a
 * negative error.
 */
int explain_ask_dns(struct explain *e, struct gather_world *world, const struct gather_known *known,
                    const struct policy_set *held);

/* ---- explain_imagine.c */

struct explain_imagined {
    const char *client, *helo, *from, *to; /* NULL: not given */
    bool asks_dns;
};

/* After explain_set(). Returns 0, or -EINVAL or another -errno, which was said on stderr. */
int explain_imagine(struct explain *e, const struct explain_imagined *imagined);

/* ---- explain_decide.c */

void explain_decide(struct explain *e);

/* The policy is not the one that decided; false where nobody knows. */
bool explain_policy_has_changed(const struct explain *e);

/* ---- explain_print.c */

/* "true", "unavailable", "2..5", "\"mail.example.net\"". */
void explain_format_fact(const struct slot *slot, const struct fact *fact, struct buf *out);

/* Appends printable ASCII and UTF-8; control characters become '?'. */
void explain_put_clean(struct buf *out, struct str text);

/* Appends the explanation. Each returns 0 or a negative result of buf_put(). */
int explain_print(const struct explain *e, struct buf *out);
int explain_print_json(const struct explain *e, struct buf *out);
