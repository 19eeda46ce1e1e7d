/*
 * result_fields: what we found out about a message, as fields in front of it.
 *
 * By the conventions that mail clients and filters know: X-Virus-Status, X-Spam-Flag, X-Spam-Status, X-Spam-Score,
 * X-Spam-Level; and X-Postern-Tag, one a tag of the policy. field_filter.h keeps others from writing them.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum result_state { RESULT_NONE /* nobody was asked: no field */, RESULT_KNOWN, RESULT_MISSED /* nothing was said */ };

struct result_fields {
    enum result_state virus, spam;
    struct str virus_name;   /* KNOWN: what was found; "" clean */
    struct str virus_missed; /* MISSED: why */
    struct str spam_missed;
    int64_t score, threshold; /* KNOWN; in thousandths */
    bool is_spam;             /* KNOWN: in the policy's opinion */
    struct str tests;         /* KNOWN: "BAYES_99,HTML_MESSAGE" */
    struct str bad_header;    /* what is wrong with the header; "" nothing, or nobody looked */
    struct str banned;        /* likewise, an attachment */
};

/*
 * Appends the fields, folded at 78 columns where they have blanks or commas, each ending in CRLF; what is not printable
 * ASCII becomes '?'. Returns 0, -ENOBUFS or -ENOMEM; after an error `out` is as it was.
 */
int result_fields_format(const struct result_fields *fields, struct buf *out);

/* "X-Postern-Tag: NAME". The same for one tag. */
int result_tag_format(struct str name, struct buf *out);
