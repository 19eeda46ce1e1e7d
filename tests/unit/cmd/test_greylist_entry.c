/* Greylists of other programs and of our own: what is read, and where a reader stops and says why. */
#include "cmd/greylist_entry.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
    struct buf text; /* entries in our own form */
    unsigned n, n_networks;
    int answer;
};

static int on_entry(void *arg, const struct greylist_entry *entry) {
    struct seen *seen = arg;
    seen->n++;
    seen->n_networks += entry->is_network;
    assert_int_equal(greylist_write_entry(&seen->text, entry), 0);
    return seen->answer;
}

static struct greylist_reading reading_into(struct seen *seen) {
    struct greylist_reading reading = { .on_entry = on_entry, .arg = seen };
    buf_init(&seen->text, 1 << 16);
    buf_init(&reading.problem, 256);
    return reading;
}

static FILE *text_file(const char *text, size_t len) {
    FILE *file = tmpfile();
    assert_non_null(file);
    fwrite(text, 1, len, file);
    rewind(file);
    return file;
}

static int read_text(bool is_postgrey, const char *text, struct seen *seen, struct greylist_reading *reading) {
    FILE *file = text_file(text, strlen(text));
    *seen = (struct seen){ 0 };
    *reading = reading_into(seen);
    int r = is_postgrey ? greylist_read_postgrey(file, 300, false, reading) : greylist_read_export(file, reading);
    fclose(file);
    return r;
}

static void forget(struct seen *seen, struct greylist_reading *reading) {
    buf_deinit(&seen->text);
    buf_deinit(&reading->problem);
}

static void expect_text(bool is_postgrey, const char *text, const char *expected) {
    struct seen seen;
    struct greylist_reading reading;
    int r = read_text(is_postgrey, text, &seen, &reading);
    if (r != 0)
        fail_msg("line %lu: %.*s", reading.line, (int)reading.problem.len, reading.problem.at);
    buf_putc(&seen.text, '\0');
    assert_string_equal(seen.text.at, expected);
    forget(&seen, &reading);
}

static void expect_problem(bool is_postgrey, const char *text, unsigned long line, const char *word) {
    struct seen seen;
    struct greylist_reading reading;
    assert_int_equal(read_text(is_postgrey, text, &seen, &reading), -EBADMSG);
    assert_int_equal(reading.line, line);
    buf_putc(&reading.problem, '\0');
    if (strstr(reading.problem.at, word) == NULL)
        fail_msg("'%s' does not say '%s'", reading.problem.at, word);
    forget(&seen, &reading);
}

/* ---- our own */

#define HEAD "# postern greylist 1\n"
#define TRIPLET "triplet\tnet:192.0.2.0/24\ta@example.net\tb@example.com\t100\t200\t300\t1\n"
#define CLIENT "client\torg:example.net\t-\t-\t100\t200\t300\t5\n"

static void test_an_export_comes_back_as_it_was(void **state) {
    expect_text(false, HEAD TRIPLET CLIENT, TRIPLET CLIENT);
    expect_text(false, HEAD, "");
}

static void test_comments_empty_lines_and_cr_are_skipped(void **state) {
    expect_text(false, "# postern greylist 1\r\n\n# a comment\n" TRIPLET, TRIPLET);
}

static void test_an_export_that_is_none_is_refused(void **state) {
    expect_problem(false, "", 0, "empty");
    expect_problem(false, TRIPLET, 1, "postern greylist export");
    expect_problem(false, HEAD "triplet\n", 2, "8 fields");
    expect_problem(false, HEAD TRIPLET "thing\tnet:x\ta\tb\t1\t2\t3\t0\n", 3, "'triplet' or 'client'");
    expect_problem(false, HEAD "triplet\t192.0.2.1\ta\tb\t1\t2\t3\t0\n", 2, "identity");
    expect_problem(false, HEAD "triplet\tip:192.0.2.1\ta\tb\t1\tx\t3\t0\n", 2, "numbers");
    expect_problem(false, HEAD "triplet\tip:192.0.2.1\ta\tb\t1\t2\t3\t99999999999\n", 2, "numbers");
    expect_problem(false, HEAD "triplet\tip:192.0.2.1\ta\tb\t5\t2\t3\t0\n", 2, "before");
    expect_problem(false, HEAD "triplet\tip:192.0.2.1\ta\tb\t1\t2\t3\t0\t9\n", 2, "8 fields");
}

static void test_a_line_without_end_is_too_long(void **state) {
    char *text = calloc(1, 10000);
    memcpy(text, HEAD, strlen(HEAD));
    memset(text + strlen(HEAD), 'x', 9000);
    expect_problem(false, text, 2, "too long");
    free(text);
}

static void test_who_takes_entries_can_stop_the_reading(void **state) {
    FILE *file = text_file(HEAD TRIPLET TRIPLET, strlen(HEAD TRIPLET TRIPLET));
    struct seen seen = { .answer = -ENOSPC };
    struct greylist_reading reading = reading_into(&seen);
    assert_int_equal(greylist_read_export(file, &reading), -ENOSPC);
    assert_int_equal(seen.n, 1);
    fclose(file);
    forget(&seen, &reading);
}

/* ---- postgrey */

#define DUMP "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=4096\nHEADER=END\n"

static void test_postgreys_triplets_are_passed_when_they_waited_its_delay(void **state) {
    expect_text(true, DUMP " 192.0.2.0/a@example.net/b@example.com\n 1000,1300\n"
                           " 192.0.2.0/a@example.net/c@example.com\n 1000,1299,mx.example.net\nDATA=END\n",
                "triplet\t192.0.2.0\ta@example.net\tb@example.com\t1000\t1300\t0\t1\n"
                "triplet\t192.0.2.0\ta@example.net\tc@example.com\t1000\t1299\t0\t0\n");
}

static void test_postgreys_keys_hold_null_senders_slashes_and_escapes(void **state) {
    expect_text(true, DUMP " 198.51.100.0//b@example.com\n 1,2\n"
                           " 2001:db8:0:0:0:0:0:0/dep/\"odd\\\\x\"@example.net/b\\c3\\bc@example.com\n 1,2\nDATA=END\n",
                "triplet\t198.51.100.0\t-\tb@example.com\t1\t2\t0\t0\n"
                "triplet\t2001:db8:0:0:0:0:0:0\tdep/\"odd\\x\"@example.net\tb\xc3\xbc@example.com\t1\t2\t0\t0\n");
}

static void test_postgreys_clients_carry_their_count(void **state) {
    expect_text(true, DUMP " 192.0.2.1\n 7,2000\nDATA=END\n", "client\t192.0.2.1\t-\t-\t2000\t2000\t0\t7\n");
}

static void test_a_dump_that_is_none_is_refused(void **state) {
    expect_problem(true, "", 0, "db_dump -p");
    expect_problem(true, "hello\n", 1, "db_dump -p");
    expect_problem(true, "VERSION=3\nformat=bytevalue\nHEADER=END\n", 3, "another format");
    expect_problem(true, "VERSION=3\nformat=print\n", 2, "db_dump -p");
    expect_problem(true, DUMP " 192.0.2.0/a/b\n 1,2\n", 7, "cut off");
    expect_problem(true, DUMP "192.0.2.0/a/b\n 1,2\nDATA=END\n", 6, "blank");
    expect_problem(true, DUMP " 192.0.2.0/a/b\n one,2\nDATA=END\n", 7, "numbers");
    expect_problem(true, DUMP " 192.0.2.0/ab\n 1,2\nDATA=END\n", 7, "network/sender/recipient");
    expect_problem(true, DUMP " 192.0.2.0/a/b\n 2,1\nDATA=END\n", 7, "first seen");
    expect_problem(true, DUMP " 192.0.2.0/a\\/b\n 1,2\nDATA=END\n", 6, "blank");
    expect_problem(true, DUMP " 192.0.2.1\n 99999999999,1\nDATA=END\n", 7, "too large");
}

/* ---- sqlgrey */

static void with_database(const char *sql, void (*check)(const char *path)) {
    char path[] = "/tmp/test-sqlgrey-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    sqlite3_close(db);
    check(path);
    unlink(path);
}

#define SQLGREY_TABLES \
    "CREATE TABLE connect(sender_name varchar(64) NOT NULL, sender_domain varchar(255) NOT NULL," \
    " src varchar(39) NOT NULL, rcpt varchar(255) NOT NULL, first_seen timestamp NOT NULL);" \
    "CREATE TABLE from_awl(sender_name varchar(64) NOT NULL, sender_domain varchar(255) NOT NULL," \
    " src varchar(39) NOT NULL, first_seen timestamp NOT NULL, last_seen timestamp NOT NULL);" \
    "CREATE TABLE domain_awl(sender_domain varchar(255) NOT NULL, src varchar(39) NOT NULL," \
    " first_seen timestamp NOT NULL, last_seen timestamp NOT NULL);"

static void check_sqlgrey(const char *path) {
    struct seen seen = { 0 };
    struct greylist_reading reading = reading_into(&seen);
    assert_int_equal(greylist_read_sqlgrey(path, &reading), 0);
    buf_putc(&seen.text, '\0');
    assert_string_equal(seen.text.at,
                        "triplet\t192.0.2.0\ta@example.net\tb@example.com\t100\t100\t0\t0\n"
                        "triplet\t2001:db8::1\t-\tb@example.com\t1609459200\t1609459200\t0\t0\n"
                        "client\t192.0.2.0\t-\t-\t100\t300\t0\t2\n"
                        "client\t198.51.100.7\t-\t-\t100\t400\t0\t1000\n");
    assert_int_equal(seen.n_networks, 2);
    forget(&seen, &reading);
}

static void test_sqlgreys_tables_become_waiting_triplets_and_trusted_sources(void **state) {
    with_database(SQLGREY_TABLES "INSERT INTO connect VALUES('a', 'example.net', '192.0.2', 'b@example.com', 100),"
                  " ('-undef-', '-undef-', '2001:db8::1', 'b@example.com', '2021-01-01 00:00:00');"
                  "INSERT INTO from_awl VALUES('a', 'example.net', '192.0.2', 100, 200),"
                  " ('b', 'example.net', '192.0.2', 150, 300);"
                  "INSERT INTO domain_awl VALUES('example.org', '198.51.100.7', 100, 400);", check_sqlgrey);
}

static void check_not_sqlgrey(const char *path) {
    struct seen seen = { 0 };
    struct greylist_reading reading = reading_into(&seen);
    assert_int_equal(greylist_read_sqlgrey(path, &reading), -EBADMSG);
    buf_putc(&reading.problem, '\0');
    assert_non_null(strstr(reading.problem.at, "connect"));
    forget(&seen, &reading);
}

static void test_another_database_is_not_sqlgreys(void **state) {
    with_database("CREATE TABLE other(x);", check_not_sqlgrey);
}

static void test_a_database_that_is_missing_is_named_as_such(void **state) {
    struct seen seen = { 0 };
    struct greylist_reading reading = reading_into(&seen);
    assert_int_equal(greylist_read_sqlgrey("/nonexistent/sqlgrey.db", &reading), -EBADMSG);
    assert_int_equal(seen.n, 0);
    assert_true(reading.problem.len > 0);
    forget(&seen, &reading);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_export_comes_back_as_it_was),
        cmocka_unit_test(test_comments_empty_lines_and_cr_are_skipped),
        cmocka_unit_test(test_an_export_that_is_none_is_refused),
        cmocka_unit_test(test_a_line_without_end_is_too_long),
        cmocka_unit_test(test_who_takes_entries_can_stop_the_reading),
        cmocka_unit_test(test_postgreys_triplets_are_passed_when_they_waited_its_delay),
        cmocka_unit_test(test_postgreys_keys_hold_null_senders_slashes_and_escapes),
        cmocka_unit_test(test_postgreys_clients_carry_their_count),
        cmocka_unit_test(test_a_dump_that_is_none_is_refused),
        cmocka_unit_test(test_sqlgreys_tables_become_waiting_triplets_and_trusted_sources),
        cmocka_unit_test(test_another_database_is_not_sqlgreys),
        cmocka_unit_test(test_a_database_that_is_missing_is_named_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
