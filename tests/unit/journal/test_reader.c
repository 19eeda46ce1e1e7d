/* reader and members: what stands in a line, and in which files a record is looked for. */
#include "base/buf.h"
#include "journal/files.h"
#include "journal/id.h"
#include "journal/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct members members;

static int parse(const char *text) {
    static char line[JOURNAL_LINE_MAX];
    snprintf(line, sizeof(line), "%s", text);
    return members_parse(line, strlen(line), &members);
}

static struct str text(const char *name) {
    return members_text(&members, &members.at[0], name);
}

static int64_t number(const char *name) {
    int64_t value = -1;
    assert_int_equal(members_thousandths(members_find(&members, &members.at[0], name), &value), 0);
    return value;
}

static void a_record_is_read_back_member_by_member(void **state) {
    assert_int_equal(parse("{\"id\":\"x\",\"reply\":{\"code\":550,\"text\":\"no\"},\"shadow\":[\"A\",\"B\"],"
                           "\"ok\":true}"), 0);
    assert_true(str_eq(text("id"), STR("x")));
    const struct member *reply = members_find(&members, &members.at[0], "reply");
    assert_true(str_eq(members_text(&members, reply, "text"), STR("no")));
    assert_null(members_find(&members, &members.at[0], "text")); /* inside another member */
    const struct member *shadow = members_find(&members, &members.at[0], "shadow");
    const struct member *a = members_next(&members, shadow, NULL), *b = members_next(&members, shadow, a);
    assert_true(str_eq(a->text, STR("A")) && str_eq(b->text, STR("B")));
    assert_null(members_next(&members, shadow, b));
    assert_true(members_find(&members, &members.at[0], "ok")->value);
}

static void escapes_become_what_they_stand_for(void **state) {
    assert_int_equal(parse("{\"a\":\"\\\"\\\\\\/\\n\\u0041\\u00e9\\ud83d\\ude00\"}"), 0);
    assert_true(str_eq(text("a"), STR("\"\\/\nA\xc3\xa9\xf0\x9f\x98\x80")));
}

static void numbers_are_thousandths(void **state) {
    assert_int_equal(parse("{\"a\":1.5,\"b\":-2,\"c\":0.0019,\"d\":-0.25}"), 0);
    assert_int_equal(number("a"), 1500);
    assert_int_equal(number("b"), -2000);
    assert_int_equal(number("c"), 1);
    assert_int_equal(number("d"), -250);
    int64_t value;
    assert_int_equal(parse("{\"a\":1e3,\"b\":99999999999999999999}"), 0);
    assert_int_equal(members_thousandths(members_find(&members, &members.at[0], "a"), &value), -EINVAL);
    assert_int_equal(members_thousandths(members_find(&members, &members.at[0], "b"), &value), -ERANGE);
}

static void what_is_not_json_is_refused(void **state) {
    static const char *const bad[] = { "", "{", "[]", "1", "{\"a\":01}", "{\"a\":-}", "{\"a\":1,}", "{\"a\" 1}", "{}{}",
                                       "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\x01\"}", "{\"a\":nul}",
                                       "{\"a\":1.}" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(bad[i]), -EINVAL);
}

static void depth_and_number_of_members_are_bounded(void **state) {
    assert_int_equal(parse("{\"a\":[[[[[[[]]]]]]]}"), 0); /* 8 with the object */
    assert_int_equal(parse("{\"a\":[[[[[[[[]]]]]]]]}"), -E2BIG);
    for (int more = 0; more < 2; more++) {
        struct buf line;
        buf_init(&line, 4 * MEMBERS_MAX);
        assert_int_equal(buf_puts(&line, STR("{\"a\":[0")), 0);
        for (int i = 3; i < MEMBERS_MAX + more; i++) /* the object, the array, the first */
            assert_int_equal(buf_puts(&line, STR(",0")), 0);
        assert_int_equal(buf_puts(&line, STR("]}")), 0);
        assert_int_equal(members_parse(line.at, line.len, &members), more ? -E2BIG : 0);
        buf_deinit(&line);
    }
}

/* ---- files */

static char folder[] = "/tmp/test_reader.XXXXXX";

static int make_folder(void **state) {
    strcpy(folder + sizeof(folder) - 7, "XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int drop_folder(void **state) {
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        unlinkat(dirfd(entries), entry->d_name, 0); /* not . and .. */
    closedir(entries);
    return rmdir(folder);
}

/* A record of a session that began at `ms` in a process, in a file that was begun then. */
static void write_record(uint64_t ms, unsigned process, bool is_packed, char id[ID_LEN + 1]) {
    struct id_source source = { .process = (uint8_t)process };
    struct buf path;
    buf_init(&path, 4096);
    id_next(&source, ms, id);
    int fd = journal_files_open(folder, process, ms, &path);
    assert_true(fd >= 0);
    dprintf(fd, "{\"id\":\"%s.1\",\"n\":1}\n{\"id\":\"%s.12\",\"n\":12}\n{\"id\":\"torn", id, id);
    const struct timespec times[2] = { { .tv_sec = (time_t)(ms / 1000) + 60 }, { .tv_sec = (time_t)(ms / 1000) + 60 } };
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    if (is_packed)
        assert_int_equal(journal_files_compress(path.at), 0);
    buf_deinit(&path);
}

static const uint64_t noon = 1795262400000, day = 86400000;

static void a_record_is_found_by_its_id_in_plain_and_compressed_files(void **state) {
    char id[2][ID_LEN + 1], wanted[32], *line = NULL;
    size_t len;
    write_record(noon, 3, true, id[0]);
    write_record(noon + day, 4, false, id[1]);
    for (int i = 0; i < 2; i++) {
        snprintf(wanted, sizeof(wanted), "%s.1", id[i]);
        assert_int_equal(journal_find(folder, wanted, &line, &len), 1);
        assert_true(str_ends_nocase((struct str){ line, len }, STR(".1\",\"n\":1}")));
        free(line);
        snprintf(wanted, sizeof(wanted), "%s.2", id[i]);
        assert_int_equal(journal_find(folder, wanted, &line, &len), 0);
        assert_int_equal(journal_find(folder, id[i], &line, &len), 1); /* the session's first */
        free(line);
    }
    assert_int_equal(journal_find(folder, "no-id", &line, &len), -EINVAL);
    assert_int_equal(journal_find(folder, "d202qlns800000.x", &line, &len), -EINVAL);
    assert_int_equal(journal_find("/nonexistent", id[0], &line, &len), -ENOENT);
}

static int count_line(void *arg, char *line, size_t len) {
    ++*(int *)arg;
    return 0;
}

static void files_that_ended_before_are_not_opened(void **state) {
    char id[ID_LEN + 1];
    int n = 0;
    write_record(noon, 1, true, id);
    write_record(noon + day, 1, false, id);
    assert_int_equal(journal_read(folder, 0, count_line, &n), 0);
    assert_int_equal(n, 4); /* torn lines are none */
    n = 0;
    assert_int_equal(journal_read(folder, noon + day, count_line, &n), 0);
    assert_int_equal(n, 2);
}

static void a_damaged_file_costs_itself_alone(void **state) {
    char id[ID_LEN + 1], path[128];
    int n = 0;
    snprintf(path, sizeof(path), "%s/postern-20200101-000000-001.jsonl.zst", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("no zstd at all", file);
    fclose(file);
    write_record(noon, 1, false, id);
    assert_int_equal(journal_read(folder, 0, count_line, &n), -EBADMSG);
    assert_int_equal(n, 2);
}

static void a_line_at_the_bound_is_read_and_one_past_it_skipped(void **state) {
    char path[128];
    int n = 0;
    snprintf(path, sizeof(path), "%s/lines.jsonl", folder);
    for (int more = 0; more < 2; more++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        for (int i = 0; i < JOURNAL_LINE_MAX + more; i++)
            fputc('x', file);
        fputs("\n{}\n", file);
        fclose(file);
        n = 0;
        assert_int_equal(journal_read_file(path, count_line, &n), 0);
        assert_int_equal(n, 2 - more);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_back_member_by_member),
        cmocka_unit_test(escapes_become_what_they_stand_for),
        cmocka_unit_test(numbers_are_thousandths),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(depth_and_number_of_members_are_bounded),
        cmocka_unit_test_setup_teardown(a_record_is_found_by_its_id_in_plain_and_compressed_files, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(files_that_ended_before_are_not_opened, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_damaged_file_costs_itself_alone, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_line_at_the_bound_is_read_and_one_past_it_skipped, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
