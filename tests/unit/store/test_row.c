/* Rows: what survives a merge, and that neither order nor repetition matters, in C and in SQL. */
#include "store/row.h"
#include "store/schema.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW = 1000, ROUNDS = 200000, SQL_ROUNDS = 20000 };

/* ---- random rows, with all the edges close together */

static uint64_t seed = 88172645463325252u;

static int64_t below(int64_t n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed % (uint64_t)n);
}

static struct row random_row(void) {
    return (struct row){ .key = 7, .first = 1 + below(8), .last = 1 + below(8), .expires = NOW - 3 + below(7),
                         .forgot = below(3) == 0 ? below(8) : 0, .passes = (int32_t)below(4) };
}

/* What a row says: of two that say nothing only `forgot` matters. */
static bool is_same(const struct row *a, const struct row *b) {
    if (a->forgot != b->forgot || row_is_alive(a, NOW) != row_is_alive(b, NOW))
        return false;
    return !row_is_alive(a, NOW) || (a->first == b->first && a->last == b->last && a->expires == b->expires
                                     && a->passes == b->passes);
}

static void expect_same(struct row a, struct row b) {
    if (!is_same(&a, &b))
        fail_msg("{%ld %ld %ld %ld %d} is not {%ld %ld %ld %ld %d}", a.first, a.last, a.expires, a.forgot, a.passes,
                 b.first, b.last, b.expires, b.forgot, b.passes);
}

static struct row merge(struct row a, struct row b) {
    return row_merge(&a, &b, NOW);
}

/* ---- examples */

static void test_of_two_memories_the_earliest_start_and_the_most_passes_stay(void **state) {
    struct row a = { .key = 1, .first = 10, .last = 50, .expires = 2000, .passes = 1 };
    struct row b = { .key = 1, .first = 5, .last = 40, .expires = 3000, .passes = 0 };
    expect_same(merge(a, b), (struct row){ .key = 1, .first = 5, .last = 50, .expires = 3000, .passes = 1 });
}

static void test_what_has_expired_leaves_nothing(void **state) {
    struct row old = { .key = 1, .first = 1, .last = 2, .expires = NOW, .passes = 9 };
    struct row fresh = { .key = 1, .first = 900, .last = 900, .expires = NOW + 1 };
    expect_same(merge(old, fresh), fresh);
    assert_false(row_is_alive(&old, NOW));
}

static void test_what_was_forgotten_on_one_host_does_not_come_back_from_another(void **state) {
    struct row elsewhere = { .key = 1, .first = 10, .last = 800, .expires = 5000, .passes = 2 };
    struct row forgotten = { .key = 1, .forgot = 500 };
    struct row again = { .key = 1, .first = 501, .last = 501, .expires = 2000 };
    struct row merged = merge(merge(forgotten, again), elsewhere);
    assert_int_equal(merged.first, 501);
    assert_int_equal(merged.passes, 0);
    merged = merge(merge(elsewhere, again), forgotten); /* heard of too late: the attempt is lost, nothing comes back */
    assert_false(row_is_alive(&merged, NOW));
    struct row gone = merge(elsewhere, forgotten);
    assert_false(row_is_alive(&gone, NOW));
}

static void test_a_forgotten_row_is_kept_as_long_as_others_may_remember(void **state) {
    struct row row = { .key = 1, .forgot = NOW };
    assert_false(row_is_spent(&row, NOW + ROW_FORGET_LIFE - 1));
    assert_true(row_is_spent(&row, NOW + ROW_FORGET_LIFE));
    struct row expired = { .key = 1, .first = 1, .expires = NOW };
    assert_true(row_is_spent(&expired, NOW));
    expired.expires++;
    assert_false(row_is_spent(&expired, NOW));
}

/* ---- properties */

static void test_order_grouping_and_repetition_do_not_matter(void **state) {
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct row a = random_row(), b = random_row(), c = random_row();
        expect_same(merge(a, b), merge(b, a));
        expect_same(merge(a, a), a);
        expect_same(merge(merge(a, b), b), merge(a, b));
        a.forgot = b.forgot = c.forgot = 0;
        expect_same(merge(merge(a, b), c), merge(a, merge(b, c)));
    }
}

static void test_nothing_that_was_forgotten_comes_back_in_any_order(void **state) {
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct row a = random_row(), b = random_row(), c = random_row();
        struct row merged[] = { merge(merge(a, b), c), merge(a, merge(b, c)), merge(merge(a, c), b) };
        for (size_t j = 0; j < 3; j++) {
            assert_int_equal(merged[j].forgot, merged[0].forgot);
            assert_true(!row_is_alive(&merged[j], NOW) || merged[j].first > merged[0].forgot);
        }
    }
}

static void bind(sqlite3_stmt *statement, const struct row *row) {
    sqlite3_bind_int64(statement, 1, row->key);
    sqlite3_bind_int64(statement, 2, row->first);
    sqlite3_bind_int64(statement, 3, row->last);
    sqlite3_bind_int64(statement, 4, row->expires);
    sqlite3_bind_int64(statement, 5, row->forgot);
    sqlite3_bind_int(statement, 6, row->passes);
    sqlite3_bind_int64(statement, 7, NOW);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
}

static void test_the_statement_merges_as_the_function_does(void **state) {
    sqlite3 *db;
    sqlite3_stmt *write, *read;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE grey(k INTEGER PRIMARY KEY, first, last, expires, forgot, passes)",
                                  NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, SCHEMA_MERGE, -1, &write, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, SCHEMA_READ, -1, &read, NULL), SQLITE_OK);
    for (unsigned i = 0; i < SQL_ROUNDS; i++) {
        struct row a = random_row(), b = random_row();
        assert_int_equal(sqlite3_exec(db, "DELETE FROM grey", NULL, NULL, NULL), SQLITE_OK);
        bind(write, &a);
        bind(write, &b);
        sqlite3_bind_int64(read, 1, 7);
        assert_int_equal(sqlite3_step(read), SQLITE_ROW);
        struct row found = { .key = sqlite3_column_int64(read, 0), .first = sqlite3_column_int64(read, 1),
                             .last = sqlite3_column_int64(read, 2), .expires = sqlite3_column_int64(read, 3),
                             .forgot = sqlite3_column_int64(read, 4), .passes = sqlite3_column_int(read, 5) };
        sqlite3_reset(read);
        expect_same(found, merge(a, b));
    }
    sqlite3_finalize(write);
    sqlite3_finalize(read);
    sqlite3_close(db);
}

static void a_row_of_any_numbers_becomes_one_that_could_have_been_written(void **state) {
    const int64_t now = 1700000000, ends[] = { INT64_MIN, -1, 0, 1700000000, INT64_MAX };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const struct row any = { .key = 7, .first = ends[i], .last = ends[i], .expires = ends[i], .forgot = ends[i],
                                 .passes = ends[i] < 0 ? INT32_MIN : INT32_MAX };
        struct row row = row_bounded(&any, now), again = row_bounded(&row, now);
        assert_int_equal(row.key, 7);
        assert_true(row.first >= 0 && row.last >= 0 && row.expires >= 0 && row.forgot >= 0 && row.passes >= 0);
        assert_true(row.expires <= now + ROW_LIFE_MAX && row.forgot <= now + ROW_CLOCK_MAX);
        assert_true(row.passes <= ROW_PASSES_MAX);
        assert_memory_equal(&row, &again, sizeof(row));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_two_memories_the_earliest_start_and_the_most_passes_stay),
        cmocka_unit_test(test_what_has_expired_leaves_nothing),
        cmocka_unit_test(test_what_was_forgotten_on_one_host_does_not_come_back_from_another),
        cmocka_unit_test(test_a_forgotten_row_is_kept_as_long_as_others_may_remember),
        cmocka_unit_test(test_order_grouping_and_repetition_do_not_matter),
        cmocka_unit_test(test_nothing_that_was_forgotten_comes_back_in_any_order),
        cmocka_unit_test(test_the_statement_merges_as_the_function_does),
        cmocka_unit_test(a_row_of_any_numbers_becomes_one_that_could_have_been_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
