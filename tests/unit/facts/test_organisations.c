/* Organisations that are remembered are those that the list names. */
#include "facts/organisations.h"

#include "base/hash.h"
#include "facts/helo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void expect_as_the_list(struct organisations *seen, struct str name) {
    struct str expected = helo_organisation(name), found = organisation_of(seen, name);
    if (!str_eq(found, expected))
        fail_msg("%.*s: %.*s, not %.*s", STR_ARG(name), STR_ARG(found), STR_ARG(expected));
    assert_true(found.len == 0 || (found.at >= name.at && found.at + found.len <= name.at + name.len));
}

static void what_is_remembered_is_what_the_list_says(void **state) {
    static const char *const names[] = { "mail.client3.example", "mail.client3.example.", "mx.example.co.uk", "co.uk",
        "example.co.uk", "uk", "", ".", "a.b.c.d.google.com", "ec2-1-2-3-4.compute-1.amazonaws.com", "MX.Example.ORG" };
    static struct organisations seen;
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
            expect_as_the_list(&seen, str_of(names[i]));
    expect_as_the_list(NULL, STR("mx.example.co.uk"));
}

static void names_that_share_a_place_are_not_confused(void **state) {
    static const char *const domains[] = { "example.co.uk", "example.org", "co.uk", "github.io" };
    static struct organisations seen;
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 8 * ORGANISATIONS_PLACES; i++) {
            char name[64];
            snprintf(name, sizeof(name), "mx%u.%s", i, domains[i % 4]);
            expect_as_the_list(&seen, str_of(name));
        }
    }
}

static void a_name_as_long_as_names_get_is_remembered_and_a_longer_one_refused(void **state) {
    static struct organisations seen;
    char name[256];
    for (size_t i = 0; i < sizeof(name); i++)
        name[i] = i % 2 == 0 ? 'a' : '.';
    for (int round = 0; round < 2; round++) {
        name[254] = 'a';
        expect_as_the_list(&seen, (struct str){ name, 255 });
        assert_int_equal(organisation_of(&seen, (struct str){ name, 255 }).len, 3);
        name[255] = 'b';
        assert_int_equal(organisation_of(&seen, (struct str){ name, 256 }).len, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_remembered_is_what_the_list_says),
        cmocka_unit_test(names_that_share_a_place_are_not_confused),
        cmocka_unit_test(a_name_as_long_as_names_get_is_remembered_and_a_longer_one_refused),
    };
    hash_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
