/*
 * facts: everything a policy can know about a delivery, as one table, and the values that are known so far.
 *
 * The catalogue (fact_rows) is the reference for parser, engine, gathering, explain and the manual: a fact that is not
 * in it does not exist. A *slot* is a concrete fact that one policy uses: a row with its parameters, or a table test
 * (`FACT in TABLE`) or a pattern test (`FACT ~ "..."`), which are facts of their own and answered from outside.
 *
 * Values live in one array a scope, so that what is known of a connection is shared by all its transactions and
 * recipients: whoever owns a scope (connection, greeting, transaction, recipient, message) owns its array, made by
 * facts_init(). struct facts is a view of five such arrays, borrowed, put together for one decision. Nothing here is
 * shared between threads, nothing allocates.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum fact_scope {
    SCOPE_CONNECTION,
    SCOPE_HELLO, /* forgotten at EHLO and STARTTLS */
    SCOPE_TRANSACTION,
    SCOPE_RECIPIENT,
    SCOPE_MESSAGE,
    N_SCOPES,
};

/* The order is that of design.md section 2; recipient begins with what is built in. */
enum policy_layer { LAYER_CONNECTION, LAYER_RECIPIENT, LAYER_GREYLIST, LAYER_POLICY, LAYER_CONTENT, N_LAYERS };

enum fact_type {
    TYPE_BOOL,
    TYPE_NUMBER,  /* in thousandths (FACT_UNIT), as an interval: lo == hi once it is known */
    TYPE_COUNT,   /* a number of block lists, or their weights: bounded before anything was asked */
    TYPE_STRING,  /* names and addresses; compared without case */
    TYPE_ADDRESS, /* of the network, as ip_format() writes it; only a cidr table can hold it */
    TYPE_ENUM,    /* `spf.fail` is a boolean use of one of its values */
};

/* What an answer costs. Cheaper ones are asked first; the next class only if the rule is still open. */
enum fact_cost { COST_TABLE /* syntax and tables */, COST_STORE, COST_DNS, COST_CALLOUT, COST_CONTENT };

/* Who answers. What is switched off, and what happens while it is away, is set for each of these. */
enum fact_source {
    SOURCE_SESSION, /* the wire itself and the tables: always there */
    SOURCE_EARLY_TALKER,
    SOURCE_RATE, /* what the client did lately, and does now */
    SOURCE_DNS,
    SOURCE_DNSBL,
    SOURCE_SPF,
    SOURCE_VERIFICATION, /* of the sender, by a callout */
    SOURCE_DIRECTORY,
    SOURCE_GREYLIST,
    SOURCE_VIRUS,
    SOURCE_SPAM,
    SOURCE_MESSAGE, /* our own reading of the message: header, attachments, size */
    N_SOURCES,
};

enum fact_parameter {
    PARAMETER_NONE,
    PARAMETER_RATE,  /* (connections|messages|recipients|unknown, WINDOW) */
    PARAMETER_GROUP, /* of block lists; optional, a row without one stands beside it */
    PARAMETER_ZONE,
};

enum fact_id {
    F_CLIENT, F_CLIENT_EARLY_TALKER, F_CLIENT_RATE, F_CLIENT_CONNECTIONS,
    F_PTR_NONE, F_PTR_UNCONFIRMED, F_PTR_CONFIRMED, F_PTR_ACCESS, F_PTR_STATIC, F_PTR_NAME,
    F_DNSBL_HITS, F_DNSBL_HITS_GROUP, F_DNSBL_SCORE, F_DNSBL_LISTED,
    F_PTR_DNSBL_HITS, F_PTR_DNSBL_HITS_GROUP, F_PTR_DNSBL_SCORE, F_PTR_DNSBL_LISTED,
    F_CLIENT_TLS,
    F_HELO_NAME, F_HELO_INVALID, F_HELO_ADDRESS, F_HELO_UNQUALIFIED, F_HELO_ACCESS, F_HELO_STATIC, F_HELO_OURS,
    F_HELO_RESOLVES, F_HELO_MATCHES,
    F_HELO_DNSBL_HITS, F_HELO_DNSBL_HITS_GROUP, F_HELO_DNSBL_SCORE, F_HELO_DNSBL_LISTED,
    F_SENDER_ADDRESS, F_SENDER_DOMAIN, F_SENDER_NULL, F_SENDER_RESOLVES, F_SENDER_NULL_MX, F_SENDER_OURS,
    F_SENDER_VERIFIED,
    F_SENDER_DNSBL_HITS, F_SENDER_DNSBL_HITS_GROUP, F_SENDER_DNSBL_SCORE, F_SENDER_DNSBL_LISTED,
    F_SPF,
    F_RCPT_ADDRESS, F_RCPT_DOMAIN, F_RCPT_LOCAL, F_RCPT_KNOWN, F_RCPT_POSTMASTER,
    F_RCPT_RELAY_ALLOWED, /* engine only: this client may send elsewhere through us */
    F_RCPT_ENFORCED,      /* engine only: false where `enforce no` holds */
    F_GREYLIST,
    F_VIRUS, F_VIRUS_NAME, F_SPAM_SCORE, F_HEADER_BAD, F_ATTACHMENT_BANNED, F_SIZE, F_BARE_NEWLINE,
    N_FACTS,
};

enum spf_result { SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_NEUTRAL, SPF_NONE, SPF_TEMPERROR, SPF_PERMERROR };

enum greylist_status {
    GREYLIST_NEW,
    GREYLIST_EARLY,
    GREYLIST_RETRY,
    GREYLIST_AUTOWHITELIST,
    GREYLIST_CACHED,
    GREYLIST_WHITELISTED,
};

enum rate_kind { RATE_CONNECTIONS, RATE_MESSAGES, RATE_RECIPIENTS, RATE_UNKNOWN };

/* The four families of block lists, by what is looked up in them. */
enum list_family { LISTS_CLIENT, LISTS_PTR, LISTS_HELO, LISTS_SENDER, N_LIST_FAMILIES };

enum { FACT_UNIT = 1000 };

struct fact_row {
    const char *name;    /* "ptr.none"; parameters are not part of it */
    const char *subject; /* what is gathered at once, and what `asked` and `unavailable` name: "ptr" */
    uint8_t type;        /* enum fact_type */
    uint8_t scope;       /* enum fact_scope */
    uint8_t cost;        /* enum fact_cost */
    uint8_t source;      /* enum fact_source */
    uint8_t parameter;   /* enum fact_parameter */
    uint8_t first_layer; /* enum policy_layer: the first one that can know it; all later ones can */
    bool is_internal;    /* no policy can name it */
    const char *const *values; /* TYPE_ENUM: their names in the order of its enum, then NULL */
    const char *missing; /* its value where its subject is missing, as the manual says it; NULL: never missing */
    const char *help;    /* one line */
};

extern const struct fact_row fact_rows[N_FACTS];

extern const char *const layer_names[N_LAYERS], *const scope_names[N_SCOPES], *const cost_names[], *const rate_names[],
    *const source_names[N_SOURCES];

/* The row with this name; of two with the same name the one without parameter. NULL: none that a policy can name. */
const struct fact_row *fact_find(struct str name);

/* ---- values */

enum fact_state {
    FACT_UNASKED,
    FACT_PENDING,     /* asked; a number may already have closer bounds */
    FACT_KNOWN,
    FACT_UNAVAILABLE, /* temporary failure, time-out; a number keeps the bounds it had reached */
    FACT_SKIPPED,     /* unavailable for this message alone (too large, the scanner fails on it): a choice of its own */
    FACT_OFF, /* its source is not configured, or cannot know it here: never asked for, never a reason to defer */
};

struct fact {
    uint8_t state; /* enum fact_state */
    uint8_t value; /* TYPE_BOOL: 0 or 1; TYPE_ENUM: its value; when KNOWN */
    uint32_t since_ms; /* when it was answered, by the clock of whoever gathers (its low 32 bits); for people alone */
    union {
        struct {
            int64_t lo, hi; /* TYPE_NUMBER, TYPE_COUNT: bounds in every state, in thousandths */
        };
        struct str text; /* TYPE_STRING, TYPE_ADDRESS: borrowed; when KNOWN */
    };
};

/* One decision's view: an array a scope, indexed by slot->index. NULL: nothing was asked in that scope yet. */
struct facts {
    struct fact *scope[N_SCOPES];
};

static inline struct fact fact_bool(bool value) {
    return (struct fact){ .state = FACT_KNOWN, .value = value };
}
static inline struct fact fact_enum(unsigned value) {
    return (struct fact){ .state = FACT_KNOWN, .value = (uint8_t)value };
}
static inline struct fact fact_number(int64_t thousandths) {
    return (struct fact){ .state = FACT_KNOWN, .lo = thousandths, .hi = thousandths };
}
static inline struct fact fact_text(struct str text) {
    return (struct fact){ .state = FACT_KNOWN, .text = text };
}
