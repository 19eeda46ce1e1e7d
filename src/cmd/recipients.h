/*
 * recipients: what the files of `postern recipients` share. recipients.c reads the command line, recipients_import.c
 * puts a directory there, recipients_ask.c prints and asks one, recipients_stats.c looks at all of them;
 * recipients_domains.c says which file is whose.
 */
#pragma once

#include "conf/conf.h"
#include "table/directory.h"

enum { RECIPIENTS_PATH_MAX = 4096 };
enum { EXIT_NOBODY_KNOWS = 3 };

struct recipients_request {
    const char *conf_path, *dir;
    const char *format, *column, *sub_address;
    char delimiter;
    bool is_forced;
    struct conf *conf; /* NULL with --dir */
    char **args;       /* behind the word that says what to do */
    int n_args;
};

/* Prints "postern recipients: ..." to standard error. Returns EXIT_FAILURE. */
__attribute__((format(printf, 1, 2))) int recipients_fail(const char *format, ...);

/* Each is an action; returns the exit code. */
int recipients_import(const struct recipients_request *request);
int recipients_export(const struct recipients_request *request);
int recipients_check(const struct recipients_request *request);
int recipients_stats(const struct recipients_request *request);

/* ---- recipients_domains.c */

/* The domain whose file is meant by `text`. Returns false after saying why there is none. */
bool recipients_own_domain(const struct recipients_request *request, const char *text, struct str *ret_domain);

/* The file of a domain, NUL-terminated. Returns 0 or -errno; `out` is to be freed in any case. */
int recipients_path(const struct recipients_request *request, struct str domain, struct buf *out);

/* Returns 0, -ENOENT (never imported), -EBADMSG or -errno. */
int recipients_open(const struct recipients_request *request, struct str domain, struct directory **ret_directory);

/* A result of opening or reading a directory, in words. */
const char *recipients_why(int r);
