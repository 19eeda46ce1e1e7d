/* files: names, rotation, real compression and decompression, and what is left alone. */
#include "journal/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { DAY_MS = 86400000 };

static const uint64_t NOW = 1795301082123; /* 2026-11-21 22:44:42 */
static char folder[32];

static int make_folder(void **state) {
    strcpy(folder, "/tmp/postern-files-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static bool exists(const char *name) {
    return access(path_of(name), F_OK) == 0;
}

static void make_file(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_named_by_time_and_process_and_readable_by_its_group(void **state) {
    struct buf path;
    struct stat st;
    buf_init(&path, 256);
    mode_t before = umask(077);
    int fd = journal_files_open(folder, 7, NOW, &path);
    umask(before);
    assert_true(fd >= 0);
    assert_string_equal(path.at, path_of("postern-20261121-224442-007.jsonl"));
    assert_int_equal(path.len, strlen(path.at));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE), O_APPEND | O_WRONLY);
    close(fd);
    buf_deinit(&path);
}

static void a_second_file_of_the_same_second_gets_the_next_name(void **state) {
    struct buf path;
    buf_init(&path, 256);
    close(journal_files_open(folder, 7, NOW, &path));
    int fd = journal_files_open(folder, 7, NOW, &path);
    assert_true(fd >= 0);
    assert_string_equal(path.at, path_of("postern-20261121-224443-007.jsonl"));
    close(fd);
    buf_deinit(&path);
}

static void opening_says_what_is_wrong(void **state) {
    struct buf path;
    buf_init(&path, 256);
    assert_int_equal(journal_files_open("/nonexistent", 7, NOW, &path), -ENOENT);
    buf_deinit(&path);
    buf_init(&path, 10);
    assert_int_equal(journal_files_open(folder, 7, NOW, &path), -ENOBUFS);
    buf_deinit(&path);
}

static void a_file_is_due_by_size_by_day_or_when_it_is_gone(void **state) {
    make_file("postern-20261121-000000-001.jsonl", "12345678");
    char path[128];
    strcpy(path, path_of("postern-20261121-000000-001.jsonl"));
    assert_false(journal_files_is_due(path, 8, NOW));
    assert_true(journal_files_is_due(path, 7, NOW));
    assert_false(journal_files_is_due(path, 0, NOW));
    assert_false(journal_files_is_due(path, 8, NOW / DAY_MS * DAY_MS + DAY_MS - 1));
    assert_true(journal_files_is_due(path, 8, NOW / DAY_MS * DAY_MS + DAY_MS));
    unlink(path);
    assert_true(journal_files_is_due(path, 8, NOW));
}

/* Unpacks the file and compares it with what went in. */
static void assert_unpacks_to(const char *name, const char *expected, size_t len) {
    FILE *file = fopen(path_of(name), "r");
    assert_non_null(file);
    char *packed = malloc(len + 1024), *text = malloc(len + 1);
    size_t packed_len = fread(packed, 1, len + 1024, file);
    assert_int_equal(ZSTD_decompress(text, len + 1, packed, packed_len), len);
    assert_memory_equal(text, expected, len);
    free(packed);
    free(text);
    fclose(file);
}

static void compressing_gives_the_same_bytes_back_and_removes_the_original(void **state) {
    static const char name[] = "postern-20261121-000000-001.jsonl", packed[] = "postern-20261121-000000-001.jsonl.zst";
    static const size_t sizes[] = { 0, 1, 131072, 700001 }; /* libzstd's blocks are of 128 KiB */
    char *text = malloc(700002);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct stat st;
        for (size_t j = 0; j < sizes[i]; j++)
            text[j] = "0123456789abcdef"[j * 2654435761u >> 7 & 15];
        text[sizes[i]] = '\0';
        make_file(name, text);
        assert_int_equal(chmod(path_of(name), 0640), 0);
        assert_int_equal(journal_files_compress(path_of(name)), 0);
        assert_false(exists(name));
        assert_false(exists("postern-20261121-000000-001.jsonl.zst.tmp"));
        assert_unpacks_to(packed, text, sizes[i]);
        assert_int_equal(stat(path_of(packed), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0640);
    }
    free(text);
}

static void what_cannot_be_compressed_stays(void **state) {
    static const char name[] = "postern-20261121-000000-001.jsonl";
    assert_int_equal(journal_files_compress(path_of(name)), -ENOENT);
    make_file(name, "{}\n");
    assert_int_equal(mkdir(path_of("postern-20261121-000000-001.jsonl.zst"), 0700), 0);
    assert_int_equal(journal_files_compress(path_of(name)), -EISDIR);
    assert_true(exists(name));
    assert_false(exists("postern-20261121-000000-001.jsonl.zst.tmp"));
}

static void tidying_compresses_what_is_closed_and_leaves_what_is_live_or_not_ours(void **state) {
    struct buf path;
    buf_init(&path, 256);
    make_file("postern-20261121-100000-001.jsonl", "closed\n");
    int live = journal_files_open(folder, 2, NOW - 3600000, &path);
    assert_true(live >= 0);
    make_file("postern-20261121-224342-003.jsonl", "closed\n");
    make_file("postern-20261121-224343-003.jsonl", "begun within the minute\n");
    make_file("postern-2026-1121-10000-001.jsonl", "not ours\n");
    make_file("notes.jsonl", "not ours\n");
    make_file("postern-20261121-100000-.jsonl", "not ours\n");
    assert_int_equal(journal_files_tidy(folder, 30, NOW), 0);
    assert_false(exists("postern-20261121-100000-001.jsonl"));
    assert_unpacks_to("postern-20261121-100000-001.jsonl.zst", "closed\n", 7);
    assert_unpacks_to("postern-20261121-224342-003.jsonl.zst", "closed\n", 7);
    assert_int_equal(access(path.at, F_OK), 0);
    assert_true(exists("postern-20261121-224343-003.jsonl"));
    assert_true(exists("postern-2026-1121-10000-001.jsonl"));
    assert_true(exists("notes.jsonl"));
    assert_true(exists("postern-20261121-100000-.jsonl"));
    close(live); /* the last who could write to it */
    assert_int_equal(journal_files_tidy(folder, 30, NOW), 0);
    assert_int_equal(access(path.at, F_OK), -1);
    buf_deinit(&path);
}

static void tidying_removes_what_is_older_than_keep_days_and_nothing_else(void **state) {
    make_file("postern-20261111-000000-001.jsonl.zst", "10 days: kept");
    make_file("postern-20261110-235959-001.jsonl.zst", "11 days");
    make_file("postern-20261110-235959-002.jsonl", "11 days, never compressed");
    make_file("postern-20261110-235959-003.jsonl.zst.tmp", "11 days, never finished");
    make_file("postern-20261110-235959-004.jsonl.gz", "not ours");
    assert_int_equal(journal_files_tidy(folder, 0, NOW), 0);
    assert_true(exists("postern-20261110-235959-001.jsonl.zst"));
    make_file("postern-20261110-235959-002.jsonl", "11 days, never compressed");
    assert_int_equal(journal_files_tidy(folder, 10, NOW), 0);
    assert_true(exists("postern-20261111-000000-001.jsonl.zst"));
    assert_false(exists("postern-20261110-235959-001.jsonl.zst"));
    assert_false(exists("postern-20261110-235959-002.jsonl"));
    assert_false(exists("postern-20261110-235959-002.jsonl.zst"));
    assert_false(exists("postern-20261110-235959-003.jsonl.zst.tmp"));
    assert_true(exists("postern-20261110-235959-004.jsonl.gz"));
}

static void tidying_goes_on_after_an_error_and_reports_it(void **state) {
    make_file("postern-20261120-000000-001.jsonl", "a");
    make_file("postern-20261120-000000-002.jsonl", "b");
    make_file("postern-20261120-000000-003.jsonl", "c");
    assert_int_equal(mkdir(path_of("postern-20261120-000000-002.jsonl.zst"), 0700), 0);
    assert_int_equal(journal_files_tidy(folder, 30, NOW), -EISDIR);
    assert_unpacks_to("postern-20261120-000000-001.jsonl.zst", "a", 1);
    assert_true(exists("postern-20261120-000000-002.jsonl"));
    assert_unpacks_to("postern-20261120-000000-003.jsonl.zst", "c", 1);
    assert_int_equal(journal_files_tidy("/nonexistent", 30, NOW), -ENOENT);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

static void the_newest_file_says_until_when_the_journal_was_written(void **state) {
    const struct timespec old[] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    const struct timespec newer[] = { { .tv_sec = 2000 }, { .tv_sec = 2000, .tv_nsec = 500000000 } };
    make_file("postern-19700101-001000-000.jsonl.zst", "");
    make_file("postern-19700101-003000-001.jsonl", "");
    make_file("other", ""); /* of now, and not ours */
    assert_int_equal(utimensat(AT_FDCWD, path_of("postern-19700101-001000-000.jsonl.zst"), old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, path_of("postern-19700101-003000-001.jsonl"), newer, 0), 0);
    assert_int_equal(journal_files_newest_ms(folder), 2000500);
    assert_int_equal(journal_files_newest_ms("/nonexistent"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_is_named_by_time_and_process_and_readable_by_its_group),
        IN_FOLDER(a_second_file_of_the_same_second_gets_the_next_name),
        IN_FOLDER(opening_says_what_is_wrong),
        IN_FOLDER(a_file_is_due_by_size_by_day_or_when_it_is_gone),
        IN_FOLDER(compressing_gives_the_same_bytes_back_and_removes_the_original),
        IN_FOLDER(what_cannot_be_compressed_stays),
        IN_FOLDER(tidying_compresses_what_is_closed_and_leaves_what_is_live_or_not_ours),
        IN_FOLDER(tidying_removes_what_is_older_than_keep_days_and_nothing_else),
        IN_FOLDER(tidying_goes_on_after_an_error_and_reports_it),
        IN_FOLDER(the_newest_file_says_until_when_the_journal_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
