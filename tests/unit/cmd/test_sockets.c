/*
 * Listening sockets that change in two steps: what is prepared takes no client before it is committed, and leaves no
 * trace when it is rolled back.
 */
#include "cmd/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct cidr balancer = { .bits = 0 };

static struct endpoint loopback(void) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return (struct endpoint){ .ip = { .family = IP_V4, .bytes = { 127, 0, 0, 1 } }, .port = ntohs(at.sin_port) };
}

/* From 127.0.0.HOST. Returns the descriptor, connected in the backlog of one of the sockets. */
static int connect_from(unsigned host, const struct endpoint *to) {
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + host) };
    struct sockaddr_storage at;
    socklen_t len = endpoint_to_sockaddr(to, &at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    return fd;
}

/* How many connections wait in the sockets from `first` on. */
static unsigned take_waiting(const struct listening *listening, unsigned first) {
    unsigned n = 0;
    for (unsigned i = first; i < listening->n; i++)
        for (int fd; (fd = accept(listening->fds[i], NULL, NULL)) >= 0; n++)
            close(fd);
    return n;
}

static void connect_many(const struct endpoint *to) {
    for (unsigned host = 1; host <= 32; host++)
        close(connect_from(host, to));
}

static void grown_sockets_take_clients_only_when_committed(void **state) {
    static const bool proxied[] = { false, true };
    for (unsigned i = 0; i < 2; i++)
        for (unsigned before = 1; before <= 2; before++) {
            struct conf_listener listener = { .at = loopback() };
            if (proxied[i])
                listener.proxy_from = (struct conf_cidrs){ &balancer, 1 };
            struct conf conf = { .listeners = &listener, .n_listeners = 1 };
            struct sockets sockets = { 0 };
            const struct conf_listener *failed;
            assert_int_equal(sockets_prepare(&sockets, &conf, before, &failed), 0);
            assert_int_equal(sockets_commit(&sockets, &conf, before), 0);
            assert_int_equal(sockets_prepare(&sockets, &conf, 4, &failed), 0);
            const struct listening *listening = sockets_find(&sockets, &listener);
            assert_int_equal(listening->n, 4);
            if (before > 1) { /* a group of one has no program before it grows: see sockets.c */
                connect_many(&listener.at);
                assert_int_equal(take_waiting(listening, before), 0);
                assert_int_equal(take_waiting(listening, 0), 32);
            }
            assert_int_equal(sockets_commit(&sockets, &conf, 4), 0);
            assert_int_equal(sockets.n_slots, 4);
            connect_many(&listener.at);
            assert_true(take_waiting(listening, before) > 0);
            sockets_close(&sockets);
        }
}

static void a_rollback_closes_what_was_prepared_and_nothing_else(void **state) {
    struct conf_listener listeners[2] = { { .at = loopback() }, { .at = loopback() } };
    struct conf one = { .listeners = listeners, .n_listeners = 1 }, two = { .listeners = listeners, .n_listeners = 2 };
    struct sockets sockets = { 0 };
    const struct conf_listener *failed;
    assert_int_equal(sockets_prepare(&sockets, &one, 2, &failed), 0);
    assert_int_equal(sockets_commit(&sockets, &one, 2), 0);
    assert_int_equal(sockets_prepare(&sockets, &two, 3, &failed), 0);
    sockets_rollback(&sockets);
    assert_int_equal(sockets.n, 1);
    assert_null(sockets_find(&sockets, &listeners[1]));
    assert_int_equal(sockets_find(&sockets, &listeners[0])->n, 2);
    connect_many(&listeners[0].at);
    assert_int_equal(take_waiting(sockets_find(&sockets, &listeners[0]), 0), 32);
    sockets_close(&sockets);
}

static void an_address_in_use_is_named_and_changes_nothing(void **state) {
    struct conf_listener listeners[2] = { { .at = loopback() }, { .at = loopback() } };
    struct conf taken = { .listeners = listeners + 1, .n_listeners = 1 };
    struct conf both = { .listeners = listeners, .n_listeners = 2 };
    struct sockets other = { 0 }, sockets = { 0 };
    const struct conf_listener *failed;
    assert_int_equal(sockets_prepare(&other, &taken, 1, &failed), 0);
    assert_int_equal(sockets_prepare(&sockets, &both, 2, &failed), -EADDRINUSE);
    assert_ptr_equal(failed, &listeners[1]);
    assert_int_equal(sockets.n, 0);
    sockets_close(&sockets);
    sockets_close(&other);
}

static void a_listener_that_is_no_longer_named_is_closed_at_commit(void **state) {
    struct conf_listener listeners[2] = { { .at = loopback() }, { .at = loopback() } };
    struct conf both = { .listeners = listeners, .n_listeners = 2 }, one = { .listeners = listeners, .n_listeners = 1 };
    struct sockets sockets = { 0 };
    const struct conf_listener *failed;
    assert_int_equal(sockets_prepare(&sockets, &both, 2, &failed), 0);
    assert_int_equal(sockets_commit(&sockets, &both, 2), 0);
    assert_int_equal(sockets_prepare(&sockets, &one, 2, &failed), 0);
    assert_int_equal(sockets.n, 2);
    assert_int_equal(sockets_commit(&sockets, &one, 2), 0);
    assert_int_equal(sockets.n, 1);
    assert_null(sockets_find(&sockets, &listeners[1]));
    sockets_close(&sockets);
}

static mode_t mode_of(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_mode : 0;
}

static void a_socket_file_is_kept_by_a_reload_and_removed_at_the_end(void **state) {
    char folder[] = "/tmp/test_sockets_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/policy", folder);
    struct conf_listener listeners[2] = { { .at = loopback() }, { .path = path, .door = CONF_DOOR_POLICY, .mode = 0660,
                                          .gid = (gid_t)-1 } };
    struct conf both = { .listeners = listeners, .n_listeners = 2 }, one = { .listeners = listeners, .n_listeners = 1 };
    struct sockets sockets = { 0 }, other = { 0 };
    const struct conf_listener *failed;
    assert_int_equal(sockets_prepare(&sockets, &one, 2, &failed), 0);
    assert_int_equal(sockets_commit(&sockets, &one, 2), 0);
    assert_int_equal(sockets_prepare(&sockets, &both, 2, &failed), 0);
    assert_int_equal(mode_of(path), S_IFSOCK | 0660);
    sockets_rollback(&sockets);
    assert_int_equal(mode_of(path), 0);
    assert_int_equal(sockets_prepare(&sockets, &both, 2, &failed), 0);
    assert_int_equal(sockets_commit(&sockets, &both, 2), 0);
    assert_int_equal(sockets_find(&sockets, &listeners[1])->n, 1);
    int fd = sockets_find(&sockets, &listeners[1])->fds[0];
    listeners[1].mode = 0600;
    assert_int_equal(sockets_prepare(&sockets, &both, 4, &failed), 0);
    assert_int_equal(mode_of(path), S_IFSOCK | 0660); /* nothing changes before the new configuration serves */
    assert_int_equal(sockets_commit(&sockets, &both, 4), 0);
    assert_int_equal(mode_of(path), S_IFSOCK | 0600);
    assert_int_equal(sockets_find(&sockets, &listeners[1])->fds[0], fd);
    struct conf second = { .listeners = listeners + 1, .n_listeners = 1 };
    assert_int_equal(sockets_prepare(&other, &second, 1, &failed), -EADDRINUSE);
    assert_int_equal(mode_of(path), S_IFSOCK | 0600); /* another instance takes nothing away */
    sockets_close(&other);
    sockets_close(&sockets);
    assert_int_equal(mode_of(path), 0);
    rmdir(folder);
}

static void inherited_descriptors_that_do_not_listen_are_closed(void **state) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct sockets sockets = { 0 };
    assert_int_equal(sockets_inherit(&sockets, pair[0], 1), 0);
    assert_int_equal(close(pair[0]), -1);
    close(pair[1]);
    sockets_close(&sockets);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grown_sockets_take_clients_only_when_committed),
        cmocka_unit_test(a_rollback_closes_what_was_prepared_and_nothing_else),
        cmocka_unit_test(an_address_in_use_is_named_and_changes_nothing),
        cmocka_unit_test(a_listener_that_is_no_longer_named_is_closed_at_commit),
        cmocka_unit_test(a_socket_file_is_kept_by_a_reload_and_removed_at_the_end),
        cmocka_unit_test(inherited_descriptors_that_do_not_listen_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
