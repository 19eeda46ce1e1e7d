/*
 * check: would the gateway start with this configuration, and do its work?
 *
 * Loads what `postern run` would load, in the same way: the file with all it names, the TLS contexts for clients
 * and for each group of servers, the directory of each domain. What keeps the program from starting is an error;
 * what makes it answer 450 to everyone (a directory that was never imported) is a warning, since it is what a new
 * installation looks like until the first import.
 *
 * With --dump the configuration in force goes to standard output instead, and nothing else does, so that the output
 * is a configuration file. Messages go to standard error.
 *
 * With --servers the servers that it names are asked too (check_servers.c).
 *
 * Exit: 0 good (warnings included), 1 not, 64 wrong use.
 */
#include "base/hash.h"
#include "cmd/check_servers.h"
#include "cmd/cmd.h"
#include "conf/conf.h"
#include "net/tls.h"
#include "table/directory.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

enum { ERROR_TEXT_MAX = 4096, PATH_TEXT_MAX = 4096, DUMP_TEXT_MAX = 1 << 30 };

struct check {
    const struct conf *conf;
    struct diag_list diag;
    struct diag_source source; /* the file as a whole: what is wrong here has no line of its own */
    uint64_t directories, recipients;
};

/* Takes over what net/tls.h says about a context that could not be made. */
static void tell_tls(struct check *check, int r, const struct buf *error) {
    if (r < 0 && error->len > 0)
        diag_error(&check->diag, &check->source, NULL, "%.*s", STR_ARG(buf_str(error)));
    else if (r < 0)
        diag_error(&check->diag, &check->source, NULL, "TLS cannot be set up: %s", strerror(-r));
}

static void check_server_tls(struct check *check) {
    const struct conf_settings *set = &check->conf->set;
    struct buf error;
    SSL_CTX *tls = NULL;
    if (set->tls.n_certificates == 0)
        return;
    buf_init(&error, ERROR_TEXT_MAX);
    int r = tls_server_new(set->tls.certificates, set->tls.n_certificates, set->tls.min_version, &error, &tls);
    tell_tls(check, r, &error);
    if (r == 0)
        SSL_CTX_free(tls);
    buf_deinit(&error);
}

static void check_client_tls(struct check *check, const struct conf_group *group) {
    struct buf error;
    SSL_CTX *tls = NULL;
    if (group->tls == CONF_TLS_NONE)
        return;
    buf_init(&error, ERROR_TEXT_MAX);
    int r = tls_client_new(group->tls == CONF_TLS_VERIFY, group->ca_file, &error, &tls);
    tell_tls(check, r, &error);
    if (r == 0)
        SSL_CTX_free(tls);
    buf_deinit(&error);
}

/* A domain's own directory: counted when it is there, told about when it is not or cannot be read. */
static void check_directory(struct check *check, const struct conf_domain *domain) {
    struct buf path;
    struct directory *directory = NULL;
    if (domain->set.directory != CONF_DIRECTORY_OWN)
        return;
    buf_init(&path, PATH_TEXT_MAX);
    int r = directory_path(check->conf->set.directory_path, str_of(domain->name), &path);
    if (r == 0)
        r = buf_putc(&path, '\0');
    if (r == 0)
        r = directory_open(path.at, &directory);
    if (r == 0) {
        check->directories++;
        check->recipients += directory_meta(directory)->count;
        directory_free(directory);
    } else if (r == -ENOENT) {
        diag_warning(&check->diag, &check->source, NULL, "domain %s has no directory yet, so unknown recipients get "
                     "450; import one: postern recipients import %s FILE", domain->name, domain->name);
    } else {
        diag_error(&check->diag, &check->source, NULL, "the directory of domain %s cannot be used: %s", domain->name,
                   r == -EBADMSG ? "it is damaged; import it again" : strerror(-r));
    }
    buf_deinit(&path);
}

static void check_user(struct check *check) {
    const char *user = check->conf->set.user;
    if (getpwnam(user) == NULL)
        diag_warning(&check->diag, &check->source, NULL, "there is no user '%s' here; started by root, the workers "
                     "need one", user);
}

static void check_surroundings(struct check *check) {
    const struct conf *conf = check->conf;
    check_user(check);
    check_server_tls(check);
    for (size_t i = 0; i < conf->n_groups; i++)
        check_client_tls(check, &conf->groups[i]);
    for (size_t i = 0; i < conf->n_domains; i++)
        check_directory(check, &conf->domains[i]);
}

static int print_dump(const struct conf *conf) {
    struct buf out;
    buf_init(&out, DUMP_TEXT_MAX);
    int r = conf_dump(conf, &out);
    if (r < 0)
        fprintf(stderr, "postern: the dump cannot be made: %s\n", strerror(-r));
    else if (fwrite(out.at, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
        r = -EIO;
    buf_deinit(&out);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int print_summary(const struct check *check) {
    const struct conf *conf = check->conf;
    size_t servers = 0;
    for (size_t i = 0; i < conf->n_groups; i++)
        servers += conf->groups[i].n_servers;
    printf("%s: ok\n", conf->path);
    printf("%s: listeners %zu, domains %zu, directories %" PRIu64 " with %" PRIu64 " recipients, servers %zu in groups "
           "%zu, certificates %zu\n", conf->set.hostname, conf->n_listeners, conf->n_domains, check->directories,
           check->recipients, servers, conf->n_groups, conf->set.tls.n_certificates);
    return EXIT_SUCCESS;
}

enum check_wish { CHECK_SUMMARY, CHECK_DUMP, CHECK_SERVERS };

static int do_wish(const struct check *check, enum check_wish wish) {
    switch (wish) {
    case CHECK_SUMMARY:
        break;
    case CHECK_DUMP:
        return print_dump(check->conf);
    case CHECK_SERVERS:
        print_summary(check);
        return check_servers(check->conf);
    }
    return print_summary(check);
}

static int check_file(const char *path, enum check_wish wish) {
    struct check check = { .source = { .path = path, .text = STR("") } };
    struct conf *conf = NULL;
    hash_init();
    diag_init(&check.diag);
    int r = conf_load(path, &check.diag, &conf);
    check.conf = conf;
    if (r == 0)
        check_surroundings(&check);
    else if (r != -EINVAL)
        fprintf(stderr, "%s: %s\n", path, strerror(-r));
    if (check.diag.text.len > 0)
        fwrite(check.diag.text.at, 1, check.diag.text.len, stderr);
    int code = EXIT_FAILURE;
    if (r == 0 && check.diag.errors == 0)
        code = do_wish(&check, wish);
    diag_deinit(&check.diag);
    conf_free(conf);
    return code;
}

static int run(int argc, char **argv) {
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "dump", no_argument, NULL, 'd' },
        { "servers", no_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    const char *path = COMMAND_CONF;
    enum check_wish wish = CHECK_SUMMARY;
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            path = optarg;
            break;
        case 'd':
            wish = CHECK_DUMP;
            break;
        case 's':
            wish = CHECK_SERVERS;
            break;
        default:
            return command_usage(&command_check);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "postern check: unexpected '%s'\n", argv[optind]);
        return command_usage(&command_check);
    }
    return check_file(path, wish);
}

const struct command command_check = {
    .name = "check",
    .synopsis = "[-c FILE] [--dump | --servers]",
    .help = "load the configuration and all it names, and say what is wrong where",
    .run = run,
};
