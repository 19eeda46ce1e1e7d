/*
 * Folders, descriptors, cores; and where a subcommand finds the control socket.
 */
#include "cmd/ask.h"
#include "cmd/host.h"
#include "session/worker.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state) {
    char *dir = strdup("/tmp/postern-host-XXXXXX");
    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int tear_down(void **state) {
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", (char *)*state);
    assert_int_equal(system(command), 0);
    free(*state);
    return 0;
}

static void folders_are_made_with_their_parents_and_mode(void **state) {
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s/a/b/c", (char *)*state);
    assert_int_equal(host_make_folder(path, 0750, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    snprintf(path, sizeof(path), "%s/a/b", (char *)*state);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

static void what_exists_is_left_as_it_is(void **state) {
    const char *dir = *state;
    struct stat st;
    assert_int_equal(chmod(dir, 0711), 0);
    assert_int_equal(host_make_folder(dir, 0750, "no-such-user-at-all"), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0711);
}

static void a_file_in_the_way_and_an_unknown_owner_are_errors(void **state) {
    char path[128];
    snprintf(path, sizeof(path), "%s/file", (char *)*state);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(host_make_folder(path, 0750, NULL), -ENOTDIR);
    snprintf(path, sizeof(path), "%s/owned", (char *)*state);
    assert_int_equal(host_make_folder(path, 0750, "no-such-user-at-all"), -ENOENT);
    assert_int_equal(access(path, F_OK), -1); /* or it would stay root's when the user is there */
}

static void the_limit_of_open_files_is_raised_and_never_lowered(void **state) {
    struct conf conf = { 0 };
    struct rlimit before, now;
    unsigned long needed;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit low = { 64, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    conf.set.limits.connections = 100;
    assert_int_equal(host_raise_files(&conf, &needed), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &now), 0);
    assert_int_equal(now.rlim_cur, needed);
    assert_true(needed > 100);
    conf.set.limits.connections = 10;
    assert_int_equal(host_raise_files(&conf, &needed), 0);
    struct rlimit after;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
    assert_int_equal(after.rlim_cur, now.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void workers_are_between_one_and_the_most(void **state) {
    struct conf conf = { 0 };
    assert_in_range(host_workers(&conf), 1, WORKER_MAX);
    conf.set.workers = WORKER_MAX;
    assert_int_equal(host_workers(&conf), WORKER_MAX);
    conf.set.workers = WORKER_MAX + 1;
    assert_int_equal(host_workers(&conf), WORKER_MAX);
}

static void assert_socket(const char *dir, const char *conf_text, const char *socket, const char *expected) {
    char conf[128];
    struct buf path;
    snprintf(conf, sizeof(conf), "%s/postern.conf", dir);
    FILE *file = fopen(conf, "w");
    assert_non_null(file);
    fputs(conf_text, file);
    fclose(file);
    struct ask_options options = { .conf_path = conf, .socket = socket };
    buf_init(&path, 4096);
    assert_int_equal(ask_socket_path(&options, &path), 0);
    assert_string_equal(path.at, expected);
    buf_deinit(&path);
}

static void the_control_socket_is_found_in_a_configuration_that_does_not_load(void **state) {
    const char *dir = *state;
    char relative[128];
    snprintf(relative, sizeof(relative), "%s/run/control", dir);
    assert_socket(dir, "hostnam x {\n  control_socket /run/other # here\n", NULL, "/run/other");
    assert_socket(dir, "nonsense\ncontrol_socket \"run/control\"\n", NULL, relative);
    assert_socket(dir, "nonsense\n#control_socket /run/other\ncontrol_sockets /x\n", NULL, ASK_DEFAULT_SOCKET);
    assert_socket(dir, "control_socket /run/other\n", "/given", "/given");
}

#define with_folder(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_folder(folders_are_made_with_their_parents_and_mode),
        with_folder(what_exists_is_left_as_it_is),
        with_folder(a_file_in_the_way_and_an_unknown_owner_are_errors),
        cmocka_unit_test(the_limit_of_open_files_is_raised_and_never_lowered),
        cmocka_unit_test(workers_are_between_one_and_the_most),
        with_folder(the_control_socket_is_found_in_a_configuration_that_does_not_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
