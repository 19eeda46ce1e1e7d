/* Who is connected, how often, from which network, and who gives way. */
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
    struct clients *clients = *state;
    assert_int_equal(clients->clients.n, 0);
    assert_int_equal(clients->own_clients.n, 0);
    assert_int_equal(clients->networks.n, 0);
    assert_int_equal(clients->top, 0);
    clients_deinit(clients);
    free(clients);
    return 0;
}

/* Client `host` of the network 10.x.y.0/24 with number `network`. */
static struct ip address(unsigned network, unsigned host) {
    return (struct ip){ .family = IP_V4,
                        .bytes = { 10, (uint8_t)(network >> 8), (uint8_t)network, (uint8_t)host } };
}

static void admit(struct clients *clients, unsigned network, unsigned host, struct client_place *place) {
    struct ip ip = address(network, host);
    assert_int_equal(clients_enter(clients, &ip, false, place), 0);
}

static void enter(struct clients *clients, unsigned network, unsigned host, struct client_place *place) {
    admit(clients, network, host, place);
    clients_touch(clients, place);
}

static void enter_ours(struct clients *clients, unsigned network, unsigned host, struct client_place *place) {
    struct ip ip = address(network, host);
    assert_int_equal(clients_enter(clients, &ip, true, place), 0);
    clients_touch(clients, place);
}

static void leave_all(struct clients *clients, struct client_place *places, size_t n) {
    for (size_t i = 0; i < n; i++)
        clients_leave(clients, &places[i]);
}

#define LEAVE(places) leave_all(clients, places, sizeof(places) / sizeof(*places))

static void connections_are_counted_by_client_and_by_network(void **state) {
    struct clients *clients = *state;
    struct client_place places[4] = { 0 };
    enter(clients, 1, 1, &places[0]);
    enter(clients, 1, 1, &places[1]);
    enter(clients, 1, 2, &places[2]);
    enter(clients, 2, 1, &places[3]);
    assert_ptr_equal(places[0].client, places[1].client);
    assert_int_equal(places[0].client->connections, 2);
    assert_int_equal(places[2].client->connections, 1);
    assert_int_equal(clients_of_network(&places[0]), 3);
    assert_int_equal(clients_of_network(&places[3]), 1);
    clients_leave(clients, &places[0]);
    assert_int_equal(places[1].client->connections, 1);
    assert_int_equal(clients_of_network(&places[2]), 2);
    LEAVE(places);
}

static void an_ipv6_network_is_a_48(void **state) {
    struct clients *clients = *state;
    struct client_place places[3] = { 0 };
    static const char *const texts[] = { "2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:2:1::1" };
    for (int i = 0; i < 3; i++) {
        struct ip ip;
        assert_int_equal(ip_parse(str_of(texts[i]), &ip), 0);
        assert_int_equal(clients_enter(clients, &ip, false, &places[i]), 0);
    }
    assert_int_equal(places[0].client->connections, 1);
    assert_int_equal(clients_of_network(&places[0]), 2);
    assert_int_equal(clients_of_network(&places[2]), 1);
    LEAVE(places);
}

static void ten_thousand_clients_are_found_again_after_the_tables_have_grown(void **state) {
    enum { N = 10000 };
    struct clients *clients = *state;
    struct client_place *places = calloc(2 * N, sizeof(*places));
    assert_non_null(places);
    for (unsigned i = 0; i < 2 * N; i++)
        enter(clients, i % N / 4, i % N, &places[i]);
    assert_int_equal(clients->networks.n, N / 4);
    for (size_t i = 0; i < 2 * N; i++)
        assert_true(places[i].client->connections >= 2);
    leave_all(clients, places, 2 * N);
    assert_null(clients_victim(clients));
    free(places);
}

static void among_single_connections_the_one_silent_longest_gives_way(void **state) {
    struct clients *clients = *state;
    struct client_place places[3] = { 0 };
    for (unsigned i = 0; i < 3; i++)
        enter(clients, i, 1, &places[i]);
    assert_ptr_equal(clients_victim(clients), &places[0]);
    clients_touch(clients, &places[0]);
    assert_ptr_equal(clients_victim(clients), &places[1]);
    clients_leave(clients, &places[1]);
    assert_ptr_equal(clients_victim(clients), &places[2]);
    LEAVE(places);
}

static void the_network_with_most_connections_gives_way_whatever_it_waits_for(void **state) {
    struct clients *clients = *state;
    struct client_place silent = { 0 }, crowd[3] = { 0 };
    enter(clients, 1, 1, &silent);
    for (unsigned i = 0; i < 3; i++) { /* each an address of its own */
        enter(clients, 2, i, &crowd[i]);
        clients_excuse(clients, &crowd[i]);
    }
    assert_ptr_equal(clients_victim(clients), &crowd[2]); /* the last, which loses least */
    clients_leave(clients, &crowd[2]);
    assert_ptr_equal(clients_victim(clients), &crowd[1]);
    clients_leave(clients, &crowd[1]);
    assert_ptr_equal(clients_victim(clients), &silent); /* among equals a silent one */
    clients_leave(clients, &silent);
    assert_ptr_equal(clients_victim(clients), &crowd[0]);
    LEAVE(crowd);
}

static void within_a_network_a_silent_one_gives_way_before_one_that_waits(void **state) {
    struct clients *clients = *state;
    struct client_place places[3] = { 0 };
    for (unsigned i = 0; i < 3; i++)
        enter(clients, 1, i, &places[i]);
    clients_excuse(clients, &places[0]);
    clients_excuse(clients, &places[2]);
    assert_ptr_equal(clients_victim(clients), &places[1]);
    clients_excuse(clients, &places[1]);
    assert_ptr_equal(clients_victim(clients), &places[1]); /* it waits since last */
    LEAVE(places);
}

static void a_connection_whose_final_dot_is_out_never_gives_way(void **state) {
    struct clients *clients = *state;
    struct client_place places[2] = { 0 };
    enter(clients, 1, 1, &places[0]);
    enter(clients, 1, 1, &places[1]);
    clients_hold(clients, &places[0]);
    clients_excuse(clients, &places[0]);
    assert_ptr_equal(clients_victim(clients), &places[1]);
    clients_hold(clients, &places[1]);
    assert_null(clients_victim(clients));
    clients_touch(clients, &places[0]);
    assert_ptr_equal(clients_victim(clients), &places[0]);
    LEAVE(places);
}

static void a_lone_newcomer_never_gives_way(void **state) {
    struct clients *clients = *state;
    struct client_place newcomers[2] = { 0 }, talker = { 0 };
    for (unsigned i = 0; i < 2; i++) {
        admit(clients, i, 1, &newcomers[i]);
        clients_spare(clients, &newcomers[i]);
    }
    assert_null(clients_victim(clients));
    enter(clients, 9, 1, &talker);
    assert_ptr_equal(clients_victim(clients), &talker);
    clients_leave(clients, &talker);
    clients_touch(clients, &newcomers[1]); /* greeted */
    assert_ptr_equal(clients_victim(clients), &newcomers[1]);
    LEAVE(newcomers);
}

static void of_a_crowd_of_newcomers_all_but_one_may_give_way(void **state) {
    struct clients *clients = *state;
    struct client_place crowd[4] = { 0 }, talkers[2] = { 0 };
    for (unsigned i = 0; i < 4; i++) {
        admit(clients, 1, i, &crowd[i]);
        clients_spare(clients, &crowd[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        enter(clients, 2 + i, 1, &talkers[i]);
    assert_ptr_equal(clients_victim(clients), &crowd[3]);
    clients_leave(clients, &crowd[3]);
    assert_ptr_equal(clients_victim(clients), &crowd[2]);
    clients_leave(clients, &crowd[2]);
    assert_ptr_equal(clients_victim(clients), &talkers[0]); /* equals: one that is silent */
    LEAVE(talkers);
    assert_ptr_equal(clients_victim(clients), &crowd[1]);
    clients_leave(clients, &crowd[1]);
    assert_null(clients_victim(clients));
    LEAVE(crowd);
}

static void our_own_connections_count_as_a_network_of_one_each(void **state) {
    struct clients *clients = *state;
    struct client_place ours[3] = { 0 }, strangers[2] = { 0 };
    for (unsigned i = 0; i < 3; i++)
        enter_ours(clients, 1, 1, &ours[i]);
    enter(clients, 1, 1, &strangers[0]); /* in the same network, even at the same address */
    enter(clients, 1, 2, &strangers[1]);
    assert_int_equal(ours[0].client->connections, 3);
    assert_int_equal(clients_of_network(&ours[0]), 1);
    assert_int_equal(clients_of_network(&strangers[0]), 2);
    assert_ptr_equal(clients_victim(clients), &strangers[0]);
    LEAVE(strangers);
    assert_ptr_equal(clients_victim(clients), &ours[0]); /* but they do not shut others out */
    LEAVE(ours);
}

static void the_spool_is_shared_by_clients_and_networks(void **state) {
    struct clients *clients = *state;
    struct client_place a = { 0 }, neighbour = { 0 }, other = { 0 }, ours = { 0 };
    clients_set_spool(clients, 100, 40);
    enter(clients, 1, 1, &a);
    enter(clients, 1, 2, &neighbour);
    enter(clients, 2, 1, &other);
    enter_ours(clients, 1, 1, &ours);
    assert_true(budget_take(&a.client->spool, 40));
    assert_false(budget_take(&a.client->spool, 1));         /* the client's own */
    assert_true(budget_take(&neighbour.client->spool, 10));
    assert_false(budget_take(&neighbour.client->spool, 1)); /* a network has no more than is left for others */
    assert_true(budget_take(&other.client->spool, 25));
    assert_false(budget_take(&other.client->spool, 1));
    assert_true(budget_take(&ours.client->spool, 25));
    assert_false(budget_take(&ours.client->spool, 1));      /* the whole */
    assert_int_equal(clients->spool.used, 100);
    budget_give(&a.client->spool, 40);
    budget_give(&neighbour.client->spool, 10);
    budget_give(&other.client->spool, 25);
    budget_give(&ours.client->spool, 25);
    clients_leave(clients, &a);
    clients_leave(clients, &neighbour);
    clients_leave(clients, &other);
    clients_leave(clients, &ours);
    assert_int_equal(clients->spool.used, 0);
}

/* The model: whatever happens, no network has more connections that may give way than the victim's. */
static uint32_t movable(const struct client_place *places, size_t n, const struct client_network *network) {
    uint32_t count = 0, newcomers = 0;
    for (size_t i = 0; i < n; i++) {
        if (places[i].client == NULL || places[i].network != network)
            continue;
        newcomers += places[i].condition == CLIENTS_NEWCOMER;
        count += places[i].condition == CLIENTS_SILENT || places[i].condition == CLIENTS_WAITING;
    }
    return count + (newcomers > CLIENTS_SPARED ? newcomers - CLIENTS_SPARED : 0);
}

static void happen(struct clients *clients, struct client_place *place) {
    if (place->client == NULL) {
        enter(clients, (unsigned)rand() % 7, (unsigned)rand() % 3, place);
        return;
    }
    switch (rand() % 5) {
    case 0: clients_leave(clients, place); break;
    case 1: clients_touch(clients, place); break;
    case 2: clients_excuse(clients, place); break;
    case 3: clients_spare(clients, place); break;
    default: clients_hold(clients, place); break;
    }
}

static void the_victim_is_always_of_a_network_with_most(void **state) {
    enum { N = 60, EVENTS = 20000 };
    struct clients *clients = *state;
    struct client_place places[N] = { 0 };
    srand(1);
    for (int event = 0; event < EVENTS; event++) {
        happen(clients, &places[rand() % N]);
        const struct client_place *victim = clients_victim(clients);
        uint32_t most = victim != NULL ? movable(places, N, victim->network) : 0;
        assert_true(victim == NULL || (most > 0 && victim->condition != CLIENTS_HELD));
        for (int i = 0; i < N; i++)
            assert_true(places[i].client == NULL || movable(places, N, places[i].network) <= most);
    }
    LEAVE(places);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(connections_are_counted_by_client_and_by_network),
        TEST(an_ipv6_network_is_a_48),
        TEST(ten_thousand_clients_are_found_again_after_the_tables_have_grown),
        TEST(among_single_connections_the_one_silent_longest_gives_way),
        TEST(the_network_with_most_connections_gives_way_whatever_it_waits_for),
        TEST(within_a_network_a_silent_one_gives_way_before_one_that_waits),
        TEST(a_connection_whose_final_dot_is_out_never_gives_way),
        TEST(a_lone_newcomer_never_gives_way),
        TEST(of_a_crowd_of_newcomers_all_but_one_may_give_way),
        TEST(our_own_connections_count_as_a_network_of_one_each),
        TEST(the_spool_is_shared_by_clients_and_networks),
        TEST(the_victim_is_always_of_a_network_with_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
