/*
 * directory: the recipients of a domain, as its mailbox server exported them.
 *
 * One tinycdb file a domain, built beside the old one and renamed over it, mapped read-only by every worker. Keys are
 * canonical local parts (smtp_local_canonical()), values the address as imported; one key of its own ("\0meta") holds
 * source, time and count. Immutable once open: a new one is opened beside and swapped whole.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdint.h>

struct directory;

struct directory_meta {
    uint64_t imported_ms;  /* wall clock */
    uint64_t count;        /* addresses */
    struct str domain;
    struct str source;     /* the file it came from, as given */
};

/*
 * Takes an open descriptor, maps it and closes it. Every page is checked to be within the file before use. Returns 0,
 * or -EBADMSG (not a directory file, cut off, of another version), or -errno.
 */
int directory_open_fd(int take_fd, struct directory **ret_directory);
int directory_open(const char *path, struct directory **ret_directory);
void directory_free(struct directory *directory);

const struct directory_meta *directory_meta(const struct directory *directory);

enum directory_answer {
    DIRECTORY_UNKNOWN,
    DIRECTORY_KNOWN,
    DIRECTORY_BROKEN, /* the file lies: treat the recipient as in a missing directory */
};

/* `local` is canonical. Well under a microsecond once the pages are in memory. */
enum directory_answer directory_find(const struct directory *directory, struct str local);

/* Calls `fn` with each address as imported until it returns non-zero, which is returned. */
int directory_each(const struct directory *directory, int (*fn)(void *arg, struct str address), void *arg);

/*
 * DIR/DOMAIN.cdb. Returns 0, or -EINVAL when the domain could not be a file name ('/', leading dot, longer than 255).
 */
int directory_path(const char *dir, struct str domain, struct buf *out);

/* ---- building one */

struct directory_writer;

/* Begins DIR/DOMAIN.cdb.new.PID. Returns 0 or -errno. */
int directory_writer_new(const char *dir, struct str domain, struct str source, struct directory_writer **ret_writer);
/* Adds local@domain; repeated ones count once. Returns 0, or -errno of writing. */
int directory_writer_add(struct directory_writer *writer, struct str canonical_local, struct str address);
uint64_t directory_writer_count(const struct directory_writer *writer);
/* Syncs and renames over the old one (fsync of file and folder). Frees the writer. */
int directory_writer_commit(struct directory_writer *take_writer, uint64_t imported_ms);
/* Removes the new file. Frees the writer; accepts NULL. */
void directory_writer_abort(struct directory_writer *take_writer);
