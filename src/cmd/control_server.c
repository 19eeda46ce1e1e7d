/*
 * The master's side of the control socket: a few clients at a time, none of which can hold anything up.
 *
 * A client is a slot of a fixed array: past CONTROL_CLIENTS_MAX a newcomer is closed at once. Each has one timer:
 * CONTROL_TIMEOUT_MS for its line to arrive, then (a reload waits for new workers) CONTROL_ANSWER_LIMIT_MS for the
 * answer to exist, then CONTROL_TIMEOUT_MS for the answer to be read. Answers may come later, after the client has
 * gone and its slot has another one: they are addressed by a ticket, slot and a number that is never used twice, not
 * by a pointer.
 */
#include "cmd/control.h"

#include "net/listen.h"
#include "net/stream.h"
#include "net/unix_socket.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum client_state { CLIENT_FREE, CLIENT_READING, CLIENT_WAITING, CLIENT_ANSWERED };

struct client {
    struct control *control;
    struct stream stream;
    struct timer timer;
    enum client_state state;
    uint64_t ticket;
};

struct control {
    struct loop *loop;
    struct listener listener; /* rests when no descriptor is left */
    control_fn *on_request;
    void *arg;
    uint64_t n_accepted;
    char path[UNIX_SOCKET_PATH_MAX + 1];
    struct client clients[CONTROL_CLIENTS_MAX];
};

static struct client *client_of_stream(struct stream *stream) {
    return (struct client *)((char *)stream - offsetof(struct client, stream));
}

static void client_end(struct client *client) {
    timer_cancel(client->control->loop, &client->timer);
    stream_close(&client->stream);
    client->state = CLIENT_FREE;
}

static void on_client_time(struct timer *timer) {
    client_end((struct client *)((char *)timer - offsetof(struct client, timer)));
}

static void client_wait(struct client *client, unsigned ms) {
    struct loop *loop = client->control->loop;
    if (timer_set(loop, &client->timer, loop_now(loop) + ms, on_client_time) != 0)
        client_end(client);
}

/* Writes the answer; the client ends as soon as the kernel has all of it. */
static void client_answer(struct client *client, const char *error, struct str text) {
    struct buf *out = stream_out(&client->stream);
    int r = error == NULL ? buf_puts(out, STR("ok\n")) : buf_putf(out, "error %s\n", error);
    if (r == 0)
        r = buf_puts(out, text);
    client->state = CLIENT_ANSWERED;
    if (r != 0) {
        client_end(client);
        return;
    }
    stream_flush(&client->stream);
    if (stream_pending(&client->stream) == 0)
        client_end(client);
    else
        client_wait(client, CONTROL_TIMEOUT_MS);
}

static size_t on_client_data(struct stream *stream, const char *at, size_t len) {
    struct client *client = client_of_stream(stream);
    if (client->state != CLIENT_READING)
        return len; /* behind the line: not ours to understand */
    enum control_request request;
    int r = control_parse((struct str){ at, len }, &request);
    if (r == CONTROL_MORE)
        return 0;
    if (r > 0) {
        client_answer(client, control_result_text((enum control_result)r), STR(""));
        return len;
    }
    client->state = CLIENT_WAITING;
    client_wait(client, CONTROL_ANSWER_LIMIT_MS);
    if (client->state == CLIENT_WAITING)
        client->control->on_request(client->control->arg, request, client->ticket);
    return len;
}

static void on_client_end(struct stream *stream, enum stream_end end, int err) {
    struct client *client = client_of_stream(stream);
    /*
     * Half a close after the line is how some tools (printf | socat) say that no more comes: the answer is still
     * wanted.
     */
    if (end == STREAM_EOF && (client->state == CLIENT_WAITING || client->state == CLIENT_ANSWERED))
        return;
    client_end(client);
}

static void on_client_drained(struct stream *stream) {
    struct client *client = client_of_stream(stream);
    if (client->state == CLIENT_ANSWERED)
        client_end(client);
}

static const struct stream_ops client_ops = {
    .name = "bytes of a control client",
    .on_data = on_client_data,
    .on_end = on_client_end,
    .on_drained = on_client_drained,
};

static struct client *free_client(struct control *control) {
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].state == CLIENT_FREE)
            return &control->clients[i];
    return NULL;
}

static void on_connection(struct listener *listener, int take_fd, const struct endpoint *at) {
    struct control *control = listener->arg;
    struct client *client = free_client(control);
    (void)at;
    if (client == NULL ||
        stream_open(&client->stream, control->loop, take_fd, &client_ops, CONTROL_LINE_MAX,
                    CONTROL_ANSWER_MAX + 1024) != 0) {
        close(take_fd);
        return;
    }
    client->control = control;
    client->state = CLIENT_READING;
    client->ticket = ++control->n_accepted * CONTROL_CLIENTS_MAX + (uint64_t)(client - control->clients);
    client_wait(client, CONTROL_TIMEOUT_MS);
}

void control_answer(struct control *control, uint64_t ticket, const char *error, struct str text) {
    struct client *client = &control->clients[ticket % CONTROL_CLIENTS_MAX];
    if (client->state == CLIENT_WAITING && client->ticket == ticket)
        client_answer(client, error, text);
}

int control_open(struct loop *loop, const char *path, control_fn *on_request, void *arg, struct control **ret_control) {
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL)
        return -ENOMEM;
    int fd = -1;
    int r = unix_socket_open(path, 0660, (gid_t)-1, CONTROL_CLIENTS_MAX, &fd);
    if (r != 0) {
        free(control);
        return r;
    }
    *control = (struct control){ .loop = loop, .on_request = on_request, .arg = arg };
    memcpy(control->path, path, strlen(path));
    r = listener_start(&control->listener, loop, fd, on_connection, NULL, control);
    if (r != 0) {
        unlink(path);
        close(fd);
        free(control);
        return r;
    }
    *ret_control = control;
    return 0;
}

void control_close(struct control *control) {
    if (control == NULL)
        return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].state != CLIENT_FREE)
            client_end(&control->clients[i]);
    int fd = control->listener.fd;
    listener_stop(&control->listener, false);
    close(fd);
    unlink(control->path);
    loop_free_later(control->loop, control);
}
