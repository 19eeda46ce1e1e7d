/*
 * postern status: how is the service doing?
 *
 * Text for people, --json for programs, --check as a plugin of a monitoring system (one line, exit code 0 ok, 1
 * warning, 2 critical, 3 unknown). The master judges and writes; this only carries. For monitoring a master that does
 * not answer is critical, not unknown: no mail comes in.
 */
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/control.h"
#include "cmd/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_WAIT_MS = 10000 };

static int parse(int argc, char **argv, struct ask_options *options) {
    static const struct option known[] = {
        {"check", no_argument, NULL, 'k'},
        {"json", no_argument, NULL, 'j'},
        {"socket", required_argument, NULL, 's'},
        {"config", required_argument, NULL, 'c'},
        {0},
    };
    for (int c; (c = getopt_long(argc, argv, "c:s:", known, NULL)) != -1;) {
        switch (c) {
        case 'c':
            options->conf_path = optarg;
            break;
        case 's':
            options->socket = optarg;
            break;
        case 'k':
            options->is_check = true;
            break;
        case 'j':
            options->is_json = true;
            break;
        default:
            return -EINVAL;
        }
    }
    return optind == argc && !(options->is_check && options->is_json) ? 0 : -EINVAL;
}

/* "1 a server is down" → "POSTERN WARNING - a server is down", 1 */
static int print_check(int r, struct str answer) {
    static const char *const names[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
    enum report_health health = REPORT_UNKNOWN;
    struct str text = str_trim(answer);
    if (r == -ENOENT || r == -ECONNREFUSED || r == -ETIMEDOUT || r == -ECONNRESET || r == -EPROTO) {
        health = REPORT_CRITICAL;
        text = STR("the master does not answer");
    } else if (r < 0) {
        text = str_of(strerror(-r));
    } else if (r == 0 && text.len > 2 && text.at[0] >= '0' && text.at[0] <= '3') {
        health = (enum report_health)(text.at[0] - '0');
        text = str_from(text, 2);
    }
    printf("POSTERN %s - %.*s\n", names[health], STR_ARG(text));
    return (int)health;
}

static int run(int argc, char **argv) {
    struct ask_options options = { .conf_path = COMMAND_CONF };
    if (parse(argc, argv, &options) != 0) {
        command_usage(&command_status);
        return options.is_check ? (int)REPORT_UNKNOWN : EXIT_USAGE;
    }
    const char *request = options.is_check ? "status check" : options.is_json ? "status json" : "status";
    struct buf answer;
    buf_init(&answer, CONTROL_ANSWER_MAX + 4096);
    int r = ask_master(&options, request, ANSWER_WAIT_MS, &answer), code = EXIT_FAILURE;
    if (options.is_check) {
        code = print_check(r, buf_str(&answer));
    } else if (r == 0) {
        code = fwrite(answer.at, 1, answer.len, stdout) == answer.len && fflush(stdout) == 0 ? 0 : EXIT_FAILURE;
    } else if (r > 0) {
        fprintf(stderr, "postern: %.*s", STR_ARG(buf_str(&answer)));
    }
    buf_deinit(&answer);
    return code;
}

const struct command command_status = {
    .name = "status",
    .synopsis = "[-c FILE | -s SOCKET] [--check | --json]",
    .help = "show how the running service is doing",
    .run = run,
};
