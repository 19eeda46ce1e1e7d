/*
 * postern report policy: how often did each rule of the policy refuse? And what finds and calls the other reports.
 *
 * Counted from the journal, which outlives restarts and reloads; one line a rule, the count right-aligned and
 * ascending, so that the rules that matter stand where the eye ends. What is counted is a recipient that a rule of the
 * policy file rejected or deferred, in any layer but greylisting, or a client that was refused before it named one; of
 * layer content a message, once a rule, however many recipients it had: also what rules have quarantined or tagged.
 * Relay control, unknown recipients and the mailbox server's own answers are not the policy's doing, and a reject that
 * was held back (451 4.4.3, since an open rule stood before it) refused nobody for its reason. Shadow rules follow with
 * what they would have done, marked `(shadow)`; and how many decisions there were for which nobody found that out.
 *
 * Exit: 0, 1 when the journal cannot be read (what could be is printed), 64 wrong use.
 */
#include "base/clock.h"
#include "base/hash.h"
#include "cmd/cmd.h"
#include "cmd/report_content.h"
#include "cmd/report_greylist.h"
#include "cmd/report_lists.h"
#include "conf/conf.h"
#include "journal/reader.h"
#include "journal/record.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEFAULT_CONF "/etc/postern/postern.conf"

enum { NAMES_MAX = 4096, SINCE_YEARS_MAX = 100, JSON_MAX = 1 << 20 };

enum effect { REFUSED, QUARANTINED, TAGGED, SHADOW, N_EFFECTS };

static const char *const effect_names[] = { "refused", "quarantined", "tagged", "none" };
static const char *const effect_marks[] = { "", " (quarantine)", " (tag)", " (shadow)" };

struct count {
    struct str name;
    uint64_t n;
    uint64_t record; /* that was counted last */
    enum effect effect;
};

struct report {
    struct members members;
    struct arena arena;
    struct count counts[NAMES_MAX];
    size_t n_counts;
    uint64_t n_records, n_unrehearsed;
    char since[CLOCK_RFC3339_MAX]; /* times of one form compare as text; empty: from the beginning */
};

static int usage(void) {
    fprintf(stderr, "usage: postern report %s\n", command_report.synopsis);
    return EXIT_USAGE;
}

/* ---- time */

/* "90s", "30m", "1h", "2d": so long before now. */
static int parse_span(struct str text, uint64_t now_ms, uint64_t *ret_ms) {
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
    unsigned long long n;
    if (text.len < 2)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (text.at[text.len - 1] != units[i].unit)
            continue;
        if (str_to_u64(str_head(text, text.len - 1), SINCE_YEARS_MAX * 366ULL * 86400, &n) < 0)
            return -EINVAL;
        *ret_ms = n * units[i].ms < now_ms ? now_ms - n * units[i].ms : 0;
        return 0;
    }
    return -EINVAL;
}

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
    int64_t second = timegm(&tm);
    if (sscanf(end, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-') && strlen(end) == 6)
        second -= (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
    else if (*end != '\0' && strcmp(end, "Z") != 0)
        return -EINVAL;
    if (second < 0)
        return -EINVAL;
    *ret_ms = (uint64_t)second * 1000;
    return 0;
}

/* ---- counting */

/* A rule beyond NAMES_MAX is not counted: a journal of other tools could name anything. */
static int add(struct report *report, struct str name, enum effect effect) {
    for (size_t i = 0; i < report->n_counts; i++) {
        struct count *count = &report->counts[i];
        if (count->effect != effect || !str_eq(count->name, name))
            continue;
        count->n += count->record != report->n_records;
        count->record = report->n_records;
        return 0;
    }
    if (report->n_counts == NAMES_MAX)
        return 0;
    struct str copy = arena_str(&report->arena, name);
    if (copy.at == NULL)
        return -ENOMEM;
    report->counts[report->n_counts++] =
        (struct count){ .name = copy, .n = 1, .record = report->n_records, .effect = effect };
    return 0;
}

static bool is_builtin(struct str layer, struct str rule) {
    static const char *const names[] = { "RELAY DENIED", "NO SUCH USER", "NO DIRECTORY", "DIRECTORY TOO OLD" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (str_eq(layer, STR("recipient")) && str_eq(rule, str_of(names[i])))
            return true;
    }
    return false;
}

static bool is_of_policy(struct str layer) {
    return str_eq(layer, STR("connection")) || str_eq(layer, STR("recipient")) || str_eq(layer, STR("policy"));
}

static int add_shadow(struct report *report) {
    const struct members *members = &report->members;
    const struct member *shadow = members_find(members, &members->at[0], "shadow");
    int r = 0;
    for (const struct member *m = NULL; r == 0 && (m = members_next(members, shadow, m)) != NULL;) {
        if (m->type == MEMBER_STRING)
            r = add(report, m->text, SHADOW);
    }
    return r;
}

static int add_rules(struct report *report) {
    const struct members *members = &report->members;
    const struct member *record = &members->at[0];
    struct str layer = members_text(members, record, "layer"), rule = members_text(members, record, "rule");
    struct str action = members_text(members, record, "action");
    int r = 0;
    bool has_refused = str_eq(action, STR("reject")) || str_eq(action, STR("defer"));
    if (has_refused && rule.len > 0 && is_of_policy(layer) && !is_builtin(layer, rule) &&
        members_find(members, record, "open") == NULL)
        r = add(report, rule, REFUSED);
    return r == 0 ? add_shadow(report) : r;
}

/* What a rule of layer content did, for one recipient or for all. */
static int add_action(struct report *report, const struct member *verdict) {
    struct str rule = members_text(&report->members, verdict, "rule");
    struct str action = members_text(&report->members, verdict, "action");
    if (rule.len == 0 || members_find(&report->members, verdict, "open") != NULL)
        return 0;
    if (str_eq(action, STR("quarantine")))
        return add(report, rule, QUARANTINED);
    return str_eq(action, STR("reject")) || str_eq(action, STR("defer")) ? add(report, rule, REFUSED) : 0;
}

/* What the mailbox server did not take was neither kept nor tagged. */
static int add_content(struct report *report) {
    const struct members *members = &report->members;
    const struct member *record = &members->at[0];
    struct str action = members_text(members, record, "action");
    bool is_taken = str_eq(action, STR("pass")) || str_eq(action, STR("quarantine"));
    const struct member *verdicts = is_taken ? members_find(members, record, "verdicts") : NULL;
    const struct member *tags = is_taken ? members_find(members, record, "tags") : NULL;
    int r = str_eq(members_text(members, record, "layer"), STR("content")) ? add_action(report, record) : 0;
    for (const struct member *m = NULL; r == 0 && (m = members_next(members, verdicts, m)) != NULL;)
        r = add_action(report, m);
    for (const struct member *m = NULL; r == 0 && (m = members_next(members, tags, m)) != NULL;)
        r = add(report, m->text, TAGGED);
    return r == 0 ? add_shadow(report) : r;
}

static int on_line(void *arg, char *line, size_t len) {
    struct report *report = arg;
    struct members *members = &report->members;
    if (members_parse(line, len, members) < 0)
        return 0; /* the torn end of a file, or no record */
    const struct member *record = &members->at[0];
    struct str time = members_text(members, record, "time");
    if (time.at == NULL || strncmp(time.at, report->since, time.len) < 0)
        return 0;
    report->n_records++;
    report->n_unrehearsed += members_find(members, record, "unrehearsed") != NULL;
    bool is_message = members_find(members, record, "rcpts") != NULL; /* report content counts what it was */
    return is_message ? add_content(report) : add_rules(report);
}

/* ---- printing */

static int by_count(const void *a, const void *b) {
    const struct count *one = a, *other = b;
    if ((one->effect == SHADOW) != (other->effect == SHADOW))
        return one->effect == SHADOW ? 1 : -1;
    if (one->n != other->n)
        return one->n < other->n ? -1 : 1;
    size_t shorter = one->name.len < other->name.len ? one->name.len : other->name.len;
    int order = memcmp(one->name.at, other->name.at, shorter);
    if (order == 0)
        order = (one->name.len > other->name.len) - (one->name.len < other->name.len);
    return order != 0 ? order : (int)one->effect - (int)other->effect;
}

static void print_text(const struct report *report) {
    int width = 1;
    for (size_t i = 0; i < report->n_counts; i++) {
        int digits = snprintf(NULL, 0, "%" PRIu64, report->counts[i].n);
        width = digits > width ? digits : width;
    }
    for (size_t i = 0; i < report->n_counts; i++) {
        const struct count *count = &report->counts[i];
        printf("%*" PRIu64 " %.*s%s\n", width, count->n, STR_ARG(count->name), effect_marks[count->effect]);
    }
    if (report->n_unrehearsed > 0)
        printf("%sof %" PRIu64 " decisions it is not known what shadow rules would have done: too many at a time\n",
               report->n_counts > 0 ? "\n" : "", report->n_unrehearsed);
}

static int print_json(const struct report *report) {
    struct buf out;
    struct record r;
    buf_init(&out, JSON_MAX);
    record_begin(&r, &out);
    if (report->since[0] != '\0')
        record_str(&r, "since", str_of(report->since));
    record_open(&r, "policy", '[');
    for (size_t i = 0; i < report->n_counts; i++) {
        const struct count *count = &report->counts[i];
        record_open(&r, NULL, '{');
        record_u64(&r, "count", count->n);
        record_str(&r, "rule", count->name);
        record_bool(&r, "shadow", count->effect == SHADOW);
        record_str(&r, "effect", str_of(effect_names[count->effect]));
        record_close(&r, '}');
    }
    record_close(&r, ']');
    record_u64(&r, "unrehearsed", report->n_unrehearsed);
    int result = record_end(&r);
    if (result == 0)
        fwrite(out.at, 1, out.len, stdout);
    buf_deinit(&out);
    return result;
}

static int report_policy(const char *dir, uint64_t since_ms, bool is_json) {
    struct report *report = calloc(1, sizeof(*report));
    if (report == NULL) {
        fprintf(stderr, "postern: %s\n", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    if (since_ms > 0)
        clock_format_rfc3339(since_ms, report->since);
    int r = journal_read(dir, since_ms, on_line, report);
    if (r < 0)
        fprintf(stderr, "postern: the journal in %s cannot be read%s: %s\n", dir,
                report->n_counts > 0 ? " as a whole" : "", strerror(-r));
    if (report->n_counts > 0)
        qsort(report->counts, report->n_counts, sizeof(report->counts[0]), by_count);
    if (is_json)
        r = r == 0 ? print_json(report) : r;
    else
        print_text(report);
    arena_reset(&report->arena);
    free(report);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Prints from a folder of journal files; returns the exit code. */
typedef int report_fn(const char *dir, uint64_t since_ms, bool is_json);

static report_fn *find_report(const char *name) {
    static const struct {
        const char *name;
        report_fn *print;
    } reports[] = { { "policy", report_policy }, { "greylist", report_greylist }, { "lists", report_lists },
                    { "content", report_content } };
    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
        if (strcmp(reports[i].name, name) == 0)
            return reports[i].print;
    }
    return NULL;
}

/* Where the configuration says that the journal is. */
static int report_of_conf(const char *path, report_fn *report, uint64_t since_ms, bool is_json) {
    struct diag_list diag;
    struct conf *conf = NULL;
    int code = EXIT_FAILURE;
    diag_init(&diag);
    int r = conf_load_settings(path, &diag, &conf);
    if (r == -EINVAL)
        fwrite(diag.text.at, 1, diag.text.len, stderr);
    else if (r < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
    else if (conf->set.journal.path == NULL)
        fprintf(stderr, "postern: %s names no journal\n", path);
    else
        code = report(conf->set.journal.path, since_ms, is_json);
    diag_deinit(&diag);
    conf_free(conf);
    return code;
}

static int run(int argc, char **argv) {
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' }, { "journal", required_argument, NULL, 'J' },
        { "since", required_argument, NULL, 's' },  { "json", no_argument, NULL, 'j' },
        { 0 },
    };
    const char *conf = DEFAULT_CONF, *journal = NULL, *since = NULL;
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
            return usage();
    }
    report_fn *report = optind == argc - 1 ? find_report(argv[optind]) : NULL;
    if (report == NULL)
        return usage();
    if (since != NULL && parse_span(str_of(since), clock_wall_ms(), &since_ms) < 0 &&
        parse_time(since, &since_ms) < 0) {
        fprintf(stderr, "postern: '%s' is no time; expected 90s, 30m, 1h, 2d, or as in 2026-11-21T22:44:42Z\n", since);
        return EXIT_USAGE;
    }
    return journal != NULL ? report(journal, since_ms, is_json) : report_of_conf(conf, report, since_ms, is_json);
}

const struct command command_report = {
    .name = "report",
    .synopsis = "policy | greylist | lists | content [-c FILE | --journal DIR] [--since TIME] [--json]",
    .help = "count in the journal what the policy refused, what greylist and block lists said, what content was",
    .run = run,
};
