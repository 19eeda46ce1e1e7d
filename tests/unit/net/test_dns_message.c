/*
 * Answers in wire format at the bounds: chains, counts, text, lifetimes. What any bytes may do is the fuzzer's.
 */
#include "net/dns_message.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PACKET_MAX = 65535, CNAME = 5, SOA = 6, NXDOMAIN = 3, CHAIN_MAX = 8, ANSWERS_MAX = 512 };

static uint8_t packet[PACKET_MAX];
static size_t len;
static struct dns_answer answer;

static void put(const void *bytes, size_t n) {
    assert_true(len + n <= PACKET_MAX);
    memcpy(packet + len, bytes, n);
    len += n;
}

static void put_u16(unsigned value) {
    put((uint8_t[]){ (uint8_t)(value >> 8), (uint8_t)value }, 2);
}

static void put_u32(uint32_t value) {
    put_u16(value >> 16);
    put_u16(value & 0xffff);
}

static void put_name(const char *name) {
    while (*name != '\0') {
        uint8_t label = (uint8_t)strcspn(name, ".");
        put(&label, 1);
        put(name, label);
        name += label + (name[label] == '.');
    }
    put("", 1);
}

static void begin(const char *name, enum dns_type type, unsigned rcode, unsigned n_answers, unsigned n_authority) {
    len = 0;
    put_u16(0);
    put_u16(0x8180 | rcode);
    put_u16(1);
    put_u16(n_answers);
    put_u16(n_authority);
    put_u16(0);
    put_name(name);
    put_u16(type);
    put_u16(1);
}

static void put_record(const char *owner, unsigned type, uint32_t ttl, unsigned data_len) {
    put_name(owner);
    put_u16(type);
    put_u16(1);
    put_u32(ttl);
    put_u16(data_len);
}

static void put_address(const char *owner, uint32_t ttl) {
    put_record(owner, DNS_A, ttl, 4);
    put_u32(0xc0000201);
}

static void put_alias(const char *owner, unsigned type, uint32_t ttl, const char *to) {
    put_record(owner, type, ttl, (unsigned)strlen(to) + 2);
    put_name(to);
}

static void put_soa(uint32_t ttl, uint32_t minimum) {
    put_record("example", SOA, ttl, 22);
    put_u16(0); /* two root names */
    for (int i = 0; i < 4; i++)
        put_u32(1);
    put_u32(minimum);
}

static int parse(enum dns_type type) {
    return dns_message_parse(packet, len, type, &answer);
}

/* ---- chains */

static void put_chain(unsigned n_aliases) {
    char from[32] = "n0.example", to[32];
    begin(from, DNS_A, 0, n_aliases + 1, 0);
    for (unsigned i = 0; i < n_aliases; i++) {
        snprintf(to, sizeof(to), "n%u.example", i + 1);
        put_alias(from, CNAME, 60, to);
        memcpy(from, to, sizeof(from));
    }
    put_address(from, 60);
}

static void a_chain_of_aliases_is_followed_to_its_bound(void **state) {
    put_chain(CHAIN_MAX - 1);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.status, DNS_FOUND);
    put_chain(CHAIN_MAX);
    assert_int_equal(parse(DNS_A), -EBADMSG);
    assert_int_equal(answer.status, DNS_UNAVAILABLE);
}

static void a_chain_without_end_is_unavailable(void **state) {
    begin("a.example", DNS_A, 0, 2, 0);
    put_alias("a.example", CNAME, 60, "b.example");
    put_alias("b.example", CNAME, 60, "a.example");
    assert_int_equal(parse(DNS_A), -EBADMSG);
    assert_int_equal(answer.status, DNS_UNAVAILABLE);
}

/* ---- counts */

static void records_past_those_that_are_kept_are_cut(void **state) {
    for (unsigned n = DNS_RECORDS_MAX; n <= DNS_RECORDS_MAX + 1; n++) {
        begin("a.example", DNS_A, 0, n, 0);
        for (unsigned i = 0; i < n; i++)
            put_address("a.example", 60);
        assert_int_equal(parse(DNS_A), 0);
        assert_int_equal(answer.n, DNS_RECORDS_MAX);
        assert_int_equal(answer.is_cut, n > DNS_RECORDS_MAX);
    }
}

static void records_past_those_that_are_looked_at_are_not_known(void **state) {
    begin("a.example", DNS_A, 0, ANSWERS_MAX + 1, 0);
    for (unsigned i = 0; i < ANSWERS_MAX; i++)
        put_address("other.example", 60);
    put_address("a.example", 60);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.status, DNS_UNAVAILABLE); /* and not: no data */
    assert_int_equal(answer.ttl, 0);
    begin("a.example", DNS_A, 0, ANSWERS_MAX + 1, 0);
    for (unsigned i = 0; i < ANSWERS_MAX + 1; i++)
        put_address("a.example", 60);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.status, DNS_FOUND);
    assert_true(answer.is_cut);
}

static void names_that_do_not_fit_are_left_out_whole(void **state) {
    char name[251];
    for (size_t i = 0; i < sizeof(name) - 1; i++)
        name[i] = i % 50 == 49 ? '.' : 'a';
    name[sizeof(name) - 1] = '\0';
    name[sizeof(name) - 2] = 'a';
    begin("a.example", DNS_PTR, 0, DNS_RECORDS_MAX, 0);
    for (unsigned i = 0; i < DNS_RECORDS_MAX; i++)
        put_alias("a.example", DNS_PTR, 60, name);
    assert_int_equal(parse(DNS_PTR), 0);
    assert_true(answer.n >= 15 && answer.n <= 16);
    assert_true(answer.is_cut);
    for (unsigned i = 0; i < answer.n; i++)
        assert_int_equal(answer.records[i].text.len, sizeof(name) - 1);
}

static void what_no_host_name_has_comes_out_as_a_question_mark(void **state) {
    begin("a.example", DNS_PTR, 0, 1, 0);
    put_alias("a.example", DNS_PTR, 60, "A\\b\r.Example");
    assert_int_equal(parse(DNS_PTR), 0);
    assert_true(str_eq(answer.records[0].text, STR("a?b?.example")));
}

/* ---- lifetimes */

static void an_answer_lives_as_long_as_its_shortest_record(void **state) {
    begin("a.example", DNS_A, 0, 3, 0);
    put_alias("a.example", CNAME, 20, "b.example");
    put_address("b.example", 60);
    put_address("b.example", 30);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.ttl, 20);
}

static void that_there_is_nothing_lives_as_long_as_the_soa_says(void **state) {
    begin("a.example", DNS_A, NXDOMAIN, 0, 1);
    put_soa(300, 120);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.status, DNS_NO_NAME);
    assert_int_equal(answer.ttl, 120);
    begin("a.example", DNS_A, 0, 1, 1);
    put_alias("a.example", CNAME, 50, "b.example");
    put_soa(300, 3600);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.status, DNS_NO_DATA);
    assert_int_equal(answer.ttl, 50);
    begin("a.example", DNS_A, 0, 0, 1);
    put_soa(300, 3600);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.ttl, 300);
    begin("a.example", DNS_A, NXDOMAIN, 0, 0);
    assert_int_equal(parse(DNS_A), 0);
    assert_int_equal(answer.ttl, 0);
}

/* ---- names */

static void names_that_can_be_asked_about(void **state) {
    char label[66];
    memset(label, 'a', sizeof(label));
    assert_true(dns_name_is_possible(STR("a")));
    assert_true(dns_name_is_possible(STR("a.example.")));
    assert_true(dns_name_is_possible((struct str){ label, 63 }));
    assert_false(dns_name_is_possible((struct str){ label, 64 }));
    assert_false(dns_name_is_possible(STR("")));
    assert_false(dns_name_is_possible(STR(".")));
    assert_false(dns_name_is_possible(STR(".a")));
    assert_false(dns_name_is_possible(STR("a..b")));
    assert_false(dns_name_is_possible(STR("a..")));
    assert_false(dns_name_is_possible(STR("a\\046b.example")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_of_aliases_is_followed_to_its_bound),
        cmocka_unit_test(a_chain_without_end_is_unavailable),
        cmocka_unit_test(records_past_those_that_are_kept_are_cut),
        cmocka_unit_test(records_past_those_that_are_looked_at_are_not_known),
        cmocka_unit_test(names_that_do_not_fit_are_left_out_whole),
        cmocka_unit_test(what_no_host_name_has_comes_out_as_a_question_mark),
        cmocka_unit_test(an_answer_lives_as_long_as_its_shortest_record),
        cmocka_unit_test(that_there_is_nothing_lives_as_long_as_the_soa_says),
        cmocka_unit_test(names_that_can_be_asked_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
