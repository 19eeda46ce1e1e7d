/*
 * walker: which files does a message carry?
 *
 * Fed with the whole canonical text of a message in any slices, it walks through its parts (RFC 2046) without keeping
 * them, and tells of each file by callback: its names, its declared type, what its first bytes are, and the names of
 * what is inside of a ZIP. Everything is bounded: depth, parts, names, the length of a field, of a name.
 *
 * What cannot be walked, or may be walked in two ways, is told as a trouble, and what was seen before it counts: who
 * asks must not take such a message for one without files.
 */
#pragma once

#include "mime/file_kind.h"
#include "mime/part_header.h"

#include <stdint.h>

enum {
    MIME_DEPTH_MAX = 20,
    MIME_PARTS_MAX = 1000,
    MIME_LISTED_MAX = 20000, /* names in archives (of each file some tell two) and of uuencoded files */
    MIME_FIELD_MAX = 4096,
    MIME_BOUNDARY_MAX = 70,
};

enum mime_trouble {
    MIME_FINE,
    MIME_TOO_DEEP,        /* parts within parts, or an encoded message in an encoded message */
    MIME_TOO_MANY_PARTS,
    MIME_TOO_MANY_NAMES,  /* more than MIME_LISTED_MAX */
    MIME_LONG_FIELD,      /* a field about a part that is longer than MIME_FIELD_MAX; what was read of it counts */
    MIME_LONG_NAME,       /* a name that cannot be put together, or more of them than are told */
    MIME_LONG_BOUNDARY,   /* or none, or an empty one: the parts cannot be told apart (RFC 2046 5.1.1) */
    MIME_NO_PART,         /* a multipart with text in it, but never its boundary */
    MIME_CONTRADICTION,   /* two types, encodings or boundaries of one part, so clients see different parts */
    MIME_FRAGMENT,        /* message/partial: the rest comes with another message (RFC 2046 5.2.2) */
    MIME_ARCHIVE,         /* a ZIP whose names cannot be read */
};

/* One name of one file; a file with two different names is told twice, one without a name once. */
struct mime_file {
    struct str name;     /* "" */
    struct str type;     /* "application/pdf"; "" not said, or inside an archive */
    enum file_kind kind; /* of the first bytes; FILE_UNKNOWN inside an archive */
    struct str archive;  /* the name of the archive in which it is; .at NULL: it is in none */
    bool is_encrypted;   /* inside an archive, with a password */
};

struct walker;
typedef void mime_file_fn(void *arg, const struct mime_file *file);

/* Some 30 KiB. NULL: no memory. The file and its views are valid during the call. */
struct walker *walker_new(mime_file_fn *on_file, void *arg);
void walker_free(struct walker *walker); /* accepts NULL */

void walker_feed(struct walker *walker, const char *at, size_t len);

/* The message is over: the part at hand ends. Returns the first trouble that there was. */
enum mime_trouble walker_end(struct walker *walker);

/* "parts nested too deep": for people. */
const char *mime_trouble_text(enum mime_trouble trouble);
