/*
 * postern reload: take the changed configuration, certificates and domain lists.
 *
 * Waits until the new workers serve, or until it is certain that they will not, and says so: a script that installs a
 * certificate must hear of a failure from the command it ran. What the master would not load is printed with the
 * lines that are wrong.
 */
#include "cmd/ask.h"
#include "cmd/cmd.h"
#include "cmd/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int run(int argc, char **argv) {
    struct ask_options options = { .conf_path = COMMAND_CONF };
    for (int c; (c = getopt(argc, argv, "c:s:")) != -1;) {
        if (c == 'c')
            options.conf_path = optarg;
        else if (c == 's')
            options.socket = optarg;
        else
            return command_usage(&command_reload);
    }
    if (optind != argc)
        return command_usage(&command_reload);
    struct buf answer;
    buf_init(&answer, CONTROL_ANSWER_MAX + 4096);
    int r = ask_master(&options, "reload", CONTROL_ANSWER_LIMIT_MS + CONTROL_TIMEOUT_MS, &answer);
    if (r == 0)
        printf("%.*s", STR_ARG(buf_str(&answer)));
    else if (r > 0)
        fprintf(stderr, "postern: reload: %.*s", STR_ARG(buf_str(&answer)));
    buf_deinit(&answer);
    return r == 0 ? 0 : EXIT_FAILURE;
}

const struct command command_reload = {
    .name = "reload",
    .synopsis = "[-c FILE | -s SOCKET]",
    .help = "load the changed configuration without dropping a session",
    .run = run,
};
