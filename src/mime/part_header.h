/*
 * part_header: what the header of a MIME part says of its body (RFC 2045, 2183): type, boundary, encoding, names.
 *
 * Fields come whole and unfolded, of any order and number. Of type and encoding the first counts, and another one that
 * says something else is told as a contradiction, since mail clients do not agree which one to take. All names count
 * that some client might take (parameter.h).
 */
#pragma once

#include "mime/transfer.h"

enum {
    PART_TYPE_MAX = 80,
    PART_BOUNDARY_MAX = 71, /* one more than there may be: longer ones are cut to that */
    PART_NAME_MAX = 255,    /* longer ones are cut in front: the extension counts */
    PART_NAMES_MAX = 8,
    PART_FIELDS_MAX = 16,   /* that are of interest */
};

struct part_name {
    uint8_t len;
    char at[PART_NAME_MAX]; /* without its path; control characters as '?' */
};

/* As it is kept: see above. */
void part_name_set(struct part_name *name, struct str text);

struct part_header {
    uint8_t encoding; /* enum transfer_encoding */
    uint8_t type_len, boundary_len, n_names, n_fields;
    bool has_type, has_encoding, has_boundary;
    bool is_contradictory; /* another type, boundary or encoding is given, too */
    bool lost_names;       /* there were more, or one that cannot be put together */
    char type[PART_TYPE_MAX];         /* "text/plain", lower case; "" where nothing was said */
    char boundary[PART_BOUNDARY_MAX]; /* of a multipart */
    struct part_name names[PART_NAMES_MAX]; /* all different */
};

void part_header_init(struct part_header *header);
void part_header_field(struct part_header *header, struct str field);

static inline struct str part_type(const struct part_header *header) {
    return (struct str){ header->type, header->type_len };
}

/* The first name; "": there is none. */
static inline struct str part_name(const struct part_header *header) {
    return header->n_names > 0 ? (struct str){ header->names[0].at, header->names[0].len } : (struct str){ 0 };
}

/* multipart/…, or a message inside of this one: there are parts in it. */
bool is_multipart_type(struct str type);
bool is_message_type(struct str type);
