/* record: members, escapes, and a record that does not fit. */
#include "journal/record.h"

#include <errno.h>
#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_line(struct buf *out, const char *expected) {
    assert_int_equal(buf_putc(out, '\0'), 0);
    assert_string_equal(out->at, expected);
    buf_deinit(out);
}

static void members_of_every_kind_make_one_line(void **state) {
    struct buf out;
    struct record r;
    struct ip ip;
    buf_init(&out, 1024);
    ip_parse(STR("203.0.113.7"), &ip);
    record_begin(&r, &out);
    record_time(&r, "time", 1795301082123);
    record_str(&r, "id", STR("00000000000000.1"));
    record_ip(&r, "client", &ip);
    record_str(&r, "sender", STR(""));
    record_bool(&r, "rcpt_known", true);
    record_bool(&r, "tls", false);
    record_open(&r, "dnsbl", '{');
    record_open(&r, "zone.example", '[');
    record_u64(&r, NULL, 2);
    record_str(&r, NULL, STR("x"));
    record_close(&r, ']');
    record_close(&r, '}');
    record_open(&r, "shadow", '[');
    record_close(&r, ']');
    record_u64(&r, "zero", 0);
    record_u64(&r, "most", UINT64_MAX);
    assert_int_equal(record_end(&r), 0);
    assert_line(&out, "{\"time\":\"2026-11-21T22:44:42.123Z\",\"id\":\"00000000000000.1\",\"client\":\"203.0.113.7\","
                      "\"sender\":\"\",\"rcpt_known\":true,\"tls\":false,\"dnsbl\":{\"zone.example\":[2,\"x\"]},"
                      "\"shadow\":[],\"zero\":0,\"most\":18446744073709551615}\n");
}

static void thousandths_are_written_without_zeros_at_the_end(void **state) {
    static const struct {
        int64_t value;
        const char *expected;
    } cases[] = { { 0, "{\"n\":0}\n" }, { 2000, "{\"n\":2}\n" }, { 1500, "{\"n\":1.5}\n" }, { -25, "{\"n\":-0.025}\n" },
                  { 1001, "{\"n\":1.001}\n" }, { 10, "{\"n\":0.01}\n" },
                  { INT64_MIN, "{\"n\":-9223372036854775.808}\n" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;
        struct record r;
        buf_init(&out, 64);
        record_begin(&r, &out);
        record_thousandths(&r, "n", cases[i].value);
        assert_int_equal(record_end(&r), 0);
        assert_line(&out, cases[i].expected);
    }
}

static void what_is_not_known_is_left_out(void **state) {
    struct buf out;
    struct record r;
    buf_init(&out, 64);
    record_begin(&r, &out);
    record_str(&r, "helo", (struct str){ NULL, 0 });
    record_ip(&r, "client", &(struct ip){ .family = IP_NONE });
    record_bool(&r, "a", true);
    assert_int_equal(record_end(&r), 0);
    assert_line(&out, "{\"a\":true}\n");
}

/* The record {"":"ESCAPED"} of one value. */
static void assert_escaped(struct str value, const char *expected) {
    struct buf out;
    struct record r;
    char line[128];
    buf_init(&out, 128);
    record_begin(&r, &out);
    record_str(&r, "", value);
    assert_int_equal(record_end(&r), 0);
    snprintf(line, sizeof(line), "{\"\":\"%s\"}\n", expected);
    assert_line(&out, line);
}

static void quotes_and_control_characters_are_escaped(void **state) {
    assert_escaped(STR("a\"b\\c/"), "a\\\"b\\\\c/");
    assert_escaped(STR("\b\t\n\f\r"), "\\b\\t\\n\\f\\r");
    assert_escaped(STR("\0x\x1f\x7f"), "\\u0000x\\u001f\x7f");
    assert_escaped(STR("\n"), "\\n");
}

static void utf8_stays_and_everything_else_becomes_u_fffd(void **state) {
#define X "\xef\xbf\xbd"
    assert_escaped(STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_escaped(STR("\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80"), "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80");
    assert_escaped(STR("a\x80""b"), "a" X "b");
    assert_escaped(STR("\xc0\xaf"), X X);             /* overlong */
    assert_escaped(STR("\xe0\x9f\xbf"), X X X);
    assert_escaped(STR("\xf0\x8f\xbf\xbf"), X X X X);
    assert_escaped(STR("\xed\xa0\x80"), X X X);       /* a surrogate */
    assert_escaped(STR("\xf4\x90\x80\x80"), X X X X); /* past U+10FFFF */
    assert_escaped(STR("\xf5"), X);
    assert_escaped(STR("\xe2\x82"), X X);              /* cut short */
    assert_escaped(STR("\xe2\x82""a"), X X "a");
    assert_escaped(STR("\xc3"), X);
#undef X
}

static void a_record_that_does_not_fit_is_taken_back_whole(void **state) {
    static const char first[] = "{\"a\":1}\n";
    struct record r;
    for (uint32_t max = 9; max < 40; max++) {
        struct buf out;
        buf_init(&out, max);
        record_begin(&r, &out);
        record_u64(&r, "a", 1);
        int ended = record_end(&r);
        if (max < sizeof(first) - 1) {
            assert_int_equal(ended, -ENOBUFS);
            assert_int_equal(out.len, 0);
        }
        record_begin(&r, &out);
        record_str(&r, "name", STR("\x01\xff"));
        record_bool(&r, "b", true);
        bool fits = max >= sizeof(first) - 1 + strlen("{\"name\":\"\\u0001\xef\xbf\xbd\",\"b\":true}\n");
        assert_int_equal(record_end(&r), fits ? 0 : -ENOBUFS);
        if (ended == 0)
            assert_true(str_eq(str_head(buf_str(&out), sizeof(first) - 1), STR("{\"a\":1}\n")));
        if (!fits)
            assert_int_equal(out.len, ended == 0 ? sizeof(first) - 1 : 0);
        buf_deinit(&out);
    }
}

static void a_line_that_is_set_aside_is_gone_on_with_behind_others(void **state) {
    struct buf out;
    struct record r, other;
    struct arena arena = { 0 };
    buf_init(&out, 64);
    record_begin(&r, &out);
    record_str(&r, "a", STR("x\"y"));
    struct str begun = record_suspend(&r, &arena);
    assert_non_null(begun.at);
    assert_int_equal(out.len, 0);
    record_begin(&other, &out);
    record_u64(&other, "b", 2);
    assert_int_equal(record_end(&other), 0);
    record_resume(&r, &out, begun);
    record_u64(&r, "c", 3);
    assert_int_equal(record_end(&r), 0);
    assert_line(&out, "{\"b\":2}\n{\"a\":\"x\\\"y\",\"c\":3}\n");

    record_begin(&r, &out);
    begun = record_suspend(&r, &arena);
    record_resume(&r, &out, begun);
    record_bool(&r, "first", true);
    assert_int_equal(record_end(&r), 0);
    assert_line(&out, "{\"first\":true}\n");
    buf_deinit(&out);
    arena_reset(&arena);
}

static void a_record_that_has_failed_is_not_set_aside(void **state) {
    struct buf out;
    struct record r;
    struct arena arena = { 0 };
    buf_init(&out, 8);
    record_begin(&r, &out);
    record_str(&r, "name", STR("too long"));
    assert_null(record_suspend(&r, &arena).at);
    assert_int_equal(record_end(&r), -ENOBUFS);
    record_begin(&r, &out);
    record_u64(&r, "a", 1);
    struct str begun = record_suspend(&r, &arena);
    buf_puts(&out, STR("1234"));
    record_resume(&r, &out, begun); /* no room for it any more */
    assert_int_equal(record_end(&r), -ENOBUFS);
    assert_true(str_eq(buf_str(&out), STR("1234")));
    buf_deinit(&out);
    arena_reset(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_every_kind_make_one_line),
        cmocka_unit_test(thousandths_are_written_without_zeros_at_the_end),
        cmocka_unit_test(what_is_not_known_is_left_out),
        cmocka_unit_test(quotes_and_control_characters_are_escaped),
        cmocka_unit_test(utf8_stays_and_everything_else_becomes_u_fffd),
        cmocka_unit_test(a_record_that_does_not_fit_is_taken_back_whole),
        cmocka_unit_test(a_line_that_is_set_aside_is_gone_on_with_behind_others),
        cmocka_unit_test(a_record_that_has_failed_is_not_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
