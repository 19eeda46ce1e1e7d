/*
 * recent: rows that were read last, as the file has them, so that who sends all day is not looked for in its tree.
 * Private to local.c, which knows when the file has others.
 *
 * Where a row stands is given by its key, which is a keyed hash: nobody can choose which rows push out one another.
 * That there is no row under a key is kept as well, since most clients are on no whitelist.
 */
#pragma once

#include "store/row.h"

enum { RECENT_SETS = 4096, RECENT_WAYS = 4 }; /* about 900 KiB, taken as they are used */

struct recent_place {
    struct row row;
    uint32_t round; /* another one than now: nothing is here */
    bool has;
};

struct recent { /* all-zero: empty */
    struct recent_place sets[RECENT_SETS][RECENT_WAYS]; /* in a set, who was kept last is first */
    uint32_t n_forgotten; /* rounds that are over */
};

/* True: it is known what stands under row->key, and *ret_has says whether that is a row, which is filled in. */
bool recent_find(const struct recent *recent, struct row *row, bool *ret_has);

/* What was read under row->key. */
void recent_keep(struct recent *recent, const struct row *row, bool has);
void recent_forget(struct recent *recent, int64_t key);
void recent_forget_all(struct recent *recent);
