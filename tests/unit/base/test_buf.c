/* buf: grows to its maximum and not a byte further, and a failure changes nothing. */
#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_empty_buffer_owns_no_memory(void **state) {
    struct buf b;
    buf_init(&b, 100);
    assert_null(b.at);
    assert_int_equal(b.cap, 0);
    assert_int_equal(buf_put(&b, NULL, 0), 0);
    assert_null(b.at);
    assert_true(str_is_empty(buf_str(&b)));
    buf_deinit(&b);
    assert_int_equal(b.max, 100);
}

static void growth_doubles_from_256_and_stops_at_the_maximum(void **state) {
    struct buf b;
    buf_init(&b, 600);
    assert_int_equal(buf_putc(&b, 'a'), 0);
    assert_int_equal(b.cap, 256);
    for (int i = 1; i < 257; i++)
        assert_int_equal(buf_putc(&b, 'a'), 0);
    assert_int_equal(b.cap, 512);
    while (b.len < 600)
        assert_int_equal(buf_putc(&b, 'b'), 0);
    assert_int_equal(b.cap, 600);
    assert_int_equal(buf_putc(&b, 'c'), -ENOBUFS);
    assert_int_equal(b.len, 600);
    assert_int_equal(b.at[599], 'b');
    buf_deinit(&b);
}

static void what_does_not_fit_is_not_put_in_part(void **state) {
    struct buf b;
    buf_init(&b, 8);
    assert_int_equal(buf_puts(&b, STR("12345")), 0);
    assert_int_equal(buf_puts(&b, STR("6789")), -ENOBUFS);
    assert_int_equal(buf_putf(&b, "%d", 6789), -ENOBUFS);
    assert_null(buf_room(&b, 4));
    assert_true(str_eq(buf_str(&b), STR("12345")));
    assert_int_equal(buf_putf(&b, "%d", 678), 0);
    assert_true(str_eq(buf_str(&b), STR("12345678")));
    assert_int_equal(buf_put(&b, "x", SIZE_MAX), -ENOBUFS);
    buf_deinit(&b);
}

static void room_for_nothing_is_a_pointer_unless_nothing_ever_fits(void **state) {
    struct buf b;
    buf_init(&b, 1);
    assert_non_null(buf_room(&b, 0));
    assert_non_null(buf_room(&b, 1));
    assert_null(buf_room(&b, 2));
    buf_deinit(&b);
    buf_init(&b, 0);
    assert_null(buf_room(&b, 0));
    assert_int_equal(buf_putc(&b, 'a'), -ENOBUFS);
}

static void formats_longer_than_the_stack_copy_are_whole(void **state) {
    struct buf b;
    buf_init(&b, 4096);
    for (int len = 510; len <= 514; len++) {
        buf_clear(&b);
        assert_int_equal(buf_putf(&b, "%0*d", len, 7), 0);
        assert_int_equal(b.len, len);
        assert_int_equal(b.at[len - 1], '7');
    }
    assert_int_equal(buf_putf(&b, "%04096d", 7), -ENOBUFS);
    assert_int_equal(b.len, 514);
    buf_clear(&b);
    assert_int_equal(buf_putf(&b, "%04096d", 7), 0);
    assert_int_equal(buf_putf(&b, "%s", ""), 0);
    assert_int_equal(buf_putf(&b, "x"), -ENOBUFS);
    buf_deinit(&b);
}

static void consuming_moves_the_rest_to_the_front(void **state) {
    struct buf b;
    buf_init(&b, 16);
    buf_consume(&b, 3);
    buf_puts(&b, STR("abcdef"));
    buf_consume(&b, 0);
    buf_consume(&b, 2);
    assert_true(str_eq(buf_str(&b), STR("cdef")));
    buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    buf_puts(&b, STR("x"));
    buf_consume(&b, 99);
    assert_int_equal(b.len, 0);
    buf_deinit(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_owns_no_memory),
        cmocka_unit_test(growth_doubles_from_256_and_stops_at_the_maximum),
        cmocka_unit_test(what_does_not_fit_is_not_put_in_part),
        cmocka_unit_test(room_for_nothing_is_a_pointer_unless_nothing_ever_fits),
        cmocka_unit_test(formats_longer_than_the_stack_copy_are_whole),
        cmocka_unit_test(consuming_moves_the_rest_to_the_front),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
