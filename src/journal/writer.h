/*
 * writer: lines that gather in memory on their way to a descriptor that may not take them at once.
 *
 * Both ends of the journal's way use it. A worker gathers records and writes them to its pipe at journal_flush(), once
 * a second and when JOURNAL_FLUSH bytes have gathered; a crash may lose the last second. The journal process (keeper.h)
 * gathers what came out of that pipe and writes it to the worker's file. Another pipe or file takes over by
 * journal_swap(). What is not taken in time costs lines, counted and reported, never mail.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum { JOURNAL_BUFFER = 1 << 20, JOURNAL_FLUSH = JOURNAL_BUFFER / 8 };

struct journal {
    struct buf out;   /* records are written here with record.h */
    int fd;           /* -1: no journal; what is written to `out` is forgotten at the next flush */
    uint32_t begun;   /* bytes of the first line in `out` that were written already */
    uint64_t lost;    /* lines dropped since the last good write; add 1 when record_end() fails */
    uint64_t told;    /* lines dropped before that, which the journal tells of */
    uint64_t written; /* bytes, of all descriptors */
};

void journal_init(struct journal *journal, int take_fd);
/* Flushes and closes. Waits at most JOURNAL_END_MS for a pipe that is full: only for a process that ends. */
void journal_deinit(struct journal *journal);
enum { JOURNAL_END_MS = 2000 };

/*
 * Writes the whole lines that have gathered; the rest of `out` waits for its end. Returns 0 or -errno of write(2), and
 * then keeps what could not be written.
 */
int journal_write(struct journal *journal);

/*
 * The same for who makes the lines. A reader that is only slow (-EAGAIN) costs nothing before the buffer is full; after
 * any other error lines past half of the buffer are dropped. Once a flush succeeds, a line {"time":...,"lost":N} says
 * how many.
 */
int journal_flush(struct journal *journal);

/* Writes, and goes on with another descriptor; lines that the old one did not take whole go to the new one. */
void journal_swap(struct journal *journal, int take_fd);
