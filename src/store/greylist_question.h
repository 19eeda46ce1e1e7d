/*
 * greylist_question: what a question may say, and which network asks. Pure. The store checks what workers send with it
 * (message.h), and workers what they are about to send.
 */
#pragma once

#include "store/greylist.h"

enum { GREYLIST_NETWORK_MAX = 64 };
/* The client's network, which bounds are kept for: "192.0.2.0/24", "2001:db8::/64", or the /48 of the latter where
 * `is_wide` (empty for IPv4). A view of `out`. */
struct str greylist_question_network(const struct greylist_question *question, bool is_wide,
                                     char out[GREYLIST_NETWORK_MAX]);

/*
 * Is each field what facts/greylist.c writes there? Identities are of known kinds, each at most once and strongest
 * first; the last is an address, and a network is that of the address. No text holds a control character, and the null
 * sender is "<>". A worker that was taken over may still lie about who its client is.
 */
bool greylist_question_is_sound(const struct greylist_question *question);
