/*
 * organisations: what the public suffix list said of names that were asked about lately. Most mail comes from few
 * hosts, and the list takes 0.5 us a label.
 *
 * A place is given by a hash under the process's key, so nobody can choose which names share one; a name is known by
 * all 64 bits of it. What is remembered is a length, which stays right for as long as the process and its list do.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum { ORGANISATIONS_PLACES = 1024 }; /* 16 KiB */

struct organisations { /* all-zero: empty */
    struct {
        uint64_t hash; /* of the name; 0: nothing is here */
        uint8_t len;   /* of its organisation */
    } at[ORGANISATIONS_PLACES];
};

/* As helo_organisation(), which is asked for what is not remembered. `seen` NULL: always. */
struct str organisation_of(struct organisations *seen, struct str name);
