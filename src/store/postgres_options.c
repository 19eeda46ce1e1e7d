/*
 * postgres_options: what did the administrator write, does it make sense, and which files does it name?
 *
 * What would be read beside the configuration is refused: a password belongs into a file of its own, a service is a
 * file of further options, whose host names libpq itself would look up and wait for.
 */
#include "store/postgres.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = { "passfile", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir" };

enum { N_FILES = sizeof(files) / sizeof(*files), USUAL_PORT = 5432 };

const char *postgres_option(const PQconninfoOption *options, const char *keyword) {
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

/* NULL: it names none; some words are no files. */
static const char *file_of(const PQconninfoOption *options, const char *keyword) {
    const char *path = postgres_option(options, keyword);
    bool is_word = path != NULL && (path[0] == '\0' || strcmp(path, "system") == 0);
    return is_word ? NULL : path;
}

PQconninfoOption *postgres_parse(const char *conninfo, char *error, size_t error_size) {
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    if (options == NULL) {
        snprintf(error, error_size, "%s", message != NULL ? message : "out of memory");
        error[strcspn(error, "\n")] = '\0';
        PQfreemem(message);
    }
    return options;
}

/* Why these options cannot be used; false: they can. */
static bool has_problem(const PQconninfoOption *options, char *error, size_t error_size) {
    if (postgres_option(options, "password") != NULL) {
        snprintf(error, error_size, "a password does not belong here; put it into a file and name that with passfile=");
        return true;
    }
    if (postgres_option(options, "service") != NULL) {
        snprintf(error, error_size, "service= is not followed; write its options here");
        return true;
    }
    for (size_t i = 0; i < N_FILES; i++) {
        const char *path = file_of(options, files[i]);
        if (path != NULL && path[0] != '/') {
            snprintf(error, error_size, "%s=%.100s is not an absolute path", files[i], path);
            return true;
        }
    }
    return false;
}

int postgres_check_conninfo(const char *conninfo, char *error, size_t error_size) {
    PQconninfoOption *options = postgres_parse(conninfo, error, error_size);
    if (options == NULL)
        return -EINVAL;
    int r = has_problem(options, error, error_size) ? -EINVAL : 0;
    PQconninfoFree(options);
    return r;
}

void postgres_files(const char *conninfo, void (*on_file)(void *arg, const char *path), void *arg) {
    char error[256];
    PQconninfoOption *options = postgres_parse(conninfo, error, sizeof(error));
    for (size_t i = 0; options != NULL && i < N_FILES; i++) {
        const char *path = file_of(options, files[i]);
        if (path != NULL)
            on_file(arg, path);
    }
    PQconninfoFree(options);
}

void postgres_ports(const char *conninfo, void (*on_port)(void *arg, uint16_t port), void *arg) {
    char error[256];
    PQconninfoOption *options = postgres_parse(conninfo, error, sizeof(error));
    const char *ports = options != NULL ? postgres_option(options, "port") : NULL;
    struct str rest = str_of(ports != NULL ? ports : "");
    for (bool is_more = true; is_more;) { /* one for all hosts or one each; an empty one is the usual one */
        size_t comma = str_find(rest, ',');
        struct str text = str_trim(str_head(rest, comma));
        unsigned long long port = USUAL_PORT;
        if (text.len == 0 || str_to_u64(text, UINT16_MAX, &port) == 0)
            on_port(arg, (uint16_t)port);
        is_more = comma < rest.len;
        rest = str_from(rest, comma + is_more);
    }
    PQconninfoFree(options);
}

bool postgres_passfile_is_refused(const PQconninfoOption *options) {
    struct stat info;
    const char *path = file_of(options, "passfile");
    return path != NULL && stat(path, &info) == 0 && (!S_ISREG(info.st_mode) || info.st_mode & (S_IRWXG | S_IRWXO));
}

/* Whether it can be read; `why` says why not. */
static bool is_readable(const char *keyword, const char *path, char *why, size_t why_size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        snprintf(why, why_size, "%s=%.100s cannot be read: %s", keyword, path, strerror(errno));
    else
        close(fd);
    return fd >= 0;
}

/* Why no password was found in it: libpq passes over a file that it cannot use, and does not say so to its caller. */
static void tell_passfile(const PQconninfoOption *options, const char *path, char *why, size_t why_size) {
    if (!is_readable("passfile", path, why, why_size))
        return;
    if (postgres_passfile_is_refused(options))
        snprintf(why, why_size, "passfile=%.100s is not used: it must be a file that nobody else may read", path);
    else
        snprintf(why, why_size, "passfile=%.100s has no line for this server, database and user", path);
}

/* libpq names the file, and behind it not always the reason: that of the system is left out in some versions. */
static bool is_unreadable_one(const PQconninfoOption *options, const char *message, char *why, size_t why_size) {
    for (size_t i = 0; i < N_FILES; i++) {
        const char *path = file_of(options, files[i]);
        if (path != NULL && strstr(message, path) != NULL && !is_readable(files[i], path, why, why_size))
            return true;
    }
    return false;
}

bool postgres_file_problem(const char *conninfo, const PGconn *failed, char *why, size_t why_size) {
    PQconninfoOption *options = postgres_parse(conninfo, why, why_size);
    if (options == NULL)
        return false;
    const char *passfile = PQconnectionNeedsPassword(failed) ? file_of(options, "passfile") : NULL;
    if (passfile != NULL)
        tell_passfile(options, passfile, why, why_size);
    bool is_told = passfile != NULL || is_unreadable_one(options, PQerrorMessage(failed), why, why_size);
    PQconninfoFree(options);
    if (!is_told)
        why[0] = '\0';
    return is_told;
}
