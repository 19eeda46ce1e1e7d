/* addr: addresses, endpoints, prefixes, and who counts as one client. */
#include "base/addr.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct ip ip_of(const char *text) {
    struct ip ip;
    assert_int_equal(ip_parse(str_of(text), &ip), 0);
    return ip;
}

static void addresses_are_written_in_their_one_form(void **state) {
    static const char *const cases[][2] = {
        { "203.0.113.7", "203.0.113.7" },   { "0.0.0.0", "0.0.0.0" },         { "255.255.255.255", "255.255.255.255" },
        { "2001:DB8:0:0::1", "2001:db8::1" }, { "::", "::" },                 { "::FFFF:192.0.2.1", "192.0.2.1" },
        { "::ffff:c000:201", "192.0.2.1" }, { "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8" },
    };
    char out[IP_TEXT_MAX];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ip ip = ip_of(cases[i][0]);
        assert_string_equal(ip_format(&ip, out), cases[i][1]);
    }
    assert_string_equal(ip_format(&(struct ip){ .family = IP_NONE }, out), "unknown");
}

static void what_is_no_address_is_refused(void **state) {
    static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "010.1.1.1", "0x1.2.3.4", " 1.2.3.4",
                                       "1.2.3.4 ", ":::", "1::2::3", "fe80::1%lo", "[::1]", "12345::",
                                       "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa" };
    struct ip ip;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(ip_parse(str_of(bad[i]), &ip), -EINVAL);
    assert_int_equal(ip_parse(STR("1.2.3.4\0x"), &ip), -EINVAL);
}

static void a_mapped_address_from_a_socket_is_the_ipv4_address(void **state) {
    struct sockaddr_storage from = { 0 };
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&from;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(25);
    memcpy(&in6->sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\0\x71\x07", 16);
    struct endpoint endpoint = endpoint_from_sockaddr(&from);
    struct ip expected = ip_of("203.0.113.7");
    assert_true(ip_eq(&endpoint.ip, &expected));
    assert_int_equal(endpoint.port, 25);
}

static void endpoints_are_parsed_and_written_alike(void **state) {
    static const char *const good[] = { "127.0.0.1:25", "[::1]:65535", "[2001:db8::1]:0",
                                        "[1111:2222:3333:4444:5555:6666:7777:8888]:65535" };
    static const char *const bad[] = { "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:25",
                                       "[::1]", "[::1]25", "[127.0.0.1]:25", "[]:25", "mx.example:25", "[::1:25" };
    struct endpoint endpoint;
    char out[ENDPOINT_TEXT_MAX];
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(endpoint_parse(str_of(good[i]), &endpoint), 0);
        assert_string_equal(endpoint_format(&endpoint, out), good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(endpoint_parse(str_of(bad[i]), &endpoint), -EINVAL);
}

static void a_sockaddr_gives_back_its_endpoint(void **state) {
    static const char *const texts[] = { "203.0.113.7:25", "[2001:db8::1]:2525" };
    for (size_t i = 0; i < 2; i++) {
        struct endpoint there, back;
        struct sockaddr_storage storage;
        assert_int_equal(endpoint_parse(str_of(texts[i]), &there), 0);
        socklen_t len = i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        assert_int_equal(endpoint_to_sockaddr(&there, &storage), len);
        back = endpoint_from_sockaddr(&storage);
        assert_true(ip_eq(&there.ip, &back.ip));
        assert_int_equal(back.port, there.port);
    }
    struct sockaddr_storage local = { .ss_family = AF_UNIX };
    assert_int_equal(endpoint_from_sockaddr(&local).ip.family, IP_NONE);
    assert_int_equal(endpoint_to_sockaddr(&(struct endpoint){ .port = 1 }, &local), 0);
}

static void prefixes_hold_their_first_and_last_address_and_none_beside(void **state) {
    static const char *const cases[][5] = {
        { "192.0.2.0/24", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0" },
        { "192.0.2.128/25", "192.0.2.128", "192.0.2.255", "192.0.2.127", "192.0.3.0" },
        { "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.0", "192.0.2.2" },
        { "0.0.0.0/0", "0.0.0.0", "255.255.255.255", "::", "::1" },
        { "::ffff:192.0.2.0/120", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0" },
        { "2001:db8::/33", "2001:db8::", "2001:db8:7fff::1", "2001:db8:8000::", "192.0.2.1" },
        { "::1/128", "::1", "::1", "::", "::2" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cidr cidr;
        assert_int_equal(cidr_parse(str_of(cases[i][0]), &cidr), 0);
        for (int j = 1; j < 5; j++) {
            struct ip ip = ip_of(cases[i][j]);
            assert_int_equal(cidr_contains(&cidr, &ip), j < 3);
        }
    }
}

static void prefixes_with_host_bits_or_wrong_lengths_are_refused(void **state) {
    static const char *const bad[] = { "", "/", "/8", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1",
                                       "2001:db8::/129", "2001:db8::1/64", "2001:db8:8000::/32", "::ffff:192.0.2.0/95",
                                       "::ffff:192.0.2.0/118", "192.0.2.0/24/1" };
    struct cidr cidr;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cidr_parse(str_of(bad[i]), &cidr), -EINVAL);
}

static void a_list_contains_what_one_of_its_prefixes_does_and_no_address_is_in_none(void **state) {
    struct cidr list[2];
    struct ip in = ip_of("10.1.2.3"), out = ip_of("11.0.0.0"), none = { .family = IP_NONE };
    cidr_parse(STR("192.0.2.0/24"), &list[0]);
    cidr_parse(STR("10.0.0.0/8"), &list[1]);
    assert_true(cidr_list_contains(list, 2, &in));
    assert_false(cidr_list_contains(list, 1, &in));
    assert_false(cidr_list_contains(list, 2, &out));
    assert_false(cidr_list_contains(list, 2, &none));
    assert_false(cidr_list_contains(NULL, 0, &in));
    assert_false(cidr_contains(&(struct cidr){ .bits = 0 }, &none));
}

static void an_ipv6_client_is_its_64_and_an_ipv4_client_its_address(void **state) {
    struct ip a = ip_of("2001:db8:1:2::1"), b = ip_of("2001:db8:1:2:ffff::"), c = ip_of("2001:db8:1:3::1");
    struct ip d = ip_of("192.0.2.1"), e = ip_of("192.0.2.2");
    assert_true(ip_client_key(&a) == ip_client_key(&b));
    assert_true(ip_client_key(&a) != ip_client_key(&c));
    assert_true(ip_client_key(&d) != ip_client_key(&e));
    for (uint32_t n = 1; n < 9; n++)
        assert_int_equal(ip_client_slot(&a, n), ip_client_slot(&b, n));
}

/*
 * The figures come from the formula of addr.h, computed apart from this code; the BPF program of net/listen.c is held
 * to them.
 */
static void slots_follow_the_published_formula(void **state) {
    struct ip v4 = ip_of("203.0.113.7"), v6 = ip_of("2001:db8:1:2::1");
    uint32_t h4 = (uint32_t)(0xcb007107ull * 0x9e3779b1ull) >> 16;
    uint32_t h6 = (uint32_t)((0x20010db8ull ^ 0x00010002ull) * 0x9e3779b1ull) >> 16;
    for (uint32_t n = 1; n < 17; n++) {
        assert_int_equal(ip_client_slot(&v4, n), h4 % n);
        assert_int_equal(ip_client_slot(&v6, n), h6 % n);
    }
    assert_int_equal(ip_client_slot(&v4, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_written_in_their_one_form),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_mapped_address_from_a_socket_is_the_ipv4_address),
        cmocka_unit_test(endpoints_are_parsed_and_written_alike),
        cmocka_unit_test(a_sockaddr_gives_back_its_endpoint),
        cmocka_unit_test(prefixes_hold_their_first_and_last_address_and_none_beside),
        cmocka_unit_test(prefixes_with_host_bits_or_wrong_lengths_are_refused),
        cmocka_unit_test(a_list_contains_what_one_of_its_prefixes_does_and_no_address_is_in_none),
        cmocka_unit_test(an_ipv6_client_is_its_64_and_an_ipv4_client_its_address),
        cmocka_unit_test(slots_follow_the_published_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
