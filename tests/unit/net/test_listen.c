/*
 * Where connections arrive: the kernel's choice of socket is ip_client_slot()'s, all sockets share a port, accepted
 * sockets carry TCP_NODELAY, and a shortage of descriptors makes the listener rest instead of spin.
 */
#include "net_test.h"

#include "net/listen.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

enum { SLOTS = 4, CLIENTS = 100 };

static uint16_t port_of(int fd) {
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    return endpoint_from_sockaddr(&at).port;
}

static int connect_from(const char *client, const char *server, uint16_t port) {
    struct endpoint from = { 0 }, to = { 0 };
    struct sockaddr_storage at;
    assert_int_equal(ip_parse(str_of(client), &from.ip), 0);
    assert_int_equal(ip_parse(str_of(server), &to.ip), 0);
    to.port = port;
    socklen_t len = endpoint_to_sockaddr(&from, &at);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    len = endpoint_to_sockaddr(&to, &at);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    return fd;
}

struct door {
    struct listener listener;
    struct endpoint last;
    int last_fd;
    unsigned n_accepted, n_short;
    bool try_again, stops;
};

static void on_accept(struct listener *listener, int take_fd, const struct endpoint *client) {
    struct door *door = listener->arg;
    door->n_accepted++;
    door->last = *client;
    if (door->last_fd > 0)
        close(door->last_fd);
    door->last_fd = take_fd;
    if (door->stops)
        listener_stop(listener, false);
}

static bool on_short(struct listener *listener, int err) {
    struct door *door = listener->arg;
    door->n_short++;
    assert_int_equal(err, EMFILE);
    bool again = door->try_again;
    door->try_again = false;
    return again;
}

static void connections_arrive_at_the_slot_of_their_address(void **state) {
    struct loop *loop = loop_for_test();
    struct endpoint at = { 0 };
    int fds[SLOTS];
    struct door doors[SLOTS] = { 0 };
    unsigned used[SLOTS] = { 0 };
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at.ip), 0);
    assert_int_equal(listen_open(&at, SLOTS, true, fds), 0);
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(port_of(fds[i]), port_of(fds[0]));
        assert_int_equal(listener_start(&doors[i].listener, loop, fds[i], on_accept, on_short, &doors[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        char client[IP_TEXT_MAX];
        struct ip ip;
        snprintf(client, sizeof client, "127.%d.%d.%d", i % 7, i % 13 * 17, 1 + i * 2);
        assert_int_equal(ip_parse(str_of(client), &ip), 0);
        uint32_t slot = ip_client_slot(&ip, SLOTS);
        int fd = connect_from(client, "127.0.0.1", port_of(fds[0]));
        turns(loop, 1);
        assert_int_equal(doors[slot].n_accepted, ++used[slot]);
        assert_true(ip_eq(&doors[slot].last.ip, &ip));
        close(fd);
    }
    for (int i = 0; i < SLOTS; i++) {
        assert_true(used[i] > 0);
        listener_stop(&doors[i].listener, false);
        close(doors[i].last_fd);
        close(fds[i]);
    }
    loop_free(loop);
}

static void ipv6_connections_arrive_at_the_slot_of_their_network(void **state) {
    struct loop *loop = loop_for_test();
    struct endpoint at = { 0 };
    int fds[SLOTS];
    struct door doors[SLOTS] = { 0 };
    assert_int_equal(ip_parse(STR("::1"), &at.ip), 0);
    int r = listen_open(&at, SLOTS, true, fds);
    if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT) {
        loop_free(loop);
        skip();
    }
    assert_int_equal(r, 0);
    uint32_t slot = ip_client_slot(&at.ip, SLOTS);
    for (int i = 0; i < SLOTS; i++)
        assert_int_equal(listener_start(&doors[i].listener, loop, fds[i], on_accept, on_short, &doors[i]), 0);
    int fd = connect_from("::1", "::1", port_of(fds[0]));
    turns(loop, 1);
    assert_int_equal(doors[slot].n_accepted, 1);
    close(fd);
    for (int i = 0; i < SLOTS; i++) {
        listener_stop(&doors[i].listener, false);
        close(fds[i]);
    }
    close(doors[slot].last_fd);
    loop_free(loop);
}

static void a_port_that_another_listens_on_is_in_use_even_if_it_would_share(void **state) {
    struct endpoint at = { 0 };
    int fds[2], more[2];
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at.ip), 0);
    assert_int_equal(listen_open(&at, 2, true, fds), 0);
    at.port = port_of(fds[0]);
    assert_int_equal(listen_open(&at, 2, true, more), -EADDRINUSE);
    assert_int_equal(listen_open(&at, 1, true, more), -EADDRINUSE);
    assert_int_equal(listen_open(&at, 0, true, more), -EINVAL);
    close(fds[0]);
    close(fds[1]);
}

static void accepted_sockets_send_without_delay_and_do_not_block(void **state) {
    struct loop *loop = loop_for_test();
    struct endpoint at = { 0 };
    struct door door = { 0 };
    int fd, value = 0;
    socklen_t len = sizeof value;
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at.ip), 0);
    assert_int_equal(listen_open(&at, 1, true, &fd), 0);
    assert_int_equal(listener_start(&door.listener, loop, fd, on_accept, on_short, &door), 0);
    int peer = connect_from("127.0.0.9", "127.0.0.1", port_of(fd));
    turns(loop, 1);
    assert_int_equal(door.n_accepted, 1);
    assert_int_equal(getsockopt(door.last_fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(recv(door.last_fd, &value, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    listener_stop(&door.listener, false);
    close(door.last_fd);
    close(peer);
    close(fd);
    loop_free(loop);
}

static void a_draining_listener_takes_what_waits_and_one_stopped_inside_takes_no_more(void **state) {
    struct loop *loop = loop_for_test();
    struct endpoint at = { 0 };
    struct door door = { 0 };
    int fd, peers[6];
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at.ip), 0);
    assert_int_equal(listen_open(&at, 1, true, &fd), 0);
    for (int i = 0; i < 6; i++)
        peers[i] = connect_from("127.0.0.1", "127.0.0.1", port_of(fd));
    assert_int_equal(listener_start(&door.listener, loop, fd, on_accept, on_short, &door), 0);
    door.stops = true;
    turns(loop, 2);
    assert_int_equal(door.n_accepted, 1);
    door.stops = false;
    assert_int_equal(listener_start(&door.listener, loop, fd, on_accept, on_short, &door), 0);
    listener_stop(&door.listener, true);
    assert_int_equal(door.n_accepted, 6);
    listener_stop(&door.listener, true);
    for (int i = 0; i < 6; i++)
        close(peers[i]);
    close(door.last_fd);
    close(fd);
    loop_free(loop);
}

static void out_of_descriptors_the_listener_rests_and_then_goes_on(void **state) {
    struct loop *loop = loop_for_test();
    struct endpoint at = { 0 };
    struct door door = { .try_again = true };
    struct rlimit before, none;
    int fd;
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at.ip), 0);
    assert_int_equal(listen_open(&at, 1, true, &fd), 0);
    assert_int_equal(listener_start(&door.listener, loop, fd, on_accept, on_short, &door), 0);
    int peer = connect_from("127.0.0.1", "127.0.0.1", port_of(fd));
    loop_set_time(loop, 1000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){ .rlim_cur = 1, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turns(loop, 5);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(door.n_short, 2);
    turns(loop, 5);
    assert_int_equal(door.n_accepted, 0);
    loop_set_time(loop, 1050);
    turns(loop, 2);
    assert_int_equal(door.n_accepted, 1);
    listener_stop(&door.listener, false);
    close(door.last_fd);
    close(peer);
    close(fd);
    loop_free(loop);
}

/* On a port that is named, as in a configuration: such a socket stays bound whatever happens to it. */
static int listen_on_a_named_port(struct endpoint *at) {
    int fd;
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at->ip), 0);
    at->port = 0;
    assert_int_equal(listen_open(at, 1, true, &fd), 0);
    at->port = port_of(fd);
    close(fd);
    assert_int_equal(listen_open(at, 1, true, &fd), 0);
    return fd;
}

static void connect_nowhere(int fd) {
    const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
    assert_int_equal(connect(fd, &nowhere, sizeof nowhere), 0);
}

/* As a worker that was taken over can do to the socket that it has from the master. */
static void a_socket_that_was_made_deaf_listens_again_and_its_listener_does_not_spin(void **state) {
    struct loop *loop = loop_for_test();
    struct endpoint at = { 0 };
    struct door door = { 0 };
    int fd = listen_on_a_named_port(&at);
    const uint16_t port = at.port;
    assert_int_equal(listener_start(&door.listener, loop, fd, on_accept, on_short, &door), 0);
    assert_int_equal(listen_keep(fd), 0);
    loop_set_time(loop, 1000);
    connect_nowhere(fd);
    turns(loop, 3);
    assert_int_equal(door.listener.watch.fd, -1); /* no event comes while it rests */
    assert_int_equal(listen_keep(fd), 1);
    assert_int_equal(port_of(fd), port);
    int peer = connect_from("127.0.0.1", "127.0.0.1", port);
    turns(loop, 3);
    assert_int_equal(door.n_accepted, 0);
    loop_set_time(loop, 1050);
    turns(loop, 3);
    assert_int_equal(door.n_accepted, 1);
    listener_stop(&door.listener, false);
    close(door.last_fd);
    close(peer);
    close(fd);
    loop_free(loop);
}

static void a_socket_that_was_connected_elsewhere_comes_back(void **state) {
    struct endpoint at = { 0 }, other_at = { 0 };
    int fds[2] = { listen_on_a_named_port(&at), listen_on_a_named_port(&other_at) };
    const uint16_t port = at.port;
    const struct sockaddr_in other = { .sin_family = AF_INET, .sin_port = htons(other_at.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    connect_nowhere(fds[0]);
    if (connect(fds[0], (const struct sockaddr *)&other, sizeof other) < 0)
        assert_int_equal(errno, EINPROGRESS);
    assert_int_equal(fcntl(fds[0], F_SETFL, 0), 0);
    assert_int_equal(listen_keep(fds[0]), 1);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    close(connect_from("127.0.0.1", "127.0.0.1", port));
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_arrive_at_the_slot_of_their_address),
        cmocka_unit_test(ipv6_connections_arrive_at_the_slot_of_their_network),
        cmocka_unit_test(a_port_that_another_listens_on_is_in_use_even_if_it_would_share),
        cmocka_unit_test(accepted_sockets_send_without_delay_and_do_not_block),
        cmocka_unit_test(a_draining_listener_takes_what_waits_and_one_stopped_inside_takes_no_more),
        cmocka_unit_test(out_of_descriptors_the_listener_rests_and_then_goes_on),
        cmocka_unit_test(a_socket_that_was_made_deaf_listens_again_and_its_listener_does_not_spin),
        cmocka_unit_test(a_socket_that_was_connected_elsewhere_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
