/*
 * repeats: which of many like lines are written, and which are only counted?
 *
 * Lines are like each other when one client caused them and they say the same thing (`what`, a hash made by the
 * caller). The first few in a minute are written. Of those that follow the first is kept, the others are counted with
 * it, and at the end of the minute the kept one is written with the number of those that it stands for. So a client
 * that is refused a million times costs a few lines a minute, and no refusal is missing from a count. A network has a
 * bound on whole lines of its own, for a client that has itself refused for ever other reasons.
 *
 * Owned by the worker. Everything is bounded: REPEATS_MAX entries, REPEATS_TEXTS_MAX bytes of kept lines. The oldest
 * entry gives way, and is written then.
 */
#pragma once

#include "base/addr.h"
#include "base/str.h"

#include <stdint.h>

enum {
    REPEATS_MAX = 4096,
    REPEATS_WINDOW_MS = 60000,
    REPEATS_TEXT_MAX = 128 * 1024, /* a longer line is not kept, but written */
    REPEATS_TEXTS_MAX = 8 << 20,
    REPEATS_ID_MAX = 28,
};

/* A kept line, whose time has come; views for the time of the call. */
struct repeats_line {
    struct str text;
    const char *ident;   /* of the process in the log, as it was given */
    uint64_t repeated;   /* how many more like it were not written */
    const char *last_id; /* of the last of them */
};

struct repeats_settings {
    void (*write)(void *arg, const struct repeats_line *line);
    void *arg;
};

/* How many lines a minute are written at once. */
struct repeats_limits {
    uint64_t client;  /* of one client that say the same */
    uint64_t network; /* of one network (IPv4 /24, IPv6 /64), whatever they say; 0: does not count for it */
};

struct repeats;

/* Returns 0 or -ENOMEM. */
int repeats_new(const struct repeats_settings *settings, struct repeats **ret_repeats);
/* Writes what is kept. Accepts NULL. */
void repeats_free(struct repeats *take_repeats);

enum repeats_fate {
    REPEATS_WRITE,   /* write it as if there were no such table */
    REPEATS_KEEP,    /* hand it to repeats_keep() */
    REPEATS_COUNTED, /* forget it */
};

/*
 * What becomes of a line about `client` (NULL: ours alone) that says `what`. `id` names it, at most REPEATS_ID_MAX - 1
 * bytes. May write others.
 */
enum repeats_fate repeats_look(struct repeats *repeats, const struct ip *client, uint64_t what,
                               const struct repeats_limits *limits, const char *id, uint64_t now_ms);

/*
 * Keeps the line that repeats_look() has just wanted to have kept; `ident` has static storage. False: no memory, or it
 * is too long: the caller writes it.
 */
bool repeats_keep(struct repeats *repeats, struct str text, const char *ident);

/* Writes the lines whose minute is over. Call it once a second. */
void repeats_expire(struct repeats *repeats, uint64_t now_ms);

/* Lines that were counted instead of being written. */
uint64_t repeats_counted(const struct repeats *repeats);
