/*
 * Block lists in good and bad days: libunbound against a small name server on the same loop, which plays a list by the
 * zone's first label.
 */
#include "facts/dnsbl.h"

#include "base/hash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { LISTED_CLIENT = 66, GOOD_CLIENT = 7 }; /* the last byte of 203.0.113.x */

/* How the name server plays the zone `NAME.example`; a test may change one on the way. */
enum play { HEALTHY, WORLD, REFUSES, SILENT, PARKED, FAILS, EMPTY, WILDCARD, ONLY_IPV4, ALL_ADDRESSES, ALL_IPV6,
            NETWORK_7 };

static struct loop *loop;
static struct resolver *resolver;
static struct dnsbl *dnsbl;
static struct watch server;
static int server_fd;
static enum play play;
static unsigned n_asked, n_changes;
static enum dnsbl_why last_why;

/* ---- the name server */

/* The last byte of an IPv4 address under the zone, or -1; `ret_network` its first. */
static int read_address(const char *name, int *ret_network) {
    int a, b, c, d, n = 0;
    if (sscanf(name, "%d.%d.%d.%d.%n", &a, &b, &c, &d, &n) != 4 || n == 0 || name[n + 1] == '.')
        return -1; /* a name, or the first nibbles of an IPv6 address */
    *ret_network = d;
    return d == 127 && c + b != 0 ? 1000 : a;
}

static bool is_healthy_listing(const char *name) {
    int network = 0, last = read_address(name, &network);
    if (last >= 0)
        return (network == 127 && last == 2) || (network == 203 && last == LISTED_CLIENT);
    /* ::FFFF:127.0.0.2, TEST, and a domain */
    bool is_ipv6_entry = strncmp(name, "2.0.0.0.0.0.f.7.f.f.f.f.0.", 26) == 0;
    bool is_name = strncmp(name, "test.", 5) == 0 || strncmp(name, "spam.test-", 10) == 0;
    return is_name || (is_ipv6_entry && play != ONLY_IPV4);
}

/* The code's address, 0 for NXDOMAIN. */
static uint32_t find(const char *name) {
    int network = 0, last = read_address(name, &network);
    switch (play) {
    case HEALTHY:
    case ONLY_IPV4:
        return is_healthy_listing(name) ? 0x7f000002 : 0;
    case WORLD:
        return 0x7f000002;
    case REFUSES:
        return 0x7ffffffe;
    case PARKED:
        return 0xcb007150;
    case WILDCARD:
        return last == 1 ? 0 : 0x7f000002;
    case ALL_ADDRESSES: /* 127.0.0.1 is left out, as if an older answer were in a cache */
        return last >= 0 && !(network == 127 && last == 1) ? 0x7f000002 : 0;
    case ALL_IPV6: /* that a host can have: 2000::/3 */
        return is_healthy_listing(name) || strstr(name, ".3.bl.") != NULL ? 0x7f000002 : 0;
    case NETWORK_7: /* an attack: the whole network is listed, rightly */
        return network == 203 || is_healthy_listing(name) ? 0x7f000004 : 0;
    case SILENT:
    case FAILS:
    case EMPTY:
        break;
    }
    return 0;
}

static size_t read_name(const uint8_t *question, char *out) {
    size_t end = 12;
    while (question[end] != 0) {
        memcpy(out, question + end + 1, question[end]);
        out += question[end];
        *out++ = '.';
        end += question[end] + 1u;
    }
    *out = '\0';
    return end + 5;
}

static void on_question(struct watch *watch, uint32_t events) {
    uint8_t packet[600] = { 0 };
    char name[256];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    if (recvfrom(server_fd, packet, 512, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len) < 17)
        return;
    n_asked++;
    size_t end = read_name(packet, name);
    for (char *c = name; *c != '\0'; c++)
        *c = ascii_lower(*c);
    memset(packet + 6, 0, 6);
    packet[2] = 0x84;
    packet[3] = 0x80;
    uint32_t code = find(name);
    if (play == SILENT)
        return;
    if (play == FAILS)
        packet[3] |= 2;
    else if (code == 0)
        packet[3] |= 3;
    else {
        const uint8_t record[] = { 0xc0, 12, 0, DNS_A, 0, 1, 0, 0, 0, 0, 0, 4, (uint8_t)(code >> 24),
                                   (uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code };
        packet[7] = 1;
        memcpy(packet + end, record, sizeof(record));
        end += sizeof(record);
    }
    assert_int_equal(sendto(server_fd, packet, end, 0, (const struct sockaddr *)&from, from_len), end);
}

/* ---- setting up */

static int setup(void **state) {
    struct sockaddr_storage name;
    struct endpoint at = { 0 };
    const char *error;
    hash_init();
    assert_int_equal(endpoint_parse(STR("127.0.0.1:1"), &at), 0);
    at.port = 0;
    socklen_t len = endpoint_to_sockaddr(&at, &name);
    server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server_fd, (struct sockaddr *)&name, len), 0);
    assert_int_equal(getsockname(server_fd, (struct sockaddr *)&name, &len), 0);
    at = endpoint_from_sockaddr(&name);
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(watch_start(loop, &server, server_fd, EPOLLIN, on_question), 0);
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = &at, .n_forwarders = 1 };
    assert_int_equal(resolver_new(loop, &settings, &resolver, &error), 0);
    dnsbl = NULL;
    play = HEALTHY;
    n_asked = n_changes = 0;
    return 0;
}

static int teardown(void **state) {
    dnsbl_free(dnsbl);
    resolver_free(resolver);
    watch_stop(loop, &server);
    close(server_fd);
    loop_free(loop);
    return 0;
}

static void on_change(void *arg, const struct conf_block_list *list, enum dnsbl_kind kind,
                      const struct dnsbl_state *state) {
    n_changes++;
    last_why = state->why;
}

static struct conf_block_list block_list = { .zone = "bl.example", .group = "", .weight = 1000,
                                             .families = 1 << LISTS_CLIENT };
static struct conf_block_list welcome_list = { .zone = "wl.example", .group = "", .weight = -1000,
                                               .families = 1 << LISTS_CLIENT };
static struct conf_block_list domain_list = { .zone = "dbl.example", .group = "", .weight = 1000,
                                              .families = 1 << LISTS_SENDER };

static void open_lists(const struct conf_block_list *lists, size_t n, uint64_t fresh_ms) {
    const struct dnsbl_settings settings = { .budget_ms = 150, .fresh_ms = fresh_ms, .pause_ms = 60,
                                             .pause_max_ms = 200, .on_change = on_change };
    assert_int_equal(dnsbl_new(loop, resolver, lists, n, &settings, &dnsbl), 0);
}

/* ---- asking */

struct asked {
    struct dnsbl_result result[4];
    unsigned n, n_last;
    struct dnsbl_lookup *lookup;
};

static void on_list(void *arg, unsigned list, const struct dnsbl_result *result, bool is_last) {
    struct asked *a = arg;
    a->result[list] = *result;
    a->n++;
    a->n_last += is_last;
}

static void turn_until(const unsigned *n, unsigned wanted) {
    uint64_t until = loop_now(loop) + 5000;
    while (*n < wanted && loop_now(loop) < until)
        assert_int_equal(loop_turn(loop, 50), 0);
    assert_int_equal(*n, wanted);
}

/* Lets the probes of fresh_ms 1 grow old. */
static void turn_for(uint64_t ms) {
    uint64_t until = loop_now(loop) + ms;
    while (loop_now(loop) < until)
        assert_int_equal(loop_turn(loop, 1), 0);
}

static void turn_until_trust(unsigned list, enum dnsbl_kind kind, enum dnsbl_trust_state trust) {
    uint64_t until = loop_now(loop) + 5000;
    while (dnsbl_state(dnsbl, list, kind)->trust != trust && loop_now(loop) < until)
        assert_int_equal(loop_turn(loop, 50), 0);
    assert_int_equal(dnsbl_state(dnsbl, list, kind)->trust, trust);
}

static enum dnsbl_status ask_ip(const char *text) {
    struct asked a = { 0 };
    struct ip ip;
    assert_int_equal(ip_parse(str_of(text), &ip), 0);
    assert_non_null(dnsbl_start(dnsbl, &ip, STR(""), 1, 1000, on_list, &a));
    assert_int_equal(a.n, 0); /* law 1 */
    turn_until(&a.n, 1);
    assert_int_equal(a.n_last, 1);
    return a.result[0].status;
}

static enum dnsbl_status ask_client(int last) {
    char text[IP_TEXT_MAX];
    snprintf(text, sizeof(text), "203.0.113.%d", last);
    return ask_ip(text);
}

static enum dnsbl_status ask_name(const char *name) {
    struct asked a = { 0 };
    assert_non_null(dnsbl_start(dnsbl, &(struct ip){ 0 }, str_of(name), 1, 1000, on_list, &a));
    turn_until(&a.n, 1);
    return a.result[0].status;
}

/* A list that behaves like that from the start is not believed, and why. */
static void expect_untrusted(enum play how, enum dnsbl_why why) {
    play = how;
    open_lists(&block_list, 1, 60000);
    enum dnsbl_status first = ask_client(GOOD_CLIENT); /* while the first probes are under way */
    assert_true(first == DNSBL_UNTRUSTED || first == DNSBL_UNAVAILABLE);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_NOT_TRUSTED);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV4)->why, why);
    assert_int_equal(last_why, why);
    uint64_t before = dnsbl_state(dnsbl, 0, DNSBL_IPV4)->asked;
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_UNTRUSTED);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV4)->asked, before);
}

/* A list that was good and behaves like that now: is the good client ever called listed? */
static void expect_lost(enum play how, enum dnsbl_why why) {
    open_lists(&block_list, 1, 1);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    play = how;
    turn_for(5);
    for (int i = 0; i < 20 && dnsbl_state(dnsbl, 0, DNSBL_IPV4)->trust == DNSBL_TRUSTED; i++)
        assert_int_not_equal(ask_client(100 + i), DNSBL_LISTED);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_NOT_TRUSTED);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV4)->why, why);
}

/* ---- a healthy list */

static void a_listed_client_is_told_from_others(void **state) {
    open_lists(&block_list, 1, 60000);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    const struct dnsbl_state *s = dnsbl_state(dnsbl, 0, DNSBL_IPV4);
    assert_int_equal(s->trust, DNSBL_TRUSTED);
    assert_int_equal(s->asked, 2);
    assert_int_equal(s->listed, 1);
    assert_int_equal(s->errors, 0);
    assert_int_equal(n_changes, 0);
}

static void names_are_looked_up_in_domain_lists(void **state) {
    open_lists(&domain_list, 1, 60000);
    assert_null(dnsbl_state(dnsbl, 0, DNSBL_IPV4));
    assert_int_equal(ask_name("spam.test-sender.example"), DNSBL_LISTED);
    assert_int_equal(ask_name("spam.test-sender.example."), DNSBL_LISTED);
    assert_int_equal(ask_name("good.example"), DNSBL_CLEAN);
    assert_int_equal(ask_name(""), DNSBL_CLEAN);
    assert_int_equal(ask_name("a..b"), DNSBL_CLEAN);
    assert_int_equal(ask_ip("203.0.113.66"), DNSBL_CLEAN);
}

static void codes_outside_the_filter_are_no_listing(void **state) {
    struct conf_code_range range = { 0x7f000004, 0x7f00000b };
    struct conf_block_list list = block_list;
    list.codes = (struct conf_codes){ &range, 1 };
    open_lists(&list, 1, 60000);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_CLEAN);
    play = NETWORK_7;
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_LISTED);
}

static void a_list_is_not_asked_for_a_family_without_test_entry(void **state) {
    play = ONLY_IPV4;
    open_lists(&block_list, 1, 60000);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    turn_until_trust(0, DNSBL_IPV6, DNSBL_NOT_TRUSTED);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV6)->why, DNSBL_WHY_NO_ENTRY);
    assert_int_equal(ask_ip("2001:db8::1"), DNSBL_UNTRUSTED);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV6)->asked, 0);
}

static void a_list_with_entries_of_its_own_is_probed_with_those(void **state) {
    struct conf_block_list list = block_list;
    list.probes = (struct conf_probes){ .use = CONF_PROBE_NAMED, .n = 1, .at = { { "203.0.113.66", "203.0.113.1" } } };
    open_lists(&list, 1, 60000);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_TRUSTED);
    assert_null(dnsbl_state(dnsbl, 0, DNSBL_IPV6));
    assert_int_equal(n_asked, 3);
    assert_int_equal(ask_ip("2001:db8::1"), DNSBL_CLEAN);
}

static void a_list_that_has_no_entries_can_be_used_by_saying_so(void **state) {
    struct conf_block_list list = block_list;
    list.probes.use = CONF_PROBE_NONE;
    play = EMPTY;
    open_lists(&list, 1, 60000);
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV4)->trust, DNSBL_TRUSTED);
}

static void a_key_is_asked_with_but_not_part_of_the_zone(void **state) {
    char question[DNS_NAME_MAX + 1];
    struct conf_block_list list = block_list;
    struct ip ip;
    list.key = "s3cret";
    assert_int_equal(ip_parse(STR("203.0.113.7"), &ip), 0);
    assert_true(dnsbl_question(&list, &ip, STR(""), question) > 0);
    assert_string_equal(question, "7.113.0.203.s3cret.bl.example");
    assert_true(dnsbl_question(&list, NULL, STR("a.example."), question) > 0);
    assert_string_equal(question, "a.example.s3cret.bl.example");
}

static void questions_longer_than_a_name_can_be_are_not_asked(void **state) {
    char name[256], question[DNS_NAME_MAX + 1];
    memset(name, 'a', sizeof(name));
    size_t fits = DNS_NAME_MAX - strlen(".bl.example");
    assert_int_equal(dnsbl_question(&block_list, NULL, (struct str){ name, fits }, question), DNS_NAME_MAX);
    assert_int_equal(dnsbl_question(&block_list, NULL, (struct str){ name, fits + 1 }, question), 0);
}

/* ---- failures, from the start and in between */

static void a_dead_list_is_not_believed(void **state) {
    expect_untrusted(SILENT, DNSBL_WHY_NO_ANSWER);
}

static void a_list_that_lists_the_world_is_not_believed(void **state) {
    expect_untrusted(WORLD, DNSBL_WHY_WORLD);
}

static void a_list_with_a_wildcard_is_not_believed(void **state) {
    expect_untrusted(WILDCARD, DNSBL_WHY_WORLD);
}

static void a_list_that_refuses_our_resolver_is_not_believed(void **state) {
    expect_untrusted(REFUSES, DNSBL_WHY_NONSENSE);
}

static void a_parked_domain_is_not_believed(void **state) {
    expect_untrusted(PARKED, DNSBL_WHY_NONSENSE);
}

static void a_list_behind_servfail_is_not_believed(void **state) {
    expect_untrusted(FAILS, DNSBL_WHY_FAILURE);
}

static void a_list_without_test_entries_is_not_believed(void **state) {
    expect_untrusted(EMPTY, DNSBL_WHY_NO_ENTRY);
}

static void a_list_that_begins_to_list_the_world_refuses_nobody(void **state) {
    expect_lost(WORLD, DNSBL_WHY_WORLD);
}

static void a_list_that_begins_to_list_every_address_refuses_nobody(void **state) {
    expect_lost(ALL_ADDRESSES, DNSBL_WHY_WORLD);
}

static void a_list_that_begins_to_refuse_us_refuses_nobody(void **state) {
    expect_lost(REFUSES, DNSBL_WHY_NONSENSE);
}

static void a_list_whose_domain_is_parked_one_day_refuses_nobody(void **state) {
    expect_lost(PARKED, DNSBL_WHY_NONSENSE);
}

static void a_list_that_stops_answering_is_lost_after_some_errors(void **state) {
    expect_lost(FAILS, DNSBL_WHY_FAILURE);
    assert_true(n_changes > 0);
}

/* Waits for more than half of what the question has. A slow machine may have let all of it pass: then it has ended. */
static void give_up(struct dnsbl_lookup *lookup, const struct asked *a) {
    unsigned before = a->n;
    turn_for(90);
    if (a->n == before)
        dnsbl_cancel(lookup);
}

static void questions_given_up_after_a_long_wait_call_the_probes(void **state) {
    struct ip ip;
    struct asked a = { 0 };
    assert_int_equal(ip_parse(STR("203.0.113.7"), &ip), 0);
    open_lists(&block_list, 1, 60000);
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_TRUSTED);
    play = SILENT;
    for (uint8_t i = 0; i < 5; i++) {
        ip.bytes[3] = (uint8_t)(100 + i);
        give_up(dnsbl_start(dnsbl, &ip, STR(""), 1, 120, on_list, &a), &a);
    }
    turn_until_trust(0, DNSBL_IPV4, DNSBL_NOT_TRUSTED);
    assert_int_equal(last_why, DNSBL_WHY_NO_ANSWER);
}

/* Whether the lookup's time ends first or the question's is a matter of a millisecond. */
static void questions_given_up_and_unanswered_ones_call_the_probes_together(void **state) {
    struct ip ip;
    struct asked a = { 0 };
    assert_int_equal(ip_parse(STR("203.0.113.7"), &ip), 0);
    open_lists(&block_list, 1, 60000);
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_TRUSTED);
    play = SILENT;
    for (uint8_t i = 0; i < 5; i++) {
        ip.bytes[3] = (uint8_t)(100 + i);
        unsigned n_before = a.n;
        struct dnsbl_lookup *lookup = dnsbl_start(dnsbl, &ip, STR(""), 1, 1000, on_list, &a);
        if (i % 2 == 0) {
            give_up(lookup, &a);
        } else {
            turn_until(&a.n, n_before + 1);
            assert_int_equal(a.result[0].status, DNSBL_UNAVAILABLE);
        }
    }
    turn_until_trust(0, DNSBL_IPV4, DNSBL_NOT_TRUSTED);
    assert_int_equal(last_why, DNSBL_WHY_NO_ANSWER);
}

static void a_list_of_all_ipv6_addresses_is_not_believed(void **state) {
    play = ALL_IPV6;
    open_lists(&block_list, 1, 60000);
    turn_until_trust(0, DNSBL_IPV6, DNSBL_NOT_TRUSTED);
    assert_int_equal(dnsbl_state(dnsbl, 0, DNSBL_IPV6)->why, DNSBL_WHY_WORLD);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_TRUSTED);
}

static void a_list_that_is_back_is_believed_again(void **state) {
    expect_untrusted(WORLD, DNSBL_WHY_WORLD);
    play = HEALTHY;
    turn_until_trust(0, DNSBL_IPV4, DNSBL_TRUSTED);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    assert_int_equal(last_why, DNSBL_WHY_NOT);
}

static void pauses_between_probes_grow_up_to_their_limit(void **state) {
    play = EMPTY;
    open_lists(&block_list, 1, 60000);
    const struct dnsbl_state *s = dnsbl_state(dnsbl, 0, DNSBL_IPV4);
    uint64_t last = 0, until = loop_now(loop) + 5000;
    unsigned growths = 0;
    while (s->probes < 5 && loop_now(loop) < until) {
        assert_int_equal(loop_turn(loop, 50), 0);
        assert_true(s->pause_ms >= last && s->pause_ms <= 200);
        growths += s->pause_ms > last;
        last = s->pause_ms;
    }
    assert_int_equal(last, 200); /* 60, 120, 200 */
    assert_int_equal(growths, 3);
}

/* ---- attacks */

static void a_list_in_the_middle_of_an_attack_is_not_lost(void **state) {
    open_lists(&block_list, 1, 60000);
    for (int i = 0; i < 64; i++)
        assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    const struct dnsbl_state *s = dnsbl_state(dnsbl, 0, DNSBL_IPV4);
    assert_int_equal(s->probes, 1);
    play = NETWORK_7;
    for (int i = 0; i < 128; i++)
        assert_int_equal(ask_client(100 + i), DNSBL_LISTED);
    assert_true(s->probes >= 2 && s->probes <= 5); /* the jump called them; they decided */
    assert_int_equal(s->trust, DNSBL_TRUSTED);
    assert_int_equal(n_changes, 0);
}

static void an_old_hit_needs_new_probes(void **state) {
    open_lists(&block_list, 1, 1);
    const struct dnsbl_state *s = dnsbl_state(dnsbl, 0, DNSBL_IPV4);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    turn_for(5);
    uint64_t before = s->probes;
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    assert_int_equal(s->probes, before);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    assert_int_equal(s->probes, before + 1);
}

/* ---- welcome lists */

static void a_welcome_list_that_is_away_is_unknown(void **state) {
    play = FAILS;
    open_lists(&welcome_list, 1, 60000);
    turn_until_trust(0, DNSBL_IPV4, DNSBL_NOT_TRUSTED);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_UNTRUSTED);
}

static void a_welcome_list_that_was_emptied_does_not_speak_against_anyone(void **state) {
    open_lists(&welcome_list, 1, 1);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    play = EMPTY;
    turn_for(5);
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_UNTRUSTED);
}

/* ---- lookups */

static void what_is_not_wanted_any_more_is_not_told(void **state) {
    struct conf_block_list lists[] = { block_list, block_list };
    struct asked a = { 0 };
    struct ip ip;
    lists[1].zone = "other.example";
    open_lists(lists, 2, 60000);
    assert_int_equal(ip_parse(STR("203.0.113.66"), &ip), 0);
    struct dnsbl_lookup *lookup = dnsbl_start(dnsbl, &ip, STR(""), 1, 1000, on_list, &a);
    dnsbl_want(lookup, 2);
    turn_until(&a.n, 1);
    assert_int_equal(a.result[0].n_codes, 0);
    assert_int_equal(a.result[1].n_codes, 1);
    assert_int_equal(a.result[1].codes[0], 0x7f000002);
    assert_int_equal(a.n_last, 1);
}

static void every_list_is_told_once_and_the_last_one_says_so(void **state) {
    struct conf_block_list lists[] = { block_list, block_list, welcome_list, domain_list };
    struct asked a = { 0 };
    struct ip ip;
    lists[1].zone = "other.example";
    open_lists(lists, 4, 60000);
    assert_int_equal(ip_parse(STR("203.0.113.66"), &ip), 0);
    assert_non_null(dnsbl_start(dnsbl, &ip, STR(""), 15, 1000, on_list, &a));
    turn_until(&a.n_last, 1);
    assert_int_equal(a.n, 4);
    assert_int_equal(a.result[2].status, DNSBL_LISTED);
    assert_int_equal(a.result[3].status, DNSBL_CLEAN);
}

static void nothing_is_told_after_a_cancel(void **state) {
    struct asked a = { 0 };
    struct ip ip;
    open_lists(&block_list, 1, 60000);
    assert_int_equal(ip_parse(STR("203.0.113.66"), &ip), 0);
    struct dnsbl_lookup *asked = dnsbl_start(dnsbl, &ip, STR(""), 1, 1000, on_list, &a);
    dnsbl_cancel(asked);
    assert_int_equal(ask_client(GOOD_CLIENT), DNSBL_CLEAN);
    asked = dnsbl_start(dnsbl, &ip, STR(""), 1, 1000, on_list, &a); /* on its way */
    loop_turn(loop, 0);
    dnsbl_cancel(asked);
    assert_int_equal(ask_client(LISTED_CLIENT), DNSBL_LISTED);
    assert_int_equal(a.n, 0);
    dnsbl_cancel(NULL);
}

static void an_answer_held_for_probes_is_unavailable_when_time_is_up(void **state) {
    struct asked a = { 0 };
    struct ip ip;
    play = SILENT;
    open_lists(&block_list, 1, 60000);
    assert_int_equal(ip_parse(STR("203.0.113.66"), &ip), 0);
    assert_non_null(dnsbl_start(dnsbl, &ip, STR(""), 1, 30, on_list, &a));
    turn_until(&a.n, 1);
    assert_int_equal(a.result[0].status, DNSBL_UNAVAILABLE);
}

static void more_lists_than_a_set_holds_are_refused(void **state) {
    static struct conf_block_list lists[CONF_BLOCK_LISTS_MAX + 1];
    struct dnsbl *none = NULL;
    for (size_t i = 0; i <= CONF_BLOCK_LISTS_MAX; i++)
        lists[i] = block_list;
    assert_int_equal(dnsbl_new(loop, resolver, lists, CONF_BLOCK_LISTS_MAX + 1, NULL, &none), -EINVAL);
    assert_null(none);
    assert_int_equal(dnsbl_new(loop, resolver, lists, CONF_BLOCK_LISTS_MAX, NULL, &dnsbl), 0);
    assert_int_equal(dnsbl_count(dnsbl), CONF_BLOCK_LISTS_MAX);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_listed_client_is_told_from_others),
        TEST(names_are_looked_up_in_domain_lists),
        TEST(codes_outside_the_filter_are_no_listing),
        TEST(a_list_is_not_asked_for_a_family_without_test_entry),
        TEST(a_list_with_entries_of_its_own_is_probed_with_those),
        TEST(a_list_that_has_no_entries_can_be_used_by_saying_so),
        cmocka_unit_test(a_key_is_asked_with_but_not_part_of_the_zone),
        cmocka_unit_test(questions_longer_than_a_name_can_be_are_not_asked),
        TEST(a_dead_list_is_not_believed),
        TEST(a_list_that_lists_the_world_is_not_believed),
        TEST(a_list_with_a_wildcard_is_not_believed),
        TEST(a_list_that_refuses_our_resolver_is_not_believed),
        TEST(a_parked_domain_is_not_believed),
        TEST(a_list_behind_servfail_is_not_believed),
        TEST(a_list_without_test_entries_is_not_believed),
        TEST(a_list_that_begins_to_list_the_world_refuses_nobody),
        TEST(a_list_that_begins_to_list_every_address_refuses_nobody),
        TEST(a_list_that_begins_to_refuse_us_refuses_nobody),
        TEST(a_list_whose_domain_is_parked_one_day_refuses_nobody),
        TEST(a_list_that_stops_answering_is_lost_after_some_errors),
        TEST(questions_given_up_after_a_long_wait_call_the_probes),
        TEST(questions_given_up_and_unanswered_ones_call_the_probes_together),
        TEST(a_list_of_all_ipv6_addresses_is_not_believed),
        TEST(a_list_that_is_back_is_believed_again),
        TEST(pauses_between_probes_grow_up_to_their_limit),
        TEST(a_list_in_the_middle_of_an_attack_is_not_lost),
        TEST(an_old_hit_needs_new_probes),
        TEST(a_welcome_list_that_is_away_is_unknown),
        TEST(a_welcome_list_that_was_emptied_does_not_speak_against_anyone),
        TEST(what_is_not_wanted_any_more_is_not_told),
        TEST(every_list_is_told_once_and_the_last_one_says_so),
        TEST(nothing_is_told_after_a_cancel),
        TEST(an_answer_held_for_probes_is_unavailable_when_time_is_up),
        TEST(more_lists_than_a_set_holds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
