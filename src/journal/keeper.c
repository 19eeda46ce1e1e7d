/*
 * keeper: from the workers' pipes to the journal's files.
 *
 * Each worker has a source here: its pipe, its file, and a buffer between them (writer.h). In a turn of the loop a
 * source reads at most one block and writes the whole lines that it has, so a worker that writes without end delays
 * the others by one block each. Lines are copied and never looked into: what a taken-over worker sends can be wrong,
 * but it stands in a file of its own, behind what that worker wrote before. A line longer than the buffer is no record
 * and is dropped, so a file always ends within reach of a line end, and can be changed for the next one.
 *
 * A file that takes nothing (a full disk) stops its source: the pipe fills, then the worker's own buffer, and the
 * worker counts what it loses. The file is tried again every RETRY_MS. The disk may make this process wait; that is why
 * it is one of its own: neither mail nor the master waits with it.
 *
 * Rejected (docs/decisions/0020): a file opened for append in the worker, the master as the writer, one writer per
 * worker.
 */
#include "journal/keeper.h"

#include "base/log.h"
#include "journal/writer.h"
#include "net/channel.h"
#include "net/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = LOOP_SCRATCH, RETRY_MS = 1000 };

struct source {
    struct watch watch; /* on the pipe, while its file takes what it brings */
    struct source *next, **prev;
    struct keeper *keeper;
    struct timer retry;
    uint32_t process;
    int pipe;
    struct journal file;
    bool is_skipping;   /* a line that was too long has not ended yet */
    bool has_ended;     /* all writers of the pipe are gone */
    bool is_failing;    /* and the log says so */
};

struct keeper {
    struct loop *loop;
    struct channel master;
    struct source *sources; /* newest first */
    bool is_ending;         /* the master has closed the channel */
};

/* ---- orders */

int keeper_give_pipe(int channel_fd, unsigned process, int pipe, int file) {
    const struct keeper_order order = { .type = KEEPER_PIPE, .process = process };
    const int fds[KEEPER_FDS] = { [KEEPER_FD_PIPE] = pipe, [KEEPER_FD_FILE] = file };
    return channel_send(channel_fd, &order, sizeof(order), fds, KEEPER_FDS);
}

int keeper_give_file(int channel_fd, unsigned process, int file) {
    const struct keeper_order order = { .type = KEEPER_FILE, .process = process };
    return channel_send(channel_fd, &order, sizeof(order), &file, 1);
}

/* ---- sources */

static void end_if_done(struct keeper *keeper) {
    if (keeper->is_ending && keeper->sources == NULL)
        loop_stop(keeper->loop);
}

static void source_free(struct source *source) {
    struct keeper *keeper = source->keeper;
    watch_stop(keeper->loop, &source->watch);
    close(source->pipe);
    timer_cancel(keeper->loop, &source->retry);
    journal_deinit(&source->file);
    *source->prev = source->next;
    if (source->next != NULL)
        source->next->prev = source->prev;
    loop_free_later(keeper->loop, source);
    end_if_done(keeper);
}

static void source_write(struct source *source);
static void on_pipe(struct watch *watch, uint32_t events);

static void on_retry(struct timer *timer) {
    source_write((struct source *)((char *)timer - offsetof(struct source, retry)));
}

/* The pipe is not read while its file takes nothing, or what is lost would not be counted by who sent it. */
static void wait_for_file(struct source *source, int r) {
    struct loop *loop = source->keeper->loop;
    if (!source->is_failing)
        log_warning("journal: the file of process %u takes nothing: %s; its records wait or are lost", source->process,
                    strerror(-r));
    source->is_failing = true;
    watch_stop(loop, &source->watch);
    timer_set(loop, &source->retry, loop_now(loop) + RETRY_MS, on_retry);
}

/* What has gathered is the beginning of one line, since a source whose file takes nothing is not read. */
static void drop_endless_line(struct source *source) {
    if (source->file.out.len <= JOURNAL_BUFFER)
        return;
    log_warning("journal: process %u sent a line longer than %d bytes: dropped", source->process, JOURNAL_BUFFER);
    buf_clear(&source->file.out);
    source->is_skipping = true;
}

/* Ends a source whose worker is gone; an unfinished line is of no use to any reader. */
static void source_write(struct source *source) {
    int r = journal_write(&source->file);
    if (r == 0)
        drop_endless_line(source);
    if (r < 0) {
        wait_for_file(source, r);
    } else if (source->has_ended) {
        source_free(source);
    } else if (source->is_failing) {
        log_info("journal: the file of process %u takes records again", source->process);
        source->is_failing = false;
        if (watch_start(source->keeper->loop, &source->watch, source->pipe, EPOLLIN, on_pipe) < 0)
            source_free(source);
    }
}

/* Returns 0 or -ENOMEM. */
static int take_block(struct source *source, struct str block) {
    if (source->is_skipping) {
        size_t lf = str_find(block, '\n');
        source->is_skipping = lf == block.len;
        block = str_from(block, lf + 1);
    }
    return buf_puts(&source->file.out, block);
}

static void on_pipe(struct watch *watch, uint32_t events) {
    struct source *source = (struct source *)watch;
    char *scratch = loop_scratch(source->keeper->loop);
    (void)events;
    ssize_t n = read(watch->fd, scratch, BLOCK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    source->has_ended = n <= 0;
    if (n > 0 && take_block(source, (struct str){ scratch, (size_t)n }) < 0) {
        log_error("journal: no memory, records of process %u are lost", source->process);
        buf_clear(&source->file.out);
        source->is_skipping = true;
    }
    source_write(source);
}

static void source_new(struct keeper *keeper, uint32_t process, int take_pipe, int take_file) {
    struct source *source = calloc(1, sizeof(*source));
    int r = source == NULL ? -ENOMEM
                           : watch_start(keeper->loop, &source->watch, take_pipe, EPOLLIN, on_pipe);
    if (r < 0) {
        log_error("journal: nothing is kept of process %u: %s", process, strerror(-r));
        free(source);
        close(take_pipe);
        close(take_file);
        return;
    }
    source->keeper = keeper;
    source->process = process;
    source->pipe = take_pipe;
    journal_init(&source->file, take_file);
    source->file.out.max = JOURNAL_BUFFER + BLOCK; /* the longest line, and what came with its end */
    source->next = keeper->sources;
    source->prev = &keeper->sources;
    if (source->next != NULL)
        source->next->prev = &source->next;
    keeper->sources = source;
}

static void source_take_file(struct keeper *keeper, uint32_t process, int take_file) {
    struct source *source = keeper->sources;
    while (source != NULL && source->process != process)
        source = source->next;
    if (source == NULL) {
        close(take_file); /* its worker has just ended */
        return;
    }
    journal_swap(&source->file, take_file);
    source_write(source);
}

/* ---- the process */

static void on_master(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct keeper *keeper = channel->arg;
    struct keeper_order order = { 0 };
    if (len == 0 && n_fds == 0) {
        channel_stop(channel);
        keeper->is_ending = true;
        end_if_done(keeper);
        return;
    }
    if (len == sizeof(order))
        memcpy(&order, message, sizeof(order));
    if (order.type == KEEPER_PIPE && n_fds == KEEPER_FDS)
        source_new(keeper, order.process, take_fds[KEEPER_FD_PIPE], take_fds[KEEPER_FD_FILE]);
    else if (order.type == KEEPER_FILE && n_fds == 1)
        source_take_file(keeper, order.process, take_fds[0]);
    else
        for (size_t i = 0; i < n_fds; i++)
            close(take_fds[i]);
}

static int give_up_rights(const struct keeper_setup *setup) {
    const struct sandbox sandbox = { .user = setup->user, .has_no_network = true, .is_no_server = true,
                                     .code = SANDBOX_CODE_NONE };
    int gaps = sandbox_enter(&sandbox);
    if (gaps < 0)
        log_error("journal: cannot give up rights: %s", strerror(-gaps));
    return gaps < 0 ? gaps : 0;
}

static void flush_log(void *arg) {
    (void)arg;
    log_flush();
}

static int set_up(struct keeper *keeper, const struct keeper_setup *setup) {
    int r = loop_new(&keeper->loop);
    if (r == 0)
        r = channel_start(&keeper->master, keeper->loop, setup->master_fd, on_master, keeper);
    if (r == 0)
        r = give_up_rights(setup);
    if (r == 0)
        loop_on_turn_end(keeper->loop, flush_log, NULL);
    return r;
}

int keeper_run(const struct keeper_setup *setup) {
    struct keeper keeper = { 0 };
    int r = set_up(&keeper, setup);
    if (r == 0)
        r = loop_run(keeper.loop);
    if (r < 0)
        log_error("the journal process cannot run: %s", strerror(-r));
    log_flush();
    return r < 0 ? 1 : 0;
}
