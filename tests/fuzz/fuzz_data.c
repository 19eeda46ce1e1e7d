/*
 * fuzz_data: does every message end where a plain reading of RFC 5321 says, however it is sliced, and nowhere else on
 * its way out?
 *
 * Input: 'D' or 'B' (DATA or BDAT), a seed for the slices, the wire bytes. A reference decoder that sees everything at
 * once and looks ahead instead of keeping state must agree with data.c in text, end and counts; what was decoded is
 * canonical; encoded, it has its CRLF.CRLF at its end only; decoded again it is what it was. Each slice and each output
 * lives in memory of exactly its size, so that the sanitizer sees a byte too many.
 */
#include "smtp/data.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    char *at;
    size_t len;
};

static uint32_t draw(uint32_t *seed, uint32_t from, uint32_t to) {
    *seed = *seed * 1664525U + 1013904223U;
    return from + (*seed >> 16) % (to - from + 1);
}

static void append(struct bytes *to, const char *from, size_t len) {
    if (len > 0)
        memcpy(to->at + to->len, from, len);
    to->len += len;
}

static struct bytes bytes_new(size_t room) {
    struct bytes b = { malloc(room + 1), 0 };
    assert(b.at != NULL);
    return b;
}

/* ---- the reference */

struct reference {
    struct bytes text;
    bool is_end;
    size_t consumed; /* when is_end */
    uint32_t bare_cr, bare_lf, nul;
};

static struct reference reference_decode(const char *in, size_t n, bool is_chunked) {
    struct reference r = { .text = bytes_new(2 * n) };
    bool is_start = true;
    for (size_t i = 0; i < n; i++) {
        bool is_crlf_next = i + 2 < n && in[i + 1] == '\r' && in[i + 2] == '\n';
        if (is_start && !is_chunked && in[i] == '.') {
            if (is_crlf_next) {
                r.is_end = true;
                r.consumed = i + 3;
                return r;
            }
            is_start = false;
            continue;
        }
        is_start = false;
        if (in[i] == '\r' && i + 1 < n && in[i + 1] == '\n') {
            append(&r.text, "\r\n", 2);
            is_start = true;
            i++;
        } else if (in[i] == '\r') {
            append(&r.text, " ", 1);
            r.bare_cr++;
        } else if (in[i] == '\n') {
            append(&r.text, "\r\n", 2);
            r.bare_lf++;
        } else {
            append(&r.text, in + i, 1);
            r.nul += in[i] == '\0';
        }
    }
    if (r.text.len > 0 && r.text.at[r.text.len - 1] != '\n') /* what finish() adds */
        append(&r.text, "\r\n", 2);
    return r;
}

/* Index of the first byte that is not canonical, or n. A CR at the end is pending, not wrong. */
static size_t first_bare(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if ((text[i] == '\n') != (i > 0 && text[i - 1] == '\r'))
            return i;
    }
    return n;
}

/* ---- driving the code under test */

static enum data_result decode(struct data_decoder *d, const char *in, size_t n, uint32_t seed, bool is_sliced,
                               struct bytes *out) {
    size_t i = 0;
    enum data_result result = DATA_MORE;
    while (i < n && result == DATA_MORE) {
        size_t slice = is_sliced ? draw(&seed, 1, 9) : n - i;
        slice = slice < n - i ? slice : n - i;
        size_t room = is_sliced ? draw(&seed, DATA_DECODE_ROOM_MIN, 24) : 2 * n + DATA_DECODE_ROOM_MIN;
        char *from = malloc(slice), *to = malloc(room);
        assert(from != NULL && to != NULL);
        memcpy(from, in + i, slice);
        size_t consumed, written;
        result = data_decode(d, from, slice, &consumed, to, room, &written);
        assert(consumed > 0 && consumed <= slice && written <= room);
        append(out, to, written);
        i += consumed;
        free(from);
        free(to);
    }
    assert(d->received == i);
    return result;
}

static int encode(const char *in, size_t n, uint32_t seed, struct bytes *out, size_t *ret_consumed) {
    struct data_encoder e;
    data_encoder_init(&e);
    size_t i = 0;
    int error = 0;
    while (i < n && error == 0) {
        size_t slice = draw(&seed, 1, 9);
        slice = slice < n - i ? slice : n - i;
        size_t room = draw(&seed, 2, 24);
        char *from = malloc(slice), *to = malloc(room);
        assert(from != NULL && to != NULL);
        memcpy(from, in + i, slice);
        size_t consumed, written;
        error = data_encode(&e, from, slice, &consumed, to, room, &written);
        assert(consumed <= slice && written <= room && (error < 0 || consumed > 0));
        append(out, to, written);
        i += consumed;
        free(from);
        free(to);
    }
    *ret_consumed = i;
    size_t written = 0;
    if (error == 0)
        error = data_encode_finish(&e, out->at + out->len, &written);
    out->len += written;
    return error;
}

/* ---- properties */

static void check_encoded(const struct bytes *wire) {
    assert(first_bare(wire->at, wire->len) == wire->len);
    assert(wire->len >= 3 && memcmp(wire->at + wire->len - 3, ".\r\n", 3) == 0);
    unsigned ends = wire->len >= 3 && memcmp(wire->at, ".\r\n", 3) == 0;
    for (size_t i = 0; i + 5 <= wire->len; i++)
        ends += memcmp(wire->at + i, "\r\n.\r\n", 5) == 0;
    assert(ends == 1);
}

static void check_round_trip(const struct bytes *text, uint32_t seed) {
    struct bytes wire = bytes_new(2 * text->len + 5);
    size_t consumed;
    assert(encode(text->at, text->len, seed, &wire, &consumed) == 0 && consumed == text->len);
    check_encoded(&wire);
    struct bytes again = bytes_new(2 * wire.len);
    struct data_decoder d;
    data_decoder_init(&d, false);
    assert(decode(&d, wire.at, wire.len, seed + 1, true, &again) == DATA_END);
    assert(d.received == wire.len && d.bare_cr == 0 && d.bare_lf == 0);
    assert(again.len == text->len && memcmp(again.at, text->at, text->len) == 0);
    free(wire.at);
    free(again.at);
}

static void check_raw_encoding(const char *in, size_t n, uint32_t seed) {
    struct bytes wire = bytes_new(2 * n + 5);
    size_t consumed;
    int error = encode(in, n, seed, &wire, &consumed);
    size_t bare = first_bare(in, n);
    assert(consumed == bare);
    assert((error == -EILSEQ) == (bare < n || (n > 0 && in[n - 1] == '\r')));
    if (error == 0)
        check_encoded(&wire);
    free(wire.at);
}

static void check_decoding(const char *in, size_t n, bool is_chunked, uint32_t seed, bool is_sliced) {
    struct reference r = reference_decode(in, n, is_chunked);
    struct bytes text = bytes_new(2 * n + 8);
    struct data_decoder d;
    data_decoder_init(&d, is_chunked);
    enum data_result result = decode(&d, in, n, seed, is_sliced, &text);
    assert((result == DATA_END) == r.is_end);
    if (result == DATA_END)
        assert(d.received == r.consumed);
    else
        text.len += data_decode_finish(&d, text.at + text.len);
    assert(text.len == r.text.len && memcmp(text.at, r.text.at, text.len) == 0);
    assert(d.produced == text.len && d.bare_cr == r.bare_cr && d.bare_lf == r.bare_lf && d.nul == r.nul);

    bool has_8bit = false, has_long_line = false;
    size_t line = 0;
    for (size_t i = 0; i < text.len; i++) {
        has_8bit |= (unsigned char)text.at[i] >= 0x80;
        line = text.at[i] == '\n' ? 0 : line + 1;
        has_long_line |= line > 998 && text.at[i] != '\r';
    }
    assert(d.has_8bit == has_8bit && d.has_long_line == has_long_line);
    assert(first_bare(text.at, text.len) == text.len);
    check_round_trip(&text, seed);
    free(text.at);
    free(r.text.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    bool is_chunked = data[0] == 'B';
    uint32_t seed = data[1];
    const char *in = (const char *)data + 2;
    check_decoding(in, size - 2, is_chunked, seed, false);
    check_decoding(in, size - 2, is_chunked, seed, true);
    check_raw_encoding(in, size - 2, seed);
    return 0;
}
