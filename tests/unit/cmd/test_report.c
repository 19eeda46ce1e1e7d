/*
 * What the service says about itself, to people, programs and monitoring.
 */
#include "cmd/report.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct report_worker workers[] = {
    {.slot = 0, .pid = 11, .process = 4, .age_ms = 90061000, .sessions = 7, .state = "ready"}};
static struct report_server servers[] = {
    { .group = "mailbox", .address = "10.0.0.1:25", .connections = 2, .is_plain = true, .troubles = 3 },
    { .group = "mailbox", .address = "10.0.0.2:25" },
};
static struct report_directory directories[] = {
    { .domain = "example.com", .state = REPORT_DIRECTORY_FINE, .count = 1234, .age_ms = 61000 },
    { .domain = "example.org", .state = REPORT_DIRECTORY_NONE },
};

static struct report healthy(void) {
    servers[0].is_down = servers[1].is_down = false;
    directories[0].state = REPORT_DIRECTORY_FINE;
    directories[1].state = REPORT_DIRECTORY_NONE;
    workers[0].state = "ready";
    return (struct report){.version = "1.2.3",
        .conf_path = "/etc/\"x\"\n.conf",
        .now_ms = 100000,
        .started_ms = 60000,
        .workers = workers,
        .n_workers = 1,
        .servers = servers,
        .n_servers = 2,
        .directories = directories,
        .n_directories = 2};
}

static void assert_check(const struct report *report, enum report_health health, const char *line) {
    struct buf out;
    enum report_health got = REPORT_UNKNOWN;
    buf_init(&out, 4096);
    assert_int_equal(report_check(report, &out, &got), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    assert_string_equal(out.at, line);
    assert_int_equal(got, health);
    buf_deinit(&out);
}

static void a_healthy_service_is_ok(void **state) {
    struct report report = healthy();
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
}

static void no_ready_worker_is_critical(void **state) {
    struct report report = healthy();
    workers[0].state = "waiting";
    assert_check(&report, REPORT_CRITICAL, "no worker is ready");
    report.is_stopping = true;
    assert_check(&report, REPORT_CRITICAL, "stopping");
}

static void one_server_down_is_a_warning_and_all_of_a_group_critical(void **state) {
    struct report report = healthy();
    servers[1].is_down = true;
    assert_check(&report, REPORT_WARNING, "server 10.0.0.2:25 is down");
    servers[0].is_down = true;
    assert_check(&report, REPORT_CRITICAL,
        "all servers of mailbox are down; server 10.0.0.1:25 is down; server 10.0.0.2:25 is down");
}

static void a_worker_that_died_warns_for_five_minutes(void **state) {
    struct report report = healthy();
    report.worker_deaths = 1;
    report.death_age_ms = REPORT_DEATH_RECENT_MS - 1;
    assert_check(&report, REPORT_WARNING, "a worker died in the last 5 minutes");
    report.death_age_ms = REPORT_DEATH_RECENT_MS;
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
}

static void directories_and_journal_warn(void **state) {
    struct report report = healthy();
    directories[0].state = REPORT_DIRECTORY_OLD;
    report.totals.journal_lost = 3;
    assert_check(&report, REPORT_WARNING, "the directory of example.com is too old; 3 journal lines were lost");
    directories[0].state = directories[1].state = REPORT_DIRECTORY_MISSING;
    report.totals.journal_lost = 0;
    report.last_reload_failed = true;
    assert_check(
        &report, REPORT_WARNING, "the directories of example.com and 1 more are missing; the last reload failed");
}

static void the_text_names_what_an_administrator_looks_for(void **state) {
    static const char *const wanted[] = {
        "postern 1.2.3, up 40s\n",
        "0     11   4        ready  1d 1h  7\n",
        "10.0.0.1:25  up     2            0        clear  3\n",
        "example.com  ok     1234       1m 1s\n",
        "example.org  none   0          -\n",
        "journal_lost          0\n",
        "last reload 1970-01-01T00:00:09.000Z: refused",
    };
    struct report report = healthy();
    report.last_reload = "refused";
    report.last_reload_ms = 9000;
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strstr(out.at, wanted[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", wanted[i], out.at);
    buf_deinit(&out);
}

static void block_lists_are_shown_with_why_they_are_not_trusted(void **state) {
    static const struct report_list lists[] = {
        { "bl.example", "IPv4", NULL, 10, 3, 1, 2, 12345 },
        { "bl.example", "IPv6", "lists everything", 0, 0, 0, 5, 0 },
    };
    struct report report = healthy();
    struct buf out;
    report.lists = lists;
    report.n_lists = 2;
    buf_init(&out, 65536);
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    assert_non_null(strstr(out.at, "IPv4  10     3       1       12ms     yes\n"));
    assert_non_null(strstr(out.at, "0ms      no: lists everything\n"));
    assert_non_null(strstr(out.at, "\"kind\":\"IPv4\",\"why\":\"\",\"trusted\":true,\"asked\":10,\"listed\":3,"
                                   "\"errors\":1,\"probes\":2,\"latency_us\":12345}"));
    buf_deinit(&out);
}

static struct report with_scanners(void) {
    static const struct report_scanner scanners[] = {
        { "clamav", true, 10, 3, 1, 2 }, { "spamassassin", false, 20, 4, 5, 6 },
    };
    static struct report_scanner_server scanner_servers[] = {
        { "clamav", "unix:/run/clamd", 2, 7, 1, false }, { "clamav", "192.0.2.1:3310", 0, 3, 0, false },
        { "spamassassin", "[::1]:783", 0, 20, 0, false },
    };
    for (unsigned i = 0; i < 3; i++)
        scanner_servers[i].is_down = false;
    struct report report = healthy();
    report.scanners = scanners;
    report.n_scanners = 2;
    report.scanner_servers = scanner_servers;
    report.n_scanner_servers = 3;
    return report;
}

static void scanners_are_shown_with_their_servers(void **state) {
    struct report report = with_scanners();
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    assert_non_null(strstr(out.at, "\nclamav        10       3      1        2\n"));
    assert_non_null(strstr(out.at, "\nclamav        unix:/run/clamd  up     2            7        1\n"));
    assert_non_null(strstr(out.at, "\"scanners\":[{\"name\":\"clamav\",\"scanned\":10,\"found\":3,\"skipped\":1,"
                                   "\"unavailable\":2,\"servers\":[{\"address\":\"unix:/run/clamd\",\"down\":false,"
                                   "\"connections\":2,\"scanned\":7,\"failed\":1},{\"address\":\"192.0.2.1:3310\","));
    buf_deinit(&out);
}

static void a_scanner_that_is_away_is_as_bad_as_what_it_leads_to(void **state) {
    struct report report = with_scanners();
    struct report_scanner_server down[3];
    memcpy(down, report.scanner_servers, sizeof(down));
    report.scanner_servers = down;
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
    down[0].is_down = true;
    assert_check(&report, REPORT_WARNING, "clamav unix:/run/clamd is down");
    down[2].is_down = true;
    assert_check(&report, REPORT_WARNING, "no server of spamassassin works; clamav unix:/run/clamd is down; "
                 "spamassassin [::1]:783 is down");
    down[2].is_down = false;
    down[1].is_down = true;
    assert_check(&report, REPORT_CRITICAL, "no server of clamav works; clamav unix:/run/clamd is down; "
                 "clamav 192.0.2.1:3310 is down");
}

static struct report with_store(void) {
    struct report report = healthy();
    report.store = (struct report_store){ .state = "ready", .local = "up", .shared = "off", .why = "", .pid = 77,
                                          .rows = 1234, .asked = 55, .unavailable = 3, .latency_us = 1500,
                                          .longest_us = 20000, .grown = -17, .grouped = 9 };
    return report;
}

static void the_store_is_shown_where_there_is_one(void **state) {
    struct report report = with_store();
    struct buf out;
    buf_init(&out, 16384);
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    buf_putc(&out, '\0');
    assert_non_null(strstr(out.at, "\nstore "));
    assert_non_null(strstr(out.at, "1.5ms"));
    assert_non_null(strstr(out.at, "\"store\":{\"pid\":77,"));
    assert_non_null(strstr(out.at, "\"rows\":1234,\"rows_grown_1h\":-17,"));
    assert_non_null(strstr(out.at, " -17/h "));
    assert_non_null(strstr(out.at, "\"grouped\":9,"));
    buf_clear(&out);
    report = healthy();
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    buf_putc(&out, '\0');
    assert_null(strstr(out.at, "\nstore "));
    assert_non_null(strstr(out.at, "\"store\":null,"));
    buf_deinit(&out);
}

static void a_store_that_fails_warns(void **state) {
    struct report report = with_store();
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
    report.store.grouped_lately = 1;
    assert_check(&report, REPORT_WARNING, "networks are past new_per_network of the greylist");
    report.store.shared = "down";
    report.store.why = "the shared store is away: no route";
    assert_check(&report, REPORT_WARNING, "the shared store is away");
    report.store.local = "full";
    assert_check(&report, REPORT_WARNING, "the local store cannot be written");
    report.store.local = "down";
    assert_check(&report, REPORT_WARNING, "the local store is down");
    report.store.pid = 0;
    assert_check(&report, REPORT_WARNING, "the store process does not run");
}

static struct report with_quarantine(void) {
    struct report report = healthy();
    report.quarantine = (struct report_quarantine){ .path = "/q", .is_counted = true, .messages = 12, .pending = 1,

                                                    .grown = 1024, .bytes = 3565158, .size_max = 10737418240 };
    return report;
}

static void the_quarantine_is_shown_where_there_is_one(void **state) {
    struct report report = with_quarantine();
    struct buf out;
    report.totals.quarantined = 34;
    report.totals.quarantine_failed = 2;
    buf_init(&out, 16384);
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    buf_putc(&out, '\0');
    assert_non_null(strstr(out.at, "\n/q          ok     12        1        3.4M  10.0G  +1.0K/h\n"));
    assert_non_null(strstr(out.at, "quarantined           34\nquarantine_failed     2\n"));
    assert_non_null(strstr(out.at, "\"quarantine\":{\"path\":\"/q\",\"state\":\"ok\",\"messages\":12,\"pending\":1,"
                                   "\"bytes\":3565158,\"bytes_grown_1h\":1024,\"size_max\":10737418240},"));
    buf_clear(&out);
    report = healthy();
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    buf_putc(&out, '\0');
    assert_null(strstr(out.at, "\nquarantine "));
    assert_non_null(strstr(out.at, "\"quarantine\":null,"));
    buf_deinit(&out);
}

static void a_quarantine_without_room_warns(void **state) {
    struct report report = with_quarantine();
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
    report.quarantine.bytes = report.quarantine.size_max / 100 * 90;
    assert_check(&report, REPORT_WARNING, "the quarantine is nearly full");
    report.quarantine.is_broken = true;
    assert_check(&report, REPORT_WARNING, "the quarantine cannot be used");
}

static void questions_to_dns_are_shown_and_no_room_for_them_warns(void **state) {
    struct report report = healthy();
    struct buf out;
    report.dns = (struct report_dns){ .in_flight = 12, .max_in_flight = 4096, .asked = 100, .cached = 50, .joined = 3,
                                      .refused_client = 7, .refused_domain = 2 };
    /* shares do what they are for */
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
    buf_init(&out, 16384);
    assert_int_equal(report_text(&report, &out), 0);
    assert_int_equal(report_json(&report, &out), 0);
    buf_putc(&out, '\0');
    assert_non_null(strstr(out.at, "\nquestions  12         4096  100    50      3       7                  2       "
                                   "0\n"));
    assert_non_null(strstr(out.at, "\"dns\":{\"in_flight\":12,\"max_in_flight\":4096,\"asked\":100,\"cached\":50,"
                                   "\"joined\":3,\"refused_client\":7,\"refused_domain\":2,\"refused_full\":0},"));
    buf_deinit(&out);
    report.dns.refused_full = 1;
    report.dns.full_age_ms = REPORT_FULL_RECENT_MS - 1;
    assert_check(&report, REPORT_WARNING, "in the last 5 minutes there was no room for questions to DNS");
    report.dns.full_age_ms = REPORT_FULL_RECENT_MS;
    assert_check(&report, REPORT_OK, "1 workers, 0 sessions, 2 servers, 2 directories");
}

static void json_quotes_what_needs_it(void **state) {
    struct report report = healthy();
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(report_json(&report, &out), 0);
    assert_int_equal(buf_putc(&out, '\0'), 0);
    assert_non_null(strstr(out.at,
        "{\"version\":\"1.2.3\",\"configuration\":\"/etc/\\\"x\\\"\\n.conf\","
        "\"started\":\"1970-01-01T00:01:00.000Z\","));
    assert_non_null(
        strstr(out.at, "\"last_reload\":null,\"last_reload_failed\":false,\"draining\":false,\"uptime_ms\":40000,"));
    assert_non_null(strstr(out.at,
        "{\"group\":\"mailbox\",\"address\":\"10.0.0.2:25\",\"down\":false,\"connections\":0,\"waiting\":0,"
        "\"clear\":false,\"trouble\":0}],"));
    assert_non_null(strstr(out.at, "\"journal_lost\":0}}\n"));
    buf_deinit(&out);
}

static void a_report_that_does_not_fit_is_an_error(void **state) {
    struct report report = healthy();
    struct buf out;
    for (uint32_t max = 0; max < 400; max += 7) {
        buf_init(&out, max);
        assert_int_equal(report_text(&report, &out), -ENOBUFS);
        buf_clear(&out);
        assert_int_equal(report_json(&report, &out), -ENOBUFS);
        buf_deinit(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_service_is_ok),
        cmocka_unit_test(no_ready_worker_is_critical),
        cmocka_unit_test(one_server_down_is_a_warning_and_all_of_a_group_critical),
        cmocka_unit_test(a_worker_that_died_warns_for_five_minutes),
        cmocka_unit_test(directories_and_journal_warn),
        cmocka_unit_test(the_text_names_what_an_administrator_looks_for),
        cmocka_unit_test(block_lists_are_shown_with_why_they_are_not_trusted),
        cmocka_unit_test(scanners_are_shown_with_their_servers),
        cmocka_unit_test(a_scanner_that_is_away_is_as_bad_as_what_it_leads_to),
        cmocka_unit_test(the_store_is_shown_where_there_is_one),
        cmocka_unit_test(a_store_that_fails_warns),
        cmocka_unit_test(the_quarantine_is_shown_where_there_is_one),
        cmocka_unit_test(a_quarantine_without_room_warns),
        cmocka_unit_test(questions_to_dns_are_shown_and_no_room_for_them_warns),
        cmocka_unit_test(json_quotes_what_needs_it),
        cmocka_unit_test(a_report_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
