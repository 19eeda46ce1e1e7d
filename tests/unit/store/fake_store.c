/*
 * fake_store: see the header. What it is sent must be sound, or the test ends at once: nothing but a store client of
 * this program speaks to it.
 */
#include "fake_store.h"

#include "alloc_fault.h"
#include "store/greylist_question.h"
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

/* ---- by the model */

static struct row *find_row(struct fake_store *store, int64_t key) {
    size_t i = 0;
    while (i < store->n_rows && store->rows[i].key != key)
        i++;
    return i < store->n_rows ? &store->rows[i] : NULL;
}

static void read_rows(struct fake_store *store, const struct greylist_question *q, struct greylist_rows *rows) {
    static const uint8_t key[GREYLIST_KEY_SIZE] = { 1, 2, 3 };
    char network[GREYLIST_NETWORK_MAX];
    greylist_keys(q, greylist_question_network(q, false, network), key, rows);
    for (unsigned i = 0; i < q->n_identities; i++)
        for (unsigned at = i; at < GREYLIST_KEYS_MAX; at += GREYLIST_IDENTITIES_MAX) {
            const struct row *row = find_row(store, rows->at[at].key);
            rows->has[at] = row != NULL;
            rows->at[at] = row != NULL ? *row : rows->at[at];
        }
}

static void merge_rows(struct fake_store *store, const struct greylist_changes *changes) {
    for (unsigned i = 0; i < changes->n; i++) {
        struct row *row = find_row(store, changes->rows[i].key);
        if (row == NULL && store->n_rows == FAKE_STORE_ROWS_MAX)
            abort();
        if (row != NULL)
            *row = row_merge(row, &changes->rows[i], store->now);
        else
            store->rows[store->n_rows++] = changes->rows[i];
    }
}

static void remember(struct fake_store *store, const struct store_message *m) {
    struct greylist_rows rows;
    struct greylist_changes changes;
    read_rows(store, &m->question, &rows);
    if (m->type == STORE_CREDIT)
        greylist_credit(&store->settings, &m->question, &rows, store->now, &changes);
    else
        greylist_ask(&store->settings, &m->question, &rows, store->now, &store->answer, &changes);
    merge_rows(store, &changes);
}

/* ---- the client */

static void answer(struct fake_store *store, const struct store_message *m) {
    if (store->mood == FAKE_STORE_REMEMBERS)
        remember(store, m);
    if (m->type == STORE_QUESTION && store->mood != FAKE_STORE_IS_SILENT)
        store_answer_put(stream_out(&store->stream), m->number,
                         store->mood == FAKE_STORE_IS_AWAY ? NULL : &store->answer);
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    SPARE_ALLOCATIONS();
    struct fake_store *store = (struct fake_store *)stream;
    struct store_message m;
    size_t used = 0;
    for (int n; (n = store_message_parse(at + used, len - used, &m)) != 0; used += (size_t)n) {
        if (n < 0)
            abort();
        note(store, &m);
        answer(store, &m);
    }
    return used;
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    stream_close(stream);
}

static const struct stream_ops ops = { .on_data = on_data, .on_end = on_end };

void fake_store_open(struct fake_store *store, struct loop *loop, struct store_client *client) {
    int ends[2];
    *store = (struct fake_store){
        .answer = { .status = GREYLIST_NEW, .seconds_left = 300 },
        .settings = { .delay = 300, .unpassed_life = 2 * 86400, .passed_life = 36 * 86400, .whitelist_after = 5,
                      .whitelist_life = 36 * 86400 },
    };
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
