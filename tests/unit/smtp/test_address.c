/*
 * test_address: what RFC 5321 4.1.2 and RFC 6531 call a mailbox, at each bound and one past it.
 */
#include "smtp/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NONE = 0, UTF8 = 1, NULL_PATH = 2, POSTMASTER = 4 };

static enum smtp_address_result parse(const char *text, unsigned flags, struct smtp_address *a, struct str *rest) {
    *rest = str_of(text);
    return smtp_path_parse(rest, flags & NULL_PATH, flags & POSTMASTER, flags & UTF8, a);
}

static void check_path(const char *text, unsigned flags, enum smtp_address_result expected) {
    struct smtp_address a;
    struct str rest;
    enum smtp_address_result result = parse(text, flags, &a, &rest);
    if (result != expected)
        fail_msg("%s: %d, not %d", text, result, expected);
    assert_true((result == SMTP_ADDRESS_OK) == (rest.at != text));
}

static void a_path_is_cut_into_its_parts(void **state) {
    (void)state;
    static const struct {
        const char *path, *text, *local, *domain;
        bool is_quoted, is_literal, is_utf8;
    } rows[] = {
        { "<user@example.com>", "user@example.com", "user", "example.com", false, false, false },
        { "<a.b+c=d@x>", "a.b+c=d@x", "a.b+c=d", "x", false, false, false },
        { "<!#$%&'*+-/=?^_`{|}~@x>", "!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x", false, false, false },
        { "<\"a b\\\"@>\"@example.com>", "\"a b\\\"@>\"@example.com", "\"a b\\\"@>\"", "example.com", true, false,
        false },
        { "<\"\"@x>", "\"\"@x", "\"\"", "x", true, false, false },
        { "<a@[192.0.2.1]>", "a@[192.0.2.1]", "a", "[192.0.2.1]", false, true, false },
        { "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", false, true, false },
        { "<@a.example,@b.example:u@x>", "u@x", "u", "x", false, false, false },
        { "<@a.example:u@x>", "u@x", "u", "x", false, false, false },
        { "<j\xc3\xb6rg@m\xc3\xbcnchen.example>", "j\xc3\xb6rg@m\xc3\xbcnchen.example", "j\xc3\xb6rg",
          "m\xc3\xbcnchen.example", false, false, true },
        { "<>", "", "", "", false, false, false },
        { "<PostMaster>", "PostMaster", "PostMaster", "", false, false, false },
        { "<postmaster@x>", "postmaster@x", "postmaster", "x", false, false, false },
        { "<a@my_host._x.example>", "a@my_host._x.example", "a", "my_host._x.example", false, false, false },
        { "<a@1.2.3>", "a@1.2.3", "a", "1.2.3", false, false, false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "%s SIZE=1", rows[i].path);
        struct smtp_address a;
        struct str rest;
        assert_int_equal(parse(line, UTF8 | NULL_PATH | POSTMASTER, &a, &rest), SMTP_ADDRESS_OK);
        assert_true(str_eq(a.text, str_of(rows[i].text)));
        assert_true(str_eq(a.local, str_of(rows[i].local)));
        assert_true(str_eq(a.domain, str_of(rows[i].domain)));
        assert_true(str_eq(rest, STR(" SIZE=1")));
        assert_int_equal(a.is_quoted, rows[i].is_quoted);
        assert_int_equal(a.is_literal, rows[i].is_literal);
        assert_int_equal(a.is_utf8, rows[i].is_utf8);
    }
}

static void what_is_no_path_is_a_syntax_error(void **state) {
    (void)state;
    static const char *const rows[] = {
        "", "a@x", "<", "<a", "<a@", "<a@x", "<a@x ", "<@x>", "<a>", "<a b@x>", "<a@x y>",
        "<a@.x>", "<a@x.>", "<a@x..y>", "<a@-x>", "<a@x->", "<a@x-.y>", "<a@x/y>", "<a@b@x>", "<\"a@x>", "<\"a\"b@x>",
        "<\"a\\", "<\"a\\\"@x>", "<a@[192.0.2.1>", "<a@[192.0.2.256]>", "<a@[]>", "<a@[IPv6:]>", "<a@[2001:db8::1]>",
        "<a@[IPv6:192.0.2.1]>", "<a@[x400:c=xx]>", "<a@[192.0.2.1]x>", "<@a.example>", "<@a.example,u@x>", "<@a,@b>",
        "<@a.example:>", "<@[192.0.2.1]:u@x>", "<(c)a@x>", "<a(c)@x>", "<a@x\t>", "<a\x01@x>", "<\"a\x7f\"@x>",
        " <a@x>",
        "<a,b@x>", "<a;b@x>",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_path(rows[i], NULL_PATH | POSTMASTER | UTF8, SMTP_ADDRESS_SYNTAX);
}

static void dots_may_stand_anywhere_in_a_local_part(void **state) {
    (void)state;
    static const char *const rows[] = { "<.a@x>", "<a.@x>", "<a..b@x>", "<a...@x>" };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check_path(rows[i], NONE, SMTP_ADDRESS_OK);
}

static void the_null_path_and_the_bare_postmaster_are_taken_where_allowed(void **state) {
    (void)state;
    check_path("<>", NONE, SMTP_ADDRESS_SYNTAX);
    check_path("<>", POSTMASTER, SMTP_ADDRESS_SYNTAX);
    check_path("<>", NULL_PATH, SMTP_ADDRESS_OK);
    check_path("<postmaster>", NULL_PATH, SMTP_ADDRESS_SYNTAX);
    check_path("<postmaster>", POSTMASTER, SMTP_ADDRESS_OK);
    check_path("<postmasters>", POSTMASTER, SMTP_ADDRESS_SYNTAX);
    check_path("<abuse>", POSTMASTER, SMTP_ADDRESS_SYNTAX);
}

/* "<" l x 'l' "@" labels of 63 and less, d bytes in all ">" */
static const char *long_path(size_t l, size_t d) {
    static char text[1024];
    size_t n = 0;
    text[n++] = '<';
    for (size_t i = 0; i < l; i++)
        text[n++] = 'l';
    text[n++] = '@';
    for (size_t i = 0; i < d; i++)
        text[n++] = i % 64 == 63 && i + 1 < d ? '.' : 'd';
    memcpy(text + n, ">", 2);
    return text;
}

static void lengths_are_held_at_their_bounds(void **state) {
    (void)state;
    check_path(long_path(64, 10), NONE, SMTP_ADDRESS_OK);
    check_path(long_path(65, 10), NONE, SMTP_ADDRESS_TOO_LONG);
    check_path(long_path(64, 189), NONE, SMTP_ADDRESS_OK); /* 256 with <> and @ */
    check_path(long_path(64, 190), NONE, SMTP_ADDRESS_TOO_LONG);
    check_path(long_path(1, 63), NONE, SMTP_ADDRESS_OK);
    char domain[300];
    memcpy(domain, long_path(1, 255) + 3, 255);
    assert_int_equal(smtp_domain_parse((struct str){ domain, 255 }, false, false), SMTP_ADDRESS_OK);
    memcpy(domain, long_path(1, 256) + 3, 256);
    domain[255] = 'd';
    domain[254] = '.';
    assert_int_equal(smtp_domain_parse((struct str){ domain, 256 }, false, false), SMTP_ADDRESS_TOO_LONG);
    memset(domain, 'd', 64);
    assert_int_equal(smtp_domain_parse((struct str){ domain, 63 }, false, false), SMTP_ADDRESS_OK);
    assert_int_equal(smtp_domain_parse((struct str){ domain, 64 }, false, false), SMTP_ADDRESS_SYNTAX);
}

static void a_source_route_counts_into_the_length_of_the_path(void **state) {
    (void)state;
    char text[300] = "<@";
    memset(text + 2, 'r', 63);
    text[65] = '.';
    memset(text + 66, 's', 63);
    text[129] = ':';
    strcpy(text + 130, long_path(61, 63) + 1);
    check_path(text, NONE, SMTP_ADDRESS_OK);
    strcpy(text + 130, long_path(62, 63) + 1);
    check_path(text, NONE, SMTP_ADDRESS_TOO_LONG);
}

static void utf8_is_taken_where_allowed_and_only_when_it_is_valid(void **state) {
    (void)state;
    check_path("<j\xc3\xb6rg@x>", NONE, SMTP_ADDRESS_UTF8);
    check_path("<a@m\xc3\xbcnchen>", NONE, SMTP_ADDRESS_UTF8);
    check_path("<\"j\xc3\xb6\"@x>", UTF8, SMTP_ADDRESS_OK);
    static const char *const bad[] = {
        "\x80", "\xc3", "\xc0\xaf", "\xc1\x81", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x98", "\xe2\x82", "\xff", "\xc3(",
        "\xe2\x82(",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(smtp_utf8_is_valid(str_of(bad[i])));
        char text[16];
        snprintf(text, sizeof(text), "<%.1s@x>", bad[i]); /* cut: never valid */
        check_path(text, UTF8, SMTP_ADDRESS_UTF8);
    }
    static const char *const good[] = { "", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                                        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(smtp_utf8_is_valid(str_of(good[i])));
}

static void a_whole_text_is_an_address_or_a_domain(void **state) {
    (void)state;
    struct smtp_address a;
    assert_int_equal(smtp_address_parse(STR("user@example.com"), false, &a), SMTP_ADDRESS_OK);
    assert_int_equal(smtp_address_parse(STR("user@example.com "), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(STR("<user@example.com>"), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(STR("postmaster"), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_address_parse(STR(""), false, &a), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_domain_parse(STR("mail.example.com"), false, false), SMTP_ADDRESS_OK);
    assert_int_equal(smtp_domain_parse(STR("mail.example.com."), false, false), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_domain_parse(STR(""), false, false), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_domain_parse(STR("a b"), false, false), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_domain_parse(STR("[192.0.2.1]"), false, false), SMTP_ADDRESS_SYNTAX);
    assert_int_equal(smtp_domain_parse(STR("[192.0.2.1]"), true, false), SMTP_ADDRESS_OK);
    assert_int_equal(smtp_domain_parse(STR("m\xc3\xbcnchen"), true, false), SMTP_ADDRESS_UTF8);
    assert_int_equal(smtp_domain_parse(STR("m\xc3\xbcnchen"), true, true), SMTP_ADDRESS_OK);
}

static void an_address_literal_gives_its_address(void **state) {
    (void)state;
    struct ip ip;
    char text[IP_TEXT_MAX];
    assert_int_equal(smtp_literal_parse(STR("[192.0.2.1]"), &ip), 0);
    assert_string_equal(ip_format(&ip, text), "192.0.2.1");
    assert_int_equal(smtp_literal_parse(STR("[ipv6:2001:DB8::1]"), &ip), 0);
    assert_string_equal(ip_format(&ip, text), "2001:db8::1");
    assert_int_equal(smtp_literal_parse(STR("[IPv6:::ffff:192.0.2.1]"), &ip), 0);
    assert_string_equal(ip_format(&ip, text), "192.0.2.1");
    assert_int_equal(smtp_literal_parse(STR("192.0.2.1"), &ip), -EINVAL);
    assert_int_equal(smtp_literal_parse(STR("["), &ip), -EINVAL);
}

static void check_canonical(const char *address, const char *canonical) {
    struct smtp_address a;
    assert_int_equal(smtp_address_parse(str_of(address), true, &a), SMTP_ADDRESS_OK);
    char out[SMTP_LOCAL_MAX];
    size_t n = smtp_local_canonical(&a, out);
    assert_true(str_eq((struct str){ out, n }, str_of(canonical)));
}

static void one_mailbox_has_one_canonical_local_part(void **state) {
    (void)state;
    check_canonical("User.Name@x", "user.name");
    check_canonical("\"User.Name\"@x", "user.name");
    check_canonical("\"a\\ b\"@x", "a b");
    check_canonical("\"a b\"@x", "a b");
    check_canonical("\"\\\\\\\"\"@x", "\\\"");
    check_canonical("\"\"@x", "");
    check_canonical("J\xc3\x96rg@x", "j\xc3\x96rg");
}

static void a_sub_address_is_cut_at_the_first_delimiter(void **state) {
    (void)state;
    assert_true(str_eq(smtp_local_without_detail(STR("user+a+b"), "+"), STR("user")));
    assert_true(str_eq(smtp_local_without_detail(STR("user-a+b"), "+-"), STR("user")));
    assert_true(str_eq(smtp_local_without_detail(STR("user+a"), ""), STR("user+a")));
    assert_true(str_eq(smtp_local_without_detail(STR("+a"), "+"), STR("+a")));
    assert_true(str_eq(smtp_local_without_detail(STR("user+"), "+"), STR("user")));
    assert_true(str_eq(smtp_local_without_detail(STR(""), "+"), STR("")));
}

static void xtext_goes_there_and_back(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 16);
    assert_int_equal(xtext_encode(STR("a+b=c d\xff"), &out), 0);
    assert_true(str_eq(buf_str(&out), STR("a+2Bb+3Dc+20d+FF")));
    assert_int_equal(xtext_encode(STR("x"), &out), -ENOBUFS);
    assert_int_equal(out.len, 16);
    buf_clear(&out);
    assert_int_equal(xtext_decode(STR("a+2Bb+3Dc+20d+FF"), &out), 0);
    assert_true(str_eq(buf_str(&out), STR("a+b=c d\xff")));
    static const char *const bad[] = { "a=b", "a b", "+", "+2", "+2b", "+G0", "a\xff", "\x7f" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        buf_clear(&out);
        assert_int_equal(xtext_decode(str_of(bad[i]), &out), -EINVAL);
        assert_int_equal(out.len, 0);
        assert_false(xtext_is_valid(str_of(bad[i])));
    }
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_cut_into_its_parts),
        cmocka_unit_test(what_is_no_path_is_a_syntax_error),
        cmocka_unit_test(dots_may_stand_anywhere_in_a_local_part),
        cmocka_unit_test(the_null_path_and_the_bare_postmaster_are_taken_where_allowed),
        cmocka_unit_test(lengths_are_held_at_their_bounds),
        cmocka_unit_test(a_source_route_counts_into_the_length_of_the_path),
        cmocka_unit_test(utf8_is_taken_where_allowed_and_only_when_it_is_valid),
        cmocka_unit_test(a_whole_text_is_an_address_or_a_domain),
        cmocka_unit_test(an_address_literal_gives_its_address),
        cmocka_unit_test(one_mailbox_has_one_canonical_local_part),
        cmocka_unit_test(a_sub_address_is_cut_at_the_first_delimiter),
        cmocka_unit_test(xtext_goes_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
