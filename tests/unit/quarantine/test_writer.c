/*
 * A message that is put is on the disk when that is said, and stays or goes as it is settled, whoever leaves meanwhile.
 */
#include "quarantine/writer.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct stage {
    char path[64];
    struct loop *loop;
    struct quarantine *quarantine;
    struct spool spool;
    unsigned n_done, n_trouble;
    _Atomic bool folder_fails; /* to sync */
    _Atomic unsigned file_syncs, folder_syncs, named_before_synced, told_before_named;
    enum quarantine_result result;
} t;

/* How many files have this ending, or all. */
static unsigned n_files(const char *ending) {
    unsigned n = 0;
    DIR *dir = opendir(t.path);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        n += entry->d_name[0] != '.' && str_ends_nocase(str_of(entry->d_name), str_of(ending));
    closedir(dir);
    return n;
}

/* The C library's, but for a folder that fails. Notes what is synced when. */
int fsync(int fd) {
    struct stat info;
    bool is_folder = fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
    if (t.folder_fails && is_folder) {
        errno = EIO;
        return -1;
    }
    t.file_syncs += !is_folder;
    t.folder_syncs += is_folder;
    t.named_before_synced += !is_folder && n_files("") > 0;
    t.told_before_named += is_folder && t.n_done > 0;
    return (int)syscall(SYS_fsync, fd);
}

static void on_trouble(void *arg, struct str what) {
    t.n_trouble++;
}

static void on_done(void *arg, enum quarantine_result result) {
    t.n_done++;
    t.result = result;
}

static void start(uint64_t size_max) {
    const struct quarantine_settings settings = { .path = t.path, .size_max = size_max, .on_trouble = on_trouble };
    assert_int_equal(quarantine_start(t.loop, &settings, &t.quarantine), 0);
}

static void fill(size_t memory_max, size_t len) {
    spool_init(&t.spool, "/tmp", memory_max);
    for (size_t at = 0; at < len; at += 1000) {
        char *room = spool_room(&t.spool, 1000);
        memset(room, 'a' + (int)(at / 1000 % 26), 1000);
        assert_int_equal(spool_wrote(&t.spool, 1000), 0);
    }
}

static int set_up(void **state) {
    t = (struct stage){ .n_done = 0 };
    snprintf(t.path, sizeof(t.path), "/tmp/postern-writer-XXXXXX");
    assert_non_null(mkdtemp(t.path));
    assert_int_equal(loop_new(&t.loop), 0);
    start(1 << 20);
    fill(1 << 20, 5000);
    return 0;
}

static int tear_down(void **state) {
    char command[96];
    quarantine_stop(t.quarantine);
    loop_free(t.loop);
    spool_deinit(&t.spool);
    snprintf(command, sizeof(command), "rm -r %s", t.path);
    return system(command);
}

static struct quarantine_put *put(const char *id) {
    static const struct str recipient = STR_INIT("anna@example.com");
    const struct quarantine_entry entry = { .id = str_of(id), .recipients = &recipient,
                                             .addresses = &recipient, .n_recipients = 1 };
    return quarantine_put_start(t.quarantine, &entry, &t.spool, on_done, NULL);
}

/* By the clock: the disk takes its time. */
static bool turn_until(bool (*is_so)(void)) {
    for (uint64_t until = clock_ms() + 20000; clock_ms() < until;) {
        if (is_so())
            return true;
        assert_int_equal(loop_turn(t.loop, 10), 0);
    }
    return false;
}

static bool is_done(void) {
    return t.n_done > 0;
}

static bool is_kept(void) {
    return n_files(".mail") == 1 && n_files("") == 1;
}

static bool is_empty(void) {
    return n_files("") == 0;
}

static bool is_counted(void) {
    return quarantine_counters(t.quarantine).kept == 1;
}

static bool is_counted_empty(void) {
    struct quarantine_counters counters = quarantine_counters(t.quarantine);
    return counters.counted_ms > 0 && counters.messages + counters.pending + counters.bytes == 0;
}

static void pending_until_it_is_settled(void **state) {
    struct quarantine_put *one = put("a1.1");
    assert_non_null(one);
    assert_int_equal(t.n_done, 0); /* never inside the call */
    assert_true(turn_until(is_done));
    assert_int_equal(t.result, QUARANTINE_DONE);
    assert_int_equal(n_files(".pending"), 1);
    assert_int_equal(quarantine_counters(t.quarantine).pending, 1);
    assert_int_equal(quarantine_counters(t.quarantine).kept, 0);
    quarantine_settle(one, true);
    assert_true(turn_until(is_kept));
    assert_int_equal(t.n_trouble, 0);
    assert_true(turn_until(is_counted));
    struct quarantine_counters counters = quarantine_counters(t.quarantine);
    assert_int_equal(counters.messages, 1);
    assert_int_equal(counters.pending, 0);
    assert_in_range(counters.bytes, 5000, 5500);
    assert_int_equal(counters.failed, 0);
}

/* A file that has a name is whole, and has it for good, before anybody is told: whatever crashes when. */
static void the_file_is_synced_then_its_name_then_it_is_told(void **state) {
    struct quarantine_put *one = put("a1.1");
    assert_true(turn_until(is_done));
    assert_int_equal(t.file_syncs, 1);
    assert_int_equal(t.folder_syncs, 1);
    assert_int_equal(t.named_before_synced + t.told_before_named, 0);
    quarantine_settle(one, true);
    assert_true(turn_until(is_counted));
    assert_int_equal(t.folder_syncs, 2);
}

static void settled_the_other_way_it_is_gone(void **state) {
    struct quarantine_put *one = put("a1.1");
    assert_true(turn_until(is_done));
    quarantine_settle(one, false);
    assert_true(turn_until(is_empty));
    assert_true(turn_until(is_counted_empty));
}

static void who_leaves_while_it_is_written_hears_nothing(void **state) {
    quarantine_settle(put("a1.1"), false);
    quarantine_settle(put("a1.2"), true);
    assert_true(turn_until(is_kept));
    assert_int_equal(t.n_done, 0);
}

static void the_text_is_what_it_was_wherever_it_was_kept(void **state) {
    char name[128];
    struct stat info;
    spool_deinit(&t.spool);
    fill(3000, 50000); /* some of it in a file */
    struct quarantine_put *one = put("a1.1");
    spool_deinit(&t.spool); /* the session has gone */
    fill(1000, 0);
    assert_true(turn_until(is_done));
    quarantine_settle(one, true);
    assert_true(turn_until(is_kept));
    snprintf(name, sizeof(name), "%s/a1.1.mail", t.path);
    assert_int_equal(stat(name, &info), 0);
    FILE *file = fopen(name, "r");
    assert_int_equal(fseek(file, info.st_size - 50000, SEEK_SET), 0);
    for (int i = 0; i < 50000; i++)
        assert_int_equal(fgetc(file), 'a' + i / 1000 % 26);
    fclose(file);
}

static void past_its_size_there_is_no_room(void **state) {
    quarantine_stop(t.quarantine);
    start(8000);
    struct quarantine_put *one = put("a1.1");
    assert_true(turn_until(is_done));
    quarantine_settle(one, true);
    assert_true(turn_until(is_kept));
    t.n_done = 0;
    put("a1.2");
    assert_true(turn_until(is_done));
    assert_int_equal(t.result, QUARANTINE_NO_ROOM);
    assert_int_equal(t.n_trouble, 1);
    assert_int_equal(quarantine_counters(t.quarantine).failed, 1);
    assert_true(is_kept());
}

static void keep_one(const char *id, enum quarantine_result expected) {
    t.n_done = 0;
    struct quarantine_put *one = put(id);
    assert_true(turn_until(is_done));
    assert_int_equal(t.result, expected);
    if (expected == QUARANTINE_DONE)
        quarantine_settle(one, true);
}

static void its_size_is_filled_to_the_byte(void **state) {
    keep_one("a1.1", QUARANTINE_DONE);
    assert_true(turn_until(is_counted));
    uint64_t one = quarantine_counters(t.quarantine).bytes;
    quarantine_stop(t.quarantine);
    start(2 * one - 1);
    keep_one("a1.2", QUARANTINE_NO_ROOM);
    quarantine_stop(t.quarantine);
    start(2 * one);
    keep_one("a1.2", QUARANTINE_DONE);
    keep_one("a1.3", QUARANTINE_NO_ROOM);
    assert_true(turn_until(is_counted));
    assert_int_equal(n_files(".mail"), 2);
}

static void a_folder_that_is_gone_is_told(void **state) {
    assert_int_equal(rmdir(t.path), 0);
    put("a1.1");
    assert_true(turn_until(is_done));
    assert_int_equal(t.result, QUARANTINE_BROKEN);
    assert_int_equal(t.n_trouble, 1);
    assert_int_equal(mkdir(t.path, 0700), 0);
}

/* The message is written, and its name is not sure to outlive a crash: as good as not written. */
static void a_folder_that_cannot_be_synced_keeps_nothing(void **state) {
    t.folder_fails = true;
    put("a1.1");
    assert_true(turn_until(is_done));
    assert_int_equal(t.result, QUARANTINE_BROKEN);
    assert_int_equal(t.n_trouble, 1);
    assert_true(is_empty());
    assert_true(is_counted_empty());
}

static bool is_known_to_be_broken(void) {
    return quarantine_counters(t.quarantine).is_broken;
}

/* status should say so before there is something to keep. */
static void a_folder_that_goes_away_is_noticed(void **state) {
    const struct quarantine_settings settings = { .path = t.path, .size_max = 1 << 20, .expires = true, .look_ms = 20,
                                                  .on_trouble = on_trouble };
    quarantine_stop(t.quarantine);
    assert_int_equal(quarantine_start(t.loop, &settings, &t.quarantine), 0);
    assert_true(turn_until(is_counted_empty));
    assert_false(is_known_to_be_broken());
    assert_int_equal(rmdir(t.path), 0);
    assert_true(turn_until(is_known_to_be_broken));
    assert_int_equal(mkdir(t.path, 0700), 0);
}

static void make_old(const char *name, int64_t age_s) {
    const struct timespec then = { .tv_sec = time(NULL) - age_s };
    const struct timespec times[] = { then, then };
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", t.path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_swept(void) {
    char path[160];
    snprintf(path, sizeof(path), "%s/.a1.9.tmp", t.path);
    return is_empty() && access(path, F_OK) < 0;
}

/* Also where no mail comes that would have to be kept. */
static void old_ones_go_by_themselves(void **state) {
    const struct quarantine_settings settings = { .path = t.path, .size_max = 1 << 20, .keep_s = 100, .expires = true,
                                                  .look_ms = 20, .on_trouble = on_trouble };
    quarantine_stop(t.quarantine);
    assert_int_equal(quarantine_start(t.loop, &settings, &t.quarantine), 0);
    make_old("a1.1.mail", 50);
    make_old("a1.2.mail", 200);
    assert_true(turn_until(is_kept));
    make_old("a1.1.mail", 200);
    make_old(".a1.9.tmp", QUARANTINE_PENDING_S + 10);
    assert_true(turn_until(is_swept));
    assert_true(turn_until(is_counted_empty));
}

/* A worker died with it pending; the sender comes again, to the next one. */
static void a_retry_replaces_what_was_left_behind(void **state) {
    put("a1.1");
    assert_true(turn_until(is_done));
    quarantine_stop(t.quarantine);
    assert_int_equal(n_files(".pending"), 1);
    start(1 << 20);
    t.n_done = 0;
    struct quarantine_put *again = put("a1.2");
    assert_true(turn_until(is_done));
    assert_int_equal(n_files(".pending"), 1);
    quarantine_settle(again, true);
    assert_true(turn_until(is_kept));
}

/* Two clients send the same at the same time: neither takes the other's away. */
static void one_that_is_under_way_is_left_alone(void **state) {
    struct quarantine_put *one = put("a1.1");
    assert_true(turn_until(is_done));
    t.n_done = 0;
    struct quarantine_put *other = put("a1.2");
    assert_true(turn_until(is_done));
    assert_int_equal(n_files(".pending"), 2);
    quarantine_settle(other, false);
    quarantine_settle(one, true);
    assert_true(turn_until(is_kept));
}

static void what_was_asked_for_is_done_at_the_end(void **state) {
    struct quarantine_put *one = put("a1.1");
    assert_true(turn_until(is_done));
    quarantine_settle(one, true);
    quarantine_settle(put("a1.2"), false);
    quarantine_stop(t.quarantine);
    t.quarantine = NULL;
    assert_true(is_kept());
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(pending_until_it_is_settled),
        TEST(the_file_is_synced_then_its_name_then_it_is_told),
        TEST(settled_the_other_way_it_is_gone),
        TEST(who_leaves_while_it_is_written_hears_nothing),
        TEST(the_text_is_what_it_was_wherever_it_was_kept),
        TEST(past_its_size_there_is_no_room),
        TEST(its_size_is_filled_to_the_byte),
        TEST(a_folder_that_is_gone_is_told),
        TEST(a_folder_that_cannot_be_synced_keeps_nothing),
        TEST(a_folder_that_goes_away_is_noticed),
        TEST(old_ones_go_by_themselves),
        TEST(a_retry_replaces_what_was_left_behind),
        TEST(one_that_is_under_way_is_left_alone),
        TEST(what_was_asked_for_is_done_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
