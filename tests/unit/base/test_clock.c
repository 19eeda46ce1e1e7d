/* clock: the two formats, over leap days, centuries, zones, and the minute that is kept. */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_journal_time_is_utc_with_milliseconds(void **state) {
    char out[CLOCK_RFC3339_MAX];
    assert_string_equal(clock_format_rfc3339(0, out), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_format_rfc3339(1795301082123, out), "2026-11-21T22:44:42.123Z");
    assert_string_equal(clock_format_rfc3339(951782399999, out), "2000-02-28T23:59:59.999Z");
    assert_string_equal(clock_format_rfc3339(951782400000, out), "2000-02-29T00:00:00.000Z");
    assert_string_equal(clock_format_rfc3339(4107542400000, out), "2100-03-01T00:00:00.000Z");
}

static void every_day_agrees_with_the_c_library(void **state) {
    for (uint64_t day = 0; day < 60000; day++) {
        char out[CLOCK_RFC3339_MAX], expected[CLOCK_RFC3339_MAX];
        time_t s = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        gmtime_r(&s, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.007Z", &tm);
        assert_string_equal(clock_format_rfc3339((uint64_t)s * 1000 + 7, out), expected);
    }
}

static void use_zone(const char *zone) {
    char out[CLOCK_RFC5322_MAX];
    setenv("TZ", zone, 1);
    tzset();
    clock_format_rfc5322(0, out); /* another minute: the kept one is of the zone before */
}

static void the_mail_date_is_local_with_its_zone(void **state) {
    char out[CLOCK_RFC5322_MAX];
    use_zone("UTC0");
    assert_string_equal(clock_format_rfc5322(1795301082123, out), "Sat, 21 Nov 2026 22:44:42 +0000 (UTC)");
    use_zone("CET-1");
    assert_string_equal(clock_format_rfc5322(1795301082123, out), "Sat, 21 Nov 2026 23:44:42 +0100 (CET)");
    use_zone("NST3:30");
    assert_string_equal(clock_format_rfc5322(1795301082123, out), "Sat, 21 Nov 2026 19:14:42 -0330 (NST)");
    use_zone("<+0545>-5:45");
    assert_string_equal(clock_format_rfc5322(1795301082123, out), "Sun, 22 Nov 2026 04:29:42 +0545");
    use_zone("UTC0");
}

static void the_minute_that_is_kept_ends_with_the_minute(void **state) {
    char out[CLOCK_RFC5322_MAX];
    use_zone("UTC0");
    assert_string_equal(clock_format_rfc5322(1795301040000, out), "Sat, 21 Nov 2026 22:44:00 +0000 (UTC)");
    assert_string_equal(clock_format_rfc5322(1795301099999, out), "Sat, 21 Nov 2026 22:44:59 +0000 (UTC)");
    assert_string_equal(clock_format_rfc5322(1795301100000, out), "Sat, 21 Nov 2026 22:45:00 +0000 (UTC)");
    assert_string_equal(clock_format_rfc5322(1795301099000, out), "Sat, 21 Nov 2026 22:44:59 +0000 (UTC)");
}

static void clocks_advance_and_agree_with_each_other(void **state) {
    uint64_t before = clock_us(), ms = clock_ms(), after = clock_us();
    assert_true(before <= after);
    assert_in_range(ms, before / 1000, after / 1000);
    uint64_t s = (uint64_t)time(NULL);
    assert_in_range(clock_wall_ms() / 1000, s, s + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_journal_time_is_utc_with_milliseconds),
        cmocka_unit_test(every_day_agrees_with_the_c_library),
        cmocka_unit_test(the_mail_date_is_local_with_its_zone),
        cmocka_unit_test(the_minute_that_is_kept_ends_with_the_minute),
        cmocka_unit_test(clocks_advance_and_agree_with_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
