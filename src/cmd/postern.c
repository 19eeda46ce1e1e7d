/*
 * postern: one program, a table of subcommands.
 *
 * `postern NAME …` runs the row of that name with what stands behind it; each is a file of this folder. Options
 * come behind the subcommand, so that no two commands can disagree about a global one.
 */
#include "base/diag.h"
#include "cmd/cmd.h"

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_run, &command_check, &command_classify, &command_explain, &command_report, &command_recipients,
    &command_greylist, &command_quarantine, &command_store, &command_status, &command_reload,
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_help(FILE *out) {
    fprintf(out, "Postern %s, a mail firewall for MX hosts.\n\nusage: postern COMMAND [OPTIONS]\n\n", POSTERN_VERSION);
    for (unsigned i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-12s%s\n              postern %s %s\n", commands[i]->name, commands[i]->help,
            commands[i]->name, commands[i]->synopsis);
    fprintf(out, "\n  --help      this text\n  --version   the version\n\n"
            "Manuals: postern(8), postern.conf(5), postern-policy(5).\n");
}

static int refuse(const char *name) {
    const char *names[N_COMMANDS];
    for (unsigned i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    const char *meant = diag_did_you_mean(str_of(name), names, N_COMMANDS);
    fprintf(stderr, "postern: unknown command '%s'", name);
    if (meant != NULL)
        fprintf(stderr, "; did you mean '%s'?\n", meant);
    else
        fprintf(stderr, "; try: postern --help\n");
    return EXIT_USAGE;
}

static int run_command(const struct command *command, int argc, char **argv) {
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("postern %s %s\n    %s\n", command->name, command->synopsis, command->help);
        return 0;
    }
    return command->run(argc, argv);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("postern %s\n", POSTERN_VERSION);
        return 0;
    }
    for (unsigned i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i]->name) == 0)
            return run_command(commands[i], argc - 1, argv + 1);
    return refuse(name);
}
