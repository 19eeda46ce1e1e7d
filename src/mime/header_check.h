/*
 * header_check: is the header of this message as RFC 5322 and RFC 5321 want it?
 *
 * Fed with canonical text (smtp/data.h) in any slices; what stands behind the header is not looked at. The first fault
 * is kept, in words for an administrator. Software that writes good mail writes good headers, so a fault is a sign; but
 * a sign only: some of it is honest and old.
 *
 * A bare CR or LF is not seen here: canonical text has none (fact `bare_newline`).
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum { HEADER_NAME_MAX = 40, HEADER_WHY_MAX = 96 };

struct header_check {
    uint8_t state;      /* header_check.c's own, as all of it */
    uint8_t name_len;   /* saturates at HEADER_NAME_MAX */
    bool allows_utf8, is_over, is_name_bad, is_blank;
    uint8_t utf8_left, utf8_min, utf8_max; /* bytes that a character still wants, and bounds of the next */
    uint32_t line, column, n_fields;
    uint32_t seen;      /* of the fields that the table knows */
    char name[HEADER_NAME_MAX];
    char why[HEADER_WHY_MAX]; /* "": no fault so far */
};

/* allows_utf8: the envelope said SMTPUTF8 (RFC 6532). */
void header_check_init(struct header_check *check, bool allows_utf8);

void header_check_feed(struct header_check *check, const char *at, size_t len);

/*
 * The message is over. Returns why its header is bad ("Date is missing", "From occurs twice", "byte 0xE9 outside ASCII
 * in Subject"), printable ASCII, or "". Valid as long as the check.
 */
struct str header_check_end(struct header_check *check);
