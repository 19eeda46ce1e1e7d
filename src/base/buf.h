/*
 * buf: a growing byte buffer that knows its maximum from the day it is made.
 *
 * Embedded by value; all-zero plus a `max` is a valid empty buffer that owns no memory, so that an idle connection pays
 * only for this struct. Growth doubles from 256 bytes. Nothing here aborts: running out of memory or of room is a
 * result, and after it the buffer holds what it held before.
 */
#pragma once

#include "base/str.h"

#include <stdarg.h>
#include <stdint.h>

struct buf {
    char *at;
    uint32_t len;
    uint32_t cap;
    uint32_t max; /* never holds more than this many bytes */
};

static inline void buf_init(struct buf *b, uint32_t max) {
    *b = (struct buf){ .max = max };
}

/* A buffer in an array of the caller's: it needs no memory, never grows, and is not passed to buf_deinit(). */
#define BUF_IN(array) ((struct buf){ .at = (array), .cap = sizeof(array), .max = sizeof(array) })

/* Frees the memory and leaves an empty buffer with the same maximum. */
void buf_deinit(struct buf *b);

/* Forgets the content, keeps the memory. */
static inline void buf_clear(struct buf *b) {
    b->len = 0;
}

static inline struct str buf_str(const struct buf *b) {
    return (struct str){ b->at, b->len };
}

/*
 * Makes room for `more` bytes behind the content and returns where they go, or NULL (past max, or no memory).
 * Add what was written with `b->len += n`.
 */
char *buf_room(struct buf *b, size_t more);

/* Each returns 0, -ENOBUFS (past max) or -ENOMEM. */
int buf_put(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, struct str s);
int buf_putc(struct buf *b, char c);
int buf_putf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_vputf(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Drops the first `len` bytes (moves the rest to the front). */
void buf_consume(struct buf *b, size_t len);
