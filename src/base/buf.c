/*
 * buf: the growing buffer.
 *
 * The bound is the caller's business and is fixed before the first byte; growth is ours: doubling from 256 bytes, never
 * past `max`, so a buffer of max 2048 costs at most 2048. Capacity and length are 32-bit because a buffer sits in every
 * connection and nothing that is held in memory may come near 4 GiB.
 *
 * A failure leaves the content as it was: realloc() keeps the old block, and lengths move only after the bytes are in
 * place. So a caller that gets -ENOBUFS can still send what it has.
 *
 * Rejected: shrinking on consume (a connection that needed 4 KiB once needs it again); a ring (every consumer here
 * wants contiguous bytes to parse).
 */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST = 256 };

/* Makes the capacity at least `need` <= max. Returns 0 or -ENOMEM. */
static int grow(struct buf *b, uint32_t need) {
    uint64_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < need)
        cap *= 2;
    if (cap > b->max)
        cap = b->max;
    char *at = realloc(b->at, cap);
    if (!at)
        return -ENOMEM;
    b->at = at;
    b->cap = (uint32_t)cap;
    return 0;
}

/* Returns 0, -ENOBUFS or -ENOMEM. */
static int reserve(struct buf *b, size_t more) {
    if (more > b->max || b->len > b->max - (uint32_t)more)
        return -ENOBUFS;
    uint32_t need = b->len + (uint32_t)more;
    return need > b->cap ? grow(b, need) : 0;
}

void buf_deinit(struct buf *b) {
    free(b->at);
    buf_init(b, b->max);
}

char *buf_room(struct buf *b, size_t more) {
    /* Room for nothing in an empty buffer must still be a pointer, not what means failure. */
    if (reserve(b, more) < 0 || (!b->at && (b->max == 0 || grow(b, 1) < 0)))
        return NULL;
    return b->at + b->len;
}

int buf_put(struct buf *b, const void *data, size_t len) {
    int r = reserve(b, len);
    if (r < 0 || len == 0)
        return r;
    memcpy(b->at + b->len, data, len);
    b->len += (uint32_t)len;
    return 0;
}

int buf_puts(struct buf *b, struct str s) {
    return buf_put(b, s.at, s.len);
}

int buf_putc(struct buf *b, char c) {
    int r = reserve(b, 1);
    if (r < 0)
        return r;
    b->at[b->len++] = c;
    return 0;
}

int buf_vputf(struct buf *b, const char *format, va_list args) {
    /* Most texts are short: the first try goes to the stack, since vsnprintf() wants one byte more than the text. */
    char small[512];
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(small, sizeof(small), format, args);
    int r = len < 0 ? -EINVAL : 0;
    if (r == 0 && (size_t)len < sizeof(small)) {
        r = buf_put(b, small, (size_t)len);
    } else if (r == 0) {
        char *large = (size_t)len > b->max ? NULL : malloc((size_t)len + 1);
        if (large) {
            vsnprintf(large, (size_t)len + 1, format, again);
            r = buf_put(b, large, (size_t)len);
            free(large);
        } else {
            r = (size_t)len > b->max ? -ENOBUFS : -ENOMEM;
        }
    }
    va_end(again);
    return r;
}

int buf_putf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int r = buf_vputf(b, format, args);
    va_end(args);
    return r;
}

void buf_consume(struct buf *b, size_t len) {
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    if (len > 0)
        memmove(b->at, b->at + len, b->len - len);
    b->len -= (uint32_t)len;
}
