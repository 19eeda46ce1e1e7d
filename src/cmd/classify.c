/*
 * postern classify: what class has this host name?
 *
 * For an administrator who wonders why a client counts as an access line, and for measuring the classifier on names of
 * one's own. The class stands alone on its line, so that it can be pasted beside the names. With --file a line that
 * cannot be read still gives a line, `invalid`, or everything behind it would be off by one; what is wrong with it
 * goes to standard error.
 *
 * Exit: 0, 1 when something could not be read, 64 wrong use.
 */
#include "cmd/cmd.h"
#include "policy/classify.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* Why there is no class for this name and address, or NULL and the class. An empty address is none. */
static const char *classify(struct str name, struct str address, enum name_class *ret_class) {
    struct ip ip = { .family = IP_NONE };
    if (name.len == 0 || (name.len == 1 && name.at[0] == '.'))
        return "no name";
    if (name.len > NAME_CLASSIFY_MAX + (name.at[name.len - 1] == '.'))
        return "the name is longer than 255 bytes";
    if (address.len > 0 && ip_parse(address, &ip) != 0)
        return "not an IP address";
    *ret_class = name_classify(name, &ip);
    return NULL;
}

static int classify_one(const char *name, const char *address) {
    enum name_class class;
    const char *problem = classify(str_trim(str_of(name)), str_trim(str_of(address)), &class);
    if (problem != NULL) {
        fprintf(stderr, "postern: %s\n", problem);
        return EXIT_FAILURE;
    }
    puts(name_class_text(class));
    return EXIT_SUCCESS;
}

/* `name TAB address TAB anything`: what stands behind the address (a class to compare with) is not looked at. */
static const char *classify_line(struct str line, enum name_class *ret_class) {
    size_t tab = str_find(line, '\t');
    struct str rest = str_from(line, tab + 1);
    return classify(str_trim(str_head(line, tab)), str_trim(str_head(rest, str_find(rest, '\t'))), ret_class);
}

static int classify_stream(FILE *in, const char *path) {
    char *line = NULL;
    size_t size = 0;
    int code = EXIT_SUCCESS;
    unsigned long number = 0;
    for (ssize_t len; (len = getline(&line, &size, in)) >= 0;) {
        enum name_class class;
        const char *problem = classify_line((struct str){ line, (size_t)len }, &class);
        number++;
        puts(problem != NULL ? "invalid" : name_class_text(class));
        if (problem != NULL) {
            fprintf(stderr, "%s:%lu: %s\n", path, number, problem);
            code = EXIT_FAILURE;
        }
    }
    free(line);
    if (ferror(in)) {
        fprintf(stderr, "postern: %s: %s\n", path, strerror(errno));
        code = EXIT_FAILURE;
    }
    return code;
}

static int classify_file(const char *path) {
    if (strcmp(path, "-") == 0)
        return classify_stream(stdin, "stdin");
    FILE *in = fopen(path, "re");
    if (in == NULL) {
        fprintf(stderr, "postern: %s: %s\n", path, strerror(errno));
        return EXIT_FAILURE;
    }
    int code = classify_stream(in, path);
    fclose(in);
    return code;
}

static int run(int argc, char **argv) {
    static const struct option known[] = {
        { "file", required_argument, NULL, 'f' },
        { 0 },
    };
    const char *path = NULL;
    for (int c; (c = getopt_long(argc, argv, "f:", known, NULL)) != -1;) {
        if (c != 'f')
            return command_usage(&command_classify);
        path = optarg;
    }
    int n = argc - optind;
    if (path != NULL ? n != 0 : n < 1 || n > 2)
        return command_usage(&command_classify);
    int code = path != NULL ? classify_file(path) : classify_one(argv[optind], n == 2 ? argv[optind + 1] : NULL);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "postern: cannot write: %s\n", strerror(errno));
        code = EXIT_FAILURE;
    }
    return code;
}

const struct command command_classify = {
    .name = "classify",
    .synopsis = "NAME [ADDRESS] | --file TSV",
    .help = "say what a host name is: access, static, mail or other",
    .run = run,
};
