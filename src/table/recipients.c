/*
 * recipients: does this domain know this recipient?
 *
 * The order is from what must hold whatever else is wrong to what is only there for want of better: postmaster and
 * abuse (RFC 5321 4.5.1, RFC 2142 section 2: a domain is reachable there even while its directory is lost), the address
 * itself, the address without its detail, the catch-all.
 *
 * "Don't know" has three shapes, and none of them is "no": there is no directory or it is broken, it is too old to say
 * no, or nobody keeps one. A catch-all answers yes to everybody; where it passes the address as it is, that is right
 * with any directory and with none. Where it rewrites, a lost or stale directory would send other people's mail to the
 * catch-all's owner, so there the answer is the directory's trouble.
 *
 * A local part that a mailbox server may read as a route (anna+x%far.example, with sub-addresses, a catch-all or no
 * directory) would make an open relay of a server that trusts us. What the directory holds is a mailbox, however it is
 * spelt; everything else of that kind is refused, whatever would take it.
 *
 * Rejected: looking up postmaster@ first in the directory (an exported "postmaster" would then escape the configured
 * address, depending on what the export holds); detail on postmaster ("postmaster+x" is an ordinary sub-address).
 */
#include "table/recipients.h"

#include "smtp/local_route.h"

static enum recipient_answer known(enum recipient_way way, const char *rewrite, enum recipient_way *ret_way,
                                   const char **ret_rewrite) {
    *ret_way = way;
    *ret_rewrite = rewrite;
    return RECIPIENT_KNOWN;
}

static bool is_stale(const struct directory *directory, const struct recipient_lookup *how, uint64_t wall_ms) {
    uint64_t imported_ms = directory_meta(directory)->imported_ms;
    /* A clock that was set back makes no directory old. */
    return how->max_age_ms > 0 && wall_ms > imported_ms && wall_ms - imported_ms > how->max_age_ms;
}

/* The directory alone, with sub-addresses. */
static enum directory_answer find(const struct directory *directory, const char *delimiter, struct str local,
                                  enum recipient_way *ret_way) {
    enum directory_answer answer = directory_find(directory, local);
    if (answer == DIRECTORY_KNOWN)
        *ret_way = RECIPIENT_WAY_OWN;
    if (answer != DIRECTORY_UNKNOWN || delimiter == NULL || *delimiter == '\0')
        return answer;
    struct str user = smtp_local_without_detail(local, delimiter);
    if (user.len == local.len)
        return answer;
    answer = directory_find(directory, user);
    if (answer == DIRECTORY_KNOWN)
        *ret_way = RECIPIENT_WAY_SUB_ADDRESS;
    return answer;
}

/* For local parts that are no plain ones. A domain that needs no directory may have none: then nothing is lost. */
static enum recipient_answer find_exactly(const struct directory *directory, const struct recipient_lookup *how,
                                          struct str local, uint64_t wall_ms, enum recipient_way *ret_way) {
    bool needs_none = how->is_unchecked || (how->catch_all != NULL && *how->catch_all == '\0');
    enum directory_answer answer = directory != NULL ? directory_find(directory, local) : DIRECTORY_BROKEN;
    if (answer == DIRECTORY_KNOWN) {
        *ret_way = RECIPIENT_WAY_OWN;
        return RECIPIENT_KNOWN;
    }
    if (answer == DIRECTORY_BROKEN && !needs_none)
        return RECIPIENT_NO_DIRECTORY;
    if (answer == DIRECTORY_UNKNOWN && !needs_none && is_stale(directory, how, wall_ms))
        return RECIPIENT_STALE;
    return smtp_local_kind(local) == SMTP_LOCAL_ROUTE ? RECIPIENT_ROUTE : RECIPIENT_UNKNOWN;
}

enum recipient_answer recipient_find(const struct directory *directory_or_null, const struct recipient_lookup *how,
                                     const struct smtp_address *address, uint64_t wall_ms, enum recipient_way *ret_way,
                                     const char **ret_rewrite) {
    *ret_way = RECIPIENT_WAY_NONE;
    *ret_rewrite = NULL;
    char canonical[SMTP_LOCAL_MAX];
    struct str local = { canonical, smtp_local_canonical(address, canonical) };
    if (str_eq(local, STR("postmaster")) || str_eq(local, STR("abuse")))
        return known(RECIPIENT_WAY_POSTMASTER, how->postmaster, ret_way, ret_rewrite);
    if (!how->takes_routes && smtp_local_kind(local) != SMTP_LOCAL_PLAIN)
        return find_exactly(directory_or_null, how, local, wall_ms, ret_way);
    if (how->is_unchecked)
        return RECIPIENT_UNCHECKED;

    enum recipient_way way = RECIPIENT_WAY_NONE;
    enum directory_answer answer = DIRECTORY_BROKEN;
    if (directory_or_null != NULL)
        answer = find(directory_or_null, how->delimiter, local, &way);
    if (answer == DIRECTORY_KNOWN)
        return known(way, NULL, ret_way, ret_rewrite);
    if (how->catch_all != NULL && *how->catch_all == '\0')
        return known(RECIPIENT_WAY_CATCH_ALL, NULL, ret_way, ret_rewrite);
    if (answer == DIRECTORY_BROKEN)
        return RECIPIENT_NO_DIRECTORY;
    if (is_stale(directory_or_null, how, wall_ms))
        return RECIPIENT_STALE;
    if (how->catch_all != NULL)
        return known(RECIPIENT_WAY_CATCH_ALL, how->catch_all, ret_way, ret_rewrite);
    return RECIPIENT_UNKNOWN;
}
