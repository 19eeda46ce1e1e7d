/*
 * What the spool promises: every byte back in order, memory only up to its maximum, and an error instead of a shorter
 * message.
 */
#include "base/spool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int put(struct spool *spool, const char *at, size_t len) {
    char *room = spool_room(spool, len);

    assert_non_null(room);
    memcpy(room, at, len);
    return spool_wrote(spool, len);
}

/* Reads all with a scratch of `scratch_len` bytes. */
static size_t read_all(struct spool *spool, char *out, size_t scratch_len) {
    char scratch[64];
    size_t len = 0;
    const char *at = NULL;

    for (;;) {
        long n = spool_read(spool, len, scratch, scratch_len, &at);

        assert_true(n >= 0);
        if (n == 0)
            return len;
        memcpy(out + len, at, (size_t)n);
        len += (size_t)n;
    }
}

static void a_message_of_exactly_the_maximum_stays_in_memory(void **state) {
    struct spool spool;
    char out[64];

    spool_init(&spool, "/nonexistent", 8);
    assert_int_equal(put(&spool, "1234", 4), 0);
    assert_int_equal(put(&spool, "5678", 4), 0);
    assert_int_equal(spool.fd, -1);
    assert_int_equal(read_all(&spool, out, 3), 8);
    assert_memory_equal(out, "12345678", 8);
    spool_deinit(&spool);
}

static void one_byte_more_goes_to_the_file_and_is_read_back_in_order(void **state) {
    struct spool spool;
    char out[64];

    spool_init(&spool, "/tmp", 8);
    assert_int_equal(put(&spool, "12345678", 8), 0);
    assert_int_equal(put(&spool, "9", 1), 0);
    assert_true(spool.fd >= 0);
    assert_int_equal(spool.file_size, 9);
    assert_int_equal(spool.memory.len, 0);
    assert_int_equal(put(&spool, "abc", 3), 0);
    assert_int_equal(spool_size(&spool), 12);
    assert_int_equal(read_all(&spool, out, 5), 12);
    assert_memory_equal(out, "123456789abc", 12);
    spool_deinit(&spool);
}

static void the_file_has_no_name_and_is_gone_with_the_spool(void **state) {
    char dir[] = "/tmp/spool-test.XXXXXX";
    struct spool spool;

    assert_non_null(mkdtemp(dir));
    spool_init(&spool, dir, 0);
    assert_int_equal(put(&spool, "x", 1), 0);
    assert_true(spool.fd >= 0);
    assert_int_equal(rmdir(dir), 0); /* empty: nothing in it has a name */
    spool_deinit(&spool);
    assert_int_equal(spool.fd, -1);
}

static void a_folder_that_cannot_be_written_to_is_an_error_not_a_short_message(void **state) {
    struct spool spool;

    spool_init(&spool, "/nonexistent", 2);
    assert_int_equal(put(&spool, "ab", 2), 0);
    assert_int_equal(put(&spool, "c", 1), -ENOENT);
    spool_deinit(&spool);
}

static void a_file_that_was_cut_is_an_error_when_read(void **state) {
    struct spool spool;
    char scratch[8];
    const char *at = NULL;

    spool_init(&spool, "/tmp", 0);
    assert_int_equal(put(&spool, "abc", 3), 0);
    assert_int_equal(ftruncate(spool.fd, 0), 0);
    assert_int_equal(spool_read(&spool, 0, scratch, sizeof(scratch), &at), -EIO);
    spool_deinit(&spool);
}

static void room_is_given_up_to_its_bound_and_not_past_it(void **state) {
    struct spool spool;

    spool_init(&spool, "/tmp", 16);
    assert_non_null(spool_room(&spool, SPOOL_ROOM_MAX));
    assert_null(spool_room(&spool, SPOOL_ROOM_MAX + 1));
    spool_deinit(&spool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_of_exactly_the_maximum_stays_in_memory),
        cmocka_unit_test(one_byte_more_goes_to_the_file_and_is_read_back_in_order),
        cmocka_unit_test(the_file_has_no_name_and_is_gone_with_the_spool),
        cmocka_unit_test(a_folder_that_cannot_be_written_to_is_an_error_not_a_short_message),
        cmocka_unit_test(a_file_that_was_cut_is_an_error_when_read),
        cmocka_unit_test(room_is_given_up_to_its_bound_and_not_past_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
