/*
 * refusals: recipients that a mailbox server does not know, remembered for some minutes.
 *
 * Whoever guesses names at a domain without a directory has the mailbox server refuse each of them, and servers slow
 * down for a peer that errs often: for us, and so for good mail. A name that was refused is not asked about again while
 * it is remembered. Only "no such user" is (550 with 5.1.1 or 5.1.10): it is about the recipient alone, while other
 * refusals may be about the sender or the client.
 *
 * Of a worker, and bounded: the one refused longest ago gives way. Pure but for malloc().
 */
#pragma once

#include "smtp/reply.h"

#include <stdint.h>

enum { REFUSALS_MAX = 4096 };

struct refusals;

/* hash_init() was called. `keep_ms`: how long one is remembered; 0: none is. Returns 0 or -ENOMEM. */
int refusals_new(uint64_t keep_ms, struct refusals **ret_refusals);
/* Accepts NULL. */
void refusals_free(struct refusals *take_refusals);

/* Whether it says that there is no such user, whoever asks. */
bool refusals_are_for(const struct smtp_reply *reply);

/*
 * Group number `group` has said `reply` about `address`, as it was sent there. Without memory it is not remembered.
 * `refusals` may be NULL, here and below: nothing is remembered.
 */
void refusals_note(struct refusals *refusals, unsigned group, struct str address, const struct smtp_reply *reply,
                   uint64_t now_ms);

/* What it said. False: nothing that is remembered. The reply's views live until the next refusals_note(). */
bool refusals_find(struct refusals *refusals, unsigned group, struct str address, uint64_t now_ms,
                   struct smtp_reply *ret_reply);

size_t refusals_count(const struct refusals *refusals);
