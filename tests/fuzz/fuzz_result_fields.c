/*
 * fuzz_result_fields: whatever scanners, headers and names of files say, what we write of them is a good header in
 * lines that are not too long, and each of its fields is one that is dropped when it comes from outside.
 *
 * Input: two bytes of numbers, then the texts, a byte 0xFF between them.
 */
#include "mime/field_filter.h"
#include "mime/header_check.h"
#include "mime/result_fields.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str take_text(struct str *rest) {
    size_t end = str_find(*rest, '\xff');
    struct str text = str_head(*rest, end);
    *rest = str_from(*rest, end + 1);
    return text;
}

static void expect_good(struct str fields) {
    struct header_check check;
    header_check_init(&check, false);
    header_check_feed(&check, fields.at, fields.len);
    header_check_feed(&check, "Date: d\r\nFrom: f\r\nMessage-ID: i\r\n\r\n", 39);
    assert(header_check_end(&check).len == 0 || str_find(fields, '\n') == fields.len);
    for (size_t i = 0, column = 0; i < fields.len; i++) {
        column = fields.at[i] == '\n' ? 0 : column + 1;
        assert(column <= 79); /* CR included */
    }
}

/* The filter drops all of it. */
static void expect_ours(struct str fields) {
    const struct field_edit edit = { .authserv_id = STR("mx.example.com") };
    struct field_filter filter;
    field_filter_init(&filter, &edit);
    while (fields.len > 0) {
        struct str insert;
        size_t insert_at;
        enum field_fate fate = field_filter_begin(&filter, fields.at, fields.len < FIELD_PEEK ? fields.len : FIELD_PEEK,
                                                  &insert_at, &insert);
        assert(fate == FIELD_DROPPED);
        fields = str_from(fields, field_filter_span(&filter, fields.at, fields.len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf out;
    if (size < 2)
        return 0;
    struct str rest = { (const char *)data + 2, size - 2 };
    const struct result_fields fields = {
        .virus = data[0] % 3, .spam = data[0] / 3 % 3, .is_spam = data[0] & 64,
        .score = (int64_t)((uint64_t)data[1] << (data[0] & 63)), .threshold = -(int64_t)data[1],
        .virus_name = take_text(&rest), .virus_missed = take_text(&rest), .spam_missed = take_text(&rest),
        .tests = take_text(&rest), .bad_header = take_text(&rest), .banned = take_text(&rest),
    };
    buf_init(&out, 4 * (uint32_t)size + 1024);
    assert(result_fields_format(&fields, &out) == 0);
    assert(result_tag_format(rest, &out) == 0);
    expect_good(buf_str(&out));
    expect_ours(buf_str(&out));
    buf_deinit(&out);
    return 0;
}
