/*
 * relay_text: see the header.
 *
 * Of a field as much is known as has been looked at: it is decided by its first bytes (peek()), and its end is found
 * while it is sent or skipped, so that a header without end costs no memory. Behind the header nothing is looked at any
 * more.
 */
#include "session/relay_text.h"

#include <errno.h>

/* The bytes at `offset`, in one piece: the spool may have them in two. Returns how many, or -errno. */
static long peek(struct spool *spool, uint64_t offset, char out[FIELD_PEEK]) {
    char scratch[FIELD_PEEK];
    size_t len = 0;
    while (len < FIELD_PEEK) {
        const char *at;
        long n = spool_read(spool, offset + len, scratch, FIELD_PEEK - len, &at);
        if (n < 0)
            return n;
        if (n == 0)
            break;
        size_t room = FIELD_PEEK - len, used = (size_t)n < room ? (size_t)n : room;
        memcpy(out + len, at, used);
        len += used;
    }
    return (long)len;
}

static int begin_field(struct relay_text *text) {
    char head[FIELD_PEEK];
    size_t insert_at;
    long n = peek(text->spool, text->at, head);
    if (n < 0)
        return (int)n;
    text->fate = (uint8_t)field_filter_begin(&text->filter, head, (size_t)n, &insert_at, &text->insert);
    text->insert_at = text->at + insert_at;
    text->field_end = text->at;
    text->is_field_over = false;
    return 0;
}

/* Looks for the field's end in the piece behind what was seen of it. */
static int look_on(struct relay_text *text, char *scratch, size_t scratch_len) {
    enum { PIECE = 4096 }; /* of a file: fields are short */
    const char *at;
    long n = spool_read(text->spool, text->field_end, scratch, scratch_len < PIECE ? scratch_len : PIECE, &at);
    if (n < 0)
        return (int)n;
    size_t used = field_filter_span(&text->filter, at, (size_t)n);
    text->field_end += used;
    text->is_field_over = used < (size_t)n || n == 0;
    if (text->fate == FIELD_DROPPED)
        text->at = text->field_end;
    return 0;
}

static bool has_insert(const struct relay_text *text) {
    return text->insert.len > 0 && text->at == text->insert_at;
}

/* Goes on until something of a field is to be sent, or the header is over. */
static int find_kept(struct relay_text *text, char *scratch, size_t scratch_len) {
    while (text->fate != FIELD_TEXT && text->at == text->field_end && !has_insert(text)) {
        int r = text->is_field_over ? begin_field(text) : look_on(text, scratch, scratch_len);
        if (r < 0)
            return r;
    }
    return 0;
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

long relay_text_next(struct relay_text *text, char *scratch, size_t scratch_len, const char **ret_at) {
    if (text->head_at < text->head.len) {
        *ret_at = text->head.at + text->head_at;
        return (long)(text->head.len - text->head_at);
    }
    int r = find_kept(text, scratch, scratch_len);
    if (r < 0)
        return r;
    if (has_insert(text)) {
        *ret_at = text->insert.at;
        return (long)text->insert.len;
    }
    long n = spool_read(text->spool, text->at, scratch, scratch_len, ret_at);
    uint64_t end = text->insert.len > 0 ? text->insert_at : text->field_end;
    if (n <= 0 || text->fate == FIELD_TEXT || (uint64_t)n <= end - text->at)
        return n;
    return (long)(end - text->at);
}

void relay_text_take(struct relay_text *text, size_t len) {
    if (text->head_at < text->head.len)
        text->head_at += len;
    else if (has_insert(text))
        text->insert = str_from(text->insert, len);
    else
        text->at += len;
}

int relay_text_init(struct relay_text *text, struct str head, struct spool *spool, const struct field_edit *edit) {
    char scratch[4096];
    *text = (struct relay_text){ .head = head, .spool = spool, .edit = edit };
    relay_text_rewind(text);
    while (text->head_at < head.len || text->fate != FIELD_TEXT || text->insert.len > 0) {
        const char *at;
        long n = relay_text_next(text, scratch, sizeof(scratch), &at);
        if (n <= 0) {
            if (n < 0)
                return (int)n;
            break;
        }
        if (text->fate == FIELD_TEXT && text->insert.len == 0 && text->head_at == head.len)
            break; /* that was a piece of the text */
        text->total += (uint64_t)n;
        relay_text_take(text, (size_t)n);
    }
    text->total += spool_size(spool) - text->at;
    relay_text_rewind(text);
    return 0;
}
