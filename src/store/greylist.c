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
 */
#include "store/greylist.h"

#include "base/hash.h"

#include <string.h>

enum {
    REFRESH_S = 3600, /* last-seen is written at most this often, and an identity counted */
    KEY_BYTES_MAX = 3 * GREYLIST_TEXT_MAX + 8,
};

struct asking { /* one call's view */
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

void greylist_keys(const struct greylist_question *question, const uint8_t key[GREYLIST_KEY_SIZE],
                   struct greylist_rows *ret_rows) {
    *ret_rows = (struct greylist_rows){ 0 };
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

static bool may_earn(const struct greylist_question *question) {
    return !question->is_null_sender && question->settings.whitelist_after > 0;
}

/* Counting for identity `i` is possible now: at most once an hour. */
static bool may_count(const struct asking *a, size_t i) {
    return may_earn(a->question) && (!has_identity(a, i) || a->now - identity(a, i)->last >= REFRESH_S);
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
    const struct greylist_settings *set = &a->question->settings;
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
            row.expires = a->now + a->question->settings.passed_life;
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
    const struct greylist_settings *set = &a->question->settings;
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

/* Seen before, and not passed: the earliest attempt under any identity counts. */
static bool is_waiting(struct asking *a, struct greylist_answer *answer) {
    const struct greylist_settings *set = &a->question->settings;
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

void greylist_ask(const struct greylist_question *question, const struct greylist_rows *rows, int64_t now,
                  struct greylist_answer *ret_answer, struct greylist_changes *ret_changes) {
    struct asking a = { .question = question, .rows = rows, .now = now, .changes = ret_changes };
    *ret_answer = (struct greylist_answer){ .status = GREYLIST_NEW, .seconds_left = question->settings.delay };
    ret_changes->n = 0;
    ret_changes->is_refresh = false;
    if (question->n_identities == 0 || is_whitelisted(&a, ret_answer) || is_cached(&a, ret_answer)
        || is_waiting(&a, ret_answer))
        return;
    write_row(&a, triplet(&a, first_written(&a)), (struct row){ .first = now, .last = now,
                                                                .expires = now + question->settings.unpassed_life });
}

/* ---- the end of a transaction */

void greylist_credit(const struct greylist_question *question, const struct greylist_rows *rows, int64_t now,
                     struct greylist_changes *ret_changes) {
    struct asking a = { .question = question, .rows = rows, .now = now, .changes = ret_changes };
    ret_changes->n = 0;
    ret_changes->is_refresh = false;
    for (size_t i = first_written(&a); i < question->n_identities; i = next_written(&a, i)) {
        if (passes_of(&a, i) != 1 || !may_count(&a, i))
            continue;
        struct row counted = *triplet(&a, i);
        counted.passes = 2;
        write_row(&a, triplet(&a, i), counted);
        write_row(&a, identity(&a, i), (struct row){ .first = has_identity(&a, i) ? identity(&a, i)->first : now,
                                                     .last = now, .passes = (int32_t)count_of(&a, i) + 1,
                                                     .expires = now + question->settings.whitelist_life });
    }
}
