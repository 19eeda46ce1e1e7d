/*
 * record: one decision as one line of JSON, written without allocation per field.
 *
 * A record is begun, gets members in any order, and is ended; strings are escaped for JSON (bytes that are not UTF-8
 * become U+FFFD). Members without a value (a NULL string, no address) are left out, so a line holds what was known; ""
 * is a value. Field names are those of design section 11.
 */
#pragma once

#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"

struct record {
    struct buf *out;
    bool has_member;  /* a comma is due */
    bool has_failed;  /* out of room or memory: record_end() takes the line back */
    uint32_t start;   /* where the line begins in out */
};

void record_begin(struct record *r, struct buf *out);
void record_str(struct record *r, const char *name, struct str value);      /* left out when value.at is NULL */
void record_null(struct record *r, const char *name);
void record_u64(struct record *r, const char *name, uint64_t value);
void record_thousandths(struct record *r, const char *name, int64_t value); /* 1500: 1.5 */
void record_bool(struct record *r, const char *name, bool value);
void record_time(struct record *r, const char *name, uint64_t wall_ms);     /* RFC 3339, UTC, ms */
void record_ip(struct record *r, const char *name, const struct ip *ip);    /* left out when there is none */

/* Opens and closes an object or array member; members inside an array have a NULL name. */
void record_open(struct record *r, const char *name, char bracket); /* '{' or '[' */
void record_close(struct record *r, char bracket);                  /* '}' or ']' */

/*
 * Between two members of the outermost object: takes the unfinished line out of the buffer, which others may write to
 * then, and keeps it in `arena` for record_resume(). .at NULL: the record has failed, or there is no memory; nothing
 * has changed.
 */
struct str record_suspend(struct record *r, struct arena *arena);
void record_resume(struct record *r, struct buf *out, struct str begun);

/* Ends the line with "}\n". Returns 0 or -ENOBUFS (the line was taken back whole). */
int record_end(struct record *r);
