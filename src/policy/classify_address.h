/*
 * classify_address: is there an address in this name, and is it the client's? Part of classify.
 *
 * Works on what is left of the organisational domain, in lower case. Pure.
 */
#pragma once

#include "base/addr.h"

enum name_address {
    NAME_ADDRESS_NONE,
    NAME_ADDRESS_HEX,     /* eight hexadecimal digits that may be one */
    NAME_ADDRESS_PARTIAL, /* two octets, or three groups, of the client's address, side by side */
    NAME_ADDRESS_MAC,     /* twelve hexadecimal digits: a modem's hardware address */
    NAME_ADDRESS_MOST,    /* three octets of the client's address, side by side */
    NAME_ADDRESS_SHAPE,   /* a whole address, not known to be the client's */
    NAME_ADDRESS_FULL,    /* the client's address */
};

/* `host` is at most 255 bytes. The strongest evidence that is found. `ip_or_null` may be NULL or IP_NONE. */
enum name_address name_address_find(struct str host, const struct ip *ip_or_null);
