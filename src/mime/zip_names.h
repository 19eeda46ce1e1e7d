/*
 * zip_names: the names of the files in a ZIP, as it streams by.
 *
 * Each file has a record in front of its data and one in the directory at the end (APPNOTE 4.3.7, 4.3.12), and both are
 * found by their signatures, wherever they stand. Nothing that one record says has a bearing on another, so no length
 * that lies hides the next name, nor does a directory that was left out; archives that are only stored in an archive
 * show their files, too. A name is told once for each of its records.
 */
#pragma once

#include "base/str.h"

enum { ZIP_NAME_MAX = 255, ZIP_RECORD_MAX = 2048, ZIP_WINDOW = 2 * ZIP_RECORD_MAX };

struct zip_names {
    bool is_done;            /* no further names are wanted */
    bool is_unreadable;      /* a record was longer than ZIP_RECORD_MAX, so its name is not known */
    size_t len;
    char window[ZIP_WINDOW]; /* bytes in which a record may begin that is not whole */
};

/* A name, ZIP_NAME_MAX bytes at most (its end, where the extension is), control characters as '?'. */
typedef bool zip_name_fn(void *arg, struct str name, bool is_encrypted); /* false: no further names are wanted */

void zip_names_init(struct zip_names *zip);
void zip_names_feed(struct zip_names *zip, const char *at, size_t len, zip_name_fn *on_name, void *arg);

/* The file is over: of a record that was cut the name counts as far as it goes. */
void zip_names_end(struct zip_names *zip, zip_name_fn *on_name, void *arg);
