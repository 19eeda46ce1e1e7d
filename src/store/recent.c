/*
 * recent: see the header. A key has one set, in which whoever was kept longest ago gives way. With one place for a key
 * one row in ten would have to give way to another although the table is nearly empty, and a batch of thirty keys would
 * hardly ever be found whole. All is forgotten by beginning another round, in which no place is filled yet.
 */
#include "store/recent.h"

#include <string.h>

static size_t set_of(int64_t key) {
    return (uint64_t)key % RECENT_SETS;
}

/* 0 is the round of places never used. */
static uint32_t round_of(const struct recent *recent) {
    return recent->n_forgotten + 1;
}

bool recent_find(const struct recent *recent, struct row *row, bool *ret_has) {
    const struct recent_place *set = recent->sets[set_of(row->key)];
    for (size_t i = 0; i < RECENT_WAYS; i++) {
        if (set[i].row.key != row->key || set[i].round != round_of(recent))
            continue;
        *ret_has = set[i].has;
        if (set[i].has)
            *row = set[i].row;
        return true;
    }
    return false;
}

/* Where a key stands, or stood; else the place of whoever gives way. */
static size_t place_of(const struct recent_place *set, int64_t key) {
    size_t i = 0;
    while (i < RECENT_WAYS - 1 && set[i].row.key != key)
        i++;
    return i;
}

void recent_keep(struct recent *recent, const struct row *row, bool has) {
    struct recent_place *set = recent->sets[set_of(row->key)];
    memmove(set + 1, set, place_of(set, row->key) * sizeof(*set));
    set[0] = (struct recent_place){ .row = *row, .round = round_of(recent), .has = has };
}

void recent_forget(struct recent *recent, int64_t key) {
    struct recent_place *set = recent->sets[set_of(key)], *place = &set[place_of(set, key)];
    if (place->row.key == key)
        place->round = 0;
}

void recent_forget_all(struct recent *recent) {
    if (++recent->n_forgotten == UINT32_MAX) /* rounds begin anew */
        memset(recent, 0, sizeof(*recent));
}
