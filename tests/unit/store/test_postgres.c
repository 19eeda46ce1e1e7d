/*
 * The shared store against a real PostgreSQL: what it keeps, whose key counts, and every way in which it goes away.
 *
 * tests/e2e/test_store_postgres.py starts the server and names it in POSTERN_TEST_POSTGRES (a conninfo) and the module
 * in POSTERN_TEST_MODULE, and one test in POSTERN_TEST_NAME where it wants just that. Each test has a database of its
 * own. The module is loaded as the store process loads it.
 */
#include "base/clock.h"
#include "store/greylist.h"
#include "store/schema.h"
#include "store/shared.h"

#include <dlfcn.h>
#include <errno.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT_MS = 10000, TIMEOUT_MS = 500, NOW = 1700000000 };

static const uint8_t key_a[GREYLIST_KEY_SIZE] = "aaaaaaaaaaaaaaa", key_b[GREYLIST_KEY_SIZE] = "bbbbbbbbbbbbbbb";
static const struct shared_ops *ops;

struct seen {
    unsigned ups, downs, clocks, reads, merges, sweeps;
    uint64_t n_dropped;
    int64_t ahead_ms;
    enum shared_result result;
    uint8_t key[GREYLIST_KEY_SIZE];
    char server[SCHEMA_SERVER_MAX];
    char why[512];
};

struct world {
    struct loop *loop;
    struct shared *shared;
    struct seen seen;
    PGconn *sql; /* the same database, as its administrator */
    char conninfo[512];
};

/* ---- what the module says */

static void on_up(void *arg, const uint8_t *key, const char *server) {
    struct seen *seen = &((struct world *)arg)->seen;
    seen->ups++;
    memcpy(seen->key, key, sizeof(seen->key));
    assert_true(strlen(server) < sizeof(seen->server));
    strcpy(seen->server, server);
}

static void on_down(void *arg, const char *why) {
    struct seen *seen = &((struct world *)arg)->seen;
    seen->downs++;
    snprintf(seen->why, sizeof(seen->why), "%s", why);
}

static void on_clock(void *arg, int64_t ahead_ms) {
    struct seen *seen = &((struct world *)arg)->seen;
    seen->clocks++;
    seen->ahead_ms = ahead_ms;
}

static void on_read(void *arg, enum shared_result result) {
    struct seen *seen = &((struct world *)arg)->seen;
    seen->reads++;
    seen->result = result;
}

static void on_merged(void *arg, enum shared_result result) {
    struct seen *seen = &((struct world *)arg)->seen;
    seen->merges++;
    seen->result = result;
}

static void on_swept(void *arg, enum shared_result result, uint64_t n_dropped, const char *problem) {
    struct seen *seen = &((struct world *)arg)->seen;
    seen->sweeps++;
    seen->result = result;
    seen->n_dropped = n_dropped;
    snprintf(seen->why, sizeof(seen->why), "%s", problem != NULL ? problem : "");
}

static const struct shared_events events = {
    .on_up = on_up, .on_down = on_down, .on_clock = on_clock, .on_read = on_read, .on_merged = on_merged,
    .on_swept = on_swept,
};

/* ---- the world of a test */

static void sql(PGconn *conn, const char *text) {
    PGresult *result = PQexec(conn, text);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(conn));
    PQclear(result);
}

static int set_up(void **state) {
    static unsigned number;
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(loop_new(&w->loop), 0);
    PGconn *first = PQconnectdb(getenv("POSTERN_TEST_POSTGRES"));
    char name[64], text[128];
    snprintf(name, sizeof(name), "test_%d_%u", getpid(), number++);
    snprintf(text, sizeof(text), "CREATE DATABASE %s", name);
    sql(first, text);
    PQfinish(first);
    snprintf(w->conninfo, sizeof(w->conninfo), "%s dbname=%s", getenv("POSTERN_TEST_POSTGRES"), name);
    w->sql = PQconnectdb(w->conninfo);
    assert_int_equal(PQstatus(w->sql), CONNECTION_OK);
    sql(w->sql, "SET client_min_messages = warning");
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    ops->close(w->shared);
    PQfinish(w->sql);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void until(struct world *w, const unsigned *count, unsigned n) {
    uint64_t end = clock_ms() + LIMIT_MS;
    while (*count < n && clock_ms() < end)
        loop_turn(w->loop, 50);
    if (*count < n)
        fail_msg("not within %d ms; last trouble: %s", LIMIT_MS, w->seen.why);
}

static void make_tables(struct world *w, const uint8_t *key) {
    struct buf report;
    buf_init(&report, 512);
    int r = ops->administer(SHARED_INIT, w->conninfo, key, &report);
    if (r < 0)
        fail_msg("%.*s", (int)report.len, report.at);
    buf_deinit(&report);
}

static void open_shared(struct world *w, const uint8_t *key) {
    char error[256] = "";
    if (ops->open(w->loop, w->conninfo, key, TIMEOUT_MS, &events, w, error, sizeof(error), &w->shared) < 0)
        fail_msg("%s", error);
}

static void open_and_wait(struct world *w, const uint8_t *key) {
    open_shared(w, key);
    until(w, &w->seen.ups, 1);
}

static struct row some_row(int64_t key, int32_t passes) {
    return (struct row){ .key = key, .first = NOW, .last = NOW + key, .expires = NOW + 1000, .passes = passes };
}

static void merge(struct world *w, const struct row *rows, size_t n) {
    unsigned before = w->seen.merges;
    assert_int_equal(ops->merge(w->shared, rows, n, NOW), 0);
    until(w, &w->seen.merges, before + 1);
}

static void read_one(struct world *w, struct row *row, bool *has) {
    unsigned before = w->seen.reads;
    assert_int_equal(ops->read(w->shared, row, has, 1), 0);
    until(w, &w->seen.reads, before + 1);
}

static const char *report_of(struct world *w, enum shared_task task, int expected) {
    static char text[512];
    struct buf report;
    buf_init(&report, sizeof(text) - 1);
    assert_int_equal(ops->administer(task, w->conninfo, key_a, &report) < 0, expected < 0);
    snprintf(text, sizeof(text), "%.*s", (int)report.len, report.at);
    buf_deinit(&report);
    return text;
}

/* Its connection breaks. */
static void cut(struct world *w) {
    sql(w->sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'postern'");
}

/* ---- what it keeps */

static void test_rows_come_back_as_they_were_merged(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    struct row rows[] = { some_row(INT64_MIN, 1), some_row(7, 0), some_row(INT64_MAX - NOW, 2) };
    rows[0].last = NOW;
    rows[0].forgot = NOW - 1;
    merge(w, rows, 3);
    assert_int_equal(w->seen.result, SHARED_DONE);
    struct row found[] = { { .key = INT64_MIN }, { .key = 7 }, { .key = 8 }, { .key = INT64_MAX - NOW } };
    bool has[4];
    assert_int_equal(ops->read(w->shared, found, has, 4), 0);
    until(w, &w->seen.reads, 1);
    assert_true(has[0] && has[1] && !has[2] && has[3]);
    assert_true(found[1].first == NOW && found[1].last == NOW + 7 && found[1].expires == NOW + 1000);
    assert_int_equal(found[1].passes, 0);
    assert_int_equal(found[0].passes, 1);
    assert_int_equal(found[0].forgot, NOW - 1);
    assert_int_equal(found[3].last, rows[2].last);
}

static int64_t below(int64_t n) {
    static uint64_t seed = 88172645463325252u;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed % (uint64_t)n);
}

static struct row random_row(int64_t key) {
    return (struct row){ .key = key, .first = 1 + below(8), .last = 1 + below(8), .expires = NOW - 3 + below(7),
                         .forgot = below(3) == 0 ? below(8) : 0, .passes = (int32_t)below(4) };
}

static void test_the_statement_merges_as_the_function_does(void **state) {
    enum { N = 2000 };
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    struct row *a = calloc(3 * N, sizeof(*a)), *b = a + N, *found = b + N;
    bool *has = calloc(N, sizeof(*has));
    for (size_t i = 0; i < N; i++) {
        a[i] = random_row((int64_t)i);
        b[i] = random_row((int64_t)i);
        found[i].key = (int64_t)i;
    }
    merge(w, a, N);
    merge(w, b, N);
    assert_int_equal(ops->read(w->shared, found, has, N), 0);
    until(w, &w->seen.reads, 1);
    for (size_t i = 0; i < N; i++) {
        struct row expected = row_merge(&a[i], &b[i], NOW);
        assert_int_equal(row_is_alive(&found[i], NOW), row_is_alive(&expected, NOW));
        assert_int_equal(found[i].forgot, expected.forgot);
        if (row_is_alive(&expected, NOW)) {
            assert_int_equal(found[i].first, expected.first);
            assert_int_equal(found[i].last, expected.last);
            assert_int_equal(found[i].expires, expected.expires);
            assert_int_equal(found[i].passes, expected.passes);
        }
    }
    free(a);
    free(has);
}

static void test_a_batch_larger_than_the_socket_takes_at_once_gets_through(void **state) {
    enum { N = 20000 };
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    ops->close(w->shared);
    char error[256];
    assert_int_equal(ops->open(w->loop, w->conninfo, NULL, LIMIT_MS, &events, w, error, sizeof(error), &w->shared), 0);
    until(w, &w->seen.ups, 2);
    struct row *rows = calloc(N, sizeof(*rows));
    bool *has = calloc(N, sizeof(*has));
    for (size_t i = 0; i < N; i++)
        rows[i] = some_row((int64_t)i, 1);
    merge(w, rows, N);
    assert_int_equal(w->seen.result, SHARED_DONE);
    assert_int_equal(ops->read(w->shared, rows, has, N), 0);
    until(w, &w->seen.reads, 1);
    for (size_t i = 0; i < N; i++)
        assert_true(has[i] && rows[i].last == NOW + (int64_t)i);
    free(rows);
    free(has);
}

static void test_only_one_batch_is_under_way(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_shared(w, NULL);
    struct row row = some_row(1, 0);
    bool has;
    assert_int_equal(ops->read(w->shared, &row, &has, 1), -ENOTCONN);
    until(w, &w->seen.ups, 1);
    assert_int_equal(ops->read(w->shared, &row, &has, 1), 0);
    assert_int_equal(ops->merge(w->shared, &row, 1, NOW), -ENOTCONN);
    until(w, &w->seen.reads, 1);
    assert_int_equal(w->seen.merges, 0);
}

static void test_two_hosts_merge_the_same_rows_without_a_deadlock(void **state) {
    enum { N = 200, ROUNDS = 20 };
    struct world *w = *state, other = { .loop = w->loop };
    make_tables(w, key_a);
    memcpy(other.conninfo, w->conninfo, sizeof(other.conninfo));
    open_and_wait(w, NULL);
    open_and_wait(&other, NULL);
    struct row rows[N];
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (size_t i = 0; i < N; i++)
            rows[i] = some_row((int64_t)i, (int32_t)round);
        assert_int_equal(ops->merge(w->shared, rows, N, NOW), 0);
        assert_int_equal(ops->merge(other.shared, rows, N, NOW), 0);
        until(w, &w->seen.merges, round);
        until(&other, &other.seen.merges, round);
        assert_int_equal(w->seen.result, SHARED_DONE);
        assert_int_equal(other.seen.result, SHARED_DONE);
    }
    ops->close(other.shared);
}

static void test_the_servers_clock_is_told_before_it_is_up(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_shared(w, NULL);
    until(w, &w->seen.clocks, 1);
    assert_int_equal(w->seen.ups, 0);
    assert_in_range(w->seen.ahead_ms + 1000, 0, 2000); /* it is this machine's */
    until(w, &w->seen.ups, 1);
    struct row row = some_row(1, 0);
    bool has;
    read_one(w, &row, &has);
    assert_false(has);
    assert_int_equal(w->seen.clocks, 1); /* not with each read */
}

/* ---- whose key */

static void test_the_schemas_key_counts_for_everyone(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, key_b);
    assert_memory_equal(w->seen.key, key_a, sizeof(key_a));
}

static void test_an_empty_schema_takes_over_the_key_that_was_shared_before(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "DELETE FROM meta");
    open_and_wait(w, key_b);
    assert_memory_equal(w->seen.key, key_b, sizeof(key_b));
    ops->close(w->shared);
    w->shared = NULL;
    open_shared(w, key_a);
    until(w, &w->seen.ups, 2);
    assert_memory_equal(w->seen.key, key_b, sizeof(key_b));
}

static void test_a_host_without_a_shared_key_gives_none_to_an_empty_schema(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "DELETE FROM meta");
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_non_null(strstr(w->seen.why, "postern store init"));
}

/* ---- trouble */

static void test_a_database_without_tables_says_what_makes_them_and_is_used_once_they_are_there(void **state) {
    struct world *w = *state;
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_non_null(strstr(w->seen.why, "postern store init"));
    make_tables(w, key_a);
    until(w, &w->seen.ups, 1);
    assert_int_equal(w->seen.downs, 1); /* told once an outage */
}

static void test_a_server_tells_whether_it_is_another_one(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "DROP ROLE IF EXISTS anybody; CREATE ROLE anybody LOGIN; GRANT ALL ON grey, meta TO anybody");
    snprintf(w->conninfo + strlen(w->conninfo), sizeof(w->conninfo) - strlen(w->conninfo), " user=anybody");
    open_and_wait(w, NULL);
    char server[SCHEMA_SERVER_MAX];
    strcpy(server, w->seen.server);
    assert_true(strlen(server) > 0);
    cut(w);
    until(w, &w->seen.ups, 2);
    assert_string_equal(w->seen.server, server);
    sql(w->sql, "ALTER TABLE grey RENAME TO old; CREATE TABLE grey(LIKE old INCLUDING ALL); DROP TABLE old;"
                "GRANT ALL ON grey TO anybody");
    cut(w);
    until(w, &w->seen.ups, 3);
    assert_string_not_equal(w->seen.server, server);
    sql(w->sql, "DROP OWNED BY anybody; DROP ROLE anybody");
}

static void sweep(struct world *w, int64_t from, int64_t to) {
    unsigned before = w->seen.sweeps;
    assert_int_equal(ops->sweep(w->shared, from, to), 0);
    until(w, &w->seen.sweeps, before + 1);
}

static void test_a_sweep_drops_what_is_spent_by_the_servers_clock_and_nothing_else(void **state) {
    enum { SPENT, ALIVE, FORGOTTEN, LONG_FORGOTTEN, BEHIND, N };
    struct world *w = *state;
    const int64_t now = (int64_t)(clock_wall_ms() / 1000);
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    struct row rows[N] = {
        [SPENT] = { .first = now - 9, .last = now - 9, .expires = now - 5 },
        [ALIVE] = { .first = now - 9, .last = now - 9, .expires = now + 1000 },
        [FORGOTTEN] = { .first = now - 9, .last = now - 9, .expires = now + 1000, .forgot = now - 9 },
        [LONG_FORGOTTEN] = { .first = 1, .last = 1, .expires = 2, .forgot = now - ROW_FORGET_LIFE - 5 },
        [BEHIND] = { .first = now - 9, .last = now - 9, .expires = now - 5 },
    };
    for (int i = 0; i < N; i++)
        rows[i].key = 10 + i;
    merge(w, rows, N);
    sweep(w, 0, 10 + BEHIND - 1);
    assert_int_equal(w->seen.result, SHARED_DONE);
    assert_string_equal(w->seen.why, "");
    assert_int_equal(w->seen.n_dropped, 2);
    bool has[N];
    struct row found[N] = { { .key = 10 }, { .key = 11 }, { .key = 12 }, { .key = 13 }, { .key = 14 } };
    assert_int_equal(ops->read(w->shared, found, has, N), 0);
    until(w, &w->seen.reads, 1);
    assert_true(!has[SPENT] && has[ALIVE] && has[FORGOTTEN] && !has[LONG_FORGOTTEN] && has[BEHIND]);
    sweep(w, INT64_MIN, INT64_MAX);
    assert_int_equal(w->seen.n_dropped, 1);
}

static void test_a_sweep_passes_by_what_somebody_else_has_locked(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    struct row rows[] = { some_row(1, 1), some_row(2, 1) }; /* both are over since long */
    merge(w, rows, 2);
    sql(w->sql, "BEGIN; SELECT * FROM grey WHERE k = 1 FOR UPDATE");
    sweep(w, INT64_MIN, INT64_MAX);
    assert_int_equal(w->seen.result, SHARED_DONE);
    assert_int_equal(w->seen.n_dropped, 1);
    sql(w->sql, "COMMIT");
}

static void test_who_may_not_delete_can_do_all_else(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN; GRANT SELECT ON meta TO writer;"
                "GRANT SELECT, INSERT, UPDATE ON grey TO writer");
    snprintf(w->conninfo + strlen(w->conninfo), sizeof(w->conninfo) - strlen(w->conninfo), " user=writer");
    open_and_wait(w, NULL);
    sweep(w, INT64_MIN, INT64_MAX);
    assert_int_equal(w->seen.result, SHARED_DONE);
    assert_non_null(strstr(w->seen.why, "permission denied"));
    struct row row = some_row(5, 1);
    merge(w, &row, 1);
    assert_int_equal(w->seen.result, SHARED_DONE);
    assert_int_equal(w->seen.downs, 0);
    sql(w->sql, "DROP OWNED BY writer; DROP ROLE writer");
}

static void test_a_newer_schema_is_left_alone(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "UPDATE meta SET value = '99' WHERE name = 'version'");
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_non_null(strstr(w->seen.why, "newer version"));
    assert_int_equal(w->seen.ups, 0);
}

static void test_nonsense_in_the_meta_table_is_no_key(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "UPDATE meta SET value = 'zz' WHERE name = 'hash_key'");
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_int_equal(w->seen.ups, 0);
}

static void test_a_connection_that_is_cut_is_made_anew(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    cut(w);
    until(w, &w->seen.downs, 1);
    until(w, &w->seen.ups, 2);
    struct row row = some_row(5, 1);
    merge(w, &row, 1);
    assert_int_equal(w->seen.result, SHARED_DONE);
}

static void test_a_batch_in_flight_ends_with_the_connection(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    sql(w->sql, "BEGIN; LOCK TABLE grey");
    struct row row = some_row(5, 1);
    assert_int_equal(ops->merge(w->shared, &row, 1, NOW), 0);
    while (loop_turn(w->loop, 20) == 0 && w->seen.merges == 0) {
        PGresult *r = PQexec(w->sql, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
                                     " current_database() AND pid <> pg_backend_pid() AND wait_event_type = 'Lock'");
        PQclear(r);
    }
    assert_int_equal(w->seen.result, SHARED_AWAY);
    assert_int_equal(w->seen.downs, 1);
    sql(w->sql, "COMMIT");
    until(w, &w->seen.ups, 2);
    merge(w, &row, 1);
    assert_int_equal(w->seen.result, SHARED_DONE);
}

static void test_a_server_that_does_not_answer_in_time_is_away(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    sql(w->sql, "BEGIN; LOCK TABLE grey");
    struct row row = { .key = 1 };
    bool has;
    uint64_t began = clock_ms();
    read_one(w, &row, &has);
    assert_int_equal(w->seen.result, SHARED_AWAY);
    assert_true(clock_ms() - began >= TIMEOUT_MS / 2); /* the clock of a loop that did not turn meanwhile is behind */
    assert_non_null(strstr(w->seen.why, "no answer in time"));
    sql(w->sql, "COMMIT");
    until(w, &w->seen.ups, 2);
}

static void test_tables_that_vanish_are_trouble_and_no_end(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    open_and_wait(w, NULL);
    sql(w->sql, "DROP TABLE grey");
    struct row row = some_row(5, 1);
    merge(w, &row, 1);
    assert_int_equal(w->seen.result, SHARED_AWAY);
    assert_int_equal(w->seen.downs, 1);
}

static void test_a_server_that_cannot_be_written_to_is_not_used(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database()"
                " || ' SET default_transaction_read_only = on'; END $$");
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_non_null(strstr(w->seen.why, "read-only"));
}

static void test_nobody_listens(void **state) {
    struct world *w = *state;
    snprintf(w->conninfo, sizeof(w->conninfo), "host=127.0.0.1 port=1 dbname=x");
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_non_null(strstr(w->seen.why, "refused"));
}

static void test_a_host_name_is_looked_up_without_waiting(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    char *host = strstr(w->conninfo, "host=127.0.0.1"), rest[512];
    assert_non_null(host);
    snprintf(rest, sizeof(rest), "%s", host + strlen("host=127.0.0.1"));
    snprintf(host, sizeof(w->conninfo) - (size_t)(host - w->conninfo), "host=localhost%s", rest);
    open_and_wait(w, NULL);
}

static void test_a_host_name_that_does_not_exist_is_trouble(void **state) {
    struct world *w = *state;
    snprintf(w->conninfo, sizeof(w->conninfo), "host=no-such-host.invalid dbname=x");
    open_shared(w, NULL);
    until(w, &w->seen.downs, 1);
    assert_non_null(strstr(w->seen.why, "no-such-host.invalid"));
}

static void test_closing_in_the_middle_of_anything_is_silent(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    for (unsigned turns = 0; turns < 12; turns++) {
        open_shared(w, NULL);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(w->loop, 5);
        struct seen before = w->seen;
        struct row row = some_row(1, 0);
        ops->merge(w->shared, &row, 1, NOW); /* under way where it is up already */
        ops->close(w->shared);
        w->shared = NULL;
        loop_turn(w->loop, 5);
        assert_memory_equal(&w->seen, &before, sizeof(before));
    }
}

static void test_a_password_in_the_configuration_is_refused(void **state) {
    struct world *w = *state;
    char error[256] = "";
    assert_int_equal(ops->open(w->loop, "host=127.0.0.1 password=secret", NULL, TIMEOUT_MS, &events, w, error,
                               sizeof(error), &w->shared), -EINVAL);
    assert_non_null(strstr(error, "passfile"));
    assert_null(strstr(error, "secret"));
    assert_int_equal(ops->open(w->loop, "no-such-option=1", NULL, TIMEOUT_MS, &events, w, error, sizeof(error),
                               &w->shared), -EINVAL);
    assert_non_null(strstr(error, "no-such-option"));
}

/* ---- postern store */

static void test_init_is_for_a_database_without_tables(void **state) {
    struct world *w = *state;
    assert_non_null(strstr(report_of(w, SHARED_UPGRADE, -1), "postern store init"));
    assert_non_null(strstr(report_of(w, SHARED_INIT, 0), "made the tables"));
    assert_non_null(strstr(report_of(w, SHARED_INIT, -1), "already"));
    assert_non_null(strstr(report_of(w, SHARED_UPGRADE, 0), "already"));
}

static void test_upgrade_leaves_a_newer_schema_alone(void **state) {
    struct world *w = *state;
    make_tables(w, key_a);
    sql(w->sql, "UPDATE meta SET value = '99' WHERE name = 'version'");
    assert_non_null(strstr(report_of(w, SHARED_UPGRADE, -1), "newer version"));
}

static void test_init_does_not_touch_somebody_elses_tables(void **state) {
    struct world *w = *state;
    sql(w->sql, "CREATE TABLE grey(something_else TEXT)");
    report_of(w, SHARED_INIT, -1);
    sql(w->sql, "INSERT INTO grey VALUES('still there')");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_rows_come_back_as_they_were_merged),
        TEST(test_the_statement_merges_as_the_function_does),
        TEST(test_a_batch_larger_than_the_socket_takes_at_once_gets_through),
        TEST(test_only_one_batch_is_under_way),
        TEST(test_two_hosts_merge_the_same_rows_without_a_deadlock),
        TEST(test_the_servers_clock_is_told_before_it_is_up),
        TEST(test_the_schemas_key_counts_for_everyone),
        TEST(test_an_empty_schema_takes_over_the_key_that_was_shared_before),
        TEST(test_a_host_without_a_shared_key_gives_none_to_an_empty_schema),
        TEST(test_a_database_without_tables_says_what_makes_them_and_is_used_once_they_are_there),
        TEST(test_a_server_tells_whether_it_is_another_one),
        TEST(test_a_sweep_drops_what_is_spent_by_the_servers_clock_and_nothing_else),
        TEST(test_a_sweep_passes_by_what_somebody_else_has_locked),
        TEST(test_who_may_not_delete_can_do_all_else),
        TEST(test_a_newer_schema_is_left_alone),
        TEST(test_nonsense_in_the_meta_table_is_no_key),
        TEST(test_a_connection_that_is_cut_is_made_anew),
        TEST(test_a_batch_in_flight_ends_with_the_connection),
        TEST(test_a_server_that_does_not_answer_in_time_is_away),
        TEST(test_tables_that_vanish_are_trouble_and_no_end),
        TEST(test_a_server_that_cannot_be_written_to_is_not_used),
        TEST(test_nobody_listens),
        TEST(test_a_host_name_is_looked_up_without_waiting),
        TEST(test_a_host_name_that_does_not_exist_is_trouble),
        TEST(test_closing_in_the_middle_of_anything_is_silent),
        TEST(test_a_password_in_the_configuration_is_refused),
        TEST(test_init_is_for_a_database_without_tables),
        TEST(test_upgrade_leaves_a_newer_schema_alone),
        TEST(test_init_does_not_touch_somebody_elses_tables),
    };
    if (getenv("POSTERN_TEST_POSTGRES") == NULL || getenv("POSTERN_TEST_MODULE") == NULL) {
        fprintf(stderr, "POSTERN_TEST_POSTGRES and POSTERN_TEST_MODULE say where server and module are\n");
        return 2;
    }
    void *module = dlopen(getenv("POSTERN_TEST_MODULE"), RTLD_NOW);
    ops = module != NULL ? dlsym(module, "postern_shared") : NULL;
    if (ops == NULL || ops->version != SHARED_VERSION) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    if (getenv("POSTERN_TEST_NAME") != NULL)
        cmocka_set_test_filter(getenv("POSTERN_TEST_NAME"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
