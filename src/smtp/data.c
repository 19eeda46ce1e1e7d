/*
 * data: where does a message end, and what may stand in it?
 *
 * SMTP smuggling lives from two servers that answer this differently. Ours knows one line end, CRLF, and one end,
 * CRLF.CRLF; everything else that some server somewhere takes for a line end is turned into something that no server
 * does, before the mailbox server sees it.
 *
 * The decoder is a machine of six states that takes one byte at a time where it matters, which is at line starts and
 * around CR, LF and NUL, and whole spans where it does not: in the middle of a line it looks for the next of these
 * three bytes, eight at a time, and copies what lies before. A slice may end anywhere, since all that is pending (a CR,
 * a dot, a dot and a CR) is in the state, and nothing pending has been written.
 *
 *   state             behind                          a dot here
 *   LINE_START        CRLF, or nothing at all         DOT
 *   MADE_LINE_START   a CRLF that we made             text
 *   TEXT              text                            text
 *   CR                a CR that waits for its LF      (the CR was bare: a space, then text)
 *   DOT               CRLF and a dot                  text: the first dot was the stuffing
 *   DOT_CR            CRLF, a dot and a CR            (dot dropped, CR was bare: a space, then text)
 *
 * CR CR LF is a bare CR and a line end. Rejected: to take CR CR LF, or any run of CRs, for one line end, as some
 * servers do; two dots at a "line start" that only one of the two sees is how messages are smuggled.
 */
#include "smtp/data.h"

#include <errno.h>

enum { LINE_START, MADE_LINE_START, TEXT, CR, DOT, DOT_CR };

enum { LINE_MAX_BYTES = 998 }; /* RFC 5321 4.5.3.1.6: 1000 with CRLF, not counting a stuffed dot */

/* ---- spans */

#define EACH_BYTE(value) (0x0101010101010101ULL * (value))

/* Nonzero when one of the eight bytes of `x` is CR, LF or NUL. */
static inline uint64_t special_bits(uint64_t x) {
    uint64_t cr = x ^ EACH_BYTE('\r');
    uint64_t lf = x ^ EACH_BYTE('\n');
    uint64_t found = ((x - EACH_BYTE(1)) & ~x) | ((cr - EACH_BYTE(1)) & ~cr) | ((lf - EACH_BYTE(1)) & ~lf);
    return found & EACH_BYTE(0x80);
}

static inline bool is_special(char c) {
    return c == '\r' || c == '\n' || c == '\0';
}

/* Copies bytes up to the first CR, LF or NUL and returns how many; *high gets all their bits. */
static inline size_t span_copy(const char *in, size_t len, char *out, uint64_t *high) {
    uint64_t bits = 0;
    uint64_t word;
    size_t n = 0;
    for (; n + sizeof(word) <= len; n += sizeof(word)) {
        memcpy(&word, in + n, sizeof(word));
        if (special_bits(word))
            break;
        memcpy(out + n, &word, sizeof(word));
        bits |= word;
    }
    for (; n < len && !is_special(in[n]); n++) {
        out[n] = in[n];
        bits |= (unsigned char)in[n];
    }
    *high = bits & EACH_BYTE(0x80);
    return n;
}

static inline size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* ---- decoder */

void data_decoder_init(struct data_decoder *d, bool is_chunked) {
    *d = (struct data_decoder){ .state = LINE_START, .is_chunked = is_chunked };
}

/* The line grew by `n` bytes; a length past the limit is as good as another. */
static inline void line_grow(struct data_decoder *d, size_t n) {
    size_t len = d->line_len + n;
    d->has_long_line |= len > LINE_MAX_BYTES;
    d->line_len = (uint32_t)smaller(len, LINE_MAX_BYTES + 1);
}

static inline char *put_line_end(struct data_decoder *d, char *o) {
    *o++ = '\r';
    *o++ = '\n';
    d->line_len = 0;
    return o;
}

static inline char *put_text(struct data_decoder *d, char c, char *o) {
    *o++ = c;
    line_grow(d, 1);
    return o;
}

/* One byte that nothing before it changes the meaning of. */
static inline char *decode_plain(struct data_decoder *d, char c, char *o) {
    switch (c) {
    case '\r':
        d->state = CR;
        return o;
    case '\n':
        d->bare_lf++;
        d->state = MADE_LINE_START;
        return put_line_end(d, o);
    case '\0':
        d->nul++;
        break;
    default:
        d->has_8bit |= (unsigned char)c >= 0x80;
        break;
    }
    d->state = TEXT;
    return put_text(d, c, o);
}

/* One byte in any state; writes at most two. Sets *ret_end at the final line end. */
static inline char *decode_byte(struct data_decoder *d, char c, char *o, bool *ret_end) {
    switch (d->state) {
    case LINE_START:
        if (c == '.' && !d->is_chunked) {
            d->state = DOT;
            return o;
        }
        break;
    case CR:
        if (c == '\n') {
            d->state = LINE_START;
            return put_line_end(d, o);
        }
        d->bare_cr++;
        o = put_text(d, ' ', o);
        break;
    case DOT:
        if (c == '\r') {
            d->state = DOT_CR;
            return o;
        }
        break;
    case DOT_CR:
        if (c == '\n') {
            d->state = LINE_START;
            *ret_end = true;
            return o;
        }
        d->bare_cr++;
        o = put_text(d, ' ', o);
        break;
    default: /* MADE_LINE_START, TEXT */
        break;
    }
    return decode_plain(d, c, o);
}

enum data_result data_decode(struct data_decoder *d, const char *in, size_t len, size_t *ret_consumed, char *out,
                             size_t out_len, size_t *ret_written) {
    bool is_end = false;
    size_t i = 0;
    size_t n = 0;
    while (!is_end && i < len && out_len - n >= DATA_DECODE_ROOM_MIN) {
        if (d->state == TEXT) {
            uint64_t high;
            size_t span = span_copy(in + i, smaller(len - i, out_len - n), out + n, &high);
            d->has_8bit |= high != 0;
            line_grow(d, span);
            i += span;
            n += span;
            if (i == len || out_len - n < DATA_DECODE_ROOM_MIN)
                break;
        }
        n = (size_t)(decode_byte(d, in[i++], out + n, &is_end) - out);
    }
    d->received += i;
    d->produced += n;
    *ret_consumed = i;
    *ret_written = n;
    return is_end ? DATA_END : DATA_MORE;
}

size_t data_decode_finish(struct data_decoder *d, char out[4]) {
    char *o = out;
    if (d->state == CR || d->state == DOT_CR) {
        d->bare_cr++;
        o = put_text(d, ' ', o);
        d->state = TEXT;
    }
    if (d->state == TEXT)
        o = put_line_end(d, o);
    d->state = LINE_START;
    d->produced += (size_t)(o - out);
    return (size_t)(o - out);
}

/* ---- encoder: LINE_START, TEXT and CR of the same states */

void data_encoder_init(struct data_encoder *e) {
    e->state = LINE_START;
}

/* One byte; writes at most two. A CR is held back until its LF is there. Returns NULL when the text is not
 * canonical. */
static inline char *encode_byte(struct data_encoder *e, char c, char *o) {
    if ((c == '\n') != (e->state == CR))
        return NULL;
    if (c == '\n') {
        *o++ = '\r';
        *o++ = '\n';
        e->state = LINE_START;
    } else if (c == '\r') {
        e->state = CR;
    } else {
        if (c == '.' && e->state == LINE_START)
            *o++ = '.';
        *o++ = c;
        e->state = TEXT;
    }
    return o;
}

int data_encode(struct data_encoder *e, const char *in, size_t len, size_t *ret_consumed, char *out, size_t out_len,
                size_t *ret_written) {
    int error = 0;
    size_t i = 0;
    size_t n = 0;
    while (i < len && out_len - n >= 2) {
        if (e->state == TEXT) {
            uint64_t high;
            size_t span = span_copy(in + i, smaller(len - i, out_len - n), out + n, &high);
            i += span;
            n += span;
            if (i == len || out_len - n < 2)
                break;
        }
        char *o = encode_byte(e, in[i], out + n);
        if (o == NULL) {
            error = -EILSEQ;
            break;
        }
        n = (size_t)(o - out);
        i++;
    }
    *ret_consumed = i;
    *ret_written = n;
    return error;
}

int data_encode_finish(struct data_encoder *e, char out[5], size_t *ret_written) {
    if (e->state == CR)
        return -EILSEQ;
    struct str text = e->state == TEXT ? STR("\r\n.\r\n") : STR(".\r\n");
    memcpy(out, text.at, text.len);
    *ret_written = text.len;
    e->state = LINE_START;
    return 0;
}
