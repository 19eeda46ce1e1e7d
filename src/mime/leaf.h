/*
 * leaf: the body of a MIME part that has no parts: decoded as far as anybody wants to know, its first bytes kept, the
 * names in a ZIP read as they stream by.
 */
#pragma once

#include "mime/file_kind.h"
#include "mime/transfer.h"
#include "mime/zip_names.h"

enum { VOLUME_MARK = 5 };

struct leaf {
    struct transfer transfer;
    bool wants_more;  /* false: nothing that still comes can tell anything */
    bool may_be_zip, is_zip;
    uint8_t kind;     /* enum file_kind, once the head is whole */
    uint8_t head_len;
    char head[FILE_HEAD];
    uint32_t total;   /* bytes that were decoded; counted as far as they are of interest */
    char volume[VOLUME_MARK];
    struct zip_names zip;
};

/* `may_be_zip`: its name or type says so, and it is searched for names even if it does not begin like one. */
void leaf_init(struct leaf *leaf, enum transfer_encoding encoding, bool may_be_zip);

/* The part's text as it stands in the message. `on_name` comes for each file in a ZIP. */
void leaf_feed(struct leaf *leaf, const char *at, size_t len, zip_name_fn *on_name, void *arg);

/* The part is over. */
void leaf_end(struct leaf *leaf, zip_name_fn *on_name, void *arg);

enum file_kind leaf_kind(const struct leaf *leaf);
