/*
 * What a plain stream promises its owner: every byte once and in order, bounds that hold at the bound and break one
 * past it, pausing, ends, and that an idle one owns no memory.
 */
#include "net_test.h"

#include <netinet/in.h>
#include <sys/un.h>

static void bytes_go_in_and_answers_go_out(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 1000, 1000);
    w->answer = "250 OK\r\n";
    put(peer, "NOOP\r\n");
    turns(loop, 1);
    assert_string_equal(w->seen, "NOOP\r\n");
    assert_string_equal(got(peer), "250 OK\r\n");
    stream_close(&w->stream);
    assert_int_equal(recv(peer, (char[1]){ 0 }, 1, 0), 0);
    close(peer);
    free(w);
    loop_free(loop);
}

static void an_idle_stream_owns_no_memory(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 1000, 100000);
    w->answer = "250 OK\r\n";
    for (int i = 0; i < 3; i++) {
        put(peer, "NOOP\r\n");
        turns(loop, 1);
        assert_null(w->stream.in.at);
        assert_null(w->stream.out.at);
    }
    char large[10000];
    memset(large, 'x', sizeof large);
    assert_int_equal(stream_write(&w->stream, large, sizeof large), 0);
    turns(loop, 1);
    assert_null(w->stream.out.at);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void what_is_not_consumed_is_offered_again_with_more_behind_it(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 1000, 1000);
    w->consume_max = 0;
    put(peer, "EH");
    turns(loop, 2);
    assert_int_equal(w->n_data, 1);
    w->consume_max = 3;
    put(peer, "LO x");
    turns(loop, 2);
    assert_string_equal(w->seen, "EHL");
    w->consume_max = SIZE_MAX;
    put(peer, "\r\n");
    turns(loop, 1);
    assert_string_equal(w->seen, "EHLO x\r\n");
    assert_int_equal(w->n_data, 3);
    assert_null(w->stream.in.at);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void a_full_buffer_is_kept_and_one_byte_more_ends_the_stream(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 10, 1000);
    w->consume_max = 0;
    put(peer, "0123456789");
    turns(loop, 3);
    assert_int_equal(w->n_end, 0);
    put(peer, "x");
    turns(loop, 2);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_FULL);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void input_far_beyond_the_buffer_passes_when_it_is_consumed(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 1000);
    char sent[5001];
    for (int i = 0; i < 5000; i++)
        sent[i] = (char)('a' + i % 26);
    sent[5000] = 0;
    put(peer, sent);
    turns(loop, 10);
    assert_string_equal(w->seen, sent);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void output_at_its_bound_goes_out_and_one_byte_past_it_ends_the_stream(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 10);
    assert_int_equal(stream_write(&w->stream, "0123456789", 10), 0);
    assert_int_equal(stream_pending(&w->stream), 10);
    turns(loop, 1);
    assert_int_equal(stream_pending(&w->stream), 0);
    assert_string_equal(got(peer), "0123456789");
    int r = 0;
    CALL(w, r = stream_write(&w->stream, "0123456789x", 11));
    assert_int_equal(r, -ENOBUFS);
    assert_int_equal(w->n_end, 0);
    turns(loop, 2);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_FULL);
    assert_int_equal(stream_write(&w->stream, "more", 4), 0);
    turns(loop, 2);
    assert_int_equal(w->n_end, 1);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void a_slow_reader_gets_all_and_the_owner_is_told_when_it_is_out(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    enum { MUCH = 2000000 };
    int peer = witness_open(w, 100, MUCH);
    char *much = malloc(MUCH);
    for (int i = 0; i < MUCH; i++)
        much[i] = (char)(i * 7 + i / 251);
    assert_int_equal(stream_write(&w->stream, much, MUCH), 0);
    turns(loop, 1);
    assert_true(stream_pending(&w->stream) > 0);
    assert_int_equal(w->n_drained, 0);
    size_t at = 0;
    for (int i = 0; i < 1000 && at < MUCH; i++) {
        char piece[50000];
        ssize_t n = recv(peer, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) {
            assert_memory_equal(piece, much + at, n);
            at += (size_t)n;
        }
        turns(loop, 1);
    }
    assert_int_equal(at, MUCH);
    assert_int_equal(w->n_drained, 1);
    free(much);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

/* Takes ten bytes in each turn. */
static size_t take_ten_and_yield(struct stream *stream, const char *at, size_t len) {
    size_t used = on_witness_data(stream, at, len < 10 ? len : 10);
    if (used < len)
        stream_yield(stream);
    return used;
}

static void an_owner_that_yields_goes_on_in_the_next_turn_and_loses_nothing(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    struct stream_ops ops = witness_ops;
    char text[10000];
    int fd = witness_open(w, 1000, 1000); /* more is sent than may be kept */
    ops.on_data = take_ten_and_yield;
    w->stream.ops = &ops;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    assert_int_equal(send(fd, text, sizeof text, 0), sizeof text);
    shutdown(fd, SHUT_WR);
    for (size_t before = 0; before < sizeof text; before = w->seen_len) {
        assert_int_equal(w->n_end, 0);
        turns(loop, 1);
        assert_in_range(w->seen_len - before, 1, 20); /* an event, and the task behind it */
    }
    turns(loop, 2);
    assert_memory_equal(w->seen, text, sizeof text);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_EOF);
    stream_close(&w->stream);
    close(fd);
    free(w);
    loop_free(loop);
}

/* It waits twice inside one on_data, as a session does whose second command has to wait. */
static size_t wait_twice(struct stream *stream, const char *at, size_t len) {
    stream_pause(stream);
    stream_resume(stream);
    stream_pause(stream);
    return on_witness_data(stream, at, len);
}

static void an_owner_that_waits_twice_is_heard_again(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    struct stream_ops ops = witness_ops;
    int fd = witness_open(w, 1000, 1000);
    ops.on_data = wait_twice;
    w->stream.ops = &ops;
    for (unsigned i = 0; i < 3; i++) {
        put(fd, "x");
        turns(loop, 2);
        stream_resume(&w->stream);
        turns(loop, 2);
        assert_int_equal(w->seen_len, i + 1);
    }
    stream_close(&w->stream);
    close(fd);
    free(w);
    loop_free(loop);
}

static void a_paused_stream_delivers_nothing_until_it_is_resumed(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 1000);
    w->consume_max = 1;
    w->pauses = true;
    put(peer, "abc");
    turns(loop, 2);
    put(peer, "def");
    turns(loop, 3);
    assert_string_equal(w->seen, "a");
    assert_int_equal(w->n_data, 1);
    assert_true(stream_is_paused(&w->stream));
    w->consume_max = SIZE_MAX;
    w->pauses = false;
    CALL(w, stream_resume(&w->stream));
    turns(loop, 2);
    assert_string_equal(w->seen, "abcdef");
    put(peer, "ghi");
    turns(loop, 2);
    assert_string_equal(w->seen, "abcdefghi");
    assert_int_equal(w->n_inside, 0);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void the_peer_leaving_is_told_once_even_while_paused_and_its_bytes_are_still_there(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 1000);
    stream_pause(&w->stream);
    put(peer, "QUIT\r\n");
    turns(loop, 2);
    assert_false(stream_peer_is_gone(&w->stream));
    shutdown(peer, SHUT_WR);
    turns(loop, 3);
    assert_true(stream_peer_is_gone(&w->stream));
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_EOF);
    assert_int_equal(w->n_data, 0);
    w->answer = "221 bye\r\n";
    stream_resume(&w->stream);
    turns(loop, 3);
    assert_string_equal(w->seen, "QUIT\r\n");
    assert_string_equal(got(peer), "221 bye\r\n");
    assert_int_equal(w->n_end, 1);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void bytes_and_close_in_one_event_come_in_that_order(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 1000);
    put(peer, "QUIT\r\n");
    close(peer);
    turns(loop, 3);
    assert_string_equal(w->seen, "QUIT\r\n");
    assert_int_equal(w->n_data, 1);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->end, STREAM_EOF);
    stream_close(&w->stream);
    free(w);
    loop_free(loop);
}

static void a_failed_write_reads_what_the_peer_said_before_it_left(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 100, 1000);
    put(peer, "421 too busy\r\n");
    close(peer);
    CALL(w, stream_write(&w->stream, "MAIL\r\n", 6));
    CALL(w, stream_flush(&w->stream));
    turns(loop, 2);
    assert_string_equal(w->seen, "421 too busy\r\n");
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->n_inside, 0);
    stream_close(&w->stream);
    free(w);
    loop_free(loop);
}

static void bytes_put_back_come_first(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 10, 1000);
    put(peer, "ef");
    CALL(w, assert_int_equal(stream_unread(&w->stream, "cd", 2), 0));
    CALL(w, assert_int_equal(stream_unread(&w->stream, "ab", 2), 0));
    CALL(w, assert_int_equal(stream_unread(&w->stream, "1234567", 7), -ENOBUFS));
    turns(loop, 3);
    assert_string_equal(w->seen, "abcdef");
    assert_int_equal(w->n_inside, 0);
    stream_close(&w->stream);
    close(peer);
    free(w);
    loop_free(loop);
}

static void a_descriptor_can_be_taken_out_alive(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    int peer = witness_open(w, 10, 1000);
    int fd = stream_steal_fd(&w->stream);
    put(peer, "hello");
    turns(loop, 2);
    assert_int_equal(w->n_data, 0);
    assert_string_equal(got(fd), "hello");
    stream_close(&w->stream);
    put(fd, "still open");
    assert_string_equal(got(peer), "still open");
    close(fd);
    close(peer);
    free(w);
    loop_free(loop);
}

/* Closing over unread bytes would reset the connection, and the client would never read why it was refused. */
static void the_last_reply_survives_unread_input(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof at;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&at, sizeof at) | listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&at, sizeof at), 0);
    int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_int_equal(stream_open(&w->stream, loop, fd, &witness_ops, 100, 1000), 0);
    stream_pause(&w->stream);
    put(peer, "spam spam spam\r\n");
    turns(loop, 2);
    stream_write(&w->stream, "554 no\r\n", 8);
    stream_close(&w->stream);
    assert_string_equal(got(peer), "554 no\r\n");
    assert_int_equal(recv(peer, (char[1]){ 0 }, 1, 0), 0);
    close(peer);
    close(door);
    free(w);
    loop_free(loop);
}

/* A listening Unix socket that takes `backlog` + 1 connections before it refuses; its path in `at`. */
static int listen_at(struct sockaddr_un *at, int backlog) {
    static unsigned n;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_un){ .sun_family = AF_UNIX };
    snprintf(at->sun_path, sizeof at->sun_path, "/tmp/postern-stream-%d-%u", (int)getpid(), n++);
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void a_unix_socket_is_connected_to_by_its_path(void **state) {
    struct loop *loop = loop_for_test();
    struct witness *w = witness_new(loop);
    struct sockaddr_un at;
    int door = listen_at(&at, 1), r = 0;
    CALL(w, r = stream_connect_path(&w->stream, loop, at.sun_path, &witness_ops, 100, 100));
    assert_int_equal(r, 0);
    CALL(w, stream_write(&w->stream, "ping", 4));
    int peer = accept(door, NULL, NULL);
    turns(loop, 3);
    assert_int_equal(w->n_connected, 1);
    assert_string_equal(got(peer), "ping");
    put(peer, "pong");
    turns(loop, 3);
    assert_string_equal(w->seen, "pong");
    stream_close(&w->stream);
    close(peer);
    close(door);
    unlink(at.sun_path);
    free(w);
    loop_free(loop);
}

static void a_unix_socket_that_cannot_be_connected_to_is_told_later(void **state) {
    enum { TOO_MANY = 3 };
    struct loop *loop = loop_for_test();
    struct witness *w = calloc(TOO_MANY, sizeof *w);
    struct sockaddr_un at;
    int door = listen_at(&at, 0), r = 0;
    char path[200] = "/";
    assert_non_null(w);
    for (int i = 0; i < TOO_MANY; i++) {
        w[i].loop = loop;
        CALL(&w[i], r = stream_connect_path(&w[i].stream, loop, at.sun_path, &witness_ops, 100, 100));
        assert_int_equal(r, 0);
    }
    turns(loop, 3);
    assert_int_equal(w[0].n_connected, 1);
    assert_int_equal(w[2].n_end, 1); /* nobody accepts */
    assert_int_equal(w[2].err, EAGAIN);
    for (int i = 0; i < TOO_MANY; i++)
        stream_close(&w[i].stream);
    close(door);
    unlink(at.sun_path);
    CALL(w, r = stream_connect_path(&w->stream, loop, at.sun_path, &witness_ops, 100, 100));
    assert_int_equal(r, 0);
    turns(loop, 3);
    assert_int_equal(w->n_end, 1);
    assert_int_equal(w->err, ENOENT);
    assert_int_equal(w->n_inside, 0);
    stream_close(&w->stream);
    memset(path + 1, 'a', sizeof path - 2);
    assert_int_equal(stream_connect_path(&w->stream, loop, path, &witness_ops, 100, 100), -ENAMETOOLONG);
    free(w);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_in_and_answers_go_out),
        cmocka_unit_test(an_idle_stream_owns_no_memory),
        cmocka_unit_test(what_is_not_consumed_is_offered_again_with_more_behind_it),
        cmocka_unit_test(a_full_buffer_is_kept_and_one_byte_more_ends_the_stream),
        cmocka_unit_test(input_far_beyond_the_buffer_passes_when_it_is_consumed),
        cmocka_unit_test(output_at_its_bound_goes_out_and_one_byte_past_it_ends_the_stream),
        cmocka_unit_test(a_slow_reader_gets_all_and_the_owner_is_told_when_it_is_out),
        cmocka_unit_test(an_owner_that_yields_goes_on_in_the_next_turn_and_loses_nothing),
        cmocka_unit_test(an_owner_that_waits_twice_is_heard_again),
        cmocka_unit_test(a_paused_stream_delivers_nothing_until_it_is_resumed),
        cmocka_unit_test(the_peer_leaving_is_told_once_even_while_paused_and_its_bytes_are_still_there),
        cmocka_unit_test(bytes_and_close_in_one_event_come_in_that_order),
        cmocka_unit_test(a_failed_write_reads_what_the_peer_said_before_it_left),
        cmocka_unit_test(bytes_put_back_come_first),
        cmocka_unit_test(a_descriptor_can_be_taken_out_alive),
        cmocka_unit_test(the_last_reply_survives_unread_input),
        cmocka_unit_test(a_unix_socket_is_connected_to_by_its_path),
        cmocka_unit_test(a_unix_socket_that_cannot_be_connected_to_is_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
