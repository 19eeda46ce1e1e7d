/*
 * fake_store: see the header. What it is sent must be sound, or the test ends at once: nothing but a store client of
 * this program speaks to it.
 */
#include "fake_store.h"

#include "store/message.h"

#include <stdlib.h>
#include <sys/socket.h>

static void note(struct fake_store *store, const struct store_message *m) {
    const struct greylist_question *q = &m->question;
    buf_putf(&store->heard, "%s", m->type == STORE_CREDIT ? "credit" : q->is_read_only ? "look" : "ask");
    for (unsigned i = 0; i < q->n_identities; i++)
        buf_putf(&store->heard, i < q->n_looked_up ? " (%.*s)" : " %.*s", STR_ARG(q->identities[i]));
    buf_putf(&store->heard, " %.*s %.*s\n", STR_ARG(q->sender), STR_ARG(q->recipient));
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct fake_store *store = (struct fake_store *)stream;
    struct store_message m;
    size_t used = 0;
    for (int n; (n = store_message_parse(at + used, len - used, &m)) != 0; used += (size_t)n) {
        if (n < 0)
            abort();
        note(store, &m);
        if (m.type == STORE_QUESTION && store->mood != FAKE_STORE_IS_SILENT)
            store_answer_put(stream_out(stream), m.number, store->mood == FAKE_STORE_ANSWERS ? &store->answer : NULL);
    }
    return used;
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    stream_close(stream);
}

static const struct stream_ops ops = { .on_data = on_data, .on_end = on_end };

void fake_store_open(struct fake_store *store, struct loop *loop, struct store_client *client) {
    int ends[2];
    *store = (struct fake_store){ .answer = { .status = GREYLIST_NEW, .seconds_left = 300 } };
    buf_init(&store->heard, 65536);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0
        || stream_open(&store->stream, loop, ends[0], &ops, 65536, 65536) < 0)
        abort();
    store_client_connect(client, ends[1]);
}

void fake_store_close(struct fake_store *store) {
    stream_close(&store->stream);
    buf_deinit(&store->heard);
}
