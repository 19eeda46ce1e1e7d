/*
 * What reading a whole file promises: all of it or why not, never more than was allowed, and no waiting for what has no
 * end.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int make_file(void **state) {
    snprintf(path, sizeof(path), "/tmp/postern-test-file-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 || write(fd, "12345678", 8) != 8 ? -1 : close(fd);
}

static int remove_file(void **state) {
    return unlink(path);
}

static void a_file_of_exactly_the_maximum_is_read_and_one_byte_more_is_not(void **state) {
    struct arena arena = { 0 };
    struct str text;

    assert_int_equal(file_read(path, 8, &arena, &text), 0);
    assert_int_equal(text.len, 8);
    assert_string_equal(text.at, "12345678"); /* a NUL stands behind it */
    assert_int_equal(file_read(path, 7, &arena, &text), -EFBIG);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(file_read(path, 0, &arena, &text), 0);
    assert_int_equal(text.len, 0);
    assert_string_equal(text.at, "");
    arena_reset(&arena);
}

static void what_is_no_regular_file_is_refused_without_waiting(void **state) {
    struct arena arena = { 0 };
    struct str text = STR("untouched");

    assert_int_equal(file_read("/nonexistent/file", 8, &arena, &text), -ENOENT);
    assert_int_equal(file_read("/tmp", 8, &arena, &text), -EISDIR);
    assert_int_equal(file_read("/dev/zero", 8, &arena, &text), -EINVAL);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it */
    assert_int_equal(file_read(path, 8, &arena, &text), -EINVAL);
    assert_int_equal(file_read_fd(-1, 8, &arena, &text), -EBADF);
    assert_string_equal(text.at, "untouched");
    arena_reset(&arena);
}

static void memory_that_an_arena_may_not_take_is_an_error(void **state) {
    struct arena arena = { .max = 8 };
    struct str text;

    assert_int_equal(file_read(path, 8, &arena, &text), -ENOMEM); /* with its NUL it has nine */
    arena_reset(&arena);
}

static void an_open_file_is_read_from_its_beginning_and_stays_where_it_stands(void **state) {
    struct arena arena = { 0 };
    struct str text;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
    assert_int_equal(file_read_fd(fd, 100, &arena, &text), 0);
    assert_string_equal(text.at, "12345678");
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
    close(fd);
    arena_reset(&arena);
}

static void filling_goes_on_until_enough_is_there_or_the_end(void **state) {
    int ends[2];
    char out[8] = "";

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    assert_int_equal(file_fill(ends[0], out, sizeof(out), 3), 3);
    assert_memory_equal(out, "abc", 3);
    assert_int_equal(write(ends[1], "defghijklm", 10), 10);
    assert_int_equal(file_fill(ends[0], out, sizeof(out), 1), 8); /* what there is, as far as there is room */
    close(ends[1]);
    assert_int_equal(file_fill(ends[0], out, sizeof(out), 8), 2);
    assert_int_equal(file_fill(ends[0], out, sizeof(out), 8), 0);
    close(ends[0]);
    assert_int_equal(file_fill(-1, out, sizeof(out), 1), -EBADF);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_of_exactly_the_maximum_is_read_and_one_byte_more_is_not, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused_without_waiting, make_file, remove_file),
        cmocka_unit_test_setup_teardown(memory_that_an_arena_may_not_take_is_an_error, make_file, remove_file),
        cmocka_unit_test_setup_teardown(an_open_file_is_read_from_its_beginning_and_stays_where_it_stands, make_file,
                                        remove_file),
        cmocka_unit_test(filling_goes_on_until_enough_is_there_or_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
