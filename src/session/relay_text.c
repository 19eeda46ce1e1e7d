/*
 * relay_text: see the header.
 *
 * Of a field as much is known as has been looked at: it is decided by its first bytes (begin_field()), and its end is
 * found while it is sent or skipped, so that a header without end costs no memory. Behind the header nothing is looked
 * at any more.
 *
 * A header in a file is read ahead through one window that slides along with the walk: a read for some 16 KiB, however
 * small the fields are. Behind it the caller's scratch buffer does, in larger pieces.
 */
#include "session/relay_text.h"

#include <errno.h>

enum { PIECE = 2048 /* of a field, looked at in one step */ };

/* ---- the header, wherever it is */

/*
 * The bytes at `offset`: `want` of them in one piece, or all up to the end of the file or of the message. Returns how
 * many (0: the end), or -errno.
 */
static long look_at(struct relay_text *text, uint64_t offset, size_t want, const char **ret_at) {
    const struct spool *spool = text->spool;
    uint64_t end = text->window_at + text->window_len;
    if (offset >= spool->file_size)
        return spool_read(text->spool, offset, NULL, 0, ret_at);
    bool is_inside = offset >= text->window_at && offset < end;
    if (!is_inside || (end - offset < want && end < spool->file_size)) {
        long n = spool_read(text->spool, offset, text->window, RELAY_TEXT_WINDOW, ret_at);
        if (n < 0)
            return n;
        text->reads++;
        text->window_at = offset;
        text->window_len = (size_t)n;
        end = offset + (size_t)n;
    }
    *ret_at = text->window + (offset - text->window_at);
    return (long)(end - offset);
}

/* The bytes at `offset`, FIELD_PEEK of them unless the message ends before. In `joined` where they are in two places.
 * Returns how many, or -errno. */
static long peek(struct relay_text *text, uint64_t offset, char joined[FIELD_PEEK], const char **ret_at) {
    long n = look_at(text, offset, FIELD_PEEK, ret_at);
    if (n < 0 || n >= FIELD_PEEK)
        return n < 0 ? n : FIELD_PEEK;
    size_t len = 0;
    while (n > 0 && len < FIELD_PEEK) {
        size_t room = FIELD_PEEK - len, used = (size_t)n < room ? (size_t)n : room;
        memcpy(joined + len, *ret_at, used);
        len += used;
        n = look_at(text, offset + len, FIELD_PEEK - len, ret_at);
    }
    *ret_at = joined;
    return n < 0 ? n : (long)len;
}

/* ---- fields */

static int begin_field(struct relay_text *text) {
    char joined[FIELD_PEEK];
    const char *at;
    size_t insert_at;
    long n = peek(text, text->at, joined, &at);
    if (n < 0)
        return (int)n;
    text->fate = (uint8_t)field_filter_begin(&text->filter, at, (size_t)n, &insert_at, &text->insert);
    text->insert_at = text->at + insert_at;
    text->field_end = text->at;
    text->is_field_over = false;
    return 0;
}

/* Looks for the field's end in the piece behind what was seen of it. */
static int look_on(struct relay_text *text) {
    const char *at;
    long n = look_at(text, text->field_end, 1, &at);
    if (n < 0)
        return (int)n;
    size_t len = n < PIECE ? (size_t)n : PIECE;
    size_t used = field_filter_span(&text->filter, at, len);
    text->field_end += used;
    text->is_field_over = used < len || n == 0;
    if (text->fate == FIELD_DROPPED)
        text->at = text->field_end;
    return 0;
}

static bool has_insert(const struct relay_text *text) {
    return text->insert.len > 0 && text->at == text->insert_at;
}

/* Goes on until something of a field is to be sent, the header is over, or the turn (-EAGAIN). */
static int find_kept(struct relay_text *text) {
    while (text->fate != FIELD_TEXT && text->at == text->field_end && !has_insert(text)) {
        if (text->steps == RELAY_TEXT_STEPS)
            return -EAGAIN;
        text->steps++;
        int r = text->is_field_over ? begin_field(text) : look_on(text);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the cursor */

void relay_text_init(struct relay_text *text, struct str head, struct spool *spool, const struct field_edit *edit,
                     char *window) {
    *text = (struct relay_text){ .head = head, .spool = spool, .edit = edit, .window = window };
    relay_text_rewind(text);
}

void relay_text_rewind(struct relay_text *text) {
    text->head_at = 0;
    text->at = text->field_end = 0;
    text->insert = (struct str){ 0 };
    text->is_field_over = true;
    text->fate = text->edit != NULL ? FIELD_KEPT : FIELD_TEXT;
    if (text->edit != NULL)
        field_filter_init(&text->filter, text->edit);
}

void relay_text_begin_turn(struct relay_text *text) {
    text->steps = 0;
}

/* Where the piece at hand ends, in the spool, unless it is of the text. */
static uint64_t piece_end(const struct relay_text *text) {
    return text->insert.len > 0 ? text->insert_at : text->field_end;
}

long relay_text_next(struct relay_text *text, char *scratch, size_t scratch_len, const char **ret_at) {
    if (text->head_at < text->head.len) {
        *ret_at = text->head.at + text->head_at;
        return (long)(text->head.len - text->head_at);
    }
    int r = find_kept(text);
    if (r < 0)
        return r;
    if (has_insert(text)) {
        *ret_at = text->insert.at;
        return (long)text->insert.len;
    }
    if (text->fate == FIELD_TEXT)
        return spool_read(text->spool, text->at, scratch, scratch_len, ret_at);
    long n = look_at(text, text->at, 1, ret_at);
    uint64_t left = piece_end(text) - text->at;
    return n <= 0 || (uint64_t)n <= left ? n : (long)left;
}

void relay_text_take(struct relay_text *text, size_t len) {
    if (text->head_at < text->head.len)
        text->head_at += len;
    else if (has_insert(text))
        text->insert = str_from(text->insert, len);
    else
        text->at += len;
}

int relay_text_measure(struct relay_text *text) {
    relay_text_begin_turn(text);
    for (;;) {
        int r = find_kept(text);
        if (r < 0)
            return r == -EAGAIN ? 1 : r;
        if (has_insert(text)) {
            text->total += text->insert.len;
            text->insert = (struct str){ 0 };
        } else if (text->fate == FIELD_TEXT) {
            break;
        } else {
            text->total += piece_end(text) - text->at;
            text->at = piece_end(text);
        }
    }
    text->total += text->head.len + spool_size(text->spool) - text->at;
    relay_text_rewind(text);
    return 0;
}
