/* Things found by a key. */
#include "base/key_table.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void what_was_added_is_found_until_it_is_removed(void **state) {
    struct key_table table;
    struct key_node a = { .key = 0 }, b = { .key = UINT64_MAX };
    (void)state;
    assert_int_equal(key_table_init(&table), 0);
    assert_null(key_table_find(&table, 0));
    key_table_add(&table, &a);
    key_table_add(&table, &b);
    assert_ptr_equal(key_table_find(&table, 0), &a);
    assert_ptr_equal(key_table_find(&table, UINT64_MAX), &b);
    key_table_remove(&table, &a);
    assert_null(key_table_find(&table, 0));
    assert_ptr_equal(key_table_find(&table, UINT64_MAX), &b);
    key_table_remove(&table, &b);
    assert_int_equal(table.n, 0);
    key_table_deinit(&table);
}

static void all_are_found_after_it_has_grown_and_are_freed_at_its_end(void **state) {
    enum { N = 1000 };
    struct key_table table;
    (void)state;
    assert_int_equal(key_table_init(&table), 0);
    size_t n_buckets = table.n_buckets;
    for (uint64_t key = 0; key < N; key++) {
        struct key_node *node = calloc(1, sizeof(*node));
        assert_non_null(node);
        node->key = key;
        key_table_add(&table, node);
    }
    assert_true(table.n_buckets > n_buckets);
    for (uint64_t key = 0; key < N; key++)
        assert_int_equal(key_table_find(&table, key)->key, key);
    assert_null(key_table_find(&table, N));
    key_table_deinit(&table);
}

int main(void) {
    hash_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_until_it_is_removed),
        cmocka_unit_test(all_are_found_after_it_has_grown_and_are_freed_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
