/*
 * import: the addresses of one domain, out of what a mailbox server's administrator can export.
 *
 * Four formats: a plain list, CSV, a Postfix map, LDIF. Fed in pieces of any size, so that memory is bounded by one
 * line (IMPORT_LINE_MAX) however large the file; every address of the domain goes to `add` as it comes. What is
 * malformed goes to the diag_list with its line and is counted there; whoever commits the result looks at diag->errors
 * first: a line that nobody understood may have been a recipient.
 */
#pragma once

#include "base/diag.h"
#include "base/str.h"

#include <stdint.h>

enum import_format { IMPORT_LIST, IMPORT_CSV, IMPORT_POSTFIX, IMPORT_LDIF };

enum {
    IMPORT_LINE_MAX = 65536, /* bytes of a line, and of a record with its continuation lines */
    IMPORT_NAMED_MAX = 5,    /* how many of what was left out are remembered by name */
    IMPORT_NAME_MAX = 128,   /* bytes of each, with the final NUL */
};

/* What was left out: how many, and the first few of them, control characters blanked. */
struct import_left_out {
    uint64_t count;
    char names[IMPORT_NAMED_MAX][IMPORT_NAME_MAX];
};

struct import_counts {
    uint64_t lines;
    uint64_t addresses;                 /* of the domain, repeated ones included */
    struct import_left_out others;      /* addresses of other domains */
    struct import_left_out catch_alls;  /* "@domain": what `catch_all` in postern.conf is for */
    struct import_left_out ignored;     /* X500: and SIP: addresses, domains declared in a Postfix map */
};

struct import_options {
    enum import_format format;
    const char *path;   /* for messages */
    struct str domain;  /* whose addresses; a bare local part in a plain list is taken as this domain's */
    const char *column; /* CSV: the column, LDIF: the attribute; NULL: the usual ones */
    char delimiter;     /* between CSV cells; 0: found in the header line among , ; and tab */
};

/*
 * Takes one address of the domain: its canonical local part, and as written (local@domain). Returns 0, or -errno, which
 * ends the import.
 */
typedef int (*import_add_fn)(void *arg, struct str canonical_local, struct str address);

struct import;

/* Copies nothing of `options` but the struct: its strings live as long as the import. Returns 0 or -ENOMEM. */
int import_new(const struct import_options *options, struct diag_list *diag, import_add_fn add, void *arg,
               struct import **ret_import);
void import_free(struct import *import);

/* The next bytes of the file. Returns 0, -ENOMEM, or what `add` returned. */
int import_feed(struct import *import, struct str bytes);

/* The file is over: the last line may lack its line end. */
int import_end(struct import *import);

const struct import_counts *import_counts(const struct import *import);

/* "list", "csv", "postfix", "ldif". */
const char *import_format_name(enum import_format format);
/* Returns 0 or -EINVAL. */
int import_format_parse(const char *name, enum import_format *ret_format);

/* The likely format from the name and the first bytes of a file. */
enum import_format import_format_guess(const char *path, struct str head);
