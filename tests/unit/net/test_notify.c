/*
 * systemd's side is played by the test: a datagram socket that hears what is said, and the variables of an inherited
 * socket.
 */
#include "net_test.h"

#include "net/notify.h"

#include <fcntl.h>
#include <sys/un.h>

static void states_are_sent_to_the_socket_named(void **state) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char path[64], text[64] = { 0 };
    snprintf(path, sizeof path, "@postern-notify-%ld", (long)getpid());
    memcpy(at.sun_path, path, strlen(path));
    at.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_send("READY=1"), 0);
    assert_int_equal(recv(fd, text, sizeof text, MSG_DONTWAIT), -1);
    setenv("NOTIFY_SOCKET", path, 1);
    assert_int_equal(notify_send("READY=1\nSTATUS=serving"), 0);
    assert_int_equal(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), 22);
    assert_string_equal(text, "READY=1\nSTATUS=serving");
    close(fd);
    assert_int_equal(notify_send("STOPPING=1"), -ECONNREFUSED);
    setenv("NOTIFY_SOCKET", "relative/path", 1);
    assert_int_equal(notify_send("STOPPING=1"), -EINVAL);
    unsetenv("NOTIFY_SOCKET");
}

static void sockets_are_inherited_only_by_the_process_they_are_for(void **state) {
    char pid[32], other[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    snprintf(other, sizeof other, "%ld", (long)getppid());
    assert_int_equal(notify_listen_fds(), 0);
    setenv("LISTEN_PID", other, 1);
    setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(notify_listen_fds(), 0);
    assert_null(getenv("LISTEN_FDS"));
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1x", 1);
    assert_int_equal(notify_listen_fds(), 0);
    int fd = open("/dev/null", O_RDONLY), saved = fcntl(3, F_DUPFD_CLOEXEC, 100);
    assert_int_equal(dup2(fd, 3), 3);
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    assert_int_equal(notify_listen_fds(), 1);
    assert_true(fcntl(3, F_GETFD) & FD_CLOEXEC);
    assert_null(getenv("LISTEN_PID"));
    if (saved >= 0) {
        dup2(saved, 3);
        close(saved);
    } else {
        close(3);
    }
    if (fd != 3)
        close(fd);
}

static void systemd_says_within_which_time_it_wants_to_hear_of_this_process(void **state) {
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("WATCHDOG_USEC", "30000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog_ms(), 30000);
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(notify_watchdog_ms(), 30000);
    setenv("WATCHDOG_USEC", "30000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(notify_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(notify_watchdog_ms(), 0);
    setenv("WATCHDOG_USEC", "1", 1);
    assert_int_equal(notify_watchdog_ms(), 2); /* half of it is a time that a timer can wait */
    unsetenv("WATCHDOG_USEC");
    assert_int_equal(notify_watchdog_ms(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_sent_to_the_socket_named),
        cmocka_unit_test(sockets_are_inherited_only_by_the_process_they_are_for),
        cmocka_unit_test(systemd_says_within_which_time_it_wants_to_hear_of_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
