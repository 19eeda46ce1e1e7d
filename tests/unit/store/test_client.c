/*
 * The store as a worker sees it, with a peer on the other end of a socket pair that is good, slow, dead or mad: each
 * question gets one answer or STORE_UNAVAILABLE, never from inside, never twice, and nothing after a cancel.
 */
#include "store_test.h"

#include "store/client.h"

enum { TIMEOUT_MS = 1000, SHORT_MS = 400, START_MS = 1000000 };

struct asker {
    struct bench *bench;
    struct store_ask *ask;
    unsigned n_answered, n_unavailable;
    struct greylist_answer answer;
    bool asks_again, frees_client, reconnects;
};

struct bench {
    struct loop *loop;
    struct store_client *client;
    int peer;
    bool is_inside;
    struct asker askers[STORE_PENDING_MAX + 2];
    char in[1 << 21];
    size_t in_len;
};

static void start(struct asker *asker, uint64_t timeout_ms);

static void on_answer(void *arg, enum store_result result, const struct greylist_answer *answer) {
    struct asker *asker = arg;
    assert_false(asker->bench->is_inside);
    asker->ask = NULL;
    assert_int_equal(answer != NULL, result == STORE_ANSWERED);
    if (answer != NULL)
        asker->answer = *answer;
    *(result == STORE_ANSWERED ? &asker->n_answered : &asker->n_unavailable) += 1;
    if (asker->asks_again) {
        asker->asks_again = false;
        start(asker + 1, TIMEOUT_MS);
    }
    if (asker->reconnects)
        store_client_connect(asker->bench->client, -1);
    if (asker->frees_client) {
        store_client_free(asker->bench->client);
        asker->bench->client = NULL;
    }
}

static void start(struct asker *asker, uint64_t timeout_ms) {
    const struct greylist_question question = question_for_test("anna@example.net");
    asker->bench->is_inside = true;
    asker->ask = store_ask_start(asker->bench->client, &question, timeout_ms, on_answer, asker);
    asker->bench->is_inside = false;
    assert_non_null(asker->ask);
}

static void connect_peer(struct bench *b) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    b->is_inside = true;
    store_client_connect(b->client, ends[0]);
    b->is_inside = false;
    if (b->peer >= 0)
        close(b->peer);
    b->peer = ends[1];
    b->in_len = 0;
}

static int set_up(void **state) {
    struct bench *b = calloc(1, sizeof(*b));
    b->loop = loop_for_test();
    b->peer = -1;
    loop_set_time(b->loop, START_MS);
    assert_int_equal(store_client_new(b->loop, &b->client), 0);
    for (size_t i = 0; i < sizeof(b->askers) / sizeof(b->askers[0]); i++)
        b->askers[i].bench = b;
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    struct bench *b = *state;
    store_client_free(b->client);
    if (b->peer >= 0)
        close(b->peer);
    loop_free(b->loop);
    free(b);
    return 0;
}

/* What the peer has received since it connected: how many messages, and the first and last one's number. */
static unsigned receive(struct bench *b, uint32_t *ret_first, uint32_t *ret_last) {
    ssize_t n;
    while ((n = recv(b->peer, b->in + b->in_len, sizeof(b->in) - b->in_len, MSG_DONTWAIT)) > 0)
        b->in_len += (size_t)n;
    unsigned count = 0;
    struct store_message m;
    for (size_t at = 0; at < b->in_len; at += (size_t)n, count++) {
        n = store_message_parse(b->in + at, b->in_len - at, &m);
        assert_true(n >= 0);
        if (n == 0)
            break;
        if (count == 0 && ret_first != NULL)
            *ret_first = m.number;
        if (ret_last != NULL)
            *ret_last = m.number;
    }
    return count;
}

static void answer_with(struct bench *b, uint32_t number, const struct greylist_answer *answer) {
    struct buf out;
    buf_init(&out, STORE_ANSWER_SIZE);
    assert_int_equal(store_answer_put(&out, number, answer), 0);
    assert_int_equal(send(b->peer, out.at, out.len, MSG_NOSIGNAL), out.len);
    buf_deinit(&out);
}

static void answer(struct bench *b, uint32_t number) {
    const struct greylist_answer is_new = { .status = GREYLIST_NEW, .seconds_left = 300 };
    answer_with(b, number, &is_new);
}

static void later(struct bench *b, uint64_t ms) {
    loop_set_time(b->loop, loop_now(b->loop) + ms);
    turns(b->loop, 2);
}

static unsigned ends(const struct asker *asker) {
    return asker->n_answered + asker->n_unavailable;
}

/* ---- */

static void questions_of_one_turn_leave_in_one_write_and_are_answered(void **state) {
    struct bench *b = *state;
    uint32_t first, last;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    start(&b->askers[1], TIMEOUT_MS);
    assert_int_equal(receive(b, NULL, NULL), 0);
    turns(b->loop, 1);
    assert_int_equal(receive(b, &first, &last), 2);
    answer_with(b, last, NULL); /* in any order */
    answer(b, first);
    turns(b->loop, 1);
    assert_int_equal(b->askers[0].n_answered, 1);
    assert_int_equal(b->askers[0].answer.seconds_left, 300);
    assert_int_equal(b->askers[1].n_unavailable, 1);
    later(b, 10 * TIMEOUT_MS);
    assert_int_equal(ends(&b->askers[0]) + ends(&b->askers[1]), 2);
}

static void without_a_store_it_is_unavailable_in_the_next_turn(void **state) {
    struct bench *b = *state;
    start(&b->askers[0], TIMEOUT_MS);
    assert_int_equal(ends(&b->askers[0]), 0);
    turns(b->loop, 1);
    assert_int_equal(b->askers[0].n_unavailable, 1);
}

static void an_asker_who_is_told_may_ask_again(void **state) {
    struct bench *b = *state;
    b->askers[0].asks_again = true;
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    assert_int_equal(b->askers[0].n_unavailable, 1);
    assert_int_equal(ends(&b->askers[1]), 0); /* not in the same turn: nobody holds it up */
    turns(b->loop, 1);
    assert_int_equal(b->askers[1].n_unavailable, 1);
}

static void a_slow_store_is_given_up_on_time(void **state) {
    struct bench *b = *state;
    uint32_t number;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    later(b, 100);
    start(&b->askers[1], SHORT_MS); /* due before the first */
    start(&b->askers[2], TIMEOUT_MS);
    later(b, SHORT_MS - 1);
    assert_int_equal(ends(&b->askers[1]), 0);
    later(b, 1);
    assert_int_equal(b->askers[1].n_unavailable, 1);
    assert_int_equal(ends(&b->askers[0]), 0);
    later(b, TIMEOUT_MS - 100 - SHORT_MS);
    assert_int_equal(b->askers[0].n_unavailable, 1);
    assert_int_equal(ends(&b->askers[2]), 0);
    assert_int_equal(receive(b, &number, NULL), 3);
    answer(b, number); /* too late */
    later(b, 100);
    assert_int_equal(ends(&b->askers[0]), 1);
    assert_int_equal(b->askers[2].n_unavailable, 1);
}

static void an_answer_that_comes_too_late_is_nobody_elses(void **state) {
    struct bench *b = *state;
    uint32_t late, next;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    later(b, TIMEOUT_MS);
    start(&b->askers[1], TIMEOUT_MS); /* in the same slot */
    turns(b->loop, 1);
    assert_int_equal(receive(b, &late, &next), 2);
    answer(b, late);
    answer(b, late ^ 0xfffff000);
    turns(b->loop, 1);
    assert_int_equal(ends(&b->askers[1]), 0);
    answer(b, next);
    answer(b, next); /* twice */
    turns(b->loop, 1);
    assert_int_equal(b->askers[1].n_answered, 1);
}

static void nothing_comes_after_a_cancel(void **state) {
    struct bench *b = *state;
    uint32_t number;
    start(&b->askers[1], TIMEOUT_MS); /* failed already, not yet told */
    store_ask_cancel(b->askers[1].ask);
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    store_ask_cancel(b->askers[0].ask);
    store_ask_cancel(NULL);
    assert_int_equal(receive(b, &number, NULL), 1);
    answer(b, number);
    turns(b->loop, 2);
    later(b, 2 * TIMEOUT_MS);
    assert_int_equal(ends(&b->askers[0]) + ends(&b->askers[1]), 0);
}

static void a_store_that_dies_leaves_nobody_waiting(void **state) {
    struct bench *b = *state;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    close(b->peer);
    b->peer = -1;
    turns(b->loop, 2);
    assert_int_equal(b->askers[0].n_unavailable, 1);
    start(&b->askers[1], TIMEOUT_MS);
    turns(b->loop, 2);
    assert_int_equal(b->askers[1].n_unavailable, 1);
}

static void a_new_store_serves_from_then_on(void **state) {
    struct bench *b = *state;
    uint32_t number;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    connect_peer(b);
    assert_int_equal(ends(&b->askers[0]), 0);
    turns(b->loop, 1);
    assert_int_equal(b->askers[0].n_unavailable, 1);
    start(&b->askers[1], TIMEOUT_MS);
    turns(b->loop, 1);
    assert_int_equal(receive(b, &number, NULL), 1);
    answer(b, number);
    turns(b->loop, 1);
    assert_int_equal(b->askers[1].n_answered, 1);
}

static void half_an_answer_is_waited_for(void **state) {
    struct bench *b = *state;
    uint32_t number;
    struct buf out;
    const struct greylist_answer cached = { .status = GREYLIST_CACHED };
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    assert_int_equal(receive(b, &number, NULL), 1);
    buf_init(&out, STORE_ANSWER_SIZE);
    store_answer_put(&out, number, &cached);
    for (uint32_t i = 0; i < out.len; i++) {
        assert_int_equal(ends(&b->askers[0]), 0);
        assert_int_equal(send(b->peer, out.at + i, 1, 0), 1);
        turns(b->loop, 1);
    }
    assert_int_equal(b->askers[0].answer.status, GREYLIST_CACHED);
    buf_deinit(&out);
}

static void half_an_answer_and_the_end_is_unavailable(void **state) {
    struct bench *b = *state;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    assert_int_equal(send(b->peer, "\24\0\0\0\0", 5, 0), 5);
    close(b->peer);
    b->peer = -1;
    turns(b->loop, 2);
    assert_int_equal(b->askers[0].n_unavailable, 1);
}

static void garbage_ends_the_connection(void **state) {
    struct bench *b = *state;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    assert_int_equal(send(b->peer, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
    turns(b->loop, 2);
    assert_int_equal(b->askers[0].n_unavailable, 1);
    receive(b, NULL, NULL);
    assert_int_equal(recv(b->peer, b->in, 1, MSG_DONTWAIT), 0); /* closed */
}

static void a_question_is_no_answer(void **state) {
    struct bench *b = *state;
    connect_peer(b);
    start(&b->askers[0], TIMEOUT_MS);
    turns(b->loop, 1);
    receive(b, NULL, NULL);
    assert_int_equal(send(b->peer, b->in, b->in_len, 0), (ssize_t)b->in_len);
    turns(b->loop, 2);
    assert_int_equal(b->askers[0].n_unavailable, 1);
}

/* The first n_waiting wait for an answer, the one behind them does not. */
static void assert_bound(struct bench *b, unsigned n_waiting) {
    turns(b->loop, 1);
    for (unsigned i = 0; i < n_waiting; i++)
        assert_int_equal(ends(&b->askers[i]), 0);
    assert_int_equal(b->askers[n_waiting].n_unavailable, 1);
}

static void those_who_wait_have_their_maximum(void **state) {
    struct bench *b = *state;
    uint32_t number;
    connect_peer(b);
    for (unsigned i = 0; i <= STORE_PENDING_MAX; i++) {
        start(&b->askers[i], TIMEOUT_MS);
        turns(b->loop, i % 100 == 0); /* and receive: the socket must not be the bound */
        receive(b, &number, NULL);
    }
    assert_bound(b, STORE_PENDING_MAX);
    answer(b, number);
    turns(b->loop, 1);
    assert_int_equal(b->askers[0].n_answered, 1);
    start(&b->askers[STORE_PENDING_MAX + 1], TIMEOUT_MS); /* there is room again */
    turns(b->loop, 1);
    assert_int_equal(ends(&b->askers[STORE_PENDING_MAX + 1]), 0);
    later(b, TIMEOUT_MS);
    for (unsigned i = 1; i < STORE_PENDING_MAX; i++)
        assert_int_equal(b->askers[i].n_unavailable, 1);
}

static void a_store_that_does_not_read_holds_nobody_up(void **state) {
    struct bench *b = *state;
    unsigned n = 0;
    connect_peer(b);
    int small = 4096;
    setsockopt(b->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (; n < STORE_PENDING_MAX && ends(&b->askers[n > 0 ? n - 1 : 0]) == 0; n++) {
        start(&b->askers[n], TIMEOUT_MS);
        turns(b->loop, 1);
    }
    assert_true(n > 100 && n < STORE_PENDING_MAX); /* the buffers were full before the slots */
    assert_int_equal(b->askers[n - 1].n_unavailable, 1);
    later(b, TIMEOUT_MS);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(b->askers[i].n_unavailable, 1);
    receive(b, NULL, NULL); /* it reads again, and what waited for room follows */
    turns(b->loop, 1);
    for (unsigned i = 0; i < n; i++)
        turns(b->loop, 1), receive(b, NULL, NULL);
    start(&b->askers[n], TIMEOUT_MS);
    turns(b->loop, 1);
    uint32_t number;
    assert_int_equal(receive(b, NULL, &number), n); /* one of the others never left */
    answer(b, number);
    turns(b->loop, 1);
    assert_int_equal(b->askers[n].n_answered, 1);
}

static void the_client_may_be_freed_while_it_tells(void **state) {
    struct bench *b = *state;
    uint32_t first, last;
    connect_peer(b);
    b->askers[0].frees_client = true;
    start(&b->askers[0], TIMEOUT_MS);
    start(&b->askers[1], TIMEOUT_MS);
    turns(b->loop, 1);
    receive(b, &first, &last);
    answer(b, first);
    answer(b, last);
    turns(b->loop, 1);
    assert_int_equal(b->askers[0].n_answered, 1);
    assert_int_equal(ends(&b->askers[1]), 0); /* cancelled silently */
}

static void the_client_may_be_freed_while_it_tells_of_failures(void **state) {
    struct bench *b = *state;
    b->askers[0].frees_client = true;
    start(&b->askers[0], TIMEOUT_MS);
    start(&b->askers[1], TIMEOUT_MS);
    turns(b->loop, 2);
    assert_int_equal(ends(&b->askers[0]), 1);
    assert_int_equal(ends(&b->askers[1]), 0);
}

static void the_connection_may_be_dropped_while_it_tells(void **state) {
    struct bench *b = *state;
    uint32_t first, last;
    connect_peer(b);
    b->askers[0].reconnects = true;
    start(&b->askers[0], TIMEOUT_MS);
    start(&b->askers[1], TIMEOUT_MS);
    turns(b->loop, 1);
    receive(b, &first, &last);
    answer(b, first);
    answer(b, last);
    turns(b->loop, 2);
    assert_int_equal(b->askers[0].n_answered, 1);
    assert_int_equal(b->askers[1].n_unavailable, 1);
}

static void a_credit_is_sent_and_forgotten(void **state) {
    struct bench *b = *state;
    const struct greylist_question question = question_for_test("anna@example.net");
    struct store_message m;
    store_credit(b->client, &question); /* to nobody */
    connect_peer(b);
    store_credit(b->client, &question);
    turns(b->loop, 1);
    assert_int_equal(receive(b, NULL, NULL), 1);
    assert_true(store_message_parse(b->in, b->in_len, &m) > 0);
    assert_int_equal(m.type, STORE_CREDIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(questions_of_one_turn_leave_in_one_write_and_are_answered),
        TEST(without_a_store_it_is_unavailable_in_the_next_turn),
        TEST(an_asker_who_is_told_may_ask_again),
        TEST(a_slow_store_is_given_up_on_time),
        TEST(an_answer_that_comes_too_late_is_nobody_elses),
        TEST(nothing_comes_after_a_cancel),
        TEST(a_store_that_dies_leaves_nobody_waiting),
        TEST(a_new_store_serves_from_then_on),
        TEST(half_an_answer_is_waited_for),
        TEST(half_an_answer_and_the_end_is_unavailable),
        TEST(garbage_ends_the_connection),
        TEST(a_question_is_no_answer),
        TEST(those_who_wait_have_their_maximum),
        TEST(a_store_that_does_not_read_holds_nobody_up),
        TEST(the_client_may_be_freed_while_it_tells),
        TEST(the_client_may_be_freed_while_it_tells_of_failures),
        TEST(the_connection_may_be_dropped_while_it_tells),
        TEST(a_credit_is_sent_and_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
