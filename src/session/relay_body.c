/*
 * relay_body: how does a message get to the mailbox server without being copied whole, and when may it not end?
 *
 * Pieces of at most 64 KiB are written until 256 KiB wait in the stream; then the kernel must have taken all of it
 * before more is written. With BDAT the pieces are the message itself, in chunks of 256 KiB; with DATA their dots are
 * stuffed on the way, and the encoder refuses what is not canonical.
 *
 * An answer that comes before the end is a refusal, or one to a chunk: the end waits until it is whole.
 *
 * The end (the final dot, or the last chunk) makes the message the server's. It is written only while the client is
 * there and with the reserve of time left. In front of it a large message first waits until the kernel has all before
 * it, so that the question is asked at the last moment; a small one leaves whole, in one packet burst, end included.
 *
 * Rejected: one BDAT for the whole message (a client that leaves in the middle could then no longer stop it cleanly,
 * and the server could not refuse early); asking only at the start.
 */
#include "session/relay_body.h"

#include <errno.h>

enum {
    CHUNK = 256 * 1024,
    AHEAD = 256 * 1024,
    SMALL = 64 * 1024,      /* leaves in one go */
    TURN_MAX = 1024 * 1024, /* written in one turn of the loop */
};

void relay_body_begin(struct relay_body *body, bool is_chunked) {
    relay_text_rewind(&body->text);
    body->total = body->text.total;
    body->at = 0;
    body->chunk_end = 0;
    body->is_chunked = is_chunked;
    body->is_last_begun = false;
    body->is_any_chunk_taken = false;
    body->is_final_dot_sent = false;
    data_encoder_init(&body->encoder);
}

static bool may_end(const struct relay_body *body, const struct upstream *up, void *arg) {
    uint64_t now = loop_now(up->setup->loop);
    const struct relay_message *message = &body->message;

    if (now + message->reserve_ms > message->deadline_ms)
        return false;
    return message->client_is_there(arg);
}

/* True when the kernel has everything, or the message is small enough to go out whole. */
static bool is_end_near(const struct relay_body *body, struct upstream *up) {
    if (body->total <= SMALL)
        return true;
    stream_flush(&up->stream);
    return stream_pending(&up->stream) == 0;
}

static int begin_chunk(struct relay_body *body, struct upstream *up) { /* RFC 3030 */
    uint64_t left = body->total - body->at;
    bool is_last = left <= CHUNK;
    uint64_t size = is_last ? left : CHUNK;
    int r = buf_putf(upstream_out(up), "BDAT %llu%s\r\n", (unsigned long long)size, is_last ? " LAST" : "");

    body->chunk_end = body->at + size;
    body->is_last_begun = is_last;
    upstream_sent(up, 1, 0);
    return r;
}

/* Returns bytes of the message, -EAGAIN (enough fields were looked at in this turn), or another -errno. */
static long next_piece(struct relay_body *body, char *scratch, const char **ret_at) {
    uint64_t end = body->is_chunked ? body->chunk_end : body->total;
    long n = relay_text_next(&body->text, scratch, RELAY_BODY_PIECE, ret_at);

    if (n <= 0)
        return n < 0 ? n : -EIO;
    if (n > RELAY_BODY_PIECE)
        n = RELAY_BODY_PIECE;
    return (uint64_t)n < end - body->at ? n : (long)(end - body->at);
}

static int put_stuffed(struct relay_body *body, struct upstream *up, const char *at, size_t len) {
    struct buf *out = upstream_out(up);
    size_t room = len + len / 32 + 64; /* the usual few dots; the encoder stops when they are more */
    char *to = buf_room(out, room);
    size_t used = 0, written = 0;

    if (!to)
        return -ENOMEM;
    int r = data_encode(&body->encoder, at, len, &used, to, room, &written);
    if (r < 0)
        return r;
    out->len += (uint32_t)written;
    relay_text_take(&body->text, used);
    body->at += used;
    return used > 0 ? 0 : -EIO;
}

static int write_piece(struct relay_body *body, struct upstream *up, char *scratch) {
    const char *at = NULL;
    long len = next_piece(body, scratch, &at);

    if (len < 0)
        return (int)len;
    if (!body->is_chunked)
        return put_stuffed(body, up, at, (size_t)len);
    int r = stream_write(&up->stream, at, (size_t)len);
    relay_text_take(&body->text, (size_t)len);
    body->at += (uint64_t)len;
    return r;
}

static int write_dot(struct relay_body *body, struct upstream *up) {
    char end[5];
    size_t len = 0;
    int r = data_encode_finish(&body->encoder, end, &len);

    return r < 0 ? r : stream_write(&up->stream, end, len);
}

/* The text is written up to a point where an end (or a next chunk) is due. Returns whether the result is final. */
static bool at_boundary(struct relay_body *body, struct upstream *up, void *arg, enum relay_body_result *ret) {
    bool is_end = body->is_chunked ? body->total - body->at <= CHUNK : true;

    /* without PIPELINING a chunk waits for the one before it; an answer that has begun before the end is none to it */
    bool must_wait = (body->is_chunked && !upstream_may_write(up)) || (is_end && !upstream_is_silent(up));

    if (must_wait || (is_end && !is_end_near(body, up))) {
        *ret = RELAY_BODY_WAIT;
        return true;
    }
    if (is_end && !may_end(body, up, arg)) {
        *ret = RELAY_BODY_STOP;
        return true;
    }
    int r = body->is_chunked ? begin_chunk(body, up) : write_dot(body, up);
    if (r < 0) {
        *ret = RELAY_BODY_LOCAL;
        return true;
    }
    if (body->is_chunked)
        return false;
    body->is_final_dot_sent = true;
    *ret = RELAY_BODY_SENT;
    return true;
}

enum relay_body_result relay_body_write(struct relay_body *body, struct upstream *up, char *scratch, void *arg) {
    uint64_t start = body->at;

    relay_text_begin_turn(&body->text);
    for (;;) {
        enum relay_body_result result;

        if (body->is_last_begun && body->at == body->total) {
            body->is_final_dot_sent = true;
            return RELAY_BODY_SENT;
        }
        if (stream_pending(&up->stream) >= AHEAD) {
            stream_flush(&up->stream);
            if (stream_pending(&up->stream) > 0)
                return RELAY_BODY_WAIT;
        }
        if (body->at == (body->is_chunked ? body->chunk_end : body->total)) {
            if (at_boundary(body, up, arg, &result))
                return result;
            continue;
        }
        if (body->at - start >= TURN_MAX)
            return RELAY_BODY_YIELD;
        int r = write_piece(body, up, scratch);
        if (r < 0)
            return r == -EAGAIN ? RELAY_BODY_YIELD : RELAY_BODY_LOCAL;
    }
}
