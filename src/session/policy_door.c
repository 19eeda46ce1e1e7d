/*
 * policy_door: see the header. In the order of what happens:
 *
 *   on_data ─▶ policy_request_parse ─▶ is_judged? ─▶ judge ─▶ gather_now ─▶ answer
 *                                          │                     │ facts are missing: reading pauses
 *                                          └▶ DUNNO              └▶ gather_start … on_gathered ─▶ answer, read on
 *
 * A connection has at most one pending operation, the gathering, which ends with it. Answers keep the order of the
 * requests because nothing is read while one is pending, so no answer can be taken for another's.
 *
 * Recipients are validated for domains with a directory here. What is not ours is Postfix's affair: relay control is
 * its own, so each client counts as one that may send there, and whether the address is known is OFF. Nobody asks
 * whether the client talked early, or comes often: Postfix was in front.
 *
 * Rejected: OK for a pass (it would skip the restrictions behind us, relay control among them in some set-ups);
 * answering a malformed request with DEFER_IF_PERMIT (we could not know whether what follows is a request).
 */
#include "session/policy_door.h"

#include "base/clock.h"
#include "net/stream.h"
#include "session/answer_facts.h"
#include "session/policy_instances.h"
#include "session/recipient_view.h"
#include "session/rehearsal.h"
#include "smtp/policy_request.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    INPUT_MAX = 2 * POLICY_REQUEST_MAX, /* a read of the stream and a request */
    OUTPUT_HIGH = 32 * 1024,            /* answers that the peer has not taken: no request is read before it does */
    OUTPUT_MAX = OUTPUT_HIGH + 4096,
    REQUESTS_TURN_MAX = 50,
    CLOSING_MS = 10 * 1000,             /* on a loaded host a peer may take seconds from connecting to asking */
    HALF_CLOSED_MS = 1000,              /* more than enough for what has been received already */
    PARSE_EVERY = 4096,                 /* bytes of a line without end after which it is looked at again */
};

struct policy_connection {
    struct stream stream; /* first: connection_of() */
    struct timer deadline;
    struct policy_door *door;
    struct policy_connection *next, *prev;
    struct policy_instances instances;
    struct gather *gather;           /* facts are being found out, about … */
    struct policy_instance *asked;
    struct buf recipient;            /* … this one, as Postfix wrote it */
    struct smtp_address asked_address;
    struct recipient_view asked_view;
    uint64_t began_us;
    char id[ID_LEN + 1];
    uint32_t n_requests, n_decisions;
    size_t parsed;    /* bytes of an incomplete request that were looked at */
    bool is_partial;  /* it has begun, and its time runs */
    bool has_eof;     /* the peer will send nothing more, but may still read */
    bool is_over;
};

static struct policy_connection *connection_of(struct stream *stream) {
    return (struct policy_connection *)stream;
}

/* ---- the connections of the door, the one heard last in front */

static void link_first(struct policy_connection *c) {
    struct policy_door *door = c->door;
    c->prev = NULL;
    c->next = door->first;
    if (c->next != NULL)
        c->next->prev = c;
    else
        door->last = c;
    door->first = c;
}

static void unlink_it(struct policy_connection *c) {
    struct policy_door *door = c->door;
    *(c->prev != NULL ? &c->prev->next : &door->first) = c->next;
    *(c->next != NULL ? &c->next->prev : &door->last) = c->prev;
}

static void on_deadline(struct timer *timer);

/* The peer has `ms` for what it has to do next. */
static void arm(struct policy_connection *c, uint64_t ms) {
    timer_set(c->door->server->loop, &c->deadline, loop_now(c->door->server->loop) + ms, on_deadline);
}

/* Its memory goes at the end of the turn, so callers may still look at it. */
static void end(struct policy_connection *c) {
    struct policy_door *door = c->door;
    if (c->is_over)
        return;
    c->is_over = true;
    gather_cancel(c->gather);
    timer_cancel(door->server->loop, &c->deadline);
    stream_close(&c->stream);
    unlink_it(c);
    policy_instances_deinit(&c->instances);
    buf_deinit(&c->recipient);
    loop_free_later(door->server->loop, c);
    if (--door->n == 0 && door->on_empty != NULL)
        door->on_empty(door->arg);
}

static void end_badly(struct policy_connection *c, const char *why) {
    folding_line(c->door->server, LOG_LEVEL_WARNING, NULL, why, c->id, "policy connection closed: %s sid=%s", why,
                 c->id);
    end(c);
}

/* ---- answers */

static struct envelope envelope_of(const struct policy_connection *c, const struct policy_instance *m) {
    struct str name = m->request.value[POLICY_CLIENT_NAME];
    struct str protocol = m->request.value[POLICY_ENCRYPTION_PROTOCOL];
    return (struct envelope){
        .door = "postfix",
        .id = c->id,
        .n_decisions = c->n_decisions,
        .client = &m->client,
        .client_name = str_eq_nocase(name, STR("unknown")) ? (struct str){ 0 } : name,
        .helo = m->request.value[POLICY_HELO_NAME],
        .sender = m->request.value[POLICY_SENDER],
        .tls = protocol.len > 0 ? protocol : (struct str){ 0 },
        .is_esmtp = str_eq_nocase(m->request.value[POLICY_PROTOCOL_NAME], STR("ESMTP")),
    };
}

/* "action=550 5.7.1 TEXT [ID]", in one line that an SMTP reply can hold. */
static int write_refusal(struct buf *out, const struct verdict *v, const char *numbered) {
    char text[SMTP_REPLY_LINE_MAX], line[SMTP_REPLY_LINE_MAX], action[SMTP_REPLY_LINE_MAX + 32];
    struct buf with_id = BUF_IN(text), reply = BUF_IN(line), answer = BUF_IN(action);
    buf_puts(&with_id, str_head(v->reply.text, SMTP_REPLY_LINE_MAX - 80));
    buf_puts(&with_id, STR(" ["));
    buf_puts(&with_id, str_of(numbered));
    buf_putc(&with_id, ']');
    smtp_reply_format(&(struct smtp_reply){ v->reply.code, v->reply.enhanced, buf_str(&with_id) }, &reply);
    bool is_deferred = v->action == ACTION_DEFER; /* then the code is Postfix's: access_map_defer_code */
    buf_puts(&answer, is_deferred ? STR("action=DEFER_IF_PERMIT ") : STR("action="));
    buf_puts(&answer, str_from(str_head(buf_str(&reply), reply.len - 2), is_deferred ? 4 : 0)); /* without CRLF */
    buf_puts(&answer, STR("\n\n"));
    return buf_puts(out, buf_str(&answer));
}

/* What cannot be said whole is not said at all. */
static void say(struct policy_connection *c, const struct verdict *v, const char *numbered) {
    struct buf *out = stream_out(&c->stream);
    int r = out == NULL ? -ENOMEM : v->action == ACTION_PASS ? buf_puts(out, STR("action=DUNNO\n\n"))
                                                             : write_refusal(out, v, numbered);
    if (r < 0)
        end_badly(c, "no memory for an answer");
}

static struct gather_known known_of(const struct policy_connection *c, const struct policy_instance *m);

/* True: the record is ended when rules that changed nothing know what they would have done. */
static bool rehearse(const struct policy_connection *c, const struct policy_instance *m, const struct envelope *e,
                     struct record *r, const struct fold *fold) {
    if (!m->memory->has_shadow_need)
        return false;
    const struct gather_known known = known_of(c, m);
    return rehearsal_start(c->door->server, r, e, &known, m->memory, fold);
}

static void journal(struct policy_connection *c, const struct policy_instance *m, const struct envelope *e,
                    const struct verdict *v, const char *numbered) {
    struct server *server = c->door->server;
    struct record r;
    if (server->journal->fd < 0)
        return;
    record_begin(&r, &server->journal->out);
    record_envelope(&r, e, m->memory, numbered);
    record_recipient(&r, c->asked_address.text, v);
    record_verdict(&r, v);
    record_open(&r, "took_us", '{');
    record_u64(&r, "request", clock_us() - c->began_us);
    record_close(&r, '}');
    struct fold fold = fold_of(e, v, "RCPT", numbered);
    if (rehearse(c, m, e, &r, &fold))
        return;
    record_judgement(&r, server->conf, m->memory, loop_now(server->loop));
    fold_add_judgement(&fold, m->memory, &m->memory->shadow);
    decision_record_end(&r, server, &fold);
}

/* The one place where a verdict of this door becomes an answer, a log line and a journal record. */
static void answer(struct policy_connection *c, const struct policy_instance *m, const struct policy_verdict *from) {
    struct server *server = c->door->server;
    const struct envelope envelope = envelope_of(c, m);
    char numbered[NUMBERED_MAX];
    char words[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_IN(words);
    struct verdict v = verdict_of_policy(server->conf, m->memory, &envelope, &c->asked_address,
                                         c->asked_view.is_stale, from, &text);
    v.rcpt_known = c->asked_view.known;
    decision_number(c->id, &c->n_decisions, numbered);
    decision_count(server->counters, &v);
    if (v.action != ACTION_PASS)
        decision_log(server, &envelope, "RCPT", c->asked_address.text, &v, numbered);
    if (v.action == ACTION_PASS && gather_may_earn(&m->memory->greylist)) /* Postfix does not tell how it ends */
        gather_credit(&server->gather, m->memory, &m->client, &m->sender, &c->asked_address);
    journal(c, m, &envelope, &v, numbered);
    say(c, &v, numbered);
}

static void answer_without_memory(struct policy_connection *c) {
    say(c, &no_memory_verdict, c->id);
}

/* ---- judging */

/* One that a directory can be asked about. */
static bool is_lookable(const struct smtp_address *address) {
    return address->domain.len > 0 && address->local.len > 0 && address->local.len <= SMTP_LOCAL_MAX;
}

/* Postfix's own submission, or one from a Unix socket, has no address. */
static bool is_from_relay_client(const struct conf *conf, const struct ip *client) {
    return cidr_list_contains(conf->set.relay_clients.at, conf->set.relay_clients.n, client);
}

static struct gather_known known_of(const struct policy_connection *c, const struct policy_instance *m) {
    const struct conf *conf = c->door->server->conf;
    const struct str *value = m->request.value;
    struct str reverse = value[POLICY_REVERSE_CLIENT_NAME];
    struct ip server;
    if (!policy_name_is_known(value[POLICY_SERVER_ADDRESS]) || ip_parse(value[POLICY_SERVER_ADDRESS], &server) < 0)
        server = (struct ip){ .family = IP_NONE }; /* Postfix before 3.2 does not tell it */
    return (struct gather_known){
        .client = m->client,
        .server = server,
        .has_helo = value[POLICY_HELO_NAME].len > 0,
        .is_tls = value[POLICY_ENCRYPTION_PROTOCOL].len > 0,
        .is_second_hand = true,
        .ptr_name = policy_name_is_known(reverse) ? reverse : STR(""),
        .helo = value[POLICY_HELO_NAME],
        .sender = m->sender,
        .sender_is_ours = m->sender.domain.len > 0 && conf_domain_find(conf, m->sender.domain) != NULL,
        .recipient = c->asked_address,
        .rcpt_is_postmaster = recipient_is_postmaster(&c->asked_address),
        .rcpt_local = fact_bool(c->asked_view.is_local),
        .rcpt_known = known_fact(c->asked_view.known),
        .relay_allowed = fact_bool(true),
        .enforced = fact_bool(c->asked_view.is_enforced),
    };
}

/* Keeps the recipient, whose words the facts borrow until the next request, and looks it up. Returns 0 or -ENOMEM. */
static int take_recipient(struct policy_connection *c, const struct ip *client, struct str text) {
    buf_clear(&c->recipient);
    int r = buf_puts(&c->recipient, text);
    if (r < 0)
        return r;
    c->asked_address = policy_address_of(buf_str(&c->recipient));
    if (is_lookable(&c->asked_address))
        recipient_look(c->door->server, client, &c->asked_address, &c->asked_view);
    else
        c->asked_view = (struct recipient_view){ .is_enforced = conf_is_enforced(c->door->server->conf, NULL) };
    return 0;
}

static void read_on(struct policy_connection *c);

static void on_gathered(void *arg, const struct policy_verdict *verdict) {
    struct policy_connection *c = arg;
    c->gather = NULL;
    answer(c, c->asked, verdict);
    if (!c->is_over)
        read_on(c);
}

static void judge(struct policy_connection *c, const struct policy_request *request, struct str text,
                  const struct ip *client) {
    const struct server *server = c->door->server;
    const struct conf_policy *policy = &server->conf->policy;
    struct policy_verdict verdict;
    c->began_us = clock_us();
    c->asked = policy_instance_of(&c->instances, c->door->server, request, text, client);
    if (c->asked == NULL || take_recipient(c, client, request->value[POLICY_RECIPIENT]) < 0) {
        answer_without_memory(c);
        return;
    }
    const struct gather_known known = known_of(c, c->asked);
    if (gather_now(&server->gather, policy, LAYER_POLICY, &known, c->asked->memory, &verdict)) {
        answer(c, c->asked, &verdict);
        return;
    }
    c->gather = gather_start(&server->gather, policy, LAYER_POLICY, &known, c->asked->memory, on_gathered, c);
    if (c->gather == NULL)
        answer_without_memory(c);
    else
        stream_pause(&c->stream);
}

static bool is_judged(const struct policy_connection *c, const struct policy_request *request,
                      const struct ip *client) {
    return str_eq_nocase(request->value[POLICY_PROTOCOL_STATE], STR("RCPT"))
        && request->value[POLICY_RECIPIENT].len > 0 && request->value[POLICY_SASL_USERNAME].len == 0
        && client->family != IP_NONE && !is_from_relay_client(c->door->server->conf, client);
}

static void on_request(struct policy_connection *c, const struct policy_request *request, struct str text) {
    static const struct verdict dunno = { .action = ACTION_PASS };
    struct str address = request->value[POLICY_CLIENT_ADDRESS];
    struct ip client = { 0 };
    c->n_requests++;
    if (policy_name_is_known(address) && ip_parse(address, &client) < 0)
        end_badly(c, "client_address is no address");
    else if (is_judged(c, request, &client))
        judge(c, request, text, &client);
    else
        say(c, &dunno, c->id);
}

/* ---- the connection */

/* Bytes to answer, and no room for the answer: the peer must read first. */
static bool is_clogged(struct policy_connection *c) {
    if (stream_pending(&c->stream) < OUTPUT_HIGH)
        return false;
    stream_flush(&c->stream);
    if (stream_pending(&c->stream) < OUTPUT_HIGH)
        return false;
    stream_pause(&c->stream);
    return true;
}

/* A request that is not whole may wait until a line of it has come, or much of one. */
static bool is_worth_parsing(const struct policy_connection *c, const char *at, size_t len) {
    return len >= c->parsed + PARSE_EVERY
        || (len > c->parsed && memchr(at + c->parsed, '\n', len - c->parsed) != NULL);
}

/* Gives the peer its time: for the next request, or for the rest of this one, which single bytes do not prolong. */
static void keep_time(struct policy_connection *c, bool is_partial, bool has_answered) {
    if (is_partial ? !c->is_partial || has_answered : has_answered)
        arm(c, is_partial ? POLICY_REQUEST_TIME_MS : POLICY_IDLE_MS);
    c->is_partial = is_partial;
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct policy_connection *c = connection_of(stream);
    size_t used = 0;
    bool has_answered = false;
    for (unsigned n_handled = 0; used < len && !c->is_over && c->gather == NULL && !is_clogged(c); n_handled++) {
        struct policy_request request;
        if (n_handled == REQUESTS_TURN_MAX) {
            stream_yield(stream);
            break;
        }
        size_t n = 0;
        if (!is_worth_parsing(c, at + used, len - used))
            break;
        enum policy_request_result result = policy_request_parse(at + used, len - used, &n, &request);
        c->parsed = result == POLICY_REQUEST_MORE ? len - used : 0;
        if (result == POLICY_REQUEST_MORE)
            break;
        if (result == POLICY_REQUEST_BAD)
            end_badly(c, "not a request of the policy protocol, or too large");
        else
            on_request(c, &request, (struct str){ at + used, n });
        used += n;
        has_answered = true;
    }
    if (c->is_over)
        return len;
    if (has_answered) {
        unlink_it(c);
        link_first(c);
    }
    if (!c->door->is_closing)
        keep_time(c, used < len, has_answered);
    if (c->gather == NULL && used == len && (c->door->is_closing || c->has_eof))
        end(c);
    return used;
}

/* Something of a request that was not answered, or a connection so new that its first one is on its way. */
static bool expects_answer(const struct policy_connection *c) {
    char byte;
    return c->gather != NULL || c->n_requests == 0 || c->stream.in.len > 0
        || recv(c->stream.watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The door is closing: who waits for an answer gets it, and has CLOSING_MS for the rest of a request. */
static void leave(struct policy_connection *c) {
    if (!expects_answer(c))
        end(c);
    else if (c->gather == NULL)
        arm(c, CLOSING_MS);
}

/* After an answer that had to wait. */
static void read_on(struct policy_connection *c) {
    stream_resume(&c->stream);
    arm(c, c->has_eof ? HALF_CLOSED_MS : POLICY_IDLE_MS); /* what was sent before the end of input is offered first */
    if (c->door->is_closing)
        leave(c);
}

static void on_drained(struct stream *stream) {
    struct policy_connection *c = connection_of(stream);
    if (c->gather == NULL)
        stream_resume(stream);
}

/* A peer that closed its half may still read the answers that it waits for. */
static void on_end(struct stream *stream, enum stream_end how, int err) {
    struct policy_connection *c = connection_of(stream);
    (void)err;
    c->has_eof = how == STREAM_EOF;
    if (how == STREAM_FULL)
        end_badly(c, "no memory");
    else if (how != STREAM_EOF || c->gather == NULL)
        end(c);
}

static void on_deadline(struct timer *timer) {
    struct policy_connection *c = (struct policy_connection *)((char *)timer
                                                              - offsetof(struct policy_connection, deadline));
    if (c->gather != NULL) /* ours to bound: gather.h; armed again after the answer */
        return;
    end(c);
}

static const struct stream_ops ops = { .name = "bytes of a policy client", .on_data = on_data, .on_end = on_end,
                                       .on_drained = on_drained };

/* ---- the door */

void policy_door_init(struct policy_door *door, struct server *server, unsigned max) {
    *door = (struct policy_door){ .server = server, .max = max };
}

void policy_door_start(struct policy_door *door, int take_fd) {
    struct policy_connection *c = NULL;
    if ((door->n < door->max || policy_door_evict_one(door)) && !door->is_closing)
        c = calloc(1, sizeof(*c));
    if (c == NULL || stream_open(&c->stream, door->server->loop, take_fd, &ops, INPUT_MAX, OUTPUT_MAX) < 0) {
        free(c);
        close(take_fd);
        return;
    }
    c->door = door;
    buf_init(&c->recipient, POLICY_LINE_MAX);
    id_next(&door->server->ids, clock_wall_ms(), c->id);
    link_first(c);
    door->n++;
    arm(c, POLICY_IDLE_MS);
}

bool policy_door_evict_one(struct policy_door *door) {
    struct policy_connection *c = door->last;
    while (c != NULL && c->gather != NULL)
        c = c->prev;
    if (c == NULL)
        return false;
    end_badly(c, "gave way to another");
    return true;
}

void policy_door_close(struct policy_door *door) {
    struct policy_connection *next;
    door->is_closing = true;
    for (struct policy_connection *c = door->first; c != NULL; c = next) {
        next = c->next;
        leave(c);
    }
}

void policy_door_end_all(struct policy_door *door) {
    while (door->first != NULL)
        end(door->first);
}
