/*
 * loop: the event loop of a process: descriptors, timers, tasks for later.
 *
 * One a process, one thread. epoll, level-triggered; a heap of timers; one clock read a turn. Watches, timers and
 * tasks are embedded in whatever owns them and must not move while they are started.
 *
 * The three laws of asynchrony, kept by everything in net/ and proved by tests/unit/net/test_laws.c:
 *   1. A completion is never called from inside the function that started the operation.
 *   2. It is called exactly once, unless the operation was cancelled, and never after.
 *   3. Nothing is freed while one of its own callbacks is running: what ends itself there is freed at the end of the
 *      turn (loop_free_later).
 */
#pragma once

#include "net/beat.h"

#include <sys/epoll.h>

struct loop;
struct watch;
struct timer;
struct task;

/* Of a callback, for the beat: where it stands and what it is called. */
#define LOOP_NAME(callback) __FILE__ ":" #callback

/* ---- descriptors */

/* events: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR */
typedef void watch_fn(struct watch *watch, uint32_t events);

struct watch {
    watch_fn *on_event;
    const char *name; /* of it */
    int fd;          /* borrowed: the owner closes it, after watch_stop(); -1 when stopped */
    uint32_t events; /* asked for */
};

/* Starts to watch `fd`. Returns 0 or -errno. */
int watch_start_as(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_fn *on_event,
                   const char *name);
#define watch_start(loop, watch, fd, events, on_event) \
    watch_start_as(loop, watch, fd, events, on_event, LOOP_NAME(on_event))

/* Asks for other events; no system call when nothing changes. Returns 0 or -errno. */
int watch_change(struct loop *loop, struct watch *watch, uint32_t events);

/*
 * No callback comes after this, not even for events of the turn that is running. Stopping a stopped (or all-zero) watch
 * does nothing.
 */
void watch_stop(struct loop *loop, struct watch *watch);

/* Stops the watch and closes its descriptor: one system call less than to stop and to close. */
void watch_close(struct loop *loop, struct watch *watch);

/* ---- timers */

typedef void timer_fn(struct timer *timer);

/*
 * Moving a deadline further away is free (the heap is put right when the old one comes up), so a connection can have
 * one timer that is set anew at every command. All-zero is a valid timer that is not set.
 */
struct timer {
    timer_fn *on_time;
    const char *name;  /* of it */
    uint64_t at_ms;    /* when it is due on the loop's clock; 0: not set */
    uint64_t heap_ms;  /* the key it has in the heap, <= at_ms */
    uint32_t heap_pos; /* 1-based; 0: not in the heap */
};

/*
 * Sets or moves the timer. A time in the past is due in the next turn; set inside a timer's callback, at the next
 * millisecond at the earliest (a timer that sets itself anew cannot hold up a turn). Returns 0 or -ENOMEM.
 */
int timer_set_as(struct loop *loop, struct timer *timer, uint64_t at_ms, timer_fn *on_time, const char *name);
#define timer_set(loop, timer, at_ms, on_time) timer_set_as(loop, timer, at_ms, on_time, LOOP_NAME(on_time))
void timer_cancel(struct loop *loop, struct timer *timer);

static inline bool timer_is_set(const struct timer *timer) {
    return timer->at_ms != 0;
}

/* ---- tasks: run once, before the loop waits again (law 1); those that tasks start run in the next turn */

typedef void task_fn(struct task *task);

struct task {
    task_fn *run;
    const char *name; /* of it */
    struct task *next, **prev; /* NULL prev: not queued */
};

/* Queueing a queued task does nothing. */
void task_start_as(struct loop *loop, struct task *task, task_fn *run, const char *name);
#define task_start(loop, task, run) task_start_as(loop, task, run, LOOP_NAME(run))
void task_cancel(struct loop *loop, struct task *task);

/* ---- the beat: what a watcher in another process sees of this loop (beat.h) */

/* From now on this loop leaves its beat in `beat`, and wakes once in BEAT_WAIT_MAX_MS. `beat` outlives it. */
void loop_beat(struct loop *loop, struct beat *beat);

/* Inside a callback: says more precisely what is done. `name` is a literal. */
void loop_doing(struct loop *loop, const char *name);

/* Inside a callback, behind loop_doing(): for which session. */
void loop_doing_for(struct loop *loop, const char *id);

/*
 * Inside a callback that is slow for a good reason, as a disk may be: it may take `ms` from now before it counts as
 * standing still.
 */
void loop_may_take(struct loop *loop, uint64_t ms);

/* ---- the loop */

/* Also makes the process ignore SIGPIPE. Returns 0 or -errno. */
int loop_new(struct loop **ret_loop);
void loop_free(struct loop *loop);

/* The time of this turn, in ms of clock_ms(). */
uint64_t loop_now(const struct loop *loop);

/*
 * Frees `memory` with free() at the end of the turn (law 3). Needs no memory of its own: the first sizeof(void *) bytes
 * are used as a link, the rest stays readable until then.
 */
void loop_free_later(struct loop *loop, void *memory);

/* Called at the end of every turn, before the loop waits: flush logs, journals. At most 4. */
void loop_on_turn_end(struct loop *loop, void (*fn)(void *arg), void *arg);

/*
 * Signals arrive as a callback on the loop (signalfd); the caller has nothing to block itself. loop_free() gives them
 * back their former way. At most 16. Returns 0 or -errno.
 */
int loop_on_signal(struct loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg);

/* Runs until loop_stop(). Returns 0 or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One turn: waits at most until the next timer and at most max_wait_ms. For tests. Returns 0 or -errno. */
int loop_turn(struct loop *loop, int max_wait_ms);

/* Tests: from now on the loop's clock is what loop_set_time() says, and loop_turn() does not wait. */
void loop_set_time(struct loop *loop, uint64_t now_ms);

/* ---- memory that the streams and channels of one loop share, so that an idle one owns none */

enum { LOOP_SCRATCH = 65536, LOOP_BLOCK = 4096, LOOP_BLOCKS_KEPT = 64 };

/* LOOP_SCRATCH bytes to read into. What stands there is valid until the callback that was given it returns. */
char *loop_scratch(struct loop *loop);

/* A block of LOOP_BLOCK bytes from malloc(), NULL when memory is out. Give it back, realloc() or free() it. */
void *loop_block_take(struct loop *loop);
void loop_block_give(struct loop *loop, void *take_block);

/* A number that none of the last millions of calls returned: tells a thing from another later in the same place. */
uint32_t loop_serial(struct loop *loop);
