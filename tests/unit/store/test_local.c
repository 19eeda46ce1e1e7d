/* The local store: what it keeps over restarts and kill -9, what it says of broken files, and how it sweeps. */
#include "store/local.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW = 1700000000 };

struct world {
    char folder[64], path[96];
    struct local *local;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->folder, sizeof(w->folder), "/tmp/test-local-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof(w->path), "%s/greylist.db", w->folder);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    char command[128];
    local_close(w->local);
    snprintf(command, sizeof(command), "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static int try_open(struct world *w, bool is_command, char why[512]) {
    struct buf text;
    buf_init(&text, 511);
    struct local_options options = { .path = w->path, .is_command = is_command };
    int r = local_open(&options, &text, &w->local);
    snprintf(why, 512, "%.*s", (int)text.len, text.at != NULL ? text.at : "");
    buf_deinit(&text);
    return r;
}

static void open_local(struct world *w) {
    char why[512];
    if (try_open(w, false, why) != 0)
        fail_msg("%s", why);
}

static void close_local(struct world *w) {
    local_close(w->local);
    w->local = NULL;
}

static struct row some_row(int64_t key, int64_t expires) {
    return (struct row){ .key = key, .first = NOW - 10, .last = NOW, .expires = expires, .passes = 1 };
}

static void merge(struct world *w, struct row row, bool is_pending) {
    if (local_merge(w->local, &row, 1, NOW, is_pending) != 0)
        fail_msg("%s", local_why(w->local));
}

static bool has(struct world *w, int64_t key) {
    struct row row = { .key = key };
    bool found;
    assert_int_equal(local_read(w->local, &row, &found, 1), 0);
    return found;
}

static struct local_counts count(struct world *w) {
    struct local_counts counts;
    assert_int_equal(local_count(w->local, &counts), 0);
    return counts;
}

static void write_file(const char *path, const void *bytes, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

/* ---- rows */

static void test_rows_and_the_key_are_there_after_a_restart(void **state) {
    struct world *w = *state;
    uint8_t key[GREYLIST_KEY_SIZE];
    open_local(w);
    memcpy(key, local_hash_key(w->local), sizeof(key));
    merge(w, some_row(INT64_MIN, NOW + 1), false);
    merge(w, some_row(42, NOW + 1), false);
    close_local(w);
    open_local(w);
    assert_memory_equal(local_hash_key(w->local), key, sizeof(key));
    assert_false(local_key_is_shared(w->local));
    struct row rows[] = { { .key = 42 }, { .key = 43 }, { .key = INT64_MIN } };
    bool found[3];
    assert_int_equal(local_read(w->local, rows, found, 3), 0);
    assert_true(found[0] && !found[1] && found[2]);
    assert_true(rows[0].first == NOW - 10 && rows[0].last == NOW && rows[0].expires == NOW + 1 && rows[0].passes == 1);
}

static void test_a_batch_is_merged_as_a_whole(void **state) {
    enum { N = 1000 };
    struct world *w = *state;
    open_local(w);
    struct row *rows = calloc(N, sizeof(*rows));
    for (int64_t i = 0; i < N; i++)
        rows[i] = some_row(i, NOW + 1);
    assert_int_equal(local_merge(w->local, rows, N, NOW, false), 0);
    rows[0].passes = 7;
    assert_int_equal(local_merge(w->local, rows, 1, NOW, false), 0);
    struct row found = { .key = 0 };
    bool is_found;
    assert_int_equal(local_read(w->local, &found, &is_found, 1), 0);
    assert_int_equal(found.passes, 7);
    assert_int_equal(count(w).rows, N);
    free(rows);
}

static void test_what_a_killed_process_had_committed_is_there(void **state) {
    struct world *w = *state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    for (unsigned round = 0; round < 5; round++) {
        pid_t child = fork();
        if (child == 0) {
            open_local(w);
            for (int64_t i = 0;; i++) {
                struct row row = some_row(round * 1000000 + i, NOW + 1);
                if (local_merge(w->local, &row, 1, NOW, false) != 0 || write(pipe_fds[1], &row.key, 8) != 8)
                    _exit(1);
            }
        }
        int64_t key = 0;
        for (unsigned i = 0; i < 200 + 37 * round; i++) /* as many answers */
            assert_int_equal(read(pipe_fds[0], &key, 8), 8);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        open_local(w);
        for (int64_t i = round * 1000000; i <= key; i++)
            assert_true(has(w, i));
        close_local(w);
        fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
        while (read(pipe_fds[0], &key, 8) == 8) /* what it did between our last look and its end */
            continue;
        fcntl(pipe_fds[0], F_SETFL, 0);
    }
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void test_a_command_reads_and_writes_beside_the_store(void **state) {
    struct world *w = *state, command = { 0 };
    char why[512];
    open_local(w);
    merge(w, some_row(1, NOW + 1), false);
    memcpy(command.path, w->path, sizeof(command.path));
    assert_int_equal(try_open(&command, true, why), 0);
    assert_true(has(&command, 1));
    merge(&command, some_row(2, NOW + 1), false);
    close_local(&command);
    assert_true(has(w, 2));
    merge(w, some_row(3, NOW + 1), false);
}

static void expect_passes(struct world *w, const int32_t *passes, int64_t n) {
    for (int64_t key = 0; key < n; key++) {
        struct row row = { .key = key };
        bool is_found;
        assert_int_equal(local_read(w->local, &row, &is_found, 1), 0);
        assert_int_equal(is_found, passes[key] > 0);
        assert_int_equal(row.passes, passes[key]);
    }
}

/* What was read is kept (recent.h), so each is read before and behind each write. */
static void test_a_row_is_read_as_whoever_wrote_last_has_left_it(void **state) {
    enum { ROUNDS = 200, KEYS = 4 };
    struct world *w = *state;
    int32_t passes[KEYS] = { 0 };
    char why[512];
    open_local(w);
    struct world command = *w;
    assert_int_equal(try_open(&command, true, why), 0);
    for (int32_t round = 1; round <= ROUNDS; round++) {
        struct row row = { .key = round % KEYS, .first = NOW, .last = NOW, .expires = NOW + 1, .passes = round };
        expect_passes(w, passes, KEYS);
        expect_passes(&command, passes, KEYS);
        merge(round % 3 == 0 ? w : &command, row, false);
        passes[row.key] = row.passes;
        expect_passes(w, passes, KEYS);
        expect_passes(&command, passes, KEYS);
    }
    close_local(&command);
}

/* The store process and commands that are called while it starts. */
static void test_all_who_open_a_new_store_at_once_find_the_same(void **state) {
    struct world *w = *state;
    enum { N = 6, ROUNDS = 15 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        int go[2];
        pid_t children[N];
        assert_int_equal(pipe(go), 0);
        for (unsigned i = 0; i < N; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                char why[512], byte;
                close(go[1]);
                if (read(go[0], &byte, 1) != 0) /* until the parent closes its end */
                    _exit(2);
                int r = try_open(w, false, why);
                if (r != 0)
                    fprintf(stderr, "%s\n", why);
                _exit(r == 0 ? 0 : 1);
            }
        }
        close(go[0]);
        close(go[1]);
        for (unsigned i = 0; i < N; i++) {
            int status;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        char command[160];
        snprintf(command, sizeof(command), "rm %s*", w->path);
        assert_int_equal(system(command), 0);
    }
}

static void test_a_command_does_not_make_a_store(void **state) {
    struct world *w = *state;
    char why[512];
    assert_int_not_equal(try_open(w, true, why), 0);
    assert_non_null(strstr(why, w->path));
    assert_int_equal(access(w->path, F_OK), -1);
}

/* ---- pending */

static void test_pending_rows_are_those_that_were_marked_and_not_settled(void **state) {
    struct world *w = *state;
    struct row rows[4];
    size_t n;
    open_local(w);
    merge(w, some_row(1, NOW + 1), false);
    merge(w, some_row(2, NOW + 1), true);
    merge(w, some_row(3, NOW + 1), true);
    merge(w, some_row(3, NOW + 5), true);
    close_local(w);
    open_local(w); /* they outlive the process */
    assert_int_equal(local_pending(w->local, rows, 4, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(rows[1].expires, NOW + 5);
    assert_int_equal(local_pending(w->local, rows, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(local_settle(w->local, rows, 1), 0);
    assert_int_equal(local_pending(w->local, rows, 4, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].key, 3);
}

static void test_a_row_that_changed_while_it_was_handed_in_stays_pending(void **state) {
    struct world *w = *state;
    struct row rows[2];
    size_t n;
    open_local(w);
    merge(w, some_row(1, NOW + 1), true);
    merge(w, some_row(2, NOW + 1), true);
    assert_int_equal(local_pending(w->local, rows, 2, &n), 0);
    merge(w, (struct row){ .key = 2, .forgot = NOW }, true); /* as a command does, beside the store */
    assert_int_equal(local_settle(w->local, rows, n), 0);
    assert_int_equal(local_pending(w->local, rows, 2, &n), 0);
    assert_int_equal(n, 1);
    assert_true(rows[0].key == 2 && rows[0].forgot == NOW);
    assert_int_equal(local_settle(w->local, rows, n), 0);
    assert_int_equal(count(w).pending, 0);
}

static void test_what_a_command_writes_is_noticed_and_what_the_store_writes_is_not(void **state) {
    struct world *w = *state;
    open_local(w);
    local_was_written(w->local);
    merge(w, some_row(1, NOW + 1), true);
    assert_false(local_was_written(w->local));
    struct world command = *w;
    char why[512];
    assert_int_equal(try_open(&command, true, why), 0);
    assert_true(has(&command, 1));
    assert_false(local_was_written(w->local));
    merge(&command, some_row(2, NOW + 1), true);
    close_local(&command);
    assert_true(local_was_written(w->local));
    assert_false(local_was_written(w->local));
}

static void test_the_shared_clock_is_kept(void **state) {
    struct world *w = *state;
    static const uint8_t shared[GREYLIST_KEY_SIZE] = "fifteen letters";
    uint64_t dropped;
    open_local(w);
    assert_int_equal(local_shared_ahead_ms(w->local), 0);
    assert_int_equal(local_keep_shared_ahead(w->local, -600123), 0);
    assert_int_equal(local_adopt_key(w->local, shared, &dropped), 0);
    assert_int_equal(local_shared_ahead_ms(w->local), -600123);
    close_local(w);
    open_local(w);
    assert_int_equal(local_shared_ahead_ms(w->local), -600123);
}

static void test_another_key_drops_what_was_hashed_with_the_old_one(void **state) {
    struct world *w = *state;
    static const uint8_t shared[GREYLIST_KEY_SIZE] = "fifteen letters";
    uint64_t dropped;
    open_local(w);
    merge(w, some_row(1, NOW + 1), true);
    merge(w, some_row(2, NOW + 1), false);
    assert_true(has(w, 1));
    assert_int_equal(local_adopt_key(w->local, shared, &dropped), 0);
    assert_int_equal(dropped, 2);
    assert_false(has(w, 1));
    assert_int_equal(count(w).pending, 0);
    close_local(w);
    open_local(w);
    assert_memory_equal(local_hash_key(w->local), shared, sizeof(shared));
    assert_true(local_key_is_shared(w->local));
    assert_false(has(w, 1));
}

/* ---- names */

static int count_names(void *arg, const struct local_name *name, const struct row *row) {
    unsigned *n = arg;
    assert_int_equal(name->key, row->key);
    if (row->key == 1) {
        assert_true(name->is_triplet && str_eq(name->identity, STR("ip:192.0.2.1")));
        assert_true(str_eq(name->sender, STR("")) && str_eq(name->recipient, STR("b@example.com")));
    } else {
        assert_true(!name->is_triplet && str_eq(name->identity, STR("org:example.net")));
    }
    return ++*n == 100 ? -ECANCELED : 0;
}

static void test_its_own_key_that_comes_back_as_the_shared_one_drops_nothing(void **state) {
    struct world *w = *state;
    uint8_t own[GREYLIST_KEY_SIZE];
    uint64_t dropped = 1;
    open_local(w);
    merge(w, some_row(1, NOW + 1), true);
    memcpy(own, local_hash_key(w->local), sizeof(own));
    assert_int_equal(local_adopt_key(w->local, own, &dropped), 0);
    assert_int_equal(dropped, 0);
    close_local(w);
    open_local(w);
    assert_memory_equal(local_hash_key(w->local), own, sizeof(own));
    assert_true(local_key_is_shared(w->local));
    assert_true(has(w, 1));
    assert_int_equal(count(w).pending, 1);
}

static void test_rows_come_in_the_order_of_their_keys_from_any_on(void **state) {
    struct world *w = *state;
    static const int64_t keys[] = { INT64_MIN, -5, 0, 7, INT64_MAX };
    struct row rows[8];
    size_t n;
    open_local(w);
    for (size_t i = 5; i-- > 0;)
        merge(w, some_row(keys[i], NOW + 1), false);
    assert_int_equal(local_rows_from(w->local, INT64_MIN, rows, 8, &n), 0);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rows[i].key, keys[i]);
    assert_int_equal(local_rows_from(w->local, -4, rows, 2, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(rows[0].key, 0);
    assert_int_equal(rows[1].key, 7);
    assert_int_equal(rows[1].expires, NOW + 1);
    assert_int_equal(local_rows_from(w->local, INT64_MAX, rows, 2, &n), 0);
    assert_int_equal(n, 1);
}

static void test_the_server_that_has_all_rows_is_kept(void **state) {
    struct world *w = *state;
    open_local(w);
    assert_string_equal(local_shared_server(w->local), "");
    assert_int_equal(local_keep_shared_server(w->local, "123.1.456"), 0);
    assert_string_equal(local_shared_server(w->local), "123.1.456");
    close_local(w);
    open_local(w);
    assert_string_equal(local_shared_server(w->local), "123.1.456");
}

static void test_names_stand_beside_their_rows(void **state) {
    struct world *w = *state;
    unsigned n = 0;
    struct local_name names[] = {
        { .key = 1, .is_triplet = true, .identity = STR("ip:192.0.2.1"), .recipient = STR("b@example.com") },
        { .key = 2, .identity = STR("org:example.net") },
        { .key = 3, .identity = STR("org:without.row") },
    };
    open_local(w);
    merge(w, some_row(1, NOW + 1), false);
    merge(w, some_row(2, NOW + 1), false);
    assert_int_equal(local_write_names(w->local, names, 3), 0);
    assert_int_equal(local_write_names(w->local, names, 3), 0); /* again does no harm */
    assert_int_equal(local_each(w->local, count_names, &n), 0);
    assert_int_equal(n, 2);
    n = 98;
    assert_int_equal(local_each(w->local, count_names, &n), -ECANCELED);
}

/* ---- counting in slices */

static struct local_counts count_on(struct world *w, unsigned *ret_slices) {
    struct local_counts counts;
    bool is_round = false;
    for (*ret_slices = 0; !is_round && *ret_slices < 10000; ++*ret_slices)
        assert_int_equal(local_count_on(w->local, 1000, &counts, &is_round), 0);
    assert_true(is_round);
    return counts;
}

static void test_rows_counted_in_slices_are_all_rows(void **state) {
    enum { N = 5000, N_PENDING = 1000 };
    struct world *w = *state;
    struct row *rows = calloc(N, sizeof(*rows));
    unsigned slices;
    open_local(w);
    assert_int_equal(count_on(w, &slices).rows, 0);
    for (int64_t i = 0; i < N; i++)
        rows[i] = some_row(i == 0 ? INT64_MIN : i == N - 1 ? INT64_MAX : (i - N / 2) * 3000000000000000, NOW + 1);
    assert_int_equal(local_merge(w->local, rows, N - N_PENDING, NOW, false), 0);
    assert_int_equal(local_merge(w->local, rows + N - N_PENDING, N_PENDING, NOW, true), 0);
    for (int round = 0; round < 2; round++) {
        struct local_counts counts = count_on(w, &slices);
        assert_int_equal(counts.rows, N);
        assert_int_equal(counts.pending, N_PENDING);
        assert_int_equal(counts.bytes, count(w).bytes);
        assert_true(slices > 2 || round > 0); /* they grow with what a machine does in their time */
    }
    free(rows);
}

/* ---- the sweep */

static void test_the_sweep_drops_what_is_spent_and_nothing_else(void **state) {
    enum { N = 20000 };
    struct world *w = *state;
    struct row *rows = calloc(N, sizeof(*rows));
    uint64_t dropped, all = 0;
    bool is_round = false;
    open_local(w);
    for (int64_t i = 0; i < N; i++) /* spread over all keys; every third has expired */
        rows[i] = some_row((i - N / 2) * 900000000000000, i % 3 == 0 ? NOW : NOW + 1);
    rows[1].forgot = NOW;                       /* says nothing, and is to be remembered */
    rows[2].forgot = NOW - ROW_FORGET_LIFE;     /* an old one of a row that lives again */
    assert_int_equal(local_merge(w->local, rows, N, NOW - 100, false), 0);
    struct local_name names[] = { { .key = rows[0].key, .identity = STR("ip:192.0.2.1") },
                                  { .key = rows[4].key, .identity = STR("ip:192.0.2.4") } };
    assert_int_equal(local_write_names(w->local, names, 2), 0);
    assert_true(has(w, rows[0].key)); /* and it is kept */
    for (unsigned steps = 0; !is_round && steps < 10000; steps++) {
        assert_int_equal(local_sweep(w->local, NOW, 5000, &dropped, &is_round), 0);
        all += dropped;
    }
    assert_true(is_round);
    assert_false(has(w, rows[0].key));
    assert_int_equal(all, (N + 2) / 3);
    assert_int_equal(count(w).rows, N - all);
    assert_int_equal(count(w).names, 1);
    assert_true(has(w, rows[1].key) && has(w, rows[2].key));
    assert_int_equal(local_sweep(w->local, NOW, 5000, &dropped, &is_round), 0); /* and round again */
    assert_int_equal(dropped, 0);
    free(rows);
}

static void test_sweeping_an_empty_store_is_a_round(void **state) {
    struct world *w = *state;
    uint64_t dropped;
    bool is_round;
    open_local(w);
    assert_int_equal(local_sweep(w->local, NOW, 5000, &dropped, &is_round), 0);
    assert_false(is_round); /* the rows; the names follow */
    assert_int_equal(local_sweep(w->local, NOW, 5000, &dropped, &is_round), 0);
    assert_true(is_round && dropped == 0);
}

/* ---- trouble */

static void expect_trouble(struct world *w, int expected, const char *word) {
    char why[512];
    int r = try_open(w, false, why);
    if (r != expected || strstr(why, word) == NULL || strstr(why, w->path) == NULL)
        fail_msg("%d: %s", r, why);
}

static void test_garbage_is_no_database_and_stays_as_it_is(void **state) {
    struct world *w = *state;
    char garbage[8192], after[sizeof(garbage)];
    memset(garbage, 'x', sizeof(garbage));
    write_file(w->path, garbage, sizeof(garbage));
    expect_trouble(w, -EBADMSG, "not a database");
    int fd = open(w->path, O_RDONLY);
    assert_int_equal(read(fd, after, sizeof(after)), sizeof(after));
    close(fd);
    assert_memory_equal(garbage, after, sizeof(after));
}

static void test_somebody_elses_database_is_left_alone(void **state) {
    struct world *w = *state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE other(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    expect_trouble(w, -EBADMSG, "something else");
}

static void change(struct world *w, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_a_newer_version_and_a_broken_key_are_told(void **state) {
    struct world *w = *state;
    open_local(w);
    close_local(w);
    change(w, "UPDATE meta SET value = '99' WHERE name = 'version'");
    expect_trouble(w, -EPROTO, "newer version");
    change(w, "UPDATE meta SET value = '1' WHERE name = 'version';"
              "UPDATE meta SET value = 'x' WHERE name = 'hash_key'");
    expect_trouble(w, -EBADMSG, "meta");
}

static void test_a_truncated_file_is_told_and_does_no_harm(void **state) {
    struct world *w = *state;
    char why[512];
    struct row rows[500];
    bool found[500];
    open_local(w);
    for (int64_t i = 0; i < 500; i++)
        rows[i] = some_row(i, NOW + 1);
    for (int64_t from = 0; from < 20000; from += 500) {
        for (int64_t i = 0; i < 500; i++)
            rows[i].key = from + i;
        assert_int_equal(local_merge(w->local, rows, 500, NOW, false), 0);
    }
    close_local(w);
    struct stat file;
    assert_int_equal(stat(w->path, &file), 0);
    assert_int_equal(truncate(w->path, file.st_size / 2), 0);
    int r = try_open(w, false, why);
    for (int64_t from = 0; r == 0 && from < 20000; from += 500) {
        for (int64_t i = 0; i < 500; i++)
            rows[i].key = from + i;
        r = local_read(w->local, rows, found, 500);
    }
    assert_int_equal(r, -EBADMSG);
    assert_non_null(strstr(w->local != NULL ? local_why(w->local) : why, "malformed"));
}

static void test_a_folder_that_is_missing_is_told(void **state) {
    struct world *w = *state;
    snprintf(w->path, sizeof(w->path), "%s/missing/greylist.db", w->folder);
    expect_trouble(w, -EIO, "unable to open");
}

/* The child's limit on file sizes stands for a full disk: SQLite sees a write that fails. */
static void test_a_full_disk_fails_one_batch_and_not_the_next(void **state) {
    struct world *w = *state;
    open_local(w);
    merge(w, some_row(1, NOW + 1), false);
    close_local(w);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        open_local(w);
        struct rlimit old, full = { .rlim_cur = 4096 };
        getrlimit(RLIMIT_FSIZE, &old);
        full.rlim_max = old.rlim_max;
        setrlimit(RLIMIT_FSIZE, &full);
        struct row row = some_row(2, NOW + 1);
        if (has(w, 2) || local_merge(w->local, &row, 1, NOW, false) == 0 || local_why(w->local)[0] == '\0')
            _exit(1);
        if (!has(w, 1) || has(w, 2))
            _exit(2);
        setrlimit(RLIMIT_FSIZE, &old);
        row.key = 3;
        _exit(local_merge(w->local, &row, 1, NOW, false) == 0 ? 0 : 3);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    open_local(w);
    assert_true(has(w, 1) && !has(w, 2) && has(w, 3));
}

/* By its thread: nobody closes it, and no writer is held up. */
static void test_the_log_reaches_the_database_while_the_store_is_open(void **state) {
    enum { N = 2000, ROUNDS = 30, LIMIT_MS = 20000 };
    struct world *w = *state;
    struct stat file = { 0 };
    struct row *rows = calloc(N, sizeof(*rows));
    open_local(w);
    int changes = inotify_init1(IN_CLOEXEC);
    assert_true(inotify_add_watch(changes, w->path, IN_MODIFY) >= 0);
    for (int64_t round = 0; round < ROUNDS; round++) {
        for (int64_t i = 0; i < N; i++)
            rows[i] = some_row((int64_t)((uint64_t)(round * N + i) * 0x9E3779B97F4A7C15u), NOW + 1);
        assert_int_equal(local_merge(w->local, rows, N, NOW, false), 0);
    }
    const off_t expected = (off_t)count(w).bytes / 8; /* what was written last may wait for more */
    assert_int_equal(stat(w->path, &file), 0);
    while (file.st_size < expected && poll(&(struct pollfd){ .fd = changes, .events = POLLIN }, 1, LIMIT_MS) > 0) {
        char events[4096];
        assert_true(read(changes, events, sizeof(events)) > 0);
        assert_int_equal(stat(w->path, &file), 0);
    }
    close(changes);
    assert_true(file.st_size >= expected);
    free(rows);
}

static void test_the_log_does_not_grow_without_bound(void **state) {
    enum { N = 2000, ROUNDS = 200 };
    struct world *w = *state;
    char log[128];
    struct stat file = { 0 };
    off_t longest = 0;
    struct row *rows = calloc(N, sizeof(*rows));
    open_local(w);
    snprintf(log, sizeof(log), "%s-wal", w->path);
    for (int64_t round = 0; round < ROUNDS; round++) {
        for (int64_t i = 0; i < N; i++) /* random places: each row another page */
            rows[i] = some_row((int64_t)((uint64_t)(round * N + i) * 0x9E3779B97F4A7C15u), NOW + 1);
        assert_int_equal(local_merge(w->local, rows, N, NOW, false), 0);
        if (stat(log, &file) == 0 && file.st_size > longest)
            longest = file.st_size;
    }
    assert_true(longest > 0);
    assert_true(longest < 512 << 20);
    free(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_rows_and_the_key_are_there_after_a_restart),
        TEST(test_a_batch_is_merged_as_a_whole),
        TEST(test_what_a_killed_process_had_committed_is_there),
        TEST(test_a_command_reads_and_writes_beside_the_store),
        TEST(test_a_row_is_read_as_whoever_wrote_last_has_left_it),
        TEST(test_all_who_open_a_new_store_at_once_find_the_same),
        TEST(test_a_command_does_not_make_a_store),
        TEST(test_pending_rows_are_those_that_were_marked_and_not_settled),
        TEST(test_a_row_that_changed_while_it_was_handed_in_stays_pending),
        TEST(test_what_a_command_writes_is_noticed_and_what_the_store_writes_is_not),
        TEST(test_the_shared_clock_is_kept),
        TEST(test_another_key_drops_what_was_hashed_with_the_old_one),
        TEST(test_its_own_key_that_comes_back_as_the_shared_one_drops_nothing),
        TEST(test_rows_come_in_the_order_of_their_keys_from_any_on),
        TEST(test_the_server_that_has_all_rows_is_kept),
        TEST(test_names_stand_beside_their_rows),
        TEST(test_rows_counted_in_slices_are_all_rows),
        TEST(test_the_sweep_drops_what_is_spent_and_nothing_else),
        TEST(test_sweeping_an_empty_store_is_a_round),
        TEST(test_garbage_is_no_database_and_stays_as_it_is),
        TEST(test_somebody_elses_database_is_left_alone),
        TEST(test_a_newer_version_and_a_broken_key_are_told),
        TEST(test_a_truncated_file_is_told_and_does_no_harm),
        TEST(test_a_folder_that_is_missing_is_told),
        TEST(test_a_full_disk_fails_one_batch_and_not_the_next),
        TEST(test_the_log_reaches_the_database_while_the_store_is_open),
        TEST(test_the_log_does_not_grow_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
