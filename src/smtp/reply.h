/*
 * reply: replies as values, ours to a client and a mailbox server's to us.
 *
 * A reply of ours is a code, an enhanced code (RFC 3463) and one line of text. Long texts are cut so that the line,
 * CRLF included, has at most 512 bytes (RFC 5321 4.5.3.1.5); control characters and bytes above 126 become '?'.
 */
#pragma once

#include "base/buf.h"

struct smtp_reply {
    unsigned code;        /* 220 .. 554 */
    const char *enhanced; /* "5.1.1", or NULL */
    struct str text;
};

enum { SMTP_REPLY_LINE_MAX = 512 };

/* Appends one line "CODE ENHANCED TEXT\r\n". Returns 0, -ENOBUFS or -ENOMEM. */
int smtp_reply_format(const struct smtp_reply *reply, struct buf *out);

/* ---- what a server answers */

/*
 * Of a line as much is read as LINE_MAX, its line end included; the rest is skipped, as the code is what counts. A text
 * has its final NUL. An answer of more than BYTES_MAX is none.
 */
enum { SMTP_ANSWER_LINE_MAX = 2048, SMTP_ANSWER_TEXT_MAX = 400, SMTP_ANSWER_BYTES_MAX = 1024 * 1024 };

struct smtp_answer {
    unsigned code;      /* 0 until the first line was read */
    char enhanced[12];  /* "" if there is none, or its class does not fit the code */
    char text[SMTP_ANSWER_TEXT_MAX]; /* the lines' texts without codes, joined by "; ", cleaned and cut */
    unsigned text_len;  /* the final NUL not counted */
    unsigned lines;
    unsigned bytes;     /* read so far */
    bool is_cut;        /* the rest of a line that is too long is being skipped, */
    bool is_cut_last;   /* and it is the last one */
};

enum smtp_answer_result {
    SMTP_ANSWER_MORE,     /* a line of a longer answer, or no whole line yet */
    SMTP_ANSWER_COMPLETE,
    SMTP_ANSWER_NONSENSE, /* not an SMTP reply: no code, codes that differ, no end of it. The connection is of no more
                             use */
};

/*
 * Consumes at most one whole answer from `at[0..len)`; lines may end in CRLF or a bare LF. Call with a cleared struct
 * for each answer, again with the bytes not yet consumed and more while it says MORE. on_line, when not NULL, gets each
 * line's text as it came, uncleaned (EHLO keywords), and its index from 0.
 */
enum smtp_answer_result smtp_answer_parse(struct smtp_answer *answer, const char *at, size_t len, size_t *ret_consumed,
                                          void (*on_line)(void *arg, unsigned index, struct str text), void *arg);

/*
 * The server has closed, and `rest` is what it said last without a line end. True: that is the last line of an answer
 * as far as its code, which `answer` then has. A 250 whose end was lost is a 250.
 */
bool smtp_answer_end(struct smtp_answer *answer, struct str rest);

/* ---- EHLO */

enum smtp_extension {
    SMTP_EXT_SIZE = 1 << 0, SMTP_EXT_8BITMIME = 1 << 1, SMTP_EXT_SMTPUTF8 = 1 << 2, SMTP_EXT_DSN = 1 << 3,
    SMTP_EXT_PIPELINING = 1 << 4, SMTP_EXT_CHUNKING = 1 << 5, SMTP_EXT_STARTTLS = 1 << 6,
    SMTP_EXT_ENHANCEDSTATUSCODES = 1 << 7, SMTP_EXT_XFORWARD = 1 << 8, SMTP_EXT_XCLIENT = 1 << 9,
    SMTP_EXT_LIMITS = 1 << 10,
};

struct smtp_offer {
    uint32_t extensions; /* enum smtp_extension */
    uint64_t size;       /* of SIZE; 0: no limit named */
    uint32_t xforward;   /* enum smtp_forward_attribute */
    uint32_t xclient;
};

enum smtp_forward_attribute {
    SMTP_FORWARD_NAME = 1 << 0, SMTP_FORWARD_ADDR = 1 << 1, SMTP_FORWARD_PORT = 1 << 2, SMTP_FORWARD_PROTO = 1 << 3,
    SMTP_FORWARD_HELO = 1 << 4, SMTP_FORWARD_IDENT = 1 << 5, SMTP_FORWARD_SOURCE = 1 << 6,
};

/* Adds what one line of an EHLO answer offers (not the first, which is a greeting). Unknown keywords are ignored. */
void smtp_offer_add(struct smtp_offer *offer, struct str line);
