/*
 * greylist: see the header. Each outcome is one function that looks for its rows, strongest identity first, and says
 * what to write; greylist_ask() tries them in the order in which they count for the sender.
 *
 * Times. A first-seen in the future (a host whose clock is ahead wrote it) counts as now, and is corrected by writing
 * now: merging keeps the earliest. Where a forgotten row stands in the way, a row begins one second after it was
 * forgotten at the earliest, or it would be forgotten too.
 *
 * Who is forgotten as a client is so with all its triplets, whichever host wrote them and whether or not anybody knows
 * their names: a triplet first seen before its identity was forgotten says nothing.
 *
 * In a crowded network a new triplet is written into the row that it shares. Rejected: to drop the oldest rows, any
 * rows, or the newest (who attacks chooses how many there are, so a good sender's goes, or never comes); to refuse the
 * network as a whole. A client that fills most of the groups and waits passes without another wait; it had to make a
 * few thousand attempts from one network for that, over more than `delay`.
 */
#include "store/greylist.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

enum {
    REFRESH_S = 3600, /* last-seen is written at most this often, and an identity counted */
    KEY_BYTES_MAX = 3 * GREYLIST_TEXT_MAX + 8,
};

struct asking { /* one call's view */
    const struct greylist_settings *settings;
    const struct greylist_question *question;
    const struct greylist_rows *rows;
    int64_t now;
    struct greylist_changes *changes;
};

/* ---- keys */

static int64_t key_of(const uint8_t key[GREYLIST_KEY_SIZE], char kind, const struct str *parts, size_t n) {
    char bytes[KEY_BYTES_MAX];
    size_t len = 0;
    bytes[len++] = kind;
    for (size_t i = 0; i < n; i++) {
        struct str part = str_head(parts[i], GREYLIST_TEXT_MAX);
        if (part.len > 0)
            memcpy(bytes + len, part.at, part.len);
        len += part.len;
        bytes[len++] = '\0'; /* no address holds one: "a" + "bc" is not "ab" + "c" */
    }
    return (int64_t)hash_keyed(key, bytes, len);
}

int64_t greylist_identity_key(const uint8_t key[GREYLIST_KEY_SIZE], struct str identity) {
    return key_of(key, 'i', &identity, 1);
}

int64_t greylist_triplet_key(const uint8_t key[GREYLIST_KEY_SIZE], struct str identity, struct str sender,
                             struct str recipient) {
    return key_of(key, 't', (struct str[]){ identity, sender, recipient }, 3);
}

/* The group's number is that of sender and recipient under the same key, so nobody can fill another's on purpose. */
static int64_t group_key(const uint8_t key[GREYLIST_KEY_SIZE], struct str network, struct str sender,
                         struct str recipient) {
    char number[8];
    uint64_t hash = (uint64_t)key_of(key, 'n', (struct str[]){ sender, recipient }, 2);
    snprintf(number, sizeof(number), "%u", (unsigned)(hash % GREYLIST_GROUPS));
    return key_of(key, 'g', (struct str[]){ network, str_of(number) }, 2);
}

void greylist_keys(const struct greylist_question *question, struct str network, const uint8_t key[GREYLIST_KEY_SIZE],
                   struct greylist_rows *ret_rows) {
    *ret_rows = (struct greylist_rows){ 0 };
    ret_rows->at[GREYLIST_GROUP].key = group_key(key, network, question->sender, question->recipient);
    for (size_t i = 0; i < question->n_identities; i++) {
        struct str identity = question->identities[i];
        ret_rows->at[i].key = greylist_triplet_key(key, identity, question->sender, question->recipient);
        ret_rows->at[GREYLIST_IDENTITIES_MAX + i].key = greylist_identity_key(key, identity);
    }
}

/* ---- rows */

static const struct row *triplet(const struct asking *a, size_t i) {
    return &a->rows->at[i];
}

static const struct row *identity(const struct asking *a, size_t i) {
    return &a->rows->at[GREYLIST_IDENTITIES_MAX + i];
}

/* Since when the triplet of identity `i` counts, its own row apart; 0: always. */
static int64_t client_forgot(const struct asking *a, size_t i) {
    return a->rows->has[GREYLIST_IDENTITIES_MAX + i] ? identity(a, i)->forgot : 0;
}

static bool has_triplet(const struct asking *a, size_t i) {
    return a->rows->has[i] && row_is_alive(triplet(a, i), a->now) && triplet(a, i)->first > client_forgot(a, i);
}

static bool has_identity(const struct asking *a, size_t i) {
    return a->rows->has[GREYLIST_IDENTITIES_MAX + i] && row_is_alive(identity(a, i), a->now);
}

/* -1: there is none. */
static int32_t passes_of(const struct asking *a, size_t i) {
    return has_triplet(a, i) ? triplet(a, i)->passes : -1;
}

static const struct row *group(const struct asking *a) {
    return &a->rows->at[GREYLIST_GROUP];
}

/* Since when a row counts that is not one identity's own. */
static int64_t all_forgot(const struct asking *a) {
    int64_t forgot = 0;
    for (size_t i = 0; i < a->question->n_identities; i++)
        forgot = client_forgot(a, i) > forgot ? client_forgot(a, i) : forgot;
    return forgot;
}

static bool has_group(const struct asking *a) {
    return a->rows->has[GREYLIST_GROUP] && row_is_alive(group(a), a->now) && group(a)->first > all_forgot(a);
}

/* `where`: the row that stands at its key now, perhaps one that says nothing. */
static void write_row(struct asking *a, const struct row *where, struct row row) {
    if (a->question->is_read_only)
        return;
    size_t slot = (size_t)(where - a->rows->at);
    row.key = where->key;
    row.forgot = slot < GREYLIST_IDENTITIES_MAX ? client_forgot(a, slot) : 0; /* what stands there stays, by merging */
    int64_t forgot = row.forgot > where->forgot ? row.forgot : where->forgot;
    if (row.first <= forgot)
        row.first = forgot + 1;
    a->changes->rows[a->changes->n++] = row;
}

static bool may_earn(const struct asking *a) {
    return !a->question->is_null_sender && a->settings->whitelist_after > 0;
}

/* Counting for identity `i` is possible now: at most once an hour. */
static bool may_count(const struct asking *a, size_t i) {
    return may_earn(a) && (!has_identity(a, i) || a->now - identity(a, i)->last >= REFRESH_S);
}

static uint32_t count_of(const struct asking *a, size_t i) {
    return has_identity(a, i) && identity(a, i)->passes > 0 ? (uint32_t)identity(a, i)->passes : 0;
}

/* The identities that a pass is written under: the strongest that may be, and the address. */
static size_t first_written(const struct asking *a) {
    return a->question->n_looked_up;
}

static size_t next_written(const struct asking *a, size_t i) {
    size_t last = (size_t)a->question->n_identities - 1;
    return i < last ? last : a->question->n_identities;
}

/* ---- outcomes */

static bool is_whitelisted(struct asking *a, struct greylist_answer *answer) {
    const struct greylist_settings *set = a->settings;
    for (size_t i = 0; i < a->question->n_identities; i++) {
        if (set->whitelist_after == 0 || count_of(a, i) < set->whitelist_after)
            continue;
        answer->status = GREYLIST_WHITELISTED;
        struct row row = *identity(a, i);
        if (a->now - row.last >= REFRESH_S) {
            row.last = a->now;
            if (row.expires < a->now + set->whitelist_life)
                row.expires = a->now + set->whitelist_life;
            write_row(a, identity(a, i), row);
            a->changes->is_refresh = true;
        }
        return true;
    }
    return false;
}

/* Known under another identity only, it is written under the strongest too: facts come and go. */
static bool is_cached(struct asking *a, struct greylist_answer *answer) {
    for (size_t i = 0; i < a->question->n_identities; i++) {
        if (passes_of(a, i) <= 0)
            continue;
        answer->status = GREYLIST_CACHED;
        struct row row = *triplet(a, i);
        bool is_due = a->now - row.last >= REFRESH_S;
        if (is_due) {
            row.last = a->now;
            row.expires = a->now + a->settings->passed_life;
            write_row(a, triplet(a, i), row);
        }
        size_t strongest = first_written(a);
        bool is_copied = passes_of(a, strongest) <= 0;
        if (is_copied)
            write_row(a, triplet(a, strongest), row);
        a->changes->is_refresh = a->changes->n > 0;
        for (size_t j = strongest; j < a->question->n_identities; j = next_written(a, j))
            answer->may_count |= may_count(a, j) && (j == strongest && is_copied ? row.passes : passes_of(a, j)) == 1;
        return true;
    }
    return false;
}

static void pass(struct asking *a, int64_t first, struct greylist_answer *answer) {
    const struct greylist_settings *set = a->settings;
    answer->status = GREYLIST_RETRY;
    answer->waited = (uint32_t)(a->now - first);
    for (size_t i = first_written(a); i < a->question->n_identities; i = next_written(a, i)) {
        write_row(a, triplet(a, i), (struct row){ .first = first, .last = a->now, .passes = 1,
                                                  .expires = a->now + set->passed_life });
        if (!may_count(a, i))
            continue;
        answer->may_count = true;
        if (count_of(a, i) + 1 >= set->whitelist_after)
            answer->status = GREYLIST_AUTOWHITELIST;
    }
}

/* A new triplet, where there is room for one; 2 in `passes`: it earns nothing. */
static void write_own(struct asking *a, struct row row) {
    for (size_t i = first_written(a); i < a->question->n_identities; i = next_written(a, i))
        write_row(a, triplet(a, i), row);
    a->changes->is_new = true;
}

/* What has passed by a shared row gets its own as soon as the network is not crowded any more. */
static void keep_passed(struct asking *a, int64_t first) {
    const struct greylist_settings *set = a->settings;
    a->changes->is_grouped = a->rows->is_crowded;
    if (!a->rows->is_crowded)
        write_own(a, (struct row){ .first = first, .last = a->now, .passes = 2, .expires = a->now + set->passed_life });
    else if (group(a)->passes <= 0 || a->now - group(a)->last >= REFRESH_S)
        write_row(a, group(a), (struct row){ .first = first, .last = a->now, .passes = 1,
                                             .expires = a->now + set->unpassed_life });
}

static bool is_group_cached(struct asking *a, struct greylist_answer *answer) {
    if (!has_group(a) || group(a)->passes <= 0)
        return false;
    answer->status = GREYLIST_CACHED;
    keep_passed(a, group(a)->first);
    a->changes->is_refresh = a->changes->n > 0;
    return true;
}

static bool is_group_waiting(struct asking *a, struct greylist_answer *answer) {
    if (!has_group(a))
        return false;
    int64_t first = group(a)->first < a->now ? group(a)->first : a->now;
    uint32_t waited = (uint32_t)(a->now - first);
    if (waited < a->settings->delay) {
        answer->status = GREYLIST_EARLY;
        answer->seconds_left = a->settings->delay - waited;
        a->changes->is_grouped = true;
        return true;
    }
    answer->status = GREYLIST_RETRY;
    answer->waited = waited;
    keep_passed(a, first);
    return true;
}

static void begin_waiting(struct asking *a) {
    const struct row row = { .first = a->now, .last = a->now, .expires = a->now + a->settings->unpassed_life };
    bool is_crowded = a->rows->is_crowded;
    write_row(a, is_crowded ? group(a) : triplet(a, first_written(a)), row);
    a->changes->is_new = !is_crowded;
    a->changes->is_grouped = is_crowded;
}

/* Seen before, and not passed: the earliest attempt under any identity counts. */
static bool is_waiting(struct asking *a, struct greylist_answer *answer) {
    const struct greylist_settings *set = a->settings;
    int64_t first = INT64_MAX;
    size_t at = 0;
    for (size_t i = 0; i < a->question->n_identities; i++) {
        if (has_triplet(a, i) && triplet(a, i)->first < first) {
            first = triplet(a, i)->first;
            at = i;
        }
    }
    if (first == INT64_MAX)
        return false;
    bool is_ahead = first > a->now;
    if (is_ahead)
        first = a->now;
    if (a->now - first >= set->delay) {
        pass(a, first, answer);
        return true;
    }
    answer->status = GREYLIST_EARLY;
    answer->seconds_left = (uint32_t)(set->delay - (a->now - first));
    if (is_ahead)
        write_row(a, triplet(a, at), (struct row){ .first = a->now, .last = a->now,
                                                   .expires = a->now + set->unpassed_life });
    return true;
}

static void clear(struct greylist_changes *changes) {
    changes->n = 0;
    changes->is_refresh = changes->is_new = changes->is_grouped = false;
}

void greylist_ask(const struct greylist_settings *settings, const struct greylist_question *question,
                  const struct greylist_rows *rows, int64_t now, struct greylist_answer *ret_answer,
                  struct greylist_changes *ret_changes) {
    struct asking a = { .settings = settings, .question = question, .rows = rows, .now = now, .changes = ret_changes };
    *ret_answer = (struct greylist_answer){ .status = GREYLIST_NEW, .seconds_left = settings->delay };
    clear(ret_changes);
    if (question->n_identities == 0 || is_whitelisted(&a, ret_answer) || is_cached(&a, ret_answer)
        || is_waiting(&a, ret_answer) || is_group_cached(&a, ret_answer) || is_group_waiting(&a, ret_answer))
        return;
    begin_waiting(&a);
}

/* ---- the end of a transaction */

void greylist_credit(const struct greylist_settings *settings, const struct greylist_question *question,
                     const struct greylist_rows *rows, int64_t now, struct greylist_changes *ret_changes) {
    struct asking a = { .settings = settings, .question = question, .rows = rows, .now = now, .changes = ret_changes };
    clear(ret_changes);
    for (size_t i = first_written(&a); i < question->n_identities; i = next_written(&a, i)) {
        if (passes_of(&a, i) != 1 || !may_count(&a, i))
            continue;
        struct row counted = *triplet(&a, i);
        counted.passes = 2;
        write_row(&a, triplet(&a, i), counted);
        write_row(&a, identity(&a, i), (struct row){ .first = has_identity(&a, i) ? identity(&a, i)->first : now,
                                                     .last = now, .passes = (int32_t)count_of(&a, i) + 1,
                                                     .expires = now + settings->whitelist_life });
    }
}
