/*
 * fuzz_relay_text: wherever a message is kept (in memory, in a file, split between both at any byte) and in whatever
 * pieces and turns it is taken, the same bytes leave, as many as were measured; and no turn looks at more of it than it
 * may.
 *
 * Input: where the file ends and memory begins, a seed for the pieces, the text.
 */
#include "session/relay_text.h"
#include "smtp/data.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPEATED = 40 /* so that a small input fills more than a window */ };

struct text {
    char *at;
    size_t len;
};

static const struct field_edit edit = { .authserv_id = STR_INIT("mx.example.com"), .subject_tag = STR_INIT("[SPAM] "),
                                        .subject_fold = STR_INIT("[SPAM]\r\n "),
                                        .subject = STR_INIT("Subject: [SPAM]\r\n") };

static void fill(struct spool *spool, const struct text *text, size_t memory_max, size_t piece) {
    spool_init(spool, "/tmp", memory_max);
    for (size_t i = 0; i < text->len;) {
        size_t some = text->len - i < piece ? text->len - i : piece;
        char *room = spool_room(spool, some);
        assert(room != NULL);
        memcpy(room, text->at + i, some);
        assert(spool_wrote(spool, some) == 0);
        i += some;
    }
}

static void measure(struct relay_text *text) {
    int r;
    while ((r = relay_text_measure(text)) == 1)
        assert(text->steps == RELAY_TEXT_STEPS);
    assert(r == 0);
}

/* Takes `stop` bytes of it, or all. */
static size_t take(struct relay_text *text, char *to, uint64_t stop, uint32_t *seed) {
    static char scratch[65536];
    size_t len = 0;
    relay_text_begin_turn(text);
    while (len < stop) {
        const char *at;
        long n = relay_text_next(text, scratch, sizeof(scratch), &at);
        assert(text->steps <= RELAY_TEXT_STEPS);
        if (n == -EAGAIN) {
            relay_text_begin_turn(text);
            continue;
        }
        assert(n >= 0);
        if (n == 0)
            break;
        *seed = *seed == 0 ? 0 : *seed * 1664525U + 1013904223U;
        size_t some = *seed == 0 ? (size_t)n : 1 + (*seed >> 16) % 700;
        some = some < (size_t)n ? some : (size_t)n;
        assert(len + some <= text->total);
        memcpy(to + len, at, some);
        relay_text_take(text, some);
        len += some;
    }
    return len;
}

static struct text leave(const struct text *in, size_t memory_max, size_t piece, uint32_t seed) {
    static char window[RELAY_TEXT_WINDOW];
    struct spool spool;
    struct relay_text text;
    fill(&spool, in, memory_max, piece);
    relay_text_init(&text, STR("Received: x\r\n"), &spool, &edit, spool.fd >= 0 ? window : NULL);
    measure(&text);
    struct text out = { malloc(text.total + 1), 0 };
    assert(out.at != NULL);
    take(&text, out.at, text.total / 2, &seed); /* the first connection breaks */
    relay_text_rewind(&text);
    out.len = take(&text, out.at, UINT64_MAX, &seed);
    assert(out.len == text.total);
    spool_deinit(&spool);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct data_decoder decoder;
    size_t used, len;
    if (size < 3)
        return 0;
    struct text text = { malloc(REPEATED * (2 * size + 8)), 0 };
    assert(text.at != NULL);
    data_decoder_init(&decoder, true);
    for (unsigned i = 0; i < (data[1] & 1 ? REPEATED : 1); i++) {
        data_decode(&decoder, (const char *)data + 2, size - 2, &used, text.at + text.len, 2 * size + 4, &len);
        text.len += len;
    }
    text.len += data_decode_finish(&decoder, text.at + text.len);
    struct text whole = leave(&text, 1 << 20, 4096, 0), split = leave(&text, data[0] * 16u, 1 + data[1], data[1] + 1u);
    assert(whole.len == split.len && memcmp(whole.at, split.at, whole.len) == 0);
    free(whole.at);
    free(split.at);
    free(text.at);
    return 0;
}
