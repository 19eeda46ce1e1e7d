/*
 * test_recipients_command: `postern recipients` as an administrator and a script meet it: what is said, what is
 * refused, and the exit code.
 *
 * Each call runs in a child of its own, as the program would, with what it prints caught in a file.
 */
#include "base/clock.h"
#include "cmd/cmd.h"
#include "table/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char said[16384]; /* standard output and error of the last call */

static int enter_dir(void **state) {
    snprintf(dir, sizeof(dir), "/tmp/postern-test-recipients-XXXXXX");
    return mkdtemp(dir) == NULL || chdir(dir) < 0 ? -1 : 0;
}

static void remove_files(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

static int leave_dir(void **state) {
    remove_files("d");
    remove_files(".");
    return chdir("/") < 0 ? -1 : rmdir(dir);
}

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Lines "user1" … "userN". */
static void write_users(const char *name, unsigned n) {
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    for (unsigned i = 1; i <= n; i++)
        fprintf(file, "user%u\n", i);
    fclose(file);
}

/* The words of `line` are the arguments. Returns the exit code. */
static int run(const char *line) {
    char words[512], *argv[32] = { "recipients" };
    int argc = 1;
    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok(words, " "); word != NULL && argc < 31; word = strtok(NULL, " "))
        argv[argc++] = word;
    pid_t child = fork();
    if (child == 0) {
        int out = open("said", O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        int status = command_recipients.run(argc, argv);
        fflush(NULL);
        _exit(status);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    FILE *file = fopen("said", "r");
    said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
    fclose(file);
    unlink("said");
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_runs(const char *line, int status, const char *text) {
    int got = run(line);
    if (got != status || strstr(said, text) == NULL)
        fail_msg("recipients %s: %d, said: %s", line, got, said);
}

static void what_is_imported_is_exported_and_can_be_imported_again(void **state) {
    write_text("users", "Anna@example.com\nbob\n\"#note\"@example.com\n#comment\nanna@example.com\nx@example.net\n");
    assert_runs("--dir d import example.com users", 0,
                "example.com: 3 addresses from users\n    1 named more than once\n    1 of other domains, left out: "
                "x@example.net\n");
    assert_runs("--dir d export example.com", 0, "Anna@example.com\nbob@example.com\n\"#note\"@example.com\n");
    write_text("again", said);
    assert_runs("--dir d import Example.COM again", 0, "3 addresses");
}

static void an_unquoted_hash_is_exported_in_quotes(void **state) {
    write_text("users.csv", "mail\n#x@example.com\n");
    assert_runs("--dir d import example.com users.csv", 0, "1 addresses");
    assert_runs("--dir d export example.com", 0, "\"#x\"@example.com\n");
}

static void a_malformed_line_refuses_the_file_also_with_force(void **state) {
    write_text("users", "a@example.com\n");
    assert_runs("--dir d import example.com users", 0, "1 addresses");
    write_text("bad", "b@example.com\nc d@example.com\n");
    assert_runs("--dir d --force --format list import example.com bad", 1,
                "bad:2:1: error: expected an address\n    c d@example.com\n    ^\n");
    assert_runs("--dir d export example.com", 0, "a@example.com\n");
    assert_int_equal(access("d/example.com.cdb", F_OK), 0);
}

static void a_file_without_an_address_is_refused_also_with_force(void **state) {
    write_text("empty", "");
    assert_runs("--dir d --force import example.com empty", 1, "nothing imported");
    write_text("others", "a@example.net\n");
    assert_runs("--dir d --force import example.com others", 1, "no address of example.com");
    assert_int_not_equal(access("d/example.com.cdb", F_OK), 0);
}

static void shrinking_needs_both_bounds_passed_and_then_force(void **state) {
    write_users("100", 100);
    write_users("90", 90);
    write_users("89", 89);
    write_users("1000", 1000);
    write_users("900", 900);
    write_users("899", 899);
    write_users("11", 11);
    write_users("1", 1);
    assert_runs("--dir d import example.com 100", 0, "100 addresses");
    assert_runs("--dir d import example.com 89", 1,
                "would shrink from 100 addresses to 89, by more than 10 % and more than 10");
    assert_runs("--dir d import example.com 90", 0, "90 addresses");
    assert_runs("--dir d import example.com 1000", 0, "1000 addresses");
    assert_runs("--dir d import example.com 899", 1, "would shrink");
    assert_runs("--dir d import example.com 900", 0, "900 addresses");
    assert_runs("--dir d --force import example.com 11", 0, "11 addresses");
    assert_runs("--dir d import example.com 1", 0, "1 addresses");
}

static void the_bounds_of_shrinking_come_from_the_configuration(void **state) {
    write_text("conf", "hostname mx.example.com\nlisten 127.0.0.1:2525\ndirectory_path d\nservers s {\n"
                       "    server 127.0.0.1:26\n}\n"
                       "limits {\n    directory_shrink_percent 50\n    directory_shrink_addresses 2\n}\n"
                       "domain example.com {\n    servers s\n}\n");
    write_users("10", 10);
    write_users("5", 5);
    write_users("2", 2);
    assert_runs("-c conf import example.com 10", 0, "10 addresses");
    assert_runs("-c conf import example.com 5", 0, "5 addresses");
    assert_runs("-c conf import example.com 2", 1, "by more than 50 % and more than 2");
}

static void check_says_known_and_how(void **state) {
    write_text("users", "anna\n");
    assert_runs("--dir d import example.com users", 0, "1 addresses");
    assert_runs("--dir d check ANNA@example.com", 0, "known (own entry)");
    assert_runs("--dir d check anna+x@example.com", 0, "known (sub-address)");
    assert_runs("--dir d --sub-address - check anna+x@example.com", 1, "unknown");
    assert_runs("--dir d check bob@example.com", 1, "unknown");
    assert_runs("--dir d check Abuse@example.com", 0, "known (postmaster)");
    assert_runs("--dir d check postmaster", 0, "known (postmaster)");
    assert_runs("--dir d check anna@example.net", 3, "missing directory");
    assert_runs("--dir d check nobody", 64, "is no address");
}

static void check_follows_the_rules_of_each_domain(void **state) {
    write_text("conf", "hostname mx.example.com\nlisten 127.0.0.1:2525\ndirectory_path d\nservers s {\n"
                       "    server 127.0.0.1:26\n}\n"
                       "timeouts {\n    directory_age 1d\n}\ndomain_defaults {\n    servers s\n}\n"
                       "domain example.com { catch_all all@example.com }\n"
                       "domain example.org { directory of example.net }\n"
                       "domain example.net { postmaster root@example.net }\ndomain lists.example { directory none }\n");
    write_text("users", "anna\n");
    assert_runs("-c conf import example.net users", 0, "1 addresses");
    assert_runs("-c conf check anna@example.org", 0, "known (own entry)");
    assert_runs("-c conf check postmaster@example.net", 0, "known (postmaster), goes to root@example.net");
    assert_runs("-c conf check x@lists.example", 3, "not checked here");
    assert_runs("-c conf check x@example.com", 3, "missing directory");
    assert_runs("-c conf import example.com users", 0, "1 addresses");
    assert_runs("-c conf check x@example.com", 0, "known (catch-all), goes to all@example.com");
    assert_runs("-c conf check x@example.edu", 1, "not one of our domains");
    assert_runs("-c conf import example.org users", 1, "uses that of example.net");
    assert_runs("-c conf import exampel.net users", 1, "did you mean example.net?");
    assert_runs("-c conf stats", 0, "uses the list of example.net");

    struct directory_writer *writer;
    assert_int_equal(directory_writer_new("d", STR("example.net"), STR("old"), &writer), 0);
    assert_int_equal(directory_writer_add(writer, STR("anna"), STR("anna@example.net")), 0);
    assert_int_equal(directory_writer_commit(writer, clock_wall_ms() - 25 * 3600 * 1000), 0);
    assert_runs("-c conf check anna@example.net", 0, "known (own entry)");
    assert_runs("-c conf check bob@example.net", 3, "too old");
    assert_runs("-c conf stats", 0, "25 h 0 min");
}

static void stats_shows_source_and_count_and_what_is_damaged(void **state) {
    write_text("users", "anna\nbob\n");
    assert_runs("--dir d import example.com users", 0, "2 addresses");
    write_text("d/broken.example.cdb", "no database");
    assert_runs("--dir d stats", 0, "broken.example");
    assert_non_null(strstr(said, "damaged"));
    assert_non_null(strstr(said, "KiB  users\n"));
    assert_runs("--dir d check x@broken.example", 3, "damaged");
    assert_runs("--dir d export broken.example", 3, "damaged");
    assert_runs("--dir d import broken.example users", 0, "not compared with");
}

static void the_guess_is_told_and_can_be_overruled(void **state) {
    write_text("users", "mail\nanna@example.com\n");
    assert_runs("--dir d import example.com users", 0, "users: read as csv");
    assert_runs("--dir d export example.com", 0, "anna@example.com\n");
    assert_runs("--dir d --format list import example.com users", 0, "2 addresses");
}

static void columns_and_delimiters_can_be_named(void **state) {
    write_text("users", "name|primary\nAnna|anna@example.com\n");
    assert_runs("--dir d --format csv --delimiter | --column Primary import example.com users", 0, "1 addresses");
    write_text("tabs", "na,me\tmail\nAnna\tanna@example.com\n");
    assert_runs("--dir d --format csv --delimiter tab import example.com tabs", 0, "1 addresses");
    assert_runs("--dir d --delimiter || import example.com users", 64, "one character");
}

static void wrong_use_is_64_and_a_broken_configuration_78(void **state) {
    write_text("users", "a\n");
    assert_runs("", 64, "usage:");
    assert_runs("--dir d forget example.com", 64, "unknown action 'forget'");
    assert_runs("--dir d import example.com", 64, "import takes DOMAIN FILE");
    assert_runs("--dir d stats more", 64, "stats takes no arguments");
    assert_runs("--dir d -c conf stats", 64, "exclude each other");
    assert_runs("--sub-address + check a@example.com", 64, "goes with --dir");
    assert_runs("--dir d --format xml import example.com users", 64, "unknown format 'xml'");
    assert_runs("-c nowhere stats", 78, "nowhere");
    assert_runs("--dir d import ../x users", 1, "is no domain name");
    assert_runs("--dir d import example.com nowhere", 1, "No such file");
    assert_runs("--dir d export example.com", 3, "never imported");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter_dir, leave_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_imported_is_exported_and_can_be_imported_again),
        TEST(an_unquoted_hash_is_exported_in_quotes),
        TEST(a_malformed_line_refuses_the_file_also_with_force),
        TEST(a_file_without_an_address_is_refused_also_with_force),
        TEST(shrinking_needs_both_bounds_passed_and_then_force),
        TEST(the_bounds_of_shrinking_come_from_the_configuration),
        TEST(check_says_known_and_how),
        TEST(check_follows_the_rules_of_each_domain),
        TEST(stats_shows_source_and_count_and_what_is_damaged),
        TEST(the_guess_is_told_and_can_be_overruled),
        TEST(columns_and_delimiters_can_be_named),
        TEST(wrong_use_is_64_and_a_broken_configuration_78),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
