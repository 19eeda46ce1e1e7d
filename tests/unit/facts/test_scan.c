/*
 * Tests of facts/scan.c: both scanners at work on one message, when all goes well, and when nobody wants to know any
 * more.
 */
#include "scan_stage.h"

static void nothing_is_asked_before_it_is_wanted(void **state) {
    stage_start(1, 1);
    struct scan *scan = stage_scan();

    stage_turns(20);
    assert_int_equal(scan_virus(scan)->state, SCAN_IDLE);
    assert_int_equal(scan_spam(scan)->state, SCAN_IDLE);
    assert_int_equal(clam[0].n_messages + spam[0].n_messages, 0);
    assert_int_equal(n_changes, 0);
    scan_free(scan);
}

static void without_servers_both_are_off(void **state) {
    stage_start(0, 0);
    struct scan *scan = stage_scan();

    stage_want(scan, true, true);
    stage_turns(20);
    assert_int_equal(scan_virus(scan)->state, SCAN_OFF);
    assert_int_equal(scan_spam(scan)->state, SCAN_OFF);
    assert_int_equal(n_changes, 0);
    scan_free(scan);
}

static void both_say_what_they_found(void **state) {
    clam[0].message.says = "stream: Eicar-Test-Signature FOUND";
    stage_start(1, 1);
    stage_text(1000);
    struct scan *scan = stage_scan();

    stage_want(scan, true, true);
    assert_int_equal(scan_virus(scan)->state, SCAN_RUNNING);
    assert_int_equal(scan_spam(scan)->state, SCAN_RUNNING);
    stage_await(2);
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    assert_str(scan_virus(scan)->name, "Eicar-Test-Signature");
    assert_int_equal(scan_spam(scan)->state, SCAN_DONE);
    assert_int_equal(scan_spam(scan)->score, 7500);
    assert_int_equal(scan_spam(scan)->threshold, 5000);
    assert_true(scan_spam(scan)->is_spam);
    assert_str(scan_spam(scan)->symbols, "AAA,BBB");
    stage_want(scan, true, true); /* what has ended stays as it is */
    stage_want(scan, false, false);
    stage_turns(20);
    assert_int_equal(n_changes, 2);
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    assert_string_equal(said, "");
    assert_int_equal(scanners_counters(scanners, SCANNER_CLAMAV)->scanned, 1);
    assert_int_equal(scanners_counters(scanners, SCANNER_CLAMAV)->found, 1);
    assert_int_equal(scanners_counters(scanners, SCANNER_SPAMASSASSIN)->found, 1);
    scan_free(scan);
}

static void a_clean_message_counts_as_scanned_only(void **state) {
    spam[0].message.says = "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: False ; -1.25 / 5.0\r\n\r\n";
    stage_start(1, 1);
    struct scan *scan = stage_scan();

    stage_want(scan, true, true);
    stage_await(2);
    assert_str(scan_virus(scan)->name, "");
    assert_int_equal(scan_spam(scan)->score, -1250);
    assert_false(scan_spam(scan)->is_spam);
    assert_int_equal(scanners_counters(scanners, SCANNER_CLAMAV)->scanned, 1);
    assert_int_equal(scanners_counters(scanners, SCANNER_CLAMAV)->found, 0);
    assert_int_equal(scanners_counters(scanners, SCANNER_SPAMASSASSIN)->found, 0);
    scan_free(scan);
}

/* What a scanner got is our Received and the spool behind it, byte by byte. */
static void assert_whole(const struct fake_scanner *fake) {
    size_t head = text.head.len;

    assert_int_equal(fake->text.len, head + spool_size(&spool));
    assert_memory_equal(fake->text.at, text.head.at, head);
    for (size_t i = 0; i < fake->text.len - head; i++)
        if (fake->text.at[head + i] != (char)('a' + i % 26))
            fail_msg("byte %zu of the text is another", i);
}

static void assert_all_arrives(size_t size) {
    stage_text(size);
    struct scan *scan = stage_scan();
    unsigned before = n_changes;
    char length[64];

    stage_want(scan, true, true);
    stage_await(before + 2);
    assert_whole(&clam[0]);
    assert_whole(&spam[0]);
    snprintf(length, sizeof(length), "User: d.example\r\nContent-length: %zu\r\n\r\n",
             (size_t)spool_size(&spool) + text.head.len);
    assert_non_null(memmem(spam[0].head.at, spam[0].head.len, length, strlen(length)));
    scan_free(scan);
}

static void the_whole_text_arrives_from_memory_and_from_a_file(void **state) {
    conf.set.spamassassin.size_max = 25 << 20;
    stage_start(1, 1);
    assert_all_arrives(1);
    assert_all_arrives(65535 - 1);
    assert_all_arrives(1);
    assert_all_arrives(1);
    assert_all_arrives(200000);
    assert_all_arrives(5000000);
    assert_true(spool.fd >= 0);
}

static void a_message_alone_without_a_head_of_ours_arrives(void **state) {
    text.head = STR("");
    text.user = STR("");
    stage_start(1, 1);
    stage_text(10);
    struct scan *scan = stage_scan();

    stage_want(scan, true, true);
    stage_await(2);
    assert_whole(&clam[0]);
    assert_whole(&spam[0]);
    assert_null(memmem(spam[0].head.at, spam[0].head.len, "User", 4));
    scan_free(scan);
}

static void the_user_is_told_only_where_it_is_configured(void **state) {
    conf.set.spamassassin.user_by_domain = false;
    stage_start(1, 1);
    struct scan *scan = stage_scan();

    stage_want(scan, false, true);
    stage_await(1);
    assert_null(memmem(spam[0].head.at, spam[0].head.len, "User", 4));
    scan_free(scan);
}

static void clamd_gets_a_message_after_another_on_one_connection(void **state) {
    stage_start(1, 0);
    unsigned before = clam[0].n_connections;

    for (unsigned i = 1; i <= 5; i++) {
        struct scan *scan = stage_scan();
        struct scanner_server_stats stats;

        stage_want(scan, true, false);
        stage_await(i);
        assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
        scan_free(scan);
        scanners_server_stats(scanners, SCANNER_CLAMAV, 0, &stats);
        assert_int_equal(stats.connections, 1);
        assert_int_equal(stats.idle, 1);
        assert_int_equal(stats.scanned, i);
    }
    assert_int_equal(clam[0].n_connections, before + 1);
    stage_advance(29000);
    assert_int_equal(clam[0].n_open, 1);
    stage_advance(2000); /* idle for long enough */
    assert_int_equal(clam[0].n_open, 0);
    assert_string_equal(said, "");
}

static void a_limited_number_of_connections_is_shared(void **state) {
    enum { N = 7 };
    struct scan *scans[N];

    clam[0].message.act = FAKE_SILENT;
    stage_start(1, 0);
    for (int i = 0; i < N; i++)
        stage_want(scans[i] = stage_scan(), true, false);
    stage_turns(50);
    assert_int_equal(clam[0].n_open, 2);
    assert_int_equal(clam[0].n_messages, 2);
    clam[0].message.act = FAKE_SAYS;
    scan_free(scans[0]); /* its place is the next one's */
    stage_await(N - 2);
    assert_true(clam[0].n_open <= 2);
    assert_int_equal(scan_virus(scans[1])->state, SCAN_RUNNING);
    for (int i = 1; i < N; i++)
        scan_free(scans[i]);
}

static void what_is_too_large_is_skipped_without_asking(void **state) {
    conf.set.clamav.size_max = text.head.len + 1000;
    conf.set.spamassassin.size_max = text.head.len + 999;
    stage_start(1, 1);
    stage_text(1000);
    struct scan *scan = stage_scan();

    stage_want(scan, true, true);
    stage_await(2);
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    assert_int_equal(scan_spam(scan)->state, SCAN_SKIPPED);
    assert_str(scan_spam(scan)->why, "larger than is scanned");
    assert_int_equal(spam[0].n_messages, 0);
    assert_int_equal(scanners_counters(scanners, SCANNER_SPAMASSASSIN)->skipped, 1);
    assert_string_equal(said, "id skipped by spamassassin: larger than is scanned\n");
    scan_free(scan);
}

static void what_is_not_wanted_any_more_is_cancelled_and_can_be_wanted_again(void **state) {
    clam[0].message.act = spam[0].message.act = FAKE_SILENT;
    stage_start(1, 1);
    struct scan *scan = stage_scan();

    stage_want(scan, true, true);
    STAGE_AWAIT(clam[0].n_messages == 1 && spam[0].n_messages == 1);
    stage_want(scan, true, false);
    assert_int_equal(scan_spam(scan)->state, SCAN_IDLE);
    assert_int_equal(scan_virus(scan)->state, SCAN_RUNNING);
    stage_turns(20);
    assert_int_equal(spam[0].n_open, 0);
    assert_int_equal(clam[0].n_open, 1);
    spam[0].message.act = FAKE_SAYS;
    stage_want(scan, false, true);
    stage_await(1);
    assert_int_equal(scan_spam(scan)->state, SCAN_DONE);
    assert_int_equal(scan_virus(scan)->state, SCAN_IDLE);
    assert_int_equal(clam[0].n_open, 0);
    assert_string_equal(said, "");
    scan_free(scan);
}

/* At each moment of a scan: nothing comes after, and nothing is left. */
static void a_scan_can_be_freed_at_any_moment(void **state) {
    conf.set.spamassassin.size_max = 25 << 20;
    clam[0].message.act = FAKE_SAYS_BYTES;
    spam[0].message.act = FAKE_SAYS_BYTES;
    stage_start(1, 1);
    stage_text(700000);
    for (int moment = 0; moment < 200; moment++) {
        struct scan *scan = stage_scan();

        stage_want(scan, true, true);
        stage_turns(moment);
        is_inside = true;
        scan_free(scan);
        is_inside = false;
        unsigned before = n_changes;
        stage_turns(10);
        assert_int_equal(n_changes, before);
    }
    stage_turns(100);
    struct scan *scan = stage_scan();
    unsigned before = n_changes;
    stage_want(scan, true, true);
    stage_await(before + 2);
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    assert_int_equal(scan_spam(scan)->state, SCAN_DONE);
    assert_string_equal(said, "");
    scan_free(scan);
}

static struct scan *own, *other;

static void free_both(void *arg) {
    n_changes++;
    scan_free(own);
    scan_free(other);
    own = other = NULL;
    (void)arg;
}

static void a_scan_can_be_freed_inside_its_callback_and_others_too(void **state) {
    stage_start(1, 1);
    own = scan_new(scanners, &text, now_ms + 180000, free_both, NULL);
    other = scan_new(scanners, &text, now_ms + 180000, free_both, NULL);
    stage_want(own, true, true);
    stage_want(other, true, true);
    stage_await(1);
    stage_turns(50);
    assert_int_equal(n_changes, 1);
}

static void the_deadline_ends_a_scan(void **state) {
    clam[0].message.act = FAKE_SILENT;
    stage_start(1, 0);
    struct scan *scan = scan_new(scanners, &text, now_ms + 1500, on_stage_change, NULL);

    stage_want(scan, true, false);
    STAGE_AWAIT(clam[0].n_messages == 1);
    stage_advance(1499);
    assert_int_equal(n_changes, 0);
    stage_advance(1);
    assert_int_equal(n_changes, 1);
    assert_int_equal(scan_virus(scan)->state, SCAN_UNAVAILABLE);
    assert_str(scan_virus(scan)->why, "no answer in time");
    scan_free(scan);
}

static void symbols_are_bounded_and_clean(void **state) {
    char answer[4000], names[3000] = "";

    for (int i = 0; i < 200; i++)
        strcat(names, "SYMBOL\x01\xC3_A,");
    strcat(names, "\r\n END");
    snprintf(answer, sizeof(answer), "SPAMD/1.1 0 EX_OK\r\nContent-length: %zu\r\nSpam: True ; 5 / 5\r\n\r\n%s",
             strlen(names), names);
    spam[0].message.says = answer;
    stage_start(0, 1);
    struct scan *scan = stage_scan();

    stage_want(scan, false, true);
    stage_await(1);
    struct str symbols = scan_spam(scan)->symbols;
    assert_true(symbols.len > SCAN_SYMBOLS_MAX - 12 && symbols.len <= SCAN_SYMBOLS_MAX);
    assert_true(str_ends_nocase(symbols, STR("SYMBOL??_A")));
    assert_int_equal(symbols.len % strlen("SYMBOL??_A,"), strlen("SYMBOL??_A"));
    scan_free(scan);
}

static void the_name_of_a_virus_is_bounded_and_clean(void **state) {
    char answer[1000] = "stream: a: b\r\n\x1b\xC3 FOUND ";

    memset(answer + strlen(answer), 'n', 600);
    strcat(answer, " FOUND");
    clam[0].message.says = answer;
    stage_start(1, 0);
    struct scan *scan = stage_scan();

    stage_want(scan, true, false);
    stage_await(1);
    struct str name = scan_virus(scan)->name;
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    assert_true(str_eq(str_head(name, 15), STR("a:b??FOUNDnnnnn")));
    assert_true(name.len <= SCAN_NAME_MAX);
    scan_free(scan);
}

/* No name is what a clean message has. */
static void a_virus_without_a_name_that_can_be_shown_is_one(void **state) {
    static char comma[300];
    static const char *const answers[] = { "stream:  \t\r\n FOUND", "stream:   FOUND", comma };

    snprintf(comma, sizeof(comma), "stream: ,%0200d FOUND", 0);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        clam[0].message.says = answers[i];
        stage_start(1, 0);
        struct scan *scan = stage_scan();
        stage_want(scan, true, false);
        stage_await(1);
        assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
        assert_str(scan_virus(scan)->name, "unnamed");
        scan_free(scan);
        stage_teardown(state);
        stage_setup(state);
    }
}

#define TEST(name, function) { name, function, stage_setup, stage_teardown, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST("the name of a virus is bounded and clean", the_name_of_a_virus_is_bounded_and_clean),
        TEST("a virus without a name that can be shown is one", a_virus_without_a_name_that_can_be_shown_is_one),
        TEST("nothing is asked before it is wanted", nothing_is_asked_before_it_is_wanted),
        TEST("without servers both scanners are off", without_servers_both_are_off),
        TEST("both say what they found, each once", both_say_what_they_found),
        TEST("a clean message is counted as scanned only", a_clean_message_counts_as_scanned_only),
        TEST("the whole text arrives, from memory and from a file", the_whole_text_arrives_from_memory_and_from_a_file),
        TEST("a text without a head of ours arrives, and no user", a_message_alone_without_a_head_of_ours_arrives),
        TEST("the user is told only where it is configured", the_user_is_told_only_where_it_is_configured),
        TEST("clamd gets one message after another on one connection, closed when idle",
             clamd_gets_a_message_after_another_on_one_connection),
        TEST("no more connections are open than may be, and all get their turn",
             a_limited_number_of_connections_is_shared),
        TEST("a message at the size limit is scanned and one byte more is skipped",
             what_is_too_large_is_skipped_without_asking),
        TEST("what is not wanted any more is cancelled, and can be wanted again",
             what_is_not_wanted_any_more_is_cancelled_and_can_be_wanted_again),
        TEST("a scan can be freed at any moment", a_scan_can_be_freed_at_any_moment),
        TEST("a scan can be freed inside its callback, others too",
             a_scan_can_be_freed_inside_its_callback_and_others_too),
        TEST("the deadline ends a scan", the_deadline_ends_a_scan),
        TEST("symbols are bounded, whole and clean", symbols_are_bounded_and_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
