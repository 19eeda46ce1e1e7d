/*
 * cmd: what subcommands have in common.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>

int command_usage(const struct command *command) {
    fprintf(stderr, "usage: postern %s %s\n", command->name, command->synopsis);
    return EXIT_USAGE;
}

int command_load_settings(const char *path, struct conf **ret_conf) {
    struct diag_list diag;
    diag_init(&diag);
    int r = conf_load_settings(path, &diag, ret_conf);
    if (r < 0 && diag.text.len > 0)
        fwrite(diag.text.at, 1, diag.text.len, stderr);
    else if (r < 0)
        fprintf(stderr, "postern: %s: %s\n", path, strerror(-r));
    diag_deinit(&diag);
    return r;
}
