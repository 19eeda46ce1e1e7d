/*
 * clock: asks the kernel for the time, and writes it down.
 *
 * The loop reads the clock once a turn and hands the value on, so nothing here is hot but the two formats, which stand
 * in every journal record and every Received: line. They are written digit by digit; the calendar of the local zone,
 * which costs a look into the zone's tables, is kept for the minute it is valid in (zones change on whole minutes at
 * the earliest), and that of UTC is computed without a library: days to civil date by counting in 400-year eras that
 * begin on 1 March, so that the leap day comes last.
 *
 * Rejected: strftime() (its names follow the locale, RFC 5322 wants English) and gmtime_r() in the fast path (takes the
 * zone lock).
 */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_us(void) {
    return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_ms(void) {
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_wall_ms(void) {
    return read_us(CLOCK_REALTIME) / 1000;
}

static char *put_digits(char *out, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

/* The civil date of a day counted from 1970-01-01. */
static void date_of_day(uint64_t day, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day) {
    day += 719468; /* from 0000-03-01 */
    uint64_t era = day / 146097;
    unsigned of_era = (unsigned)(day % 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153; /* 0: March */
    *ret_day = of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (unsigned)(era * 400) + year + (*ret_month <= 2);
}

char *clock_format_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_MAX]) {
    uint64_t s = wall_ms / 1000;
    unsigned year, month, day;
    date_of_day(s / 86400, &year, &month, &day);
    char *at = put_digits(out, year, 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day, 2);
    *at++ = 'T';
    at = put_digits(at, s / 3600 % 24, 2);
    *at++ = ':';
    at = put_digits(at, s / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, s % 60, 2);
    *at++ = '.';
    at = put_digits(at, wall_ms % 1000, 3);
    memcpy(at, "Z", 2);
    return out;
}

static const char DAYS[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char MONTHS[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* The zone's name as a comment (RFC 5322 section 3.3); left out where it is no plain word, as in zones named "+03". */
static bool is_plain_zone(const char *zone) {
    size_t len = strlen(zone);
    return len > 0 && len <= 5 && strspn(zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

static void format_minute(time_t s, char out[CLOCK_RFC5322_MAX]) {
    struct tm tm;
    if (!localtime_r(&s, &tm))
        gmtime_r(&s, &tm);
    long offset = tm.tm_gmtoff / 60;
    unsigned away = (unsigned)(offset < 0 ? -offset : offset) % (24 * 60);
    bool has_zone = tm.tm_zone && is_plain_zone(tm.tm_zone);
    snprintf(out, CLOCK_RFC5322_MAX, "%s, %02u %s %04u %02u:%02u:00 %c%02u%02u%s%.5s%s", DAYS[tm.tm_wday % 7],
             (unsigned)tm.tm_mday % 100, MONTHS[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, offset < 0 ? '-' : '+', away / 60, away % 60,
             has_zone ? " (" : "", has_zone ? tm.tm_zone : "", has_zone ? ")" : "");
}

char *clock_format_rfc5322(uint64_t wall_ms, char out[CLOCK_RFC5322_MAX]) {
    enum { SECONDS_AT = 23 };
    static _Thread_local uint64_t cached_minute = UINT64_MAX;
    static _Thread_local char cached[CLOCK_RFC5322_MAX];
    uint64_t s = wall_ms / 1000;
    if (s / 60 != cached_minute) {
        cached_minute = s / 60;
        format_minute((time_t)(cached_minute * 60), cached);
    }
    memcpy(out, cached, sizeof(cached));
    put_digits(out + SECONDS_AT, s % 60, 2);
    return out;
}
