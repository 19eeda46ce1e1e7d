/*
 * columns: lines for people whose cells stand below each other.
 *
 *     name\tstate\n            name             state
 *     mx.example.com\tup\n     mx.example.com   up
 *
 * Lines up to an empty one are one table, each column as wide as its widest cell. A line without a tab is a sentence,
 * and stays as it is.
 */
#pragma once

#include "base/buf.h"

enum { COLUMNS_MAX = 16 }; /* what is beyond them is the last cell's */

/* Appends `text`, cells told apart by tabs, to `out` with blanks between them. Returns 0, -ENOBUFS or -ENOMEM. */
int columns_align(struct str text, struct buf *out);
