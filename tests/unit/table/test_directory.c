/*
 * test_directory: what goes in is found, and no file, however broken, is more than "broken".
 */
#include "table/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char path[128];

static int make_dir(void **state) {
    snprintf(dir, sizeof(dir), "/tmp/postern-test-directory-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/example.com.cdb", dir);
    return 0;
}

static int remove_dir(void **state) {
    DIR *folder = opendir(dir);
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL)
        unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    return rmdir(dir);
}

static unsigned files_in_dir(void) {
    DIR *folder = opendir(dir);
    struct dirent *entry;
    unsigned n = 0;
    while ((entry = readdir(folder)) != NULL)
        n += entry->d_name[0] != '.';
    closedir(folder);
    return n;
}

static struct directory_writer *begin(void) {
    struct directory_writer *writer;
    assert_int_equal(directory_writer_new(dir, STR("Example.COM"), STR("users.csv"), &writer), 0);
    return writer;
}

static void build(const char *const *locals, size_t n) {
    struct directory_writer *writer = begin();
    for (size_t i = 0; i < n; i++) {
        char address[128];
        snprintf(address, sizeof(address), "%s@Example.com", locals[i]);
        assert_int_equal(directory_writer_add(writer, str_of(locals[i]), str_of(address)), 0);
    }
    assert_int_equal(directory_writer_commit(writer, 1700000000123), 0);
}

static struct directory *open_built(void) {
    struct directory *directory;
    assert_int_equal(directory_open(path, &directory), 0);
    return directory;
}

static int print(void *arg, struct str address) {
    struct buf *out = arg;
    assert_int_equal(buf_puts(out, address), 0);
    return buf_putc(out, ' ');
}

static int stop_at_once(void *arg, struct str address) {
    return ++*(int *)arg;
}

static void what_was_added_is_found_and_nothing_else(void **state) {
    build((const char *[]){ "alice", "bob", "jos\xc3\xa9", "a b" }, 4);
    struct directory *directory = open_built();
    assert_int_equal(directory_find(directory, STR("alice")), DIRECTORY_KNOWN);
    assert_int_equal(directory_find(directory, STR("a b")), DIRECTORY_KNOWN);
    assert_int_equal(directory_find(directory, STR("jos\xc3\xa9")), DIRECTORY_KNOWN);
    assert_int_equal(directory_find(directory, STR("carol")), DIRECTORY_UNKNOWN);
    assert_int_equal(directory_find(directory, STR("alic")), DIRECTORY_UNKNOWN);
    assert_int_equal(directory_find(directory, STR("")), DIRECTORY_UNKNOWN);
    assert_int_equal(directory_find(directory, STR("\0meta")), DIRECTORY_UNKNOWN);
    directory_free(directory);
}

static void it_remembers_source_time_and_count(void **state) {
    build((const char *[]){ "alice", "bob" }, 2);
    struct directory *directory = open_built();
    const struct directory_meta *meta = directory_meta(directory);
    assert_int_equal(meta->imported_ms, 1700000000123);
    assert_int_equal(meta->count, 2);
    assert_true(str_eq(meta->domain, STR("example.com")));
    assert_true(str_eq(meta->source, STR("users.csv")));
    directory_free(directory);
}

static void each_gives_the_addresses_as_imported(void **state) {
    build((const char *[]){ "alice", "bob" }, 2);
    struct directory *directory = open_built();
    struct buf out;
    buf_init(&out, 256);
    assert_int_equal(directory_each(directory, print, &out), 0);
    assert_true(str_eq(buf_str(&out), STR("alice@Example.com bob@Example.com ")));
    int calls = 0;
    assert_int_equal(directory_each(directory, stop_at_once, &calls), 1);
    assert_int_equal(calls, 1);
    buf_deinit(&out);
    directory_free(directory);
}

/* Far enough apart that the first is on disk and the second in tinycdb's buffer. */
static void repeated_addresses_count_once_near_and_far(void **state) {
    struct directory_writer *writer = begin();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            char local[32];
            snprintf(local, sizeof(local), "user%u", i);
            assert_int_equal(directory_writer_add(writer, str_of(local), STR("first")), 0);
            assert_int_equal(directory_writer_add(writer, str_of(local), STR("second")), 0);
        }
        assert_int_equal(directory_writer_count(writer), 5000);
    }
    assert_int_equal(directory_writer_commit(writer, 1), 0);
    struct directory *directory = open_built();
    assert_int_equal(directory_meta(directory)->count, 5000);
    for (unsigned i = 0; i < 5001; i++) {
        char local[32];
        snprintf(local, sizeof(local), "user%u", i);
        assert_int_equal(directory_find(directory, str_of(local)), i < 5000 ? DIRECTORY_KNOWN : DIRECTORY_UNKNOWN);
    }
    directory_free(directory);
}

static void a_directory_can_be_empty(void **state) {
    build(NULL, 0);
    struct directory *directory = open_built();
    assert_int_equal(directory_meta(directory)->count, 0);
    assert_int_equal(directory_find(directory, STR("alice")), DIRECTORY_UNKNOWN);
    directory_free(directory);
}

static void keys_that_could_not_be_local_parts_are_refused(void **state) {
    struct directory_writer *writer = begin();
    char key[256], address[1025];
    memset(key, 'x', sizeof(key));
    memset(address, 'x', sizeof(address));
    assert_int_equal(directory_writer_add(writer, STR(""), STR("a")), -EINVAL);
    assert_int_equal(directory_writer_add(writer, STR("\0meta"), STR("a")), -EINVAL);
    assert_int_equal(directory_writer_add(writer, (struct str){ key, 255 }, (struct str){ address, 1024 }), 0);
    assert_int_equal(directory_writer_add(writer, (struct str){ key, 256 }, STR("a")), -EINVAL);
    assert_int_equal(directory_writer_add(writer, STR("b"), (struct str){ address, 1025 }), -EINVAL);
    assert_int_equal(directory_writer_count(writer), 1);
    directory_writer_abort(writer);
}

static void the_old_one_stays_until_the_new_one_is_complete(void **state) {
    build((const char *[]){ "old" }, 1);
    struct directory *held = open_built();
    struct directory_writer *writer = begin();
    assert_int_equal(directory_writer_add(writer, STR("new"), STR("new@example.com")), 0);
    struct directory *meanwhile = open_built();
    assert_int_equal(directory_find(meanwhile, STR("old")), DIRECTORY_KNOWN);
    directory_free(meanwhile);
    assert_int_equal(directory_writer_commit(writer, 2), 0);
    struct directory *after = open_built();
    assert_int_equal(directory_find(after, STR("old")), DIRECTORY_UNKNOWN);
    assert_int_equal(directory_find(after, STR("new")), DIRECTORY_KNOWN);
    directory_free(after);
    assert_int_equal(directory_find(held, STR("old")), DIRECTORY_KNOWN);
    directory_free(held);
    assert_int_equal(files_in_dir(), 1);
}

static void an_import_given_up_leaves_nothing(void **state) {
    struct directory_writer *writer = begin();
    assert_int_equal(directory_writer_add(writer, STR("a"), STR("a@example.com")), 0);
    assert_int_equal(files_in_dir(), 1);
    directory_writer_abort(writer);
    directory_writer_abort(NULL);
    assert_int_equal(files_in_dir(), 0);
}

static void the_remains_of_a_killed_import_are_swept(void **state) {
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    assert_int_equal(waitpid(gone, NULL, 0), gone);
    char left[160], alive[160], other[160];
    snprintf(left, sizeof(left), "%s.new.%d", path, (int)gone);
    snprintf(alive, sizeof(alive), "%s.new.%d", path, (int)getppid());
    snprintf(other, sizeof(other), "%s/example.net.cdb.new.%d", dir, (int)gone);
    close(open(left, O_CREAT | O_WRONLY, 0600));
    close(open(alive, O_CREAT | O_WRONLY, 0600));
    close(open(other, O_CREAT | O_WRONLY, 0600));
    directory_writer_abort(begin());
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(access(alive, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

static void control_characters_in_a_source_forge_nothing(void **state) {
    struct directory_writer *writer;
    assert_int_equal(directory_writer_new(dir, STR("example.com"), STR("a\nsource b\x7f"), &writer), 0);
    assert_int_equal(directory_writer_commit(writer, 1), 0);
    struct directory *directory = open_built();
    assert_true(str_eq(directory_meta(directory)->source, STR("a?source b?")));
    directory_free(directory);
}

static void a_domain_that_is_no_file_name_has_no_path(void **state) {
    struct buf out;
    buf_init(&out, 1024);
    char longest[257];
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(directory_path("/d", STR("../x"), &out), -EINVAL);
    assert_int_equal(directory_path("/d", STR("a/b"), &out), -EINVAL);
    assert_int_equal(directory_path("/d", STR(".hidden"), &out), -EINVAL);
    assert_int_equal(directory_path("/d", STR(""), &out), -EINVAL);
    assert_int_equal(directory_path("/d", STR("a\0b"), &out), -EINVAL);
    assert_int_equal(directory_path("/d", (struct str){ longest, 256 }, &out), -EINVAL);
    assert_int_equal(out.len, 0);
    assert_int_equal(directory_path("/d", (struct str){ longest, 255 }, &out), 0);
    buf_clear(&out);
    assert_int_equal(directory_path("/d", STR("Example.COM"), &out), 0);
    assert_true(str_eq(buf_str(&out), STR("/d/example.com.cdb")));
    buf_deinit(&out);
    struct directory_writer *writer;
    assert_int_equal(directory_writer_new(dir, STR("../x"), STR(""), &writer), -EINVAL);
    assert_int_equal(directory_writer_new("/nonexistent", STR("x"), STR(""), &writer), -ENOENT);
}

/* ---- files that lie */

static size_t read_built(char **ret_bytes) {
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    *ret_bytes = malloc(size);
    assert_int_equal(fread(*ret_bytes, 1, size, file), size);
    fclose(file);
    return size;
}

static void write_file(const char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static int ignore(void *arg, struct str address) {
    unsigned *sum = arg;
    for (size_t i = 0; i < address.len; i++)
        *sum += (unsigned char)address.at[i];
    return 0;
}

/* Opens and asks; only that it comes back, in bounds, matters. */
static int try_file(void) {
    struct directory *directory;
    int r = directory_open(path, &directory);
    if (r < 0)
        return r;
    unsigned sum = 0;
    enum directory_answer answer = directory_find(directory, STR("alice"));
    assert_true(answer == DIRECTORY_KNOWN || answer == DIRECTORY_UNKNOWN || answer == DIRECTORY_BROKEN);
    directory_find(directory, STR("nobody"));
    r = directory_each(directory, ignore, &sum);
    assert_true(r == 0 || r == -EBADMSG);
    directory_free(directory);
    return 0;
}

static void a_missing_file_and_what_is_no_file_are_errors(void **state) {
    struct directory *directory;
    assert_int_equal(directory_open(path, &directory), -ENOENT);
    assert_int_equal(directory_open(dir, &directory), -EBADMSG);
    write_file("", 0);
    assert_int_equal(try_file(), -EBADMSG);
    static const char zeros[4096];
    write_file(zeros, 2047);
    assert_int_equal(try_file(), -EBADMSG);
    write_file(zeros, 2048);
    assert_int_equal(try_file(), -EBADMSG);
    write_file(zeros, 4096);
    assert_int_equal(try_file(), -EBADMSG);
}

static void a_file_cut_off_anywhere_does_not_open(void **state) {
    build((const char *[]){ "alice", "bob", "carol" }, 3);
    char *bytes;
    size_t size = read_built(&bytes);
    for (size_t cut = 0; cut < size; cut++) {
        write_file(bytes, cut);
        assert_int_equal(try_file(), -EBADMSG);
    }
    bytes = realloc(bytes, size + 1);
    bytes[size] = 0;
    write_file(bytes, size + 1);
    assert_int_equal(try_file(), -EBADMSG);
    free(bytes);
}

static void no_flipped_bit_leads_out_of_the_file(void **state) {
    build((const char *[]){ "alice", "bob", "carol" }, 3);
    char *bytes;
    size_t size = read_built(&bytes);
    unsigned opened = 0;
    for (size_t at = 0; at < size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (at < 2040 && bit % 4 != 0) /* the header's entries are alike */
                continue;
            bytes[at] ^= (char)(1 << bit);
            write_file(bytes, size);
            opened += try_file() == 0;
            bytes[at] ^= (char)(1 << bit);
        }
    }
    assert_true(opened > 0); /* a letter of a key is nobody's business here */
    free(bytes);
}

static void a_record_whose_length_lies_is_broken_and_not_unknown(void **state) {
    build((const char *[]){ "alice" }, 1);
    char *bytes;
    size_t size = read_built(&bytes);
    memset(bytes + 2048 + 4, 0xff, 4); /* the length of the first value */
    write_file(bytes, size);
    struct directory *directory = open_built();
    assert_int_equal(directory_find(directory, STR("alice")), DIRECTORY_BROKEN);
    unsigned sum = 0;
    assert_int_equal(directory_each(directory, ignore, &sum), -EBADMSG);
    directory_free(directory);
    free(bytes);
}

static void a_count_that_does_not_fit_the_tables_is_refused(void **state) {
    build((const char *[]){ "alice" }, 1);
    char *bytes;
    size_t size = read_built(&bytes);
    char *count = memmem(bytes, size, "\ncount 1\n", 9);
    assert_non_null(count);
    count[7] = '2';
    write_file(bytes, size);
    assert_int_equal(try_file(), -EBADMSG);
    free(bytes);
}

static void a_file_of_another_version_is_refused(void **state) {
    build((const char *[]){ "alice" }, 1);
    char *bytes;
    size_t size = read_built(&bytes);
    char *version = memmem(bytes, size, "directory 1\n", 12);
    assert_non_null(version);
    version[10] = '2';
    write_file(bytes, size);
    assert_int_equal(try_file(), -EBADMSG);
    free(bytes);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_was_added_is_found_and_nothing_else),
        TEST(it_remembers_source_time_and_count),
        TEST(each_gives_the_addresses_as_imported),
        TEST(repeated_addresses_count_once_near_and_far),
        TEST(a_directory_can_be_empty),
        TEST(keys_that_could_not_be_local_parts_are_refused),
        TEST(the_old_one_stays_until_the_new_one_is_complete),
        TEST(an_import_given_up_leaves_nothing),
        TEST(the_remains_of_a_killed_import_are_swept),
        TEST(control_characters_in_a_source_forge_nothing),
        TEST(a_domain_that_is_no_file_name_has_no_path),
        TEST(a_missing_file_and_what_is_no_file_are_errors),
        TEST(a_file_cut_off_anywhere_does_not_open),
        TEST(no_flipped_bit_leads_out_of_the_file),
        TEST(a_record_whose_length_lies_is_broken_and_not_unknown),
        TEST(a_count_that_does_not_fit_the_tables_is_refused),
        TEST(a_file_of_another_version_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
