/*
 * writer: the journal file of one worker.
 *
 * Lines gather in memory and are written at journal_flush(), which the worker calls once a second and when
 * JOURNAL_BUFFER is half full; a crash may lose the last second. The descriptor comes from the master (opened for
 * append), which hands out a new one at rotation: journal_swap(). A disk that is full costs lines, counted and told,
 * never mail.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum { JOURNAL_BUFFER = 1 << 20 };

struct journal {
    struct buf out;   /* records are written here with record.h */
    int fd;           /* -1: no journal; what is written to `out` is forgotten at the next flush */
    uint32_t begun;   /* bytes of the first line in `out` that are in the file already */
    uint64_t lost;    /* lines dropped since the last good write; add 1 when record_end() fails */
    uint64_t told;    /* lines dropped before that, which the journal tells of */
    uint64_t written; /* bytes in the file by us */
};

void journal_init(struct journal *journal, int take_fd);
void journal_deinit(struct journal *journal); /* flushes, closes */

/*
 * Writes what has gathered. Returns 0 or -errno of write(2); then what could not be written is kept for the next time,
 * up to half of the buffer. Once a flush succeeds, a line {"time":...,"lost":N} tells what was dropped.
 */
int journal_flush(struct journal *journal);

/* Flushes, and goes on in another file; lines that the old one did not take go to the new one. */
void journal_swap(struct journal *journal, int take_fd);
