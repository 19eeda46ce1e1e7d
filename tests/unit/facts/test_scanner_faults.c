/*
 * Tests of facts/scanner_servers.c and scanner_conn.c: scanners that are absent, slow, dying, lying, or talk nonsense.
 *
 * What one scanner does to a message is tried with both kinds. A server that passes its trial is not to blame, so the
 * message is skipped; one that does not is down.
 */
#include "scan_stage.h"

/* How a scanner can fail on a message. */
static const struct fault {
    const char *name;
    struct fake_play clamd, spamd;
    const char *says; /* what is told of it */
} faults[] = {
    { "says that it failed", { FAKE_SAYS, "stream: Can't open file ERROR" },
      { FAKE_SAYS, "SPAMD/1.0 75 EX_TEMPFAIL\r\n" }, "says: " },
    { "says nonsense", { FAKE_SAYS, "stream: maybe" }, { FAKE_SAYS, "220 mail.example\r\n" },
      "its answer is nonsense" },
    { "answers another question", { FAKE_SAYS, "!99: stream: OK" }, { FAKE_SAYS, "SPAMD/1.5 0 PONG\r\n" },
      "its answer is nonsense" },
    { "says half an answer", { FAKE_SAYS_HALF, "stream: OK" }, { FAKE_SAYS_HALF, SPAM_ANSWER },
      "closed the connection" },
    { "closes instead", { FAKE_CLOSES, "" }, { FAKE_CLOSES, "" }, "closed the connection" },
    { "closes in the middle", { FAKE_CLOSES_EARLY, "" }, { FAKE_CLOSES_EARLY, "" }, "" },
    { "answers without an end", { FAKE_ENDLESS, "" }, { FAKE_ENDLESS, "" }, "" },
    { "passes judgement before it has all", { FAKE_SAYS_EARLY, "stream: OK" }, { FAKE_SAYS_EARLY, SPAM_ANSWER },
      "its answer is nonsense" },
    { "says nothing", { FAKE_SILENT, "" }, { FAKE_SILENT, "" }, "no answer in time" },
    { "stops reading", { FAKE_DEAF, "" }, { FAKE_DEAF, "" }, "no answer in time" },
};

enum { N_FAULTS = sizeof(faults) / sizeof(faults[0]) };

struct side { /* one of the scanners, so that a test can be about either */
    enum scanner scanner;
    struct fake_scanner *fakes;
};

static const struct side sides[] = { { SCANNER_CLAMAV, clam }, { SCANNER_SPAMASSASSIN, spam } };

static void start(const struct side *side, unsigned n) {
    bool is_clamd = side->scanner == SCANNER_CLAMAV;

    conf.set.spamassassin.size_max = 25 << 20;
    stage_start(is_clamd ? n : 0, is_clamd ? 0 : n);
}

/* A new test within a test. */
static void again(void) {
    stage_teardown(NULL);
    stage_setup(NULL);
}

static enum scan_state state_of(const struct side *side, const struct scan *scan) {
    return side->scanner == SCANNER_CLAMAV ? scan_virus(scan)->state : scan_spam(scan)->state;
}

static const struct fake_play *play_of(const struct side *side, const struct fault *fault) {
    return side->scanner == SCANNER_CLAMAV ? &fault->clamd : &fault->spamd;
}

static struct scan *ask(const struct side *side) {
    struct scan *scan = stage_scan();

    stage_want(scan, side->scanner == SCANNER_CLAMAV, side->scanner == SCANNER_SPAMASSASSIN);
    return scan;
}

/* Lets the scan come to its end, by its time-out if nothing else ends it. */
static void finish(unsigned changes) {
    stage_turns(300);
    if (n_changes < changes)
        stage_advance(60000);
    stage_await(changes);
}

static void expect(const struct side *side, enum scan_state state) {
    unsigned before = n_changes;
    struct scan *scan = ask(side);

    finish(before + 1);
    assert_int_equal(state_of(side, scan), state);
    scan_free(scan);
    stage_turns(20);
}

static bool is_down(const struct side *side, size_t server) {
    struct scanner_server_stats stats;

    scanners_server_stats(scanners, side->scanner, server, &stats);
    return stats.is_down;
}

static void a_message_that_a_scanner_fails_on_is_skipped(void **state) {
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < N_FAULTS; i++) {
            struct fake_scanner *fake = &sides[s].fakes[0];

            start(&sides[s], 1);
            stage_text(2000000);
            struct fake_play well = fake->message;
            unsigned trials = fake->n_trials;
            fake->message = *play_of(&sides[s], &faults[i]);
            expect(&sides[s], SCAN_SKIPPED);
            assert_int_equal(fake->n_trials, trials + 1);
            assert_false(is_down(&sides[s], 0));
            assert_said("id skipped by ");
            assert_said(faults[i].says);
            assert_null(strstr(said, "down"));
            assert_int_equal(scanners_counters(scanners, sides[s].scanner)->skipped, 1);
            fake->message = well;
            expect(&sides[s], SCAN_DONE);
            again();
        }
}

static void a_scanner_that_fails_on_everything_is_down(void **state) {
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < N_FAULTS; i++) {
            struct fake_scanner *fake = &sides[s].fakes[0];

            start(&sides[s], 1);
            stage_text(2000000);
            fake->message = *play_of(&sides[s], &faults[i]);
            fake->trial = (struct fake_play){ FAKE_SILENT, "" };
            struct scan *scan = ask(&sides[s]);
            stage_turns(300);
            if (faults[i].clamd.act == FAKE_SILENT || faults[i].clamd.act == FAKE_DEAF)
                stage_advance(60000);
            assert_int_equal(n_changes, 0);
            stage_advance(4999);
            assert_int_equal(n_changes, 0);
            stage_advance(1);
            assert_int_equal(n_changes, 1);
            assert_int_equal(state_of(&sides[s], scan), SCAN_UNAVAILABLE);
            assert_true(is_down(&sides[s], 0));
            assert_said("0 down: does not answer\n");
            assert_said("id missed by ");
            scan_free(scan);
            unsigned messages = fake->n_messages;
            expect(&sides[s], SCAN_UNAVAILABLE); /* without asking */
            assert_int_equal(fake->n_messages, messages);
            assert_int_equal(scanners_counters(scanners, sides[s].scanner)->unavailable, 2);
            again();
        }
}

static void a_trial_needs_more_than_an_answer(void **state) {
    static const struct fake_play clamd[] = {
        { FAKE_SAYS, "stream: Everything FOUND" }, { FAKE_SAYS, "stream: No space left ERROR" }, { FAKE_CLOSES, "" },
        { FAKE_SAYS, "PONG" }, { FAKE_SAYS_EARLY, "stream: OK" }, { FAKE_ENDLESS, "" },
    };
    static const struct fake_play spamd[] = {
        { FAKE_SAYS, SPAM_ANSWER }, { FAKE_SAYS, "SPAMD/1.0 69 Service Unavailable\r\n" }, { FAKE_CLOSES, "" },
        { FAKE_SAYS, "PONG\r\n" }, { FAKE_SAYS_HALF, "SPAMD/1.5 0 PONG\r\n" }, { FAKE_ENDLESS, "" },
    };

    for (unsigned i = 0; i < sizeof(clamd) / sizeof(clamd[0]); i++) {
        clam[0].trial = clamd[i];
        spam[0].trial = spamd[i];
        stage_start(1, 1);
        stage_turns(300);
        /* what the text of a trial is cut into is one piece, so an early answer comes when it has all of it */
        assert_int_equal(is_down(&sides[0], 0), clamd[i].act != FAKE_SAYS_EARLY);
        assert_true(is_down(&sides[1], 0));
        again();
    }
}

static void an_answer_may_come_in_single_bytes(void **state) {
    for (unsigned s = 0; s < 2; s++) {
        sides[s].fakes[0].message.act = sides[s].fakes[0].trial.act = FAKE_SAYS_BYTES;
        start(&sides[s], 1);
        stage_turns(100);
        expect(&sides[s], SCAN_DONE);
        assert_string_equal(said, "");
        again();
    }
}

static void a_limit_of_the_scanner_s_own_is_a_skip(void **state) {
    clam[0].message = (struct fake_play){ FAKE_SAYS_EARLY, "INSTREAM size limit exceeded. ERROR" };
    start(&sides[0], 1);
    unsigned trials = clam[0].n_trials;
    stage_text(3000000);
    struct scan *scan = ask(&sides[0]);
    stage_await(1);
    assert_int_equal(scan_virus(scan)->state, SCAN_SKIPPED);
    assert_str(scan_virus(scan)->why, "larger than the scanner takes");
    scan_free(scan);
    clam[0].message.act = FAKE_SAYS;
    expect(&sides[0], SCAN_SKIPPED);
    assert_int_equal(clam[0].n_trials, trials); /* it did nothing wrong */
    for (int i = 0; i < 10; i++)
        expect(&sides[0], SCAN_SKIPPED);
    assert_false(is_down(&sides[0], 0));
}

static void more_than_an_answer_ends_the_connection(void **state) {
    clam[0].message.act = FAKE_SAYS_TWICE;
    start(&sides[0], 1);
    expect(&sides[0], SCAN_DONE);
    assert_int_equal(clam[0].n_open, 0);
    clam[0].message.act = FAKE_SAYS;
    expect(&sides[0], SCAN_DONE);
    assert_int_equal(clam[0].n_open, 1);
}

static void a_kept_connection_that_is_dead_is_replaced(void **state) {
    start(&sides[0], 1);
    for (int i = 0; i < 10; i++) {
        unsigned before = n_changes, trials = clam[0].n_trials;
        expect(&sides[0], SCAN_DONE);
        fake_scanner_drop(&clam[0]); /* we do not know yet */
        struct scan *scan = ask(&sides[0]);
        stage_await(before + 2);
        assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
        assert_int_equal(clam[0].n_trials, trials);
        scan_free(scan);
    }
    clam[0].closes_after = true;
    for (int i = 0; i < 10; i++)
        expect(&sides[0], SCAN_DONE);
    assert_string_equal(said, "");
}

/* It may have been dead before, but not again and again: of the connections that are kept only one is tried. */
static void a_message_that_kills_is_not_tried_on_each_kept_connection(void **state) {
    struct scan *first, *second;

    start(&sides[0], 1);
    first = ask(&sides[0]);
    second = ask(&sides[0]);
    stage_await(2);
    assert_int_equal(clam[0].n_open, 2);
    scan_free(first);
    scan_free(second);
    clam[0].message.act = FAKE_CLOSES;
    expect(&sides[0], SCAN_SKIPPED);
    assert_int_equal(clam[0].n_messages, 2 + 2);
}

static void an_idle_connection_that_talks_is_closed(void **state) {
    start(&sides[0], 1);
    expect(&sides[0], SCAN_DONE);
    struct fake_conn *conn = LIST_FIRST(&clam[0].conns);
    stream_write(&conn->stream, "1: stream: OK", 14);
    stage_turns(10);
    assert_int_equal(clam[0].n_open, 0);
    expect(&sides[0], SCAN_DONE);
    conn = LIST_FIRST(&clam[0].conns);
    stream_write(&conn->stream, "2: stream: OK", 14);
    stream_flush(&conn->stream);
    struct scan *scan = ask(&sides[0]); /* the answer was there before the question */
    stage_await(3);
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    assert_int_equal(clam[0].n_messages, 3);
    scan_free(scan);
}

static void a_scanner_that_is_away_is_tried_after_growing_pauses(void **state) {
    static const unsigned pauses_s[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };

    for (unsigned s = 0; s < 2; s++) {
        struct fake_scanner *fake = &sides[s].fakes[0];

        fake->closes_on_accept = true;
        start(&sides[s], 1);
        assert_true(is_down(&sides[s], 0));
        for (unsigned i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
            unsigned connections = fake->n_connections;

            expect(&sides[s], SCAN_UNAVAILABLE);
            stage_advance(pauses_s[i] * 1000 - 1);
            assert_int_equal(fake->n_connections, connections);
            stage_advance(1);
            assert_int_equal(fake->n_connections, connections + 1);
        }
        assert_null(strstr(strstr(said, "down") + 1, "down")); /* told once */
        fake->closes_on_accept = false;
        stage_advance(60000);
        assert_said("0 up again\n");
        assert_false(is_down(&sides[s], 0));
        expect(&sides[s], SCAN_DONE);
        fake_scanner_stop(fake);
        expect(&sides[s], SCAN_UNAVAILABLE);
        assert_said("No such file or directory");
        fake_scanner_listen(fake);
        stage_advance(1000); /* an answer has made the pauses short again */
        expect(&sides[s], SCAN_DONE);
        again();
    }
}

static void the_next_server_is_asked(void **state) {
    for (unsigned s = 0; s < 2; s++)
        for (unsigned i = 0; i < N_FAULTS; i++) {
            struct fake_scanner *fakes = sides[s].fakes;
            struct fake_play well = fakes[0].message;

            start(&sides[s], 2);
            stage_text(2000000);
            fakes[0].message = *play_of(&sides[s], &faults[i]);
            expect(&sides[s], SCAN_DONE);
            assert_int_equal(fakes[1].n_messages, 1);
            assert_false(is_down(&sides[s], 0));
            fakes[0].message = well;
            expect(&sides[s], SCAN_DONE);
            assert_int_equal(fakes[1].n_messages, 1); /* the first one goes on */
            assert_string_equal(said, "");
            again();
        }
}

static void a_server_that_is_down_is_passed_over_until_it_is_up(void **state) {
    for (unsigned s = 0; s < 2; s++) {
        struct fake_scanner *fakes = sides[s].fakes;

        start(&sides[s], 2);
        fake_scanner_stop(&fakes[0]);
        expect(&sides[s], SCAN_DONE);
        expect(&sides[s], SCAN_DONE);
        assert_int_equal(fakes[1].n_messages, 2);
        assert_said("0 down: ");
        fake_scanner_listen(&fakes[0]);
        stage_advance(1000);
        expect(&sides[s], SCAN_DONE);
        assert_int_equal(fakes[0].n_messages, 1);
        fake_scanner_stop(&fakes[0]);
        fake_scanner_stop(&fakes[1]);
        expect(&sides[s], SCAN_UNAVAILABLE);
        assert_said("1 down: ");
        again();
    }
}

static void a_message_that_kills_is_tried_twice_at_most(void **state) {
    start(&sides[0], 3);
    clam[0].message.act = clam[1].message.act = FAKE_CLOSES;
    expect(&sides[0], SCAN_SKIPPED);
    assert_int_equal(clam[0].n_messages, 1);
    assert_int_equal(clam[1].n_messages, 1);
    assert_int_equal(clam[2].n_messages, 0);
    clam[1].trial.act = FAKE_CLOSES; /* it did not survive it */
    expect(&sides[0], SCAN_UNAVAILABLE);
    assert_false(is_down(&sides[0], 0));
    assert_true(is_down(&sides[0], 1));
}

static void five_messages_in_a_row_are_too_many(void **state) {
    struct fake_play well = clam[0].message;

    start(&sides[0], 1);
    clam[0].message = faults[0].clamd;
    for (int i = 0; i < 4; i++)
        expect(&sides[0], SCAN_SKIPPED);
    clam[0].message = well;
    expect(&sides[0], SCAN_DONE); /* others pass */
    clam[0].message = faults[0].clamd;
    for (int i = 0; i < 4; i++)
        expect(&sides[0], SCAN_SKIPPED);
    assert_string_equal(strstr(said, "down") ? "down" : "", "");
    expect(&sides[0], SCAN_UNAVAILABLE);
    assert_said("0 down: 5 messages in a row came to nothing\n");
    stage_advance(1000);
    assert_false(is_down(&sides[0], 0));
    expect(&sides[0], SCAN_UNAVAILABLE); /* one more is enough */
    stage_advance(1000);
    assert_true(is_down(&sides[0], 0));
    stage_advance(1000);
    clam[0].message = well;
    expect(&sides[0], SCAN_DONE);
    clam[0].message = faults[0].clamd;
    expect(&sides[0], SCAN_SKIPPED);
}

/* Stopped: the kernel takes connections and bytes for it, and nothing comes. */
static void a_scanner_that_hangs_holds_up_nobody_for_ever(void **state) {
    enum { N = 6 };
    struct scan *scans[N];

    start(&sides[0], 2);
    watch_stop(loop, &clam[0].watch); /* its listening socket stays open, and is leaked to the end of this test */
    for (int i = 0; i < N; i++)
        scans[i] = ask(&sides[0]);
    stage_turns(100);
    stage_advance(59999);
    assert_int_equal(n_changes, 0);
    stage_advance(1); /* two have waited for an answer, the others for a place */
    stage_turns(100);
    assert_int_equal(scan_virus(scans[0])->state, SCAN_DONE);
    assert_int_equal(scan_virus(scans[1])->state, SCAN_DONE);
    assert_int_equal(clam[1].n_messages, 2);
    for (int i = 2; i < N; i++)
        assert_str(scan_virus(scans[i])->why, "the scanner is busy");
    struct scan *scan = ask(&sides[0]); /* while the trial lasts, the second is the better choice */
    stage_await(N + 1);
    assert_int_equal(scan_virus(scan)->state, SCAN_DONE);
    stage_advance(5000);
    assert_said("clamav0 down: does not answer\n");
    for (int i = 0; i < N; i++)
        scan_free(scans[i]);
    scan_free(scan);
}

static void those_in_line_go_to_the_next_server(void **state) {
    enum { N = 6 };
    struct scan *scans[N];

    start(&sides[0], 2);
    clam[0].message.act = FAKE_SILENT;
    for (int i = 0; i < N; i++)
        scans[i] = ask(&sides[0]);
    STAGE_AWAIT(clam[0].n_messages == 2);
    clam[0].trial.act = FAKE_CLOSES;
    fake_scanner_drop(&clam[0]); /* killed: those who were asked are asked again elsewhere */
    stage_await(N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(scan_virus(scans[i])->state, SCAN_DONE);
        scan_free(scans[i]);
    }
    assert_int_equal(clam[1].n_messages, N);
    assert_true(is_down(&sides[0], 0));
}

static void all_who_connect_at_once_go_on_when_nobody_is_there(void **state) {
    for (unsigned n_servers = 1; n_servers <= 2; n_servers++) {
        enum { N = 5 };
        struct scan *scans[N];

        start(&sides[0], n_servers);
        fake_scanner_stop(&clam[0]);
        for (int i = 0; i < N; i++)
            scans[i] = ask(&sides[0]);
        stage_await(N);
        for (int i = 0; i < N; i++) {
            assert_int_equal(scan_virus(scans[i])->state, n_servers == 1 ? SCAN_UNAVAILABLE : SCAN_DONE);
            scan_free(scans[i]);
        }
        again();
    }
}

/* At each moment between a failure and the end of the trial. */
static void a_scan_can_be_freed_while_its_server_is_on_trial(void **state) {
    clam[0].trial.act = spam[0].trial.act = FAKE_SAYS_BYTES;
    for (unsigned s = 0; s < 2; s++) {
        start(&sides[s], 1);
        stage_turns(100);
        sides[s].fakes[0].message.act = FAKE_CLOSES;
        for (int moment = 0; moment < 40; moment++) {
            struct scan *scan = ask(&sides[s]), *last = ask(&sides[s]);

            stage_turns(moment);
            scan_free(scan);
            unsigned before = n_changes;
            stage_turns(moment);
            scan_free(last);
            assert_true(n_changes - before <= 1);
            if (is_down(&sides[s], 0))
                stage_advance(60000);
            stage_turns(100);
        }
        again();
        clam[0].trial.act = spam[0].trial.act = FAKE_SAYS_BYTES;
    }
}

static void the_deadline_comes_before_a_trial_has_ended(void **state) {
    start(&sides[0], 1);
    clam[0].message.act = FAKE_CLOSES;
    clam[0].trial.act = FAKE_SILENT;
    struct scan *scan = scan_new(scanners, &text, now_ms + 3000, on_stage_change, NULL);
    stage_want(scan, true, false);
    stage_turns(100);
    stage_advance(2999);
    assert_int_equal(n_changes, 0);
    stage_advance(1);
    assert_int_equal(n_changes, 1);
    assert_str(scan_virus(scan)->why, "no answer in time");
    stage_advance(2000);
    assert_true(is_down(&sides[0], 0));
    scan_free(scan);
}

static void scanners_can_go_while_a_trial_lasts(void **state) {
    clam[0].trial.act = spam[0].trial.act = FAKE_SILENT;
    for (int i = 0; i < 10; i++) {
        conf.set.clamav.n_servers = conf.set.spamassassin.n_servers = 2;
        assert_int_equal(scanners_new(loop, &conf, 1, &stage_events, &scanners), 0);
        stage_turns(i);
        scanners_free(scanners);
        scanners = NULL;
        stage_turns(5);
    }
    assert_string_equal(said, "");
}

#define TEST(name, function) { name, function, stage_setup, stage_teardown, NULL }

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST("a message that a scanner fails on is skipped, and the server goes on",
             a_message_that_a_scanner_fails_on_is_skipped),
        TEST("a scanner that fails on everything is down", a_scanner_that_fails_on_everything_is_down),
        TEST("a trial needs more than an answer", a_trial_needs_more_than_an_answer),
        TEST("an answer may come in single bytes", an_answer_may_come_in_single_bytes),
        TEST("a limit of the scanner's own is a skip", a_limit_of_the_scanner_s_own_is_a_skip),
        TEST("more than an answer ends the connection", more_than_an_answer_ends_the_connection),
        TEST("a kept connection that is dead is replaced", a_kept_connection_that_is_dead_is_replaced),
        TEST("a message that kills is not tried on each kept connection",
             a_message_that_kills_is_not_tried_on_each_kept_connection),
        TEST("an idle connection that talks is closed", an_idle_connection_that_talks_is_closed),
        TEST("a scanner that is away is tried after growing pauses",
             a_scanner_that_is_away_is_tried_after_growing_pauses),
        TEST("where a server fails the next is asked", the_next_server_is_asked),
        TEST("a server that is down is passed over until it is up",
             a_server_that_is_down_is_passed_over_until_it_is_up),
        TEST("a message that kills is tried twice at most", a_message_that_kills_is_tried_twice_at_most),
        TEST("five messages in a row are too many", five_messages_in_a_row_are_too_many),
        TEST("a scanner that hangs holds up nobody for ever", a_scanner_that_hangs_holds_up_nobody_for_ever),
        TEST("those in line go to the next server", those_in_line_go_to_the_next_server),
        TEST("all who connect at once go on when nobody is there",
             all_who_connect_at_once_go_on_when_nobody_is_there),
        TEST("a scan can be freed while its server is on trial", a_scan_can_be_freed_while_its_server_is_on_trial),
        TEST("the deadline comes before a trial has ended", the_deadline_comes_before_a_trial_has_ended),
        TEST("scanners can go while a trial lasts", scanners_can_go_while_a_trial_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
