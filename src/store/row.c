/*
 * row: see the header. A row that says nothing (expired, or seen before it was forgotten) is neutral in a merge:
 * nothing of it but its `forgot` gets through, or an old passed triplet would come back with the next first attempt. Of
 * two such rows what is left is their `forgot`, on an empty row.
 */
#include "store/row.h"

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t greatest(int64_t a, int64_t b) {
    return a > b ? a : b;
}

bool row_is_alive(const struct row *row, int64_t now) {
    return row->expires > now && row->first > row->forgot;
}

bool row_is_spent(const struct row *row, int64_t now) {
    return !row_is_alive(row, now) && (row->forgot == 0 || row->forgot <= now - ROW_FORGET_LIFE);
}

static int64_t between(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

struct row row_bounded(const struct row *row, int64_t now) {
    return (struct row){
        .key = row->key,
        .first = between(row->first, 0, now + ROW_LIFE_MAX),
        .last = between(row->last, 0, now + ROW_LIFE_MAX),
        .expires = between(row->expires, 0, now + ROW_LIFE_MAX),
        .forgot = between(row->forgot, 0, now + ROW_CLOCK_MAX),
        .passes = (int32_t)between(row->passes, 0, ROW_PASSES_MAX),
    };
}

struct row row_merge(const struct row *a, const struct row *b, int64_t now) {
    int64_t forgot = greatest(a->forgot, b->forgot);
    bool says_a = a->expires > now && a->first > forgot, says_b = b->expires > now && b->first > forgot;
    struct row merged = { .key = a->key };
    if (says_a && says_b)
        merged = (struct row){ .key = a->key, .first = least(a->first, b->first), .last = greatest(a->last, b->last),
                               .expires = greatest(a->expires, b->expires),
                               .passes = a->passes > b->passes ? a->passes : b->passes };
    else if (says_a)
        merged = *a;
    else if (says_b)
        merged = *b;
    merged.forgot = forgot;
    return merged;
}
