/*
 * recipients: does this domain know this recipient?
 *
 * The one place where own entries, sub-addresses, catch-all and postmaster come together; session and `postern
 * recipients check` ask the same question. Pure: time and directory are given.
 */
#pragma once

#include "smtp/address.h"
#include "table/directory.h"

enum recipient_answer {
    RECIPIENT_KNOWN,
    RECIPIENT_UNKNOWN,      /* 550 5.1.1 */
    RECIPIENT_ROUTE,        /* not in it, and a mailbox server could send it on elsewhere: relaying, 5.7.1 */
    RECIPIENT_NO_DIRECTORY, /* missing or broken, and needed for the answer: 450 4.1.1 */
    RECIPIENT_STALE,        /* not in it, but it is older than max_age_ms: 450 4.1.1 */
    RECIPIENT_UNCHECKED,    /* `directory none`: the mailbox server's answer to RCPT decides */
};

enum recipient_way { /* by which it is known */
    RECIPIENT_WAY_NONE,
    RECIPIENT_WAY_OWN,         /* the address itself stands in the directory */
    RECIPIENT_WAY_SUB_ADDRESS, /* the address without its detail does */
    RECIPIENT_WAY_CATCH_ALL,
    RECIPIENT_WAY_POSTMASTER,
};

/* The domain's settings, as in struct conf_domain_settings (table stands below conf). */
struct recipient_lookup {
    const char *delimiter;  /* any of these bytes begins a sub-address; NULL or "": none */
    const char *catch_all;  /* NULL: none; "": every local part is known; else where unknown ones go */
    const char *postmaster; /* where postmaster@ and abuse@ go; NULL: passed as they are */
    bool is_unchecked;      /* `directory none` */
    bool takes_routes;      /* `local_routes yes`: smtp_local_kind() does not matter */
    uint64_t max_age_ms;    /* 0: no limit */
};

/*
 * `address` belongs to this domain, or is <postmaster> alone. `directory_or_null` is NULL when missing. Sets *ret_way,
 * and *ret_rewrite to the address that takes its place in the envelope (a string of `how`), or NULL: passed as written,
 * sub-addresses too. Well under a microsecond.
 *
 * Tried in this order: postmaster and abuse (known whatever the directory says), the address itself, the address
 * without its detail, the catch-all. A catch-all that rewrites needs a directory that is there and fresh: else mail of
 * known recipients would go to it as well.
 *
 * A local part that is not SMTP_LOCAL_PLAIN (smtp/local_route.h) is known only when the directory holds exactly it.
 */
enum recipient_answer recipient_find(const struct directory *directory_or_null, const struct recipient_lookup *how,
                                     const struct smtp_address *address, uint64_t wall_ms, enum recipient_way *ret_way,
                                     const char **ret_rewrite);
