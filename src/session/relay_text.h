/*
 * relay_text: the bytes of one message as they leave: our fields, the header as it is edited, the text.
 *
 * A cursor over what others own. It can begin anew (a delivery may need a second connection), and it knows the size
 * before the first byte, which SIZE= and BDAT want to hear.
 *
 * The size is found out by walking through the header once. A header may have as many fields as the limits allow, so
 * both this walk and the one that sends are made in slices: when some hundred fields were looked at, the caller is
 * asked to come again in another turn of the loop.
 */
#pragma once

#include "base/spool.h"
#include "mime/field_filter.h"

enum {
    RELAY_TEXT_WINDOW = 16 * 1024, /* of a header in a file, how much is read ahead */
    RELAY_TEXT_STEPS = 512,        /* looks at fields in one turn: each begins one, or goes on with up to 2 KiB of it */
};

struct relay_text {
    struct str head;
    struct spool *spool;
    const struct field_edit *edit; /* NULL: the header goes on as it came */
    uint64_t total;                /* bytes of all of it, once it was measured */
    /* private from here on */
    struct field_filter filter;
    struct str insert; /* before the byte at insert_at */
    uint64_t insert_at;
    uint64_t at;       /* in the spool */
    size_t head_at;
    uint64_t field_end;/* of the field at hand, as far as it was seen to go on */
    char *window;      /* of the header in a file, what is read ahead: [window_at, window_at + window_len) */
    uint64_t window_at;
    size_t window_len;
    unsigned steps;    /* in this turn */
    unsigned reads;    /* of the header in the file, for tests */
    uint8_t fate;      /* enum field_fate of it */
    bool is_field_over;
};

/*
 * Everything is borrowed. `window`: RELAY_TEXT_WINDOW bytes, or NULL where the header goes on as it came or all of the
 * message is in memory.
 */
void relay_text_init(struct relay_text *text, struct str head, struct spool *spool, const struct field_edit *edit,
                     char *window);

/* Walks a slice further. Returns 0 (`total` is known, and the cursor at the start), 1 (more to do: in another turn), or
 * -errno of the spool. */
int relay_text_measure(struct relay_text *text);

void relay_text_rewind(struct relay_text *text);

/* A turn begins: as many fields as in any other may be looked at. */
void relay_text_begin_turn(struct relay_text *text);

/*
 * The next piece, in *ret_at; `scratch` has `scratch_len` (>= FIELD_PEEK) bytes for what is in a file. Returns its
 * length (0: that was all), -EAGAIN (enough for this turn), or another -errno. The same piece comes again until some of
 * it is taken.
 */
long relay_text_next(struct relay_text *text, char *scratch, size_t scratch_len, const char **ret_at);
void relay_text_take(struct relay_text *text, size_t len);
