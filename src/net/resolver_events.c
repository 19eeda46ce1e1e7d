/*
 * resolver_events: see the header. What libunbound expects of an event, learned from its own use of libevent: one
 * that does not persist is off before its callback runs; adding one that is on sets it anew; freeing one turns it
 * off, also inside its own callback, so memory goes at the end of the turn (law 3 of net/loop.h).
 */
#include "net/resolver_events.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/time.h>

struct base {
    struct ub_event_base super; /* first */
    struct loop *loop;
};

struct event {
    struct ub_event super; /* first; loop_free_later() may overwrite it */
    struct watch watch;
    struct timer timer;
    struct loop *loop;
    void (*callback)(int fd, short bits, void *arg);
    void *arg;
    uint64_t interval_ms; /* of the time-out, 0: none */
    int fd;
    short bits;
};

static struct event *of_watch(struct watch *watch) {
    return (struct event *)((char *)watch - offsetof(struct event, watch));
}

static struct event *of_timer(struct timer *timer) {
    return (struct event *)((char *)timer - offsetof(struct event, timer));
}

static void on_time(struct timer *timer);

static void turn_off(struct event *event) {
    watch_stop(event->loop, &event->watch);
    timer_cancel(event->loop, &event->timer);
}

/* A persistent event's time begins anew whenever its callback runs. */
static void rearm(struct event *event) {
    if (event->interval_ms != 0)
        timer_set(event->loop, &event->timer, loop_now(event->loop) + event->interval_ms, on_time);
}

static void on_time(struct timer *timer) {
    struct event *event = of_timer(timer);
    if (event->bits & UB_EV_PERSIST)
        rearm(event);
    else
        watch_stop(event->loop, &event->watch);
    event->callback(event->fd, UB_EV_TIMEOUT, event->arg);
}

static void on_ready(struct watch *watch, uint32_t events) {
    struct event *event = of_watch(watch);
    uint32_t in = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR, out = EPOLLOUT | EPOLLHUP | EPOLLERR;
    short bits = (short)((events & in ? UB_EV_READ : 0) | (events & out ? UB_EV_WRITE : 0));
    bits = (short)(bits & event->bits);
    if (bits == 0)
        return;
    if (event->bits & UB_EV_PERSIST)
        rearm(event);
    else
        turn_off(event);
    event->callback(event->fd, bits, event->arg);
}

static int turn_on(struct event *event, const struct timeval *in) {
    uint32_t events = (event->bits & UB_EV_READ ? EPOLLIN : 0) | (event->bits & UB_EV_WRITE ? EPOLLOUT : 0);
    turn_off(event);
    if (event->fd >= 0 && events != 0 && watch_start(event->loop, &event->watch, event->fd, events, on_ready) < 0)
        return -1;
    event->interval_ms = 0;
    if (in == NULL)
        return 0;
    event->interval_ms = (uint64_t)in->tv_sec * 1000 + (uint64_t)(in->tv_usec + 999) / 1000;
    return timer_set(event->loop, &event->timer, loop_now(event->loop) + event->interval_ms, on_time);
}

/* ---- struct ub_event_vmt: the event is off before its settings change */

static void event_add_bits(struct ub_event *super, short bits) {
    struct event *event = (struct event *)super;
    event->bits = (short)(event->bits | bits);
}

static void event_del_bits(struct ub_event *super, short bits) {
    struct event *event = (struct event *)super;
    event->bits = (short)(event->bits & ~bits);
}

static void event_set_fd(struct ub_event *super, int fd) {
    ((struct event *)super)->fd = fd;
}

static void event_free(struct ub_event *super) {
    struct event *event = (struct event *)super;
    turn_off(event);
    loop_free_later(event->loop, event);
}

static int event_add(struct ub_event *super, struct timeval *in) {
    return turn_on((struct event *)super, in);
}

static int event_del(struct ub_event *super) {
    turn_off((struct event *)super);
    return 0;
}

static int event_add_timer(struct ub_event *super, struct ub_event_base *base, void (*callback)(int, short, void *),
                           void *arg, struct timeval *in) {
    struct event *event = (struct event *)super;
    event->callback = callback;
    event->arg = arg;
    return turn_on(event, in);
}

static int event_no_signal(struct ub_event *super, struct timeval *in) {
    return -1;
}

static int event_no_signal_del(struct ub_event *super) {
    return -1;
}

static void event_no_winsock(struct ub_event *super) {
}

static void event_no_wouldblock(struct ub_event *super, int bit) {
}

static struct ub_event_vmt event_vmt = {
    .add_bits = event_add_bits,
    .del_bits = event_del_bits,
    .set_fd = event_set_fd,
    .free = event_free,
    .add = event_add,
    .del = event_del,
    .add_timer = event_add_timer,
    .del_timer = event_del,
    .add_signal = event_no_signal,
    .del_signal = event_no_signal_del,
    .winsock_unregister_wsaevent = event_no_winsock,
    .winsock_tcp_wouldblock = event_no_wouldblock,
};

/* ---- struct ub_event_base_vmt */

static struct ub_event *new_event(struct ub_event_base *super, int fd, short bits, void (*callback)(int, short, void *),
                                  void *arg) {
    struct event *event = calloc(1, sizeof(*event));
    if (event == NULL)
        return NULL;
    event->super.magic = UB_EVENT_MAGIC;
    event->super.vmt = &event_vmt;
    event->loop = ((struct base *)super)->loop;
    event->callback = callback;
    event->arg = arg;
    event->fd = fd;
    event->bits = bits;
    event->watch.fd = -1;
    return &event->super;
}

static struct ub_event *no_signal(struct ub_event_base *super, int fd, void (*callback)(int, short, void *),
                                  void *arg) {
    return NULL;
}

static struct ub_event *no_winsock(struct ub_event_base *super, void *event, void (*callback)(int, short, void *),
                                   void *arg) {
    return NULL;
}

static void base_free(struct ub_event_base *super) {
}

static int base_no_dispatch(struct ub_event_base *super) {
    return -1;
}

static int base_no_exit(struct ub_event_base *super, struct timeval *in) {
    return -1;
}

static struct ub_event_base_vmt base_vmt = {
    .free = base_free,
    .dispatch = base_no_dispatch,
    .loopexit = base_no_exit,
    .new_event = new_event,
    .new_signal = no_signal,
    .winsock_register_wsaevent = no_winsock,
};

struct ub_event_base *resolver_events_new(struct loop *loop) {
    struct base *base = calloc(1, sizeof(*base));
    if (base == NULL)
        return NULL;
    base->super.magic = UB_EVENT_MAGIC;
    base->super.vmt = &base_vmt;
    base->loop = loop;
    return &base->super;
}
