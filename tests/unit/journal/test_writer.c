/*
 * writer: whole lines on a good disk, counted ones on a full disk.
 *
 * write(2) is the test's own: it hands on to the real one as many bytes as the disk of the test has left.
 */
#include "journal/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static size_t disk_left = SIZE_MAX;
static unsigned interruptions;

ssize_t write(int fd, const void *data, size_t len) {
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (disk_left == 0 && len > 0) {
        errno = ENOSPC;
        return -1;
    }
    len = len < disk_left ? len : disk_left;
    disk_left -= disk_left == SIZE_MAX ? 0 : len;
    return writev(fd, &(struct iovec){ (void *)data, len }, 1);
}

static int new_file(void) {
    char path[] = "/tmp/postern-writer-XXXXXX";
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

static char text[2 * JOURNAL_BUFFER];

static const char *text_of(int fd) {
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static unsigned count(const char *at, const char *what) {
    unsigned n = 0;
    for (; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static int heal_disk(void **state) {
    disk_left = SIZE_MAX;
    return 0;
}

static void lines_reach_the_file_at_the_flush(void **state) {
    struct journal journal;
    int fd = new_file();
    journal_init(&journal, dup(fd));
    buf_puts(&journal.out, STR("{\"a\":1}\n{\"b\":2}\n"));
    assert_string_equal(text_of(fd), "");
    interruptions = 2;
    assert_int_equal(journal_flush(&journal), 0);
    assert_int_equal(interruptions, 0);
    assert_string_equal(text_of(fd), "{\"a\":1}\n{\"b\":2}\n");
    assert_int_equal(journal.written, 16);
    assert_int_equal(journal.out.len, 0);
    buf_puts(&journal.out, STR("{}\n"));
    journal_deinit(&journal);
    assert_string_equal(text_of(fd), "{\"a\":1}\n{\"b\":2}\n{}\n");
    close(fd);
}

static void without_a_file_lines_are_forgotten(void **state) {
    struct journal journal;
    journal_init(&journal, -1);
    buf_puts(&journal.out, STR("{}\n"));
    assert_int_equal(journal_flush(&journal), 0);
    assert_int_equal(journal.out.len, 0);
    assert_int_equal(journal.lost, 0);
    journal_deinit(&journal);
}

static void a_short_write_is_continued_in_the_same_file(void **state) {
    struct journal journal;
    int fd = new_file();
    journal_init(&journal, dup(fd));
    buf_puts(&journal.out, STR("{\"a\":1}\n{\"b\":2}\n"));
    disk_left = 11;
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    assert_true(str_eq(buf_str(&journal.out), STR("{\"b\":2}\n")));
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    disk_left = 1;
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    disk_left = SIZE_MAX;
    buf_puts(&journal.out, STR("{\"c\":3}\n"));
    assert_int_equal(journal_flush(&journal), 0);
    assert_string_equal(text_of(fd), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    assert_int_equal(journal.written, 24);
    journal_deinit(&journal);
    close(fd);
}

static void a_line_torn_by_rotation_is_whole_in_the_new_file(void **state) {
    struct journal journal;
    int old = new_file(), new = new_file();
    journal_init(&journal, dup(old));
    buf_puts(&journal.out, STR("{\"a\":1}\n{\"b\":2}\n"));
    disk_left = 11;
    journal_swap(&journal, dup(new));
    assert_string_equal(text_of(old), "{\"a\":1}\n{\"b");
    assert_int_equal(journal.written, 11);
    disk_left = SIZE_MAX;
    assert_int_equal(journal_flush(&journal), 0);
    assert_string_equal(text_of(new), "{\"b\":2}\n");
    journal_deinit(&journal);
    close(old);
    close(new);
}

/* Puts lines of 64 bytes until `len` bytes have gathered. */
static void fill(struct journal *journal, size_t len) {
    for (unsigned i = 0; journal->out.len < len; i++)
        assert_int_equal(buf_putf(&journal->out, "{\"line\":%054u}\n", i), 0);
}

static void a_full_disk_keeps_half_and_counts_the_rest(void **state) {
    struct journal journal;
    int fd = new_file();
    journal_init(&journal, dup(fd));
    disk_left = 0;
    fill(&journal, JOURNAL_BUFFER / 2);
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    assert_int_equal(journal.out.len, JOURNAL_BUFFER / 2);
    assert_int_equal(journal.lost, 0);
    fill(&journal, JOURNAL_BUFFER / 2 + 64);
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    assert_int_equal(journal.out.len, JOURNAL_BUFFER / 2);
    assert_int_equal(journal.lost, 1);
    fill(&journal, JOURNAL_BUFFER);
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    assert_int_equal(journal.lost, 1 + JOURNAL_BUFFER / 2 / 64);
    disk_left = SIZE_MAX;
    assert_int_equal(journal_flush(&journal), 0);
    assert_int_equal(count(text_of(fd), "{\"line\":"), JOURNAL_BUFFER / 2 / 64);
    const char *last = text + JOURNAL_BUFFER / 2;
    assert_int_equal(strncmp(last, "{\"time\":\"20", 11), 0);
    assert_string_equal(last + 9 + 24 + 1, ",\"lost\":8193}\n");
    assert_int_equal(journal.lost, 0);
    assert_int_equal(journal_flush(&journal), 0);
    assert_int_equal(count(text_of(fd), "\"lost\""), 1);
    journal_deinit(&journal);
    close(fd);
}

static void a_line_in_the_file_in_part_is_never_dropped(void **state) {
    struct journal journal;
    int fd = new_file();
    journal_init(&journal, dup(fd));
    char *at = buf_room(&journal.out, JOURNAL_BUFFER - 3);
    memset(at, 'x', JOURNAL_BUFFER - 4);
    at[JOURNAL_BUFFER - 4] = '\n';
    journal.out.len = JOURNAL_BUFFER - 3;
    buf_puts(&journal.out, STR("{}\n"));
    disk_left = 1;
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    assert_int_equal(journal.out.len, JOURNAL_BUFFER - 3);
    assert_int_equal(journal.lost, 1);
    disk_left = SIZE_MAX;
    assert_int_equal(journal_flush(&journal), 0);
    assert_int_equal(strspn(text_of(fd), "x"), JOURNAL_BUFFER - 4);
    assert_int_equal(count(text, "\n"), 2);
    journal_deinit(&journal);
    close(fd);
}

static void the_kernels_own_full_device_is_survived(void **state) {
    struct journal journal;
    int fd = new_file();
    journal_init(&journal, open("/dev/full", O_WRONLY | O_CLOEXEC));
    buf_puts(&journal.out, STR("{}\n"));
    assert_int_equal(journal_flush(&journal), -ENOSPC);
    journal.lost++; /* as the worker does when record_end() fails */
    journal_swap(&journal, dup(fd));
    assert_int_equal(journal_flush(&journal), 0);
    assert_int_equal(strncmp(text_of(fd), "{}\n{\"time\":", 11), 0);
    assert_non_null(strstr(text, ",\"lost\":1}\n"));
    journal_deinit(&journal);
    close(fd);
}

static void a_slow_reader_costs_no_line_before_the_buffer_is_full(void **state) {
    struct journal journal;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    journal_init(&journal, ends[1]);
    fill(&journal, JOURNAL_BUFFER);
    assert_int_equal(journal_flush(&journal), -EAGAIN);
    size_t left = journal.out.len;
    assert_true(left > JOURNAL_BUFFER / 2);
    assert_int_equal(journal_flush(&journal), -EAGAIN);
    assert_int_equal(journal.out.len, left);
    assert_int_equal(journal.lost, 0);
    assert_int_equal(journal.written + left - journal.begun, JOURNAL_BUFFER);
    close(ends[0]);
    assert_int_equal(journal_flush(&journal), -EPIPE); /* now nobody will read what was kept for long */
    assert_true(journal.lost > 0);
    journal_deinit(&journal);
}

static void a_line_that_has_not_ended_waits_for_its_end(void **state) {
    struct journal journal;
    int fd = new_file();
    journal_init(&journal, dup(fd));
    buf_puts(&journal.out, STR("{\"a\":1}\n{\"b\""));
    assert_int_equal(journal_write(&journal), 0);
    assert_string_equal(text_of(fd), "{\"a\":1}\n");
    buf_puts(&journal.out, STR(":2}\n"));
    assert_int_equal(journal_write(&journal), 0);
    assert_string_equal(text_of(fd), "{\"a\":1}\n{\"b\":2}\n");
    journal_deinit(&journal);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(lines_reach_the_file_at_the_flush, heal_disk),
        cmocka_unit_test_teardown(without_a_file_lines_are_forgotten, heal_disk),
        cmocka_unit_test_teardown(a_short_write_is_continued_in_the_same_file, heal_disk),
        cmocka_unit_test_teardown(a_line_torn_by_rotation_is_whole_in_the_new_file, heal_disk),
        cmocka_unit_test_teardown(a_full_disk_keeps_half_and_counts_the_rest, heal_disk),
        cmocka_unit_test_teardown(a_line_in_the_file_in_part_is_never_dropped, heal_disk),
        cmocka_unit_test_teardown(a_slow_reader_costs_no_line_before_the_buffer_is_full, heal_disk),
        cmocka_unit_test_teardown(a_line_that_has_not_ended_waits_for_its_end, heal_disk),
        cmocka_unit_test_teardown(the_kernels_own_full_device_is_survived, heal_disk),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
