/*
 * part_header: what the header of a MIME part says of its body (RFC 2045, 2183): type, boundary, encoding, names.
 *
 * Fields come whole and unfolded, of any order and number; the first of a kind counts. Names are decoded (RFC 2231, and
 * RFC 2047 inside quotes, which no RFC allows and everybody writes), their paths taken off, and cut at PART_NAME_MAX:
 * bytes as they come out, in whatever charset, control characters as '?'.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

enum { PART_TYPE_MAX = 80, PART_BOUNDARY_MAX = 256, PART_NAME_MAX = 255 };

enum part_encoding { PART_IDENTITY, PART_BASE64, PART_QUOTED_PRINTABLE };

struct part_header {
    uint8_t encoding; /* enum part_encoding */
    bool has_type, has_encoding;
    uint16_t type_len, boundary_len, file_name_len, type_name_len;
    char type[PART_TYPE_MAX];         /* "text/plain", lower case; "" where nothing was said */
    char boundary[PART_BOUNDARY_MAX]; /* of a multipart; longer ones are cut, and match nothing */
    char file_name[PART_NAME_MAX];    /* Content-Disposition: filename= */
    char type_name[PART_NAME_MAX];    /* Content-Type: name= */
};

void part_header_init(struct part_header *header);
void part_header_field(struct part_header *header, struct str field);

static inline struct str part_type(const struct part_header *header) {
    return (struct str){ header->type, header->type_len };
}
