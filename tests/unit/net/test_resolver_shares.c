/*
 * Shares: hogs against newcomers, on counts alone. The same rule for networks and domains.
 */
#include "net/resolver_shares.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MAX = 4096 };

static struct resolver_shares *shares;
static struct resolver_claim claims[2 * MAX];
static unsigned n_claims;

static int setup(void **state) {
    n_claims = 0;
    shares = resolver_shares_new(MAX);
    return shares == NULL;
}

static int teardown(void **state) {
    for (unsigned i = 0; i < n_claims; i++)
        resolver_shares_give(shares, &claims[i]);
    assert_int_equal(resolver_shares_taken(shares), 0);
    resolver_shares_free(shares);
    return 0;
}

static struct ip client_at(unsigned network, uint8_t host) {
    return (struct ip){ .family = IP_V4, .bytes = { (uint8_t)(network >> 16), (uint8_t)(network >> 8),
                                                    (uint8_t)network, host } };
}

static enum resolver_grant take(enum resolver_purpose purpose, unsigned network, const char *domain) {
    struct ip client = client_at(network, 7);
    enum resolver_grant grant = resolver_shares_take(shares, purpose, &client, str_of(domain), &claims[n_claims]);
    if (grant == RESOLVER_GRANTED)
        n_claims++;
    assert_true(n_claims < 2 * MAX);
    return grant;
}

/* A domain of its own for each question, so that the network alone counts. */
static enum resolver_grant take_as(unsigned network) {
    static unsigned n;
    char domain[32];
    snprintf(domain, sizeof(domain), "d%u.example", n++);
    return take(RESOLVER_FACT, network, domain);
}

static unsigned fill_as(unsigned network) {
    unsigned n = 0;
    while (take_as(network) == RESOLVER_GRANTED)
        n++;
    return n;
}

static void one_network_stops_at_a_tenth_and_leaves_the_rest(void **state) {
    unsigned n = fill_as(1);
    assert_in_range(n, 340, 380);
    assert_int_equal(take_as(1), RESOLVER_NETWORK_FULL);
    for (unsigned network = 2; network < 300; network++)
        assert_int_equal(take_as(network), RESOLVER_GRANTED);
}

static void addresses_of_one_network_are_one_client(void **state) {
    struct resolver_claim claim;
    struct ip neighbour = client_at(1, 200), other = client_at(2, 7);
    fill_as(1);
    assert_int_equal(resolver_shares_take(shares, RESOLVER_FACT, &neighbour, STR("x.example"), &claim),
                     RESOLVER_NETWORK_FULL);
    assert_int_equal(resolver_shares_take(shares, RESOLVER_FACT, &other, STR("x.example"), &claims[n_claims++]),
                     RESOLVER_GRANTED);
    struct ip v6 = { .family = IP_V6, .bytes = { 0x20, 0x01, 0x0d, 0xb8 } };
    while (resolver_shares_take(shares, RESOLVER_FACT, &v6, STR("y.example"), &claims[n_claims]) == RESOLVER_GRANTED)
        n_claims++;
    v6.bytes[15] = 1;
    assert_int_equal(resolver_shares_take(shares, RESOLVER_FACT, &v6, STR("z.example"), &claim),
                     RESOLVER_NETWORK_FULL);
    v6.bytes[7] = 1;
    assert_int_equal(resolver_shares_take(shares, RESOLVER_FACT, &v6, STR("z.example"), &claims[n_claims++]),
                     RESOLVER_GRANTED);
}

static void networks_that_take_all_they_may_leave_room_for_newcomers(void **state) {
    for (unsigned network = 1; network <= 300; network++) {
        (void)fill_as(network);
        unsigned room = MAX - MAX / 16, left = room - resolver_shares_taken(shares);
        assert_true(left > 0);
        if (network <= 100)
            assert_true(left > room * 8 / (8 + network));
    }
    assert_int_equal(take_as(5000), RESOLVER_GRANTED);
}

/* All take what they may, one question of each ends, and so on: who has much loses it to who has little. */
static void networks_that_stay_are_pushed_back_to_equal_shares(void **state) {
    static unsigned held[100];
    static struct resolver_claim of[100][MAX];
    memset(held, 0, sizeof(held));
    for (unsigned round = 0; round < 2000; round++)
        for (unsigned i = 0; i < 100; i++) {
            if (held[i] > 0)
                resolver_shares_give(shares, &of[i][--held[i]]);
            for (unsigned before = n_claims; take_as(i + 1) == RESOLVER_GRANTED; n_claims = before)
                of[i][held[i]++] = claims[before];
        }
    for (unsigned i = 0; i < 100; i++)
        assert_in_range(held[i], 10, 40);
    for (unsigned i = 0; i < 100; i++)
        while (held[i] > 0)
            resolver_shares_give(shares, &of[i][--held[i]]);
}

static void a_million_networks_are_bounded_by_all_there_is(void **state) {
    unsigned n_full = 0;
    for (unsigned network = 0; network < 1000000; network++)
        n_full += take_as(network) == RESOLVER_FULL;
    assert_int_equal(n_claims, MAX - MAX / 16);
    assert_int_equal(n_full, 1000000 - n_claims);
}

static void a_domain_has_its_share_whoever_asks(void **state) {
    unsigned n = 0;
    while (take(RESOLVER_FACT, n, "slow.example") == RESOLVER_GRANTED)
        n++;
    assert_in_range(n, 340, 380);
    assert_int_equal(take(RESOLVER_FACT, 100000, "slow.example"), RESOLVER_DOMAIN_FULL);
    assert_int_equal(take(RESOLVER_FACT, 100000, "fast.example"), RESOLVER_GRANTED);
}

static void a_network_cannot_keep_the_lists_from_being_asked_about_it(void **state) {
    fill_as(1);
    assert_int_equal(take(RESOLVER_LIST, 1, "bl.example"), RESOLVER_GRANTED);
}

static void our_own_questions_have_room_when_clients_have_none(void **state) {
    for (unsigned network = 0; take_as(network) == RESOLVER_GRANTED; network++)
        ;
    for (unsigned i = 0; i < MAX / 16; i++)
        assert_int_equal(take(RESOLVER_OWN, 0, "probe.example"), RESOLVER_GRANTED);
    assert_int_equal(take(RESOLVER_OWN, 0, "probe.example"), RESOLVER_FULL);
    assert_int_equal(resolver_shares_taken(shares), MAX);
}

static void what_is_given_back_can_be_taken_again(void **state) {
    unsigned n = fill_as(1);
    for (unsigned round = 0; round < 3; round++) {
        while (n_claims > 0)
            resolver_shares_give(shares, &claims[--n_claims]);
        assert_int_equal(resolver_shares_taken(shares), 0);
        assert_int_equal(fill_as(1), n);
    }
    resolver_shares_give(shares, &claims[--n_claims]);
    resolver_shares_give(shares, &claims[n_claims]); /* a claim that was given back counts nothing */
    assert_int_equal(resolver_shares_taken(shares), n - 1);
}

static void with_little_room_everyone_has_one_question_at_least(void **state) {
    resolver_shares_free(shares);
    shares = resolver_shares_new(1);
    assert_int_equal(take_as(1), RESOLVER_GRANTED);
    assert_int_equal(take_as(2), RESOLVER_FULL);
}

static void assert_domain(const char *name, const char *expected) {
    struct str domain = resolver_domain(str_of(name), NULL);
    if (!str_eq(domain, str_of(expected)))
        fail_msg("%s is of %.*s, not %s", name, STR_ARG(domain), expected);
}

static struct str no_organisation(struct str name) {
    return (struct str){ 0 };
}

static struct str last_three_bytes(struct str name) {
    return str_from(name, name.len - 3);
}

static void a_domain_is_what_one_party_answers_for(void **state) {
    assert_domain("mail.a.example.net", "example.net");
    assert_domain("example.net", "example.net");
    assert_domain("net", "net");
    assert_domain("7.113.0.203.in-addr.arpa", "113.0.203.in-addr.arpa");
    assert_domain("x.7.113.0.203.IN-ADDR.ARPA", "113.0.203.IN-ADDR.ARPA");
    assert_domain("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                  "0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    assert_domain(".in-addr.arpa", ".in-addr.arpa");
    assert_domain("", "");
    assert_true(str_eq(resolver_domain(STR("a.b.c"), no_organisation), STR("b.c")));
    assert_true(str_eq(resolver_domain(STR("a.b.c"), last_three_bytes), STR("b.c")));
}

static void networks_are_written_as_prefixes(void **state) {
    char out[RESOLVER_NETWORK_MAX];
    struct ip ip;
    assert_int_equal(ip_parse(STR("203.0.113.7"), &ip), 0);
    assert_string_equal(resolver_network_format(&ip, out), "203.0.113.0/24");
    assert_int_equal(ip_parse(STR("2001:db8::7"), &ip), 0);
    assert_string_equal(resolver_network_format(&ip, out), "2001:db8::/64");
    assert_string_equal(resolver_network_format(&(struct ip){ 0 }, out), "unknown");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_network_stops_at_a_tenth_and_leaves_the_rest),
        TEST(addresses_of_one_network_are_one_client),
        TEST(networks_that_take_all_they_may_leave_room_for_newcomers),
        TEST(networks_that_stay_are_pushed_back_to_equal_shares),
        TEST(a_million_networks_are_bounded_by_all_there_is),
        TEST(a_domain_has_its_share_whoever_asks),
        TEST(a_network_cannot_keep_the_lists_from_being_asked_about_it),
        TEST(our_own_questions_have_room_when_clients_have_none),
        TEST(what_is_given_back_can_be_taken_again),
        TEST(with_little_room_everyone_has_one_question_at_least),
        TEST(a_domain_is_what_one_party_answers_for),
        TEST(networks_are_written_as_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
