/* The model of greylisting: the life of a triplet, with a clock that the test moves and a table in memory. */
#include "store/greylist_question.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, ROWS_MAX = 2048 };

static const uint8_t hash_key[GREYLIST_KEY_SIZE] = "0123456789abcde";

static const struct greylist_settings defaults = {
    .delay = 5 * MINUTE, .unpassed_life = 2 * DAY, .passed_life = 36 * DAY, .whitelist_after = 5,
    .whitelist_life = 36 * DAY,
};

struct world { /* a store in memory */
    struct row rows[ROWS_MAX];
    size_t n;
    int64_t now;
    struct greylist_settings settings;
    bool is_crowded;
    struct greylist_answer answer; /* the last one */
    struct greylist_changes changes;
};

static int set_up(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    w->now = 1700000000;
    w->settings = defaults;
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    free(*state);
    return 0;
}

static struct row *find(struct world *w, int64_t key) {
    for (size_t i = 0; i < w->n; i++)
        if (w->rows[i].key == key)
            return &w->rows[i];
    return NULL;
}

static void merge_changes(struct world *w) {
    for (size_t i = 0; i < w->changes.n; i++) {
        struct row *old = find(w, w->changes.rows[i].key);
        if (old == NULL) {
            assert_true(w->n < ROWS_MAX);
            w->rows[w->n++] = w->changes.rows[i];
        } else {
            *old = row_merge(old, &w->changes.rows[i], w->now);
        }
    }
}

static void read_rows(struct world *w, const struct greylist_question *question, struct greylist_rows *rows) {
    char network[GREYLIST_NETWORK_MAX];
    greylist_keys(question, greylist_question_network(question, false, network), hash_key, rows);
    rows->is_crowded = w->is_crowded;
    for (size_t i = 0; i < GREYLIST_KEYS_MAX; i++) {
        const struct row *row = rows->at[i].key != 0 ? find(w, rows->at[i].key) : NULL;
        rows->has[i] = row != NULL;
        if (row != NULL)
            rows->at[i] = *row;
    }
}

/* "org:example.com,ip:192.0.2.1" */
static struct greylist_question question_of(struct world *w, const char *who, const char *sender, const char *rcpt) {
    struct greylist_question question = { .sender = str_of(sender), .recipient = str_of(rcpt),
                                          .is_null_sender = sender[0] == '\0' };
    struct str rest = str_of(who);
    while (rest.len > 0) {
        size_t comma = str_find(rest, ',');
        question.identities[question.n_identities++] = str_head(rest, comma);
        rest = str_from(rest, comma + 1);
    }
    return question;
}

static unsigned ask_question(struct world *w, const struct greylist_question *question) {
    struct greylist_rows rows;
    read_rows(w, question, &rows);
    greylist_ask(&w->settings, question, &rows, w->now, &w->answer, &w->changes);
    merge_changes(w);
    return w->answer.status;
}

static unsigned ask(struct world *w, const char *who, const char *sender, const char *rcpt) {
    struct greylist_question question = question_of(w, who, sender, rcpt);
    return ask_question(w, &question);
}

static void credit(struct world *w, const char *who, const char *sender, const char *rcpt) {
    struct greylist_question question = question_of(w, who, sender, rcpt);
    struct greylist_rows rows;
    read_rows(w, &question, &rows);
    greylist_credit(&w->settings, &question, &rows, w->now, &w->changes);
    merge_changes(w);
}

/* A new triplet, its retry, and mail that ended well; an hour passes. Returns the status of the retry. */
static unsigned deliver(struct world *w, const char *who, const char *sender, const char *rcpt) {
    assert_int_equal(ask(w, who, sender, rcpt), GREYLIST_NEW);
    w->now += 6 * MINUTE;
    unsigned status = ask(w, who, sender, rcpt);
    credit(w, who, sender, rcpt);
    w->now += HOUR;
    return status;
}

#define HOST "ip:192.0.2.1"

/* ---- the life of a triplet */

static void test_a_triplet_waits_passes_is_cached_and_dies(void **state) {
    struct world *w = *state;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_NEW);
    assert_int_equal(w->answer.seconds_left, 300);
    w->now += 299;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_EARLY);
    assert_int_equal(w->answer.seconds_left, 1);
    assert_int_equal(w->changes.n, 0);
    w->now += 1;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(w->answer.waited, 300);
    w->now += 1;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_CACHED);
    assert_int_equal(w->changes.n, 0); /* refreshed at most once an hour */
    w->now += 36 * DAY - 2;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_CACHED);
    assert_true(w->changes.n > 0 && w->changes.is_refresh);
    w->now += 36 * DAY - 1;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_CACHED);
    w->now += 36 * DAY;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_NEW);
}

static void test_an_unpassed_triplet_dies_by_its_first_attempt(void **state) {
    struct world *w = *state;
    w->settings.delay = 3 * DAY;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_NEW);
    w->now += DAY;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_EARLY);
    w->now += DAY - 1;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_EARLY);
    w->now += 1;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_NEW);
}

static void test_sender_and_recipient_make_a_triplet(void **state) {
    struct world *w = *state;
    ask(w, HOST, "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, HOST, "a@b", "x@d"), GREYLIST_NEW);
    assert_int_equal(ask(w, HOST, "x@b", "c@d"), GREYLIST_NEW);
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(ask(w, HOST, "a@bc", "@d"), GREYLIST_NEW); /* no two triplets share a key by being run together */
}

static void test_reading_changes_nothing(void **state) {
    struct world *w = *state;
    struct greylist_question question = question_of(w, HOST, "a@b", "c@d");
    question.is_read_only = true;
    assert_int_equal(ask_question(w, &question), GREYLIST_NEW);
    w->now += HOUR;
    assert_int_equal(ask_question(w, &question), GREYLIST_NEW);
    assert_int_equal(w->n, 0);
}

static void test_a_clock_that_is_ahead_delays_nobody_longer(void **state) {
    struct world *w = *state;
    int64_t here = w->now;
    w->now += 10 * MINUTE; /* another host's clock */
    ask(w, HOST, "a@b", "c@d");
    w->now = here + 1;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_EARLY);
    assert_int_equal(w->answer.seconds_left, 300);
    w->now += 300;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_RETRY);
}

/* ---- who */

static void test_two_bots_of_one_access_provider_never_vouch_for_each_other(void **state) {
    struct world *w = *state;
    ask(w, "ip:192.0.2.1", "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, "ip:192.0.2.2", "a@b", "c@d"), GREYLIST_NEW);
    assert_int_equal(ask(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(ask(w, "ip:192.0.2.3", "a@b", "c@d"), GREYLIST_NEW);
}

static void test_a_pool_with_one_organisation_counts_as_one(void **state) {
    struct world *w = *state;
    ask(w, "org:example.com,net:192.0.2.0/24,ip:192.0.2.1", "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, "org:example.com,net:198.51.100.0/24,ip:198.51.100.1", "a@b", "c@d"), GREYLIST_RETRY);
}

static void test_a_known_sender_whose_name_comes_or_goes_does_not_wait_again(void **state) {
    struct world *w = *state;
    const char *named = "org:example.com,ip:192.0.2.1";
    ask(w, named, "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, named, "a@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(ask(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_CACHED); /* its PTR timed out */
    assert_int_equal(ask(w, "net:192.0.2.0/24,ip:192.0.2.1", "a@b", "c@d"), GREYLIST_CACHED);
    assert_int_equal(ask(w, "net:192.0.2.0/24,ip:192.0.2.9", "a@b", "c@d"), GREYLIST_CACHED); /* it was written there */
}

static void test_a_first_attempt_counts_under_any_identity(void **state) {
    struct world *w = *state;
    ask(w, "ip:192.0.2.1", "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, "org:example.com,ip:192.0.2.1", "a@b", "c@d"), GREYLIST_RETRY);
}

static void test_an_identity_that_is_looked_up_lets_known_senders_pass_and_is_not_written(void **state) {
    struct world *w = *state;
    ask(w, "net:192.0.2.0/24,ip:192.0.2.1", "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, "net:192.0.2.0/24,ip:192.0.2.1", "a@b", "c@d"), GREYLIST_RETRY);
    struct greylist_question away = question_of(w, "net:192.0.2.0/24,ip:192.0.2.7", "a@b", "c@d"); /* PTR unavailable */
    away.n_looked_up = 1;
    assert_int_equal(ask_question(w, &away), GREYLIST_CACHED);
    assert_int_equal(ask(w, "ip:192.0.2.7", "a@b", "c@d"), GREYLIST_CACHED);
    away.sender = STR("x@b");
    assert_int_equal(ask_question(w, &away), GREYLIST_NEW);
    w->now += HOUR;
    assert_int_equal(ask_question(w, &away), GREYLIST_RETRY);
    assert_int_equal(ask(w, "net:192.0.2.0/24,ip:192.0.2.8", "x@b", "c@d"), GREYLIST_NEW);
}

/* ---- the automatic whitelist */

static void test_the_fifth_triplet_that_ended_well_whitelists(void **state) {
    struct world *w = *state;
    assert_int_equal(deliver(w, HOST, "1@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(deliver(w, HOST, "2@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(deliver(w, HOST, "3@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(deliver(w, HOST, "4@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(deliver(w, HOST, "5@b", "c@d"), GREYLIST_AUTOWHITELIST);
    assert_int_equal(ask(w, HOST, "6@b", "c@d"), GREYLIST_WHITELISTED);
    w->now += 35 * DAY;
    assert_int_equal(ask(w, HOST, "7@b", "c@d"), GREYLIST_WHITELISTED);
    assert_true(w->changes.is_refresh);
    w->now += 36 * DAY;
    assert_int_equal(ask(w, HOST, "8@b", "c@d"), GREYLIST_NEW);
}

static void test_the_whitelist_is_entered_at_the_end_and_not_before(void **state) {
    struct world *w = *state;
    w->settings.whitelist_after = 1;
    ask(w, HOST, "a@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_AUTOWHITELIST);
    assert_true(w->answer.may_count);
    assert_int_equal(ask(w, HOST, "x@b", "c@d"), GREYLIST_NEW); /* a later layer refused it: no credit() */
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_CACHED);
    assert_true(w->answer.may_count); /* it may still come to a good end */
    credit(w, HOST, "a@b", "c@d");
    assert_int_equal(ask(w, HOST, "y@b", "c@d"), GREYLIST_WHITELISTED);
    assert_false(w->answer.may_count);
}

static void test_an_identity_is_counted_at_most_once_an_hour(void **state) {
    struct world *w = *state;
    w->settings.whitelist_after = 2;
    ask(w, HOST, "1@b", "c@d");
    ask(w, HOST, "2@b", "c@d");
    w->now += HOUR;
    assert_int_equal(ask(w, HOST, "1@b", "c@d"), GREYLIST_RETRY);
    credit(w, HOST, "1@b", "c@d");
    assert_int_equal(ask(w, HOST, "2@b", "c@d"), GREYLIST_RETRY);
    assert_false(w->answer.may_count);
    credit(w, HOST, "2@b", "c@d");
    assert_int_equal(ask(w, HOST, "3@b", "c@d"), GREYLIST_NEW);
    w->now += HOUR;
    assert_int_equal(ask(w, HOST, "2@b", "c@d"), GREYLIST_CACHED); /* not counted so far, so it can be now */
    assert_true(w->answer.may_count);
    credit(w, HOST, "2@b", "c@d");
    assert_int_equal(ask(w, HOST, "4@b", "c@d"), GREYLIST_WHITELISTED);
}

static void test_a_triplet_is_counted_once(void **state) {
    struct world *w = *state;
    deliver(w, HOST, "1@b", "c@d");
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(ask(w, HOST, "1@b", "c@d"), GREYLIST_CACHED);
        assert_false(w->answer.may_count);
        credit(w, HOST, "1@b", "c@d");
        w->now += DAY;
    }
    assert_int_equal(ask(w, HOST, "2@b", "c@d"), GREYLIST_NEW);
}

static void test_the_null_sender_earns_nothing_and_may_profit(void **state) {
    struct world *w = *state;
    w->settings.whitelist_after = 1;
    assert_int_equal(deliver(w, HOST, "", "c@d"), GREYLIST_RETRY);
    assert_false(w->answer.may_count);
    assert_int_equal(ask(w, HOST, "", "x@d"), GREYLIST_NEW);
    deliver(w, HOST, "1@b", "c@d");
    assert_int_equal(ask(w, HOST, "", "y@d"), GREYLIST_WHITELISTED);
}

static void test_a_threshold_of_zero_never_whitelists(void **state) {
    struct world *w = *state;
    w->settings.whitelist_after = 0;
    for (unsigned i = 0; i < 8; i++) {
        char sender[] = { (char)('a' + i), '@', 'b', '\0' };
        assert_int_equal(deliver(w, HOST, sender, "c@d"), GREYLIST_RETRY);
    }
    assert_false(w->answer.may_count);
}

static void test_organisation_and_address_are_both_counted(void **state) {
    struct world *w = *state;
    w->settings.whitelist_after = 1;
    deliver(w, "org:example.com,ip:192.0.2.1", "a@b", "c@d");
    assert_int_equal(ask(w, "org:example.com,ip:198.51.100.1", "x@b", "c@d"), GREYLIST_WHITELISTED);
    assert_int_equal(ask(w, "ip:192.0.2.1", "y@b", "c@d"), GREYLIST_WHITELISTED);
    assert_int_equal(ask(w, "ip:192.0.2.2", "y@b", "c@d"), GREYLIST_NEW);
}

/* ---- forgotten */

static void test_a_forgotten_triplet_begins_anew_in_the_same_second(void **state) {
    struct world *w = *state;
    deliver(w, HOST, "a@b", "c@d");
    for (size_t i = 0; i < w->n; i++)
        w->rows[i] = row_merge(&w->rows[i], &(struct row){ .key = w->rows[i].key, .forgot = w->now }, w->now);
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_NEW);
    w->now += 301;
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(ask(w, HOST, "a@b", "c@d"), GREYLIST_CACHED);
}

/* ---- bounds */

static void test_a_forgotten_client_is_so_with_all_it_has_passed(void **state) {
    struct world *w = *state;
    struct str identity = STR("ip:192.0.2.1");
    assert_int_equal(deliver(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_RETRY);
    assert_int_equal(deliver(w, "ip:192.0.2.2", "a@b", "c@d"), GREYLIST_RETRY);
    struct row *row = find(w, greylist_identity_key(hash_key, identity));
    *row = row_merge(row, &(struct row){ .key = row->key, .forgot = w->now }, w->now);
    assert_int_equal(ask(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_NEW);
    assert_int_equal(ask(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_EARLY);
    assert_int_equal(ask(w, "ip:192.0.2.2", "a@b", "c@d"), GREYLIST_CACHED); /* nobody else is */
    w->now += 6 * MINUTE;
    assert_int_equal(ask(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_RETRY);
    assert_in_range(w->answer.waited, 5 * MINUTE, 6 * MINUTE);
    assert_int_equal(ask(w, "ip:192.0.2.1", "a@b", "c@d"), GREYLIST_CACHED);
}

static void test_a_question_without_identity_is_new_and_writes_nothing(void **state) {
    struct world *w = *state;
    assert_int_equal(ask(w, "", "a@b", "c@d"), GREYLIST_NEW);
    assert_int_equal(w->n, 0);
}

static void test_the_longest_texts_make_a_key(void **state) {
    struct world *w = *state;
    char text[GREYLIST_TEXT_MAX + 2];
    memset(text, 'x', sizeof(text));
    text[GREYLIST_TEXT_MAX] = '\0';
    assert_int_equal(ask(w, text, text, text), GREYLIST_NEW);
    w->now += HOUR;
    assert_int_equal(ask(w, text, text, text), GREYLIST_RETRY);
}

/* ---- a crowded network */

static size_t rows_of_a_flood(struct world *w, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        char sender[32];
        snprintf(sender, sizeof(sender), "s%u@example.net", i);
        ask(w, HOST, sender, "bert@example.com");
    }
    return w->n;
}

static void test_in_a_crowded_network_no_attempt_adds_more_rows_than_there_are_groups(void **state) {
    struct world *w = *state;
    w->is_crowded = true;
    assert_true(rows_of_a_flood(w, 5000) <= GREYLIST_GROUPS);
    assert_true(w->changes.is_grouped);
    assert_false(w->changes.is_new);
}

static void test_in_a_crowded_network_who_comes_back_passes_whatever_came_between(void **state) {
    struct world *w = *state;
    w->is_crowded = true;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_NEW);
    rows_of_a_flood(w, 3000);
    w->now += 6 * MINUTE;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_RETRY);
    assert_int_equal(w->answer.waited, 6 * MINUTE);
    assert_false(w->answer.may_count);
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_CACHED);
}

static void test_a_crowded_network_waits_like_others(void **state) {
    struct world *w = *state;
    w->is_crowded = true;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_NEW);
    w->now += MINUTE;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_EARLY);
    assert_int_equal(w->answer.seconds_left, 4 * MINUTE);
}

static void test_who_waited_before_the_network_was_crowded_passes_by_its_own_row(void **state) {
    struct world *w = *state;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_NEW);
    assert_true(w->changes.is_new);
    w->is_crowded = true;
    w->now += 6 * MINUTE;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_RETRY);
    assert_true(w->answer.may_count);
    assert_false(w->changes.is_grouped);
}

static void test_what_passed_by_a_shared_row_gets_its_own_when_there_is_room_and_earns_nothing(void **state) {
    struct world *w = *state;
    w->is_crowded = true;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_NEW);
    w->now += 6 * MINUTE;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_RETRY);
    w->is_crowded = false;
    w->now += HOUR;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_CACHED);
    assert_true(w->changes.is_new);
    w->now += 10 * DAY; /* the shared row is over */
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_CACHED);
    credit(w, HOST, "anna@example.net", "bert@example.com");
    assert_int_equal(w->changes.n, 0);
}

static void test_a_shared_row_does_not_outlive_the_crowd_by_being_used(void **state) {
    struct world *w = *state;
    w->is_crowded = true;
    ask(w, HOST, "anna@example.net", "bert@example.com");
    w->now += 6 * MINUTE;
    ask(w, HOST, "anna@example.net", "bert@example.com");
    w->is_crowded = false;
    struct greylist_question q = question_of(w, HOST, "anna@example.net", "bert@example.com");
    struct greylist_rows rows;
    read_rows(w, &q, &rows);
    int64_t expires = rows.at[GREYLIST_GROUP].expires;
    w->now += DAY;
    ask(w, HOST, "anna@example.net", "bert@example.com");
    read_rows(w, &q, &rows);
    assert_int_equal(rows.at[GREYLIST_GROUP].expires, expires);
}

static void test_who_was_forgotten_is_not_known_by_a_shared_row(void **state) {
    struct world *w = *state;
    w->is_crowded = true;
    ask(w, HOST, "anna@example.net", "bert@example.com");
    w->now += 6 * MINUTE;
    w->rows[w->n++] = (struct row){ .key = greylist_identity_key(hash_key, STR(HOST)), .forgot = w->now };
    w->now++;
    assert_int_equal(ask(w, HOST, "anna@example.net", "bert@example.com"), GREYLIST_NEW);
}

/* It has to ask, to wait, and to ask again for every triplet; a credit alone, or a second one, does nothing. */
static void test_a_credit_for_what_was_never_asked_or_has_not_passed_does_nothing(void **state) {
    struct world *w = *state;
    for (unsigned i = 0; i < 100; i++)
        credit(w, HOST, "anna@example.net", "bert@example.com");
    assert_int_equal(w->n, 0);
    ask(w, HOST, "anna@example.net", "bert@example.com");
    credit(w, HOST, "anna@example.net", "bert@example.com");
    assert_int_equal(w->n, 1);
    assert_int_equal(w->changes.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(test_a_triplet_waits_passes_is_cached_and_dies),
        TEST(test_an_unpassed_triplet_dies_by_its_first_attempt),
        TEST(test_sender_and_recipient_make_a_triplet),
        TEST(test_reading_changes_nothing),
        TEST(test_a_clock_that_is_ahead_delays_nobody_longer),
        TEST(test_two_bots_of_one_access_provider_never_vouch_for_each_other),
        TEST(test_a_pool_with_one_organisation_counts_as_one),
        TEST(test_a_known_sender_whose_name_comes_or_goes_does_not_wait_again),
        TEST(test_a_first_attempt_counts_under_any_identity),
        TEST(test_an_identity_that_is_looked_up_lets_known_senders_pass_and_is_not_written),
        TEST(test_the_fifth_triplet_that_ended_well_whitelists),
        TEST(test_the_whitelist_is_entered_at_the_end_and_not_before),
        TEST(test_an_identity_is_counted_at_most_once_an_hour),
        TEST(test_a_triplet_is_counted_once),
        TEST(test_the_null_sender_earns_nothing_and_may_profit),
        TEST(test_a_threshold_of_zero_never_whitelists),
        TEST(test_organisation_and_address_are_both_counted),
        TEST(test_a_forgotten_triplet_begins_anew_in_the_same_second),
        TEST(test_a_forgotten_client_is_so_with_all_it_has_passed),
        TEST(test_a_question_without_identity_is_new_and_writes_nothing),
        TEST(test_the_longest_texts_make_a_key),
        TEST(test_in_a_crowded_network_no_attempt_adds_more_rows_than_there_are_groups),
        TEST(test_in_a_crowded_network_who_comes_back_passes_whatever_came_between),
        TEST(test_a_crowded_network_waits_like_others),
        TEST(test_who_waited_before_the_network_was_crowded_passes_by_its_own_row),
        TEST(test_what_passed_by_a_shared_row_gets_its_own_when_there_is_room_and_earns_nothing),
        TEST(test_a_shared_row_does_not_outlive_the_crowd_by_being_used),
        TEST(test_who_was_forgotten_is_not_known_by_a_shared_row),
        TEST(test_a_credit_for_what_was_never_asked_or_has_not_passed_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
