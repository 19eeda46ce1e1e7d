/*
 * transfer: the body of a MIME part as it was before it was made fit for mail (RFC 2045 6).
 *
 * Decoded as a mail client does that shows as much as it can: what is not of the alphabet is skipped, what is no escape
 * stands for itself.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum transfer_encoding {
    TRANSFER_IDENTITY, /* 7bit, 8bit, binary, and what nobody knows */
    TRANSFER_BASE64,
    TRANSFER_QP,
};

struct transfer {
    uint8_t encoding; /* enum transfer_encoding */
    uint8_t n_bits;   /* base64: so many of `bits` wait */
    uint8_t escape;   /* quoted-printable: transfer.c's own */
    char digit;       /* behind its '=' */
    uint32_t bits;
};

void transfer_init(struct transfer *transfer, enum transfer_encoding encoding);

enum { TRANSFER_ROOM_MIN = 4 };

/*
 * Decodes at[0..len) into out[0..room), as much as fits, and says in *ret_used how much that was. Returns the bytes
 * written. With TRANSFER_ROOM_MIN of room a call takes at least one byte. What comes out does not depend on the slices.
 */
size_t transfer_decode(struct transfer *transfer, const char *at, size_t len, size_t *ret_used, char *out, size_t room);

/* What a hexadecimal digit stands for; -1: it is none. */
int hex_value(char c);
