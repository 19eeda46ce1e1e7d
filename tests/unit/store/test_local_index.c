/* Has anybody committed? Two connections to one file. */
#include "store/local_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct world {
    char folder[64], path[96];
    sqlite3 *db, *other;
    struct local_index index;
};

static void run(sqlite3 *db, const char *sql) {
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
}

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->folder, sizeof(w->folder), "/tmp/test-index-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof(w->path), "%s/some.db", w->folder);
    assert_int_equal(sqlite3_open(w->path, &w->db), SQLITE_OK);
    run(w->db, "PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER)");
    assert_int_equal(sqlite3_open(w->path, &w->other), SQLITE_OK);
    local_index_open(&w->index, w->db);
    assert_non_null(w->index.header);
    local_index_is_still(&w->index);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    char command[128];
    sqlite3_close(w->other);
    sqlite3_close(w->db);
    snprintf(command, sizeof(command), "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static void test_where_nobody_commits_it_is_still(void **state) {
    struct world *w = *state;
    assert_true(local_index_is_still(&w->index));
    run(w->db, "SELECT count(*) FROM t");
    run(w->other, "SELECT count(*) FROM t");
    run(w->other, "BEGIN IMMEDIATE; INSERT INTO t VALUES(1); ROLLBACK");
    assert_true(local_index_is_still(&w->index));
}

static void test_each_commit_of_another_is_met_once(void **state) {
    struct world *w = *state;
    for (int i = 0; i < 1000; i++) {
        run(w->other, "INSERT INTO t VALUES(1)");
        assert_false(local_index_is_still(&w->index));
        assert_true(local_index_is_still(&w->index));
    }
}

static int on_commit(void *arg, sqlite3 *db, const char *name, int n_pages) {
    local_index_on_commit(&((struct world *)arg)->index);
    return SQLITE_OK;
}

static void test_a_commit_of_our_own_is_no_news_once_it_was_told(void **state) {
    struct world *w = *state;
    run(w->db, "BEGIN; INSERT INTO t VALUES(1)");
    assert_true(local_index_is_still(&w->index));
    run(w->db, "COMMIT");
    assert_false(local_index_is_still(&w->index));
    assert_true(local_index_is_still(&w->index));
    sqlite3_wal_hook(w->db, on_commit, w);
    run(w->db, "INSERT INTO t VALUES(1)");
    run(w->db, "INSERT INTO t VALUES(1)");
    assert_true(local_index_is_still(&w->index));
    run(w->db, "PRAGMA wal_checkpoint(RESTART)");
    run(w->db, "INSERT INTO t VALUES(1)");
    assert_true(local_index_is_still(&w->index));
}

static void test_our_own_commit_does_not_hide_that_of_another(void **state) {
    struct world *w = *state;
    sqlite3_wal_hook(w->db, on_commit, w);
    for (int i = 0; i < 100; i++) {
        run(w->other, "INSERT INTO t VALUES(1)");
        run(w->db, "INSERT INTO t VALUES(1)");
        assert_false(local_index_is_still(&w->index));
        run(w->db, "INSERT INTO t VALUES(1)");
        run(w->other, "INSERT INTO t VALUES(1)");
        run(w->db, "INSERT INTO t VALUES(1)");
        assert_false(local_index_is_still(&w->index));
        run(w->other, "INSERT INTO t VALUES(1)");
        run(w->db, "BEGIN IMMEDIATE; COMMIT"); /* of nothing: it is not told, nor would it hide anything */
        assert_false(local_index_is_still(&w->index));
        assert_true(local_index_is_still(&w->index));
    }
}

static void test_a_commit_into_a_log_that_begins_anew_is_met(void **state) {
    struct world *w = *state;
    for (int i = 0; i < 10; i++) {
        run(w->db, "INSERT INTO t VALUES(1)");
        run(w->db, "PRAGMA wal_checkpoint(TRUNCATE)");
        local_index_is_still(&w->index);
        run(w->other, "INSERT INTO t VALUES(1)"); /* the first of its log, like the one before */
        assert_false(local_index_is_still(&w->index));
    }
}

static void test_without_a_log_it_is_never_known(void **state) {
    struct local_index index;
    sqlite3 *memory;
    assert_int_equal(sqlite3_open(":memory:", &memory), SQLITE_OK);
    local_index_open(&index, memory);
    assert_null(index.header);
    assert_false(local_index_is_still(&index));
    assert_false(local_index_is_still(&index));
    sqlite3_close(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_where_nobody_commits_it_is_still),
        TEST(test_each_commit_of_another_is_met_once),
        TEST(test_a_commit_of_our_own_is_no_news_once_it_was_told),
        TEST(test_our_own_commit_does_not_hide_that_of_another),
        TEST(test_a_commit_into_a_log_that_begins_anew_is_met),
        cmocka_unit_test(test_without_a_log_it_is_never_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
