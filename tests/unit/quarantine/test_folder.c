/*
 * The names in the folder say the state, and a change of state is made by one alone.
 */
#include "quarantine/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];
static int folder = -1;

static int set_up(void **state) {
    snprintf(path, sizeof(path), "/tmp/postern-folder-XXXXXX");
    assert_non_null(mkdtemp(path));
    folder = open(path, O_RDONLY | O_DIRECTORY);
    return folder < 0;
}

static int tear_down(void **state) {
    char command[96];
    close(folder);
    snprintf(command, sizeof(command), "rm -r %s", path);
    return system(command);
}

static void make(const char *name, int64_t age_s) {
    const struct timespec then = { .tv_sec = time(NULL) - age_s };
    const struct timespec times[] = { then, then };
    int fd = openat(folder, name, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0 && write(fd, "postern quarantine 1\nid: a1.2\nrecipient: x@y\n\ntext", 51) > 0);
    close(fd);
    assert_int_equal(utimensat(folder, name, times, 0), 0);
}

struct seen {
    unsigned n, by_state[QUARANTINE_RELEASED + 1];
};

static int on_file(void *arg, const struct quarantine_file *file) {
    struct seen *seen = arg;
    seen->n++;
    seen->by_state[file->state]++;
    return 0;
}

static struct seen look(void) {
    struct seen seen = { 0 };
    assert_int_equal(quarantine_each(folder, time(NULL), on_file, &seen), 0);
    return seen;
}

static void names_say_the_state(void **state) {
    make("a1.1.mail", 0);
    make("a1.2.0123456789abcdef.pending", 0);
    make("a1.3.0123456789abcdef.pending", QUARANTINE_PENDING_S + 10);
    make("a1.4.releasing", 0);
    make("a1.5.released", 0);
    struct seen seen = look();
    assert_int_equal(seen.n, 5);
    for (int i = QUARANTINE_KEPT; i <= QUARANTINE_RELEASED; i++)
        assert_int_equal(seen.by_state[i], 1);
    struct quarantine_file file;
    assert_int_equal(quarantine_find(folder, "a1.3", time(NULL), &file), 1);
    assert_string_equal(file.name, "a1.3.0123456789abcdef.pending");
    assert_int_equal(quarantine_find(folder, "a1.6", time(NULL), &file), 0);
    assert_int_equal(quarantine_find(folder, "../etc/passwd", time(NULL), &file), 0);
}

/* Whoever was writing them has died. */
static void what_was_never_finished_is_swept_away(void **state) {
    make(".a1.1.tmp", QUARANTINE_PENDING_S + 10);
    make(".a1.2.tmp", 0);
    make(".a1.3.0123456789abcdef.tmp", QUARANTINE_PENDING_S + 10);
    make("a1.4.tmp", QUARANTINE_PENDING_S + 10);
    make(".tmp", QUARANTINE_PENDING_S + 10);
    assert_int_equal(quarantine_sweep(folder, time(NULL)), 1);
    assert_int_equal(faccessat(folder, ".a1.1.tmp", F_OK, 0), -1);
    assert_int_equal(faccessat(folder, ".a1.2.tmp", F_OK, 0), 0);
    assert_int_equal(faccessat(folder, "a1.4.tmp", F_OK, 0), 0);
}

static void what_is_not_ours_is_left_alone(void **state) {
    make(".a1.1.tmp", 0);
    make("README", 0);
    make("mail", 0);
    make(".mail", 0);
    make("a1.mail", 0);
    make("a1.2.3.mail", 0);
    make("a b.2.mail", 0);
    make("a1.2.mail.bak", 0);
    assert_int_equal(mkdirat(folder, "a1.9.mail", 0700), 0);
    assert_int_equal(symlinkat("/etc/passwd", folder, "a1.8.mail"), 0);
    assert_int_equal(look().n, 0);
    assert_int_equal(quarantine_expire(folder, time(NULL) + 1000, time(NULL)), 0);
}

static void of_two_who_change_a_state_one_succeeds(void **state) {
    struct quarantine_file file;
    make("a1.1.mail", 0);
    assert_int_equal(quarantine_find(folder, "a1.1", time(NULL), &file), 1);
    assert_int_equal(quarantine_rename(folder, &file, QUARANTINE_RELEASING), 0);
    assert_int_equal(quarantine_rename(folder, &file, QUARANTINE_RELEASING), -ENOENT);
    assert_int_equal(quarantine_find(folder, "a1.1", time(NULL), &file), 1);
    assert_int_equal(file.state, QUARANTINE_RELEASING);
    assert_int_equal(quarantine_rename(folder, &file, QUARANTINE_RELEASED), 0);
    assert_int_equal(look().by_state[QUARANTINE_RELEASED], 1);
}

static void old_ones_expire_but_for_those_that_are_busy(void **state) {
    make("a1.1.mail", 100);
    make("a1.2.mail", 10);
    make("a1.3.released", 100);
    make("a1.4.releasing", 100);
    make("a1.5.0123456789abcdef.pending", 100);
    make("a1.6.0123456789abcdef.pending", QUARANTINE_PENDING_S + 100); /* of a worker that is dead */
    int64_t now = time(NULL);
    assert_int_equal(quarantine_expire(folder, now - 50, now), 3);
    assert_int_equal(look().n, 3);
    assert_int_equal(look().by_state[QUARANTINE_RELEASING], 1);
}

static void what_expires_was_written_before_the_moment(void **state) {
    int64_t now = time(NULL);
    for (int i = 0; i < 2; i++) {
        struct timespec times[2] = { { .tv_sec = now - 1000 - i }, { .tv_sec = now - 1000 - i } };
        const char *name = i == 0 ? "a1.1.mail" : "a1.2.mail";
        make(name, 0);
        assert_int_equal(utimensat(folder, name, times, 0), 0);
    }
    assert_int_equal(quarantine_expire(folder, now - 1000, now), 1);
    assert_int_equal(faccessat(folder, "a1.1.mail", F_OK, 0), 0);
}

static void what_a_release_left_behind_expires_a_day_later(void **state) {
    make("a1.1.releasing", 50 + QUARANTINE_RELEASING_S - 30);
    make("a1.2.releasing", 50 + QUARANTINE_RELEASING_S + 30);
    assert_int_equal(quarantine_expire(folder, time(NULL) - 50, time(NULL)), 1);
    assert_int_equal(faccessat(folder, "a1.1.releasing", F_OK, 0), 0);
}

static void an_open_file_is_read_behind_its_head(void **state) {
    struct arena arena = { 0 };
    struct quarantine_entry entry;
    size_t text_at;
    char text[8] = "";
    make("a1.2.mail", 0);
    int fd = quarantine_open(folder, "a1.2.mail", &arena, &entry, &text_at);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, text, 4, (off_t)text_at), 4);
    assert_string_equal(text, "text");
    close(fd);
    fd = openat(folder, "a1.3.mail", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "nonsense\n\n", 10), 10);
    close(fd);
    assert_int_equal(quarantine_open(folder, "a1.3.mail", &arena, &entry, &text_at), -EBADMSG);
    assert_int_equal(quarantine_open(folder, "a1.4.mail", &arena, &entry, &text_at), -ENOENT);
    arena_reset(&arena);
}

/* A worker may write into the folder; whoever reads it, root perhaps, neither waits nor believes. */
static void what_is_no_file_of_ours_is_not_waited_for_and_not_believed(void **state) {
    struct arena arena = { 0 };
    struct quarantine_entry entry;
    size_t text_at;
    assert_int_equal(mkfifoat(folder, "a1.2.mail", 0600), 0);
    assert_int_equal(quarantine_open(folder, "a1.2.mail", &arena, &entry, &text_at), -EBADMSG);
    assert_null(entry.malformed);
    assert_int_equal(symlinkat("/etc/passwd", folder, "a1.3.mail"), 0);
    assert_int_equal(quarantine_open(folder, "a1.3.mail", &arena, &entry, &text_at), -ELOOP);
    make("a1.4.mail", 0);
    assert_int_equal(renameat(folder, "a1.4.mail", folder, "a1.5.mail"), 0);
    assert_int_equal(quarantine_open(folder, "a1.5.mail", &arena, &entry, &text_at), -EBADMSG);
    assert_string_equal(entry.malformed, "id");
    arena_reset(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(names_say_the_state),
        TEST(what_is_not_ours_is_left_alone),
        TEST(what_was_never_finished_is_swept_away),
        TEST(of_two_who_change_a_state_one_succeeds),
        TEST(old_ones_expire_but_for_those_that_are_busy),
        TEST(what_expires_was_written_before_the_moment),
        TEST(what_a_release_left_behind_expires_a_day_later),
        TEST(an_open_file_is_read_behind_its_head),
        TEST(what_is_no_file_of_ours_is_not_waited_for_and_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
