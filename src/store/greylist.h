/*
 * greylist: the model of greylisting (RFC 6647; design.md section 5), pure: rows and a time in, a status and rows out.
 *
 * A question names who sends (up to GREYLIST_IDENTITIES_MAX identities, strongest first, the client's own address
 * last), the normalised sender and the recipient. Each identity stands for two keys: its triplet's, and its own on the
 * automatic whitelist. The store reads the rows of all keys, greylist_ask() decides and says which rows change, the
 * store merges those and answers. Passing under any identity is passing; a first attempt is written under the
 * strongest, a pass under the strongest and under the address; those between the two are only looked up, and so are the
 * first `n_looked_up`, where a stronger one may turn out to be wrong (facts/greylist.c).
 *
 *     new ──delay──▶ retry ─▶ cached …        early: tried again too soon
 *                      └─ the end of the transaction, greylist_credit(): its identities are counted; the fifth
 *                         triplet makes them whitelisted (the retry that will do so is called autowhitelist)
 *
 * Whose network has had many new triplets (bound.h) is *crowded*: a further one gets no row of its own, but shares one
 * of GREYLIST_GROUPS with others of the network, chosen by a hash that nobody outside can compute. So the rows of a
 * network are bounded, and no attempt pushes out another: a sender in a crowded network waits and passes as ever. What
 * passes by a shared row earns nothing.
 *
 * The settings are the store's (process.h), never a worker's. No clock, no I/O, no allocation.
 */
#pragma once

#include "base/str.h"
#include "policy/facts.h"
#include "store/row.h"

enum {
    GREYLIST_IDENTITIES_MAX = 4,
    GREYLIST_TEXT_MAX = 320, /* of each view in a question; longer ones are refused by whoever makes it */
    GREYLIST_GROUP = 2 * GREYLIST_IDENTITIES_MAX, /* the slot of the shared row */
    GREYLIST_KEYS_MAX = GREYLIST_GROUP + 1,
    GREYLIST_GROUPS = 1024,
    GREYLIST_DELAY_MAX = 24 * 3600, /* s; the option's bound too */
    GREYLIST_KEY_SIZE = 16,  /* of the hash key */
};

struct greylist_settings { /* seconds, but for the count; defaults in conf/options.c */
    uint32_t delay, unpassed_life, passed_life, whitelist_life;
    uint32_t whitelist_after; /* passed triplets; 0: never */
    uint32_t new_per_network; /* new triplets within unpassed_life; 0: not bounded */
};

struct greylist_question {
    struct str identities[GREYLIST_IDENTITIES_MAX]; /* "org:example.com", "net:192.0.2.0/24", "ip:192.0.2.1" */
    uint8_t n_identities;
    uint8_t n_looked_up; /* less than n_identities: the strongest one that is written stands at this index */
    bool is_read_only;   /* explain, tests, shadow rules: nothing is recorded */
    bool is_null_sender; /* it never earns a whitelisting */
    struct str sender;   /* normalised */
    struct str recipient; /* lower case */
};

/*
 * Row i of the triplet of identity i stands at [i], that of identity i itself at [GREYLIST_IDENTITIES_MAX + i], and the
 * one that the question shares with others of its network at [GREYLIST_GROUP].
 */
struct greylist_rows {
    struct row at[GREYLIST_KEYS_MAX];
    bool has[GREYLIST_KEYS_MAX];
    bool is_crowded; /* a new triplet of this network gets no row of its own */
};

struct greylist_answer {
    uint8_t status;        /* enum greylist_status */
    bool may_count;        /* when the transaction ends in 250, greylist_credit() has something to do */
    uint32_t seconds_left; /* new, early: until a retry passes; never more than the delay */
    uint32_t waited;       /* retry, autowhitelist: seconds since it was first seen */
};

enum { GREYLIST_CHANGES_MAX = GREYLIST_KEYS_MAX };

struct greylist_changes {
    struct row rows[GREYLIST_CHANGES_MAX]; /* to be merged */
    uint8_t n;
    bool is_refresh; /* nothing but last-seen: the answer need not wait for it */
    bool is_new;     /* a triplet got rows of its own: it counts for its network */
    bool is_grouped; /* it got none, and was decided by the row that it shares */
};

/* Whether a question with so many identities has a row at `slot`. */
static inline bool greylist_slot_is_used(uint8_t n_identities, unsigned slot) {
    return slot == GREYLIST_GROUP || slot % GREYLIST_IDENTITIES_MAX < n_identities;
}

int64_t greylist_identity_key(const uint8_t key[GREYLIST_KEY_SIZE], struct str identity);
int64_t greylist_triplet_key(const uint8_t key[GREYLIST_KEY_SIZE], struct str identity, struct str sender,
                             struct str recipient);

/* Fills in the keys of all rows; `has` becomes false. `network`: where the shared row is that of. */
void greylist_keys(const struct greylist_question *question, struct str network, const uint8_t key[GREYLIST_KEY_SIZE],
                   struct greylist_rows *ret_rows);

/* Decides, and says what is to be written (nothing where the question is read-only). */
void greylist_ask(const struct greylist_settings *settings, const struct greylist_question *question,
                  const struct greylist_rows *rows, int64_t now, struct greylist_answer *ret_answer,
                  struct greylist_changes *ret_changes);

/* The transaction ended well: counts the triplet for its identities, each at most once an hour. */
void greylist_credit(const struct greylist_settings *settings, const struct greylist_question *question,
                     const struct greylist_rows *rows, int64_t now, struct greylist_changes *ret_changes);
