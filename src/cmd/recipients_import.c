/*
 * recipients_import: put a domain's directory there.
 *
 * An import stands or falls as a whole. Malformed lines are errors and nothing is imported, with --force too: whoever
 * asked for a line to be overlooked would have its recipient refused, and see it nowhere. What --force allows is the
 * one thing that can be meant: a list that is much shorter than the one before. A list without a single address of the
 * domain is an export that failed, and always refused.
 */
#include "cmd/recipients.h"

#include "base/clock.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "table/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE_SIZE = 256 * 1024,
    GUESS_MIN = 4096, /* bytes that guessing the format waits for */
    SHRINK_PERCENT = 10,
    SHRINK_ADDRESSES = 10,
};

struct job {
    const struct recipients_request *request;
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
    recipients_fail("%.*s would shrink from %llu addresses to %llu, by more than %llu %% and more than %llu: not "
                    "imported; --force if that is right",
                    STR_ARG(job->domain), (unsigned long long)before, (unsigned long long)now,
                    (unsigned long long)percent, (unsigned long long)addresses);
    return false;
}

/* What stands between a file that was read and its taking effect. Returns false after saying what. */
static bool may_replace(const struct job *job) {
    if (job->diag.errors > 0) {
        fwrite(job->diag.text.at, 1, job->diag.text.len, stderr);
        recipients_fail("%s: %u error%s, nothing imported", job->options.path, job->diag.errors,
                        job->diag.errors > 1 ? "s" : "");
        return false;
    }
    if (directory_writer_count(job->writer) == 0) {
        recipients_fail("%s: %llu lines and no address of %.*s: nothing imported", job->options.path,
                        (unsigned long long)job->counts.lines, STR_ARG(job->domain));
        tell_counts(job);
        return false;
    }
    struct directory *before;
    int r = recipients_open(job->request, job->domain, &before);
    if (r < 0 && r != -ENOENT)
        fprintf(stderr, "postern recipients: warning: the list before this one is not compared with: %s\n",
                recipients_why(r));
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
    return r < 0 ? recipients_fail("%s: %s: not imported", job->request->dir, strerror(-r)) : EXIT_SUCCESS;
}

static int run_job(struct job *job) {
    ssize_t len = file_fill(job->fd, job->piece, PIECE_SIZE, GUESS_MIN);
    if (len < 0)
        return recipients_fail("%s: %s", job->options.path, strerror((int)-len));
    if (choose_format(job, (struct str){ job->piece, (size_t)len }) < 0) {
        recipients_fail("unknown format '%s': list, csv, postfix or ldif", job->request->format);
        return EXIT_USAGE;
    }
    if (mkdir(job->request->dir, 0750) < 0 && errno != EEXIST)
        return recipients_fail("%s: %s", job->request->dir, strerror(errno));
    int r = directory_writer_new(job->request->dir, job->domain, str_of(job->options.path), &job->writer);
    if (r < 0)
        return recipients_fail("%s: %s", job->request->dir, strerror(-r));
    r = read_all(job, len);
    if (r < 0)
        return recipients_fail("%s: %s: nothing imported", job->options.path, strerror(-r));
    return finish(job);
}

int recipients_import(const struct recipients_request *request) {
    struct job job = { .request = request, .path = request->args[1] };
    if (!recipients_own_domain(request, request->args[0], &job.domain))
        return EXIT_FAILURE;
    bool is_stdin = strcmp(job.path, "-") == 0;
    job.options = (struct import_options){ .path = is_stdin ? "standard input" : job.path, .domain = job.domain,
                                           .column = request->column, .delimiter = request->delimiter };
    job.fd = is_stdin ? STDIN_FILENO : open(job.path, O_RDONLY | O_CLOEXEC);
    if (job.fd < 0)
        return recipients_fail("%s: %s", job.path, strerror(errno));
    job.piece = malloc(PIECE_SIZE);
    diag_init(&job.diag);
    int status = job.piece != NULL ? run_job(&job) : recipients_fail("%s", strerror(ENOMEM));
    directory_writer_abort(job.writer);
    diag_deinit(&job.diag);
    free(job.piece);
    if (!is_stdin)
        close(job.fd);
    return status;
}
