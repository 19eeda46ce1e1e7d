/*
 * leaf: the body of a MIME part that has no parts: decoded as far as anybody wants to know, its first bytes kept, the
 * names in a ZIP read as they stream by.
 */
#pragma once

#include "mime/file_kind.h"
#include "mime/part_header.h"

enum { ZIP_NAME_MAX = 255 };

struct leaf {
    uint8_t encoding; /* enum part_encoding */
    bool wants_more;  /* false: nothing that still comes can tell anything */
    /* decoding */
    uint32_t bits;
    uint8_t n_bits, escape; /* base64: bits that wait; quoted-printable: characters behind '=' */
    char escaped;
    /* the file */
    uint8_t head_len;
    char head[FILE_HEAD];
    /* ZIP: a signature, then a fixed head, then the name (APPNOTE 4.3.7, 4.3.12) */
    uint8_t zip_state, zip_seen;
    uint8_t zip_head[46];
    uint16_t name_len, name_at;
    char name[ZIP_NAME_MAX];
};

typedef void leaf_name_fn(void *arg, struct str name, bool is_encrypted);

void leaf_init(struct leaf *leaf, enum part_encoding encoding);

/* The part's text as it stands in the message. `on_name` comes for each file in a ZIP. */
void leaf_feed(struct leaf *leaf, const char *at, size_t len, leaf_name_fn *on_name, void *arg);

enum file_kind leaf_kind(const struct leaf *leaf);
