/*
 * diag: errors in files that people write, said as a compiler says them.
 *
 *     postern.conf:12:9: error: unknown option 'hostnam'; did you mean 'hostname'?
 *         hostnam mx.example.com
 *         ^
 *
 * A list gathers up to DIAG_MAX errors and as many warnings (then one line says that there are more); the reader of the
 * file prints them in the end. Lines and columns count from 1; columns count bytes.
 */
#pragma once

#include "base/buf.h"

enum { DIAG_MAX = 20 };

struct diag_source {
    const char *path;
    struct str text; /* the whole file, or the part of it that a reader of large files holds */
    size_t lines_before; /* of the file, in front of `text` */
};

struct diag_list {
    struct buf text;   /* what was said so far, ready to print */
    unsigned errors;   /* all of them, those beyond DIAG_MAX included */
    unsigned warnings;
};

void diag_init(struct diag_list *list);
void diag_deinit(struct diag_list *list);

/* `at` points into source->text and is what the caret stands under; NULL: the message is about the whole file. */
void diag_error(struct diag_list *list, const struct diag_source *source, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void diag_warning(struct diag_list *list, const struct diag_source *source, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * The name among `names` (n of them) that is close enough to `unknown` to be what was meant (distance <= 1 for up to 4
 * bytes, else <= 1 + len/4), or NULL.
 */
const char *diag_did_you_mean(struct str unknown, const char *const *names, size_t n);
