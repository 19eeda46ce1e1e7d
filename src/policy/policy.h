/*
 * policy: a policy file, compiled; immutable from then on.
 *
 * policy_load() reads the language of postern-policy(5) and gives either a policy or messages. All that depends on the
 * configuration (tables, block lists, what is off, what happens on failure) comes in as a value, so that the same text
 * loads the same everywhere. A policy owns its memory in an arena of its own and may be used by any number of sessions
 * at once; a session keeps the one it began with. No clock, no I/O, no log, no global: see verdict.h for deciding.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"
#include "policy/facts.h"

/* Bounds of one policy; load refuses what lies past them. */
enum {
    POLICY_RULES_MAX = 512, /* the two built-in ones included */
    POLICY_SLOTS_MAX = 512,
    POLICY_NODES_MAX = 16384, /* of all conditions, with defined names put in */
    POLICY_DEPTH_MAX = 32,    /* `and` inside `or` inside `and` ..., parentheses */
    POLICY_TEXT_MAX = 400,    /* of a reply, before {placeholders} are filled in */
    POLICY_NAME_MAX = 80,     /* of a rule or a test's subject */
};

enum policy_action {
    ACT_PASS,
    ACT_ACCEPT,
    ACT_GREYLIST,
    ACT_DEFER,
    ACT_REJECT,
    ACT_QUARANTINE,
    ACT_TAG,
    N_ACTIONS,
};

extern const char *const action_names[N_ACTIONS];

/* ---- what load has to know of the configuration */

enum table_kind { TABLE_CIDR, TABLE_NAMES, TABLE_ADDRESSES, TABLE_PATTERNS };

struct policy_table {
    struct str name;
    uint8_t kind; /* enum table_kind */
    bool is_empty; /* tests against it are false without asking; when this changes, load anew */
};

struct policy_list {
    struct str zone, group; /* a group may be empty */
    uint8_t family;         /* enum list_family */
    int64_t weight;         /* in thousandths; not positive: a welcome list, which only `score` sees */
};

struct policy_environment {
    const struct policy_table *tables;
    size_t n_tables;
    const struct policy_list *lists;
    size_t n_lists;
    uint32_t off;           /* bit 1 << enum fact_source: not configured */
    uint32_t defer;         /* the same: unavailable facts of this source defer (design.md section 13) */
    uint32_t defer_skipped; /* the same for FACT_SKIPPED */
    /* For the policy's own tests, where they are given raw values; NULL: no pattern matches. */
    bool (*matches)(struct str pattern, struct str text);
    /* Why a pattern does not compile (static storage), or NULL. May be NULL. */
    const char *(*pattern_problem)(struct str pattern);
};

/* ---- the compiled policy */

enum slot_kind { SLOT_FACT, SLOT_TABLE, SLOT_PATTERN };

struct slot {
    const struct fact_row *row;
    uint8_t kind;  /* enum slot_kind; a table or pattern test is a boolean about the row's value */
    uint8_t type;  /* enum fact_type of its own value */
    uint8_t scope; /* enum fact_scope */
    uint8_t rate;  /* PARAMETER_RATE: enum rate_kind */
    bool is_deferring, is_deferring_skipped; /* what unavailable means: defer, or merely not firing */
    uint16_t index;      /* in its scope's array of facts */
    uint32_t window_s;   /* PARAMETER_RATE */
    struct str argument; /* group, zone, table, or pattern */
    struct str name;     /* as a person writes it: "dnsbl.hits(main)", "client in banned" */
};

/* The slots that every policy has, for what is built in. */
enum { SLOT_RCPT_LOCAL, SLOT_RELAY_ALLOWED, SLOT_RCPT_KNOWN, SLOT_ENFORCED, N_BUILTIN_SLOTS };

struct policy_reply {
    uint16_t code;
    struct str enhanced; /* "5.7.1", with a NUL behind it */
    struct str text;     /* with {placeholders}, see text.h */
};

/*
 * The first two rules are built in (design.md section 4) and tried before those of layer recipient; then come the rules
 * of all layers in the order in which they are tried.
 */
enum { RULE_RELAY_DENIED, RULE_NO_SUCH_USER, N_BUILTIN_RULES, RULE_NONE = 0xffff };

struct rule {
    struct str name;
    uint8_t layer;  /* enum policy_layer */
    uint8_t action; /* enum policy_action */
    bool is_shadow;
    uint16_t condition; /* index of its first node */
    struct policy_reply reply;  /* reject, defer, greylist: as written (`with`, `text`), or the layer's own */
    struct policy_reply listed; /* instead of it where block lists made the rule true; names them unless as written */
};

struct node; /* compile.h */

struct policy {
    struct slot *slots;
    struct rule *rules;
    struct node *nodes;
    uint16_t n_slots, n_rules, n_nodes;
    uint16_t first_rule[N_LAYERS + 1]; /* rules of a layer are [first_rule[l], first_rule[l + 1]) */
    uint16_t greylist_slot;            /* of the status that greylist rules ask for; RULE_NONE without such rules */
    uint16_t n_facts[N_SCOPES];        /* length of each scope's array */
    bool tests_greylist;               /* a condition looks at the greylist status */
    uint64_t hash;                     /* of the text (FNV-1a): which policy it was, for journals */
    struct fact *initial[N_SCOPES];    /* what is known before anything was asked: off, empty tables, bounds */
    struct arena arena;
};

/*
 * Loads and tests. `path` is for messages only. Returns 0, -EINVAL (diag has errors; *ret_policy is untouched) or
 * -ENOMEM. Warnings do not keep a policy from loading. Borrows `environment` only during the call.
 */
int policy_load(const char *path, struct str text, const struct policy_environment *environment,
                struct diag_list *diag, struct policy **ret_policy);

/* Accepts NULL. */
void policy_free(struct policy *policy);

/* Fills one scope's array (policy->n_facts[scope] of them, the caller's memory) with what is known from the start. */
void facts_init(const struct policy *policy, enum fact_scope scope, struct fact *facts);

/* The slot of a fact without parameters, or NULL where this policy does not use it. */
const struct slot *policy_slot(const struct policy *policy, enum fact_id id);

/*
 * The slot of this fact, named as in a policy: "dnsbl.hits(main)", "client in banned". -ENOENT: no rule asks for it;
 * -EINVAL: it is no fact that can be written without a table or a pattern.
 */
int policy_find_slot(const struct policy *policy, struct str name);

/* Whether the condition of rule `rule` is about anything that `source` says. */
bool policy_rule_asks(const struct policy *policy, unsigned rule, enum fact_source source);

/* The value behind a slot in this view. */
static inline const struct fact *fact_at(const struct policy *policy, const struct facts *facts, unsigned slot) {
    const struct slot *s = &policy->slots[slot];
    const struct fact *values = facts->scope[s->scope];
    return (values ? values : policy->initial[s->scope]) + s->index;
}
