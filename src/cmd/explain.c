/*
 * postern explain: why was this refused, or let through?
 *
 * Of a decision in the journal, by the id that replies and log lines show; or of one that is only imagined. The rules
 * are those of the configuration as it is now: when the policy has changed since the decision, the output says so, and
 * the recorded outcome stands beside the present one.
 *
 * Exit: 0 explained, 1 not (no such decision, a configuration that does not load), 64 wrong use.
 */
#include "cmd/clean.h"
#include "cmd/explain.h"

#include "base/hash.h"
#include "cmd/cmd.h"
#include "journal/id.h"
#include "journal/reader.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_MAX = 16 << 20, SETS_MAX = 256 };

struct options {
    const char *conf, *journal, *id;
    struct explain_imagined imagined;
    const char *sets[SETS_MAX];
    size_t n_sets;
    bool is_json;
};

/* ---- the configuration */

static int load(const char *path, struct conf **ret_conf) {
    struct diag_list diag;
    hash_init();
    diag_init(&diag);
    int r = conf_load(path, &diag, ret_conf);
    if (r == -EINVAL)
        fwrite(diag.text.at, 1, diag.text.len, stderr);
    else if (r < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
    diag_deinit(&diag);
    return r;
}

/* ---- the two ways to a decision */

/* It may have been pasted from anywhere: the terminal is shown no more than it can bear. */
static int refuse_id(const char *id) {
    struct buf shown;
    buf_init(&shown, ID_TEXT_MAX + 1);
    explain_put_clean(&shown, str_head(str_of(id), ID_TEXT_MAX));
    fprintf(stderr, "postern: '%.*s%s' is no id, such as d202qlns800000.1\n", STR_ARG(buf_str(&shown)),
            strlen(id) > ID_TEXT_MAX ? "..." : "");
    buf_deinit(&shown);
    return EXIT_USAGE;
}

/* ---- a decision that has no record of its own */

struct folded {
    char *line; /* the first that was found */
    size_t len;
    unsigned n;
};

static int on_folded(void *arg, char *line, size_t len) {
    struct folded *folded = arg;
    if (folded->n++ > 0)
        return 0;
    folded->line = malloc(len);
    folded->len = len;
    if (folded->line == NULL)
        return -ENOMEM;
    memcpy(folded->line, line, len);
    return 0;
}

/* It may be one of many that were alike, of which one was written. Returns 1 with that record, 0, or -errno. */
static int find_folded(const char *dir, const char *id, char **ret_line, size_t *ret_len) {
    struct folded folded = { 0 };
    int r = journal_find_folded(dir, id, on_folded, &folded);
    if (r < 0 || folded.n == 0) {
        free(folded.line);
        return r;
    }
    fprintf(stderr, "postern: %s has no record of its own: it was repeated too often and counted in one that has "
            "`repeated`.\n", id);
    if (folded.n > 1)
        fprintf(stderr, "postern: %u records of that minute may be the one; the log or --journal tells which client "
                "it was. The first:\n", folded.n);
    *ret_line = folded.line;
    *ret_len = folded.len;
    return 1;
}

static int explain_id(struct explain *e, const struct options *options, char **ret_line) {
    const char *dir = options->journal != NULL ? options->journal : e->conf->set.journal.path;
    size_t len = 0;
    if (dir == NULL) {
        fprintf(stderr, "postern: %s names no journal\n", options->conf);
        return EXIT_FAILURE;
    }
    int r = journal_find(dir, options->id, ret_line, &len);
    if (r == -EINVAL) {
        return refuse_id(options->id);
    }
    if (r == 0)
        r = find_folded(dir, options->id, ret_line, &len);
    if (r == 1 && explain_record(e, *ret_line, len) == 0)
        return EXIT_SUCCESS;
    if (r < 0)
        fprintf(stderr, "postern: the journal in %s cannot be read: %s\n", dir, strerror(-r));
    else
        fprintf(stderr, "postern: no decision %s in %s (workers write once a second)\n", options->id, dir);
    return EXIT_FAILURE;
}

static int refuse_set(const struct explain *e, const char *set, int why) {
    const char *names[POLICY_SLOTS_MAX];
    if (why == -EINVAL) {
        fprintf(stderr, "postern: --set '%s' gives no value that this fact can have\n", set);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < e->policy->n_slots; i++)
        names[i] = e->policy->slots[i].name.at;
    struct str name = str_head(str_of(set), str_find(str_of(set), '='));
    const char *meant = diag_did_you_mean(name, names, e->policy->n_slots);
    fprintf(stderr, "postern: there is no fact '%.*s'", STR_ARG(name));
    fprintf(stderr, meant != NULL ? "; did you mean '%s'?\n" : "; see postern-policy(5)\n", meant);
    return EXIT_USAGE;
}

static int explain_imagined(struct explain *e, const struct options *options) {
    for (size_t i = 0; i < options->n_sets; i++) {
        int r = explain_set(e, str_of(options->sets[i]));
        if (r < 0)
            return refuse_set(e, options->sets[i], r);
        if (r > 0)
            fprintf(stderr, "postern: no rule asks for '%.*s' itself\n",
                    (int)str_find(str_of(options->sets[i]), '='), options->sets[i]);
    }
    int r = explain_imagine(e, &options->imagined);
    if (r < 0 && r != -EINVAL)
        fprintf(stderr, "postern: %s\n", strerror(-r));
    return r == 0 ? EXIT_SUCCESS : r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}

static int print(const struct explain *e, bool is_json) {
    struct buf out;
    buf_init(&out, OUTPUT_MAX);
    int r = is_json ? explain_print_json(e, &out) : explain_print(e, &out);
    if (r >= 0 && !is_json)
        clean_lines(out.at, out.len); /* whatever a journal says that no function above expected */
    if (r < 0 || fwrite(out.at, 1, out.len, stdout) != out.len || fflush(stdout) != 0) {
        fprintf(stderr, "postern: the explanation cannot be written\n");
        r = -EIO;
    }
    buf_deinit(&out);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int explain(const struct options *options) {
    struct conf *conf = NULL;
    struct explain *e = NULL;
    char *line = NULL;
    int code = EXIT_FAILURE;
    if (load(options->conf, &conf) < 0)
        return EXIT_FAILURE;
    e = calloc(1, sizeof(*e));
    if (e == NULL || explain_init(e, conf) < 0) {
        fprintf(stderr, "postern: %s\n", strerror(ENOMEM));
        goto out;
    }
    code = options->id != NULL ? explain_id(e, options, &line) : explain_imagined(e, options);
    if (code == EXIT_SUCCESS) {
        explain_decide(e);
        code = print(e, options->is_json);
    }
out:
    if (e != NULL)
        explain_deinit(e);
    free(e);
    free(line);
    conf_free(conf);
    return code;
}

/* ---- the command line */

static int take_option(struct options *options, int c) {
    switch (c) {
    case 'c':
        options->conf = optarg;
        break;
    case 'J':
        options->journal = optarg;
        break;
    case 'C':
        options->imagined.client = optarg;
        break;
    case 'H':
        options->imagined.helo = optarg;
        break;
    case 'F':
        options->imagined.from = optarg;
        break;
    case 'T':
        options->imagined.to = optarg;
        break;
    case 'S':
        if (options->n_sets == SETS_MAX)
            return -E2BIG;
        options->sets[options->n_sets++] = optarg;
        break;
    case 'd':
        options->imagined.asks_dns = true;
        break;
    case 'j':
        options->is_json = true;
        break;
    default:
        return -EINVAL;
    }
    return 0;
}

static int run(int argc, char **argv) {
    static const struct option known[] = {
        { "config", required_argument, NULL, 'c' }, { "journal", required_argument, NULL, 'J' },
        { "client", required_argument, NULL, 'C' }, { "helo", required_argument, NULL, 'H' },
        { "from", required_argument, NULL, 'F' },   { "to", required_argument, NULL, 'T' },
        { "set", required_argument, NULL, 'S' },    { "dns", no_argument, NULL, 'd' },
        { "json", no_argument, NULL, 'j' },         { 0 },
    };
    struct options options = { .conf = COMMAND_CONF };
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "c:", known, NULL)) != -1;) {
        if (take_option(&options, c) < 0)
            return command_usage(&command_explain);
    }
    const struct explain_imagined *imagined = &options.imagined;
    bool is_imagined = imagined->client != NULL;
    bool has_more = imagined->helo != NULL || imagined->from != NULL || imagined->to != NULL || imagined->asks_dns ||
        options.n_sets > 0;
    if (argc - optind != !is_imagined || (has_more && !is_imagined))
        return command_usage(&command_explain);
    options.id = is_imagined ? NULL : argv[optind];
    return explain(&options);
}

const struct command command_explain = {
    .name = "explain",
    .synopsis = "[-c FILE] [--json] ID [--journal DIR]\n"
                "              | --client ADDRESS [--helo NAME] [--from SENDER] [--to RECIPIENT]\n"
                "                [--set FACT=VALUE]... [--dns]",
    .help = "why a recipient was refused or let through, or would be",
    .run = run,
};
