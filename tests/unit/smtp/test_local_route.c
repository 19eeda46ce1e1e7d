/*
 * Local parts that a mail server may read as a route, a file or a command.
 */
#include "smtp/address.h"
#include "smtp/local_route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static enum smtp_local_kind kind_of(const char *text) {
    struct smtp_address address;
    char canonical[SMTP_LOCAL_MAX];
    if (smtp_address_parse(str_of(text), true, &address) != SMTP_ADDRESS_OK)
        fail_msg("%s", text);
    return smtp_local_kind((struct str){ canonical, smtp_local_canonical(&address, canonical) });
}

static void what_could_be_a_route_is_one_however_it_is_written(void **state) {
    (void)state;
    static const char *const rows[] = {
        "anna%evil.test@example.com", "anna+x%evil.test@example.com", "evil.test!anna@example.com",
        "\"anna@evil.test\"@example.com", "\"anna\\@evil.test\"@example.com", "\"anna\\%evil\"@example.com",
        "\"an\\na+x\\@evil\"@example.com", "a%b%c@example.com", "postmaster%evil.test@example.com",
        "\"@relay.test:anna@evil.test\"@example.com", "\" anna @ evil.test\"@example.com",
        "anna\xef\xbc\x85""evil.test@example.com", "anna\xef\xb9\xab""evil.test@example.com",
        "evil.test\xef\xbc\x81""anna@example.com", "evil\xe2\x80\xbc""anna@example.com", "/x%y@example.com",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (kind_of(rows[i]) != SMTP_LOCAL_ROUTE)
            fail_msg("%s", rows[i]);
}

static void a_file_a_command_or_half_a_route_is_odd(void **state) {
    (void)state;
    static const char *const rows[] = {
        "/etc/passwd@example.com", "|sh@example.com", "\"|/bin/sh -c x\"@example.com", "\"\\/x\"@example.com",
        "100%@example.com", "!x@example.com", "\"@\"@example.com", "%@example.com",
        "\xef\xbc\x8f""etc@example.com", "\xef\xbd\x9c""sh@example.com", "x\xef\xbc\x85@example.com",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (kind_of(rows[i]) != SMTP_LOCAL_ODD)
            fail_msg("%s", rows[i]);
}

static void any_other_local_part_is_plain(void **state) {
    (void)state;
    static const char *const rows[] = {
        "anna@example.com", "anna+x@example.com", "a/b@example.com", "a|b@example.com", "\"a b\"@example.com",
        "#$&'*-=?^_`{}~@example.com", "\"a:b,c;d<e>\"@example.com", "j\xc3\xbcrgen@example.com",
        "\xe5\x90\x8d\xe5\x89\x8d@example.com", "a..b@example.com", "\"\"@example.com", "\"\\\"x\"@example.com",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (kind_of(rows[i]) != SMTP_LOCAL_PLAIN)
            fail_msg("%s", rows[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_could_be_a_route_is_one_however_it_is_written),
        cmocka_unit_test(a_file_a_command_or_half_a_route_is_odd),
        cmocka_unit_test(any_other_local_part_is_plain),
    };
    return cmocka_run_group_tests_name("local_route", tests, NULL, NULL);
}
