/*
 * test_data: each way to end a line or a message that a client, or a smuggler, can think of, whole and in slices of one
 * byte; and the way out.
 */
#include "smtp/data.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct decoded {
    char text[4096];
    size_t len;
    size_t consumed;
    enum data_result result;
    struct data_decoder d;
};

/* Feeds `in` in slices of `slice` bytes, with `room` bytes of output at a time. */
static void decode(struct decoded *r, struct str in, bool is_chunked, size_t slice, size_t room) {
    memset(r, 0, sizeof(*r));
    data_decoder_init(&r->d, is_chunked);
    while (r->consumed < in.len && r->result == DATA_MORE) {
        struct str part = str_head(str_from(in, r->consumed), slice);
        size_t consumed, written;
        r->result = data_decode(&r->d, part.at, part.len, &consumed, r->text + r->len, room, &written);
        r->consumed += consumed;
        r->len += written;
        assert_true(consumed > 0);
        assert_true(r->len + room <= sizeof(r->text));
    }
}

struct variant {
    const char *name;
    struct str in, text;
    bool is_end;
    size_t left; /* bytes behind the end */
    uint32_t bare_lf, bare_cr, nul;
};

#define S(literal) { "" literal, sizeof(literal) - 1 }

static const struct variant variants[] = {
    { "CRLF.CRLF ends", S("a\r\n.\r\n"), S("a\r\n"), true, 0, 0, 0, 0 },
    { "a dot alone at the start ends an empty message", S(".\r\n"), S(""), true, 0, 0, 0, 0 },
    { "what stands behind the end is left alone", S("a\r\n.\r\nQUIT\r\n"), S("a\r\n"), true, 6, 0, 0, 0 },
    { "LF.LF is text", S("a\n.\nb\r\n.\r\n"), S("a\r\n.\r\nb\r\n"), true, 0, 2, 0, 0 },
    { "CR.CR is text", S("a\r.\rb\r\n.\r\n"), S("a . b\r\n"), true, 0, 0, 2, 0 },
    { "CRLF.LF loses its dot and does not end", S("a\r\n.\nb\r\n.\r\n"), S("a\r\n\r\nb\r\n"), true, 0, 1, 0, 0 },
    { "LF.CRLF is text", S("a\n.\r\nb\r\n.\r\n"), S("a\r\n.\r\nb\r\n"), true, 0, 1, 0, 0 },
    { "CR.CRLF is text", S("a\r.\r\nb\r\n.\r\n"), S("a .\r\nb\r\n"), true, 0, 0, 1, 0 },
    { "CRLF.CR loses its dot and does not end", S("a\r\n.\rb\r\n.\r\n"), S("a\r\n b\r\n"), true, 0, 0, 1, 0 },
    { "CRLF.CRCRLF does not end", S("a\r\n.\r\r\nb\r\n.\r\n"), S("a\r\n \r\nb\r\n"), true, 0, 0, 1, 0 },
    { "CRCRLF.CRLF ends behind a space", S("a\r\r\n.\r\n"), S("a \r\n"), true, 0, 0, 1, 0 },
    { "LFCR.CRLF is text", S("a\n\r.\r\nb\r\n.\r\n"), S("a\r\n .\r\nb\r\n"), true, 0, 1, 1, 0 },
    { "CRLF..CRLF is a stuffed dot", S("a\r\n..\r\n.\r\n"), S("a\r\n.\r\n"), true, 0, 0, 0, 0 },
    { "CRLF... loses one dot", S("...a\r\n.\r\n"), S("..a\r\n"), true, 0, 0, 0, 0 },
    { "CRLF.text loses its dot", S("a\r\n.b\r\n.\r\n"), S("a\r\nb\r\n"), true, 0, 0, 0, 0 },
    { "LF..text keeps both dots", S("a\n..b\r\n.\r\n"), S("a\r\n..b\r\n"), true, 0, 1, 0, 0 },
    { "a bare LF as a first byte", S("\n.\r\n"), S("\r\n.\r\n"), false, 0, 1, 0, 0 },
    { "CRLF.NULCRLF does not end", S("\r\n.\0\r\n"), S("\r\n\0\r\n"), false, 0, 0, 0, 1 },
    { "CRNULLF is no line end", S("a\r\0\n.\r\n"), S("a \0\r\n.\r\n"), false, 0, 1, 1, 1 },
    { "a NUL stays", S("a\0b\r\n.\r\n"), S("a\0b\r\n"), true, 0, 0, 0, 1 },
    { "a dot at the end waits", S("a\r\n."), S("a\r\n"), false, 0, 0, 0, 0 },
    { "a dot and a CR at the end wait", S("a\r\n.\r"), S("a\r\n"), false, 0, 0, 0, 0 },
    { "a CR at the end waits", S("a\r"), S("a"), false, 0, 0, 0, 0 },
};

static void check_variant(const struct variant *v, size_t slice, size_t room) {
    struct decoded r;
    decode(&r, v->in, false, slice, room);
    bool is_same = r.len == v->text.len && memcmp(r.text, v->text.at, r.len) == 0;
    if (!is_same || (r.result == DATA_END) != v->is_end || r.consumed != v->in.len - v->left)
        fail_msg("%s, slices of %zu: '%.*s'", v->name, slice, (int)r.len, r.text);
    assert_int_equal(r.d.bare_lf, v->bare_lf);
    assert_int_equal(r.d.bare_cr, v->bare_cr);
    assert_int_equal(r.d.nul, v->nul);
    assert_int_equal(r.d.received, r.consumed);
    assert_int_equal(r.d.produced, r.len);
}

static void each_line_end_means_the_same_in_any_slices(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        for (size_t slice = 1; slice <= variants[i].in.len; slice++) {
            check_variant(&variants[i], slice, 64);
            check_variant(&variants[i], slice, DATA_DECODE_ROOM_MIN);
        }
    }
}

static void every_short_sequence_of_line_ends_ends_only_at_crlf_dot_crlf(void **state) {
    (void)state;
    static const char alphabet[] = { '\r', '\n', '.', 'x', '\0' };
    enum { LEN = 6, ALL = 5 * 5 * 5 * 5 * 5 * 5 };
    for (unsigned k = 0; k < ALL; k++) {
        char in[LEN];
        for (unsigned i = 0, rest = k; i < LEN; i++, rest /= 5)
            in[i] = alphabet[rest % 5];
        /* The first CRLF.CRLF, the start of the message counting as CRLF, is the end. */
        char framed[LEN + 2] = { '\r', '\n' };
        memcpy(framed + 2, in, LEN);
        char *end = memmem(framed, sizeof(framed), "\r\n.\r\n", 5);
        struct decoded r;
        decode(&r, (struct str){ in, LEN }, false, LEN, 64);
        assert_int_equal(r.result, end != NULL ? DATA_END : DATA_MORE);
        if (end != NULL)
            assert_int_equal(r.consumed, (size_t)(end - framed) + 3);
        struct decoded bytewise;
        decode(&bytewise, (struct str){ in, LEN }, false, 1, DATA_DECODE_ROOM_MIN);
        assert_int_equal(bytewise.len, r.len);
        assert_memory_equal(bytewise.text, r.text, r.len);
        assert_int_equal(bytewise.result, r.result);
    }
}

static void in_bdat_dots_are_text(void **state) {
    (void)state;
    struct decoded r;
    decode(&r, STR(".\r\n..\r\n\r\n.\r\n"), true, 1, 64);
    assert_int_equal(r.result, DATA_MORE);
    assert_int_equal(r.len, 12);
    assert_memory_equal(r.text, ".\r\n..\r\n\r\n.\r\n", 12);
    char end[4];
    assert_int_equal(data_decode_finish(&r.d, end), 0);
}

static void the_end_of_bdat_completes_the_last_line(void **state) {
    (void)state;
    static const struct {
        struct str in;
        const char *end;
        uint32_t bare_cr;
    } rows[] = {
        { S(""), "", 0 }, { S("a\r\n"), "", 0 }, { S("a\n"), "", 0 }, { S("a"), "\r\n", 0 }, { S("a\r"), " \r\n", 1 },
        { S("a\r\n."), "\r\n", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct decoded r;
        decode(&r, rows[i].in, true, 64, 64);
        char end[4];
        size_t n = data_decode_finish(&r.d, end);
        assert_int_equal(n, strlen(rows[i].end));
        assert_memory_equal(end, rows[i].end, n);
        assert_int_equal(r.d.bare_cr, rows[i].bare_cr);
        assert_int_equal(r.d.produced, r.len + n);
    }
}

static void the_decoder_stops_when_fewer_than_four_bytes_are_free(void **state) {
    (void)state;
    struct data_decoder d;
    data_decoder_init(&d, false);
    char out[8];
    size_t consumed, written;
    assert_int_equal(data_decode(&d, "abc", 3, &consumed, out, 3, &written), DATA_MORE);
    assert_int_equal(consumed, 0);
    assert_int_equal(written, 0);
    assert_int_equal(data_decode(&d, "abcdef", 6, &consumed, out, 4, &written), DATA_MORE);
    assert_int_equal(consumed, written);
    assert_in_range(consumed, 1, 4);
}

static void a_line_of_1000_bytes_is_not_long_and_one_of_1001_is(void **state) {
    (void)state;
    char line[1002];
    memset(line, 'x', sizeof(line));
    for (size_t n = 998; n <= 999; n++) {
        memcpy(line + n, "\r\n", 2);
        struct decoded r;
        decode(&r, (struct str){ line, n + 2 }, false, 7, 64);
        assert_int_equal(r.d.has_long_line, n == 999);
    }
    line[0] = '.'; /* the stuffed dot does not count */
    memcpy(line, "..", 2);
    memset(line + 2, 'x', 997);
    memcpy(line + 999, "\r\n", 2);
    struct decoded r;
    decode(&r, (struct str){ line, 1001 }, false, 1001, 2048);
    assert_false(r.d.has_long_line);
}

static void bytes_above_127_are_noted_up_to_the_end_only(void **state) {
    (void)state;
    struct decoded r;
    decode(&r, STR("abcdefgh\xc3\xa4\r\n.\r\n"), false, 64, 64);
    assert_true(r.d.has_8bit);
    decode(&r, STR("\x80\r\n.\r\n"), false, 64, 64);
    assert_true(r.d.has_8bit);
    decode(&r, STR("abcdefgh\r\n.\r\n\xff\xff\xff\xff\xff\xff\xff\xff"), false, 64, 64);
    assert_false(r.d.has_8bit);
}

static int encode(struct str in, size_t slice, char *out, size_t *ret_len) {
    struct data_encoder e;
    data_encoder_init(&e);
    size_t i = 0, n = 0;
    while (i < in.len) {
        struct str part = str_head(str_from(in, i), slice);
        size_t consumed, written;
        int error = data_encode(&e, part.at, part.len, &consumed, out + n, 64, &written);
        i += consumed;
        n += written;
        *ret_len = n;
        if (error < 0)
            return error;
    }
    size_t written = 0;
    int error = data_encode_finish(&e, out + n, &written);
    *ret_len = n + written;
    return error;
}

static void the_encoder_stuffs_dots_and_ends_the_message(void **state) {
    (void)state;
    static const struct {
        struct str in, out;
    } rows[] = {
        { S(""), S(".\r\n") },
        { S("a\r\n"), S("a\r\n.\r\n") },
        { S("a"), S("a\r\n.\r\n") },
        { S(".\r\n"), S("..\r\n.\r\n") },
        { S("."), S("..\r\n.\r\n") },
        { S("a.b\r\n..\r\n\r\n.c\r\n"), S("a.b\r\n...\r\n\r\n..c\r\n.\r\n") },
        { S("a\0\r\n\0.\r\n"), S("a\0\r\n\0.\r\n.\r\n") },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t slice = 1; slice <= 20; slice++) {
            char out[512];
            size_t n;
            assert_int_equal(encode(rows[i].in, slice, out, &n), 0);
            assert_int_equal(n, rows[i].out.len);
            assert_memory_equal(out, rows[i].out.at, n);
        }
    }
}

static void the_encoder_refuses_a_bare_cr_or_lf_and_writes_neither(void **state) {
    (void)state;
    static const struct str rows[] = { S("a\nb"), S("\n"), S("a\rb"), S("a\r\r\n"), S("a\r"), S("a\r\n\n"),
        S("\r\0\n") };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t slice = 1; slice <= rows[i].len; slice++) {
            char out[512];
            size_t n;
            assert_int_equal(encode(rows[i], slice, out, &n), -EILSEQ);
            for (size_t k = 0; k < n; k++)
                assert_int_equal(out[k] == '\n', k > 0 && out[k - 1] == '\r');
            assert_true(n == 0 || out[n - 1] != '\r');
        }
    }
}

static void the_encoder_gets_on_with_two_bytes_of_room(void **state) {
    (void)state;
    struct data_encoder e;
    data_encoder_init(&e);
    struct str in = STR(".a\r\n.b\r\n");
    char all[64];
    size_t i = 0, n = 0;
    while (i < in.len) {
        size_t consumed, written;
        assert_int_equal(data_encode(&e, in.at + i, in.len - i, &consumed, all + n, 2, &written), 0);
        assert_true(consumed > 0);
        assert_true(written <= 2);
        i += consumed;
        n += written;
    }
    assert_int_equal(n, 10);
    assert_memory_equal(all, "..a\r\n..b\r\n", n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_end_means_the_same_in_any_slices),
        cmocka_unit_test(every_short_sequence_of_line_ends_ends_only_at_crlf_dot_crlf),
        cmocka_unit_test(in_bdat_dots_are_text),
        cmocka_unit_test(the_end_of_bdat_completes_the_last_line),
        cmocka_unit_test(the_decoder_stops_when_fewer_than_four_bytes_are_free),
        cmocka_unit_test(a_line_of_1000_bytes_is_not_long_and_one_of_1001_is),
        cmocka_unit_test(bytes_above_127_are_noted_up_to_the_end_only),
        cmocka_unit_test(the_encoder_stuffs_dots_and_ends_the_message),
        cmocka_unit_test(the_encoder_refuses_a_bare_cr_or_lf_and_writes_neither),
        cmocka_unit_test(the_encoder_gets_on_with_two_bytes_of_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
