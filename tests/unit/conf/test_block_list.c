/*
 * Tests of block_list blocks: what they mean, and what is told when they cannot be.
 */
#include "loaded.h"

#define OURS MINIMAL "domain example.com\n"

static void test_meaning(void **state) {
    struct loaded l = load_good(OURS "block_list bl.example.net\n"
                                "block_list wl.example.net { weight -1.5\n group main\n key ab.cd\n probe none }\n"
                                "block_list dbl.example.net {\n for helo sender\n"
                                " codes 127.0.1.2-127.0.1.99 127.0.1.106\n"
                                " probe listed.example clean.example\n}\n");
    const struct conf_block_list *lists = l.conf->block_lists;
    assert_int_equal(l.conf->n_block_lists, 3);
    assert_string_equal(lists[0].zone, "bl.example.net");
    assert_string_equal(lists[0].group, "");
    assert_null(lists[0].key);
    assert_int_equal(lists[0].weight, 1000);
    assert_int_equal(lists[0].families, 1 << LISTS_CLIENT);
    assert_int_equal(lists[0].probes.use, CONF_PROBE_STANDARD);
    assert_int_equal(lists[1].weight, -1500);
    assert_string_equal(lists[1].group, "main");
    assert_string_equal(lists[1].key, "ab.cd");
    assert_int_equal(lists[1].probes.use, CONF_PROBE_NONE);
    assert_int_equal(lists[2].families, 1 << LISTS_HELO | 1 << LISTS_SENDER);
    assert_int_equal(lists[2].codes.n, 2);
    assert_int_equal(lists[2].codes.at[0].first, 0x7f000102);
    assert_int_equal(lists[2].codes.at[0].last, 0x7f000163);
    assert_int_equal(lists[2].codes.at[1].last, 0x7f00016a);
    assert_int_equal(lists[2].probes.use, CONF_PROBE_NAMED);
    assert_string_equal(lists[2].probes.at[0].clean, "clean.example");
    unload(&l);
}

static void test_mistakes(void **state) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "block_list\n", "expected 'block_list ZONE'" },
        { "block_list a..b\n", "expected 'block_list ZONE'" },
        { "block_list a.example b.example\n", "expected 'block_list ZONE'" },
        { "block_list a.example\nblock_list A.example\n", "a second block_list A.example for the same" },
        { "block_list a.example { for client helo }\n", "a list is one of addresses or one of names" },
        { "block_list a.example { for clients }\n", "expected 'for client'" },
        { "block_list a.example { for }\n", "expected 'for client'" },
        { "block_list a.example { weight heavy }\n", "expected 'weight NUMBER'" },
        { "block_list a.example { weight 1000.001 }\n", "expected 'weight NUMBER'" },
        { "block_list a.example { weight 1.0001 }\n", "expected 'weight NUMBER'" },
        { "block_list a.example { weight 1. }\n", "expected 'weight NUMBER'" },
        { "block_list a.example { codes 10.0.0.1 }\n", "expected an address in 127.0.0.0/8" },
        { "block_list a.example { codes 127.0.0.9-127.0.0.2 }\n", "expected an address in 127.0.0.0/8" },
        { "block_list a.example { probe maybe }\n", "expected 'probe standard'" },
        { "block_list a.example { probe 192.0.2.1 }\n", "expected 'probe standard'" },
        { "block_list a.example { for helo\n probe 192.0.2.1 192.0.2.2 }\n", "not of the kind that it is for" },
        { "block_list a.example { probe 192.0.2.1 192.0.2.2\n probe 2001:db8::1 2001:db8::2\n probe ::1 ::2 }\n",
          "expected 'probe standard'" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), OURS "%s", cases[i].text);
        assert_refused(text, cases[i].message);
    }
}

static void test_bounds(void **state) {
    char text[8192];
    size_t len = (size_t)snprintf(text, sizeof(text), "%s", OURS);
    for (unsigned i = 0; i < CONF_BLOCK_LISTS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "block_list l%u.example\n", i);
    struct loaded l = load_good(text);
    assert_int_equal(l.conf->n_block_lists, CONF_BLOCK_LISTS_MAX);
    unload(&l);
    snprintf(text + len, sizeof(text) - len, "block_list one.more.example\n");
    assert_refused(text, "more than 64 block lists");
}

static void test_codes_bound(void **state) {
    char text[2048];
    size_t len = (size_t)snprintf(text, sizeof(text), OURS "block_list a.example {\ncodes");
    for (unsigned i = 0; i < CONF_CODES_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, " 127.0.0.%u", i + 2);
    snprintf(text + len, sizeof(text) - len, "\n}\n");
    struct loaded l = load_good(text);
    assert_int_equal(l.conf->block_lists[0].codes.n, CONF_CODES_MAX);
    unload(&l);
    snprintf(text + len, sizeof(text) - len, " 127.0.1.1\n}\n");
    assert_refused(text, "at most 32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        { "a block_list block says zone, weight, families, codes and probes", test_meaning, NULL, NULL, NULL },
        { "what a block list cannot be is told at its place", test_mistakes, NULL, NULL, NULL },
        { "64 block lists are possible, and no more", test_bounds, NULL, NULL, NULL },
        { "32 codes are possible, and no more", test_codes_bound, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
