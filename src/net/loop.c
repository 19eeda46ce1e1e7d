/*
 * loop: how one process waits for many descriptors, deadlines and its own deferred work.
 *
 * A turn is: wait; read the clock; events; timers that are due; tasks; what is done at every turn's end; free what
 * was given to loop_free_later(). Events come before timers, so that a client whose bytes were there in time is not
 * timed out because we were busy.
 *
 * Descriptors. epoll is told (serial, fd), never a pointer, and `slots` holds the watch of each descriptor with the
 * serial it was started under. An event whose serial is not the slot's is stale and ignored: the watch was stopped
 * earlier in the same turn, or the number was closed and given out again, or the descriptor lives on in another
 * process (handed over) and the kernel still reports for it. So watch_stop() has nothing to search, memory of a
 * stopped watch may go at once, and watch_close() can leave the removal to close().
 *
 * Timers. A binary heap of pointers. The key in the heap may be earlier than the deadline: moving a deadline away
 * writes one number, and the heap learns of it when the old key comes up. A session that sets its time-out anew at
 * every command costs nothing; the price is at most one idle wake-up per timer and time-out.
 *
 * Rejected: edge-triggered epoll with EPOLLOUT always on (wakes for every ACK; measured dearer); pointers in epoll_data
 * with a scan of the batch at each stop; a timer wheel (better only beyond some 100,000 timers); libevent (dearer by a
 * third on an SMTP dialogue); io_uring (often forbidden where this runs).
 */
#include "net/loop.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, TURN_END_MAX = 4, SIGNALS_MAX = 16, SLOTS_MIN = 64, HEAP_MIN = 64 };

struct slot { /* one a descriptor number */
    struct watch *watch; /* NULL: not watched */
    uint32_t serial;
};

struct turn_end {
    void (*fn)(void *arg);
    void *arg;
};

struct signal_handler {
    int signo;
    void (*fn)(int signo, void *arg);
    void *arg;
};

struct later { /* link inside memory that waits to be freed */
    struct later *next;
};

struct loop {
    int epoll_fd;
    uint32_t serial;
    struct slot *slots;
    uint32_t n_slots;

    uint64_t now_ms;
    bool time_is_set;     /* tests: the clock is not read */
    bool is_stopped;
    bool in_timers;

    struct timer **heap;  /* heap[0] unused: positions count from 1 */
    uint32_t heap_len, heap_cap;

    struct task *tasks, **tasks_end;     /* to run in this turn, or the next one */
    struct task *running, **running_end; /* being run */

    struct later *later;

    struct beat *beat, own_beat; /* where the beat goes: the own one is seen by no other process */

    struct turn_end turn_ends[TURN_END_MAX];
    unsigned n_turn_ends;

    struct signal_handler signals[SIGNALS_MAX];
    unsigned n_signals;
    struct watch signal_watch;
    sigset_t signal_set, signals_before;

    void *blocks[LOOP_BLOCKS_KEPT];
    unsigned n_blocks;

    struct epoll_event events[EVENTS_MAX];
    char scratch[LOOP_SCRATCH];
};

/* ---- descriptors */

static int slots_reach(struct loop *loop, int fd) {
    if ((uint32_t)fd < loop->n_slots)
        return 0;
    uint32_t n = loop->n_slots ? loop->n_slots : SLOTS_MIN;
    while (n <= (uint32_t)fd)
        n *= 2;
    struct slot *slots = realloc(loop->slots, n * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    memset(slots + loop->n_slots, 0, (n - loop->n_slots) * sizeof *slots);
    loop->slots = slots;
    loop->n_slots = n;
    return 0;
}

static struct epoll_event event_of(const struct loop *loop, int fd, uint32_t events) {
    return (struct epoll_event){ .events = events, .data.u64 = (uint64_t)loop->slots[fd].serial << 32 | (uint32_t)fd };
}

static bool is_started(const struct loop *loop, const struct watch *watch) {
    return watch->fd >= 0 && (uint32_t)watch->fd < loop->n_slots && loop->slots[watch->fd].watch == watch;
}

int watch_start_as(struct loop *loop, struct watch *watch, int fd, uint32_t events, watch_fn *on_event,
                   const char *name) {
    if (fd < 0)
        return -EBADF;
    int r = slots_reach(loop, fd);
    if (r < 0)
        return r;
    loop->slots[fd].serial = loop_serial(loop);
    struct epoll_event event = event_of(loop, fd, events);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    loop->slots[fd].watch = watch;
    *watch = (struct watch){ .on_event = on_event, .name = name, .fd = fd, .events = events };
    return 0;
}

int watch_change(struct loop *loop, struct watch *watch, uint32_t events) {
    if (watch->events == events)
        return 0;
    struct epoll_event event = event_of(loop, watch->fd, events);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
        return -errno;
    watch->events = events;
    return 0;
}

static int watch_forget(struct loop *loop, struct watch *watch) {
    int fd = watch->fd;
    loop->slots[fd].watch = NULL;
    loop->slots[fd].serial = 0;
    watch->fd = -1;
    watch->events = 0;
    return fd;
}

void watch_stop(struct loop *loop, struct watch *watch) {
    if (is_started(loop, watch))
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch_forget(loop, watch), NULL);
}

void watch_close(struct loop *loop, struct watch *watch) {
    if (is_started(loop, watch))
        close(watch_forget(loop, watch));
}

static void run_events(struct loop *loop, int n) {
    for (int i = 0; i < n; i++) {
        const struct epoll_event *event = &loop->events[i];
        const struct slot *slot = &loop->slots[(uint32_t)event->data.u64];
        if (!slot->watch || slot->serial != event->data.u64 >> 32)
            continue;
        beat_doing(loop->beat, slot->watch->name);
        slot->watch->on_event(slot->watch, event->events);
    }
}

/* ---- timers */

static void heap_place(struct loop *loop, uint32_t pos, struct timer *timer) {
    loop->heap[pos] = timer;
    timer->heap_pos = pos;
}

static void heap_rise(struct loop *loop, uint32_t pos, struct timer *timer) {
    for (; pos > 1 && loop->heap[pos / 2]->heap_ms > timer->heap_ms; pos /= 2)
        heap_place(loop, pos, loop->heap[pos / 2]);
    heap_place(loop, pos, timer);
}

static void heap_sink(struct loop *loop, uint32_t pos, struct timer *timer) {
    for (uint32_t child; (child = pos * 2) <= loop->heap_len; pos = child) {
        if (child < loop->heap_len && loop->heap[child + 1]->heap_ms < loop->heap[child]->heap_ms)
            child++;
        if (loop->heap[child]->heap_ms >= timer->heap_ms)
            break;
        heap_place(loop, pos, loop->heap[child]);
    }
    heap_place(loop, pos, timer);
}

static void heap_settle(struct loop *loop, uint32_t pos, struct timer *timer) {
    if (pos > 1 && loop->heap[pos / 2]->heap_ms > timer->heap_ms)
        heap_rise(loop, pos, timer);
    else
        heap_sink(loop, pos, timer);
}

static int heap_insert(struct loop *loop, struct timer *timer) {
    if (loop->heap_len + 1 >= loop->heap_cap) {
        uint32_t cap = loop->heap_cap ? loop->heap_cap * 2 : HEAP_MIN;
        struct timer **heap = realloc(loop->heap, cap * sizeof *heap);
        if (!heap)
            return -ENOMEM;
        loop->heap = heap;
        loop->heap_cap = cap;
    }
    heap_rise(loop, ++loop->heap_len, timer);
    return 0;
}

static void heap_remove(struct loop *loop, struct timer *timer) {
    uint32_t pos = timer->heap_pos;
    struct timer *last = loop->heap[loop->heap_len--];
    timer->heap_pos = 0;
    if (last != timer)
        heap_settle(loop, pos, last);
}

int timer_set_as(struct loop *loop, struct timer *timer, uint64_t at_ms, timer_fn *on_time, const char *name) {
    if (loop->in_timers && at_ms <= loop->now_ms)
        at_ms = loop->now_ms + 1;
    if (at_ms == 0)
        at_ms = 1;
    timer->on_time = on_time;
    timer->name = name;
    if (!timer->heap_pos) {
        timer->heap_ms = at_ms;
        int r = heap_insert(loop, timer);
        if (r < 0)
            return r;
    } else if (at_ms < timer->heap_ms) {
        timer->heap_ms = at_ms;
        heap_rise(loop, timer->heap_pos, timer);
    }
    timer->at_ms = at_ms;
    return 0;
}

void timer_cancel(struct loop *loop, struct timer *timer) {
    if (timer->heap_pos)
        heap_remove(loop, timer);
    timer->at_ms = 0;
}

static void run_timers(struct loop *loop) {
    loop->in_timers = true;
    while (loop->heap_len && loop->heap[1]->heap_ms <= loop->now_ms) {
        struct timer *timer = loop->heap[1];
        if (timer->at_ms > loop->now_ms) { /* was moved away since it got this key */
            timer->heap_ms = timer->at_ms;
            heap_sink(loop, 1, timer);
            continue;
        }
        heap_remove(loop, timer);
        timer->at_ms = 0;
        beat_doing(loop->beat, timer->name);
        timer->on_time(timer);
    }
    loop->in_timers = false;
}

/* ---- tasks */

void task_start_as(struct loop *loop, struct task *task, task_fn *run, const char *name) {
    if (task->prev)
        return;
    task->run = run;
    task->name = name;
    task->next = NULL;
    task->prev = loop->tasks_end;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

/* A task knows its place, not its queue; the last one of a queue is recognised by the queue's end pointing into it. */
void task_cancel(struct loop *loop, struct task *task) {
    if (!task->prev)
        return;
    *task->prev = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else if (loop->tasks_end == &task->next)
        loop->tasks_end = task->prev;
    else
        loop->running_end = task->prev;
    task->next = NULL;
    task->prev = NULL;
}

static void run_tasks(struct loop *loop) {
    if (!loop->tasks)
        return;
    loop->running = loop->tasks;
    loop->running->prev = &loop->running;
    loop->running_end = loop->tasks_end;
    loop->tasks = NULL;
    loop->tasks_end = &loop->tasks;
    while (loop->running) {
        struct task *task = loop->running;
        task_cancel(loop, task);
        beat_doing(loop->beat, task->name);
        task->run(task);
    }
}

/* ---- signals */

static void on_signal_event(struct watch *watch, uint32_t events) {
    struct loop *loop = (struct loop *)((char *)watch - offsetof(struct loop, signal_watch));
    struct signalfd_siginfo info;
    while (watch->fd >= 0 && read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        for (unsigned i = 0; i < loop->n_signals; i++) {
            if ((uint32_t)loop->signals[i].signo == info.ssi_signo)
                loop->signals[i].fn(loop->signals[i].signo, loop->signals[i].arg);
        }
    }
}

int loop_on_signal(struct loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg) {
    if (loop->n_signals == SIGNALS_MAX)
        return -ENOSPC;
    sigset_t one;
    sigemptyset(&one);
    if (sigaddset(&one, signo) < 0 || sigprocmask(SIG_BLOCK, &one, loop->n_signals ? NULL : &loop->signals_before) < 0)
        return -errno;
    sigaddset(&loop->signal_set, signo);
    int old = loop->n_signals ? loop->signal_watch.fd : -1;
    int fd = signalfd(old, &loop->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (old < 0) {
        int r = watch_start(loop, &loop->signal_watch, fd, EPOLLIN, on_signal_event);
        if (r < 0) {
            close(fd);
            return r;
        }
    }
    loop->signals[loop->n_signals++] = (struct signal_handler){ signo, fn, arg };
    return 0;
}

/* ---- the loop */

int loop_new(struct loop **ret_loop) {
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return -ENOMEM;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(), which knows no MSG_NOSIGNAL */
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        int err = errno;
        free(loop);
        return -err;
    }
    loop->beat = &loop->own_beat;
    loop->tasks_end = &loop->tasks;
    loop->running_end = &loop->running;
    loop->signal_watch.fd = -1;
    sigemptyset(&loop->signal_set);
    loop->now_ms = clock_ms();
    *ret_loop = loop;
    return 0;
}

static void free_later_now(struct loop *loop) {
    while (loop->later) {
        struct later *memory = loop->later;
        loop->later = memory->next;
        free(memory);
    }
}

void loop_free(struct loop *loop) {
    if (!loop)
        return;
    watch_close(loop, &loop->signal_watch);
    if (loop->n_signals)
        sigprocmask(SIG_SETMASK, &loop->signals_before, NULL);
    free_later_now(loop);
    while (loop->n_blocks)
        free(loop->blocks[--loop->n_blocks]);
    close(loop->epoll_fd);
    free(loop->slots);
    free(loop->heap);
    free(loop);
}

uint64_t loop_now(const struct loop *loop) {
    return loop->now_ms;
}

void loop_free_later(struct loop *loop, void *memory) {
    struct later *later = memory;
    if (!later)
        return;
    later->next = loop->later;
    loop->later = later;
}

void loop_on_turn_end(struct loop *loop, void (*fn)(void *arg), void *arg) {
    if (loop->n_turn_ends < TURN_END_MAX)
        loop->turn_ends[loop->n_turn_ends++] = (struct turn_end){ fn, arg };
}

/* The clock is not read again for the time that callbacks took, so a timer may come late by one turn's work. */
static int wait_ms(const struct loop *loop, int max_wait_ms) {
    if (loop->tasks || loop->time_is_set)
        return 0;
    if (!loop->heap_len)
        return max_wait_ms;
    uint64_t next_ms = loop->heap[1]->heap_ms;
    uint64_t left_ms = next_ms > loop->now_ms ? next_ms - loop->now_ms : 0;
    if (max_wait_ms >= 0 && left_ms > (uint64_t)max_wait_ms)
        return max_wait_ms;
    return left_ms > INT32_MAX ? INT32_MAX : (int)left_ms;
}

/*
 * The beat before a wait says when it ends at the latest. It may say too early by what the turn before it took, which
 * is less than a watcher allows.
 */
static int wait_for_events(struct loop *loop, int max_wait_ms) {
    const bool is_watched = loop->beat != &loop->own_beat;
    if (is_watched && (max_wait_ms < 0 || max_wait_ms > BEAT_WAIT_MAX_MS))
        max_wait_ms = BEAT_WAIT_MAX_MS;
    int ms = wait_ms(loop, max_wait_ms);
    if (is_watched)
        beat_doing(loop->beat, "waiting");
    atomic_store_explicit(&loop->beat->due_ms, loop->now_ms + (ms > 0 ? (uint64_t)ms : 0), memory_order_relaxed);
    int n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, ms);
    if (n < 0 && errno != EINTR)
        return -errno;
    if (!loop->time_is_set)
        loop->now_ms = clock_ms();
    atomic_store_explicit(&loop->beat->due_ms, loop->now_ms, memory_order_relaxed);
    return n < 0 ? 0 : n;
}

int loop_turn(struct loop *loop, int max_wait_ms) {
    int n = wait_for_events(loop, max_wait_ms);
    if (n < 0)
        return n;
    run_events(loop, n);
    run_timers(loop);
    run_tasks(loop);
    beat_doing(loop->beat, LOOP_NAME(turn_ends));
    for (unsigned i = 0; i < loop->n_turn_ends; i++)
        loop->turn_ends[i].fn(loop->turn_ends[i].arg);
    free_later_now(loop);
    return 0;
}

int loop_run(struct loop *loop) {
    loop->is_stopped = false;
    while (!loop->is_stopped) {
        int r = loop_turn(loop, -1);
        if (r < 0)
            return r;
    }
    atomic_store_explicit(&loop->beat->due_ms, 0, memory_order_relaxed); /* what follows is no turn of a loop */
    return 0;
}

void loop_stop(struct loop *loop) {
    loop->is_stopped = true;
}

void loop_set_time(struct loop *loop, uint64_t now_ms) {
    loop->time_is_set = true;
    loop->now_ms = now_ms;
}

/* ---- the beat */

void loop_beat(struct loop *loop, struct beat *beat) {
    loop->beat = beat;
}

void loop_doing(struct loop *loop, const char *name) {
    beat_doing(loop->beat, name);
}

void loop_doing_for(struct loop *loop, const char *id) {
    beat_whose(loop->beat, id);
}

void loop_may_take(struct loop *loop, uint64_t ms) {
    atomic_store_explicit(&loop->beat->due_ms, clock_ms() + ms, memory_order_relaxed);
}

/* ---- shared memory of streams and channels */

char *loop_scratch(struct loop *loop) {
    return loop->scratch;
}

void *loop_block_take(struct loop *loop) {
    return loop->n_blocks ? loop->blocks[--loop->n_blocks] : malloc(LOOP_BLOCK);
}

void loop_block_give(struct loop *loop, void *take_block) {
    if (loop->n_blocks < LOOP_BLOCKS_KEPT)
        loop->blocks[loop->n_blocks++] = take_block;
    else
        free(take_block);
}

uint32_t loop_serial(struct loop *loop) {
    return ++loop->serial ? loop->serial : ++loop->serial;
}
