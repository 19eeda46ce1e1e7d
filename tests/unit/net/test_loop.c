/*
 * The loop itself: events, timers in order under a clock that the test sets, tasks, signals, what comes at a turn's
 * end.
 */
#include "net_test.h"

#include <signal.h>

enum { TIMERS = 500 };

struct tick {
    struct timer timer;
    uint64_t due_ms;
    unsigned n;
};

static uint64_t last_due_ms;

static void on_tick(struct timer *timer) {
    struct tick *tick = (struct tick *)timer;
    tick->n++;
    assert_true(tick->due_ms >= last_due_ms);
    last_due_ms = tick->due_ms;
}

static void timers_come_in_order_and_only_when_due(void **state) {
    struct loop *loop = loop_for_test();
    static struct tick ticks[TIMERS];
    uint32_t random = 1;
    unsigned n = 0;
    memset(ticks, 0, sizeof ticks);
    last_due_ms = 0;
    loop_set_time(loop, 1000);
    for (int i = 0; i < TIMERS; i++) {
        ticks[i].due_ms = 1001 + (random = random * 1664525 + 1013904223) % 1000;
        assert_int_equal(timer_set(loop, &ticks[i].timer, ticks[i].due_ms, on_tick), 0);
    }
    for (int i = 0; i < TIMERS; i++) { /* moved away, moved nearer, cancelled, left */
        if (i % 4 == 0)
            assert_int_equal(timer_set(loop, &ticks[i].timer, ticks[i].due_ms += 700, on_tick), 0);
        else if (i % 4 == 1)
            assert_int_equal(timer_set(loop, &ticks[i].timer, ticks[i].due_ms -= ticks[i].due_ms % 100, on_tick), 0);
        else if (i % 4 == 2)
            timer_cancel(loop, &ticks[i].timer);
        assert_int_equal(timer_is_set(&ticks[i].timer), i % 4 != 2);
    }
    for (uint64_t now_ms = 1000; now_ms <= 3000; now_ms += 50) {
        loop_set_time(loop, now_ms);
        turns(loop, 1);
        n = 0;
        for (int i = 0; i < TIMERS; i++) {
            assert_int_equal(ticks[i].n, i % 4 != 2 && ticks[i].due_ms <= now_ms);
            n += ticks[i].n;
        }
    }
    assert_int_equal(n, TIMERS - TIMERS / 4);
    loop_free(loop);
}

static void on_stop_time(struct timer *timer) {
    struct loop **loop = (struct loop **)(timer + 1);
    loop_stop(*loop);
}

static void the_loop_waits_for_a_timer_and_stops_when_told(void **state) {
    struct {
        struct timer timer;
        struct loop *loop;
    } stop = { .loop = loop_for_test() };
    uint64_t begin_ms = loop_now(stop.loop);
    assert_int_equal(timer_set(stop.loop, &stop.timer, begin_ms + 3, on_stop_time), 0);
    assert_int_equal(loop_run(stop.loop), 0);
    assert_true(loop_now(stop.loop) >= begin_ms + 3);
    loop_free(stop.loop);
}

static unsigned n_events;

static void on_event_count(struct watch *watch, uint32_t events) {
    n_events++;
}

static void a_watch_follows_its_descriptor_only_while_it_is_started(void **state) {
    struct loop *loop = loop_for_test();
    struct watch watch = { 0 }, never = { 0 };
    int fds[2];
    n_events = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(watch_start(loop, &watch, -1, EPOLLIN, on_event_count), -EBADF);
    assert_int_equal(watch_start(loop, &watch, fds[0], EPOLLIN, on_event_count), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    turns(loop, 2);
    assert_int_equal(n_events, 2); /* level-triggered */
    assert_int_equal(watch_change(loop, &watch, 0), 0);
    turns(loop, 1);
    assert_int_equal(n_events, 2);
    assert_int_equal(watch_change(loop, &watch, EPOLLIN), 0);
    watch_stop(loop, &never);
    watch_stop(loop, &watch);
    watch_stop(loop, &watch);
    assert_int_equal(watch.fd, -1);
    turns(loop, 1);
    assert_int_equal(n_events, 2);
    assert_int_equal(watch_start(loop, &watch, fds[0], EPOLLIN, on_event_count), 0);
    watch_close(loop, &watch);
    assert_int_equal(write(fds[1], "x", 1), -1); /* SIGPIPE is ignored */
    assert_int_equal(errno, EPIPE);
    close(fds[1]);
    loop_free(loop);
}

/* A descriptor that lives on in another process is still reported after close(): nobody may be called for it. */
static void a_closed_descriptor_that_lives_on_elsewhere_calls_nobody(void **state) {
    struct loop *loop = loop_for_test();
    struct watch watch;
    int fds[2];
    n_events = 0;
    assert_int_equal(pipe(fds), 0);
    int elsewhere = dup(fds[0]);
    assert_int_equal(watch_start(loop, &watch, fds[0], EPOLLIN, on_event_count), 0);
    watch_close(loop, &watch);
    assert_int_equal(write(fds[1], "x", 1), 1);
    turns(loop, 3);
    assert_int_equal(n_events, 0);
    close(elsewhere);
    close(fds[1]);
    loop_free(loop);
}

static int last_signal;

static void on_signal(int signo, void *arg) {
    last_signal = signo;
    ++*(unsigned *)arg;
}

static void signals_arrive_on_the_loop_and_go_back_when_it_is_freed(void **state) {
    struct loop *loop = loop_for_test();
    unsigned n = 0;
    sigset_t blocked;
    assert_int_equal(loop_on_signal(loop, SIGUSR1, on_signal, &n), 0);
    assert_int_equal(loop_on_signal(loop, SIGUSR2, on_signal, &n), 0);
    raise(SIGUSR2);
    turns(loop, 1);
    assert_int_equal(last_signal, SIGUSR2);
    raise(SIGUSR1);
    turns(loop, 2);
    assert_int_equal(last_signal, SIGUSR1);
    assert_int_equal(n, 2);
    loop_free(loop);
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    assert_int_equal(sigismember(&blocked, SIGUSR1), 0);
}

static void count(void *arg) {
    ++*(unsigned *)arg;
}

static void the_end_of_a_turn_is_told_and_blocks_are_used_again(void **state) {
    struct loop *loop = loop_for_test();
    unsigned n = 0;
    loop_on_turn_end(loop, count, &n);
    turns(loop, 3);
    assert_int_equal(n, 3);
    void *blocks[LOOP_BLOCKS_KEPT + 1];
    for (int i = 0; i <= LOOP_BLOCKS_KEPT; i++)
        assert_non_null(blocks[i] = loop_block_take(loop));
    for (int i = 0; i <= LOOP_BLOCKS_KEPT; i++)
        loop_block_give(loop, blocks[i]);
    void *again = loop_block_take(loop);
    assert_ptr_equal(again, blocks[LOOP_BLOCKS_KEPT - 1]);
    loop_free_later(loop, again);
    loop_free_later(loop, NULL);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_in_order_and_only_when_due),
        cmocka_unit_test(the_loop_waits_for_a_timer_and_stops_when_told),
        cmocka_unit_test(a_watch_follows_its_descriptor_only_while_it_is_started),
        cmocka_unit_test(a_closed_descriptor_that_lives_on_elsewhere_calls_nobody),
        cmocka_unit_test(signals_arrive_on_the_loop_and_go_back_when_it_is_freed),
        cmocka_unit_test(the_end_of_a_turn_is_told_and_blocks_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
