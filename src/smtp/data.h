/*
 * data: message text on its way in and on its way out, and nothing between that could be smuggled.
 *
 * In: after DATA a message ends at CRLF.CRLF and nowhere else; a dot at the start of a line that stands behind CRLF (or
 * at the start of the message) is removed (RFC 5321 4.5.2). In BDAT the length ends it and dots are text. Either way
 * what comes out is canonical: CRLF is the only line end, and bare LF, bare CR are gone: a bare LF became CRLF, a bare
 * CR a space. A NUL stays. Each is counted; with refuse_bare the caller looks at the counts and refuses. A line end
 * that the decoder made from a bare LF never ends a message and no dot behind it is removed.
 *
 * Out: dots are stuffed again. The encoder's input must be canonical; it stuffs after CRLF only, and refuses (-EILSEQ)
 * a bare CR or LF, so that a mistake upstream ends a delivery instead of opening a hole.
 */
#pragma once

#include "base/buf.h"

struct data_decoder {
    uint8_t state;      /* data.c's own */
    bool is_chunked;    /* BDAT */
    uint64_t received;  /* wire bytes consumed, the final dot line included */
    uint64_t produced;  /* canonical bytes */
    uint32_t bare_lf, bare_cr, nul; /* how many were met */
    bool has_8bit;      /* a byte above 127 was met */
    bool has_long_line; /* a line of more than 1000 bytes with CRLF (RFC 5321 4.5.3.1.6) */
    uint32_t line_len;
};

void data_decoder_init(struct data_decoder *d, bool is_chunked);

enum data_result { DATA_MORE, DATA_END };

/* Room that data_decode() needs to get on. */
enum { DATA_DECODE_ROOM_MIN = 4 };

/*
 * Decodes `in[0..len)` into `out[0..out_len)`: consumes as much as fits in `out`, and says how many bytes it consumed
 * and wrote. DATA_MORE with input left means that fewer than DATA_DECODE_ROOM_MIN bytes of `out` are free: empty it and
 * call again with the rest. With 4 bytes of room or more a call always consumes at least one byte. What comes out is at
 * most 2 x the input, and does not depend on how the input is sliced. DATA_END: the final dot line was consumed; bytes
 * behind it were not.
 */
enum data_result data_decode(struct data_decoder *d, const char *in, size_t len, size_t *ret_consumed, char *out,
                             size_t out_len, size_t *ret_written);

/*
 * After the last BDAT chunk: writes what a pending CR at the end becomes, and CRLF when the text does not end in one.
 * At most 4 bytes. DATA never needs it but may call it.
 */
size_t data_decode_finish(struct data_decoder *d, char out[4]);

struct data_encoder {
    uint8_t state;
};

void data_encoder_init(struct data_encoder *e);

/*
 * Stuffs dots. Output is at most 2 x the input; stops when fewer than 2 bytes of `out` are free. Returns 0 or -EILSEQ:
 * what was written up to there is good, the byte behind what was consumed is not.
 */
int data_encode(struct data_encoder *e, const char *in, size_t len, size_t *ret_consumed, char *out, size_t out_len,
                size_t *ret_written);

/*
 * Ends the message: CRLF if it does not stand there already, then ".\r\n". Returns 0 (at most 5 bytes written) or
 * -EILSEQ (a CR is pending).
 */
int data_encode_finish(struct data_encoder *e, char out[5], size_t *ret_written);
