/*
 * postern greylist: look at the greylist, and change it.
 *
 * One row an action. The file of the local store is opened beside the store process; that it does not exist (no mail
 * was greylisted so far) is an error for looking, and for changing too, since only the daemon can make it with the
 * right owner.
 *
 * Exit: 0, 1 when it could not be done, 64 wrong use, 78 a configuration that does not load or has no store.
 */
#include "cmd/greylist.h"

#include "base/clock.h"
#include "base/hash.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIFE_S_MAX = 36500 * 86400U }; /* a hundred years */

static const struct action {
    const char *name;
    int (*run)(struct greylist_request *request);
    int min_args, max_args;
    const char *args;
} actions[] = {
    { "list", greylist_list, 0, 0, "no arguments" },
    { "stats", greylist_stats, 0, 0, "no arguments" },
    { "export", greylist_export, 0, 1, "a file at most" },
    { "allow", greylist_allow, 1, 1000, "a client: an address, a network or a domain" },
    { "forget", greylist_forget, 0, 0, "no arguments" },
    { "import", greylist_import, 1, 1, "one file, - for standard input" },
};

enum { N_ACTIONS_GREYLIST = sizeof(actions) / sizeof(actions[0]) };

int greylist_fail(const char *format, ...) {
    va_list args;
    fputs("postern: greylist: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_FAILURE;
}

bool greylist_is_shared(const struct greylist_request *request) {
    return request->conf->set.store.postgresql[0] != '\0';
}

/* ---- the command line */

static bool is_format(const char *text) {
    return strcmp(text, "export") == 0 || strcmp(text, "postgrey") == 0 || strcmp(text, "sqlgrey") == 0;
}

static int take_option(struct greylist_request *request, int c, const char *value) {
    unsigned long long number;
    switch (c) {
    case 'c':
        request->conf_path = value;
        return 0;
    case 'C':
        request->client = value;
        return 0;
    case 'S':
        request->sender = value;
        return 0;
    case 'T':
        request->recipient = value;
        return 0;
    case 'F':
        request->format = value;
        return is_format(value) ? 0 : -EINVAL;
    case 'L':
        if (str_to_span(str_of(value), LIFE_S_MAX, &number) < 0 || number == 0)
            return -EINVAL;
        request->life_s = (int64_t)number;
        return 0;
    case 'n':
        if (str_to_u64(str_of(value), UINT32_MAX, &number) < 0)
            return -EINVAL;
        request->limit = number;
        return 0;
    case 'j':
        request->is_json = true;
        return 0;
    case 'H':
        request->by_host = true;
        return 0;
    case 'A':
        request->all = true;
        return 0;
    default:
        return -EINVAL;
    }
}

static int parse_options(struct greylist_request *request, int argc, char **argv) {
    static const struct option known[] = {
        { "client", required_argument, NULL, 'C' }, { "sender", required_argument, NULL, 'S' },
        { "to", required_argument, NULL, 'T' },     { "format", required_argument, NULL, 'F' },
        { "for", required_argument, NULL, 'L' },    { "limit", required_argument, NULL, 'n' },
        { "json", no_argument, NULL, 'j' },         { "by-host", no_argument, NULL, 'H' },
        { "all", no_argument, NULL, 'A' },          { 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "c:n:", known, NULL)) != -1;) {
        if (take_option(request, c, optarg) < 0) {
            if (c != '?')
                greylist_fail("'%s' is not a value for that option", optarg);
            return -EINVAL;
        }
    }
    return 0;
}

/* ---- what an action needs */

static int load_conf(struct greylist_request *request) {
    int r = command_load_settings(request->conf_path, &request->conf);
    if (r == 0 && request->conf->set.store.path == NULL) {
        greylist_fail("%s: no store is configured (store { path ... })", request->conf_path);
        r = -ENOENT;
    }
    return r;
}

static int open_store(struct greylist_request *request) {
    struct local_options options = { .path = request->conf->set.store.path, .is_command = true };
    struct buf why;
    buf_init(&why, 512);
    int r = local_open(&options, &why, &request->local);
    if (r < 0)
        greylist_fail("%.*s", STR_ARG(buf_str(&why)));
    else if (greylist_is_shared(request)) /* whose clock counts for all that stands there */
        request->now += local_shared_ahead_ms(request->local) / 1000;
    buf_deinit(&why);
    return r;
}

static int perform(struct greylist_request *request, const struct action *action) {
    if (load_conf(request) < 0)
        return EXIT_CONFIG;
    if (open_store(request) < 0)
        return EXIT_FAILURE;
    int code = action->run(request);
    local_close(request->local);
    if (fflush(stdout) != 0 && code == EXIT_SUCCESS)
        code = greylist_fail("standard output: %s", strerror(errno));
    return code;
}

static int run(int argc, char **argv) {
    struct greylist_request request = { .conf_path = COMMAND_CONF, .format = "export",
                                        .now = (int64_t)(clock_wall_ms() / 1000) };
    if (parse_options(&request, argc, argv) < 0 || optind >= argc)
        return command_usage(&command_greylist);
    const char *name = argv[optind];
    request.args = argv + optind + 1;
    request.n_args = argc - optind - 1;
    hash_init();
    for (unsigned i = 0; i < N_ACTIONS_GREYLIST; i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (request.n_args < actions[i].min_args || request.n_args > actions[i].max_args) {
            greylist_fail("%s takes %s", name, actions[i].args);
            return command_usage(&command_greylist);
        }
        int code = perform(&request, &actions[i]);
        conf_free(request.conf);
        return code;
    }
    greylist_fail("unknown action '%s'", name);
    return command_usage(&command_greylist);
}

const struct command command_greylist = {
    .name = "greylist",
    .synopsis = "[-c CONF] list [--client A] [--sender S] [--to R] [--limit N] [--json]\n"
                "              | stats [--json] | allow CLIENT ... [--for 36d]\n"
                "              | forget --client A | --sender S | --to R | --all\n"
                "              | export [FILE] | import FILE [--format export|postgrey|sqlgrey] [--by-host]",
    .help = "look at who waits, is known or white-listed, and change it",
    .run = run,
};
