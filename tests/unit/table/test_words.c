/*
 * Tests of table/words: what was added is found with its flags, in any case, and nothing else is.
 */
#include "base/hash.h"
#include "table/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_flags(void **state) {
    struct words *words = words_new();
    assert_non_null(words);
    assert_int_equal(words_find(words, STR("a")), 0);
    assert_int_equal(words_add(words, STR("Example.COM"), 1), 0);
    assert_int_equal(words_add(words, STR("example.com"), 4), 0);
    assert_int_equal(words_add(words, STR("b"), 2), 0);
    assert_int_equal(words_find(words, STR("eXample.com")), 5);
    assert_int_equal(words_find(words, STR("B")), 2);
    assert_int_equal(words_find(words, STR("example.co")), 0);
    assert_int_equal(words_find(words, STR("example.comm")), 0);
    assert_int_equal(words_find(words, STR("")), 0);
    words_free(words);
    words_free(NULL);
}

/* Enough for several growths, with every length up to a hundred. */
static void test_many(void **state) {
    enum { MANY = 20000 };
    struct words *words = words_new();
    char text[160];
    assert_non_null(words);
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(text, sizeof(text), "%0*u", (int)(5 + i % 100), i);
        assert_int_equal(words_add(words, (struct str){ text, (size_t)len }, (uint8_t)(1 + i % 7)), 0);
    }
    for (unsigned i = 0; i < 2 * MANY; i++) {
        int len = snprintf(text, sizeof(text), "%0*u", (int)(5 + i % 100), i);
        assert_int_equal(words_find(words, (struct str){ text, (size_t)len }), i < MANY ? 1 + i % 7 : 0);
    }
    words_free(words);
}

static void test_lengths(void **state) {
    static char text[UINT16_MAX + 1];
    struct words *words = words_new();
    assert_non_null(words);
    memset(text, 'x', sizeof(text));
    assert_int_equal(words_add(words, (struct str){ text, UINT16_MAX }, 1), 0);
    assert_int_not_equal(words_add(words, (struct str){ text, UINT16_MAX + 1 }, 1), 0);
    assert_int_not_equal(words_add(words, STR(""), 1), 0);
    assert_int_equal(words_add(words, (struct str){ text, WORDS_LOOKUP_MAX }, 1), 0);
    assert_int_equal(words_find(words, (struct str){ text, WORDS_LOOKUP_MAX }), 1);
    assert_int_equal(words_add(words, (struct str){ text, WORDS_LOOKUP_MAX + 1 }, 1), 0);
    assert_int_equal(words_find(words, (struct str){ text, WORDS_LOOKUP_MAX + 1 }), 0);
    words_free(words);
}

/* Only ASCII letters have a case here: \xC3\x9C and \xC3\xBC stay two. */
static void test_bytes(void **state) {
    struct words *words = words_new();
    assert_non_null(words);
    assert_int_equal(words_add(words, STR("\xC3\x9C@[`{\0z"), 1), 0);
    assert_int_equal(words_find(words, STR("\xC3\x9C@[`{\0Z")), 1);
    assert_int_equal(words_find(words, STR("\xC3\xBC@[`{\0z")), 0);
    assert_int_equal(words_find(words, STR("\xC3\x9C`[`{\0z")), 0);
    words_free(words);
}

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        { "a word is found in any case, with all flags that it was added with", test_flags, NULL, NULL, NULL },
        { "twenty thousand words are found and twenty thousand others are not", test_many, NULL, NULL, NULL },
        { "a word has 1 to 65535 bytes, and more than 512 are never found", test_lengths, NULL, NULL, NULL },
        { "bytes that are no ASCII letters compare as they are", test_bytes, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
