/*
 * What a HELO name is, from its letters alone: at most one of invalid, address, unqualified.
 */
#include "facts/helo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum shape { NAME, INVALID, ADDRESS, UNQUALIFIED };

static const struct {
    const char *helo;
    enum shape shape;
    const char *ip;
} rows[] = {
    { "mail.example.com", NAME, NULL },
    { "mail.example.com.", NAME, NULL },
    { "MAIL.Example.COM", NAME, NULL },
    { "mail_1.example.com", NAME, NULL },
    { "_spf.example.com", NAME, NULL },
    { "203.0.113.7.example.com", NAME, NULL },
    { "203.0.113", NAME, NULL },
    { "xn--mnchen-3ya.example", NAME, NULL },
    { "localhost", UNQUALIFIED, NULL },
    { "localhost.", UNQUALIFIED, NULL },
    { "WIN_PC", UNQUALIFIED, NULL },
    { "3405803783", UNQUALIFIED, NULL },
    { "203.0.113.7", ADDRESS, "203.0.113.7" },
    { "203.0.113.7.", ADDRESS, "203.0.113.7" },
    { "[203.0.113.7]", ADDRESS, "203.0.113.7" },
    { "[IPv6:2001:db8::7]", ADDRESS, "2001:db8::7" },
    { "[ipv6:2001:DB8::7]", ADDRESS, "2001:db8::7" },
    { "2001:db8::7", ADDRESS, "2001:db8::7" },
    { "", INVALID, NULL },
    { ".", INVALID, NULL },
    { "..", INVALID, NULL },
    { "mail..example.com", INVALID, NULL },
    { ".example.com", INVALID, NULL },
    { "mail example.com", INVALID, NULL },
    { "mail.example.com..", INVALID, NULL },
    { "-", INVALID, NULL },
    { "[203.0.113.7", INVALID, NULL },
    { "[203.0.113.256]", INVALID, NULL },
    { "[2001:db8::7]", INVALID, NULL },
    { "IPv6:2001:db8::7", INVALID, NULL },
    { "m\xc3\xbcnchen.example", INVALID, NULL },
    { "<script>.example", INVALID, NULL },
};

static void a_name_has_one_shape(void **state) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct ip ip, wanted = { 0 };
        struct helo_shape shape = helo_look(str_of(rows[i].helo), &ip);
        if (rows[i].ip != NULL)
            assert_int_equal(ip_parse(str_of(rows[i].ip), &wanted), 0);
        if (shape.is_invalid != (rows[i].shape == INVALID) || shape.is_address != (rows[i].shape == ADDRESS)
            || shape.is_unqualified != (rows[i].shape == UNQUALIFIED) || ip.family != wanted.family
            || (ip.family != IP_NONE && !ip_eq(&ip, &wanted)))
            fail_msg("HELO %s", rows[i].helo);
    }
}

static void labels_and_names_have_their_bounds(void **state) {
    char label[64 + sizeof(".example")];
    struct ip ip;
    memset(label, 'a', 64);
    memcpy(label + 64, ".example", sizeof(".example"));
    assert_true(helo_look(str_of(label), &ip).is_invalid);
    assert_false(helo_look(str_of(label + 1), &ip).is_invalid);
}

static void organisations_follow_the_public_suffix_list(void **state) {
    static const char *const names[][2] = {
        { "mx.example.com", "example.com" },       { "a.b.c.example.co.uk", "example.co.uk" },
        { "example.com", "example.com" },          { "MX.Example.COM", "Example.COM" },
        { "mx.example.com.", "example.com" },      { "one.blogspot.com", "one.blogspot.com" },
        { "com", "" },                             { "co.uk", "" },
        { "", "" },                                { ".", "" },
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct str organisation = helo_organisation(str_of(names[i][0]));
        if (!str_eq(organisation, str_of(names[i][1])))
            fail_msg("%s: %.*s", names[i][0], STR_ARG(organisation));
    }
}

static void a_name_longer_than_names_get_has_no_organisation(void **state) {
    char name[300];
    memset(name, 'a', sizeof(name));
    memcpy(name + 252, ".com", 4);
    assert_int_equal(helo_organisation((struct str){ name, 256 }).len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_shape),
        cmocka_unit_test(labels_and_names_have_their_bounds),
        cmocka_unit_test(organisations_follow_the_public_suffix_list),
        cmocka_unit_test(a_name_longer_than_names_get_has_no_organisation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
