/*
 * import_reader: what import.c and the four readers share. Private to table/.
 *
 * import.c cuts the file into lines and, asking the reader, joins them to records; a reader gets one whole record as it
 * stands in the file (line ends inside included, so that an error's place is a pointer into it) and calls import_take()
 * for what should be an address.
 */
#pragma once

#include "table/import.h"

struct import;

struct import_reader {
    /* Does `line` belong to the record begun before it? NULL: a record is a line. */
    bool (*continues)(const struct import *import, struct str line);
    /* Optional: a line was added to the record (or dropped with it, when that is too long). */
    void (*added)(struct import *import, struct str line);
    /* Optional: a record that begins so is of no interest, and may be longer than IMPORT_LINE_MAX. */
    bool (*may_be_long)(const struct import *import, struct str start);
    /* Returns 0 or what import_take() returned. */
    int (*record)(struct import *import, struct str record);
};

extern const struct import_reader import_list_reader;
extern const struct import_reader import_csv_reader;
extern const struct import_reader import_postfix_reader;
extern const struct import_reader import_ldif_reader;

struct import_csv {
    bool has_header;
    bool is_open;    /* inside a quoted cell at the end of the lines so far */
    char delimiter;
    size_t column;   /* of the addresses, from 0 */
};

struct import {
    struct import_options options;
    const struct import_reader *reader;
    struct diag_list *diag;
    import_add_fn add;
    void *arg;
    struct import_counts counts;

    struct buf partial;   /* the start of a line whose end was not fed yet */
    struct buf joined;    /* the lines of a record, '\n' between them */
    bool has_record;      /* `joined` holds one that may go on */
    bool is_dropping;     /* in the continuation lines of a record that is too long */
    bool is_hopeless;     /* the file as a whole cannot be read: the rest is not looked at */
    size_t record_line;   /* where the record begins, from 1 */
    struct str record;    /* while it is read, for messages */

    struct buf scratch;   /* a value with its quotes or folds resolved */
    struct buf decoded;   /* out of base64 */
    struct import_csv csv;
};

/* `at` points into import->record, or is NULL. */
void import_malformed(struct import *import, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void import_leave_out(struct import_left_out *left_out, struct str name);

/* `text` should be an address; `at` is where it stands in the record. Returns 0, or what `add` returned. */
int import_take(struct import *import, struct str text, const char *at);

/*
 * The same for a value of proxyAddresses: "SMTP:a@b", "smtp:a@b", others with a type are left out, without one is an
 * address.
 */
int import_take_proxy(struct import *import, struct str text, const char *at);

/* The column or attribute names that hold addresses, best first; NULL at the end. */
extern const char *const import_usual_names[];
