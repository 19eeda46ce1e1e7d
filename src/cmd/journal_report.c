/*
 * postern report: count in the journal. Which reports there are, and since when; each is in a file of its own.
 *
 * The journal outlives restarts and reloads, so it is what is counted, not what processes remember. A record begins
 * where its time is not before `--since`; files that are older as a whole are not opened (journal/reader.h).
 *
 * Exit: 0, 1 when the journal cannot be read (what could be is printed), 64 wrong use.
 */
#include "cmd/journal_report.h"

#include "base/clock.h"
#include "base/hash.h"
#include "cmd/cmd.h"
#include "cmd/json_line.h"
#include "journal/reader.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SINCE_S_MAX = 1000000000 };

/* ---- time */

/* "2026-11-21", "2026-11-21T22:44:42Z", "...+01:00" (RFC 3339; fractions of a second are taken and forgotten). */
static int parse_time(const char *text, uint64_t *ret_ms) {
    struct tm tm = { 0 };
    int hours, minutes;
    char sign;
    const char *end = strptime(text, "%Y-%m-%d", &tm);
    if (end != NULL && *end != '\0')
        end = strptime(end, "T%H:%M:%S", &tm);
    if (end == NULL)
        return -EINVAL;
    if (*end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    int day = tm.tm_mday;
    int64_t second = timegm(&tm);
    if (tm.tm_mday != day) /* 30 February has become a day of March */
        return -EINVAL;
    if (sscanf(end, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-') && strlen(end) == 6)
        second -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
    else if (*end != '\0' && strcmp(end, "Z") != 0)
        return -EINVAL;
    if (second < 0)
        return -EINVAL;
    *ret_ms = (uint64_t)second * 1000;
    return 0;
}

/* A time, or so long before now. */
static int parse_since(const char *text, uint64_t now_ms, uint64_t *ret_ms) {
    unsigned long long span_s;
    if (str_to_span(str_of(text), SINCE_S_MAX, &span_s) < 0)
        return parse_time(text, ret_ms);
    *ret_ms = span_s * 1000 < now_ms ? now_ms - span_s * 1000 : 0;
    return 0;
}

/* ---- counting and telling */

struct reading {
    const struct journal_report *report;
    void *counts;
    uint64_t n_records, n_unread;
    char since[CLOCK_RFC3339_MAX]; /* times of one form compare as text; empty: from the beginning */
    struct members members;
};

/* A record that others were folded into has how many. */
static uint64_t decisions_of(const struct members *members) {
    int64_t thousandths;
    const struct member *repeated = members_find(members, &members->at[0], "repeated");
    if (repeated == NULL || members_thousandths(repeated, &thousandths) < 0 || thousandths < 0)
        return 1;
    return 1 + (uint64_t)thousandths / 1000;
}

static int on_line(void *arg, char *line, size_t len) {
    struct reading *reading = arg;
    const struct members *members = &reading->members;
    bool is_read = members_parse(line, len, &reading->members) == 0;
    struct str time = is_read ? members_text(members, &members->at[0], "time") : (struct str){ 0 };
    if (time.at == NULL) { /* no record; the torn end of a file does not come this far */
        reading->n_unread++;
        return 0;
    }
    if (strncmp(time.at, reading->since, time.len) < 0)
        return 0;
    reading->n_records++;
    return reading->report->add(reading->counts, members, decisions_of(members));
}

static int print_json(const struct reading *reading) {
    struct json_line json;
    json_line_begin(&json);
    if (reading->since[0] != '\0')
        record_str(&json.record, "since", str_of(reading->since));
    reading->report->record(reading->counts, &json.record);
    return json_line_end(&json);
}

int report_width(uint64_t largest) {
    return snprintf(NULL, 0, "%" PRIu64, largest);
}

static int read_and_tell(struct reading *reading, const char *dir, uint64_t since_ms, bool is_json) {
    if (since_ms > 0)
        clock_format_rfc3339(since_ms, reading->since);
    int r = journal_read(dir, since_ms, on_line, reading);
    if (r < 0)
        fprintf(stderr, "postern: the journal in %s cannot be read%s: %s\n", dir,
                reading->n_records > 0 ? " as a whole" : "", strerror(-r));
    if (reading->n_unread > 0)
        fprintf(stderr, "postern: %" PRIu64 " lines of the journal are no records, and not counted\n",
                reading->n_unread);
    reading->report->finish(reading->counts);
    if (!is_json)
        reading->report->print(reading->counts);
    else if (r == 0)
        r = print_json(reading);
    return r;
}

/* Of a folder of journal files. Returns the exit code. */
static int tell(const struct journal_report *report, const char *dir, uint64_t since_ms, bool is_json) {
    struct reading *reading = calloc(1, sizeof(*reading));
    void *counts = calloc(1, report->size);
    int r = -ENOMEM;
    if (reading != NULL && counts != NULL) {
        reading->report = report;
        reading->counts = counts;
        r = read_and_tell(reading, dir, since_ms, is_json);
        report->release(counts);
    } else {
        fprintf(stderr, "postern: %s\n", strerror(ENOMEM));
    }
    free(counts);
    free(reading);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the command */

static const struct journal_report *find_report(const char *name) {
    static const struct journal_report *const reports[] = { &report_policy, &report_greylist, &report_lists,
                                                            &report_content };
    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
        if (strcmp(reports[i]->name, name) == 0)
            return reports[i];
    }
    return NULL;
}

/* Where the configuration says that the journal is. */
static int tell_of_conf(const char *path, const struct journal_report *report, uint64_t since_ms, bool is_json) {
    struct conf *conf = NULL;
    int code = EXIT_FAILURE;
    if (command_load_settings(path, &conf) < 0)
        return EXIT_FAILURE;
    if (conf->set.journal.path == NULL)
        fprintf(stderr, "postern: %s names no journal\n", path);
    else
        code = tell(report, conf->set.journal.path, since_ms, is_json);
    conf_free(conf);
    return code;
}

static int run(int argc, char **argv) {
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' }, { "journal", required_argument, NULL, 'J' },
        { "since", required_argument, NULL, 's' },  { "json", no_argument, NULL, 'j' },
        { 0 },
    };
    const char *conf = COMMAND_CONF, *journal = NULL, *since = NULL;
    uint64_t since_ms = 0;
    bool is_json = false;
    hash_init();
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "c:", known, NULL)) != -1;) {
        if (c == 'c')
            conf = optarg;
        else if (c == 'J')
            journal = optarg;
        else if (c == 's')
            since = optarg;
        else if (c == 'j')
            is_json = true;
        else
            return command_usage(&command_report);
    }
    const struct journal_report *report = optind == argc - 1 ? find_report(argv[optind]) : NULL;
    if (report == NULL)
        return command_usage(&command_report);
    if (since != NULL && parse_since(since, clock_wall_ms(), &since_ms) < 0) {
        fprintf(stderr, "postern: '%s' is no time; expected 90s, 30m, 1h, 2d, or as in 2026-11-21T22:44:42Z\n", since);
        return EXIT_USAGE;
    }
    return journal != NULL ? tell(report, journal, since_ms, is_json) : tell_of_conf(conf, report, since_ms, is_json);
}

const struct command command_report = {
    .name = "report",
    .synopsis = "policy | greylist | lists | content [-c FILE | --journal DIR] [--since TIME] [--json]",
    .help = "count in the journal what the policy refused, what greylist and block lists said, what content was",
    .run = run,
};
