/*
 * The local and the shared store as one: what is answered when, what each of them has afterwards, and what happens when
 * one is broken, away, slow, new, or comes back. The local store is a real file, the shared one does what a test says.
 */
#include "fake_shared.h"
#include "store_test.h"

#include "store/local.h"
#include "store/stores.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

enum { NUMBERS_MAX = 1000, NOTES_MAX = 64, SLICES = 4 /* more than a small table has */ };

struct bench {
    struct loop *loop;
    char folder[64], path[80];
    struct stores_settings settings;
    struct store_counters counters;
    struct stores *stores;
    struct greylist_answer answers[NUMBERS_MAX];
    unsigned n_answers[NUMBERS_MAX], n_unavailable[NUMBERS_MAX];
    unsigned n_done;
    char notes[NOTES_MAX][STORE_WHY_MAX + 64];
    unsigned n_notes;
};

/* ---- what the stores say */

static void on_answer(void *arg, const struct batch_item *item, bool is_unavailable) {
    struct bench *b = arg;
    assert_int_equal(b->n_answers[item->number] + b->n_unavailable[item->number], 0); /* once */
    b->answers[item->number] = item->answer;
    *(is_unavailable ? &b->n_unavailable[item->number] : &b->n_answers[item->number]) += 1;
}

static void on_done(void *arg) {
    ((struct bench *)arg)->n_done++;
}

static void on_note(void *arg, enum log_level level, const char *text) {
    struct bench *b = arg;
    assert_true(b->n_notes < NOTES_MAX);
    snprintf(b->notes[b->n_notes++], sizeof(b->notes[0]), "%s", text);
}

static const struct stores_events events = { .on_answer = on_answer, .on_done = on_done, .on_note = on_note };

static unsigned noted(const struct bench *b, const char *part) {
    unsigned n = 0;
    for (unsigned i = 0; i < b->n_notes; i++)
        n += strstr(b->notes[i], part) != NULL;
    return n;
}

/* ---- doing */

static void open_stores(struct bench *b) {
    assert_int_equal(stores_new(b->loop, &b->settings, &b->counters, &events, b, &b->stores), 0);
}

static void close_stores(struct bench *b) {
    stores_free(b->stores);
    b->stores = NULL;
    turns(b->loop, 1);
}

static void set_delay(struct bench *b, uint32_t delay) {
    b->settings.greylist.delay = delay;
    stores_set_greylist(b->stores, &b->settings.greylist);
}

static void add(struct bench *b, uint32_t number, const char *sender) {
    const struct store_message message = { .type = STORE_QUESTION, .number = number,
                                           .question = question_for_test(sender) };
    b->n_answers[number] = b->n_unavailable[number] = 0;
    assert_int_equal(batch_add(stores_batch(b->stores), b, &message), 0);
}

/* One question alone. Returns whether it is through. */
static bool ask(struct bench *b, uint32_t number, const char *sender) {
    add(b, number, sender);
    return stores_run(b->stores);
}

static void assert_status(const struct bench *b, uint32_t number, enum greylist_status status) {
    assert_int_equal(b->n_answers[number], 1);
    assert_int_equal(b->answers[number].status, status);
}

static bool is_answered(const struct bench *b, uint32_t number) {
    return b->n_answers[number] + b->n_unavailable[number] > 0;
}

/* The shared store does all it is asked to, until nothing is under way. */
static void complete_all(void) {
    while (fake_shared.reading != NULL || fake_shared.merging != NULL || fake_shared.is_sweeping)
        fake_shared_complete();
}

static void later(struct bench *b, uint64_t ms) {
    loop_set_time(b->loop, loop_now(b->loop) + ms);
    turns(b->loop, 1);
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void in_file(const struct bench *b, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int64_t number_in_file(const struct bench *b, const char *sql) {
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

/* The key of the triplet under the strongest identity, for the shared store's hash key. */
static int64_t shared_triplet(const struct bench *b, const char *sender) {
    const struct greylist_question q = question_for_test(sender);
    return greylist_triplet_key(fake_shared.key, q.identities[0], q.sender, q.recipient);
}

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof(*b));
    b->loop = loop_for_test();
    loop_set_time(b->loop, 1000000);
    strcpy(b->folder, "/tmp/postern-stores-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->path, sizeof(b->path), "%s/greylist.db", b->folder);
    b->settings = (struct stores_settings){ .path = b->path, .conninfo = "", .shared_timeout_ms = 500,
                                            .greylist = settings_for_test };
    fake_shared_reset(7);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[96];
    close_stores(b);
    loop_free(b->loop);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", b->path, suffixes[i]);
        unlink(path);
    }
    rmdir(b->path);
    assert_int_equal(rmdir(b->folder), 0);
    free(b);
    return 0;
}

static void open_shared(struct bench *b) {
    b->settings.shared = &fake_shared_ops;
    b->settings.conninfo = "in memory";
    open_stores(b);
}

/* ---- alone */

static void questions_of_a_batch_see_each_other(void **state) {
    struct bench *b = *state;
    open_stores(b);
    add(b, 1, "anna@example.net");
    add(b, 2, "anna@example.net");
    add(b, 3, "carl@example.net");
    assert_true(stores_run(b->stores));
    assert_status(b, 1, GREYLIST_NEW);
    assert_status(b, 2, GREYLIST_EARLY);
    assert_status(b, 3, GREYLIST_NEW);
    assert_int_equal(b->n_done, 0); /* that it was through was said at once */
    assert_int_equal(stores_batch(b->stores)->n_items, 0);
}

static void what_was_answered_is_still_there_after_a_restart(void **state) {
    struct bench *b = *state;
    open_stores(b);
    assert_true(ask(b, 1, "anna@example.net"));
    close_stores(b);
    open_stores(b);
    assert_true(ask(b, 2, "anna@example.net"));
    assert_status(b, 2, GREYLIST_EARLY);
    set_delay(b, 0);
    assert_true(ask(b, 3, "anna@example.net"));
    assert_status(b, 3, GREYLIST_RETRY);
    assert_true(ask(b, 4, "anna@example.net"));
    assert_status(b, 4, GREYLIST_CACHED);
}

static void a_full_batch_of_large_questions_is_answered(void **state) {
    struct bench *b = *state;
    open_stores(b);
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        char texts[GREYLIST_IDENTITIES_MAX][32], sender[32];
        struct store_message message = { .type = STORE_QUESTION, .number = i };
        snprintf(sender, sizeof(sender), "s%u@example.net", i);
        message.question = question_for_test(sender);
        message.question.n_identities = GREYLIST_IDENTITIES_MAX;
        for (unsigned k = 0; k < GREYLIST_IDENTITIES_MAX; k++) {
            snprintf(texts[k], sizeof(texts[k]), "id:%u.%u", i, k);
            message.question.identities[k] = str_of(texts[k]);
        }
        assert_false(batch_is_full(stores_batch(b->stores)));
        assert_int_equal(batch_add(stores_batch(b->stores), b, &message), 0);
    }
    assert_true(batch_is_full(stores_batch(b->stores)));
    assert_true(stores_run(b->stores));
    for (unsigned i = 0; i < BATCH_MAX; i++)
        assert_status(b, i, GREYLIST_NEW);
    assert_int_equal(b->counters.asked, BATCH_MAX);
    assert_int_equal(b->counters.batches, 1);
}

/* As one client may in twenty seconds: what is written is bounded, who comes back passes, the log hears of it once. */
static void a_flood_of_one_network_adds_few_rows_and_shuts_out_no_sender(void **state) {
    enum { OWN = 50, FLOOD_SIZE = 5000 };
    struct bench *b = *state;
    b->settings.greylist.new_per_network = OWN;
    b->settings.greylist.delay = 0;
    open_stores(b);
    for (unsigned i = 0; i < FLOOD_SIZE; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "s%u@example.net", i);
        assert_true(ask(b, 1, sender));
    }
    assert_in_range(number_in_file(b, "SELECT count(*) FROM grey WHERE passes = 0"), OWN / 2, OWN + GREYLIST_GROUPS);
    assert_true(number_in_file(b, "SELECT count(*) FROM grey") <= 3 * OWN + GREYLIST_GROUPS);
    assert_true(ask(b, 2, "good@example.net"));
    assert_true(ask(b, 3, "good@example.net"));
    assert_true(b->answers[3].status == GREYLIST_RETRY || b->answers[3].status == GREYLIST_CACHED);
    assert_true(b->counters.grouped >= FLOOD_SIZE - OWN);
    assert_int_equal(b->counters.crowded, 1);
    assert_int_equal(noted(b, "share rows"), 1);
    close_stores(b);
    open_stores(b); /* the process begins again: who passed by a shared row is known by it */
    assert_true(ask(b, 4, "good@example.net"));
    assert_status(b, 4, GREYLIST_CACHED);
}

static void a_question_without_effect_leaves_nothing(void **state) {
    struct bench *b = *state;
    struct store_message message = { .type = STORE_QUESTION, .number = 1 };
    open_stores(b);
    message.question = question_for_test("anna@example.net");
    message.question.is_read_only = true;
    assert_int_equal(batch_add(stores_batch(b->stores), b, &message), 0);
    assert_true(stores_run(b->stores));
    assert_status(b, 1, GREYLIST_NEW);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 0);
}

static void credits_are_counted_and_not_answered(void **state) {
    struct bench *b = *state;
    open_stores(b);
    set_delay(b, 0);
    ask(b, 1, "anna@example.net");
    ask(b, 2, "anna@example.net");
    assert_status(b, 2, GREYLIST_RETRY);
    const struct store_message credit = { .type = STORE_CREDIT, .number = 3,
                                          .question = question_for_test("anna@example.net") };
    assert_int_equal(batch_add(stores_batch(b->stores), b, &credit), 0);
    assert_true(stores_run(b->stores));
    assert_false(is_answered(b, 3));
    assert_int_equal(number_in_file(b, "SELECT max(passes) FROM grey"), 2); /* of the triplet that was counted */
    assert_int_equal(b->counters.credits, 1);
}

static void new_rows_get_names_behind_the_answers(void **state) {
    struct bench *b = *state;
    open_stores(b);
    ask(b, 1, "anna@example.net");
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM names"), 0);
    later(b, 1000);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM names WHERE identity = 'org:example.net' AND "
                                       "sender = 'anna@example.net' AND recipient = 'bert@example.com'"), 1);
    ask(b, 2, "carl@example.net");
    close_stores(b);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM names WHERE sender = 'carl@example.net'"), 1);
}

static void expired_rows_are_swept_while_nobody_asks(void **state) {
    struct bench *b = *state;
    open_stores(b);
    for (unsigned i = 0; i < SLICES; i++)
        later(b, 1000); /* the first round is over */
    in_file(b, "INSERT INTO grey VALUES(1, 5, 5, 6, 0, 0), (2, 5, 5, 99999999999, 0, 1)");
    later(b, 700000);
    for (unsigned i = 0; i < SLICES; i++)
        later(b, 1000);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1);
}

/* ---- the local store fails */

static void a_broken_file_is_told_once_and_tried_again(void **state) {
    struct bench *b = *state;
    char text[4096];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    write_file(b->path, text);
    open_stores(b);
    assert_int_equal(b->counters.local, STORE_STATE_DOWN);
    assert_true(ask(b, 1, "anna@example.net"));
    assert_int_equal(b->n_unavailable[1], 1);
    later(b, 1000);
    later(b, 2000);
    assert_true(ask(b, 2, "anna@example.net"));
    assert_int_equal(b->n_unavailable[2], 1);
    assert_int_equal(b->n_notes, 1);
    assert_int_equal(noted(b, b->path), 1);
    assert_string_equal(b->counters.why, b->notes[0]);
    assert_int_equal(b->counters.unavailable, 2);
    assert_int_equal(unlink(b->path), 0);
    later(b, 4000);
    assert_int_equal(b->counters.local, STORE_STATE_UP);
    assert_true(ask(b, 3, "anna@example.net"));
    assert_status(b, 3, GREYLIST_NEW);
    assert_int_equal(noted(b, "in order again"), 1);
}

static void a_file_of_a_newer_version_is_left_alone(void **state) {
    struct bench *b = *state;
    open_stores(b);
    close_stores(b);
    in_file(b, "UPDATE meta SET value = '99' WHERE name = 'version'");
    open_stores(b);
    assert_true(ask(b, 1, "anna@example.net"));
    assert_int_equal(b->n_unavailable[1], 1);
    assert_int_equal(noted(b, "newer"), 1);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 0);
}

static void a_file_that_breaks_under_way_is_opened_anew(void **state) {
    struct bench *b = *state;
    open_stores(b);
    ask(b, 1, "anna@example.net");
    in_file(b, "ALTER TABLE grey RENAME TO gone");
    assert_true(ask(b, 2, "carl@example.net"));
    assert_int_equal(b->n_unavailable[2], 1);
    assert_int_equal(b->counters.local, STORE_STATE_DOWN);
    in_file(b, "ALTER TABLE gone RENAME TO grey");
    later(b, 1000);
    assert_true(ask(b, 3, "anna@example.net"));
    assert_status(b, 3, GREYLIST_EARLY);
}

/* ---- the file goes under way */

static void remove_files(const struct bench *b, const char *const *suffixes, size_t n) {
    char path[96];
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s%s", b->path, suffixes[i]);
        unlink(path);
    }
}

static void turn_until_noted(struct bench *b, const char *part) {
    for (unsigned i = 0; i < 500 && noted(b, part) == 0; i++)
        later(b, 50);
    assert_int_equal(noted(b, part), 1);
}

static void a_file_that_was_removed_comes_back_with_all_that_it_held(void **state) {
    struct bench *b = *state;
    open_stores(b);
    ask(b, 1, "anna@example.net");
    remove_files(b, (const char *const[]){ "", "-wal", "-shm" }, 3);
    assert_true(ask(b, 2, "anna@example.net")); /* answered before anybody looks */
    assert_status(b, 2, GREYLIST_EARLY);
    turn_until_noted(b, "was removed");
    assert_true(ask(b, 3, "carl@example.net")); /* and while it is copied */
    assert_status(b, 3, GREYLIST_NEW);
    turn_until_noted(b, "is there again");
    assert_int_equal(b->counters.local, STORE_STATE_UP);
    assert_true(ask(b, 4, "carl@example.net"));
    assert_status(b, 4, GREYLIST_EARLY);
    close_stores(b);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 2);
    assert_int_equal(number_in_file(b, "SELECT count(DISTINCT k) FROM names"), 2);
    open_stores(b);
    assert_true(ask(b, 5, "anna@example.net"));
    assert_status(b, 5, GREYLIST_EARLY);
}

static void a_file_that_was_removed_alone_is_not_joined_with_the_log_that_is_left(void **state) {
    struct bench *b = *state;
    open_stores(b);
    ask(b, 1, "anna@example.net");
    remove_files(b, (const char *const[]){ "" }, 1);
    turn_until_noted(b, "is there again");
    assert_true(ask(b, 2, "anna@example.net"));
    assert_status(b, 2, GREYLIST_EARLY);
    close_stores(b);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1);
}

static void a_log_that_was_removed_loses_nothing(void **state) {
    struct bench *b = *state;
    open_stores(b);
    ask(b, 1, "anna@example.net");
    remove_files(b, (const char *const[]){ "-wal", "-shm" }, 2);
    turn_until_noted(b, "was replaced");
    assert_true(ask(b, 2, "anna@example.net"));
    assert_status(b, 2, GREYLIST_EARLY);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1); /* others see it again */
}

static void a_file_that_was_put_in_its_place_counts(void **state) {
    struct bench *b = *state;
    char backup[96];
    snprintf(backup, sizeof(backup), "%s.backup", b->path);
    open_stores(b);
    ask(b, 1, "anna@example.net");
    close_stores(b);
    assert_int_equal(rename(b->path, backup), 0);
    open_stores(b);
    ask(b, 2, "carl@example.net");
    assert_int_equal(rename(backup, b->path), 0); /* with the other one's log beside it */
    turn_until_noted(b, "was replaced");
    assert_true(ask(b, 3, "anna@example.net"));
    assert_status(b, 3, GREYLIST_EARLY);
    assert_true(ask(b, 4, "carl@example.net"));
    assert_status(b, 4, GREYLIST_NEW);
    close_stores(b);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 2);
}

static void without_its_folder_it_answers_from_what_is_open(void **state) {
    struct bench *b = *state;
    char moved[96];
    snprintf(moved, sizeof(moved), "%s-moved", b->folder);
    open_stores(b);
    ask(b, 1, "anna@example.net");
    assert_int_equal(rename(b->folder, moved), 0);
    turn_until_noted(b, "cannot be brought back");
    assert_true(ask(b, 2, "anna@example.net"));
    assert_status(b, 2, GREYLIST_EARLY);
    assert_int_equal(rename(moved, b->folder), 0);
    later(b, 60000);
    assert_true(ask(b, 3, "anna@example.net"));
    assert_status(b, 3, GREYLIST_EARLY);
}

static void a_file_that_cannot_be_written_still_answers_what_needs_no_writing(void **state) {
    struct bench *b = *state;
    open_stores(b);
    set_delay(b, 0);
    ask(b, 1, "anna@example.net");
    ask(b, 2, "anna@example.net");
    assert_status(b, 2, GREYLIST_RETRY);
    /* As on a full disk: the file may not grow by a page. */
    in_file(b, "CREATE TRIGGER full BEFORE INSERT ON grey BEGIN SELECT RAISE(ABORT, 'full'); END");
    add(b, 3, "anna@example.net");
    add(b, 4, "carl@example.net");
    assert_true(stores_run(b->stores));
    assert_status(b, 3, GREYLIST_CACHED);
    assert_int_equal(b->n_unavailable[4], 1);
    in_file(b, "DROP TRIGGER full");
    later(b, 1000);
    assert_true(ask(b, 5, "carl@example.net"));
    assert_status(b, 5, GREYLIST_NEW);
    assert_int_equal(noted(b, "in order again"), 1);
}

/* ---- with a shared store */

static void an_answer_waits_until_the_shared_store_has_it(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    assert_false(ask(b, 1, "anna@example.net"));
    assert_true(stores_is_running(b->stores));
    assert_non_null(fake_shared.reading);
    fake_shared_complete();
    assert_non_null(fake_shared.merging);
    assert_false(is_answered(b, 1));
    fake_shared_complete();
    assert_status(b, 1, GREYLIST_NEW);
    assert_int_equal(b->n_done, 1);
    assert_false(stores_is_running(b->stores));
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 0);
}

static void what_another_host_has_seen_is_known_and_kept(void **state) {
    struct bench *b = *state;
    int64_t now = (int64_t)time(NULL);
    open_shared(b);
    fake_shared_up();
    fake_shared.rows[fake_shared.n_rows++] = (struct row){ .key = shared_triplet(b, "anna@example.net"),
        .first = now - 1000, .last = now - 100, .expires = now + 100000, .passes = 1 };
    assert_false(ask(b, 1, "anna@example.net"));
    complete_all();
    assert_status(b, 1, GREYLIST_CACHED);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey WHERE passes = 1"), 1);
    fake_shared_down(); /* it is still known */
    assert_true(ask(b, 2, "anna@example.net"));
    assert_status(b, 2, GREYLIST_CACHED);
}

static void a_refresh_is_not_waited_for(void **state) {
    struct bench *b = *state;
    int64_t now = (int64_t)time(NULL);
    open_shared(b);
    fake_shared_up();
    fake_shared.rows[fake_shared.n_rows++] = (struct row){ .key = shared_triplet(b, "anna@example.net"),
        .first = now - 90000, .last = now - 80000, .expires = now + 100000, .passes = 1 };
    assert_false(ask(b, 1, "anna@example.net"));
    fake_shared_complete();
    assert_status(b, 1, GREYLIST_CACHED);
    assert_non_null(fake_shared.merging);
    assert_int_equal(b->n_done, 0);
    fake_shared_complete();
    assert_int_equal(b->n_done, 1);
    assert_true(fake_shared_find(shared_triplet(b, "anna@example.net"))->last >= now);
}

static void without_the_shared_store_it_goes_on_and_hands_in_later(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    ask(b, 1, "known@example.net");
    complete_all();
    fake_shared_down();
    assert_int_equal(b->counters.shared, STORE_STATE_DOWN);
    for (uint32_t i = 0; i < 3; i++) {
        char sender[32];
        for (unsigned k = 0; k < BATCH_MAX; k++) {
            snprintf(sender, sizeof(sender), "s%u.%u@example.net", i, k);
            add(b, 100 + i * BATCH_MAX + k, sender);
        }
        assert_true(stores_run(b->stores));
    }
    assert_status(b, 100, GREYLIST_NEW);
    assert_true(ask(b, 2, "known@example.net"));
    assert_status(b, 2, GREYLIST_EARLY);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 3 * BATCH_MAX);
    fake_shared.n_merges = 0;
    fake_shared_up();
    assert_non_null(fake_shared.merging); /* the first slice is on its way: */
    assert_false(ask(b, 3, "s0.0@example.net")); /* a question waits for it, not for all */
    assert_null(fake_shared.reading);
    fake_shared_complete();
    assert_non_null(fake_shared.reading);
    fake_shared_complete();
    while (!is_answered(b, 3))
        fake_shared_complete();
    assert_true(number_in_file(b, "SELECT count(*) FROM pending") > 0);
    assert_status(b, 3, GREYLIST_EARLY);
    complete_all();
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 0);
    assert_true(fake_shared.largest <= BATCH_KEYS_MAX && fake_shared.n_merges >= 3);
    assert_non_null(fake_shared_find(shared_triplet(b, "s2.99@example.net")));
}

static void what_was_pending_is_handed_in_after_a_restart_too(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    fake_shared_down();
    ask(b, 1, "anna@example.net");
    close_stores(b);
    open_stores(b);
    assert_true(fake_shared.was_offered_key); /* it came from the shared store */
    assert_memory_equal(fake_shared.offered_key, fake_shared.key, GREYLIST_KEY_SIZE);
    assert_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
    fake_shared_up();
    complete_all();
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
}

/* What `postern greylist` does, beside the store process. */
static void write_as_command(const struct bench *b, const struct row *row) {
    struct local *local;
    struct buf why;
    buf_init(&why, 512);
    assert_int_equal(local_open(&(struct local_options){ .path = b->path, .is_command = true }, &why, &local), 0);
    assert_int_equal(local_merge(local, row, 1, (int64_t)time(NULL), true), 0);
    local_close(local);
    buf_deinit(&why);
}

static void what_a_command_wrote_is_handed_in_without_a_question(void **state) {
    struct bench *b = *state;
    const struct row row = { .key = 4711, .forgot = (int64_t)time(NULL) };
    open_shared(b);
    fake_shared_up();
    later(b, 300);
    assert_null(fake_shared.merging);
    write_as_command(b, &row);
    later(b, 300);
    complete_all();
    assert_non_null(fake_shared_find(4711));
    assert_int_equal(fake_shared_find(4711)->forgot, row.forgot);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 0);
}

static void what_a_command_wrote_without_the_shared_store_is_handed_in_later(void **state) {
    struct bench *b = *state;
    const struct row row = { .key = 4711, .forgot = (int64_t)time(NULL) };
    open_shared(b);
    fake_shared_up();
    fake_shared_down();
    write_as_command(b, &row);
    later(b, 300);
    assert_null(fake_shared.merging);
    fake_shared_up();
    complete_all();
    assert_non_null(fake_shared_find(4711));
}

static void the_clock_of_the_shared_store_counts(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_clock(-600000); /* we are ahead */
    fake_shared_up();
    assert_int_equal(noted(b, "this host's clock is 600 s ahead"), 1);
    int64_t now = (int64_t)time(NULL);
    ask(b, 1, "anna@example.net");
    complete_all();
    assert_in_range(fake_shared_find(shared_triplet(b, "anna@example.net"))->first, now - 602, now - 598);
    fake_shared_clock(-600900); /* a second more or less is how it was measured */
    fake_shared_down();
    ask(b, 2, "bert@example.net"); /* it is known while the store is away, and after a restart */
    close_stores(b);
    open_stores(b);
    ask(b, 3, "carl@example.net");
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey WHERE first < CAST(strftime('%s') AS INTEGER) - 590"),
                     3);
    assert_int_equal(number_in_file(b, "SELECT value FROM meta WHERE name = 'shared_ahead_ms'"), -600000);
    fake_shared_clock(-100);
    ask(b, 4, "dora@example.net");
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey WHERE first < CAST(strftime('%s') AS INTEGER) - 590"),
                     3);
}

static void a_clock_that_comes_back_is_told_once(void **state) {
    struct bench *b = *state;
    open_shared(b);
    for (int64_t s = 0; s <= 30; s++)
        fake_shared_clock(s * 1000);
    assert_int_equal(noted(b, "behind that of the shared store"), 3); /* each ten seconds */
    fake_shared_clock(3000);
    fake_shared_clock(2000);
    assert_int_equal(noted(b, "agree again"), 1);
}

static void a_clock_that_is_wildly_off_is_not_followed(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    fake_shared_clock(0);
    ask(b, 1, "anna@example.net");
    complete_all();
    fake_shared_clock(INT64_C(50) * 365 * 86400 * 1000);
    fake_shared_clock(INT64_C(50) * 365 * 86400 * 1000);
    assert_int_equal(noted(b, "too far away to be followed"), 1);
    ask(b, 2, "anna@example.net");
    complete_all();
    assert_status(b, 2, GREYLIST_EARLY);
}

static void a_shared_store_that_dies_while_it_reads_is_done_without(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    assert_false(ask(b, 1, "anna@example.net"));
    fake_shared_down();
    assert_status(b, 1, GREYLIST_NEW);
    assert_int_equal(b->n_done, 1);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 1);
}

static void a_shared_store_that_dies_while_it_merges_gets_it_later(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    assert_false(ask(b, 1, "anna@example.net"));
    fake_shared_complete();
    fake_shared_down();
    assert_status(b, 1, GREYLIST_NEW);
    assert_int_equal(b->n_done, 1);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 1);
    fake_shared_up();
    complete_all();
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 0);
}

static void a_slice_that_is_lost_is_handed_in_again(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    fake_shared_down();
    ask(b, 1, "anna@example.net");
    fake_shared_up();
    assert_non_null(fake_shared.merging);
    assert_false(ask(b, 2, "carl@example.net"));
    fake_shared_down(); /* the one that waited is answered all the same */
    assert_status(b, 2, GREYLIST_NEW);
    fake_shared_up();
    complete_all();
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
    assert_non_null(fake_shared_find(shared_triplet(b, "carl@example.net")));
}

static void an_empty_server_loses_nothing(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    ask(b, 1, "anna@example.net");
    complete_all();
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared_up(); /* another, which took over the key */
    assert_int_equal(noted(b, "dropped"), 1); /* at the first contact alone */
    ask(b, 2, "anna@example.net");
    complete_all();
    assert_status(b, 2, GREYLIST_EARLY);
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
}

/* So many triplets that the shared store has, and the file. */
static void learn(struct bench *b, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "l%u@example.net", i);
        ask(b, 1, sender);
        complete_all();
    }
}

static void another_server_gets_all_that_the_host_knows(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared.server = "one";
    fake_shared_up();
    learn(b, 3);
    assert_int_equal(noted(b, "it has got all"), 0); /* there was nothing to tell the first one */
    size_t n_rows = fake_shared.n_rows;
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared.server = "two";
    fake_shared_up();
    complete_all();
    assert_int_equal(fake_shared.n_rows, n_rows);
    assert_int_equal(noted(b, "another one than before: it has got all"), 1);
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared_up(); /* the same: nobody looks */
    assert_null(fake_shared.merging);
    close_stores(b);
    open_stores(b);
    fake_shared_up(); /* nor after a restart */
    assert_null(fake_shared.merging);
    close_stores(b);
    open_stores(b);
    fake_shared.server = "three";
    fake_shared_up(); /* which came meanwhile */
    complete_all();
    assert_int_equal(fake_shared.n_rows, n_rows);
}

static void a_host_that_begins_to_share_gives_what_it_knows(void **state) {
    struct bench *b = *state;
    open_stores(b);
    assert_true(ask(b, 1, "anna@example.net"));
    close_stores(b);
    struct local *local;
    struct buf why;
    buf_init(&why, 200);
    assert_int_equal(local_open(&(struct local_options){ .path = b->path }, &why, &local), 0);
    memcpy(fake_shared.key, local_hash_key(local), GREYLIST_KEY_SIZE); /* as `postern store init` does */
    local_close(local);
    buf_deinit(&why);
    open_shared(b);
    fake_shared.server = "one";
    fake_shared_up();
    complete_all();
    assert_int_equal(noted(b, "dropped"), 0);
    assert_int_equal(noted(b, "new to this host: it has got all"), 1);
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
    ask(b, 2, "anna@example.net");
    complete_all();
    assert_status(b, 2, GREYLIST_EARLY);
}

static void questions_come_between_the_slices_of_a_handover(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared.server = "one";
    fake_shared_up();
    learn(b, 2 * BATCH_MAX);
    size_t n_rows = fake_shared.n_rows;
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared.server = "two";
    fake_shared.n_merges = 0;
    fake_shared.largest = 0;
    fake_shared_up();
    assert_non_null(fake_shared.merging);
    assert_false(ask(b, 3, "anna@example.net"));
    fake_shared_complete();
    assert_non_null(fake_shared.reading);
    while (!is_answered(b, 3))
        fake_shared_complete();
    assert_true(fake_shared.n_rows < n_rows); /* there is more to hand over */
    complete_all();
    assert_true(fake_shared.n_rows > n_rows); /* and what anna brought */
    assert_true(fake_shared.largest <= BATCH_MAX);
}

static void the_file_is_looked_after_while_there_is_something_to_hand_over(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared.server = "one";
    fake_shared_up();
    learn(b, BATCH_MAX);
    in_file(b, "UPDATE grey SET expires = 1 WHERE k = (SELECT min(k) FROM grey)");
    fake_shared_down();
    fake_shared.server = "two";
    fake_shared_up();
    assert_non_null(fake_shared.merging);
    for (unsigned i = 0; i < 30; i++)
        later(b, 250);
    assert_non_null(fake_shared.merging); /* all the time */
    assert_int_equal(b->counters.rows, BATCH_MAX - 1);
    assert_int_equal(b->counters.swept, 1);
    assert_true(number_in_file(b, "SELECT count(*) FROM names") > 0);
}

static void a_handover_that_was_broken_off_goes_on_or_begins_anew(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared.server = "one";
    fake_shared_up();
    learn(b, 2 * BATCH_MAX);
    size_t n_rows = fake_shared.n_rows;
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared.server = "two";
    fake_shared_up();
    fake_shared_complete();
    fake_shared_down(); /* in the second slice */
    assert_int_equal(fake_shared.n_rows, BATCH_MAX);
    fake_shared.n_merges = 0;
    fake_shared_up(); /* the same */
    fake_shared_complete();
    assert_int_equal(fake_shared.n_rows, 2 * BATCH_MAX);
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared.server = "three";
    fake_shared_up();
    fake_shared_complete();
    fake_shared_down();
    close_stores(b);
    open_stores(b); /* nobody knows how far it was */
    fake_shared.n_rows = 0;
    fake_shared_up();
    complete_all();
    assert_int_equal(fake_shared.n_rows, n_rows);
}

static void what_was_forgotten_stays_so_at_another_server(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared.server = "one";
    fake_shared_up();
    ask(b, 1, "anna@example.net");
    complete_all();
    struct row *row = fake_shared_find(shared_triplet(b, "anna@example.net"));
    const struct row alive = *row;
    write_as_command(b, &(struct row){ .key = row->key, .forgot = row->last });
    later(b, 300);
    complete_all();
    fake_shared_down();
    fake_shared.n_rows = 0;
    fake_shared.rows[fake_shared.n_rows++] = alive; /* another host, which has not heard, was faster */
    fake_shared.server = "two";
    fake_shared_up();
    complete_all();
    assert_false(row_is_alive(fake_shared_find(alive.key), alive.last));
}

/* Until it sweeps; nothing else is under way. */
static void wait_for_sweep(struct bench *b) {
    for (unsigned i = 0; i < 20 && !fake_shared.is_sweeping; i++)
        later(b, 250);
    assert_true(fake_shared.is_sweeping);
}

static void the_shared_store_is_swept_range_by_range_while_nobody_asks(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    wait_for_sweep(b);
    int64_t before = fake_shared.sweep_to;
    fake_shared_complete();
    assert_false(fake_shared.is_sweeping); /* not at once */
    wait_for_sweep(b);
    assert_true((uint64_t)fake_shared.sweep_from <= (uint64_t)before + 1 && fake_shared.sweep_to != before);
    fake_shared.rows[fake_shared.n_rows++] = (struct row){ .key = fake_shared.sweep_to };
    fake_shared.rows[fake_shared.n_rows++] = (struct row){ .key = fake_shared.sweep_from - 1 };
    uint64_t swept = b->counters.swept;
    fake_shared_complete();
    assert_int_equal(fake_shared.n_rows, 1);
    assert_int_equal(b->counters.swept, swept + 1);
}

static void a_question_waits_for_a_range_and_no_longer(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    wait_for_sweep(b);
    assert_false(ask(b, 1, "anna@example.net"));
    assert_null(fake_shared.reading);
    fake_shared_complete();
    assert_non_null(fake_shared.reading);
    complete_all();
    assert_status(b, 1, GREYLIST_NEW);
    wait_for_sweep(b);
    assert_false(ask(b, 2, "anna@example.net"));
    fake_shared_down(); /* and when the sweep fails it is answered from the file */
    assert_status(b, 2, GREYLIST_EARLY);
}

static void a_sweep_that_is_refused_is_told_once_and_costs_nothing_else(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    fake_shared.sweep_problem = "permission denied";
    wait_for_sweep(b);
    fake_shared_complete();
    assert_int_equal(noted(b, "cannot be swept: permission denied"), 1);
    assert_int_equal(b->counters.shared, STORE_STATE_UP);
    unsigned n = fake_shared.n_sweeps;
    later(b, 60000);
    assert_int_equal(fake_shared.n_sweeps, n);
    later(b, 3600 * 1000);
    wait_for_sweep(b);
    fake_shared_complete();
    assert_int_equal(noted(b, "cannot be swept"), 1);
}

static void the_key_of_the_shared_store_is_taken_over_and_kept(void **state) {
    struct bench *b = *state;
    open_shared(b);
    assert_false(fake_shared.was_offered_key);
    assert_true(ask(b, 1, "anna@example.net"));
    assert_status(b, 1, GREYLIST_NEW);
    fake_shared_up();
    complete_all();
    assert_int_equal(noted(b, "dropped"), 1);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 0);
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM pending"), 0);
    assert_int_equal(fake_shared.n_rows, 0); /* rows under another key would be rubbish there */
    ask(b, 2, "anna@example.net");
    complete_all();
    assert_status(b, 2, GREYLIST_NEW);
    close_stores(b);
    open_stores(b);
    fake_shared_up();
    assert_int_equal(noted(b, "dropped"), 1);
    ask(b, 3, "anna@example.net");
    complete_all();
    assert_status(b, 3, GREYLIST_EARLY);
}

static void another_key_in_the_middle_of_a_batch_waits_for_its_end(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    assert_false(ask(b, 1, "anna@example.net"));
    fake_shared_complete(); /* it merges */
    fake_shared.events->on_down(fake_shared.arg, "gone");
    memset(fake_shared.key, 9, sizeof(fake_shared.key));
    fake_shared_up();
    assert_int_equal(noted(b, "dropped"), 1);
    fake_shared_complete();
    assert_status(b, 1, GREYLIST_NEW);
    assert_int_equal(noted(b, "dropped"), 2);
}

static void the_shared_store_alone_serves_while_the_file_is_broken(void **state) {
    struct bench *b = *state;
    assert_int_equal(mkdir(b->path, 0700), 0);
    open_shared(b);
    assert_true(ask(b, 1, "anna@example.net"));
    assert_int_equal(b->n_unavailable[1], 1);
    fake_shared_up();
    assert_false(ask(b, 2, "anna@example.net"));
    complete_all();
    assert_status(b, 2, GREYLIST_NEW);
    ask(b, 3, "anna@example.net");
    complete_all();
    assert_status(b, 3, GREYLIST_EARLY);
    assert_false(ask(b, 4, "carl@example.net"));
    fake_shared_down(); /* and then there is none */
    assert_int_equal(b->n_unavailable[4], 1);
    assert_int_equal(rmdir(b->path), 0);
    fake_shared_up();
    later(b, 60000);
    complete_all(); /* it may be sweeping */
    assert_int_equal(b->counters.local, STORE_STATE_UP);
    ask(b, 5, "anna@example.net");
    complete_all();
    assert_status(b, 5, GREYLIST_EARLY); /* under the key of the shared store */
    assert_int_equal(number_in_file(b, "SELECT count(*) FROM grey"), 1);
}

static void a_file_that_cannot_take_the_shared_key_is_not_used(void **state) {
    struct bench *b = *state;
    open_shared(b);
    ask(b, 1, "anna@example.net");
    in_file(b, "CREATE TRIGGER full BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'full'); END;"
               "CREATE TRIGGER full2 BEFORE INSERT ON meta BEGIN SELECT RAISE(ABORT, 'full'); END");
    fake_shared_up();
    assert_int_equal(b->counters.local, STORE_STATE_DOWN);
    assert_false(ask(b, 2, "anna@example.net"));
    complete_all();
    assert_status(b, 2, GREYLIST_NEW);
    assert_non_null(fake_shared_find(shared_triplet(b, "anna@example.net")));
    in_file(b, "DROP TRIGGER full; DROP TRIGGER full2");
    assert_false(ask(b, 3, "anna@example.net"));
    later(b, 60000); /* due in the middle of a batch */
    assert_int_equal(b->counters.local, STORE_STATE_DOWN);
    complete_all();
    assert_status(b, 3, GREYLIST_EARLY);
    assert_int_equal(b->counters.local, STORE_STATE_UP);
    assert_int_equal(noted(b, "dropped"), 1);
}

static void whoever_left_is_not_answered(void **state) {
    struct bench *b = *state;
    open_shared(b);
    fake_shared_up();
    ask(b, 1, "anna@example.net");
    batch_forget(stores_batch(b->stores), b);
    assert_null(stores_batch(b->stores)->items[0].asker);
    complete_all();
    assert_int_equal(b->n_done, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(questions_of_a_batch_see_each_other),
        TEST(what_was_answered_is_still_there_after_a_restart),
        TEST(a_full_batch_of_large_questions_is_answered),
        TEST(a_flood_of_one_network_adds_few_rows_and_shuts_out_no_sender),
        TEST(a_question_without_effect_leaves_nothing),
        TEST(credits_are_counted_and_not_answered),
        TEST(new_rows_get_names_behind_the_answers),
        TEST(expired_rows_are_swept_while_nobody_asks),
        TEST(a_broken_file_is_told_once_and_tried_again),
        TEST(a_file_of_a_newer_version_is_left_alone),
        TEST(a_file_that_breaks_under_way_is_opened_anew),
        TEST(a_file_that_was_removed_comes_back_with_all_that_it_held),
        TEST(a_file_that_was_removed_alone_is_not_joined_with_the_log_that_is_left),
        TEST(a_log_that_was_removed_loses_nothing),
        TEST(a_file_that_was_put_in_its_place_counts),
        TEST(without_its_folder_it_answers_from_what_is_open),
        TEST(a_file_that_cannot_be_written_still_answers_what_needs_no_writing),
        TEST(an_answer_waits_until_the_shared_store_has_it),
        TEST(what_another_host_has_seen_is_known_and_kept),
        TEST(a_refresh_is_not_waited_for),
        TEST(without_the_shared_store_it_goes_on_and_hands_in_later),
        TEST(what_was_pending_is_handed_in_after_a_restart_too),
        TEST(what_a_command_wrote_is_handed_in_without_a_question),
        TEST(what_a_command_wrote_without_the_shared_store_is_handed_in_later),
        TEST(the_clock_of_the_shared_store_counts),
        TEST(a_clock_that_comes_back_is_told_once),
        TEST(a_clock_that_is_wildly_off_is_not_followed),
        TEST(a_shared_store_that_dies_while_it_reads_is_done_without),
        TEST(a_shared_store_that_dies_while_it_merges_gets_it_later),
        TEST(a_slice_that_is_lost_is_handed_in_again),
        TEST(an_empty_server_loses_nothing),
        TEST(another_server_gets_all_that_the_host_knows),
        TEST(a_host_that_begins_to_share_gives_what_it_knows),
        TEST(questions_come_between_the_slices_of_a_handover),
        TEST(the_file_is_looked_after_while_there_is_something_to_hand_over),
        TEST(a_handover_that_was_broken_off_goes_on_or_begins_anew),
        TEST(what_was_forgotten_stays_so_at_another_server),
        TEST(the_shared_store_is_swept_range_by_range_while_nobody_asks),
        TEST(a_question_waits_for_a_range_and_no_longer),
        TEST(a_sweep_that_is_refused_is_told_once_and_costs_nothing_else),
        TEST(the_key_of_the_shared_store_is_taken_over_and_kept),
        TEST(another_key_in_the_middle_of_a_batch_waits_for_its_end),
        TEST(the_shared_store_alone_serves_while_the_file_is_broken),
        TEST(a_file_that_cannot_take_the_shared_key_is_not_used),
        TEST(whoever_left_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
