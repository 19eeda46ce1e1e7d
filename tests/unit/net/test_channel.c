/*
 * Packets between processes: borders and descriptors survive, bounds hold at the bound and not past it, a full
 * channel does not wait, and the end is told once.
 */
#include "net_test.h"

#include "net/channel.h"

#include <fcntl.h>

struct inbox {
    struct channel channel;
    unsigned n_messages, n_gone;
    size_t last_len;
    char last[CHANNEL_MESSAGE_MAX];
    int fds[CHANNEL_FDS_MAX];
    size_t n_fds;
};

static void on_message(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct inbox *inbox = channel->arg;
    if (len == 0) {
        inbox->n_gone++;
        return;
    }
    inbox->n_messages++;
    inbox->last_len = len;
    memcpy(inbox->last, message, len);
    inbox->n_fds = n_fds;
    for (size_t i = 0; i < n_fds; i++)
        inbox->fds[i] = take_fds[i];
}

static struct inbox *inbox_open(struct loop *loop, int fds[2]) {
    struct inbox *inbox = calloc(1, sizeof *inbox);
    assert_non_null(inbox);
    assert_int_equal(channel_pair(fds), 0);
    assert_int_equal(channel_start(&inbox->channel, loop, fds[1], on_message, inbox), 0);
    return inbox;
}

static void messages_keep_their_borders_and_their_maximum(void **state) {
    struct loop *loop = loop_for_test();
    int fds[2];
    struct inbox *inbox = inbox_open(loop, fds);
    char *large = calloc(1, CHANNEL_MESSAGE_MAX + 1);
    large[CHANNEL_MESSAGE_MAX - 1] = 'z';
    assert_int_equal(channel_send(fds[0], "one", 3, NULL, 0), 0);
    assert_int_equal(channel_send(fds[0], "three", 5, NULL, 0), 0);
    turns(loop, 1);
    assert_int_equal(inbox->n_messages, 2);
    assert_int_equal(inbox->last_len, 5);
    assert_int_equal(channel_send(fds[0], large, CHANNEL_MESSAGE_MAX, NULL, 0), 0);
    turns(loop, 1);
    assert_int_equal(inbox->last_len, CHANNEL_MESSAGE_MAX);
    assert_int_equal(inbox->last[CHANNEL_MESSAGE_MAX - 1], 'z');
    assert_int_equal(channel_send(fds[0], large, CHANNEL_MESSAGE_MAX + 1, NULL, 0), -EINVAL);
    assert_int_equal(channel_send(fds[0], large, 0, NULL, 0), -EINVAL);
    assert_int_equal(send(fds[0], large, CHANNEL_MESSAGE_MAX + 1, 0), CHANNEL_MESSAGE_MAX + 1);
    turns(loop, 1); /* cut: dropped */
    assert_int_equal(inbox->n_messages, 3);
    assert_int_equal(inbox->n_gone, 0);
    channel_stop(&inbox->channel);
    close(fds[0]);
    close(fds[1]);
    free(large);
    free(inbox);
    loop_free(loop);
}

static void descriptors_travel_up_to_their_maximum(void **state) {
    struct loop *loop = loop_for_test();
    int fds[2], pipe_fds[2], copies[CHANNEL_FDS_MAX + 1];
    struct inbox *inbox = inbox_open(loop, fds);
    assert_int_equal(pipe(pipe_fds), 0);
    for (int i = 0; i <= CHANNEL_FDS_MAX; i++)
        copies[i] = pipe_fds[1];
    assert_int_equal(channel_send(fds[0], "m", 1, copies, CHANNEL_FDS_MAX + 1), -EINVAL);
    assert_int_equal(channel_send(fds[0], "m", 1, copies, CHANNEL_FDS_MAX), 0);
    turns(loop, 1);
    assert_int_equal(inbox->n_fds, CHANNEL_FDS_MAX);
    assert_true(fcntl(inbox->fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(inbox->fds[CHANNEL_FDS_MAX - 1], "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], (char[1]){ 0 }, 1), 1);
    for (int i = 0; i < CHANNEL_FDS_MAX; i++)
        close(inbox->fds[i]);
    channel_stop(&inbox->channel);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close(fds[0]);
    close(fds[1]);
    free(inbox);
    loop_free(loop);
}

static void a_full_channel_says_so_and_the_end_is_told_once(void **state) {
    struct loop *loop = loop_for_test();
    int fds[2], r = 0;
    struct inbox *inbox = inbox_open(loop, fds);
    char message[8000] = "x";
    unsigned sent = 0;
    while (sent < 1000 && (r = channel_send(fds[0], message, sizeof message, NULL, 0)) == 0)
        sent++;
    assert_int_equal(r, -EAGAIN);
    close(fds[0]);
    turns(loop, 20);
    assert_int_equal(inbox->n_messages, sent);
    assert_int_equal(inbox->n_gone, 1);
    channel_stop(&inbox->channel);
    close(fds[1]);
    free(inbox);
    loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_keep_their_borders_and_their_maximum),
        cmocka_unit_test(descriptors_travel_up_to_their_maximum),
        cmocka_unit_test(a_full_channel_says_so_and_the_end_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
