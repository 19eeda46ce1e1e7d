/*
 * recipients: put a domain's directory there, look into it, and ask it.
 *
 * Works on the files alone, with or without a running gateway: a directory is replaced by rename, and the master
 * notices. The folder and the rules of each domain come from the configuration, or, where there is none yet (a script
 * on the mailbox server, say), from --dir and the defaults.
 *
 * An import stands or falls as a whole. Malformed lines are errors and nothing is imported, with --force too: whoever
 * asked for a line to be overlooked would have its recipient refused, and see it nowhere. What --force allows is the
 * one thing that can be meant: a list that is much shorter than the one before. A list without a single address of the
 * domain is an export that failed, and always refused.
 *
 * Exit: 0 done, or known; 1 refused, failed, or unknown; 3 nobody can say (no directory, too old, `directory none`); 64
 * wrong use; 78 the configuration does not load.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "cmd/cmd.h"
#include "conf/conf.h"
#include "table/import.h"
#include "table/recipients.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/etc/postern/postern.conf"

enum {
    EXIT_NOBODY_KNOWS = 3,
    EXIT_CONFIG = 78, /* sysexits.h */
    PATH_TEXT_MAX = 4096,
    PIECE_SIZE = 256 * 1024,
    GUESS_MIN = 4096, /* bytes that guessing the format waits for */
    SHRINK_PERCENT = 10,
    SHRINK_ADDRESSES = 10,
};

struct request {
    const char *conf_path, *dir;
    const char *format, *column, *sub_address;
    char delimiter;
    bool is_forced;
    struct conf *conf; /* NULL with --dir */
    char **args;       /* behind the word that says what to do */
    int n_args;
};

__attribute__((format(printf, 1, 2)))
static int fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("postern recipients: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_FAILURE;
}

/* ---- domains and their files */

/* Returns the domain, or NULL and says so, with the one that may have been meant. */
static const struct conf_domain *find_domain(const struct conf *conf, struct str name) {
    const struct conf_domain *domain = conf_domain_find(conf, name);
    if (domain != NULL)
        return domain;
    const char **names = calloc(conf->n_domains + 1, sizeof(*names));
    for (size_t i = 0; names != NULL && i < conf->n_domains; i++)
        names[i] = conf->domains[i].name;
    const char *meant = names != NULL ? diag_did_you_mean(name, names, conf->n_domains) : NULL;
    if (meant != NULL)
        fail("%.*s is no domain of %s; did you mean %s?", STR_ARG(name), conf->path, meant);
    else
        fail("%.*s is no domain of %s", STR_ARG(name), conf->path);
    free(names);
    return NULL;
}

/* The domain whose file is meant by `text`. Returns false after saying why there is none. */
static bool own_domain(const struct request *request, const char *text, struct str *ret_domain) {
    *ret_domain = str_of(text);
    if (request->conf == NULL) {
        if (smtp_domain_parse(*ret_domain, false, true) == SMTP_ADDRESS_OK)
            return true;
        fail("'%s' is no domain name", text);
        return false;
    }
    const struct conf_domain *domain = find_domain(request->conf, *ret_domain);
    if (domain == NULL)
        return false;
    if (domain->set.directory == CONF_DIRECTORY_OF) {
        fail("%s has no list of its own, it uses that of %s", domain->name, domain->set.directory_of);
        return false;
    }
    if (domain->set.directory == CONF_DIRECTORY_NONE)
        fprintf(stderr, "postern recipients: warning: %s has 'directory none': its list is not asked\n", domain->name);
    *ret_domain = str_of(domain->name);
    return true;
}

/* NUL-terminated. */
static int file_path(const struct request *request, struct str domain, struct buf *out) {
    buf_init(out, PATH_TEXT_MAX);
    int r = directory_path(request->dir, domain, out);
    return r == 0 ? buf_putc(out, '\0') : r;
}

static int open_directory(const struct request *request, struct str domain, struct directory **ret_directory) {
    struct buf path;
    int r = file_path(request, domain, &path);
    if (r == 0)
        r = directory_open(path.at, ret_directory);
    buf_deinit(&path);
    return r;
}

static const char *why(int r) {
    return r == -EBADMSG ? "the file is damaged or no directory" : strerror(-r);
}

/* ---- import */

struct job {
    const struct request *request;
    struct str domain;
    const char *path; /* "-" is standard input */
    int fd;
    struct import_options options;
    struct diag_list diag;
    struct directory_writer *writer;
    struct import_counts counts;
    char *piece;
};

static int add(void *arg, struct str local, struct str address) {
    return directory_writer_add(arg, local, address);
}

static int choose_format(struct job *job, struct str head) {
    const char *name = job->request->format;
    if (name != NULL)
        return import_format_parse(name, &job->options.format);
    job->options.format = import_format_guess(job->path, head);
    fprintf(stderr, "%s: read as %s (say --format to read it otherwise)\n", job->options.path,
            import_format_name(job->options.format));
    return 0;
}

/* All of the file, from the piece already read. Returns 0 or -errno of reading or writing. */
static int read_all(struct job *job, ssize_t len) {
    struct import *import;
    int r = import_new(&job->options, &job->diag, add, job->writer, &import);
    if (r < 0)
        return r;
    while (len > 0 && r == 0) {
        r = import_feed(import, (struct str){ job->piece, (size_t)len });
        if (r == 0)
            len = file_fill(job->fd, job->piece, PIECE_SIZE, 1);
    }
    if (len < 0 && r == 0)
        r = (int)len;
    if (r == 0)
        r = import_end(import);
    job->counts = *import_counts(import);
    import_free(import);
    return r;
}

static void tell_left_out(const struct import_left_out *left_out, const char *what, const char *hint) {
    if (left_out->count == 0)
        return;
    printf("    %llu %s:", (unsigned long long)left_out->count, what);
    for (uint64_t i = 0; i < left_out->count && i < IMPORT_NAMED_MAX; i++)
        printf("%s %s", i > 0 ? "," : "", left_out->names[i]);
    printf("%s%s\n", left_out->count > IMPORT_NAMED_MAX ? ", …" : "", hint);
}

static void tell_counts(const struct job *job) {
    uint64_t kept = directory_writer_count(job->writer);
    if (job->counts.addresses > kept)
        printf("    %llu named more than once\n", (unsigned long long)(job->counts.addresses - kept));
    tell_left_out(&job->counts.others, "of other domains, left out", "");
    tell_left_out(&job->counts.catch_alls, "catch-all, left out",
                  " (set catch_all in the domain's block of postern.conf)");
    tell_left_out(&job->counts.ignored, "not mail addresses, left out", "");
}

/* Whether the new list may take the place of one with `before` addresses. */
static bool may_shrink(const struct job *job, uint64_t before) {
    uint64_t now = directory_writer_count(job->writer);
    const struct conf *conf = job->request->conf;
    uint64_t percent = conf != NULL ? conf->set.limits.directory_shrink_percent : SHRINK_PERCENT;
    uint64_t addresses = conf != NULL ? conf->set.limits.directory_shrink_addresses : SHRINK_ADDRESSES;
    if (job->request->is_forced || now >= before || before - now <= addresses ||
        (before - now) * 100 <= before * percent)
        return true;
    fail("%.*s would shrink from %llu addresses to %llu, by more than %llu %% and more than %llu: not imported; "
         "--force if that is right",
         STR_ARG(job->domain), (unsigned long long)before, (unsigned long long)now, (unsigned long long)percent,
         (unsigned long long)addresses);
    return false;
}

/* What stands between a file that was read and its taking effect. Returns false after saying what. */
static bool may_replace(const struct job *job) {
    if (job->diag.errors > 0) {
        fwrite(job->diag.text.at, 1, job->diag.text.len, stderr);
        fail("%s: %u error%s, nothing imported", job->options.path, job->diag.errors, job->diag.errors > 1 ? "s" : "");
        return false;
    }
    if (directory_writer_count(job->writer) == 0) {
        fail("%s: %llu lines and no address of %.*s: nothing imported", job->options.path,
             (unsigned long long)job->counts.lines, STR_ARG(job->domain));
        tell_counts(job);
        return false;
    }
    struct directory *before;
    int r = open_directory(job->request, job->domain, &before);
    if (r < 0 && r != -ENOENT)
        fprintf(stderr, "postern recipients: warning: the list before this one is not compared with: %s\n", why(r));
    if (r < 0)
        return true;
    bool may = may_shrink(job, directory_meta(before)->count);
    directory_free(before);
    return may;
}

static int finish(struct job *job) {
    if (!may_replace(job))
        return EXIT_FAILURE;
    printf("%.*s: %llu addresses from %s\n", STR_ARG(job->domain),
           (unsigned long long)directory_writer_count(job->writer), job->options.path);
    tell_counts(job);
    int r = directory_writer_commit(job->writer, clock_wall_ms());
    job->writer = NULL;
    return r < 0 ? fail("%s: %s: not imported", job->request->dir, strerror(-r)) : EXIT_SUCCESS;
}

static int run_job(struct job *job) {
    ssize_t len = file_fill(job->fd, job->piece, PIECE_SIZE, GUESS_MIN);
    if (len < 0)
        return fail("%s: %s", job->options.path, strerror((int)-len));
    if (choose_format(job, (struct str){ job->piece, (size_t)len }) < 0) {
        fail("unknown format '%s': list, csv, postfix or ldif", job->request->format);
        return EXIT_USAGE;
    }
    if (mkdir(job->request->dir, 0750) < 0 && errno != EEXIST)
        return fail("%s: %s", job->request->dir, strerror(errno));
    int r = directory_writer_new(job->request->dir, job->domain, str_of(job->options.path), &job->writer);
    if (r < 0)
        return fail("%s: %s", job->request->dir, strerror(-r));
    r = read_all(job, len);
    if (r < 0)
        return fail("%s: %s: nothing imported", job->options.path, strerror(-r));
    return finish(job);
}

static int run_import(const struct request *request) {
    struct job job = { .request = request, .path = request->args[1] };
    if (!own_domain(request, request->args[0], &job.domain))
        return EXIT_FAILURE;
    bool is_stdin = strcmp(job.path, "-") == 0;
    job.options = (struct import_options){ .path = is_stdin ? "standard input" : job.path, .domain = job.domain,
                                           .column = request->column, .delimiter = request->delimiter };
    job.fd = is_stdin ? STDIN_FILENO : open(job.path, O_RDONLY | O_CLOEXEC);
    if (job.fd < 0)
        return fail("%s: %s", job.path, strerror(errno));
    job.piece = malloc(PIECE_SIZE);
    diag_init(&job.diag);
    int status = job.piece != NULL ? run_job(&job) : fail("%s", strerror(ENOMEM));
    directory_writer_abort(job.writer);
    diag_deinit(&job.diag);
    free(job.piece);
    if (!is_stdin)
        close(job.fd);
    return status;
}

/* ---- export */

/* A line that begins with '#' would be a comment when it is imported again; in quotes it is the same mailbox. */
static int print_address(void *arg, struct str address) {
    size_t at = str_find_last(address, '@');
    if (address.len > 0 && address.at[0] == '#')
        printf("\"%.*s\"%.*s\n", STR_ARG(str_head(address, at)), STR_ARG(str_from(address, at)));
    else
        printf("%.*s\n", STR_ARG(address));
    return ferror(stdout) ? -EIO : 0;
}

static int run_export(const struct request *request) {
    struct str domain;
    struct directory *directory;
    if (!own_domain(request, request->args[0], &domain))
        return EXIT_FAILURE;
    int r = open_directory(request, domain, &directory);
    if (r < 0) {
        fail("%.*s: %s", STR_ARG(domain), r == -ENOENT ? "never imported" : why(r));
        return EXIT_NOBODY_KNOWS;
    }
    r = directory_each(directory, print_address, NULL);
    directory_free(directory);
    if (r == 0 && fflush(stdout) != 0)
        r = -errno;
    return r < 0 ? fail("%.*s: %s", STR_ARG(domain), why(r)) : EXIT_SUCCESS;
}

/* ---- check */

static const char *way_text(enum recipient_way way) {
    switch (way) {
    case RECIPIENT_WAY_OWN:
        return "own entry";
    case RECIPIENT_WAY_SUB_ADDRESS:
        return "sub-address";
    case RECIPIENT_WAY_CATCH_ALL:
        return "catch-all";
    case RECIPIENT_WAY_POSTMASTER:
        return "postmaster";
    case RECIPIENT_WAY_NONE:
        break;
    }
    return "";
}

static int tell_answer(const char *text, enum recipient_answer answer, enum recipient_way way, const char *rewrite) {
    switch (answer) {
    case RECIPIENT_KNOWN:
        printf("%s: known (%s)%s%s\n", text, way_text(way), rewrite != NULL ? ", goes to " : "",
               rewrite != NULL ? rewrite : "");
        return EXIT_SUCCESS;
    case RECIPIENT_UNKNOWN:
        printf("%s: unknown\n", text);
        return EXIT_FAILURE;
    case RECIPIENT_NO_DIRECTORY:
        printf("%s: missing directory (450 for now)\n", text);
        break;
    case RECIPIENT_STALE:
        printf("%s: not in the directory, which is too old (450 for now)\n", text);
        break;
    case RECIPIENT_UNCHECKED:
        printf("%s: not checked here ('directory none'), the mailbox server decides\n", text);
        break;
    }
    return EXIT_NOBODY_KNOWS;
}

/*
 * The rules of the address's domain, and whose list it is looked up in (empty: none). Returns false when it is not
 * ours.
 */
static bool rules_of(const struct request *request, const struct smtp_address *address,
                     struct recipient_lookup *ret_how, struct str *ret_list) {
    *ret_list = address->domain;
    if (request->conf == NULL) {
        *ret_how = (struct recipient_lookup){ .delimiter = request->sub_address != NULL ? request->sub_address : "+" };
        return true;
    }
    const struct conf *conf = request->conf;
    const struct conf_domain *domain = NULL;
    if (!str_is_empty(address->domain))
        domain = conf_domain_find(conf, address->domain);
    else if (conf->n_domains > 0)
        domain = &conf->domains[0]; /* it serves <postmaster> */
    if (domain == NULL)
        return false;
    const struct conf_domain_settings *set = &domain->set;
    *ret_how = (struct recipient_lookup){ .delimiter = set->delimiter, .catch_all = set->catch_all,
                                          .postmaster = set->postmaster,
                                          .is_unchecked = set->directory == CONF_DIRECTORY_NONE,
                                          .max_age_ms = conf->set.timeouts.directory_age };
    *ret_list = str_of(set->directory == CONF_DIRECTORY_OF ? set->directory_of : domain->name);
    return true;
}

static int run_check(const struct request *request) {
    const char *text = request->args[0];
    char path[SMTP_PATH_MAX + 2];
    struct str rest = { path, 0 };
    struct smtp_address address;
    int len = snprintf(path, sizeof(path), text[0] == '<' ? "%s" : "<%s>", text);
    rest.len = len > 0 && (size_t)len < sizeof(path) ? (size_t)len : 0;
    if (smtp_path_parse(&rest, false, true, true, &address) != SMTP_ADDRESS_OK || rest.len > 0) {
        fail("'%s' is no address", text);
        return EXIT_USAGE;
    }
    struct recipient_lookup how;
    struct str list;
    if (!rules_of(request, &address, &how, &list)) {
        printf("%s: unknown, %.*s is not one of our domains\n", text, STR_ARG(address.domain));
        return EXIT_FAILURE;
    }
    struct directory *directory = NULL;
    int r = how.is_unchecked || str_is_empty(list) ? 0 : open_directory(request, list, &directory);
    if (r < 0 && r != -ENOENT)
        fail("%.*s: %s", STR_ARG(list), why(r));
    enum recipient_way way;
    const char *rewrite;
    enum recipient_answer answer = recipient_find(directory, &how, &address, clock_wall_ms(), &way, &rewrite);
    directory_free(directory);
    return tell_answer(text, answer, way, rewrite);
}

/* ---- stats */

static void format_age(uint64_t ms, char out[32]) {
    unsigned long long minutes = ms / 60000;
    if (minutes < 60)
        snprintf(out, 32, "%llu min", minutes);
    else if (minutes < 48 * 60)
        snprintf(out, 32, "%llu h %llu min", minutes / 60, minutes % 60);
    else
        snprintf(out, 32, "%llu d %llu h", minutes / 1440, minutes / 60 % 24);
}

static void format_size(const char *path, char out[32]) {
    struct stat status;
    if (stat(path, &status) < 0)
        snprintf(out, 32, "-");
    else if (status.st_size < 1024 * 1024)
        snprintf(out, 32, "%.1f KiB", (double)status.st_size / 1024);
    else
        snprintf(out, 32, "%.1f MiB", (double)status.st_size / 1024 / 1024);
}

static void print_row(const char *domain, const char *count, const char *imported, const char *age, const char *size,
                      const char *source) {
    printf("%-28s %10s  %-24s  %-14s %10s  %s\n", domain, count, imported, age, size, source);
}

static void print_stats(const char *domain, const char *path, uint64_t max_age_ms) {
    struct directory *directory;
    int r = directory_open(path, &directory);
    if (r < 0) {
        print_row(domain, "-", r == -ENOENT ? "never" : why(r), "-", "-", "-");
        return;
    }
    const struct directory_meta *meta = directory_meta(directory);
    char count[32], imported[CLOCK_RFC3339_MAX], age[32], size[32], source[1024];
    uint64_t now = clock_wall_ms(), age_ms = now > meta->imported_ms ? now - meta->imported_ms : 0;
    bool is_old = max_age_ms > 0 && age_ms > max_age_ms;
    snprintf(count, sizeof(count), "%llu", (unsigned long long)meta->count);
    snprintf(source, sizeof(source), "%.*s%s", STR_ARG(str_head(meta->source, 900)),
             is_old ? " (too old: unknown recipients get 450)" : "");
    clock_format_rfc3339(meta->imported_ms, imported);
    format_age(age_ms, age);
    format_size(path, size);
    print_row(domain, count, imported, age, size, source);
    directory_free(directory);
}

static int stats_of_conf(const struct request *request) {
    for (size_t i = 0; i < request->conf->n_domains; i++) {
        const struct conf_domain *domain = &request->conf->domains[i];
        struct buf path;
        if (domain->set.directory == CONF_DIRECTORY_OF) {
            char text[300];
            snprintf(text, sizeof(text), "uses the list of %s", domain->set.directory_of);
            print_row(domain->name, "-", "-", "-", "-", text);
            continue;
        }
        if (domain->set.directory == CONF_DIRECTORY_NONE) {
            print_row(domain->name, "-", "-", "-", "-", "not checked here ('directory none')");
            continue;
        }
        int r = file_path(request, str_of(domain->name), &path);
        if (r == 0)
            print_stats(domain->name, path.at, request->conf->set.timeouts.directory_age);
        buf_deinit(&path);
        if (r < 0)
            return fail("%s: %s", domain->name, strerror(-r));
    }
    return EXIT_SUCCESS;
}

static int is_directory_file(const struct dirent *entry) {
    return entry->d_name[0] != '.' && str_ends_nocase(str_of(entry->d_name), STR(".cdb"));
}

static int stats_of_dir(const struct request *request) {
    struct dirent **entries;
    int n = scandir(request->dir, &entries, is_directory_file, alphasort);
    if (n < 0)
        return fail("%s: %s", request->dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[PATH_TEXT_MAX + 256], domain[256];
        struct str name = str_of(entries[i]->d_name);
        snprintf(path, sizeof(path), "%s/%s", request->dir, entries[i]->d_name);
        snprintf(domain, sizeof(domain), "%.*s", STR_ARG(str_head(name, name.len - 4)));
        print_stats(domain, path, 0);
        free(entries[i]);
    }
    free(entries);
    return EXIT_SUCCESS;
}

static int run_stats(const struct request *request) {
    print_row("domain", "addresses", "imported", "age", "size", "source");
    return request->conf != NULL ? stats_of_conf(request) : stats_of_dir(request);
}

/* ---- the command line */

static const struct {
    const char *name;
    int n_args;
    const char *args;
    int (*run)(const struct request *request);
} actions[] = {
    { "import", 2, "DOMAIN FILE", run_import },
    { "export", 1, "DOMAIN", run_export },
    { "check", 1, "ADDRESS", run_check },
    { "stats", 0, "", run_stats },
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

static int parse_options(int argc, char **argv, struct request *request) {
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
                fail("--delimiter takes one character, or 'tab'");
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
        fail("-c and --dir exclude each other");
        return -EINVAL;
    }
    if (request->sub_address != NULL && request->dir == NULL) {
        fail("--sub-address goes with --dir; otherwise the configuration says");
        return -EINVAL;
    }
    return 0;
}

static int load(struct request *request) {
    if (request->dir != NULL)
        return 0;
    struct diag_list diag;
    diag_init(&diag);
    int r = conf_load_settings(request->conf_path != NULL ? request->conf_path : DEFAULT_PATH, &diag, &request->conf);
    if (r < 0 && diag.text.len > 0)
        fwrite(diag.text.at, 1, diag.text.len, stderr);
    else if (r < 0)
        fail("%s", strerror(-r));
    diag_deinit(&diag);
    if (r == 0)
        request->dir = request->conf->set.directory_path;
    return r;
}

static int refuse_usage(void) {
    fprintf(stderr, "usage: postern recipients %s\n", command_recipients.synopsis);
    return EXIT_USAGE;
}

static int run(int argc, char **argv) {
    struct request request = { .n_args = 0 };
    if (parse_options(argc, argv, &request) < 0 || optind >= argc)
        return refuse_usage();
    const char *name = argv[optind];
    request.args = argv + optind + 1;
    request.n_args = argc - optind - 1;
    hash_init();
    for (unsigned i = 0; i < N_WAYS; i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (request.n_args != actions[i].n_args) {
            fail("%s takes %s", name, actions[i].n_args > 0 ? actions[i].args : "no arguments");
            return refuse_usage();
        }
        if (load(&request) < 0)
            return EXIT_CONFIG;
        int status = actions[i].run(&request);
        conf_free(request.conf);
        if (fflush(stdout) != 0 && status == EXIT_SUCCESS)
            status = fail("standard output: %s", strerror(errno));
        return status;
    }
    fail("unknown action '%s'", name);
    return refuse_usage();
}

const struct command command_recipients = {
    .name = "recipients",
    .synopsis = "[-c CONF | --dir DIR] import DOMAIN FILE [--format list|csv|postfix|ldif] [--column NAME] "
                "[--delimiter CHAR] [--force]\n"
                "              | export DOMAIN | check ADDRESS [--sub-address CHARS] | stats",
    .help = "import, export, check and count the known recipients of a domain",
    .run = run,
};
