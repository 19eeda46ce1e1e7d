/*
 * The cache of answers: what it gives back, how long, and what outlives a flood.
 */
#include "net/resolver_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BYTES = 20000, NOW = 1000000 };

static struct resolver_cache *cache;
static struct dns_answer found;

static int setup(void **state) {
    cache = resolver_cache_new(BYTES);
    return cache == NULL;
}

static int teardown(void **state) {
    resolver_cache_free(cache);
    return 0;
}

static void put(const char *name, enum dns_status status, uint32_t ttl) {
    struct dns_answer answer = { .status = status, .n = status == DNS_FOUND, .ttl = ttl, .text_len = 4,
                                 .text = "mail", .records = { { .preference = 10 } } };
    answer.records[0].text = (struct str){ answer.text, 4 };
    resolver_cache_put(cache, str_of(name), DNS_MX, NOW, &answer);
}

static bool find(const char *name, uint64_t now_ms) {
    return resolver_cache_find(cache, str_of(name), DNS_MX, now_ms, &found);
}

static void an_answer_comes_back_as_it_was(void **state) {
    put("a.example", DNS_FOUND, 60);
    assert_true(find("a.example", NOW + 10500));
    assert_int_equal(found.status, DNS_FOUND);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.ttl, 49);
    assert_int_equal(found.records[0].preference, 10);
    assert_ptr_equal(found.records[0].text.at, found.text); /* into its own copy */
    assert_memory_equal(found.text, "mail", 4);
    assert_false(find("b.example", NOW));
    assert_false(resolver_cache_find(cache, STR("a.example"), DNS_A, NOW, &found));
}

static void an_answer_lives_as_long_as_it_says_and_a_no_ten_minutes_at_most(void **state) {
    put("a.example", DNS_FOUND, 60);
    put("no.example", DNS_NO_NAME, 604800);
    put("empty.example", DNS_NO_DATA, 30);
    put("long.example", DNS_FOUND, UINT32_MAX);
    assert_true(find("a.example", NOW + 59999));
    assert_false(find("a.example", NOW + 60000));
    assert_true(find("no.example", NOW + 599999));
    assert_false(find("no.example", NOW + 600000));
    assert_true(find("empty.example", NOW + 29999));
    assert_int_equal(found.status, DNS_NO_DATA);
    assert_true(find("long.example", NOW + 86399999));
    assert_false(find("long.example", NOW + 86400000));
}

static void what_is_not_known_is_not_kept_and_drops_what_was(void **state) {
    put("a.example", DNS_FOUND, 60);
    put("a.example", DNS_UNAVAILABLE, 60);
    put("b.example", DNS_FOUND, 0);
    put("c.example", DNS_BAD_NAME, 60);
    assert_false(find("a.example", NOW));
    assert_false(find("b.example", NOW));
    assert_false(find("c.example", NOW));
    assert_int_equal(resolver_cache_bytes(cache), 0);
}

static void a_newer_answer_takes_the_place_of_an_older_one(void **state) {
    put("a.example", DNS_FOUND, 60);
    size_t bytes = resolver_cache_bytes(cache);
    put("a.example", DNS_FOUND, 120);
    assert_int_equal(resolver_cache_bytes(cache), bytes);
    assert_true(find("a.example", NOW + 100000));
}

static void a_flood_of_names_asked_for_once_leaves_what_was_asked_for_again(void **state) {
    char name[32];
    put("needed.example", DNS_FOUND, 3600);
    assert_true(find("needed.example", NOW));
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "flood%u.example", i);
        put(name, DNS_FOUND, 3600);
        assert_true(resolver_cache_bytes(cache) <= BYTES);
    }
    assert_true(find("needed.example", NOW));
    assert_true(find(name, NOW));
    assert_false(find("flood0.example", NOW));
}

static void a_flood_of_names_asked_for_again_is_bounded_too(void **state) {
    char name[32];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "flood%u.example", i);
        put(name, DNS_FOUND, 3600);
        assert_true(find(name, NOW));
        assert_true(resolver_cache_bytes(cache) <= BYTES);
    }
    put("new.example", DNS_FOUND, 3600);
    assert_true(find("new.example", NOW));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_back_as_it_was),
        TEST(an_answer_lives_as_long_as_it_says_and_a_no_ten_minutes_at_most),
        TEST(what_is_not_known_is_not_kept_and_drops_what_was),
        TEST(a_newer_answer_takes_the_place_of_an_older_one),
        TEST(a_flood_of_names_asked_for_once_leaves_what_was_asked_for_again),
        TEST(a_flood_of_names_asked_for_again_is_bounded_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
