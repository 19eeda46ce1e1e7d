/*
 * Socket files: who is there already, and who may connect.
 */
#include "net/unix_socket.h"

#include "net_test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[96];

static int set_up(void **state) {
    snprintf(folder, sizeof(folder), "/tmp/test_unix_socket_XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    return 0;
}

static int tear_down(void **state) {
    unlink(path);
    return rmdir(folder);
}

static struct stat file(void) {
    struct stat st = { 0 };
    lstat(path, &st);
    return st;
}

static void mode_and_group_are_what_was_asked_for(void **state) {
    int fd;
    gid_t group = geteuid() == 0 ? 1 : getegid();
    assert_int_equal(unix_socket_open(path, 0622, group, 4, &fd), 0);
    assert_int_equal(file().st_mode, S_IFSOCK | 0622);
    assert_int_equal(file().st_gid, group);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC && fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(unix_socket_set_access(path, 0600, (gid_t)-1), 0);
    assert_int_equal(file().st_mode, S_IFSOCK | 0600);
    assert_int_equal(file().st_gid, group);
    close(fd);
}

static void a_stale_file_is_replaced_and_a_live_one_is_not(void **state) {
    int dead, live, fd;
    assert_int_equal(unix_socket_open(path, 0600, (gid_t)-1, 1, &dead), 0);
    close(dead);
    assert_int_equal(unix_socket_open(path, 0600, (gid_t)-1, 1, &live), 0);
    assert_int_equal(unix_socket_open(path, 0600, (gid_t)-1, 1, &fd), -EADDRINUSE);
    assert_int_equal(unix_socket_open(path, 0600, (gid_t)-1, 1, &fd), -EADDRINUSE); /* its backlog is full by now */
    assert_int_equal(unix_socket_open(path, 0600, (gid_t)-1, 1, &fd), -EADDRINUSE);
    close(live);
}

static void what_is_no_socket_is_left_alone(void **state) {
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unix_socket_open(path, 0666, (gid_t)-1, 1, &fd), -EEXIST);
    assert_int_equal(unix_socket_set_access(path, 0666, (gid_t)-1), -ENOTSOCK);
    assert_int_equal(file().st_mode, S_IFREG | 0640);
}

static void a_link_in_its_place_is_not_followed(void **state) {
    char target[96];
    snprintf(target, sizeof(target), "%s/target", folder);
    int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(unix_socket_set_access(path, 0666, (gid_t)-1), -ENOTSOCK);
    struct stat st;
    assert_int_equal(stat(target, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0640);
    unlink(target);
}

static void paths_at_the_bound_and_nowhere(void **state) {
    char long_path[UNIX_SOCKET_PATH_MAX + 2];
    int fd;
    memset(long_path, 'x', sizeof(long_path));
    memcpy(long_path, folder, strlen(folder));
    long_path[strlen(folder)] = '/';
    long_path[UNIX_SOCKET_PATH_MAX + 1] = '\0';
    assert_int_equal(unix_socket_open(long_path, 0600, (gid_t)-1, 1, &fd), -ENAMETOOLONG);
    long_path[UNIX_SOCKET_PATH_MAX] = '\0';
    assert_int_equal(unix_socket_open(long_path, 0600, (gid_t)-1, 1, &fd), 0);
    close(fd);
    unlink(long_path);
    assert_int_equal(unix_socket_open("/nowhere/at/all", 0600, (gid_t)-1, 1, &fd), -ENOENT);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(mode_and_group_are_what_was_asked_for),
        TEST(a_stale_file_is_replaced_and_a_live_one_is_not),
        TEST(what_is_no_socket_is_left_alone),
        TEST(a_link_in_its_place_is_not_followed),
        TEST(paths_at_the_bound_and_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
