/*
 * process: who asks, and when the next batch is due.
 *
 * Questions of one turn of the loop are one batch. While it runs no peer is read, so that what arrives meanwhile waits
 * in the sockets and is the next batch: on an idle host a question is answered at once, alone; the more there is to do,
 * the larger batches become, up to BATCH_MAX, and the fewer commits a question costs. Nothing is waited for in order to
 * grow a batch.
 *
 * A peer is a worker, which may have been taken over: it is read only as far as its share of a batch goes and while it
 * takes its answers, so what it sends fills its own socket and nothing here; whoever was served stands behind the
 * others; and what is no message ends its connection.
 *
 * Rejected (docs/decisions/0011): to gather for a few milliseconds first; a thread that commits (the answers must wait
 * for it all the same).
 */
#include "store/process.h"

#include "base/log.h"
#include "net/channel.h"
#include "net/stream.h"
#include "store/rights.h"
#include "store/stores.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IN_MAX = 65536,
    OUT_MAX = 65536,
    GRACE_MS = 1500, /* for workers whose ends are not read yet; others are served until then */
    LAST_WORDS_MS = 1000,
    STALE_MS = 5000, /* how often it is looked whether files were replaced that we cannot read any more */
    OUT_HIGH = OUT_MAX - BATCH_MAX * STORE_ANSWER_SIZE, /* from here on a peer is not read */
};

struct process;

struct peer {
    struct stream stream; /* first: peer_of() */
    struct process *process;
    struct peer *next, **prev; /* those served longest ago first */
    unsigned n_taken; /* of its share of this batch */
    bool is_blocked;  /* it does not take its answers */
    bool has_ended;   /* but what it sent before is not all read; nobody takes its answers */
    struct timer limit; /* of that */
};

struct process {
    const struct store_setup *setup;
    struct loop *loop;
    struct channel master;
    const struct shared_ops *shared; /* NULL: none */
    struct stores *stores;
    struct peer *peers, **peers_end;
    unsigned n_peers;
    struct task task;   /* the batch is due */
    struct task ending;
    struct timer grace; /* for what workers have sent before they ended */
    struct timer stale;
    bool is_ending;     /* SIGTERM came */
    bool is_grace_over;
    bool is_orphan;   /* the master is gone */
};

static struct peer *peer_of(struct stream *stream) {
    return (struct peer *)stream;
}

/* ---- the list of peers */

static void peer_append(struct process *p, struct peer *peer) {
    peer->next = NULL;
    peer->prev = p->peers_end;
    *p->peers_end = peer;
    p->peers_end = &peer->next;
}

static void peer_unlink(struct process *p, struct peer *peer) {
    *peer->prev = peer->next;
    if (peer->next != NULL)
        peer->next->prev = peer->prev;
    else
        p->peers_end = peer->prev;
}

static void stop_when_done(struct process *p) {
    bool is_idle = !stores_is_running(p->stores) && stores_batch(p->stores)->n_items == 0;
    bool is_over = p->is_grace_over || ((p->is_ending || p->is_orphan) && p->n_peers == 0);
    if (is_idle && is_over)
        loop_stop(p->loop);
}

static void peer_end(struct peer *peer) {
    struct process *p = peer->process;
    batch_forget(stores_batch(p->stores), peer);
    timer_cancel(p->loop, &peer->limit);
    stream_close(&peer->stream);
    peer_unlink(p, peer);
    p->n_peers--;
    loop_free_later(p->loop, peer);
    stop_when_done(p);
}

/* ---- answers out */

static void on_answer(void *arg, const struct batch_item *item, bool is_unavailable) {
    struct peer *peer = item->asker;
    if (peer != NULL && !peer->has_ended)
        store_answer_put(stream_out(&peer->stream), item->number, is_unavailable ? NULL : &item->answer);
}

/* A worker that has ended, and has nothing in its socket any more. */
static bool is_spent(const struct peer *peer) {
    char byte;
    return peer->has_ended && recv(peer->stream.watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* The batch is through: all are read again, each for its share of the next. */
static void read_on(struct process *p) {
    for (struct peer *peer = p->peers, *next; peer != NULL; peer = next) {
        next = peer->next;
        peer->n_taken = 0;
        peer->is_blocked = stream_pending(&peer->stream) > OUT_HIGH;
        if (is_spent(peer) && peer->stream.in.len == 0)
            peer_end(peer);
        else if (!peer->is_blocked)
            stream_resume(&peer->stream);
    }
}

static void on_done(void *arg) {
    struct process *p = arg;
    read_on(p);
    stop_when_done(p);
}

static void on_note(void *arg, enum log_level level, const char *text) {
    log_line(level, "%s", text);
}

static const struct stores_events stores_events = { .on_answer = on_answer, .on_done = on_done, .on_note = on_note };

/* ---- questions in */

static void on_due(struct task *task) {
    struct process *p = (struct process *)((char *)task - offsetof(struct process, task));
    if (stores_batch(p->stores)->n_items == 0 || stores_run(p->stores)) /* none: there was no memory for them */
        on_done(p);
}

static bool may_take(const struct peer *peer) {
    const struct process *p = peer->process;
    unsigned share = BATCH_MAX / p->n_peers > 0 ? BATCH_MAX / p->n_peers : 1;
    return !stores_is_running(p->stores) && !batch_is_full(stores_batch(p->stores)) && peer->n_taken < share;
}

static void take(struct peer *peer, const struct store_message *message) {
    struct process *p = peer->process;
    if (batch_add(stores_batch(p->stores), peer, message) < 0 && message->type == STORE_QUESTION)
        store_answer_put(stream_out(&peer->stream), message->number, NULL);
    task_start(p->loop, &p->task, on_due);
    if (peer->n_taken++ == 0) { /* next time the others come first */
        peer_unlink(p, peer);
        peer_append(p, peer);
    }
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct peer *peer = peer_of(stream);
    struct store_message message;
    size_t used = 0;
    int n = 0;
    while (may_take(peer) && (n = store_message_parse(at + used, len - used, &message)) > 0 &&
           message.type != STORE_ANSWER) {
        take(peer, &message);
        used += (size_t)n;
    }
    if (n < 0 || (n > 0 && message.type == STORE_ANSWER)) {
        log_error("a worker sent what is no message; it is not answered any more");
        peer_end(peer);
    } else if (!may_take(peer)) {
        stream_pause(stream);
    } else if (is_spent(peer)) { /* that was all, but for half a message */
        peer_end(peer);
    }
    return used;
}

static void on_limit(struct timer *timer) {
    peer_end((struct peer *)((char *)timer - offsetof(struct peer, limit)));
}

/*
 * What it sent before it ended, such as the credits of its last messages, is read on where it had to wait, for
 * LAST_WORDS_MS at most: a connection may also be cut while that is going on, and nobody tells.
 */
static void on_end(struct stream *stream, enum stream_end end, int err) {
    struct peer *peer = peer_of(stream);
    struct process *p = peer->process;
    peer->has_ended = end == STREAM_EOF && (stream_is_paused(stream) || stream->in.len > 0);
    if (!peer->has_ended || timer_set(p->loop, &peer->limit, loop_now(p->loop) + LAST_WORDS_MS, on_limit) < 0)
        peer_end(peer);
}

static void on_drained(struct stream *stream) {
    struct peer *peer = peer_of(stream);
    if (!peer->is_blocked)
        return;
    peer->is_blocked = false;
    if (may_take(peer))
        stream_resume(stream);
}

static const struct stream_ops peer_ops = { .name = "bytes of a worker", .on_data = on_data, .on_end = on_end,
                                            .on_drained = on_drained };

static void peer_new(struct process *p, int take_fd) {
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer != NULL && stream_open(&peer->stream, p->loop, take_fd, &peer_ops, IN_MAX, OUT_MAX) == 0) {
        peer->process = p;
        peer_append(p, peer);
        p->n_peers++;
        return;
    }
    log_error("no memory for another worker: its questions are not answered");
    close(take_fd); /* it hears that at once */
    free(peer);
}

/* ---- the master */

static void on_master(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct process *p = channel->arg;
    struct store_order order = { 0 };
    if (len == 0 && n_fds == 0) {
        log_warning("the master is gone, ending with the last worker");
        channel_stop(&p->master);
        p->is_orphan = true;
        stop_when_done(p);
        return;
    }
    if (len == sizeof(order))
        memcpy(&order, message, sizeof(order));
    if (order.type == STORE_ORDER_PEER && n_fds == 1) {
        peer_new(p, take_fds[0]);
        return;
    }
    if (order.type == STORE_ORDER_SETTINGS)
        stores_set_greylist(p->stores, &order.greylist);
    for (size_t i = 0; i < n_fds; i++)
        close(take_fds[i]);
}

static void on_grace_over(struct timer *timer) {
    struct process *p = (struct process *)((char *)timer - offsetof(struct process, grace));
    p->is_grace_over = true;
    stop_when_done(p);
}

static void on_ending(struct task *task) {
    stop_when_done((struct process *)((char *)task - offsetof(struct process, ending)));
}

static void on_sigterm(int signo, void *arg) {
    struct process *p = arg;
    p->is_ending = true;
    if (timer_set(p->loop, &p->grace, loop_now(p->loop) + GRACE_MS, on_grace_over) < 0)
        p->is_grace_over = true;
    task_start(p->loop, &p->ending, on_ending); /* behind what the master has sent before */
}

/* ---- from fork to loop */

/* Before the sandbox: libraries are files all over the system. NULL: there is no shared store, or none that works. */
static const struct shared_ops *load_module(const struct store_setup *setup) {
    if (setup->postgresql[0] == '\0')
        return NULL;
    struct buf why;
    buf_init(&why, 1024);
    const struct shared_ops *ops = shared_load(setup->module, &why);
    if (ops == NULL)
        log_error("the shared store is not used: %.*s", STR_ARG(buf_str(&why)));
    buf_deinit(&why);
    return ops;
}

/* While the shared store is up nobody cares. */
static void on_stale(struct timer *timer) {
    struct process *p = (struct process *)((char *)timer - offsetof(struct process, stale));
    const struct store_order renew = { .type = STORE_ORDER_RENEW };
    bool is_due = p->setup->counters->shared == STORE_STATE_DOWN && !p->is_ending
                  && rights_are_stale(p->setup, p->shared);
    if (is_due && channel_send(p->setup->master_fd, &renew, sizeof(renew), NULL, 0) == 0)
        return; /* SIGTERM follows */
    timer_set(p->loop, &p->stale, loop_now(p->loop) + STALE_MS, on_stale);
}

static void flush_log(void *arg) {
    log_flush();
}

static int set_up(struct process *p) {
    const struct store_setup *setup = p->setup;
    int r = loop_new(&p->loop);
    if (r == 0)
        r = loop_on_signal(p->loop, SIGTERM, on_sigterm, p);
    if (r < 0)
        return r;
    loop_on_turn_end(p->loop, flush_log, NULL);
    loop_beat(p->loop, &setup->counters->beat);
    rights_clean_environment(setup->user);
    p->shared = load_module(setup);
    r = rights_give_up(setup, p->shared);
    if (r < 0)
        return r;
    const struct stores_settings settings = {
        .path = setup->path,
        .is_synced_always = setup->is_synced_always,
        .shared = p->shared,
        .conninfo = setup->postgresql,
        .shared_timeout_ms = setup->timeout_ms / 2,
        .greylist = setup->greylist,
    };
    if (p->shared != NULL && !rights_are_stale(setup, p->shared)
        && timer_set(p->loop, &p->stale, loop_now(p->loop) + STALE_MS, on_stale) < 0)
        return -ENOMEM;
    r = stores_new(p->loop, &settings, setup->counters, &stores_events, p, &p->stores);
    return r == 0 ? channel_start(&p->master, p->loop, setup->master_fd, on_master, p) : r;
}

int store_run(const struct store_setup *setup) {
    struct process p = { .setup = setup };
    p.peers_end = &p.peers;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    int r = set_up(&p);
    if (r == 0) {
        const struct store_order ready = { .type = STORE_ORDER_READY };
        channel_send(setup->master_fd, &ready, sizeof(ready), NULL, 0);
        r = loop_run(p.loop);
    }
    if (r < 0)
        log_error("the store process cannot run: %s", strerror(-r));
    stores_free(p.stores);
    log_flush();
    return r < 0 ? 1 : 0;
}
