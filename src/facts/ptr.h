/*
 * ptr: the client's name, confirmed or not (RFC 1912 2.1: a PTR and the name's own address should agree).
 *
 * One PTR question, then for each name (at most PTR_NAMES_MAX) its addresses of the client's family, all at once. A
 * client has *no* name only if DNS said so; silence is PTR_UNAVAILABLE. Of several names the one that speaks best for
 * the client is taken: confirmed before unconfirmed, then by class (mail, other, static, access), then by the
 * alphabet.
 */
#pragma once

#include "net/resolver.h"
#include "policy/classify.h"

enum { PTR_NAMES_MAX = 8 };

enum ptr_status {
    PTR_UNAVAILABLE,
    PTR_NAMED,       /* it has names; whether one leads back is not known */
    PTR_NONE,
    PTR_UNCONFIRMED, /* no name leads back to the address */
    PTR_CONFIRMED,
};

struct ptr_result {
    uint8_t status; /* enum ptr_status */
    uint8_t class;  /* enum name_class of the name; with UNCONFIRMED and CONFIRMED */
    uint8_t name_len;
    char name[DNS_NAME_MAX];
};

struct ptr_lookup;
typedef void ptr_fn(void *arg, const struct ptr_result *result);

/* `done` comes once, in a later turn, unless cancelled. Each of the two rounds may take timeout_ms. NULL: no memory. */
struct ptr_lookup *ptr_start(struct resolver *resolver, const struct ip *client, uint64_t timeout_ms, ptr_fn *done,
                             void *arg);

/* A name that may stand in a PTR of a host: of domain syntax, not too long. */
bool ptr_is_name(struct str name);

/* The same where the client's only name is known (ptr_is_name()) and its addresses are not: the second round alone. */
struct ptr_lookup *ptr_confirm_start(struct resolver *resolver, const struct ip *client, struct str name,
                                     uint64_t timeout_ms, ptr_fn *done, void *arg);

/* The result where the name is known to lead back to the client, too. */
void ptr_take_confirmed(const struct ip *client, struct str name, struct ptr_result *ret_result);

/* Accepts NULL; not after `done`, which frees it. */
void ptr_cancel(struct ptr_lookup *take_lookup);

static inline struct str ptr_name(const struct ptr_result *result) {
    return (struct str){ result->name, result->name_len };
}
