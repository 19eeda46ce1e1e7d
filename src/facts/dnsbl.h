/*
 * dnsbl: what block lists say about an address or a name, from those lists that can be believed (RFC 5782).
 *
 * One struct dnsbl a worker: the configured lists, and how far each is trusted (see dnsbl_trust.h for the rules). One
 * lookup is about one address or name and asks any set of lists, which may grow and shrink while it runs; each list's
 * answer is told by itself, so that who asks can stop at the second hit.
 *
 * The laws of net/loop.h hold. Zones are told without their keys.
 */
#pragma once

#include "conf/block_list.h"
#include "facts/dnsbl_trust.h"

struct dnsbl;

/*
 * Lists are borrowed, at most CONF_BLOCK_LISTS_MAX; their index is their bit in every set. Begins to probe them.
 * `settings` may be NULL. Returns 0, -ENOMEM, or -EINVAL (too many).
 */
int dnsbl_new(struct loop *loop, struct resolver *resolver, const struct conf_block_list *lists, size_t n_lists,
              const struct dnsbl_settings *settings, struct dnsbl **ret_dnsbl);
/* All lookups must have ended or been cancelled. Accepts NULL. */
void dnsbl_free(struct dnsbl *dnsbl);

/* ---- state, for status and reports */

size_t dnsbl_count(const struct dnsbl *dnsbl);
const struct conf_block_list *dnsbl_list(const struct dnsbl *dnsbl, unsigned list);

/* How a list stands with this kind of questions; NULL: it is not asked such questions. */
const struct dnsbl_state *dnsbl_state(const struct dnsbl *dnsbl, unsigned list, enum dnsbl_kind kind);

/* ---- lookups */

enum dnsbl_status {
    DNSBL_CLEAN,
    DNSBL_LISTED,
    DNSBL_UNAVAILABLE, /* no answer, or one that cannot be */
    DNSBL_UNTRUSTED,   /* the list is not believed at present: of a block list as if clean, of a welcome list unknown */
};

enum { DNSBL_CODES_MAX = 8 };

struct dnsbl_result {
    enum dnsbl_status status;
    unsigned n_codes; /* LISTED: those that count, at most DNSBL_CODES_MAX */
    uint32_t codes[DNSBL_CODES_MAX]; /* host byte order */
};

struct dnsbl_lookup;
/* A list's answer; is_last: the lookup is over, and freed when this returns. dnsbl_want() and _cancel() may be called
   inside unless it is the last. */
typedef void dnsbl_fn(void *arg, unsigned list, const struct dnsbl_result *result, bool is_last);

/*
 * Asks `lists` (at least one) about the client's address, or about `name` where it is not empty. Lists for the other
 * kind, and names that cannot be looked up, are clean. NULL: no memory.
 */
struct dnsbl_lookup *dnsbl_start(struct dnsbl *dnsbl, const struct ip *client, struct str name, uint64_t lists,
                                 uint64_t timeout_ms, dnsbl_fn *on_list, void *arg);

/*
 * From now on these lists are wanted: others that have not answered are cancelled, new ones asked, those that answered
 * not again. At least one must be wanted that has not answered.
 */
void dnsbl_want(struct dnsbl_lookup *lookup, uint64_t lists);

/* Accepts NULL; not after the last answer. */
void dnsbl_cancel(struct dnsbl_lookup *take_lookup);
