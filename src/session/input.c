/*
 * input: what a client sends, cut into what session.c has handlers for.
 *
 * The phase of the session says what the bytes are: a PROXY header, command lines, message text, a chunk. Each
 * handler says how many it took; what is left is offered again with more behind it. Nothing is taken while the
 * session waits (ask()), nor while the client leaves too many replies unread.
 */
#include "session/state.h"

#include <stdio.h>

enum { HANDLED_MAX = 100 /* commands, or chunks, in one turn */ };

static size_t on_command_bytes(struct session *s, const char *at, size_t len) {
    size_t max = s->server->conf->set.limits.command_line;
    size_t used;
    long line = smtp_line_find(at, len, &used);
    if (line >= 0 && used <= max) {
        s->has_more = used < len;
        on_command(s, (struct str){ at, (size_t)line });
        return used;
    }
    if (line < 0 && len < max)
        return 0;
    s->phase = PHASE_LONG_LINE;
    return 0;
}

/* The rest of a command line over the limit, up to its end. */
static size_t on_long_line_bytes(struct session *s, const char *at, size_t len) {
    size_t used;
    if (smtp_line_find(at, len, &used) < 0)
        return at[len - 1] == '\r' ? len - 1 : len;
    s->phase = PHASE_COMMAND;
    mistake(s, 500, "5.5.2", "Command line too long");
    return used;
}

/* ---- what the stream tells */

/*
 * A client that sends commands and does not read the replies waits for itself, under the deadline of its last command.
 * Reading on would have to drop replies, and those behind them would be taken for the answers to other commands.
 */
static bool is_clogged(struct session *s) {
    if (s->phase != PHASE_COMMAND || stream_pending(&s->stream) < OUTPUT_HIGH)
        return false;
    stream_flush(&s->stream);
    if (stream_pending(&s->stream) < OUTPUT_HIGH)
        return false;
    stream_pause(&s->stream);
    return true;
}

static void on_drained(struct stream *stream) {
    if (session_of(stream)->waiting_for == NULL)
        stream_resume(stream);
}

/* A client may send thousands of commands at once, and each costs us more than it costs the client. */
static bool is_enough_for_a_turn(struct session *s, unsigned n_handled) {
    if (n_handled < HANDLED_MAX)
        return false;
    stream_yield(&s->stream);
    return true;
}

static size_t on_input(struct stream *stream, const char *at, size_t len) {
    struct session *s = session_of(stream);
    size_t used = 0;
    unsigned n_handled = 0;
    loop_doing_for(stream->loop, s->id);
    while (used < len && s->waiting_for == NULL && !is_clogged(s) && !is_enough_for_a_turn(s, n_handled)) {
        uint8_t phase = s->phase;
        size_t n = 0;
        n_handled++;
        switch ((enum phase)phase) {
        case PHASE_PROXY:
            n = on_proxy_header(s, at + used, len - used);
            break;
        case PHASE_GREETING:
            n = on_early_talk(s);
            break;
        case PHASE_COMMAND:
            n = on_command_bytes(s, at + used, len - used);
            break;
        case PHASE_LONG_LINE:
            n = on_long_line_bytes(s, at + used, len - used);
            break;
        case PHASE_DATA:
            n = on_data_bytes(s, at + used, len - used);
            break;
        case PHASE_CHUNK:
            n = on_chunk_bytes(s, at + used, len - used);
            break;
        case PHASE_TLS:
        case PHASE_LINGER:
        case PHASE_OVER:
            return len;
        }
        if (n == 0 && s->phase == phase)
            break;
        used += n;
    }
    return used;
}

static void on_end(struct stream *stream, enum stream_end how, int err) {
    struct session *s = session_of(stream);
    (void)err;
    if (how == STREAM_TLS_BAD) {
        char what[256];
        snprintf(what, sizeof(what), "TLS failed (%s)", stream_tls_error(stream));
        log_connection(s, what);
    } else if (how == STREAM_FULL) {
        log_connection(s, "too much input or output waiting");
    } else if (s->phase != PHASE_LINGER && s->phase != PHASE_PROXY && !s->is_refused) {
        log_connection(s, "lost connection");
    }
    if (s->phase == PHASE_GREETING)
        s->server->counters->left_early++;
    end(s);
}

const struct stream_ops session_input = {
    .name = "bytes of a client",
    .on_data = on_input, .on_end = on_end, .on_drained = on_drained, .on_tls = on_tls,
};
