/*
 * cmd: the subcommands of the one program `postern`.
 *
 * Each subcommand is one file that exports one `struct command`; postern.c holds the table. A subcommand gets what
 * stands behind its name, its own name as argv[0], and returns the exit code of the process.
 */
#pragma once

#include "conf/conf.h"

#define COMMAND_CONF "/etc/postern/postern.conf" /* where -c names no other */

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 }; /* sysexits.h */

struct command {
    const char *name;
    const char *synopsis; /* "[-c FILE] [--json]": what stands behind the name */
    const char *help;     /* one line, lower case, no full stop */
    int (*run)(int argc, char **argv);
};

/* Says on standard error how it is used. Returns EXIT_USAGE. */
int command_usage(const struct command *command);

/* The settings of a configuration, without the files it names. What is wrong is told; the result is negative then. */
int command_load_settings(const char *path, struct conf **ret_conf);

extern const struct command command_run;
extern const struct command command_check;
extern const struct command command_classify;
extern const struct command command_explain;
extern const struct command command_report;
extern const struct command command_recipients;
extern const struct command command_greylist;
extern const struct command command_quarantine;
extern const struct command command_store;
extern const struct command command_status;
extern const struct command command_reload;
