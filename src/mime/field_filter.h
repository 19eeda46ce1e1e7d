/*
 * field_filter: which fields of a message that came from outside go on, and what is added to them?
 *
 * A mail client trusts `X-Spam-Flag: NO` and `Authentication-Results` of its own site, so only we may write them:
 * fields that claim to be ours are dropped, folded lines and all. The subject may get a tag in front: each of them,
 * where a message has several, since mail clients may show any of them. Only the message's own header is looked at,
 * never its text or what is attached.
 *
 * The text stays where it is (it may be in a file, and a header may be large). Whoever sends it walks along:
 *
 *   field_filter_begin ─▶ FIELD_KEPT, FIELD_DROPPED: field_filter_span() says how far it goes ─▶ begin …
 *                      └▶ FIELD_TEXT: the header is over, the rest goes on as it is
 *
 * O(1) memory, and the way may be gone twice: once for the size, once for the bytes.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

/* What field_filter_begin() wants to see of a field; less is enough only at the end of the message. */
enum { FIELD_PEEK = 512 };

struct field_edit {
    struct str authserv_id; /* ours (RFC 8601 2.5); "": fields of no authserv-id are dropped */
    struct str subject_tag; /* in front of each subject, "*** SPAM *** "; "": none */
    struct str subject_fold;/* the same in front of one with a long first line, "*** SPAM ***\r\n " */
    struct str subject;     /* the whole field with its CRLF, where a message that gets a tag has none */
};

enum field_fate { FIELD_KEPT, FIELD_DROPPED, FIELD_TEXT };

struct field_filter {
    const struct field_edit *edit; /* borrowed */
    bool has_subject;
    uint8_t line_end; /* of CRLF, how much was met */
};

void field_filter_init(struct field_filter *filter, const struct field_edit *edit);

/*
 * A field begins here, at[0..len) (or the text behind the header, or the end: len 0). *ret_at bytes of it go on first,
 * then *ret_insert, then the rest of it; what is inserted is valid as long as what `edit` shows.
 */
enum field_fate field_filter_begin(struct field_filter *filter, const char *at, size_t len, size_t *ret_at,
                                   struct str *ret_insert);

/*
 * How many bytes of at[0..len), which go on where the last call stopped, belong to the field. Fewer than len: the next
 * field begins behind them. As many: it may go on with the next byte; at the end of the message it is over.
 */
size_t field_filter_span(struct field_filter *filter, const char *at, size_t len);

/* Whether a field of this name is one that only we may write: "X-Spam-Flag", in any case. */
bool field_is_ours(struct str name);
