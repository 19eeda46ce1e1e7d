/*
 * The three laws of loop.h, for everything in net/ that completes later: timers, tasks, streams, connecting, TLS
 * handshakes and channels.
 *
 *   1. A completion is never called from inside the function that started the operation.
 *   2. It is called exactly once, unless the operation was cancelled, and never after.
 *   3. Nothing is freed while one of its own callbacks runs; what ends itself there is freed at the end of the turn.
 *
 * The third is watched by AddressSanitizer: each owner here is on the heap and ends itself inside its callback.
 */
#include "net_test.h"
#include "tls_test.h"

#include "net/channel.h"
#include "net/listen.h"

#include <fcntl.h>

/* ---- timers and tasks */

struct owner { /* ends itself in its callback */
    struct timer timer;
    struct task task;
    struct channel channel;
    struct loop *loop;
    struct owner *other;
    unsigned *n_calls;
    bool *is_inside;
    bool frees_itself, starts_again;
};

static void on_owner(struct owner *owner) {
    assert_false(*owner->is_inside);
    ++*owner->n_calls;
    if (owner->other) {
        timer_cancel(owner->loop, &owner->other->timer);
        task_cancel(owner->loop, &owner->other->task);
    }
    if (owner->frees_itself)
        loop_free_later(owner->loop, owner);
}

static void on_owner_timer(struct timer *timer) {
    struct owner *owner = (struct owner *)((char *)timer - offsetof(struct owner, timer));
    if (owner->starts_again)
        timer_set(owner->loop, timer, 1, on_owner_timer);
    on_owner(owner);
}

static void on_owner_task(struct task *task) {
    struct owner *owner = (struct owner *)((char *)task - offsetof(struct owner, task));
    if (owner->starts_again)
        task_start(owner->loop, task, on_owner_task);
    on_owner(owner);
}

static struct owner *owner_new(struct loop *loop, unsigned *n_calls, bool *is_inside) {
    struct owner *owner = calloc(1, sizeof *owner);
    assert_non_null(owner);
    owner->loop = loop;
    owner->n_calls = n_calls;
    owner->is_inside = is_inside;
    return owner;
}

static void a_timer_keeps_the_laws(void **state) {
    struct loop *loop = loop_for_test();
    unsigned n = 0;
    bool inside = true;
    struct owner *a = owner_new(loop, &n, &inside), *b = owner_new(loop, &n, &inside);
    loop_set_time(loop, 1000);
    timer_set(loop, &a->timer, 1, on_owner_timer); /* long past: still not from inside */
    timer_set(loop, &b->timer, 2, on_owner_timer);
    inside = false;
    a->other = b; /* cancelled in the same turn in which it was due */
    a->frees_itself = true;
    turns(loop, 3);
    assert_int_equal(n, 1);
    b->starts_again = true; /* set anew inside its callback: once a turn at most, not for ever in one */
    timer_set(loop, &b->timer, 1000, on_owner_timer);
    turns(loop, 3);
    assert_int_equal(n, 2);
    loop_set_time(loop, 1001);
    turns(loop, 3);
    assert_int_equal(n, 3);
    timer_cancel(loop, &b->timer);
    loop_set_time(loop, 9999);
    turns(loop, 3);
    assert_int_equal(n, 3);
    free(b);
    loop_free(loop);
}

static void a_task_keeps_the_laws(void **state) {
    struct loop *loop = loop_for_test();
    unsigned n = 0;
    bool inside = true;
    struct owner *a = owner_new(loop, &n, &inside), *b = owner_new(loop, &n, &inside);
    task_start(loop, &a->task, on_owner_task);
    task_start(loop, &a->task, on_owner_task);
    task_start(loop, &b->task, on_owner_task);
    inside = false;
    a->other = b;
    a->frees_itself = true;
    turns(loop, 3);
    assert_int_equal(n, 1);
    b->starts_again = true;
    task_start(loop, &b->task, on_owner_task);
    turns(loop, 1);
    assert_int_equal(n, 2);
    turns(loop, 1);
    assert_int_equal(n, 3);
    task_cancel(loop, &b->task);
    turns(loop, 3);
    assert_int_equal(n, 3);
    free(b);
    loop_free(loop);
}

/* ---- channels */

static void on_owner_message(struct channel *channel, const void *message, size_t len, const int *take_fds,
                             size_t n_fds) {
    struct owner *owner = channel->arg;
    channel_stop(channel);
    on_owner(owner);
}

static void a_channel_keeps_the_laws(void **state) {
    struct loop *loop = loop_for_test();
    unsigned n = 0;
    bool inside = true;
    int fds[2];
    struct owner *a = owner_new(loop, &n, &inside);
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(channel_send(fds[1], "1", 1, NULL, 0), 0);
    assert_int_equal(channel_send(fds[1], "2", 1, NULL, 0), 0);
    assert_int_equal(channel_start(&a->channel, loop, fds[0], on_owner_message, a), 0);
    inside = false;
    a->frees_itself = true; /* after the first of two messages */
    turns(loop, 3);
    assert_int_equal(n, 1);
    close(fds[0]);
    close(fds[1]);
    loop_free(loop);
}

/* ---- streams */

static void a_stream_calls_nobody_from_inside(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 10, 10);
    w->consume_max = 1;
    w->pauses = true;
    put(peer, "ab");
    turns(loop, 2);
    w->pauses = false;
    CALL(w, stream_resume(&w->stream));
    CALL(w, stream_unread(&w->stream, "c", 1));
    CALL(w, stream_write(&w->stream, "much too long", 13));
    CALL(w, stream_flush(&w->stream));
    assert_int_equal(w->n_end, 0);
    turns(loop, 3);
    assert_int_equal(w->n_inside, 0);
    assert_int_equal(w->n_end, 1);
    CALL(w, stream_close(&w->stream));
    CALL(w, stream_close(&w->stream));
    turns(loop, 3);
    assert_int_equal(w->n_end, 1);
    close(peer);
    free(w);
    loop_free(loop);
}

static void nothing_comes_after_a_close_whatever_was_pending(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 10, 10);
    put(peer, "bytes");
    shutdown(peer, SHUT_WR);
    stream_unread(&w->stream, "more", 4);
    stream_write(&w->stream, "much too long", 13);
    stream_close(&w->stream);
    turns(loop, 3);
    assert_int_equal(w->n_data + w->n_end + w->n_drained, 0);
    close(peer);
    free(w);
    loop_free(loop);
}

/* One stream's callback closes the other, whose event waits in the same turn. */
struct killer {
    struct stream stream;
    struct witness *victim;
};

static size_t kill_victim(struct stream *stream, const char *at, size_t len) {
    struct killer *killer = (struct killer *)stream;
    stream_close(&killer->victim->stream);
    free(killer->victim); /* not in its own callback: at once */
    killer->victim = NULL;
    return len;
}

static void ignore_end(struct stream *stream, enum stream_end end, int err) {
}

static void an_event_of_a_stream_closed_in_the_same_turn_is_dropped(void **state) {
    static const struct stream_ops ops = { .on_data = kill_victim, .on_end = ignore_end };
    struct loop *loop = loop_for_test();
    struct killer killer = { .victim = witness_new(loop) };
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(stream_open(&killer.stream, loop, fds[0], &ops, 100, 100), 0);
    int peer = witness_open(killer.victim, 100, 100);
    put(fds[1], "x");
    put(peer, "y");
    turns(loop, 3);
    assert_null(killer.victim);
    stream_close(&killer.stream);
    close(fds[1]);
    close(peer);
    loop_free(loop);
}

static size_t end_self(struct stream *stream, const char *at, size_t len) {
    struct loop *loop = stream->loop;
    stream_write(stream, "221 bye\r\n", 9);
    stream_close(stream);
    assert_int_equal(at[0], 'Q'); /* what was offered outlives the stream for the callback */
    loop_free_later(loop, stream);
    return 0;
}

static void a_stream_may_end_and_free_itself_in_its_callback(void **state) {
    static const struct stream_ops ops = { .on_data = end_self, .on_end = ignore_end };
    struct loop *loop = loop_for_test();
    for (int is_kept = 0; is_kept < 2; is_kept++) { /* offered from the scratch buffer, and from the stream's own */
        struct stream *stream = calloc(1, sizeof *stream);
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(stream_open(stream, loop, fds[0], &ops, 100, 100), 0);
        if (is_kept)
            stream_unread(stream, "QUIT\r\n", 6);
        else
            put(fds[1], "QUIT\r\n");
        turns(loop, 2);
        assert_string_equal(got(fds[1]), "221 bye\r\n");
        close(fds[1]);
    }
    loop_free(loop);
}

static void a_stream_may_be_opened_anew_in_its_own_end(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 100), fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    w->reopens_in_end = true;
    w->reopen_fd = fds[0];
    close(peer);
    turns(loop, 2);
    assert_int_equal(w->n_end, 1);
    put(fds[1], "second life");
    turns(loop, 2);
    assert_string_equal(w->seen, "second life");
    stream_close(&w->stream);
    close(fds[1]);
    free(w);
    loop_free(loop);
}

/* ---- connecting */

static struct endpoint loopback(int *ret_door) {
    struct endpoint at = { 0 };
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    assert_int_equal(ip_parse(STR("127.0.0.1"), &at.ip), 0);
    assert_int_equal(listen_open(&at, 1, false, ret_door), 0);
    assert_int_equal(getsockname(*ret_door, (struct sockaddr *)&address, &len), 0);
    return endpoint_from_sockaddr(&address);
}

static void connecting_keeps_the_laws(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int door;
    struct endpoint to = loopback(&door);
    CALL(w, assert_int_equal(stream_connect(&w->stream, loop, &to, &witness_ops, 100, 100), 0));
    CALL(w, stream_write(&w->stream, "early", 5));
    turns(loop, 3);
    assert_int_equal(w->n_connected, 1);
    int fd = accept(door, NULL, NULL);
    assert_string_equal(got(fd), "early");
    stream_close(&w->stream);
    CALL(w, assert_int_equal(stream_connect(&w->stream, loop, &to, &witness_ops, 100, 100), 0));
    stream_close(&w->stream); /* cancelled */
    turns(loop, 3);
    close(door);
    CALL(w, assert_int_equal(stream_connect(&w->stream, loop, &to, &witness_ops, 100, 100), 0));
    w->closes_in_end = true;
    turns(loop, 3);
    assert_int_equal(w->n_connected, 1);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_RESET);
    assert_int_equal(w->err, ECONNREFUSED);
    assert_int_equal(w->n_inside, 0);
    close(fd);
    free(w);
    loop_free(loop);
}

static void a_connect_refused_at_once_is_told_later(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    struct endpoint to = { .port = 25 };
    assert_int_equal(ip_parse(STR("255.255.255.255"), &to.ip), 0);
    CALL(w, assert_int_equal(stream_connect(&w->stream, loop, &to, &witness_ops, 100, 100), 0));
    assert_int_equal(w->n_end, 0);
    turns(loop, 3);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_RESET);
    assert_int_not_equal(w->err, 0);
    assert_int_equal(w->n_inside, 0);
    stream_close(&w->stream);
    free(w);
    loop_free(loop);
}

/* ---- TLS handshakes */

static void a_handshake_keeps_the_laws(void **state) {
    struct loop *loop = loop_for_test();
    struct tls_pair pair;
    tls_pair_open(&pair, loop);
    CALL(pair.server, assert_int_equal(stream_start_tls(&pair.server->stream, pair.server_tls, true, NULL), 0));
    CALL(pair.client, assert_int_equal(stream_start_tls(&pair.client->stream, pair.client_tls, false, "a.example"), 0));
    turns(loop, 8);
    assert_int_equal(pair.server->n_tls, 1);
    assert_int_equal(pair.client->n_tls, 1);
    assert_int_equal(pair.server->n_inside + pair.client->n_inside, 0);
    tls_pair_close(&pair);
    tls_pair_open(&pair, loop); /* cancelled half-way */
    stream_start_tls(&pair.server->stream, pair.server_tls, true, NULL);
    stream_start_tls(&pair.client->stream, pair.client_tls, false, "a.example");
    turns(loop, 1);
    stream_close(&pair.client->stream);
    turns(loop, 8);
    assert_int_equal(pair.client->n_tls + pair.client->n_end, 0);
    assert_int_equal(pair.server->n_tls, 0);
    assert_int_equal(pair.server->n_end, 1);
    assert_int_equal(pair.server->end, STREAM_TLS_BAD);
    tls_pair_close(&pair);
    tls_pair_open(&pair, loop); /* fails, and the owner closes in the callback */
    pair.server->closes_in_end = true;
    stream_start_tls(&pair.server->stream, pair.server_tls, true, NULL);
    stream_write(&pair.client->stream, "this is not TLS at all\r\n", 24);
    turns(loop, 8);
    assert_int_equal(pair.server->n_end, 1);
    assert_int_equal(pair.server->end, STREAM_TLS_BAD);
    tls_pair_close(&pair);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_keeps_the_laws),
        cmocka_unit_test(a_task_keeps_the_laws),
        cmocka_unit_test(a_channel_keeps_the_laws),
        cmocka_unit_test(a_stream_calls_nobody_from_inside),
        cmocka_unit_test(nothing_comes_after_a_close_whatever_was_pending),
        cmocka_unit_test(an_event_of_a_stream_closed_in_the_same_turn_is_dropped),
        cmocka_unit_test(a_stream_may_end_and_free_itself_in_its_callback),
        cmocka_unit_test(a_stream_may_be_opened_anew_in_its_own_end),
        cmocka_unit_test(connecting_keeps_the_laws),
        cmocka_unit_test(a_connect_refused_at_once_is_told_later),
        cmocka_unit_test(a_handshake_keeps_the_laws),
    };
    return cmocka_run_group_tests(tests, tls_files_make, tls_files_remove);
}
