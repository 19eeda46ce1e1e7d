/*
 * gather_state: what a gather is, for the files that make one up: gather.c (deciding, and when it ends),
 * gather_memory.c (what is remembered), gather_known.c (facts that are there for the looking), gather_lookups.c (the
 * client's name, the HELO's addresses, the sender's domain), gather_greylist.c (the store), gather_scan.c (scanners),
 * gather_lists.c (block lists) and gather_reasons.c (what they say about a listing).
 */
#pragma once

#include "facts/dnsbl.h"
#include "facts/gather.h"
#include "facts/list_reason.h"
#include "facts/sender.h"

enum group { /* facts that one lookup answers */
    GROUP_NONE,
    GROUP_PTR,
    GROUP_HELO,
    GROUP_SENDER,
    GROUP_GREYLIST,
    GROUP_VIRUS,
    GROUP_SPAM,
    GROUP_LISTS, /* and as many more as there are families */
    N_GROUPS = GROUP_LISTS + N_LIST_FAMILIES,
};

struct list_search { /* one family's block lists */
    struct gather *gather;
    struct dnsbl_lookup *lookup;
    uint64_t wanted; /* and not answered */
    bool waits_for_ptr;
};

struct reason_question {
    struct resolver_query query; /* first */
    struct gather *gather;
    uint8_t list;
};

struct reason_search { /* what lists say about a listing, when there is a verdict */
    struct reason_question at[LIST_REASONS_ASKED];
    struct list_reason found[LIST_REASONS_ASKED];
    uint64_t asked; /* lists */
    unsigned n_asked, n_open, n_found;
};

struct gather {
    const struct gather_world *world;
    const struct conf_policy *policy;
    struct gather_memory *memory;
    struct gather_known known;
    gather_fn *done;
    void *arg;
    struct task task;
    struct timer deadline;
    struct ptr_lookup *ptr;
    struct addresses_lookup *helo;
    struct sender_lookup *sender;
    struct list_search lists[N_LIST_FAMILIES];
    struct reason_search reasons;
    struct store_ask *greylist;
    bool helo_waits_for_ptr, greylist_waits_for_ptr;
    bool scans_virus, scans_spam;
    bool is_rehearsal; /* the reply was given: nothing is asked that has an effect, and shadow rules' needs count */
    bool is_over; /* the deadline has passed: nothing more is asked, but for the store */
    uint8_t last; /* enum policy_layer */
};

/* ---- gather.c */

/* Something was answered: decide again, in the next turn. */
void gather_step_later(struct gather *g);

/* ---- gather_memory.c */

static inline struct fact *gather_fact(struct gather_memory *memory, const struct slot *slot) {
    return &memory->facts.scope[slot->scope][slot->index];
}

void gather_unask(struct gather_memory *memory, const struct policy *policy, const struct slot *slot);

/* ---- gather_known.c */

/* The HELO as DNS knows it. */
struct str gather_helo_name(struct str helo);

struct fact gather_known_value(const struct gather *g, const struct slot *slot);

/* The slot `number` gets `value`; a table or pattern test, what it makes of it. */
void gather_set(struct gather *g, unsigned number, struct fact value);

/* The facts of a group that are open get what `value` says. */
void gather_fill(struct gather *g, enum group group, struct fact (*value)(const struct gather *, enum fact_id));
struct fact gather_unavailable(const struct gather *g, enum fact_id id);
struct fact gather_off(const struct gather *g, enum fact_id id);

/* ---- gather_lookups.c: groups PTR, HELO and SENDER */

enum group gather_group_of(const struct slot *slot);

/* Answers a group of what DNS need not be asked about: the null sender, a HELO that is no name. False: it must. */
bool gather_lookup_spare(struct gather *g, enum group group);

/* Starts a group's lookup, or answers it where there is nothing to look up, or no time. */
void gather_lookup_start(struct gather *g, enum group group);

/* The client's name. False: there is no time or memory to look. */
bool gather_lookup_start_ptr(struct gather *g);

bool gather_lookup_is_running(const struct gather *g, enum group group);
void gather_lookup_cancel(struct gather *g, enum group group);

/* What is under way will be remembered as unavailable. */
void gather_lookups_expire(struct gather *g);

/* ---- gather_greylist.c */

/* Asks the store, or answers where there is none. */
void gather_greylist_start(struct gather *g);

/* The client's name has been looked up, or time for that is over. */
void gather_greylist_on_ptr(struct gather *g);

bool gather_greylist_is_running(const struct gather *g);
void gather_greylist_cancel(struct gather *g);

/* ---- gather_scan.c: groups VIRUS and SPAM */

/* Asks the scanner, or answers where there is nothing to scan. */
void gather_scan_start(struct gather *g, enum group group);
bool gather_scan_is_running(const struct gather *g, enum group group);
void gather_scan_cancel(struct gather *g, enum group group);

/* ---- gather_lists.c */

/* Asks just the lists that the needed facts of this family still depend on. True: something was answered at once. */
bool gather_lists_want(struct gather *g, enum list_family family, const struct policy_set *need);

/* Brings the facts of a family up to what its lists have said. Those nobody asked for stay unasked, better bounded. */
void gather_lists_fill(struct gather *g, enum list_family family);

/* What is wanted of a family is answered without asking. */
void gather_lists_settle(struct gather *g, enum list_family family, enum dnsbl_status status);

/* The client's name, which LISTS_PTR waits for, has been looked up. */
void gather_lists_start_ptr(struct gather *g);

bool gather_lists_are_running(const struct list_search *search);
void gather_lists_cancel(struct list_search *search);

/* The name that is looked up in lists of names; "": there is none, which no list holds. */
struct str gather_list_name(const struct gather *g, enum list_family family);

/* ---- gather_reasons.c */

/* Whether the verdict's reply has a place for what lists say, and lists made it true. */
bool gather_reasons_are_wanted(const struct gather_world *world, const struct conf_policy *policy,
                               const struct gather_memory *memory, const struct policy_verdict *verdict);

/* Asks for it, if it is wanted and there is time. True: answers are awaited; a step follows the last of them. */
bool gather_reasons_ask(struct gather *g, const struct policy_verdict *verdict);

/* What was said is remembered for the reply. */
void gather_reasons_keep(struct gather *g, const struct policy_verdict *verdict);
void gather_reasons_cancel(struct gather *g);
