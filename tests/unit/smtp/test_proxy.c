/*
 * test_proxy: PROXY headers of both versions, complete, cut, too long, and wrong.
 */
#include "smtp/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_ADDRESSES "\xcb\x00\x71\x07\xc0\x00\x02\x19\x9c\x40\x00\x19"
#define V6_ADDRESSES                                                                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x19\x9c\x40\x00\x19"
#define MAPPED_ADDRESSES                                                                                               \
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x07\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x19\x9c\x40\x00\x19"

struct outcome {
    enum proxy_result result;
    size_t consumed;
    struct endpoint client, server;
};

static struct outcome parse(struct str text) {
    struct outcome o = { .consumed = 999 };
    o.result = proxy_parse(text.at, text.len, &o.consumed, &o.client, &o.server);
    return o;
}

/* `text` is a whole header; each shorter part of it waits, and what stands behind it is left alone. */
static void check_known(struct str text, const char *client, const char *server) {
    char longer[2048];
    memcpy(longer, text.at, text.len);
    memcpy(longer + text.len, "EHLO x\r\n", 8);
    for (size_t n = 0; n <= text.len + 8; n++) {
        struct outcome o = parse((struct str){ longer, n });
        assert_int_equal(o.result, n < text.len ? PROXY_MORE : client != NULL ? PROXY_KNOWN : PROXY_LOCAL);
        assert_int_equal(o.consumed, n < text.len ? 0 : text.len);
        if (o.result == PROXY_KNOWN) {
            char shown[ENDPOINT_TEXT_MAX];
            assert_string_equal(endpoint_format(&o.client, shown), client);
            assert_string_equal(endpoint_format(&o.server, shown), server);
        }
    }
}

static void check_bad(struct str text) {
    struct outcome o = parse(text);
    if (o.result != PROXY_BAD)
        fail_msg("%.*s: %d", (int)text.len, text.at, o.result);
    assert_int_equal(o.consumed, 0);
    assert_int_equal(o.client.ip.family, IP_NONE);
}

static void version_1_names_both_ends(void **state) {
    (void)state;
    check_known(STR("PROXY TCP4 203.0.113.7 192.0.2.25 40000 25\r\n"), "203.0.113.7:40000", "192.0.2.25:25");
    check_known(STR("PROXY TCP6 2001:db8::7 2001:db8::19 40000 25\r\n"), "[2001:db8::7]:40000", "[2001:db8::19]:25");
    check_known(STR("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.25 0 65535\r\n"),
        "203.0.113.7:0", "192.0.2.25:65535");
}

static void version_1_unknown_is_local(void **state) {
    (void)state;
    check_known(STR("PROXY UNKNOWN\r\n"), NULL, NULL);
    check_known(STR("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), NULL, NULL);
}

static void version_1_outside_its_grammar_is_bad(void **state) {
    (void)state;
    static const char *const rows[] = {
        "EHLO x\r\n", "P\n", "PROXX", "PROXY \r\n", "PROXY TCP5 a b 1 2\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::19 1 2\r\n",
        "PROXY TCP6 203.0.113.7 192.0.2.25 1 2\r\n", "PROXY TCP4 203.0.113.7 192.0.2.25 1 65536\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.25 -1 2\r\n", "PROXY TCP4 203.0.113.7 192.0.2.25 1\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.25 1 2 3\r\n", "PROXY TCP4  203.0.113.7 192.0.2.25 1 2\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.25 1 2 \r\n", "PROXY TCP4 203.0.113.7 192.0.2.25 1 2\n", "proxy TCP4",
        "PROXY unknown\r\n", "PROXY TCP4 203.0.113.256 192.0.2.25 1 2\r\n", "PROXY\n",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_bad(str_of(rows[i]));
}

static void version_1_has_107_bytes_at_most(void **state) {
    (void)state;
    char line[120] = "PROXY UNKNOWN ";
    memset(line + 14, 'x', 92);
    memcpy(line + 105, "\r\n", 2);
    check_known((struct str){ line, 107 }, NULL, NULL);
    memcpy(line + 105, "x\r\n", 3);
    check_bad((struct str){ line, 108 });
    check_bad((struct str){ line, 107 });
}

static void version_2_names_both_ends(void **state) {
    (void)state;
    check_known(STR(SIGNATURE "\x21\x11\x00\x0c" V4_ADDRESSES), "203.0.113.7:40000", "192.0.2.25:25");
    check_known(STR(SIGNATURE "\x21\x21\x00\x24" V6_ADDRESSES), "[2001:db8::7]:40000", "[2001:db8::19]:25");
    check_known(STR(SIGNATURE "\x21\x21\x00\x24" MAPPED_ADDRESSES), "203.0.113.7:40000", "192.0.2.25:25");
    check_known(STR(SIGNATURE "\x21\x11\x00\x11" V4_ADDRESSES "\x01\x00\x02h2"), "203.0.113.7:40000", "192.0.2.25:25");
}

static void version_2_without_a_client_is_local(void **state) {
    (void)state;
    check_known(STR(SIGNATURE "\x20\x00\x00\x00"), NULL, NULL);
    check_known(STR(SIGNATURE "\x20\x11\x00\x0c" V4_ADDRESSES), NULL, NULL);
    check_known(STR(SIGNATURE "\x20\xff\x00\x01x"), NULL, NULL);
    check_known(STR(SIGNATURE "\x21\x00\x00\x03xyz"), NULL, NULL);
    check_known(STR(SIGNATURE "\x21\x31\x00\x01x"), NULL, NULL);
}

static void version_2_outside_its_grammar_is_bad(void **state) {
    (void)state;
    check_bad(STR("\r\n\r\n\1"));
    check_bad(STR("\r\nEHLO"));
    check_bad(STR(SIGNATURE "\x11"));
    check_bad(STR(SIGNATURE "\x22\x11\x00\x0c" V4_ADDRESSES));
    check_bad(STR(SIGNATURE "\x21\x12\x00\x0c" V4_ADDRESSES));
    check_bad(STR(SIGNATURE "\x21\x22\x00\x24" V6_ADDRESSES));
    check_bad(STR(SIGNATURE "\x21\x11\x00\x0b" V4_ADDRESSES));
    check_bad(STR(SIGNATURE "\x21\x21\x00\x23" V6_ADDRESSES));
}

static void version_2_has_as_many_bytes_as_we_take_and_no_more(void **state) {
    (void)state;
    char header[PROXY_HEADER_MAX + 1] = SIGNATURE "\x21\x11\x03\xf0" V4_ADDRESSES;
    check_known((struct str){ header, PROXY_HEADER_MAX }, "203.0.113.7:40000", "192.0.2.25:25");
    header[15] = (char)0xf1;
    check_bad((struct str){ header, 16 });
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_names_both_ends),
        cmocka_unit_test(version_1_unknown_is_local),
        cmocka_unit_test(version_1_outside_its_grammar_is_bad),
        cmocka_unit_test(version_1_has_107_bytes_at_most),
        cmocka_unit_test(version_2_names_both_ends),
        cmocka_unit_test(version_2_without_a_client_is_local),
        cmocka_unit_test(version_2_outside_its_grammar_is_bad),
        cmocka_unit_test(version_2_has_as_many_bytes_as_we_take_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
