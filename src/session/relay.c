/*
 * relay: how does a transaction get to a mailbox server without owning a connection to it?
 *
 * A transfer does one operation at a time: pass a recipient (RCPT) or hand on the message (DELIVER). Either needs a
 * connection, which the pool grants, at once or later (relay_steps.c), and which is given back when the operation has
 * its answer (relay_answers.c, relay_ends.c). Between two operations the connection may be lent, and be taken away.
 *
 * A transfer that is ended behind its final dot becomes an orphan: it keeps its connection, and what it needs of the
 * session it has copied before.
 */
#include "session/relay_transfer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    /* the most that a client can make us keep for each recipient it may name: address, NOTIFY, ORCPT, the structs */
    RECIPIENT_BYTES = SMTP_PATH_MAX + SMTP_ORCPT_MAX + 256,
    ENVELOPE_BYTES = 4096,
};

/* ---- the transfer */

struct relay_transfer *relay_begin(struct relay *relay, const struct conf_group *group,
                                   const struct relay_envelope *envelope) {
    struct relay_transfer *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->relay = relay;
    t->user.pool = &relay->pools[group->index];
    t->arena.max = ENVELOPE_BYTES + relay->conf->set.limits.recipients * RECIPIENT_BYTES;
    t->accepted_end = &t->accepted;
    t->envelope = arena_alloc(&t->arena, sizeof(*t->envelope));
    if (!t->envelope) {
        arena_reset(&t->arena);
        free(t);
        return NULL;
    }
    *t->envelope = *envelope;
    return t;
}

static struct kept_recipient *keep(struct relay_transfer *t, const struct relay_recipient *recipient) {
    struct kept_recipient *kept = arena_zalloc(&t->arena, sizeof(*kept));

    if (!kept)
        return NULL;
    kept->set = (struct relay_recipient){
        .address = arena_str(&t->arena, recipient->address), .parameters = recipient->parameters,
        .notify = arena_str(&t->arena, recipient->notify), .orcpt = arena_str(&t->arena, recipient->orcpt),
    };
    return kept->set.address.at && kept->set.notify.at && kept->set.orcpt.at ? kept : NULL;
}

static void start(struct relay_transfer *t, enum operation operation, relay_fn *done, void *arg) {
    assert(t->operation == NOTHING && !t->is_orphan);
    t->operation = (uint8_t)operation;
    t->done = done;
    t->arg = arg;
    t->repairs = 0;
    t->user.tried = 0;
}

int relay_rcpt(struct relay_transfer *transfer, const struct relay_recipient *recipient, relay_fn *done, void *arg) {
    struct relay_transfer *t = transfer;
    struct kept_recipient *kept = keep(t, recipient);

    if (!kept || t->n_accepted == UINT16_MAX)
        return -ENOMEM;
    start(t, RCPT, done, arg);
    t->write_at = t->read_at = kept;
    if (t->user.conn)
        transfer_use_loan(t, STEP_RCPT, t->is_utf8_mail || !transfer_needs_utf8(t));
    else
        transfer_want(t);
    return 0;
}

void relay_choose(struct relay_transfer *transfer, const bool *is_chosen) {
    struct kept_recipient **at = &transfer->accepted;

    assert(transfer->operation == NOTHING);
    for (unsigned n = 0; *at; n++) {
        if (is_chosen[n]) {
            at = &(*at)->next;
            continue;
        }
        *at = (*at)->next;
        transfer->n_accepted--;
        transfer->n_given = 0; /* what was said on this connection is not what is meant: it is said anew */
    }
    transfer->accepted_end = at;
    assert(transfer->n_accepted > 0);
}

static int copy_message(struct relay_transfer *t, const struct relay_message *message) {
    bool is_in_file = message->spool->fd >= 0;

    if (is_in_file && !t->relay->scratch)
        t->relay->scratch = malloc(RELAY_BODY_PIECE);
    if (is_in_file && message->edit && !t->window)
        t->window = malloc(RELAY_TEXT_WINDOW);
    t->body = arena_zalloc(&t->arena, sizeof(*t->body));
    if (!t->body || (is_in_file && !t->relay->scratch) || (is_in_file && message->edit && !t->window))
        return -ENOMEM;
    t->body->message = *message;
    relay_text_init(&t->body->text, message->head, message->spool, message->edit, t->window);
    struct str id = str_head(t->envelope->id, sizeof(t->body->id));
    if (id.len)
        memcpy(t->body->id, id.at, id.len);
    t->body->id_len = (uint8_t)id.len;
    return 0;
}

/* The size is known. */
static void deliver(struct relay_transfer *t) {
    const struct relay_message *message = &t->body->message;
    uint64_t deadline_ms = message->deadline_ms;
    uint64_t last_ms = deadline_ms > message->reserve_ms ? deadline_ms - message->reserve_ms : 1;

    if (timer_set(t->relay->loop, &t->timer, last_ms + 1, transfer_on_time) < 0) {
        transfer_end_later(t, RELAY_LOCAL);
        return;
    }
    t->body->total = t->body->text.total;
    t->write_at = t->accepted;
    if (t->user.conn) {
        bool is_declared = !transfer_is_8bit(t) || t->is_8bit_mail || !transfer_offers(t, SMTP_EXT_8BITMIME);
        bool is_right = is_declared && !transfer_is_better_elsewhere(t);

        transfer_use_loan(t, STEP_DATA, is_right && t->n_given == t->n_accepted);
    } else {
        transfer_want(t);
    }
}

static void on_measure_task(struct task *task);

/*
 * Walks through a slice of the header, and another one in the next turn. Until its size is known the transfer is as it
 * was between two operations: a connection that is lent to it may be taken away.
 */
static void measure(struct relay_transfer *t) {
    int r = relay_text_measure(&t->body->text);

    if (r > 0) {
        task_start(t->relay->loop, &t->task, on_measure_task);
        return;
    }
    start(t, DELIVER, t->done, t->arg);
    if (r < 0)
        transfer_end_later(t, RELAY_LOCAL);
    else
        deliver(t);
}

static void on_measure_task(struct task *task) {
    measure((struct relay_transfer *)((char *)task - offsetof(struct relay_transfer, task)));
}

int relay_deliver(struct relay_transfer *transfer, const struct relay_message *message, relay_fn *done, void *arg) {
    struct relay_transfer *t = transfer;

    assert(t->n_accepted > 0 && t->operation == NOTHING);
    if (copy_message(t, message) < 0)
        return -ENOMEM;
    t->done = done;
    t->arg = arg;
    measure(t);
    return 0;
}

/*
 * Before DATA (and not within a BDAT) RSET makes a connection good again; later only closing it does. Behind an XCLIENT
 * that was not answered yet nobody would say the new EHLO.
 */
static bool is_resettable(const struct relay_transfer *t) {
    bool is_xclient = t->user.pool->group->forward_client == CONF_FORWARD_XCLIENT;

    if (t->operation == NOTHING)
        return true;
    if (is_xclient && t->reading == STEP_FORWARD && t->writing > STEP_FORWARD)
        return false;
    return t->operation == RCPT || t->writing <= STEP_DATA;
}

bool relay_outlives(const struct relay_transfer *t) {
    return t && t->operation == DELIVER && t->body->is_final_dot_sent && t->user.conn;
}

void relay_end(struct relay_transfer *take_transfer) {
    struct relay_transfer *t = take_transfer;

    if (!t)
        return;
    if (relay_outlives(t)) {
        t->is_orphan = true;
        t->relay->n_orphans++;
        return;
    }
    pool_leave(&t->user);
    if (t->user.conn && is_resettable(t) && t->user.conn->up.state == UPSTREAM_READY)
        pool_release(&t->user);
    else if (t->user.conn)
        pool_drop(&t->user);
    transfer_free(t);
}

/* ---- the relay */

int relay_new(struct loop *loop, const struct conf *conf, SSL_CTX *const *group_tls, unsigned n_workers,
              const struct relay_events *events, struct relay **ret_relay) {
    struct relay *relay = calloc(1, sizeof(*relay));
    uint64_t max = conf->set.limits.server_connections / (n_workers ? n_workers : 1);

    if (!relay)
        return -ENOMEM;
    relay->loop = loop;
    relay->conf = conf;
    relay->events = events;
    relay->pools = calloc(conf->n_groups ? conf->n_groups : 1, sizeof(*relay->pools));
    if (!relay->pools) {
        free(relay);
        return -ENOMEM;
    }
    for (size_t i = 0; i < conf->n_groups; i++) {
        int r = pool_init(&relay->pools[i], loop, conf, &conf->groups[i], group_tls ? group_tls[i] : NULL,
            (unsigned)max, &transfer_pool_ops, relay);

        if (r < 0) {
            relay_free(relay);
            return r;
        }
    }
    *ret_relay = relay;
    return 0;
}

void relay_free(struct relay *relay) {
    if (!relay)
        return;
    for (size_t i = 0; i < relay->conf->n_groups; i++)
        pool_deinit(&relay->pools[i]);
    free(relay->pools);
    free(relay->scratch);
    free(relay);
}

void relay_probe(struct relay *relay) {
    for (size_t i = 0; i < relay->conf->n_groups; i++)
        pool_probe(&relay->pools[i]);
}

struct smtp_offer relay_offer(const struct relay *relay) {
    struct smtp_offer all = { .extensions = SMTP_EXT_SIZE | SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN };

    for (size_t i = 0; i < relay->conf->n_groups; i++) {
        for (size_t j = 0; j < relay->conf->groups[i].n_servers; j++) {
            const struct pool_server *server = &relay->pools[i].servers[j];

            all.extensions &= server->is_met ? server->offer.extensions : (uint32_t)(SMTP_EXT_SIZE | SMTP_EXT_8BITMIME);
            if (server->is_met && server->offer.size && (all.size == 0 || server->offer.size < all.size))
                all.size = server->offer.size;
        }
    }
    return all;
}

unsigned relay_orphans(const struct relay *relay) {
    return relay->n_orphans;
}

void relay_server_stats(const struct relay *relay, unsigned group, unsigned server, struct relay_stats *ret_stats) {
    const struct pool_server *s = &relay->pools[group].servers[server];

    *ret_stats = (struct relay_stats){
        .idle = s->count[POOL_IDLE], .lent = s->count[POOL_LENT] + s->count[POOL_BUSY], .waiting = s->n_waiting,
        .is_open = s->health == POOL_DOWN, .retry_ms = s->retry_ms, .is_plain = s->is_plain, .troubles = s->troubles,
    };
    ret_stats->connections = ret_stats->idle + ret_stats->lent + s->count[POOL_OPENING];
}
