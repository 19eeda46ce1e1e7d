/*
 * The events that libunbound is given: what it expects of them, as it would of libevent's, driven by hand.
 */
#include "net/resolver_events.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW_MS = 1000000 };

static struct stage {
    struct loop *loop;
    struct ub_event_base *base;
    struct ub_event *event;
    uint64_t now_ms;
    int fds[2];        /* the event is about the first */
    unsigned n_called;
    short last_bits;
    bool adds_again, ends_itself;
} t;

static int setup(void **state) {
    t = (struct stage){ .now_ms = NOW_MS };
    assert_int_equal(loop_new(&t.loop), 0);
    loop_set_time(t.loop, t.now_ms);
    t.base = resolver_events_new(t.loop);
    assert_non_null(t.base);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, t.fds), 0);
    return 0;
}

static int teardown(void **state) {
    if (t.event != NULL)
        t.event->vmt->free(t.event);
    loop_turn(t.loop, 0);
    close(t.fds[0]);
    close(t.fds[1]);
    free(t.base);
    loop_free(t.loop);
    return 0;
}

static void on_event(int fd, short bits, void *arg) {
    assert_ptr_equal(arg, &t);
    t.n_called++;
    t.last_bits = bits;
    if (t.adds_again)
        assert_int_equal(t.event->vmt->add(t.event, NULL), 0);
    if (t.ends_itself) {
        t.event->vmt->free(t.event);
        t.event = NULL;
    }
}

static void make(short bits) {
    t.event = t.base->vmt->new_event(t.base, t.fds[0], bits, on_event, &t);
    assert_non_null(t.event);
    assert_int_equal(t.event->magic, UB_EVENT_MAGIC); /* without which it aborts */
    assert_int_equal(t.base->magic, UB_EVENT_MAGIC);
}

static void add(uint64_t ms) {
    struct timeval in = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
    assert_int_equal(t.event->vmt->add(t.event, ms > 0 ? &in : NULL), 0);
}

static void pass_time(uint64_t ms) {
    t.now_ms += ms;
    loop_set_time(t.loop, t.now_ms);
    for (int i = 0; i < 4; i++)
        assert_int_equal(loop_turn(t.loop, 0), 0);
}

static void send_byte(void) {
    assert_int_equal(write(t.fds[1], "x", 1), 1);
    pass_time(1);
}

/* ---- tests */

static void an_event_that_does_not_persist_comes_once(void **state) {
    make(UB_EV_READ);
    add(0);
    send_byte();
    send_byte();
    assert_int_equal(t.n_called, 1);
    assert_int_equal(t.last_bits, UB_EV_READ);
}

static void it_is_off_before_its_callback_which_may_set_it_anew(void **state) {
    make(UB_EV_READ);
    t.adds_again = true;
    add(0);
    send_byte();
    assert_true(t.n_called >= 2); /* the byte is still there */
}

static void one_that_persists_comes_until_it_is_deleted(void **state) {
    make(UB_EV_READ | UB_EV_PERSIST);
    add(0);
    send_byte();
    assert_true(t.n_called >= 2);
    unsigned before = t.n_called;
    assert_int_equal(t.event->vmt->del(t.event), 0);
    send_byte();
    assert_int_equal(t.n_called, before);
}

static void a_time_out_comes_with_its_own_bit_and_ends_the_event(void **state) {
    make(UB_EV_READ);
    add(1500);
    pass_time(1499);
    assert_int_equal(t.n_called, 0);
    pass_time(1);
    assert_int_equal(t.n_called, 1);
    assert_int_equal(t.last_bits, UB_EV_TIMEOUT);
    send_byte();
    pass_time(5000);
    assert_int_equal(t.n_called, 1);
}

static void reading_ends_the_time_out_of_an_event_that_does_not_persist(void **state) {
    make(UB_EV_READ);
    add(1500);
    send_byte();
    pass_time(5000);
    assert_int_equal(t.n_called, 1);
    assert_int_equal(t.last_bits, UB_EV_READ);
}

static void the_time_of_one_that_persists_begins_anew_at_each_callback(void **state) {
    char byte;
    make(UB_EV_READ | UB_EV_PERSIST);
    add(1000);
    pass_time(900);
    send_byte();
    assert_int_equal(read(t.fds[0], &byte, 1), 1);
    pass_time(900);
    assert_int_equal(t.last_bits, UB_EV_READ);
    pass_time(200);
    assert_int_equal(t.last_bits, UB_EV_TIMEOUT);
    unsigned before = t.n_called;
    pass_time(1000);
    assert_int_equal(t.n_called, before + 1);
}

static void adding_one_that_is_on_sets_it_anew(void **state) {
    make(UB_EV_READ);
    add(1000);
    pass_time(900);
    add(1000);
    pass_time(900);
    assert_int_equal(t.n_called, 0);
    add(0);
    pass_time(100000);
    assert_int_equal(t.n_called, 0); /* no time-out any more */
    send_byte();
    assert_int_equal(t.n_called, 1);
}

static void bits_and_descriptor_can_be_changed_while_it_is_off(void **state) {
    make(UB_EV_READ);
    t.event->vmt->del_bits(t.event, UB_EV_READ);
    t.event->vmt->add_bits(t.event, UB_EV_WRITE);
    t.event->vmt->set_fd(t.event, t.fds[1]);
    add(0);
    pass_time(1);
    assert_int_equal(t.n_called, 1);
    assert_int_equal(t.last_bits, UB_EV_WRITE);
}

static void a_peer_that_is_gone_is_something_to_read(void **state) {
    make(UB_EV_READ);
    add(0);
    shutdown(t.fds[1], SHUT_RDWR);
    pass_time(1);
    assert_int_equal(t.n_called, 1);
    assert_int_equal(t.last_bits, UB_EV_READ);
}

static void an_event_may_be_freed_while_it_is_on_and_in_its_own_callback(void **state) {
    make(UB_EV_READ | UB_EV_PERSIST);
    add(1000);
    t.event->vmt->free(t.event); /* "free must also delete" */
    t.event = NULL;
    send_byte();
    pass_time(2000);
    assert_int_equal(t.n_called, 0);
    make(UB_EV_READ | UB_EV_PERSIST);
    t.ends_itself = true;
    add(1000);
    pass_time(1);
    assert_int_equal(t.n_called, 1);
    pass_time(2000);
    assert_int_equal(t.n_called, 1);
}

static void a_timer_may_be_given_another_callback(void **state) {
    struct timeval in = { .tv_usec = 1 }; /* rounded up: no time-out is none */
    t.event = t.base->vmt->new_event(t.base, -1, UB_EV_TIMEOUT, NULL, NULL);
    assert_non_null(t.event);
    assert_int_equal(t.event->vmt->add_timer(t.event, t.base, on_event, &t, &in), 0);
    assert_int_equal(t.n_called, 0);
    pass_time(1);
    assert_int_equal(t.n_called, 1);
    assert_int_equal(t.event->vmt->add_timer(t.event, t.base, on_event, &t, &in), 0);
    assert_int_equal(t.event->vmt->del_timer(t.event), 0);
    pass_time(1000);
    assert_int_equal(t.n_called, 1);
}

static void signals_are_not_libunbounds_to_take(void **state) {
    assert_null(t.base->vmt->new_signal(t.base, SIGTERM, on_event, &t));
    assert_int_equal(t.base->vmt->dispatch(t.base), -1);
    assert_int_equal(t.base->vmt->loopexit(t.base, NULL), -1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_event_that_does_not_persist_comes_once),
        TEST(it_is_off_before_its_callback_which_may_set_it_anew),
        TEST(one_that_persists_comes_until_it_is_deleted),
        TEST(a_time_out_comes_with_its_own_bit_and_ends_the_event),
        TEST(reading_ends_the_time_out_of_an_event_that_does_not_persist),
        TEST(the_time_of_one_that_persists_begins_anew_at_each_callback),
        TEST(adding_one_that_is_on_sets_it_anew),
        TEST(bits_and_descriptor_can_be_changed_while_it_is_off),
        TEST(a_peer_that_is_gone_is_something_to_read),
        TEST(an_event_may_be_freed_while_it_is_on_and_in_its_own_callback),
        TEST(a_timer_may_be_given_another_callback),
        TEST(signals_are_not_libunbounds_to_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
