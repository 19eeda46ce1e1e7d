/*
 * gather: finds the facts that a decision needs, no more and no sooner, and says the verdict.
 *
 *   gather_start ─▶ policy_decide ─need─▶ ask what is cheap at once, DNS in parallel ─answers─▶ policy_decide … ─▶ done
 *
 * One gather is one decision about one recipient (or one connection). What was found goes into the arrays of the
 * scopes it belongs to, which the caller owns and keeps as long as the scope lives, so that the next recipient finds
 * it there. What cannot matter any more is cancelled; what has not come when time is up is unavailable, and the
 * policy decides with that.
 *
 * Facts that only rules need which change nothing (shadow rules, and under `enforce no` those that it makes such) are
 * none of a decision's. They are rehearsed: gather_rehearse() finds them out when the reply was given, in a copy of the
 * memory, so that nobody waits for them, and what they are borrowed from may go.
 *
 * The same gather serves the SMTP door, the Postfix policy door and `explain --dns`.
 */
#pragma once

#include "base/arena.h"
#include "conf/conf.h"
#include "facts/addresses.h"
#include "facts/list_reason.h"
#include "facts/ptr.h"
#include "facts/rate.h"
#include "policy/verdict.h"
#include "smtp/address.h"
#include "store/client.h"
#include "table/tables.h"

/* What the gathers of a worker share; borrowed. */
struct gather_world {
    struct loop *loop;
    struct resolver *resolver; /* NULL: facts of DNS must be off in the policy */
    struct dnsbl *dnsbl;       /* NULL: block lists are unavailable */
    const struct rates *rates; /* NULL: nothing is counted */
    const struct conf *conf;
    uint64_t timeout_ms;       /* for all that one decision asks, but for the store */
    struct store_client *store; /* NULL: the greylist is unavailable */
    struct scanners *scanners;  /* NULL: messages are not scanned */
    struct organisations *organisations; /* NULL: the list is asked each time */
};

/* How the block `dns` wants questions to be asked; views of `conf`. Not for `use off`. */
struct resolver_settings gather_resolver_settings(const struct conf *conf);

/* What the store process goes by (store/process.h). */
struct greylist_settings gather_greylist_settings(const struct conf *conf);

/* What the store said about a recipient. */
struct gather_greylist {
    bool is_answered;
    bool is_read_only; /* it recorded no attempt: rules that are not enforced, explain */
    struct greylist_answer answer;
};

/* Its sender earns something when the transaction ends well: gather_credit(). */
static inline bool gather_may_earn(const struct gather_greylist *greylist) {
    return greylist->is_answered && !greylist->is_read_only && greylist->answer.may_count;
}

/*
 * What is known so far, in the scopes of one session: made when the first decision is due, an array a scope. The owner
 * of a scope forgets it with gather_forget() when it ends.
 */
struct gather_memory {
    struct facts facts;
    struct list_answers lists[N_LIST_FAMILIES];
    struct list_codes codes; /* of those that list, for the journal */
    struct ptr_result ptr; /* whose name the facts of the connection borrow */
    struct addresses_result helo;
    bool has_ptr, has_helo; /* they were asked for; perhaps in vain */
    struct gather_greylist greylist;
    struct str virus_name; /* for the reply; borrowed from the scan */
    bool are_reasons_late; /* lists kept us waiting for them in vain */
    uint8_t reasons_len;   /* 0: nothing was said, or nobody asked */
    char reasons[LIST_REASONS_MAX]; /* of the last decision, for the reply: lists, and why they list */
    struct policy_set shadow; /* of the last decision, for the journal: rules that would have acted */
    bool has_shadow_need;     /* the same: there is something to rehearse */
    uint16_t open;            /* the same: the rule that stood open before a reject; RULE_NONE: none */
    uint64_t against;         /* the same: the lists that made it a refusal, by their index */
    struct fact values[];
};

/* NULL: no memory. Free with free(). */
struct gather_memory *gather_memory_new(const struct policy *policy);

/*
 * A copy, in `arena`, that outlives what the facts' texts were borrowed from. Not while a gather is under way. NULL: no
 * memory.
 */
struct gather_memory *gather_memory_copy(const struct gather_memory *memory, const struct policy *policy,
                                         struct arena *arena);

/* The scope and all that live shorter begin anew (a new greeting forgets the transaction too). */
void gather_forget(struct gather_memory *memory, const struct policy *policy, enum fact_scope scope);

/* This fact, which has no parameters, may have changed and is asked anew. */
void gather_forget_fact(struct gather_memory *memory, const struct policy *policy, enum fact_id id);

/* What was unavailable may be asked again: for what outlives a transaction, at its end. */
void gather_forget_unavailable(struct gather_memory *memory, const struct policy *policy);

/* A message that has come in whole: what was seen of it, and who may be asked about it. */
struct gather_message {
    uint64_t size;
    bool has_bare_newlines;
    struct fact header_bad, attachment_banned;
    struct scan *scan; /* its changes are told by gather_on_scan() */
    bool also_virus, also_spam; /* another recipient needs these scanners, whatever this one does */
};

/* What the door knows for certain. Views must live until `done`. */
struct gather_known {
    struct ip client;
    struct ip server;           /* our address, which it has connected to; IP_NONE: not known, or of no interest */
    unsigned connections;       /* of this client, open now */
    bool is_early;
    bool has_helo;              /* false: facts about HELO are OFF (the Postfix door may not know it) */
    bool is_tls;
    bool is_second_hand;        /* told by another server: whether it talked early, and how often it comes, is OFF */
    struct str ptr_name;        /* the client's PTR where the door knows one, unconfirmed; "" */
    struct str helo;            /* as said; "" */
    struct smtp_address sender; /* text "" is the null sender */
    bool sender_is_ours;        /* one of our domains, from outside */
    struct smtp_address recipient;
    bool rcpt_is_postmaster;
    struct fact rcpt_local, rcpt_known, relay_allowed, enforced;
    const struct gather_message *message; /* NULL: there is none yet, and layer content is not asked about */
};

/* Makes its views show copies in `arena`. False: no memory. */
bool gather_known_keep(struct gather_known *known, struct arena *arena);

struct gather;
typedef void gather_fn(void *arg, const struct policy_verdict *verdict);

/*
 * The door knows the client's name, and that it leads back to the address: facts about it are not looked up. False:
 * that is no name.
 */
bool gather_take_name(const struct gather_world *world, const struct conf_policy *policy, const struct ip *client,
                      struct str name, struct gather_memory *memory);

/*
 * Decides all layers up to `last`, if that takes nothing but what the door knows. False: facts must be found out, with
 * gather_start(). What was answered stays in `memory`. A verdict may leave a `shadow_need`, here and there.
 */
bool gather_now(const struct gather_world *world, const struct conf_policy *policy, enum policy_layer last,
                const struct gather_known *known, struct gather_memory *memory, struct policy_verdict *ret_verdict);

/*
 * Decides all layers up to `last`. `done` comes once, in a later turn, unless cancelled; its verdict is valid during
 * the call. `known` is copied, what its views show is not. NULL: no memory.
 */
struct gather *gather_start(const struct gather_world *world, const struct conf_policy *policy, enum policy_layer last,
                            const struct gather_known *known, struct gather_memory *memory, gather_fn *done, void *arg);

/*
 * The same for the facts of rules that change nothing, after the verdict; `done` gets it again, with all that they
 * would have done, as far as it could be known in time. Asks nobody anything that has an effect (the greylist).
 */
struct gather *gather_rehearse(const struct gather_world *world, const struct conf_policy *policy,
                               enum policy_layer last, const struct gather_known *known, struct gather_memory *memory,
                               gather_fn *done, void *arg);

/*
 * The transaction ended well for a recipient for whom gather_may_earn(). Of the memory only the client's name is looked
 * at, which is the same for all of a transaction.
 */
void gather_credit(const struct gather_world *world, const struct gather_memory *memory, const struct ip *client,
                   const struct smtp_address *sender, const struct smtp_address *recipient);

/* The scan of known->message has news. */
void gather_on_scan(struct gather *gather);

/*
 * The facts of one recipient, to come back to when the message is there: its scope's array (n_facts[SCOPE_RECIPIENT] of
 * them, the caller's memory), and the other way round. Texts in it stay borrowed.
 */
void gather_save_recipient(const struct gather_memory *memory, const struct policy *policy, struct fact *ret_facts);
void gather_load_recipient(struct gather_memory *memory, const struct policy *policy, const struct fact *facts);

/* Nothing comes after this; what is under way is cancelled and unasked again. Accepts NULL; not after `done`. */
void gather_cancel(struct gather *take_gather);
