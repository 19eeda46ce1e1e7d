/*
 * Tables for people: cells below each other, whatever is in them.
 */
#include "cmd/columns.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_aligned(const char *text, const char *expected) {
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(columns_align(str_of(text), &out), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    assert_string_equal(out.at, expected);
    buf_deinit(&out);
}

static void a_column_is_as_wide_as_its_widest_cell(void **state) {
    assert_aligned("name\tstate\tage\nmx.example.com\tup\t1s\na\tdown\t3d 4h\n",
                   "name            state  age\nmx.example.com  up     1s\na               down   3d 4h\n");
    assert_aligned("a\t\tc\nlong\tb\t\n", "a        c\nlong  b  \n");
}

static void tables_between_empty_lines_are_measured_alone(void **state) {
    assert_aligned("\nlonger\tx\n\na\tb\n", "\nlonger  x\n\na  b\n");
    assert_aligned("a\tb\n\n\n", "a  b\n\n\n");
}

static void lines_without_a_tab_and_last_cells_widen_nothing(void **state) {
    assert_aligned("a sentence that is long\na\tb\n", "a sentence that is long\na  b\n");
    assert_aligned("a\tb\na\tquite long\nlonger\n", "a  b\na  quite long\nlonger\n");
    assert_aligned("a\tb", "a  b\n");
    assert_aligned("", "");
}

static void what_is_beyond_the_last_column_stays_as_it_is(void **state) {
    assert_aligned("1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\t13\t14\t15\t16\t17\t18\n",
                   "1  2  3  4  5  6  7  8  9  10  11  12  13  14  15  16\t17\t18\n");
}

static void a_full_buffer_is_told(void **state) {
    struct buf out;
    buf_init(&out, 8);
    assert_int_equal(columns_align(STR("name\tstate\n"), &out), -ENOBUFS);
    buf_deinit(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_is_as_wide_as_its_widest_cell),
        cmocka_unit_test(tables_between_empty_lines_are_measured_alone),
        cmocka_unit_test(lines_without_a_tab_and_last_cells_widen_nothing),
        cmocka_unit_test(what_is_beyond_the_last_column_stays_as_it_is),
        cmocka_unit_test(a_full_buffer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
