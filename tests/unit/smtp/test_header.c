/*
 * test_header: hops counted in any slices, and the Received field that we write.
 */
#include "smtp/header.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct header_scanner scan(struct str text, size_t slice) {
    struct header_scanner s;
    header_scanner_init(&s);
    for (size_t i = 0; i < text.len; i += slice) {
        struct str part = str_head(str_from(text, i), slice);
        header_scan(&s, part.at, part.len);
    }
    return s;
}

static void received_fields_are_counted_up_to_the_empty_line_in_any_slices(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t received;
        bool is_over;
    } rows[] = {
        { "", 0, false },
        { "Received: a\r\nreceived: b\r\nRECEIVED:c\r\n", 3, false },
        { "Received: a\r\n\tReceived: no\r\n Received: no\r\nSubject: Received: no\r\n\r\nReceived: no\r\n", 1, true },
        { "Received : a\r\nReceived\t: b\r\n", 2, false },
        { "X-Received: a\r\nReceived-SPF: b\r\nReceive: c\r\nReceivedd: d\r\n", 0, false },
        { "A-Very-Long-Field-Name-Beyond-All-Room: a\r\nReceived: b\r\n", 1, false },
        { "\r\nReceived: no\r\n", 0, true },
        { "Received: a\r\nnot a field\r\nReceived: no\r\n", 1, true },
        { "Received: a\r\nnofield\r\nReceived: no\r\n", 1, true },
        { " Received: no\r\nReceived: no\r\n", 0, true },
        { ": a\r\nReceived: no\r\n", 0, true },
        { "From a@x Sat Nov 21\r\nReceived: no\r\n", 0, true },
        { "Received: a\r\n\r\n", 1, true },
        { "Received", 0, false },
        { "Received\xc3\xa4: a\r\nReceived: no\r\n", 0, true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str text = str_of(rows[i].text);
        for (size_t slice = 1; slice <= text.len + 1; slice++) {
            struct header_scanner s = scan(text, slice);
            if (s.received != rows[i].received || s.is_over != rows[i].is_over)
                fail_msg("row %zu, slices of %zu: %u fields, over %d", i, slice, s.received, s.is_over);
        }
    }
}

static void a_hundred_and_one_hops_are_counted(void **state) {
    (void)state;
    struct header_scanner s;
    header_scanner_init(&s);
    for (int i = 0; i < HEADER_RECEIVED_MAX + 1; i++)
        header_scan(&s, "Received: from a\r\n\tby b; now\r\n", 30);
    assert_int_equal(s.received, HEADER_RECEIVED_MAX + 1);
    assert_false(s.is_over);
}

static struct header_received example(void) {
    struct header_received r = {
        .helo = STR("mail.example.net"),
        .client_name = STR("ptr.example.net"),
        .by = STR("mx.example.com"),
        .protocol = "ESMTPS",
        .tls_version = "TLSv1.3",
        .tls_cipher = "TLS_AES_256_GCM_SHA384",
        .id = STR("0abc"),
        .recipient = STR("user@example.com"),
        .date = "Sat, 21 Nov 2026 22:44:42 +0000 (UTC)",
    };
    assert_int_equal(ip_parse(STR("203.0.113.7"), &r.client), 0);
    return r;
}

static void check_format(const struct header_received *r, const char *expected) {
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(header_received_format(r, &out), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    assert_string_equal(out.at, expected);
    buf_deinit(&out);
}

static void the_field_is_folded_and_says_who_how_and_for_whom(void **state) {
    (void)state;
    struct header_received r = example();
    check_format(&r, "Received: from mail.example.net (ptr.example.net [203.0.113.7])\r\n"
                     "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
                     "\tby mx.example.com (Postern) with ESMTPS id 0abc\r\n"
                     "\tfor <user@example.com>;\r\n"
                     "\tSat, 21 Nov 2026 22:44:42 +0000 (UTC)\r\n");
}

static void what_is_not_known_is_left_out_or_unknown(void **state) {
    (void)state;
    struct header_received r = example();
    assert_int_equal(ip_parse(STR("2001:db8::7"), &r.client), 0);
    r.helo = r.client_name = r.recipient = STR("");
    r.tls_version = r.tls_cipher = "";
    r.protocol = "SMTP";
    check_format(&r, "Received: from unknown (unknown [IPv6:2001:db8::7])\r\n"
                     "\tby mx.example.com (Postern) with SMTP id 0abc;\r\n"
                     "\tSat, 21 Nov 2026 22:44:42 +0000 (UTC)\r\n");
}

static void nothing_from_outside_can_break_the_field(void **state) {
    (void)state;
    struct header_received r = example();
    r.helo = STR("a(b)\r\nX: \"y\";\\\x80\t");
    r.client_name = STR("p)q");
    r.recipient = STR("\"a b\"@ex\r\n\xc3\xa4");
    r.tls_version = NULL;
    check_format(&r, "Received: from a?b???X:??y????? (p?q [203.0.113.7])\r\n"
                     "\tby mx.example.com (Postern) with ESMTPS id 0abc\r\n"
                     "\tfor <\"a b\"@ex??\xc3\xa4>;\r\n"
                     "\tSat, 21 Nov 2026 22:44:42 +0000 (UTC)\r\n");
}

static void without_room_nothing_is_left_in_the_buffer(void **state) {
    (void)state;
    struct header_received r = example();
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(header_received_format(&r, &out), 0);
    uint32_t len = out.len;
    buf_deinit(&out);
    for (uint32_t max = 2; max <= len + 2; max++) {
        buf_init(&out, max);
        assert_int_equal(buf_puts(&out, STR("x:")), 0);
        assert_int_equal(header_received_format(&r, &out), max < len + 2 ? -ENOBUFS : 0);
        assert_int_equal(out.len, max < len + 2 ? 2 : len + 2);
        buf_deinit(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(received_fields_are_counted_up_to_the_empty_line_in_any_slices),
        cmocka_unit_test(a_hundred_and_one_hops_are_counted),
        cmocka_unit_test(the_field_is_folded_and_says_who_how_and_for_whom),
        cmocka_unit_test(what_is_not_known_is_left_out_or_unknown),
        cmocka_unit_test(nothing_from_outside_can_break_the_field),
        cmocka_unit_test(without_room_nothing_is_left_in_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
