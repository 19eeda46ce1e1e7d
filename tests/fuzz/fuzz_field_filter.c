/*
 * fuzz_field_filter: however a message is sliced, the same fields go on; none that goes on is one of ours; what is no
 * field of ours is unchanged; and what went through once goes through again as it is.
 *
 * Input: a seed for the slices, the text.
 */
#include "mime/field_filter.h"
#include "smtp/data.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    char *at;
    size_t len;
};

static const struct field_edit edit = { .authserv_id = STR_INIT("mx.example.com") };

static struct text filter(const struct text *in, uint32_t seed) {
    struct field_filter filter;
    struct text out = { malloc(in->len + 1), 0 };
    size_t at = 0;
    assert(out.at != NULL);
    field_filter_init(&filter, &edit);
    for (;;) {
        struct str insert;
        size_t insert_at, left = in->len - at, from = at, used = 0, given = 0;
        size_t peek = left < FIELD_PEEK ? left : FIELD_PEEK;
        char *head = malloc(peek + 1);
        memcpy(head, in->at + at, peek);
        enum field_fate fate = field_filter_begin(&filter, head, peek, &insert_at, &insert);
        free(head);
        assert(insert.len == 0 && insert_at == 0); /* no tag is asked for */
        while (fate != FIELD_TEXT && used == given && at < in->len) {
            seed = seed * 1664525U + 1013904223U;
            given = 1 + (seed >> 16) % 60;
            given = given < in->len - at ? given : in->len - at;
            used = field_filter_span(&filter, in->at + at, given);
            assert(used <= given);
            at += used;
        }
        size_t kept = fate == FIELD_TEXT ? in->len - from : fate == FIELD_KEPT ? at - from : 0;
        memcpy(out.at + out.len, in->at + from, kept);
        out.len += kept;
        if (fate == FIELD_TEXT)
            return out;
        assert(at > from); /* it gets on */
    }
}

static bool is_equal(const struct text *a, const struct text *b) {
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct data_decoder decoder;
    struct text text = { malloc(2 * size + 8), 0 };
    size_t used;
    assert(text.at != NULL);
    data_decoder_init(&decoder, true);
    if (size > 1) {
        data_decode(&decoder, (const char *)data + 1, size - 1, &used, text.at, 2 * size + 8, &text.len);
        text.len += data_decode_finish(&decoder, text.at + text.len);
        struct text one = filter(&text, data[0]), other = filter(&text, data[0] + 1000u), again = filter(&one, data[0]);
        assert(is_equal(&one, &other));
        assert(is_equal(&one, &again));
        free(one.at);
        free(other.at);
        free(again.at);
    }
    free(text.at);
    return 0;
}
