/*
 * postern quarantine: look at what is kept, hand it on, remove it.
 *
 * Exit: 0, 1 when it could not be done (all of it), 64 wrong use, 78 a configuration that does not load or has no
 * quarantine.
 */
#include "cmd/quarantine.h"

#include "base/clock.h"
#include "base/hash.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct action {
    const char *name;
    int (*run)(struct quarantine_request *request);
    int min_args, max_args;
    const char *args;
} actions[] = {
    { "list", quarantine_list, 0, 0, "no arguments" },
    { "show", quarantine_show, 1, 1, "one id" },
    { "release", quarantine_release, 1, 10000, "ids" },
    { "delete", quarantine_delete, 1, 10000, "ids" },
    { "expire", quarantine_expire_old, 0, 0, "no arguments" },
    { "learn", quarantine_learn, 1, 10000, "ids, and --ham or --spam" },
    { "digest", quarantine_digest, 0, 0, "no arguments" },
};

int quarantine_fail(const char *format, ...) {
    va_list args;
    fputs("postern: quarantine: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_FAILURE;
}

/* ---- the command line */

/* "90m", "12h", "7d": so long before now. */
static int parse_since(const char *text, int64_t now, int64_t *ret_since) {
    unsigned long long span_s;
    int r = str_to_span(str_of(text), (unsigned long long)now, &span_s);
    if (r == 0)
        *ret_since = now - (int64_t)span_s;
    return r;
}

static int take_option(struct quarantine_request *request, int c, const char *value) {
    switch (c) {
    case 'c':
        request->conf_path = value;
        return 0;
    case 'R':
        request->recipient = value;
        return 0;
    case 'S':
        request->sender = value;
        return 0;
    case 'k':
        request->kind = value;
        return 0;
    case 'D':
        request->domain = value;
        return 0;
    case 'T':
        request->to = value;
        return strchr(value, '@') != NULL ? 0 : -EINVAL;
    case 'p':
        request->spamd = value;
        return 0;
    case 's':
        return parse_since(value, request->now, &request->since);
    default:
        return -EINVAL;
    }
}

static int parse_options(struct quarantine_request *request, int argc, char **argv) {
    int is_json = 0, is_raw = 0, again = 0, send = 0, is_ham = 0, is_spam = 0;
    const struct option known[] = {
        { "recipient", required_argument, NULL, 'R' }, { "sender", required_argument, NULL, 'S' },
        { "kind", required_argument, NULL, 'k' },      { "domain", required_argument, NULL, 'D' },
        { "to", required_argument, NULL, 'T' },        { "since", required_argument, NULL, 's' },
        { "spamd", required_argument, NULL, 'p' },     { "json", no_argument, &is_json, 1 },
        { "raw", no_argument, &is_raw, 1 },            { "again", no_argument, &again, 1 },
        { "send", no_argument, &send, 1 },             { "ham", no_argument, &is_ham, 1 },
        { "spam", no_argument, &is_spam, 1 },          { 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "c:", known, NULL)) != -1;) {
        if (c == 0)
            continue;
        if (take_option(request, c, optarg) < 0) {
            if (c != '?')
                quarantine_fail("'%s' is not a value for that option", optarg);
            return -EINVAL;
        }
    }
    request->is_json = is_json;
    request->is_raw = is_raw;
    request->again = again;
    request->send = send;
    request->is_ham = is_ham;
    request->is_spam = is_spam;
    return 0;
}

/* ---- what an action needs */

static int load_conf(struct quarantine_request *request) {
    int r = command_load_settings(request->conf_path, &request->conf);
    if (r == 0 && request->conf->set.quarantine.path == NULL) {
        quarantine_fail("%s: no quarantine is configured (quarantine { path ... })", request->conf_path);
        r = -ENOENT;
    }
    return r;
}

static int perform(struct quarantine_request *request, const struct action *action) {
    if (load_conf(request) < 0)
        return EXIT_CONFIG;
    const char *path = request->conf->set.quarantine.path;
    request->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (request->folder_fd < 0)
        return quarantine_fail("%s: %s", path, strerror(errno));
    int code = action->run(request);
    close(request->folder_fd);
    if (fflush(stdout) != 0 && code == EXIT_SUCCESS)
        code = quarantine_fail("standard output: %s", strerror(errno));
    return code;
}

static int run(int argc, char **argv) {
    struct quarantine_request request = { .conf_path = COMMAND_CONF, .now = (int64_t)(clock_wall_ms() / 1000) };
    if (parse_options(&request, argc, argv) < 0 || optind >= argc)
        return command_usage(&command_quarantine);
    const char *name = argv[optind];
    request.args = argv + optind + 1;
    request.n_args = argc - optind - 1;
    hash_init();
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (request.n_args < actions[i].min_args || request.n_args > actions[i].max_args) {
            quarantine_fail("%s takes %s", name, actions[i].args);
            return command_usage(&command_quarantine);
        }
        int code = perform(&request, &actions[i]);
        conf_free(request.conf);
        return code;
    }
    quarantine_fail("unknown action '%s'", name);
    return command_usage(&command_quarantine);
}

const struct command command_quarantine = {
    .name = "quarantine",
    .synopsis = "[-c CONF] list [--recipient R] [--sender S] [--kind K] [--since 1d] [--json]\n"
                "              | show ID [--raw] | release ID ... [--to ADDRESS] [--again]\n"
                "              | delete ID ... [--again] | expire\n"
                "              | learn ID ... --ham|--spam [--spamd ADDRESS:PORT]\n"
                "              | digest [--recipient R | --domain D] [--since 1d] [--send]",
    .help = "look at the mail that is kept, hand it on, or remove it",
    .run = run,
};
