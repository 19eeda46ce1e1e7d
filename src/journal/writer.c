/*
 * writer: lines on their way to a pipe or a file.
 *
 * The journal must neither slow mail nor lose it. So records gather in memory and leave in large writes; nothing here
 * syncs (a crash of the machine may lose the last seconds of the journal, never a message). A reader that is slow, a
 * reader that is gone, and a disk that is full are ordinary states. The pipe and the buffer take some 2 MiB before a
 * slow reader costs a line: then record_end() fails, which the caller counts. When the reader is gone half of the
 * buffer keeps the oldest lines for its successor, the other half goes on taking new ones, and what passes the middle
 * is dropped at the next flush, counted, and reported by one line {"time":...,"lost":N} after the first write that
 * succeeds.
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
#include <poll.h>
#include <unistd.h>

enum { KEPT_MAX = JOURNAL_BUFFER / 2, END_STEP_MS = 50 };

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

static size_t whole_lines(const struct journal *journal) {
    const char *lf = journal->out.len > 0 ? memrchr(journal->out.at, '\n', journal->out.len) : NULL;
    return lf ? (size_t)(lf - journal->out.at) + 1 : 0;
}

int journal_write(struct journal *journal) {
    size_t at = journal->begun, end = whole_lines(journal);
    int r = 0;
    while (r == 0 && at < end) {
        ssize_t n = write(journal->fd, journal->out.at + at, end - at);
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
    return journal_write(journal);
}

int journal_flush(struct journal *journal) {
    if (journal->fd < 0) {
        buf_clear(&journal->out);
        return 0;
    }
    int r = journal_write(journal);
    if (r == 0 && journal->lost > 0)
        r = tell_lost(journal);
    if (r < 0 && r != -EAGAIN)
        drop_excess(journal);
    return r;
}

void journal_swap(struct journal *journal, int take_fd) {
    if (journal->fd >= 0) {
        journal_write(journal);
        close(journal->fd);
    }
    journal->fd = take_fd;
    journal->begun = 0;
}

void journal_deinit(struct journal *journal) {
    struct pollfd pipe = { .fd = journal->fd, .events = POLLOUT };
    for (unsigned ms = 0; journal_flush(journal) == -EAGAIN && ms < JOURNAL_END_MS; ms += END_STEP_MS)
        poll(&pipe, 1, END_STEP_MS);
    journal_swap(journal, -1);
    buf_deinit(&journal->out);
}
