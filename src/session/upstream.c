/*
 * upstream: how does a connection to a mailbox server become ready, and which answer belongs to which command?
 *
 * A state for each answer of the hello: GREETING, EHLO (HELO where EHLO is not known), STARTTLS, then EHLO again under
 * TLS. From READY on answers are only counted: those in `swallow` belong to somebody who left, the next `due` ones to
 * the user, and one more than that means that the server talks out of turn, which ends the connection (an idle server
 * says 421 that way before it closes).
 *
 * Counting, instead of a queue of commands, is enough because SMTP answers strictly in order and the user knows its own
 * order. It lets a connection be taken from a user in the middle of a pipelined group without losing step.
 *
 * An answer belongs to a command that was written before it came. Bytes that stand behind the last answer due came too
 * early, and would pass for the answer to what is written next (a 250 that came together with the 354 for the answer to
 * the final dot): the answer in front still counts, then the connection ends.
 *
 * `tls may` goes on in the clear where the server offers no STARTTLS or refuses it; `plain_why` says so to the owner,
 * who has it logged and shown.
 *
 * One timer. It is never cancelled when an answer comes, only moved by the next command: `due_ms` says whether it still
 * means something.
 *
 * Rejected: closing a connection whose user left with answers due (a client could make us reconnect as often as it
 * likes); trusting bytes that came with the 220 of STARTTLS (CVE-2011-0411 in the other direction).
 */
#include "session/upstream.h"

#include "smtp/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    IN_MAX = 2 * SMTP_ANSWER_LINE_MAX, /* one line of an answer and a part of the next */
    /* the relay writes 256 KiB ahead and one piece more; dot stuffing may double a piece */
    OUT_MAX = 2 * 1024 * 1024,
};

static struct upstream *of_stream(struct stream *stream) {
    return (struct upstream *)((char *)stream - offsetof(struct upstream, stream));
}

static struct upstream *of_timer(struct timer *timer) {
    return (struct upstream *)((char *)timer - offsetof(struct upstream, timer));
}

/* ---- the end */

__attribute__((format(printf, 3, 4)))
static void fail(struct upstream *up, enum upstream_end end, const char *format, ...) {
    char why[UPSTREAM_WHY_MAX];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof(why))
        len = (int)sizeof(why) - 1;
    if (up->was_ready)
        end = UPSTREAM_LOST;
    upstream_close(up, false);
    up->ops->on_end(up, end, (struct str){ why, (size_t)len });
}

static void fail_answer(struct upstream *up, const char *what) {
    fail(up, UPSTREAM_REFUSED, "%s: %u %.*s", what, up->answer.code, (int)up->answer.text_len, up->answer.text);
}

static const char *state_name(enum upstream_state state) {
    switch (state) {
    case UPSTREAM_CLOSED: return "closed";
    case UPSTREAM_CONNECTING: return "connect";
    case UPSTREAM_GREETING: return "greeting";
    case UPSTREAM_EHLO: return "EHLO";
    case UPSTREAM_HELO: return "HELO";
    case UPSTREAM_STARTTLS: return "STARTTLS";
    case UPSTREAM_HANDSHAKE: return "TLS handshake";
    case UPSTREAM_READY: return "answer";
    }
    return "";
}

static void on_broken_task(struct task *task) {
    struct upstream *up = (struct upstream *)((char *)task - offsetof(struct upstream, task));

    fail(up, UPSTREAM_REFUSED, "no memory");
}

void upstream_broken(struct upstream *up) {
    up->is_broken = true;
    task_start(up->setup->loop, &up->task, on_broken_task);
}

static void on_time(struct timer *timer) {
    struct upstream *up = of_timer(timer);

    if (up->due_ms == 0)
        return;
    else if (loop_now(up->setup->loop) < up->due_ms)
        (void)timer_set(up->setup->loop, &up->timer, up->due_ms, on_time);
    else
        fail(up, up->state == UPSTREAM_HANDSHAKE ? UPSTREAM_TLS_BAD : UPSTREAM_REFUSED, "%s timed out",
             state_name(up->state));
}

static void set_limit(struct upstream *up, uint64_t limit_ms) {
    up->limit_ms = limit_ms;
    up->due_ms = limit_ms ? loop_now(up->setup->loop) + limit_ms : 0;
    if (up->due_ms && timer_set(up->setup->loop, &up->timer, up->due_ms, on_time) < 0)
        upstream_broken(up); /* it might wait for ever */
}

/* An answer has come: the next one, if one is due, has the same time. */
static void next_limit(struct upstream *up) {
    bool is_due = up->due + up->swallow > 0;

    set_limit(up, is_due ? up->limit_ms : 0);
}

/* ---- hello */

__attribute__((format(printf, 3, 4)))
static void say(struct upstream *up, enum upstream_state state, const char *format, ...) {
    va_list args;

    va_start(args, format);
    int r = buf_vputf(stream_out(&up->stream), format, args);
    va_end(args);
    up->state = state;
    set_limit(up, up->setup->conf->set.timeouts.server_command);
    if (r < 0)
        upstream_broken(up);
}

void upstream_hello(struct upstream *up) {
    up->offer = (struct smtp_offer){ 0 };
    up->mail_max = up->rcpt_max = 0;
    say(up, UPSTREAM_EHLO, "EHLO %s\r\n", up->setup->conf->set.hostname);
}

static void become_ready(struct upstream *up) {
    up->state = UPSTREAM_READY;
    up->was_ready = true;
    up->due_ms = 0;
    up->ops->on_ready(up);
}

static void become_plain(struct upstream *up, const char *why) {
    up->plain_why = why;
    become_ready(up);
}

static bool is_positive(const struct smtp_answer *answer) {
    return answer->code >= 200 && answer->code < 300;
}

/* The first word of the greeting is the server's name (RFC 5321 4.2). It is kept so that it can be kept from clients.
 * */
static void keep_name(struct upstream *up) {
    struct str text = { up->answer.text, up->answer.text_len };
    struct str word = str_word(&text);

    up->server_name[0] = '\0';
    if (word.len == 0 || word.len >= sizeof(up->server_name) || str_find(word, '.') == word.len)
        return;
    memcpy(up->server_name, word.at, word.len);
    up->server_name[word.len] = '\0';
}

static void on_greeting(struct upstream *up) {
    if (up->answer.code != 220) {
        fail_answer(up, "greeting");
        return;
    }
    keep_name(up);
    upstream_hello(up);
}

static void on_ehlo(struct upstream *up) {
    enum conf_tls_mode mode = up->setup->tls;
    bool must = mode == CONF_TLS_REQUIRE || mode == CONF_TLS_VERIFY;
    bool is_tls = stream_is_tls(&up->stream);

    if (!is_positive(&up->answer)) {
        /* a server that knows no EHLO (RFC 5321 3.2) knows no STARTTLS either */
        if (up->answer.code >= 500 && !must && !is_tls && !up->was_ready)
            say(up, UPSTREAM_HELO, "HELO %s\r\n", up->setup->conf->set.hostname);
        else
            fail_answer(up, "EHLO");
        return;
    }
    if (is_tls || mode == CONF_TLS_NONE || up->is_plain)
        become_ready(up);
    else if (up->offer.extensions & SMTP_EXT_STARTTLS)
        say(up, UPSTREAM_STARTTLS, "STARTTLS\r\n");
    else if (must)
        fail(up, UPSTREAM_REFUSED, "offers no STARTTLS");
    else
        become_plain(up, "it offers no STARTTLS");
}

static void on_starttls(struct upstream *up) {
    if (up->answer.code != 220) {
        if (up->setup->tls == CONF_TLS_MAY && up->answer.code != 421)
            become_plain(up, "it refused STARTTLS");
        else
            fail_answer(up, "STARTTLS");
        return;
    }
    up->state = UPSTREAM_HANDSHAKE;
    set_limit(up, up->setup->conf->set.timeouts.tls_handshake);
    int r = stream_start_tls(&up->stream, up->setup->context, false, up->setup->name);
    if (r < 0)
        fail(up, UPSTREAM_TLS_BAD, "STARTTLS: %s", strerror(-r));
}

/* ---- answers */

static void on_line(void *arg, unsigned index, struct str text) {
    struct upstream *up = arg;

    if (index == 0)
        return; /* the greeting of EHLO's answer */
    smtp_offer_add(&up->offer, text);
    struct str word = str_word(&text);
    if (!str_eq_nocase(word, STR("LIMITS")))
        return;
    for (word = str_word(&text); word.len; word = str_word(&text)) { /* RFC 9422 */
        unsigned long long n;

        if (str_starts_nocase(word, STR("MAILMAX=")) && str_to_u64(str_from(word, 8), UINT32_MAX, &n) == 0)
            up->mail_max = (uint32_t)n;
        if (str_starts_nocase(word, STR("RCPTMAX=")) && str_to_u64(str_from(word, 8), UINT32_MAX, &n) == 0)
            up->rcpt_max = (uint32_t)n;
    }
}

static void write_reset(struct upstream *up) {
    up->is_reset_due = false;
    up->is_dirty = false;
    up->swallow++;
    set_limit(up, up->setup->conf->set.timeouts.server_command);
    if (buf_puts(stream_out(&up->stream), STR("RSET\r\n")) < 0)
        upstream_broken(up);
}

static void swallow_answer(struct upstream *up) {
    up->swallow--;
    next_limit(up);
    if (up->answer.code == 421) {
        fail_answer(up, "closes");
        return;
    }
    if (up->swallow > 0)
        return;
    if (up->is_reset_due) {
        write_reset(up);
        return;
    }
    if (!is_positive(&up->answer)) {
        fail_answer(up, "RSET");
        return;
    }
    up->ops->on_ready(up);
}

static void on_answer(struct upstream *up) {
    if (up->swallow > 0) {
        swallow_answer(up);
    } else if (up->due > 0) {
        up->due--;
        next_limit(up);
        up->ops->on_answer(up, &up->answer);
    } else {
        fail_answer(up, "talks out of turn");
    }
}

/* The answer just read is the last one due. */
static bool is_last_due(const struct upstream *up) {
    return up->state != UPSTREAM_READY || up->due + up->swallow <= 1;
}

static void dispatch(struct upstream *up) {
    switch (up->state) {
    case UPSTREAM_GREETING: on_greeting(up); break;
    case UPSTREAM_EHLO: on_ehlo(up); break;
    case UPSTREAM_HELO:
        if (is_positive(&up->answer))
            become_ready(up);
        else
            fail_answer(up, "HELO");
        break;
    case UPSTREAM_STARTTLS: on_starttls(up); break;
    case UPSTREAM_READY: on_answer(up); break;
    case UPSTREAM_CLOSED: case UPSTREAM_CONNECTING: case UPSTREAM_HANDSHAKE: break;
    }
}

/*
 * more: bytes have come behind the answer. In the hello, before anything was granted to anybody, that is the end: under
 * STARTTLS they may be somebody else's (CVE-2011-0411).
 */
static void on_whole_answer(struct upstream *up, bool more) {
    up->has_more = more;
    up->is_ahead = more && is_last_due(up);
    if (!up->is_ahead || up->state == UPSTREAM_READY)
        dispatch(up);
    if (up->is_ahead && up->state != UPSTREAM_CLOSED)
        fail(up, UPSTREAM_REFUSED, "%s", up->state == UPSTREAM_STARTTLS ? "plaintext behind the answer to STARTTLS"
                                                                        : "talks out of turn");
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    struct upstream *up = of_stream(stream);
    size_t used = 0;

    while (used < len && up->state != UPSTREAM_CLOSED && up->state != UPSTREAM_HANDSHAKE) {
        size_t n = 0;
        enum smtp_answer_result result =
            smtp_answer_parse(&up->answer, at + used, len - used, &n, up->state == UPSTREAM_EHLO ? on_line : NULL, up);

        used += n;
        if (result == SMTP_ANSWER_NONSENSE) {
            fail(up, UPSTREAM_REFUSED, "%s is no SMTP", state_name(up->state));
            break;
        }
        if (result == SMTP_ANSWER_MORE) {
            if (n == 0)
                break;
            continue;
        }
        on_whole_answer(up, used < len);
        up->answer = (struct smtp_answer){ 0 };
    }
    up->has_more = used < len || up->answer.code;
    if (up->has_more && up->state == UPSTREAM_READY && up->due + up->swallow == 0) /* a part of an answer to nothing */
        fail(up, UPSTREAM_REFUSED, "talks out of turn");
    return used;
}

/* ---- the stream */

/*
 * The server closed in the middle of the answer's text. What it had decided stands, and a 250 to our final dot above
 * all: taken for a lost connection it would be a duplicate. Nothing more is written here.
 */
static void take_cut_answer(struct upstream *up) {
    bool is_due = up->state == UPSTREAM_READY && up->swallow == 0 && up->due == 1;

    if (!is_due || !smtp_answer_end(&up->answer, buf_str(&up->stream.in)))
        return;
    up->is_ahead = true;
    dispatch(up);
    up->answer = (struct smtp_answer){ 0 };
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    struct upstream *up = of_stream(stream);

    if (end == STREAM_EOF)
        take_cut_answer(up);
    if (up->state == UPSTREAM_CLOSED)
        return;
    if (up->state == UPSTREAM_HANDSHAKE)
        fail(up, UPSTREAM_TLS_BAD, "TLS handshake: %s", end == STREAM_TLS_BAD ? stream_tls_error(stream) : "closed");
    else if (end == STREAM_TLS_BAD)
        fail(up, UPSTREAM_REFUSED, "TLS: %s", stream_tls_error(stream));
    else if (end == STREAM_FULL)
        fail(up, UPSTREAM_REFUSED, "%s too long", state_name(up->state));
    else if (end == STREAM_RESET && err)
        fail(up, UPSTREAM_REFUSED, "%s", strerror(err));
    else
        fail(up, UPSTREAM_REFUSED, "closed the connection");
}

static void on_drained(struct stream *stream) {
    struct upstream *up = of_stream(stream);

    if (up->state == UPSTREAM_READY)
        up->ops->on_drained(up);
}

static void on_tls(struct stream *stream) {
    upstream_hello(of_stream(stream));
}

static void on_connected(struct stream *stream) {
    struct upstream *up = of_stream(stream);

    up->state = UPSTREAM_GREETING;
    set_limit(up, up->setup->conf->set.timeouts.server_greeting);
}

static const struct stream_ops stream_ops = {
    .name = "bytes of a mailbox server",
    .on_data = on_data, .on_end = on_end, .on_drained = on_drained, .on_tls = on_tls, .on_connected = on_connected,
};

/* ---- what the owner calls */

int upstream_connect(struct upstream *up, const struct upstream_setup *setup, const struct upstream_ops *ops,
                     bool is_plain) {
    *up = (struct upstream){ .ops = ops, .setup = setup, .is_plain = is_plain, .state = UPSTREAM_CONNECTING };
    int r = stream_connect(&up->stream, setup->loop, &setup->to, &stream_ops, IN_MAX, OUT_MAX);
    if (r < 0) {
        up->state = UPSTREAM_CLOSED;
        return r;
    }
    set_limit(up, setup->conf->set.timeouts.server_connect);
    return 0;
}

bool upstream_may_write(const struct upstream *up) {
    if (up->state != UPSTREAM_READY || up->is_ahead)
        return false;
    if (up->offer.extensions & SMTP_EXT_PIPELINING)
        return !up->is_reset_due;
    return up->due == 0 && up->swallow == 0 && !up->is_reset_due;
}

bool upstream_is_silent(const struct upstream *up) {
    return !up->has_more;
}

struct buf *upstream_out(struct upstream *up) {
    return stream_out(&up->stream);
}

void upstream_sent(struct upstream *up, uint32_t n, uint64_t limit_ms) {
    up->due += n;
    set_limit(up, limit_ms);
}

void upstream_reset(struct upstream *up) {
    if (!up->is_dirty && up->due == 0)
        return;
    up->swallow += up->due;
    up->due = 0;
    if (up->swallow > 0 && !(up->offer.extensions & SMTP_EXT_PIPELINING))
        up->is_reset_due = true;
    else
        write_reset(up);
}

void upstream_close(struct upstream *up, bool say_quit) {
    if (up->state == UPSTREAM_CLOSED)
        return;
    if (say_quit && upstream_may_write(up))
        (void)buf_puts(stream_out(&up->stream), STR("QUIT\r\n")); /* a courtesy: nobody waits for its answer */
    up->state = UPSTREAM_CLOSED;
    timer_cancel(up->setup->loop, &up->timer);
    task_cancel(up->setup->loop, &up->task);
    stream_close(&up->stream);
}
