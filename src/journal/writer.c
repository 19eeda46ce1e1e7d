/*
 * writer: the journal file of one worker.
 *
 * The journal must neither slow mail nor lose it. So records gather in memory and leave in large writes to a regular
 * file, which the kernel takes into its cache; nothing here syncs (a crash of the machine may lose the last seconds of
 * the journal, never a message). A disk that is full is an ordinary state: half of the buffer keeps the oldest lines
 * for the time when there is room again, the other half goes on taking new ones, and what passes the middle is dropped
 * at the next flush, counted, and told by one line {"time":...,"lost":N} behind the first write that succeeds.
 *
 * A write may end within a line. That line stays in the buffer whole, with the number of its bytes that were written
 * (`begun`): in the same file it is continued, in a new one it is written again, so that each line is whole somewhere,
 * and only the last line of a file can be torn.
 *
 * Rejected: O_DIRECT or io_uring (a write into the cache takes some 100 us a second), a ring of lines.
 */
#include "journal/writer.h"

#include "base/clock.h"
#include "journal/record.h"

#include <errno.h>
#include <unistd.h>

enum { KEPT_MAX = JOURNAL_BUFFER / 2 };

void journal_init(struct journal *journal, int take_fd) {
    *journal = (struct journal){ .fd = take_fd };
    buf_init(&journal->out, JOURNAL_BUFFER);
}

/* Forgets the whole lines that were written; `begun` is what was written of the next. */
static void forget_written(struct journal *journal, size_t written) {
    const char *lf = written > 0 ? memrchr(journal->out.at, '\n', written) : NULL;
    size_t whole = lf ? (size_t)(lf - journal->out.at) + 1 : 0;
    buf_consume(&journal->out, whole);
    journal->begun = (uint32_t)(written - whole);
}

static int write_out(struct journal *journal) {
    size_t at = journal->begun;
    int r = 0;
    while (r == 0 && at < journal->out.len) {
        ssize_t n = write(journal->fd, journal->out.at + at, journal->out.len - at);
        if (n > 0) {
            at += (size_t)n;
            journal->written += (uint64_t)n;
        } else if (n == 0 || errno != EINTR) {
            r = n == 0 ? -EIO : -errno;
        }
    }
    forget_written(journal, at);
    return r;
}

/* Drops the lines behind KEPT_MAX bytes, but never one that is in the file in part. */
static void drop_excess(struct journal *journal) {
    if (journal->out.len <= KEPT_MAX)
        return;
    const char *end = journal->out.at + journal->out.len;
    const char *lf = memrchr(journal->out.at, '\n', KEPT_MAX);
    if (!lf && journal->begun > 0)
        lf = memchr(journal->out.at, '\n', journal->out.len);
    const char *kept = lf ? lf + 1 : journal->out.at;
    for (const char *at = kept; at < end; at++)
        journal->lost += *at == '\n';
    journal->out.len = (uint32_t)(kept - journal->out.at);
}

static int tell_lost(struct journal *journal) {
    struct record r;
    record_begin(&r, &journal->out);
    record_time(&r, "time", clock_wall_ms());
    record_u64(&r, "lost", journal->lost);
    if (record_end(&r) < 0)
        return -ENOBUFS;
    journal->told += journal->lost;
    journal->lost = 0;
    return write_out(journal);
}

int journal_flush(struct journal *journal) {
    if (journal->fd < 0) {
        buf_clear(&journal->out);
        return 0;
    }
    int r = write_out(journal);
    if (r == 0 && journal->lost > 0)
        r = tell_lost(journal);
    if (r < 0)
        drop_excess(journal);
    return r;
}

void journal_swap(struct journal *journal, int take_fd) {
    journal_flush(journal);
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = take_fd;
    journal->begun = 0;
    journal->written = 0;
}

void journal_deinit(struct journal *journal) {
    journal_swap(journal, -1);
    buf_deinit(&journal->out);
}
