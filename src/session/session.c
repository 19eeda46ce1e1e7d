/*
 * session: what happens to one client, in the order in which it happens on the wire.
 *
 *   on_connect ─▶ on_helo ─▶ on_starttls ─▶ on_mail ─▶ on_rcpt ─▶ on_data | on_bdat ─▶ on_message ─▶ on_quit
 *    │ greeting_start                                   │ ask                           │ ask
 *    ├▶ on_early_talk                                   ├▶ on_judged (facts)            ├▶ on_content_judged
 *    └▶ greet | turn_away                               └▶ on_rcpt_answered             ├▶ on_kept
 *                                                                                       └▶ on_delivered
 *
 * Bytes come in through input.c, which cuts them into lines, message text or chunks and gives each to its handler here.
 * A handler either answers at once or waits with ask(): then reading is paused, and one completion takes the story up
 * again with answered(). At most one thing is asked at a time, so a
 * session has at most one pending operation, the gathering's or the transfer's; whatever ends the session ends the
 * transaction, which ends the transfer, which cancels it. Before the greeting the client waits without ask(): there it
 * is read from, to see whether it can wait (greeting.c).
 *
 * Replies to a pipelined group gather in the stream and leave in one packet. Time-outs are one timer a session, moved
 * at each whole command.
 *
 * Rejected: a coroutine a session (a stack each: 10,000 idle ones would cost what whole sessions cost now), and a
 * table of states by command (twenty commands in four states say less than the sequence checks at the head of each
 * handler).
 */
#include "base/clock.h"
#include "session/state.h"
#include "smtp/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DATA_MARK = 1024,        /* message bytes that count as a sign of life */
    CHUNK_SMALL = 512,       /* chunks below it, but the last, bring a message no nearer */
    RECIPIENTS_OVERSHOOT = 1000, /* past the limit: a client that heard 452 so often does not listen */
};

/* ---- connect */

void greet(struct session *s) {
    s->phase = PHASE_COMMAND;
    struct buf *out = stream_out(&s->stream);
    if (out != NULL) {
        buf_puts(out, STR("220 "));
        buf_puts(out, str_of(s->server->conf->set.hostname));
        buf_puts(out, STR(" ESMTP Postern\r\n"));
    }
    clients_touch(&s->server->clients, &s->place);
    arm(s);
}

/* `refuse at connect`: RFC 5321 3.1. A client that layer connection only defers hears 421, and may come again. */
void turn_away(struct session *s, const struct verdict *verdict) {
    s->phase = PHASE_COMMAND;
    clients_touch(&s->server->clients, &s->place);
    answer_client(s, verdict);
    s->is_refused = verdict->action == ACTION_REJECT;
    if (s->is_refused)
        arm(s);
    else
        linger(s);
}

/* At the limit of all connections another one gives way. False: none can, and the session is over. */
static bool make_room(struct session *s) {
    if (s->server->n_sessions <= s->server->max_sessions || server_evict_one(s->server))
        return true;
    say_no(s, 421, "4.3.2", "Too busy, try again later");
    log_connection(s, "too many connections in all");
    end(s);
    return false;
}

/* A balancer's connection, until its header says whose it is: the balancer counts as ours. */
static void await_proxy_header(struct session *s) {
    if (!make_room(s))
        return;
    if (clients_enter(&s->server->clients, &s->origin.peer.ip, true, &s->place) < 0) {
        end(s);
        return;
    }
    clients_touch(&s->server->clients, &s->place);
    arm(s);
}

/* The client is known: it is admitted, or given to the worker it belongs to, and greeted when it has waited. */
static void on_connect(struct session *s, struct str unread) {
    struct server *server = s->server;
    if (!s->origin.is_settled && server->hand_over != NULL
        && server->hand_over(server->arg, s->stream.watch.fd, &s->origin, unread)) {
        server->counters->handed_over++;
        int fd = stream_steal_fd(&s->stream);
        close(fd);
        end(s);
        return;
    }
    if (!admit(s)) {
        end(s); /* lingering, it would count against the limit that it met */
        return;
    }
    if (!make_room(s))
        return;
    char byte;
    s->is_early = unread.len > 0 || recv(s->stream.watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    if (s->is_early)
        server->counters->early_talkers++;
    if (server->is_shutting_down) {
        hang_up(s, "4.3.2", "Shutting down, try again later", "turned away while shutting down");
        return;
    }
    greeting_start(s, true);
    stream_flush(&s->stream); /* the client has nothing to do before it */
}

/* It did not wait for the greeting. By itself that is only noted (`client.early_talker`). */
size_t on_early_talk(struct session *s) {
    s->is_early = true;
    s->server->counters->early_talkers++;
    greeting_hurry(s);
    return 0; /* what it said is for whoever listens then */
}

/* PROXY protocol, from named balancers only. */
size_t on_proxy_header(struct session *s, const char *at, size_t len) {
    size_t used = 0;
    struct endpoint client, local;
    enum proxy_result result = proxy_parse(at, len, &used, &client, &local);
    switch (result) {
    case PROXY_MORE:
        return 0;
    case PROXY_BAD:
        log_connection(s, "bad PROXY header");
        end(s);
        return len;
    case PROXY_KNOWN:
        s->origin.client = client;
        s->origin.server = local.ip;
        break;
    case PROXY_LOCAL:
        s->origin.is_local = true;
        break;
    }
    s->origin.expects_proxy = false;
    clients_leave(&s->server->clients, &s->place);
    on_connect(s, (struct str){ at + used, len - used });
    return used;
}

void session_start(struct server *server, int take_fd, const struct session_origin *origin, struct str unread) {
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL || stream_open(&s->stream, server->loop, take_fd, &session_input, INPUT_MAX, OUTPUT_MAX) < 0) {
        free(s);
        close(take_fd);
        return;
    }
    s->server = server;
    s->origin = *origin;
    s->phase = PHASE_PROXY;
    s->last_verb = SMTP_UNKNOWN;
    id_next(&server->ids, clock_wall_ms(), s->id);
    s->next = server->sessions;
    s->prev = &server->sessions;
    if (s->next != NULL)
        s->next->prev = &s->next;
    server->sessions = s;
    server->counters->sessions++;
    server->counters->sessions_now = ++server->n_sessions;
    if (unread.len > 0 && stream_unread(&s->stream, unread.at, unread.len) < 0)
        end(s);
    else if (origin->expects_proxy)
        await_proxy_header(s);
    else
        on_connect(s, unread);
}

/* ---- greeting the client */

static void forget_hello(struct session *s) {
    end_transaction(s);
    judge_forget(s, SCOPE_HELLO);
    remember(&s->helo, (struct str){ 0 });
}

static void on_helo(struct session *s, const struct smtp_command *c) {
    if (is_ahead_of_time(s) || is_junk_enough(s))
        return;
    forget_hello(s); /* RFC 5321 4.1.4: EHLO is also a RSET */
    if (remember(&s->helo, c->argument) < 0) {
        hang_up(s, "4.3.0", "Out of memory, try again later", "out of memory");
        return;
    }
    s->is_esmtp = c->verb == SMTP_EHLO;
    if (!s->is_esmtp) {
        struct buf *out = stream_out(&s->stream);
        if (out != NULL)
            buf_putf(out, "250 %s\r\n", s->server->conf->set.hostname);
        return;
    }
    struct buf *out = stream_out(&s->stream);
    if (out == NULL)
        return;
    buf_puts(out, STR("250-"));
    buf_puts(out, str_of(s->server->conf->set.hostname));
    buf_puts(out, STR("\r\n"));
    write_offer(s, out);
}

static void on_starttls(struct session *s, const struct smtp_command *c) {
    (void)c;
    if (s->server->tls == NULL || stream_is_tls(&s->stream)) {
        mistake(s, s->server->tls == NULL ? 502 : 503, "5.5.1",
                s->server->tls == NULL ? "STARTTLS is not offered" : "TLS is active already");
        return;
    }
    if (!s->is_esmtp) {
        mistake(s, 503, "5.5.1", "Say EHLO first");
        return;
    }
    say(s, 220, "2.0.0", "Ready to start TLS");
    forget_hello(s); /* RFC 3207 4.2 */
    s->phase = PHASE_TLS;
    if (s->has_more)
        log_connection(s, "plaintext behind STARTTLS dropped");
    if (stream_start_tls(&s->stream, s->server->tls, true, NULL) < 0) {
        end(s);
        return;
    }
    arm(s);
}

void on_tls(struct stream *stream) {
    struct session *s = session_of(stream);
    s->phase = PHASE_COMMAND;
    s->is_esmtp = false;
    arm(s);
}

/* A named balancer says whom it speaks for; the session begins again with that client. */
static void on_xclient(struct session *s, const struct smtp_command *c) {
    if (!may_introduce(s)) {
        mistake(s, 550, "5.7.1", "XCLIENT is not for you");
        return;
    }
    if (s->transaction != NULL) {
        mistake(s, 503, "5.5.1", "XCLIENT inside a mail transaction");
        return;
    }
    if (is_ahead_of_time(s))
        return;
    int r = xclient_take(s, c->argument);
    if (r == -ENOMEM) {
        say_no(s, 451, "4.3.0", "Out of memory, try again later");
        return;
    }
    if (r < 0) {
        mistake(s, 501, "5.5.4", "Bad XCLIENT attribute");
        return;
    }
    s->was_introduced = true;
    judge_forget(s, SCOPE_CONNECTION); /* what is known of one client says nothing of the next */
    s->is_early = false;
    clients_leave(&s->server->clients, &s->place);
    if (admit(s))
        greeting_start(s, false); /* the client has heard the balancer's */
    else
        end(s);
}

/* ---- the envelope */

static void on_sender(struct session *s) {
    struct verdict verdict = sender_validate(s);
    s->n_transactions++;
    if (verdict.action == ACTION_PASS) {
        say(s, 250, "2.1.0", "Sender taken");
        return;
    }
    answer_message(s, &verdict);
    end_transaction(s);
}

static void on_mail(struct session *s, const struct smtp_command *c) {
    const struct conf_settings *set = &s->server->conf->set;
    if (str_is_empty(s->helo)) {
        mistake(s, 503, "5.5.1", "Say EHLO or HELO first");
    } else if (s->transaction != NULL) {
        mistake(s, 503, "5.5.1", "A mail transaction is under way already; finish it or say RSET");
    } else if (s->server->is_shutting_down) {
        hang_up(s, "4.3.2", "Shutting down, try again later", "turned away while shutting down");
    } else if (s->n_transactions >= set->limits.transactions) {
        hang_up(s, "4.7.0", "Too many messages in one session, connect again", "too many transactions");
    } else if ((c->parameters & SMTP_HAS_SMTPUTF8) && !set->smtputf8) {
        mistake(s, 555, "5.5.4", "SMTPUTF8 is not offered");
    } else if (judge_forget(s, SCOPE_TRANSACTION), (s->transaction = transaction_new(s, c)) == NULL) {
        say_no(s, 451, "4.3.0", "Out of memory, try again later");
    } else {
        on_sender(s);
    }
}

/* Keeps what the command said, whose line is gone when facts or the mailbox server have been waited for. */
static bool keep_recipient(struct transaction *t, const struct smtp_command *c) {
    struct recipient *r = arena_zalloc(&t->arena, sizeof(*r));
    struct str line = arena_str(&t->arena, c->address.text);
    t->asked_address = c->address;
    buf_clear(&t->asked_words);
    if (r == NULL || line.at == NULL || buf_puts(&t->asked_words, c->notify) < 0
        || buf_puts(&t->asked_words, c->orcpt) < 0)
        return false;
    struct str words = buf_str(&t->asked_words);
    t->asked_for = (struct relay_recipient){ .parameters = c->parameters, .notify = str_head(words, c->notify.len),
                                             .orcpt = str_from(words, c->notify.len) };
    r->address = t->asked_address.text = line;
    t->asked_address.local = str_head(line, c->address.local.len);
    t->asked_address.domain = str_from(line, line.len - c->address.domain.len);
    t->asked = r;
    return true;
}

static void on_rcpt_answered(void *arg, const struct relay_result *result);

/* Asks the mailbox server about a recipient that is ours to deliver. */
static void pass_to_server(struct session *s) {
    struct transaction *t = s->transaction;
    const struct route *route = &t->asked_view.route;
    if (t->transfer != NULL && t->group != route->group) { /* nobody accepted there yet: see recipient_server_limit() */
        relay_end(t->transfer);
        t->transfer = NULL;
    }
    t->group = route->group;
    if (t->transfer == NULL)
        t->transfer = relay_begin(s->server->relay, t->group, &t->envelope);
    t->asked_for.address = route->address;
    t->asked_us = clock_us();
    if (t->transfer == NULL || content_keep_recipient(s, t->asked) < 0 ||
        relay_rcpt(t->transfer, &t->asked_for, on_rcpt_answered, s) < 0) {
        say_no(s, 451, "4.3.0", "Out of memory, try again later");
        if (s->waiting_for != NULL)
            answered(s);
        return;
    }
    ask(s, "the mailbox server's answer to RCPT");
}

/* Counts a refusal. True: that was one guess too many, and the session is over. */
static bool is_guess_too_many(struct session *s, const struct verdict *verdict) {
    const uint64_t max = s->server->conf->set.limits.errors, now = loop_now(s->server->loop);
    /* Someone who only guesses is cut off; a mailing list with some dead addresses is not. */
    if (verdict->action != ACTION_REJECT || s->transaction->n_accepted > 0)
        return false;
    bool is_known = guessers_know(s->server->guessers, s->place.client->node.key, max, now);
    guessers_note(s->server->guessers, s->place.client->node.key, now);
    if (++s->n_errors <= max && !is_known)
        return false;
    s->server->counters->guessers_cut++;
    hang_up(s, "4.7.0", "Too many errors", is_known ? "too many errors over several sessions" : "too many errors");
    return true;
}

/* The answer about t->asked, which was not accepted. */
static void refuse_recipient(struct session *s, const struct verdict *verdict) {
    answer_recipient(s, s->transaction->asked->address, verdict);
    if (!is_guess_too_many(s, verdict) && s->waiting_for != NULL)
        answered(s);
}

/* What the mailbox server has said about this name some minutes ago. */
static bool is_refused_already(struct session *s, struct smtp_reply *ret_reply) {
    const struct route *route = &s->transaction->asked_view.route;
    return refusals_find(s->server->refusals, route->group->index, route->address, loop_now(s->server->loop),
                         ret_reply);
}

/* The verdict about t->asked is there. */
static void settle(struct session *s, const struct verdict *verdict) {
    struct transaction *t = s->transaction;
    const struct verdict *limit = recipient_server_limit(s, &t->asked_view.route);
    struct verdict told = verdict->action == ACTION_PASS && limit != NULL ? *limit : *verdict;
    if (told.action == ACTION_PASS && is_refused_already(s, &told.reply)) {
        s->server->counters->refused_from_memory++;
        told = verdict_of_refusal(&told.reply);
    }
    told.rcpt_known = t->asked_view.known;
    if (told.action == ACTION_PASS)
        pass_to_server(s);
    else
        refuse_recipient(s, &told);
}

static void on_rcpt(struct session *s, const struct smtp_command *c) {
    struct transaction *t = s->transaction;
    if (t == NULL || t->is_chunked) {
        mistake(s, 503, "5.5.1", t == NULL ? "Say MAIL first" : "The message is being sent already");
        return;
    }
    if (t->n_asked >= s->server->conf->set.limits.recipients + RECIPIENTS_OVERSHOOT) {
        hang_up(s, "4.5.3", "Too many recipients in one message", "too many recipients");
        return;
    }
    const struct verdict *limit = recipient_limit(s);
    t->n_asked++;
    if (limit != NULL) {
        answer_recipient(s, c->address.text, limit);
        return;
    }
    if (!keep_recipient(t, c)) {
        say_no(s, 451, "4.3.0", "Out of memory, try again later");
        return;
    }
    recipient_look(s->server, &s->origin.client.ip, &t->asked_address, &t->asked_view);
    struct verdict verdict;
    char words[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_IN(words);
    if (judge_recipient(s, &text, &verdict))
        settle(s, &verdict);
    else
        ask(s, "facts about the recipient");
}

void on_judged(struct session *s, const struct verdict *verdict) {
    settle(s, verdict);
}

static void on_rcpt_answered(void *arg, const struct relay_result *result) {
    struct session *s = arg;
    struct transaction *t = s->transaction;
    char words[1024];
    struct buf text = BUF_IN(words);
    struct verdict verdict = verdict_of_relay(s, result, &text);
    verdict.rcpt_known = t->asked_view.known;
    if (verdict.action == ACTION_PASS) {
        t->asked->may_earn = gather_may_earn(&s->memory->greylist);
        *t->last = t->asked;
        t->last = &t->asked->next;
        t->n_accepted++;
        greeting_remember(s);
        answer_recipient(s, t->asked->address, &verdict);
        answered(s);
    } else {
        refusals_note(s->server->refusals, t->group->index, t->asked_for.address, &verdict.reply,
                      loop_now(s->server->loop));
        refuse_recipient(s, &verdict);
    }
}

/* ---- the message: from its end on see delivery.c */

/*
 * The first byte may come. From now on the message has data_time, and what it holds is the client's. Without memory to
 * look at what comes, it is read and deferred as without room.
 */
static void begin_intake(struct session *s, bool is_chunked) {
    struct transaction *t = s->transaction;
    bool is_utf8 = (t->envelope.parameters & SMTP_HAS_SMTPUTF8) != 0;
    intake_begin(&t->intake, is_chunked);
    t->intake.spool.budget = &s->place.client->spool;
    t->data_until_ms = loop_now(s->server->loop) + s->server->conf->set.timeouts.data_time;
    if (look_new(s->server->conf, is_utf8, &t->intake.look) < 0)
        t->intake.spool_error = -ENOMEM;
}

static void on_data(struct session *s, const struct smtp_command *c) {
    (void)c;
    struct transaction *t = s->transaction;
    if (t == NULL || t->is_chunked) {
        mistake(s, 503, "5.5.1", t == NULL ? "Say MAIL first" : "DATA behind BDAT");
        return;
    }
    if (t->n_accepted == 0) {
        mistake(s, t->n_asked == 0 ? 503 : 554, "5.5.1", t->n_asked == 0 ? "Say RCPT first" : "No valid recipients");
        return;
    }
    if (is_ahead_of_time(s))
        return;
    begin_intake(s, false);
    s->phase = PHASE_DATA;
    struct buf *out = stream_out(&s->stream);
    if (out != NULL)
        buf_puts(out, STR("354 End data with <CR><LF>.<CR><LF>\r\n"));
}

/* The message is refused before its end, and nothing that follows can be trusted to be a command. */
static void cut_short(struct session *s, const struct verdict *verdict) {
    answer_message(s, verdict);
    linger(s);
}

static bool is_refused_for_newlines(const struct session *s) {
    return s->server->conf->set.bare_newline == CONF_BARE_NEWLINE_REFUSE && intake_has_bare(&s->transaction->intake);
}

/* Message text came in: it buys time, and the client is alive, unless it drips. */
static void mark(struct session *s) {
    struct transaction *t = s->transaction;
    t->paid += arm_for_data(s, t->intake.decoder.received - t->paid);
    if (t->intake.decoder.received - t->marked < DATA_MARK)
        return;
    t->marked = t->intake.decoder.received;
    clients_touch(&s->server->clients, &s->place);
}

size_t on_data_bytes(struct session *s, const char *at, size_t len) {
    struct transaction *t = s->transaction;
    size_t used;
    enum intake_result result = intake_feed(&t->intake, at, len, &used);
    if (is_refused_for_newlines(s)) {
        cut_short(s, &bare_newline_verdict);
        return len;
    }
    switch (result) {
    case INTAKE_MORE:
        mark(s);
        break;
    case INTAKE_ABUSE:
        cut_short(s, &endless_verdict);
        return len;
    case INTAKE_END:
        s->phase = PHASE_COMMAND;
        on_message(s);
        break;
    }
    return used;
}

/* BDAT (RFC 3030): the chunk is read whatever we think of it, since its bytes follow without waiting. */
static void on_bdat(struct session *s, const struct smtp_command *c) {
    struct transaction *t = s->transaction;
    if (c->chunk_size < CHUNK_SMALL && !c->is_last && is_junk_enough(s))
        return;
    if (t == NULL) { /* a chunk without a transaction is skipped through one that holds nothing */
        struct smtp_command nobody = { .verb = SMTP_MAIL };
        t = s->transaction = transaction_new(s, &nobody);
        if (t == NULL) {
            hang_up(s, "4.3.0", "Out of memory, try again later", "out of memory");
            return;
        }
    }
    if (!t->is_chunked)
        begin_intake(s, true);
    t->is_chunked = true;
    t->intake.is_unwanted = t->n_accepted == 0;
    t->is_last_chunk = c->is_last;
    t->chunk_left = c->chunk_size;
    s->phase = PHASE_CHUNK;
}

static void on_chunk_end(struct session *s) {
    struct transaction *t = s->transaction;
    s->phase = PHASE_COMMAND;
    if (t->intake.is_unwanted) {
        bool was_asked = t->n_asked > 0;
        if (t->is_last_chunk || !was_asked)
            end_transaction(s);
        mistake(s, was_asked ? 554 : 503, "5.5.1", was_asked ? "No valid recipients" : "Say MAIL and RCPT first");
    } else if (t->is_last_chunk) {
        intake_finish(&t->intake);
        if (is_refused_for_newlines(s)) /* the end made a bare CR of its last byte */
            cut_short(s, &bare_newline_verdict);
        else
            on_message(s);
    } else {
        say(s, 250, "2.0.0", "Chunk taken");
    }
    if (s->phase == PHASE_COMMAND && s->waiting_for == NULL)
        arm(s);
}

size_t on_chunk_bytes(struct session *s, const char *at, size_t len) {
    struct transaction *t = s->transaction;
    size_t chunk = len < t->chunk_left ? len : (size_t)t->chunk_left;
    size_t used;
    enum intake_result result = intake_feed(&t->intake, at, chunk, &used);
    t->chunk_left -= used;
    bool is_bare = !t->intake.is_unwanted && is_refused_for_newlines(s);
    if (is_bare || result == INTAKE_ABUSE) {
        cut_short(s, is_bare ? &bare_newline_verdict : &endless_verdict);
        return len;
    }
    mark(s);
    if (t->chunk_left == 0)
        on_chunk_end(s);
    return used;
}

/* ---- the rest */

static void on_rset(struct session *s, const struct smtp_command *c) {
    (void)c;
    bool had_mail = s->transaction != NULL && s->transaction->n_accepted > 0;
    end_transaction(s);
    if (had_mail || !is_junk_enough(s))
        say(s, 250, "2.0.0", "Forgotten");
}

static void on_noop(struct session *s, const struct smtp_command *c) {
    (void)c;
    if (!is_junk_enough(s))
        say(s, 250, "2.0.0", "Ok");
}

/* RFC 5321 3.5.3 allows it, and harvesters get nothing. */
static void on_vrfy(struct session *s, const struct smtp_command *c) {
    (void)c;
    if (!is_junk_enough(s))
        say(s, 252, "2.0.0", "Not verified here; send the message and see");
}

static void on_expn(struct session *s, const struct smtp_command *c) {
    (void)c;
    if (!is_junk_enough(s))
        say_no(s, 502, "5.5.1", "EXPN is not offered");
}

static void on_help(struct session *s, const struct smtp_command *c) {
    (void)c;
    if (!is_junk_enough(s))
        say(s, 214, "2.0.0", "See RFC 5321; the postmaster of this host reads mail");
}

static void on_quit(struct session *s, const struct smtp_command *c) {
    (void)c;
    say(s, 221, "2.0.0", "Bye");
    end(s);
}

static void on_unknown(struct session *s, const struct smtp_command *c) {
    (void)c;
    mistake(s, 500, "5.5.1", "Unknown command");
}

/* ---- commands */

typedef void command_fn(struct session *s, const struct smtp_command *c);

static command_fn *const commands[SMTP_VERB_COUNT] = {
    [SMTP_HELO] = on_helo, [SMTP_EHLO] = on_helo,       [SMTP_STARTTLS] = on_starttls, [SMTP_XCLIENT] = on_xclient,
    [SMTP_MAIL] = on_mail, [SMTP_RCPT] = on_rcpt,       [SMTP_DATA] = on_data,         [SMTP_BDAT] = on_bdat,
    [SMTP_RSET] = on_rset, [SMTP_NOOP] = on_noop,       [SMTP_VRFY] = on_vrfy,         [SMTP_EXPN] = on_expn,
    [SMTP_HELP] = on_help, [SMTP_QUIT] = on_quit,       [SMTP_UNKNOWN] = on_unknown,
};

static void on_bad_command(struct session *s, const struct smtp_command *c, enum smtp_command_result result) {
    switch (result) {
    case SMTP_COMMAND_OK:
        break;
    case SMTP_COMMAND_SYNTAX:
        mistake(s, 501, "5.5.4", "Arguments missing or malformed");
        break;
    case SMTP_COMMAND_BAD_BYTES:
        mistake(s, 500, "5.5.2", "Bare <CR>, bare <LF>, NUL or another control character in a command");
        break;
    case SMTP_COMMAND_BAD_ADDRESS:
        mistake(s, 501, c->verb == SMTP_MAIL ? "5.1.7" : "5.1.3", "Malformed address, or one that is too long");
        break;
    case SMTP_COMMAND_BAD_UTF8:
        mistake(s, 553, "5.6.7", "An address beyond ASCII needs SMTPUTF8 with MAIL, and must be valid UTF-8");
        break;
    case SMTP_COMMAND_BAD_PARAMETER:
        mistake(s, 501, "5.5.4", "A parameter is repeated or has a malformed value");
        break;
    case SMTP_COMMAND_NO_PARAMETER:
        mistake(s, 555, "5.5.4", "Unknown parameter");
        break;
    }
    if (c->verb == SMTP_BDAT && s->phase == PHASE_COMMAND)
        linger(s); /* the chunk behind it must not be read as commands */
}

void on_command(struct session *s, struct str line) {
    struct smtp_command command;
    bool allows_utf8 = s->transaction != NULL ? (s->transaction->envelope.parameters & SMTP_HAS_SMTPUTF8) != 0
                                              : s->server->conf->set.smtputf8;
    enum smtp_command_result result = smtp_command_parse(line, allows_utf8, &command);
    s->last_verb = (uint8_t)command.verb;
    if (s->is_refused && command.verb != SMTP_QUIT) {
        mistake(s, 503, "5.5.1", "You were refused, QUIT is all that is left");
        return;
    }
    clients_touch(&s->server->clients, &s->place);
    if (s->has_more && !s->is_esmtp && s->phase == PHASE_COMMAND && command.verb != SMTP_QUIT && is_ahead_of_time(s))
        return; /* the client was never told that it may pipeline */
    if (result == SMTP_COMMAND_OK)
        commands[command.verb](s, &command);
    else
        on_bad_command(s, &command, result);
    if (s->phase == PHASE_COMMAND || s->phase == PHASE_DATA || s->phase == PHASE_CHUNK)
        arm(s);
    if (s->phase == PHASE_CHUNK && s->transaction->chunk_left == 0)
        on_chunk_end(s); /* BDAT 0 */
}
