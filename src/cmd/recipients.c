/*
 * recipients: put a domain's directory there, look into it, and ask it.
 *
 * Works on the files alone, with or without a running gateway: a directory is replaced by rename, and the master
 * notices. The folder and the rules of each domain come from the configuration, or, where there is none yet (a script
 * on the mailbox server, say), from --dir and the defaults.
 *
 * Exit: 0 done, or known; 1 refused, failed, or unknown; 3 nobody can say (no directory, too old, `directory none`); 64
 * wrong use; 78 the configuration does not load.
 */
#include "cmd/recipients.h"

#include "base/hash.h"
#include "cmd/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int recipients_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("postern recipients: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_FAILURE;
}

static const struct {
    const char *name;
    int n_args;
    const char *args;
    int (*run)(const struct recipients_request *request);
} actions[] = {
    { "import", 2, "DOMAIN FILE", recipients_import },
    { "export", 1, "DOMAIN", recipients_export },
    { "check", 1, "ADDRESS", recipients_check },
    { "stats", 0, "", recipients_stats },
};

enum { N_WAYS = sizeof(actions) / sizeof(actions[0]) };

static const struct option long_options[] = {
    { "config", required_argument, NULL, 'c' }, { "dir", required_argument, NULL, 'd' },
    { "format", required_argument, NULL, 'f' }, { "column", required_argument, NULL, 'C' },
    { "delimiter", required_argument, NULL, 'D' }, { "sub-address", required_argument, NULL, 's' },
    { "force", no_argument, NULL, 'F' }, { NULL, 0, NULL, 0 },
};

/* "\t" or "tab" for a tab: shells make it hard to write one. */
static char delimiter_of(const char *text) {
    if (strcmp(text, "tab") == 0 || strcmp(text, "\\t") == 0)
        return '\t';
    return text[0] != '\0' && text[1] == '\0' && text[0] != '"' && text[0] != '\n' ? text[0] : '\0';
}

static int parse_options(int argc, char **argv, struct recipients_request *request) {
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "c:", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            request->conf_path = optarg;
            break;
        case 'd':
            request->dir = optarg;
            break;
        case 'f':
            request->format = optarg;
            break;
        case 'C':
            request->column = optarg;
            break;
        case 'D':
            request->delimiter = delimiter_of(optarg);
            if (request->delimiter == '\0') {
                recipients_fail("--delimiter takes one character, or 'tab'");
                return -EINVAL;
            }
            break;
        case 's':
            request->sub_address = optarg;
            break;
        case 'F':
            request->is_forced = true;
            break;
        default:
            return -EINVAL;
        }
    }
    if ((request->conf_path != NULL) + (request->dir != NULL) == 2) {
        recipients_fail("-c and --dir exclude each other");
        return -EINVAL;
    }
    if (request->sub_address != NULL && request->dir == NULL) {
        recipients_fail("--sub-address goes with --dir; otherwise the configuration says");
        return -EINVAL;
    }
    return 0;
}

static int load(struct recipients_request *request) {
    if (request->dir != NULL)
        return 0;
    int r = command_load_settings(request->conf_path != NULL ? request->conf_path : COMMAND_CONF, &request->conf);
    if (r == 0)
        request->dir = request->conf->set.directory_path;
    return r;
}

static int run(int argc, char **argv) {
    struct recipients_request request = { .n_args = 0 };
    if (parse_options(argc, argv, &request) < 0 || optind >= argc)
        return command_usage(&command_recipients);
    const char *name = argv[optind];
    request.args = argv + optind + 1;
    request.n_args = argc - optind - 1;
    hash_init();
    for (unsigned i = 0; i < N_WAYS; i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (request.n_args != actions[i].n_args) {
            recipients_fail("%s takes %s", name, actions[i].n_args > 0 ? actions[i].args : "no arguments");
            return command_usage(&command_recipients);
        }
        if (load(&request) < 0)
            return EXIT_CONFIG;
        int status = actions[i].run(&request);
        conf_free(request.conf);
        if (fflush(stdout) != 0 && status == EXIT_SUCCESS)
            status = recipients_fail("standard output: %s", strerror(errno));
        return status;
    }
    recipients_fail("unknown action '%s'", name);
    return command_usage(&command_recipients);
}

const struct command command_recipients = {
    .name = "recipients",
    .synopsis = "[-c CONF | --dir DIR] import DOMAIN FILE [--format list|csv|postfix|ldif]\n"
                "                [--column NAME] [--delimiter CHAR] [--force]\n"
                "              | export DOMAIN | check ADDRESS [--sub-address CHARS] | stats",
    .help = "import, export, check and count the known recipients of a domain",
    .run = run,
};
