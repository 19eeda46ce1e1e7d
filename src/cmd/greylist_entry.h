/*
 * greylist_entry: what greylists say to each other: lines that another program or another Postern wrote, as triplets
 * and clients with their times.
 *
 * Three forms are read: our own (`postern greylist export`), the dumps of postgrey's databases (db_dump -p of
 * postgrey.db and postgrey_clients.db), and sqlgrey's database in SQLite. A reader gives each entry to `on_entry` and
 * says where it could not read on. Entries are as their program kept them: what Postern makes of a sender or a client's
 * address is the caller's affair.
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

#include <stdio.h>

struct greylist_entry {
    bool is_client;  /* a client that has proved itself; no sender, no recipient */
    bool is_network; /* `who` stands for its network (an IPv4 /24, an IPv6 /64), not for one host */
    struct str who;  /* of our own form an identity ("org:example.com"), else an address */
    struct str sender, recipient; /* "" is the null sender */
    int64_t first, last; /* seconds since 1970 */
    int64_t expires;     /* 0: not said */
    int32_t passes;      /* of a triplet: 0 has not waited yet; of a client: passed triplets */
};

/* Views are valid during the call. A negative result ends the reading and becomes its result. */
typedef int greylist_entry_fn(void *arg, const struct greylist_entry *entry);

/*
 * Each reads all of its input. Returns 0; the callback's error; -EBADMSG (not of that form: `problem` says in one line
 * what, where `line` is the line's number, 0 where there are none); or -errno of reading.
 */
struct greylist_reading {
    greylist_entry_fn *on_entry;
    void *arg;
    unsigned long line;
    struct buf problem;
};

int greylist_read_export(FILE *in, struct greylist_reading *reading);

/*
 * `delay`: seconds after which postgrey let a triplet pass; the dump does not say which triplets have. `by_host`: it
 * was run with --lookup-by-host, so its addresses are hosts and not networks.
 */
int greylist_read_postgrey(FILE *in, int64_t delay, bool by_host, struct greylist_reading *reading);

int greylist_read_sqlgrey(const char *path, struct greylist_reading *reading);

/* Writes an entry in our own form, with its line end. Returns 0 or a negative error of the buffer. */
int greylist_write_entry(struct buf *out, const struct greylist_entry *entry);
extern const char greylist_export_head[]; /* its first line, without line end */
