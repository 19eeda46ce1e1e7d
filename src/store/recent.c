/*
 * recent: see the header. A key has one place: no search, no list of who was used last, and whoever is read last gets
 * it. All is forgotten by beginning another round, in which no place is filled yet.
 */
#include "store/recent.h"

#include <string.h>

static size_t place_of(int64_t key) {
    return (uint64_t)key % RECENT_PLACES;
}

/* 0 is the round of places never used. */
static uint32_t round_of(const struct recent *recent) {
    return recent->n_forgotten + 1;
}

bool recent_find(const struct recent *recent, struct row *row, bool *ret_has) {
    const struct recent_place *place = &recent->places[place_of(row->key)];
    if (place->round != round_of(recent) || place->row.key != row->key)
        return false;
    *ret_has = place->has;
    if (place->has)
        *row = place->row;
    return true;
}

void recent_keep(struct recent *recent, const struct row *row, bool has) {
    recent->places[place_of(row->key)] = (struct recent_place){ .row = *row, .round = round_of(recent), .has = has };
}

void recent_forget(struct recent *recent, int64_t key) {
    struct recent_place *place = &recent->places[place_of(key)];
    if (place->row.key == key)
        place->round = 0;
}

void recent_forget_all(struct recent *recent) {
    if (++recent->n_forgotten == UINT32_MAX) /* rounds begin anew */
        memset(recent, 0, sizeof(*recent));
}
