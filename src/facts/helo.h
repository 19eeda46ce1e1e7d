/*
 * helo: what a HELO name says of itself, before anyone is asked (RFC 5321 4.1.1.1, 4.1.3).
 */
#pragma once

#include "base/addr.h"

struct helo_shape { /* at most one is true */
    bool is_invalid;     /* no domain name and no address; underscores are allowed */
    bool is_address;     /* 203.0.113.7, [203.0.113.7], [IPv6:2001:db8::1], 2001:db8::1 */
    bool is_unqualified; /* a name without a dot */
};

/* Also sets *ret_ip to the address it is (IP_NONE otherwise). A final dot is not looked at. */
struct helo_shape helo_look(struct str helo, struct ip *ret_ip);

/*
 * The part of a name that one organisation registers, by the public suffix list: "example.co.uk" of
 * "mx.example.co.uk". Empty when there is none. `name` is in lower case.
 */
struct str helo_organisation(struct str name);
