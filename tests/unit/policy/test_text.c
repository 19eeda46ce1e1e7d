/* text: placeholders, and what values cannot do. */
#include "policy/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect_text(const char *template, const struct str *values, const char *expected) {
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(text_format(str_of(template), values, &out), 0);
    assert_int_equal(out.len, strlen(expected));
    assert_memory_equal(out.at, expected, out.len);
    buf_deinit(&out);
}

static void placeholders_are_filled_in(void **state) {
    struct str values[N_PLACEHOLDERS] = { { NULL, 0 } };
    values[TEXT_CLIENT] = STR("203.0.113.7");
    values[TEXT_SENDER_DOMAIN] = STR("example.net");
    expect_text("{client} of {sender.domain}", values, "203.0.113.7 of example.net");
    expect_text("no {ptr}", values, "no unknown");
    expect_text("plain", values, "plain");
}

static void one_second_is_no_seconds(void **state) {
    struct str values[N_PLACEHOLDERS] = { { NULL, 0 } };
    values[TEXT_SECONDS] = STR("1");
    values[TEXT_HELO] = STR("1");
    expect_text("in {seconds} seconds", values, "in 1 second");
    expect_text("in {seconds} seconds; {seconds} seconds!", values, "in 1 second; 1 second!");
    expect_text("in {seconds} s, {helo} seconds, {seconds}", values, "in 1 s, 1 seconds, 1");
    values[TEXT_SECONDS] = STR("10");
    expect_text("in {seconds} seconds", values, "in 10 seconds");
}

static void values_cannot_forge_a_second_line(void **state) {
    struct str values[N_PLACEHOLDERS] = { { NULL, 0 } };
    values[TEXT_HELO] = STR("a\r\n250 {id} \x7f\xc3");
    expect_text("<{helo}>", values, "<a??250 {id} ?" "?>");
}

static void a_value_is_cut_at_its_bound(void **state) {
    struct str values[N_PLACEHOLDERS] = { { NULL, 0 } };
    char long_name[TEXT_VALUE_MAX + 1], expected[TEXT_VALUE_MAX + 1] = "";
    memset(long_name, 'a', sizeof(long_name));
    memset(expected, 'a', TEXT_VALUE_MAX);
    values[TEXT_HELO] = (struct str){ long_name, TEXT_VALUE_MAX };
    expect_text("{helo}", values, expected);
    values[TEXT_HELO].len++;
    expect_text("{helo}", values, expected);
}

static void faults_are_found(void **state) {
    struct str name;
    assert_null(text_find_fault(STR("{client} {rcpt.domain}"), &name));
    assert_non_null(text_find_fault(STR("{clint}"), &name));
    assert_true(str_eq(name, STR("clint")));
    assert_non_null(text_find_fault(STR("{client"), &name));
    assert_int_equal(name.len, 0);
    assert_non_null(text_find_fault(STR("client}"), &name));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_are_filled_in),
        cmocka_unit_test(one_second_is_no_seconds),
        cmocka_unit_test(values_cannot_forge_a_second_line),
        cmocka_unit_test(a_value_is_cut_at_its_bound),
        cmocka_unit_test(faults_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
