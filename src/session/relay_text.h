/*
 * relay_text: the bytes of one message as they leave: our fields, the header as it is edited, the text.
 *
 * A cursor over what others own. It can begin anew (a delivery may need a second connection), and it knows the size
 * before the first byte, which SIZE= and BDAT want to hear.
 */
#pragma once

#include "base/spool.h"
#include "mime/field_filter.h"

struct relay_text {
    struct str head;
    struct spool *spool;
    const struct field_edit *edit; /* NULL: the header goes on as it came */
    uint64_t total;                /* bytes of all of it */
    /* private from here on */
    struct field_filter filter;
    struct str insert; /* before the byte at insert_at */
    uint64_t insert_at;
    uint64_t at;       /* in the spool */
    size_t head_at;
    uint64_t field_end;/* of the field at hand, as far as it was seen to go on */
    uint8_t fate;      /* enum field_fate of it */
    bool is_field_over;
};

/* Everything is borrowed. Returns 0 or -errno of the spool. */
int relay_text_init(struct relay_text *text, struct str head, struct spool *spool, const struct field_edit *edit);
void relay_text_rewind(struct relay_text *text);

/*
 * The next piece, in *ret_at; `scratch` has `scratch_len` (>= FIELD_PEEK) bytes for what is in a file. Returns its
 * length (0: that was all) or -errno. The same piece comes again until some of it is taken.
 */
long relay_text_next(struct relay_text *text, char *scratch, size_t scratch_len, const char **ret_at);
void relay_text_take(struct relay_text *text, size_t len);
