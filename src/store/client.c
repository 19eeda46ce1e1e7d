/*
 * client: questions on their way to the store process, and who waits for which answer.
 *
 * A question is written to the stream's buffer at once, which leaves in one write at the end of the turn, and its asker
 * waits in a slot whose number travels with it: an answer finds him without a search, and one that comes too late (he
 * has cancelled, or given up) finds somebody else's number, or nobody's, and is dropped.
 *
 * A store that does not read fills the kernel's buffer, then ours (OUT_MAX); from then on questions are unavailable at
 * once. Those who wait give up one after the other: their list is in the order of their deadlines, so that one timer
 * serves all. (All wait equally long, so a new one belongs at its end; if not, its place is looked for.)
 *
 * An asker that cannot be served stands in the list of the failed until the task tells him: never inside his own call.
 *
 * Rejected: to send a question again to a store that was started anew: the one before may have recorded the attempt,
 * and a second one a moment later would count as an early retry.
 */
#include "store/client.h"

#include "net/stream.h"
#include "store/message.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    IN_MAX = 65536,
    OUT_MAX = 262144,
    SLOT_BITS = 12,
    SLOT_MASK = (1 << SLOT_BITS) - 1,
};

_Static_assert((int)STORE_PENDING_MAX == 1 << SLOT_BITS, "a number holds its slot");

struct list {
    struct store_ask *first, *last;
};

struct store_ask {
    struct list *list; /* where it stands: among the waiting, the failed, or those being told */
    struct store_ask *next, *before;
    struct store_client *client;
    store_ask_fn *done;
    void *arg;
    uint64_t deadline_ms;
    uint32_t number; /* of one that waits: its slot in the low bits */
};

struct store_client {
    struct loop *loop;
    struct stream stream;
    struct timer timer; /* the deadline of the first who waits */
    struct task task;   /* tells the failed */
    struct list waiting, failed, telling;
    bool is_connected, is_freed;
    uint32_t n_connections;
    uint32_t serial;
    uint32_t n_free;
    uint16_t free_slots[STORE_PENDING_MAX];
    struct store_ask *slots[STORE_PENDING_MAX];
};

/* ---- lists */

static void put_behind(struct list *list, struct store_ask *before, struct store_ask *ask) {
    ask->list = list;
    ask->before = before;
    ask->next = before != NULL ? before->next : list->first;
    *(before != NULL ? &before->next : &list->first) = ask;
    *(ask->next != NULL ? &ask->next->before : &list->last) = ask;
}

static void take_out(struct store_ask *ask) {
    *(ask->before != NULL ? &ask->before->next : &ask->list->first) = ask->next;
    *(ask->next != NULL ? &ask->next->before : &ask->list->last) = ask->before;
}

/* ---- who waits */

static void wait_for_answer(struct store_ask *ask) {
    struct list *waiting = &ask->client->waiting;
    struct store_ask *before = waiting->last;
    while (before != NULL && before->deadline_ms > ask->deadline_ms)
        before = before->before;
    put_behind(waiting, before, ask);
}

/* It waits no more. */
static void leave(struct store_ask *ask) {
    struct store_client *client = ask->client;
    take_out(ask);
    if (ask->list != &client->waiting)
        return;
    uint32_t slot = ask->number & SLOT_MASK;
    client->slots[slot] = NULL;
    client->free_slots[client->n_free++] = (uint16_t)slot;
}

static void tell(struct store_ask *take_ask, enum store_result result, const struct greylist_answer *answer) {
    struct store_ask ask = *take_ask;
    leave(take_ask);
    free(take_ask);
    ask.done(ask.arg, result, answer);
}

static void on_task(struct task *task) {
    struct store_client *client = (struct store_client *)((char *)task - offsetof(struct store_client, task));
    for (struct store_ask *ask; (ask = client->failed.first) != NULL;) { /* those that fail meanwhile: next turn */
        take_out(ask);
        put_behind(&client->telling, client->telling.last, ask);
    }
    while (!client->is_freed && client->telling.first != NULL)
        tell(client->telling.first, STORE_UNAVAILABLE, NULL);
}

static void fail(struct store_ask *ask) {
    put_behind(&ask->client->failed, ask->client->failed.last, ask);
    task_start(ask->client->loop, &ask->client->task, on_task);
}

/* Those whose deadline is then, or before. */
static void fail_until(struct store_client *client, uint64_t until_ms) {
    for (struct store_ask *ask; (ask = client->waiting.first) != NULL && ask->deadline_ms <= until_ms;) {
        leave(ask);
        fail(ask);
    }
}

static void on_deadline(struct timer *timer);

/* Those who wait without a timer, for want of memory, would wait for ever. */
static void set_timer(struct store_client *client) {
    const struct store_ask *first = client->waiting.first;
    if (first != NULL && timer_set(client->loop, &client->timer, first->deadline_ms, on_deadline) < 0)
        fail_until(client, UINT64_MAX);
}

static void on_deadline(struct timer *timer) {
    struct store_client *client = (struct store_client *)((char *)timer - offsetof(struct store_client, timer));
    fail_until(client, loop_now(client->loop));
    set_timer(client);
}

/* ---- the connection */

static struct store_client *client_of(struct stream *stream) {
    return (struct store_client *)((char *)stream - offsetof(struct store_client, stream));
}

static void disconnect(struct store_client *client) {
    stream_close(&client->stream);
    client->is_connected = false;
    fail_until(client, UINT64_MAX);
}

static bool is_still(const struct store_client *client, uint32_t connection) {
    return client->is_connected && client->n_connections == connection;
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct store_client *client = client_of(stream);
    const uint32_t connection = client->n_connections; /* who is told may bring another */
    struct store_message message;
    size_t used = 0;
    int n = 0;
    while (is_still(client, connection) && (n = store_message_parse(at + used, len - used, &message)) > 0) {
        if (message.type != STORE_ANSWER) {
            n = -EBADMSG;
            break;
        }
        used += (size_t)n;
        struct store_ask *ask = client->slots[message.number & SLOT_MASK];
        if (ask != NULL && ask->number == message.number)
            tell(ask, message.is_unavailable ? STORE_UNAVAILABLE : STORE_ANSWERED,
                 message.is_unavailable ? NULL : &message.answer);
    }
    if (n < 0 && is_still(client, connection))
        disconnect(client); /* what follows cannot be told from what was */
    return used;
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    disconnect(client_of(stream));
}

static const struct stream_ops ops = { .name = "bytes of the store", .on_data = on_data, .on_end = on_end };

void store_client_connect(struct store_client *client, int take_fd) {
    if (client->is_connected)
        disconnect(client);
    if (take_fd < 0)
        return;
    client->n_connections++;
    client->is_connected = stream_open(&client->stream, client->loop, take_fd, &ops, IN_MAX, OUT_MAX) == 0;
    if (!client->is_connected)
        close(take_fd);
}

/* Whether the question is on its way. */
static bool send_question(struct store_client *client, enum store_message_type type, uint32_t number,
                          const struct greylist_question *question) {
    if (!client->is_connected || stream_pending(&client->stream) + STORE_MESSAGE_MAX > OUT_MAX)
        return false;
    return store_question_put(stream_out(&client->stream), type, number, question) == 0;
}

/* ---- for the worker */

int store_client_new(struct loop *loop, struct store_client **ret_client) {
    struct store_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return -ENOMEM;
    client->loop = loop;
    for (uint32_t slot = STORE_PENDING_MAX; slot > 0; slot--)
        client->free_slots[client->n_free++] = (uint16_t)(slot - 1);
    *ret_client = client;
    return 0;
}

static void drop_all(struct list *list) {
    for (struct store_ask *ask; (ask = list->first) != NULL;) {
        take_out(ask);
        free(ask);
    }
}

void store_client_free(struct store_client *take_client) {
    if (take_client == NULL)
        return;
    take_client->is_freed = true;
    take_client->is_connected = false;
    stream_close(&take_client->stream);
    timer_cancel(take_client->loop, &take_client->timer);
    task_cancel(take_client->loop, &take_client->task);
    drop_all(&take_client->waiting);
    drop_all(&take_client->failed);
    drop_all(&take_client->telling);
    loop_free_later(take_client->loop, take_client);
}

static bool start(struct store_ask *ask, const struct greylist_question *question) {
    struct store_client *client = ask->client;
    if (client->n_free == 0)
        return false;
    uint32_t slot = client->free_slots[client->n_free - 1];
    ask->number = ++client->serial << SLOT_BITS | slot;
    if (!send_question(client, STORE_QUESTION, ask->number, question))
        return false;
    client->n_free--;
    client->slots[slot] = ask;
    wait_for_answer(ask);
    if (client->waiting.first == ask)
        set_timer(client);
    return true;
}

struct store_ask *store_ask_start(struct store_client *client, const struct greylist_question *question,
                                  uint64_t timeout_ms, store_ask_fn *done, void *arg) {
    struct store_ask *ask = calloc(1, sizeof(*ask));
    if (ask == NULL)
        return NULL;
    *ask = (struct store_ask){ .client = client, .done = done, .arg = arg,
                               .deadline_ms = loop_now(client->loop) + timeout_ms };
    if (!start(ask, question))
        fail(ask);
    return ask;
}

void store_ask_cancel(struct store_ask *take_ask) {
    if (take_ask == NULL)
        return;
    leave(take_ask);
    free(take_ask);
}

void store_credit(struct store_client *client, const struct greylist_question *question) {
    send_question(client, STORE_CREDIT, 0, question);
}
