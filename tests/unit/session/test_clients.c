/* Who is connected, how often, and who gives way. */
#include "session/clients.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state) {
    struct clients *clients = malloc(sizeof(*clients));
    hash_init();
    assert_non_null(clients);
    assert_int_equal(clients_init(clients), 0);
    *state = clients;
    return 0;
}

static int teardown(void **state) {
    clients_deinit(*state);
    free(*state);
    return 0;
}

static void enter(struct clients *clients, uint64_t key, struct silence *member) {
    assert_int_equal(clients_enter(clients, key, member), 0);
    clients_touch(clients, member);
}

static void connections_of_one_client_are_counted_together(void **state) {
    struct clients *clients = *state;
    struct silence a = { 0 }, b = { 0 }, other = { 0 };
    enter(clients, 1, &a);
    enter(clients, 1, &b);
    enter(clients, 2, &other);
    assert_ptr_equal(a.client, b.client);
    assert_int_equal(a.client->connections, 2);
    assert_int_equal(other.client->connections, 1);
    clients_leave(clients, &a);
    assert_int_equal(b.client->connections, 1);
    clients_leave(clients, &b);
    clients_leave(clients, &other);
    assert_int_equal(clients->n_clients, 0);
}

static void ten_thousand_clients_are_found_again_after_the_table_has_grown(void **state) {
    enum { N = 10000 };
    struct clients *clients = *state;
    struct silence *members = calloc(2 * N, sizeof(*members));
    assert_non_null(members);
    for (uint64_t i = 0; i < N; i++)
        enter(clients, i, &members[i]);
    for (uint64_t i = 0; i < N; i++)
        enter(clients, i, &members[N + i]);
    assert_int_equal(clients->n_clients, N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(members[i].client->connections, 2);
    for (size_t i = 0; i < 2 * N; i++)
        clients_leave(clients, &members[i]);
    assert_int_equal(clients->n_clients, 0);
    assert_null(clients_victim(clients));
    free(members);
}

static void the_one_silent_longest_gives_way(void **state) {
    struct clients *clients = *state;
    struct silence a = { 0 }, b = { 0 }, c = { 0 };
    enter(clients, 1, &a);
    enter(clients, 2, &b);
    enter(clients, 3, &c);
    assert_ptr_equal(clients_victim(clients), &a);
    clients_touch(clients, &a);
    assert_ptr_equal(clients_victim(clients), &b);
    clients_leave(clients, &b);
    assert_ptr_equal(clients_victim(clients), &c);
    clients_leave(clients, &a);
    clients_leave(clients, &c);
}

static void who_waits_for_us_never_gives_way(void **state) {
    struct clients *clients = *state;
    struct silence a = { 0 }, b = { 0 };
    enter(clients, 1, &a);
    enter(clients, 2, &b);
    clients_excuse(&a);
    assert_ptr_equal(clients_victim(clients), &b);
    clients_excuse(&b);
    assert_null(clients_victim(clients));
    clients_touch(clients, &a);
    assert_ptr_equal(clients_victim(clients), &a);
    clients_leave(clients, &a);
    clients_leave(clients, &b);
}

static void a_client_with_many_silent_connections_gives_way_before_one_with_few(void **state) {
    struct clients *clients = *state;
    struct silence single = { 0 }, many[3] = { 0 };
    enter(clients, 1, &single);
    for (int i = 0; i < 3; i++)
        enter(clients, 2, &many[i]);
    assert_ptr_equal(clients_victim(clients), &many[0]);
    for (int i = 0; i < 3; i++)
        clients_leave(clients, &many[i]);
    clients_leave(clients, &single);
}

static void a_busy_client_does_not_pay_for_many_silent_strangers(void **state) {
    struct clients *clients = *state;
    struct silence strangers[CLIENTS_VICTIMS] = { 0 }, busy[5] = { 0 };
    for (uint64_t i = 0; i < CLIENTS_VICTIMS; i++)
        enter(clients, 100 + i, &strangers[i]);
    for (int i = 0; i < 5; i++)
        enter(clients, 7, &busy[i]);
    assert_ptr_equal(clients_victim(clients), &strangers[0]);
    for (int i = 0; i < CLIENTS_VICTIMS; i++)
        clients_leave(clients, &strangers[i]);
    assert_ptr_equal(clients_victim(clients), &busy[0]);
    for (int i = 0; i < 5; i++)
        clients_leave(clients, &busy[i]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(connections_of_one_client_are_counted_together),
        TEST(ten_thousand_clients_are_found_again_after_the_table_has_grown),
        TEST(the_one_silent_longest_gives_way),
        TEST(who_waits_for_us_never_gives_way),
        TEST(a_client_with_many_silent_connections_gives_way_before_one_with_few),
        TEST(a_busy_client_does_not_pay_for_many_silent_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
