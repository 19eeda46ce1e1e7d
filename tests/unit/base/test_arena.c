/* arena: alignment, chunks of every size, and the maximum. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void allocations_are_aligned_and_do_not_overlap(void **state) {
    struct arena a = { .max = 0 };
    char *last = NULL;
    size_t last_size = 0;
    for (size_t size = 0; size < 300; size += 7) {
        char *at = arena_alloc(&a, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 8, 0);
        assert_ptr_not_equal(at, last);
        memset(at, (int)size, size);
        for (size_t i = 0; i < last_size; i++)
            assert_int_equal((unsigned char)last[i], (unsigned char)(size - 7));
        last = at;
        last_size = size;
    }
    arena_reset(&a);
    assert_null(a.chunks);
    assert_int_equal(a.taken, 0);
}

static void one_byte_past_the_maximum_is_refused(void **state) {
    struct arena a = { .max = 64 };
    assert_non_null(arena_alloc(&a, 56));
    assert_null(arena_alloc(&a, 9));
    assert_non_null(arena_alloc(&a, 8));
    assert_null(arena_alloc(&a, 1));
    assert_null(arena_alloc(&a, 0));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 64));
    arena_reset(&a);
    assert_null(arena_alloc(&a, 65));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(a.chunks);
}

static void a_large_piece_leaves_the_room_of_the_newest_chunk_in_use(void **state) {
    struct arena a = { .max = 0 };
    char *before = arena_alloc(&a, 8);
    char *large = arena_alloc(&a, 100000);
    char *after = arena_alloc(&a, 8);
    assert_non_null(large);
    memset(large, 1, 100000);
    assert_ptr_equal(after, before + 8);
    arena_reset(&a);
}

static void copies_end_in_nul_and_cleared_memory_is_clear(void **state) {
    struct arena a = { .max = 0 };
    assert_string_equal(arena_strdup(&a, STR("postmaster")), "postmaster");
    assert_string_equal(arena_strdup(&a, (struct str){ NULL, 0 }), "");
    struct str s = arena_str(&a, str_head(STR("user@example"), 4));
    assert_true(str_eq(s, STR("user")));
    assert_int_equal(s.at[4], '\0');
    assert_string_equal(arena_printf(&a, "%s:%d", "mx", 25), "mx:25");
    const char *zero = arena_zalloc(&a, 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(zero[i], 0);
    arena_reset(&a);
}

static void copies_past_the_maximum_are_null(void **state) {
    struct arena a = { .max = 8 };
    assert_null(arena_str(&a, STR("12345678")).at);
    assert_null(arena_strdup(&a, STR("12345678")));
    assert_null(arena_printf(&a, "%d", 12345678));
    assert_null(arena_zalloc(&a, 9));
    assert_string_equal(arena_strdup(&a, STR("1234567")), "1234567");
    arena_reset(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(one_byte_past_the_maximum_is_refused),
        cmocka_unit_test(a_large_piece_leaves_the_room_of_the_newest_chunk_in_use),
        cmocka_unit_test(copies_end_in_nul_and_cleared_memory_is_clear),
        cmocka_unit_test(copies_past_the_maximum_are_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
