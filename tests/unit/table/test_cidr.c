/*
 * Tests of table/cidr: a set of prefixes answers as a list of them does that is looked through from end to end.
 *
 * The numbers are of a fixed sequence: a failure happens again.
 */
#include "table/cidr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t sequence;

/* xorshift64* */
static uint64_t draw(uint64_t below) {
    sequence ^= sequence >> 12;
    sequence ^= sequence << 25;
    sequence ^= sequence >> 27;
    return (sequence * UINT64_C(2685821657736338717) >> 11) % below;
}

static struct cidr parse(const char *text) {
    struct cidr prefix;
    if (cidr_parse(str_of(text), &prefix) < 0)
        fail_msg("'%s' is no prefix", text);
    return prefix;
}

static struct cidr_set *set_of(const struct cidr *prefixes, size_t n) {
    struct cidr_set *set = cidr_set_new();
    assert_non_null(set);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(cidr_set_add(set, &prefixes[i]), 0);
    assert_int_equal(cidr_set_seal(set), 0);
    return set;
}

static void assert_has(const struct cidr_set *set, const char *text, bool expected) {
    struct ip ip;
    assert_int_equal(ip_parse(str_of(text), &ip), 0);
    if (cidr_set_has(set, &ip) != expected)
        fail_msg("%s should %sbe in the set", text, expected ? "" : "not ");
}

/* Bits of few values, so that prefixes meet, lie in one another and side by side. */
static struct ip draw_ip(uint8_t family) {
    static const uint8_t bytes[] = { 0, 1, 0x7f, 0x80, 0xfe, 0xff };
    struct ip ip = { .family = family };
    for (size_t i = 0; i < (family == IP_V4 ? 4 : 16); i++)
        ip.bytes[i] = bytes[draw(sizeof(bytes))];
    return ip;
}

static void mask(struct cidr *prefix) {
    for (unsigned bit = prefix->bits; bit < 128; bit++)
        prefix->ip.bytes[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
}

/* The address before or behind; wraps round. */
static struct ip step(struct ip ip, int by) {
    for (int i = ip.family == IP_V4 ? 3 : 15; i >= 0; i--) {
        ip.bytes[i] = (uint8_t)(ip.bytes[i] + by);
        if (ip.bytes[i] != (by > 0 ? 0 : 0xff))
            break;
    }
    return ip;
}

static struct ip last_of(const struct cidr *prefix) {
    struct ip ip = prefix->ip;
    for (unsigned bit = prefix->bits; bit < (ip.family == IP_V4 ? 32 : 128); bit++)
        ip.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    return ip;
}

static void assert_as_list(const struct cidr_set *set, const struct cidr *prefixes, size_t n, const struct ip *ip) {
    char text[IP_TEXT_MAX];
    bool expected = cidr_list_contains(prefixes, n, ip);
    if (cidr_set_has(set, ip) != expected)
        fail_msg("%s should %sbe in the set", ip_format(ip, text), expected ? "" : "not ");
}

/* Crowded: nearly all in one place of the index, and told apart by few bits further on. */
static void crowd(struct cidr *prefix) {
    unsigned n = prefix->ip.family == IP_V4 ? 2 : 2 + (unsigned)draw(6);
    memset(prefix->ip.bytes, 0x20, n);
    if (prefix->bits < 8 * n)
        prefix->bits = (uint8_t)(8 * n);
}

/* Where addresses are split in words, more often. */
static uint8_t draw_bits(unsigned shortest, unsigned width) {
    static const uint8_t edges[] = { 31, 32, 63, 64, 65, 127, 128 };
    uint8_t edge = edges[draw(sizeof(edges))];
    return draw(4) == 0 && edge <= width ? edge : (uint8_t)(shortest + draw(width - shortest + 1));
}

/* `shortest`: prefixes begin at this fraction of the bits, in 16ths: many short ones would cover all there is. */
static void draw_prefixes(struct cidr *prefixes, size_t n, unsigned shortest, bool is_crowded) {
    for (size_t i = 0; i < n; i++) {
        prefixes[i].ip = draw_ip(draw(2) == 0 ? IP_V4 : IP_V6);
        if (i > 0 && draw(16) == 0) /* one of the others again, or inside it, or around it */
            prefixes[i].ip = prefixes[draw(i)].ip;
        unsigned width = prefixes[i].ip.family == IP_V4 ? 32 : 128;
        prefixes[i].bits = draw_bits(width * shortest / 16, width);
        if (is_crowded && draw(20) != 0)
            crowd(&prefixes[i]);
        mask(&prefixes[i]);
    }
}

static void compare_with_list(size_t n, unsigned shortest, bool is_crowded) {
    struct cidr *prefixes = calloc(n, sizeof(*prefixes));
    assert_non_null(prefixes);
    draw_prefixes(prefixes, n, shortest, is_crowded);
    struct cidr_set *set = set_of(prefixes, n);
    for (size_t i = 0; i < n; i++) {
        struct ip last = last_of(&prefixes[i]);
        struct ip around[] = { prefixes[i].ip, step(prefixes[i].ip, -1), last, step(last, 1),
                               draw_ip(IP_V4), draw_ip(IP_V6) };
        for (size_t k = 0; k < sizeof(around) / sizeof(around[0]); k++)
            assert_as_list(set, prefixes, n, &around[k]);
    }
    cidr_set_free(set);
    free(prefixes);
}

static void test_random(void **state) {
    for (unsigned i = 1; i <= 1000; i++) {
        sequence = i * UINT64_C(0x9E3779B97F4A7C15);
        compare_with_list(1 + draw(64), draw(4) == 0 ? 0 : 4, i % 2 == 0);
    }
}

/* Enough of them for an index of several steps. */
static void test_random_many(void **state) {
    for (unsigned i = 1; i <= 16; i++) {
        sequence = i * UINT64_C(0xD1B54A32D192ED03);
        compare_with_list(300 + draw(300), 12, i % 2 == 0);
    }
}

/* One prefix for each bit: whatever the index tells apart first, most of the others fall together. */
static void test_deep(void **state) {
    struct cidr prefixes[2 * 128];
    for (unsigned bit = 0; bit < 128; bit++) {
        prefixes[bit] = (struct cidr){ .ip = { .family = IP_V6 }, .bits = 128 };
        prefixes[bit].ip.bytes[bit / 8] = (uint8_t)(0x80 >> bit % 8);
        prefixes[128 + bit] = prefixes[bit];
        prefixes[128 + bit].ip.bytes[15] |= 0x10;
    }
    for (size_t n = 1; n <= 256; n++) {
        struct cidr_set *set = set_of(prefixes, n);
        for (size_t i = 0; i < 256; i++) {
            const struct ip around[] = { prefixes[i].ip, step(prefixes[i].ip, 1), step(prefixes[i].ip, -1) };
            for (size_t k = 0; k < 3; k++)
                assert_as_list(set, prefixes, n, &around[k]);
        }
        cidr_set_free(set);
    }
}

static void test_edges(void **state) {
    const struct cidr prefixes[] = { parse("0.0.0.0/32"), parse("255.255.255.255/32"), parse("::/128"),
                                     parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"), parse("10.255.255.255/32"),
                                     parse("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128") };
    struct cidr_set *set = set_of(prefixes, 6);
    assert_has(set, "0.0.0.0", true);
    assert_has(set, "0.0.0.1", false);
    assert_has(set, "255.255.255.255", true);
    assert_has(set, "255.255.255.254", false);
    assert_has(set, "::", true);
    assert_has(set, "::1", false);
    assert_has(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true);
    assert_has(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", false);
    assert_has(set, "10.255.255.255", true);
    assert_has(set, "11.0.0.0", false);
    assert_has(set, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true);
    assert_has(set, "2001:db9::", false);
    cidr_set_free(set);
}

static void test_all(void **state) {
    const struct cidr v4 = parse("0.0.0.0/0"), v6 = parse("::/0");
    struct cidr_set *set = set_of(&v4, 1);
    assert_has(set, "0.0.0.0", true);
    assert_has(set, "192.0.2.1", true);
    assert_has(set, "255.255.255.255", true);
    assert_has(set, "2001:db8::1", false);
    cidr_set_free(set);
    set = set_of(&v6, 1);
    assert_has(set, "192.0.2.1", false);
    assert_has(set, "::", true);
    assert_has(set, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true);
    cidr_set_free(set);
}

static void test_overlaps(void **state) {
    const struct cidr prefixes[] = { parse("10.1.0.0/16"), parse("10.0.0.0/8"), parse("10.0.0.0/8"),
                                     parse("10.255.255.0/24"), parse("192.0.2.0/25"), parse("192.0.2.128/25"),
                                     parse("198.51.100.0/25") };
    struct cidr_set *set = set_of(prefixes, 7);
    assert_has(set, "9.255.255.255", false);
    assert_has(set, "10.0.0.0", true);
    assert_has(set, "10.2.0.1", true); /* behind the smaller one, inside the larger one */
    assert_has(set, "10.255.255.255", true);
    assert_has(set, "11.0.0.0", false);
    assert_has(set, "192.0.2.127", true); /* side by side */
    assert_has(set, "192.0.2.128", true);
    assert_has(set, "192.0.3.0", false);
    assert_has(set, "198.51.100.128", false);
    cidr_set_free(set);
}

static void test_empty(void **state) {
    struct cidr_set *set = set_of(NULL, 0);
    struct ip none = { .family = IP_NONE };
    assert_has(set, "192.0.2.1", false);
    assert_has(set, "::1", false);
    assert_false(cidr_set_has(set, &none));
    cidr_set_free(set);
    const struct cidr all[] = { parse("0.0.0.0/0"), parse("::/0") };
    set = set_of(all, 2);
    assert_false(cidr_set_has(set, &none));
    cidr_set_free(set);
    cidr_set_free(NULL);
}

/* An IPv4 address written in IPv6 is the IPv4 address (base/addr.h), in prefixes and in what is asked. */
static void test_mapped(void **state) {
    const struct cidr prefix = parse("192.0.2.0/24");
    struct cidr_set *set = set_of(&prefix, 1);
    assert_has(set, "::ffff:192.0.2.9", true);
    assert_has(set, "::ffff:192.0.3.9", false);
    cidr_set_free(set);
}

/* Thousands of intervals behind one entry of the index. */
static void test_crowd(void **state) {
    struct cidr_set *set = cidr_set_new();
    struct cidr prefix = { .ip = { .family = IP_V4, .bytes = { 10, 0 } }, .bits = 32 };
    assert_non_null(set);
    for (unsigned i = 0; i < 65536; i += 2) {
        prefix.ip.bytes[2] = (uint8_t)(i >> 8);
        prefix.ip.bytes[3] = (uint8_t)i;
        assert_int_equal(cidr_set_add(set, &prefix), 0);
    }
    assert_int_equal(cidr_set_seal(set), 0);
    for (unsigned i = 0; i < 65536; i++) {
        prefix.ip.bytes[2] = (uint8_t)(i >> 8);
        prefix.ip.bytes[3] = (uint8_t)i;
        assert_int_equal(cidr_set_has(set, &prefix.ip), i % 2 == 0);
    }
    assert_has(set, "9.255.255.254", false);
    assert_has(set, "10.1.0.0", false);
    cidr_set_free(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        { "a set answers as the list of its prefixes does, around the ends of each", test_random, NULL, NULL, NULL },
        { "so does one of hundreds", test_random_many, NULL, NULL, NULL },
        { "prefixes that part at every bit are told apart", test_deep, NULL, NULL, NULL },
        { "the first and the last address of each family can be held alone", test_edges, NULL, NULL, NULL },
        { "/0 holds all of its family and nothing of the other", test_all, NULL, NULL, NULL },
        { "prefixes inside one another and side by side hold what any of them does", test_overlaps, NULL, NULL, NULL },
        { "an empty set holds nothing, and no set holds no address", test_empty, NULL, NULL, NULL },
        { "an IPv4 address in IPv6 clothes is the IPv4 address", test_mapped, NULL, NULL, NULL },
        { "thousands of prefixes close together are told apart", test_crowd, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
