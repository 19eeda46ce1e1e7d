/*
 * Which names are found in a ZIP, however it is sliced and whatever its records say.
 */
#include "mime/zip_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct archive {
    char at[100000];
    size_t len;
};

static struct archive archive;
static char seen[4096];
static size_t seen_len;

/* "name|", "name!" with a password */
static bool on_name(void *arg, struct str name, bool is_encrypted) {
    assert_true(name.len > 0 && name.len <= ZIP_NAME_MAX);
    if (seen_len + name.len + 2 < sizeof(seen))
        seen_len += (size_t)snprintf(seen + seen_len, sizeof(seen) - seen_len, "%.*s%c", STR_ARG(name),
                                     is_encrypted ? '!' : '|');
    return true;
}

static bool on_name_of_ten(void *arg, struct str name, bool is_encrypted) {
    return ++*(unsigned *)arg < 10;
}

static bool read_in_pieces(size_t piece) {
    struct zip_names zip;
    seen_len = 0;
    seen[0] = '\0';
    zip_names_init(&zip);
    for (size_t at = 0; at < archive.len; at += piece)
        zip_names_feed(&zip, archive.at + at, archive.len - at < piece ? archive.len - at : piece, on_name, NULL);
    zip_names_end(&zip, on_name, NULL);
    return zip.is_unreadable;
}

static void expect(const char *names, bool is_unreadable) {
    static const size_t pieces[] = { 1, 2, 3, 7, 31, 1000, 2048, 4096, 5000, SIZE_MAX / 2 };
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        assert_int_equal(read_in_pieces(pieces[i]), is_unreadable);
        assert_string_equal(seen, names);
    }
}

/* ---- making archives */

static void put(const void *bytes, size_t len) {
    assert_true(archive.len + len <= sizeof(archive.at));
    if (len > 0)
        memcpy(archive.at + archive.len, bytes, len);
    archive.len += len;
}

static void put16(unsigned n) {
    put((unsigned char[]){ n & 255, n >> 8 & 255 }, 2);
}

static void fill(int byte, size_t len) {
    assert_true(archive.len + len <= sizeof(archive.at));
    memset(archive.at + archive.len, byte, len);
    archive.len += len;
}

struct how {
    unsigned flags, method, version, name_len /* 0: as long as it is */;
    struct str extra;
    unsigned extra_len; /* likewise */
};

static void put_record(bool is_directory, struct str name, struct how how) {
    put(is_directory ? "PK\x01\x02\x14\0" : "PK\x03\x04", is_directory ? 6 : 4);
    put16(how.version);
    put16(how.flags);
    put16(how.method);
    fill(0, 16);
    put16(how.name_len > 0 ? how.name_len : (unsigned)name.len);
    put16(how.extra_len > 0 ? how.extra_len : (unsigned)how.extra.len);
    fill(0, is_directory ? 14 : 0);
    put(name.at, name.len);
    put(how.extra.at, how.extra.len);
}

static int set_up(void **state) {
    archive.len = 0;
    return 0;
}

/* ---- tests */

static void names_are_found_before_files_and_in_the_directory(void **state) {
    put_record(false, STR("a.js"), (struct how){ 0 });
    fill('x', 100);
    put_record(false, STR("dir/b.txt"), (struct how){ .flags = 1, .method = 8 });
    fill('x', 10000);
    put_record(true, STR("a.js"), (struct how){ 0 });
    put_record(true, STR("dir/b.txt"), (struct how){ .flags = 0x0801, .method = 99 });
    put("PK\x05\x06", 4);
    fill(0, 18);
    expect("a.js|dir/b.txt!a.js|dir/b.txt!", false);
}

static void a_record_without_a_name_is_none(void **state) {
    put_record(false, STR(""), (struct how){ 0 });
    put_record(false, STR("a"), (struct how){ 0 });
    expect("a|", false);
}

/* Data that contains the signature by chance has hardly ever a method, too. */
static void a_method_that_nobody_knows_makes_no_record(void **state) {
    put_record(false, STR("a"), (struct how){ .method = 21 });
    put_record(false, STR("b"), (struct how){ .method = 0x4b50 });
    put_record(true, STR("c"), (struct how){ .method = 100 });
    put_record(false, STR("d"), (struct how){ .method = 20, .version = 0xffff });
    put_record(true, STR("e"), (struct how){ .method = 93 });
    expect("d|e|", false);
}

/* A file in the archive that is itself a record, and says that what follows is its name. */
static void a_record_that_lies_hides_no_other(void **state) {
    put_record(false, STR("a.txt"), (struct how){ 0 });
    put_record(false, STR(""), (struct how){ .name_len = 1000 });
    put_record(false, STR("evil.exe"), (struct how){ 0 });
    read_in_pieces(1000);
    assert_non_null(strstr(seen, "|evil.exe|"));
    put_record(false, STR(""), (struct how){ .extra_len = 65535, .name_len = 1 });
    put_record(true, STR("x.exe"), (struct how){ 0 });
    put_record(true, STR("y.exe"), (struct how){ 0 });
    read_in_pieces(1000);
    assert_non_null(strstr(seen, "|x.exe|y.exe|"));
}

/* A record may begin anywhere in the fixed part of what looks like another. */
static void records_inside_of_records_are_read(void **state) {
    for (size_t at = 4; at < 30; at++) {
        archive.len = 0;
        put_record(false, STR("a.txt"), (struct how){ 0 });
        archive.len = at;
        put_record(false, STR("evil.exe"), (struct how){ 0 });
        read_in_pieces(7);
        assert_non_null(strstr(seen, "evil.exe|"));
    }
}

static void an_archive_that_is_cut_shows_what_is_there(void **state) {
    put_record(false, STR("a.exe.long"), (struct how){ 0 });
    archive.len -= 5;
    expect("a.exe|", false);
    archive.len = 30;
    expect("", false);
    archive.len = 3;
    expect("", false);
    archive.len = 0;
    expect("", false);
}

static void of_a_long_name_the_end_counts(void **state) {
    static char name[ZIP_RECORD_MAX];
    memset(name, 'n', sizeof(name));
    size_t longest = ZIP_RECORD_MAX - 30;
    memcpy(name + longest - 4, ".exe", 4);
    put_record(false, (struct str){ name, longest }, (struct how){ 0 });
    assert_false(read_in_pieces(100));
    assert_non_null(strstr(seen, "nnn.exe|"));
    assert_int_equal(seen_len, ZIP_NAME_MAX + 1);
    archive.len = 0;
    put_record(false, (struct str){ name, longest + 1 }, (struct how){ 0 }); /* one past the bound */
    assert_true(read_in_pieces(100));
}

static void a_directory_entry_that_is_too_long_is_told(void **state) {
    static char extra[ZIP_RECORD_MAX];
    put_record(true, STR("a"), (struct how){ .extra = { extra, ZIP_RECORD_MAX - 47 } });
    expect("a|", false);
    archive.len = 0;
    put_record(true, STR("a"), (struct how){ .extra = { extra, ZIP_RECORD_MAX - 46 } });
    expect("a|", true);
    archive.len = 0; /* in front of a file: room for it to grow, as word processors leave it */
    put_record(false, STR("a"), (struct how){ .extra = { extra, ZIP_RECORD_MAX } });
    expect("a|", false);
}

static void a_unicode_path_is_a_name_too(void **state) {
    put_record(false, STR("a.txt"), (struct how){ .extra = STR("xx\x02\0zzup\x0a\0\1cccca.exe") });
    expect("a.txt|a.exe|", false);
    archive.len = 0;
    put_record(true, STR("a.txt"), (struct how){ .flags = 1, .extra = STR("up\x0a\0\1cccca.exe") });
    expect("a.txt!a.exe!", false);
    archive.len = 0; /* lengths that are wrong */
    put_record(false, STR("a"), (struct how){ .extra = STR("up\xff\xff\1cccca.exe") });
    put_record(false, STR("b"), (struct how){ .extra = STR("up\x05\0\1cccc") });
    put_record(false, STR("c"), (struct how){ .extra = STR("up\0\0up") });
    put_record(false, STR("d"), (struct how){ .extra = STR("xx\xff\xffup\x0a\0\1cccca.exe") });
    expect("a|a.exe|b|c|d|", false);
}

static void a_name_with_a_nul_is_two(void **state) {
    put_record(false, STR("a.js\0.txt"), (struct how){ 0 });
    put_record(false, STR("\0b.js"), (struct how){ 0 });
    put_record(false, STR("c\x01\x7f"), (struct how){ 0 });
    expect("a.js|a.js?.txt|?b.js|c??|", false);
}

/* Whatever it is, slices change nothing, and nothing is read beyond its end. */
static void noise_is_survived(void **state) {
    unsigned random = 1;
    char whole[sizeof(seen)];
    for (int round = 0; round < 3000; round++) {
        archive.len = 400;
        for (size_t i = 0; i < archive.len; i++) {
            random = random * 1103515245 + 12345;
            archive.at[i] = (char)(random >> 16 & (round % 3 == 0 ? 7 : 255));
            if ((random >> 8 & 31) == 0 && i + 4 < archive.len) {
                memcpy(archive.at + i, random & 1 << 20 ? "PK\x01\x02" : "PK\x03\x04", 4);
                i += 3;
            }
        }
        bool is_unreadable = read_in_pieces(SIZE_MAX / 2);
        memcpy(whole, seen, seen_len + 1);
        assert_int_equal(read_in_pieces(1 + (size_t)round % 50), is_unreadable);
        assert_string_equal(seen, whole);
    }
}

/* Records that overlap tell some hundred names each: whoever has had enough hears no more. */
static void nothing_is_told_when_there_were_enough(void **state) {
    static const char path[] = "\x75\x70\x06\0\x01" "1234n";
    struct zip_names zip;
    unsigned n = 0;
    for (int i = 0; i < 100; i++)
        put_record(false, STR("a"), (struct how){ .extra_len = 1000 });
    for (int i = 0; i < 1000; i++)
        put(path, sizeof(path) - 1);
    assert_false(read_in_pieces(1000));
    zip_names_init(&zip);
    zip_names_feed(&zip, archive.at, archive.len, on_name_of_ten, &n);
    zip_names_end(&zip, on_name_of_ten, &n);
    assert_int_equal(n, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(nothing_is_told_when_there_were_enough),
        TEST(names_are_found_before_files_and_in_the_directory),
        TEST(a_record_without_a_name_is_none),
        TEST(a_method_that_nobody_knows_makes_no_record),
        TEST(a_record_that_lies_hides_no_other),
        TEST(records_inside_of_records_are_read),
        TEST(an_archive_that_is_cut_shows_what_is_there),
        TEST(of_a_long_name_the_end_counts),
        TEST(a_directory_entry_that_is_too_long_is_told),
        TEST(a_unicode_path_is_a_name_too),
        TEST(a_name_with_a_nul_is_two),
        TEST(noise_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
