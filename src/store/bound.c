/*
 * bound: see the header.
 *
 * Only the lowest of a network's counters is raised (conservative update), so that a network is not charged for those
 * that it meets in one hash alone.
 *
 * Rejected: to count the rows in the database (a key is a hash, and tells no network; a column or an index more would
 * cost every row); a table of networks (who owns many would push out those that matter); to take away from the count
 * what has passed (a client that waits would get as many rows of the longer kind).
 */
#include "store/bound.h"

#include "store/greylist_question.h"

#include <string.h>

void bound_init(struct bound *bound) {
    *bound = (struct bound){ 0 };
    for (unsigned h = 0; h < BOUND_HASHES; h++)
        hash_make_key(bound->keys[h]);
}

void bound_set(struct bound *bound, uint32_t max, uint32_t period_s) {
    if (bound->period_end_s > 0 && period_s < bound->period_s)
        bound->period_end_s -= bound->period_s - period_s;
    bound->max = max;
    bound->period_s = period_s;
}

void bound_tick(struct bound *bound, uint64_t now_s) {
    if (bound->period_end_s != 0 && now_s < bound->period_end_s)
        return;
    memset(bound->counts, 0, sizeof(bound->counts));
    bound->period_end_s = now_s + bound->period_s;
}

/* ---- counters */

static size_t place_of(const struct bound *bound, unsigned h, struct str network) {
    return hash_keyed(bound->keys[h], network.at, network.len) % BOUND_COUNTERS;
}

static uint32_t count_of(const struct bound *bound, struct str network) {
    uint32_t least = UINT32_MAX;
    for (unsigned h = 0; h < BOUND_HASHES; h++) {
        uint32_t count = bound->counts[h][place_of(bound, h, network)];
        least = count < least ? count : least;
    }
    return least;
}

static void add_to(struct bound *bound, struct str network) {
    uint32_t count = count_of(bound, network);
    for (unsigned h = 0; h < BOUND_HASHES && network.len > 0; h++) {
        uint32_t *counter = &bound->counts[h][place_of(bound, h, network)];
        *counter += *counter == count && count < UINT32_MAX;
    }
}

bool bound_is_reached(const struct bound *bound, struct str network, bool is_wide) {
    return bound->max > 0 && network.len > 0 &&
           count_of(bound, network) >= (uint64_t)bound->max * (is_wide ? BOUND_WIDE : 1);
}

/* ---- questions */

bool bound_is_crowded(const struct bound *bound, const struct greylist_question *question) {
    char text[GREYLIST_NETWORK_MAX];
    return bound_is_reached(bound, greylist_question_network(question, false, text), false) ||
           bound_is_reached(bound, greylist_question_network(question, true, text), true);
}

bool bound_add(struct bound *bound, const struct greylist_question *question) {
    char text[GREYLIST_NETWORK_MAX];
    if (bound->max == 0)
        return false;
    bool was_crowded = bound_is_crowded(bound, question);
    add_to(bound, greylist_question_network(question, false, text));
    add_to(bound, greylist_question_network(question, true, text));
    return !was_crowded && bound_is_crowded(bound, question);
}
