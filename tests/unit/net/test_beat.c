/* What a watcher sees of a loop, and when it concludes that the loop stands still. */
#include "net_test.h"

#include "base/clock.h"

static struct beat beat;
static char seen_doing[BEAT_TEXT_MAX];

static void on_work(struct task *task) {
    beat_format(&beat, seen_doing);
}

static void on_deadline(struct timer *timer) {
    beat_format(&beat, seen_doing);
}

static struct loop *watched_loop(void) {
    struct loop *loop;
    beat = (struct beat){ 0 };
    assert_int_equal(loop_new(&loop), 0);
    loop_beat(loop, &beat);
    return loop;
}

static void what_runs_is_named_while_it_runs(void **state) {
    struct loop *loop = watched_loop();
    struct task task = { 0 };
    struct timer timer = { 0 };
    task_start(loop, &task, on_work);
    loop_turn(loop, 0);
    assert_non_null(strstr(seen_doing, "test_beat.c:on_work"));
    timer_set(loop, &timer, 1, on_deadline);
    loop_turn(loop, 0);
    assert_non_null(strstr(seen_doing, "test_beat.c:on_deadline"));
    loop_free(loop);
}

static size_t on_bytes(struct stream *stream, const char *at, size_t len) {
    loop_doing_for(stream->loop, "0a1b2c3d4e5f6g");
    beat_format(&beat, seen_doing);
    return len;
}

static void on_bytes_end(struct stream *stream, enum stream_end end, int err) {
}

static void bytes_of_a_peer_are_named_after_it_and_its_session(void **state) {
    static const struct stream_ops ops = { .name = "bytes of a friend", .on_data = on_bytes, .on_end = on_bytes_end };
    struct loop *loop = watched_loop();
    struct stream stream;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(stream_open(&stream, loop, fds[0], &ops, 100, 100), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_turn(loop, 0);
    assert_string_equal(seen_doing, "bytes of a friend sid=0a1b2c3d4e5f6g");
    stream_close(&stream);
    loop_turn(loop, 0);
    assert_string_equal(beat_format(&beat, seen_doing), "net/loop.c:turn_ends"); /* and for no session any more */
    close(fds[1]);
    loop_free(loop);
}

static void a_loop_says_before_it_waits_when_it_will_be_awake(void **state) {
    struct loop *loop = watched_loop();
    struct timer timer = { 0 };
    uint64_t before_ms = loop_now(loop);
    loop_turn(loop, 0);
    assert_true(beat.due_ms >= before_ms && beat.due_ms <= clock_ms());
    timer_set(loop, &timer, loop_now(loop) + 20, on_deadline);
    loop_turn(loop, -1);
    assert_true(beat.due_ms >= before_ms + 20);
    timer_cancel(loop, &timer);
    loop_free(loop);
}

static void one_that_is_overdue_and_does_not_move_stands_still(void **state) {
    struct beat_look look = { 0 };
    beat = (struct beat){ .due_ms = 1000 };
    assert_false(beat_look(&look, &beat, 1001, 3)); /* the first look only remembers */
    assert_false(beat_look(&look, &beat, 2001, 3));
    assert_false(beat_look(&look, &beat, 3001, 3));
    assert_true(beat_look(&look, &beat, 4001, 3));
    beat.due_ms = 4500;
    assert_false(beat_look(&look, &beat, 5001, 3));
    assert_int_equal(look.n_still, 0);
}

static void one_that_waits_or_has_no_loop_yet_does_not_stand_still(void **state) {
    struct beat_look look = { 0 };
    beat = (struct beat){ .due_ms = 9000 };
    for (uint64_t now_ms = 1000; now_ms <= 9000; now_ms += 1000)
        assert_false(beat_look(&look, &beat, now_ms, 1));
    beat.due_ms = 0;
    for (uint64_t now_ms = 10000; now_ms <= 20000; now_ms += 1000)
        assert_false(beat_look(&look, &beat, now_ms, 1));
}

/* All of us were stopped, or the host was: the clock has gone on, and one look is all that it counts for. */
static void an_hour_between_two_looks_is_one_look(void **state) {
    struct beat_look look = { 0 };
    beat = (struct beat){ .due_ms = 1000 };
    assert_false(beat_look(&look, &beat, 1001, 2));
    assert_false(beat_look(&look, &beat, 3601000, 2));
    beat.due_ms = 3601500;
    assert_false(beat_look(&look, &beat, 3602000, 2));
}

static void slow_work_that_was_announced_may_take_its_time(void **state) {
    struct loop *loop = watched_loop();
    struct beat_look look = { 0 };
    uint64_t now_ms = clock_ms();
    loop_may_take(loop, 60000);
    for (int i = 0; i < 50; i++)
        assert_false(beat_look(&look, &beat, now_ms += 1000, 1));
    loop_free(loop);
}

/* A process that was taken over may write there what it likes, and the master reads it. */
static void nothing_is_read_that_is_not_of_the_program(void **state) {
    static const char hostile[] = "a\nb%n\x1b[2J";
    char text[BEAT_TEXT_MAX], on_stack[] = "somewhere else";
    beat_doing(&beat, (const char *)(uintptr_t)8);
    assert_string_equal(beat_format(&beat, text), "a module");
    beat_doing(&beat, on_stack);
    assert_string_equal(beat_format(&beat, text), "a module");
    beat_doing(&beat, hostile);
    assert_string_equal(beat_format(&beat, text), "a");
    for (unsigned i = 0; i < BEAT_WHOSE_MAX; i++)
        beat.whose[i] = i < 2 ? 'a' : '\n';
    assert_string_equal(beat_format(&beat, text), "a sid=aa");
    memset((void *)beat.whose, 'z', BEAT_WHOSE_MAX);
    assert_string_equal(beat_format(&beat, text), "a sid=zzzzzzzzzzzzzzz");
    beat_whose(&beat, "an id that is far too long for it");
    assert_string_equal(beat_format(&beat, text), "a sid=an");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_runs_is_named_while_it_runs),
        cmocka_unit_test(bytes_of_a_peer_are_named_after_it_and_its_session),
        cmocka_unit_test(a_loop_says_before_it_waits_when_it_will_be_awake),
        cmocka_unit_test(one_that_is_overdue_and_does_not_move_stands_still),
        cmocka_unit_test(one_that_waits_or_has_no_loop_yet_does_not_stand_still),
        cmocka_unit_test(an_hour_between_two_looks_is_one_look),
        cmocka_unit_test(slow_work_that_was_announced_may_take_its_time),
        cmocka_unit_test(nothing_is_read_that_is_not_of_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
