/*
 * Tests of table/patterns: the filter by the end of the text never changes an answer, and no pattern takes long.
 *
 * The numbers are of a fixed sequence: a failure happens again.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "table/patterns.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t sequence;

/* xorshift64* */
static uint64_t draw(uint64_t below) {
    sequence ^= sequence >> 12;
    sequence ^= sequence << 25;
    sequence ^= sequence >> 27;
    return (sequence * UINT64_C(2685821657736338717) >> 11) % below;
}

static struct patterns *set_of(const char *const *texts, size_t n) {
    struct patterns *patterns = patterns_new();
    const char *problem;
    assert_non_null(patterns);
    for (size_t i = 0; i < n; i++) {
        if (patterns_add(patterns, str_of(texts[i]), &problem) != 0)
            fail_msg("%s: %s", texts[i], problem);
    }
    return patterns;
}

/* What the pattern says by itself. */
static bool fits(const char *pattern_text, struct str text) {
    struct pattern *pattern;
    const char *problem;
    if (pattern_new(str_of(pattern_text), &pattern, &problem) != 0)
        fail_msg("%s: %s", pattern_text, problem);
    bool is_match = pattern_matches(pattern, text);
    pattern_free(pattern);
    return is_match;
}

static void assert_as_alone(const char *pattern_text, struct str text) {
    struct patterns *patterns = set_of(&pattern_text, 1);
    bool expected = fits(pattern_text, text);
    if ((patterns_ask(patterns, text) == TABLE_YES) != expected)
        fail_msg("'%s' %s '%.*s' alone, but not in a set", pattern_text, expected ? "fits" : "does not fit",
                 STR_ARG(text));
    patterns_free(patterns);
}

/* Patterns whose end is not what it looks like. */
static const char *const awkward[] = {
    "\\.example\\.net$", "a|b\\.example\\.net$", "(a|b)\\.example\\.net$", "[.]example\\.net$", "\\$",
    "example\\.net\\$",
    "example\\\\$", "x\\\\.example$", "x\\.\\\\example$", "(?i)\\.example\\.net$", "(?i:a)\\.example\\.net$",
    "(?-i)EXAMPLE\\.NET$", "(?x)x # example$", "(?x:x )example$", "a{2}$", "example\\.nett{2}$", "example\\.net{0}$",
    "example\\.net?$", "example\\.ne[t]$", "(example\\.net)?$", "(example\\.net$)", "(example\\.net$)|x",
    "(?:^|\\.)example\\.net$", "^example\\.net$", "net$", "\\.net$", "b\\.net$", "ab\\.net$", "$", "", "^$", "^",
    "\\Qexample.net$", "\\Qexample.net\\E$", "\\x65xample$", "\\x{65}xample$", "\\145xample$", "\\o{145}xample$",
    "\\dexample$", "\\bexample$", "example\\b$", "example\\Z", "example\\z", "(e)xample$", "(?<n>e)\\k<n>xample$",
    "(?<n>e)\\1xample$", "(?<n>e)\\g{1}xample$", "(?=e)example$", "(?!x)example$", "(?<=x)example$", "(?#x$)example$",
    "[e$]xample$", "[]e]xample$", "[^]]xample$", "[[:alpha:]]xample$", "[\\]e]xample$", "[a\\]|x]ample$",
    "[(]example$", "[)]|example$", "[|]example$", "example$|", "|example$", "(?|a|b)example$", "(?>example)$",
    "example$$", "exa$mple$", "exa^mple$", "(*LIMIT_MATCH=1000)example$", "(*UTF)example$", "(?m)example$",
    "(?s)xample$",
    "x(?i)example$", "\\-example$", "example-$", "a_xample$", "\\_xample$", "\\@xample$", "ex.mple$", "example\\.$",
    "e{,2}xample$", "e{1,xample$", "e\\{xample$", "\\cAxample$", "e\\Kxample$", "\\p{L}xample$", "\\pLxample$",
    "example\\.net$(?:)", "(?:example$)", "(?<a>a)(?(1)b|c)example$", "(?<e>x)example$", "e*xample$", "exampl(e)$",
    "exampl(?:e|E)$", "exampl\\w$", "ex#ample$", "ex ample$", "example\\.net\\.$",
};

static const char *const texts[] = {
    "", "a", "b", "$", "x", "net", ".net", "b.net", "ab.net", "example", "EXAMPLE", "xample", "eexample", "xexample",
    "0example", "-example", "example-", "example.", "example$", "example\\", "x\\example", "x.\\example", "x\\.example",
    "example.net", "Example.Net", "EXAMPLE.NET", "x.example.net", "b.example.net", "a.example.net", "a", "example.nett",
    "example.nettt", "example.ne", "example.net.", "example.net$", "example.net\n", "example\n", "x.example.org", "aa",
    "xaa", "|example", "(example", ")", ")|example", "]xample", "a]|xample", "e_xample", "a_xample", "_xample",
    "@xample", "exbmple", "e{xample", "\001xample", "bexample", "abexample", "cexample", "example#", "ex#ample",
    "ex ample", "x # example", "[e$]xample", "\x65xample", "145xample", "x65xample", "Qexample.net", "example.netx",
};

static void test_awkward(void **state) {
    for (size_t i = 0; i < COUNT(awkward); i++) {
        for (size_t k = 0; k < COUNT(texts); k++)
            assert_as_alone(awkward[i], str_of(texts[k]));
    }
}

/* Patterns and texts out of the same pieces, so that many of them fit. */
static void put_pieces(char *out, size_t size, bool is_pattern) {
    static const char *const pieces[] = {
        "a", "b", "example", "net", "-", "\\.", ".", "dsl-", "7", "$", "|", "(", ")", "[", "]", "\\", "?", "*", "{2}",
        "(?:", "(?i)", "\\Q", "\\E", "\\x41", "\\d", "^", "[^a]", "(?x)", "#", " ", "\\\\", "(?=", "\\b", "\\$",
    };
    static const char *const plain[] = { "a", "b", "example", "net", "-", ".", ".", "dsl-", "7", "$", "|", "\\", "A",
                                         "#" };
    size_t len = 0;
    out[0] = '\0';
    for (uint64_t n = 1 + draw(7); n > 0; n--) {
        const char *piece = is_pattern ? pieces[draw(draw(2) == 0 ? 10 : COUNT(pieces))] : plain[draw(COUNT(plain))];
        len += (size_t)snprintf(out + len, size - len, "%s", piece);
    }
    if (is_pattern && draw(2) == 0)
        snprintf(out + len, size - len, "%s", draw(2) == 0 ? "example$" : "\\.net$");
}

static void test_random(void **state) {
    unsigned n_patterns = 0, n_fitting = 0;
    for (unsigned i = 1; i <= 3000; i++) {
        char pattern_text[128], text[128];
        const char *problem, *at = pattern_text;
        struct pattern *pattern;
        sequence = i * UINT64_C(0x9E3779B97F4A7C15);
        put_pieces(pattern_text, sizeof(pattern_text), true);
        if (pattern_new(str_of(pattern_text), &pattern, &problem) != 0)
            continue;
        struct patterns *patterns = set_of(&at, 1);
        n_patterns++;
        for (unsigned k = 0; k < 20; k++) {
            put_pieces(text, sizeof(text) - 16, false);
            if (draw(2) == 0)
                strcat(text, draw(2) == 0 ? "EXAMPLE" : ".net");
            bool expected = pattern_matches(pattern, str_of(text));
            n_fitting += expected;
            if ((patterns_ask(patterns, str_of(text)) == TABLE_YES) != expected)
                fail_msg("'%s' %s '%s' alone, but not in a set", pattern_text, expected ? "fits" : "does not fit",
                         text);
        }
        patterns_free(patterns);
        pattern_free(pattern);
    }
    assert_true(n_patterns > 500); /* the pieces still make patterns, and these meet texts */
    assert_true(n_fitting > 500);
}

static void test_many(void **state) {
    struct patterns *patterns = patterns_new();
    char text[64];
    const char *problem;
    assert_non_null(patterns);
    for (unsigned i = 0; i < 2000; i++) {
        int len = snprintf(text, sizeof(text), "^h\\d+\\.isp%u\\.example\\.(?:net|org)$", i);
        if (i % 2 == 0)
            len = snprintf(text, sizeof(text), "\\.isp%u\\.example$", i);
        assert_int_equal(patterns_add(patterns, (struct str){ text, (size_t)len }, &problem), 0);
    }
    assert_int_equal(patterns_ask(patterns, STR("host.ISP1998.Example")), TABLE_YES);
    assert_int_equal(patterns_ask(patterns, STR("h7.isp1999.example.org")), TABLE_YES);
    assert_int_equal(patterns_ask(patterns, STR("host.isp1999.example")), TABLE_NO);
    assert_int_equal(patterns_ask(patterns, STR("host.isp2000.example")), TABLE_NO);
    assert_int_equal(patterns_ask(patterns, STR("")), TABLE_NO);
    patterns_free(patterns);
    patterns_free(NULL);
}

static void test_bad(void **state) {
    struct patterns *patterns = patterns_new();
    struct pattern *pattern;
    const char *problem = NULL;
    assert_non_null(patterns);
    assert_int_equal(patterns_add(patterns, STR("a(b"), &problem), -EINVAL);
    assert_string_equal(problem, "missing closing parenthesis (at byte 4)");
    assert_int_equal(pattern_new(STR("[z-a]"), &pattern, &problem), -EINVAL);
    assert_non_null(strstr(problem, "range out of order"));
    assert_int_equal(pattern_new(STR("a\\"), &pattern, &problem), -EINVAL);
    assert_int_equal(pattern_new(STR("a\\Cb"), &pattern, &problem), -EINVAL);
    assert_int_equal(patterns_ask(patterns, STR("ab")), TABLE_NO);
    pattern_free(NULL);
    patterns_free(patterns);
}

/* A text of 1,024 bytes is looked at, one of 1,025 is not; nothing that a policy asks about is that long. */
static void test_long_text(void **state) {
    static char text[1025];
    const char *any = "x", *tail = "xxxxxxx$";
    memset(text, 'x', sizeof(text));
    struct patterns *one = set_of(&any, 1), *other = set_of(&tail, 1);
    assert_int_equal(patterns_ask(one, (struct str){ text, 1024 }), TABLE_YES);
    assert_int_equal(patterns_ask(other, (struct str){ text, 1024 }), TABLE_YES);
    assert_int_equal(patterns_ask(one, (struct str){ text, 1025 }), TABLE_NO);
    assert_int_equal(patterns_ask(other, (struct str){ text, 1025 }), TABLE_NO);
    patterns_free(one);
    patterns_free(other);
}

/* Patterns that try every way to cut a text in two and more: with a bound they end, and say neither yes nor no. */
static void test_catastrophe(void **state) {
    static const char *const patterns[] = { "^(a|aa)+$", "(a|aa)+$", "(a*)*b", "(a|a)*c", "(?:a?){40}a{40}c",
                                            "(.*)(.*)(.*)(.*)(.*)(.*)x" };
    char text[1000];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '!';
    uint64_t start = clock_us();
    struct patterns *all = patterns_new();
    const char *problem;
    assert_non_null(all);
    for (size_t i = 0; i < COUNT(patterns); i++) {
        assert_false(fits(patterns[i], (struct str){ text, sizeof(text) }));
        assert_int_equal(patterns_add(all, str_of(patterns[i]), &problem), 0);
    }
    assert_int_equal(patterns_ask(all, (struct str){ text, sizeof(text) }), TABLE_UNKNOWN);
    assert_int_equal(patterns_ask(all, STR("no")), TABLE_NO);
    assert_int_equal(patterns_add(all, STR("!$"), &problem), 0);
    assert_int_equal(patterns_ask(all, (struct str){ text, sizeof(text) }), TABLE_YES); /* another one fits */
    patterns_free(all);
    /* Unbounded, the first alone would outlive the machine; bounded, all of them take some milliseconds. */
    assert_true(clock_us() - start < 5000000);
}

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        { "patterns with an awkward end fit in a set what they fit alone", test_awkward, NULL, NULL, NULL },
        { "random patterns fit in a set what they fit alone", test_random, NULL, NULL, NULL },
        { "two thousand patterns are found by their end, or one after the other", test_many, NULL, NULL, NULL },
        { "a pattern that does not compile says why and where", test_bad, NULL, NULL, NULL },
        { "a text of 1,024 bytes is matched and a longer one is not", test_long_text, NULL, NULL, NULL },
        { "of a pattern that would try for ever nobody knows whether it fits", test_catastrophe, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
