/*
 * fuzz_store_message: whatever a worker that was taken over sends, the store reads a message within its bounds, waits
 * for the rest of one, or knows that it is none. A message is complete at its own length and at no other, and writing
 * what was read gives the same bytes.
 */
#include "store/message.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct str text, const char *at, size_t len) {
    assert(text.len <= GREYLIST_TEXT_MAX);
    assert(text.at >= at && text.at + text.len <= at + len);
}

static void check_same(const struct store_message *m, const char *at, size_t len) {
    struct buf out;
    buf_init(&out, STORE_MESSAGE_MAX);
    if (m->type != STORE_ANSWER)
        assert(store_question_put(&out, m->type, m->number, &m->question) == 0);
    else
        assert(store_answer_put(&out, m->number, m->is_unavailable ? NULL : &m->answer) == 0);
    assert(out.len == len && memcmp(out.at, at, len) == 0);
    buf_deinit(&out);
}

static void check(const struct store_message *m, const char *at, size_t len) {
    const struct greylist_question *q = &m->question;
    assert(m->type == STORE_QUESTION || m->type == STORE_CREDIT || m->type == STORE_ANSWER);
    if (m->type != STORE_ANSWER) {
        assert(q->n_identities >= 1 && q->n_identities <= GREYLIST_IDENTITIES_MAX);
        check_text(q->sender, at, len);
        check_text(q->recipient, at, len);
        for (unsigned i = 0; i < q->n_identities; i++)
            check_text(q->identities[i], at, len);
    }
    assert(m->answer.status <= GREYLIST_WHITELISTED);
    check_same(m, at, len);
}

/* The result, from a copy that ends where the bytes end. */
static int parse(const uint8_t *data, size_t size) {
    struct store_message m;
    char *copy = calloc(1, size > 0 ? size : 1);
    assert(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    int n = store_message_parse(copy, size, &m);
    assert(n <= 0 || (size_t)n <= size);
    if (n > 0)
        check(&m, copy, (size_t)n);
    free(copy);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    while (size > 0) {
        int n = parse(data, size);
        for (size_t part = 0; part < size && part <= STORE_MESSAGE_MAX; part++) {
            int of_part = parse(data, part);
            assert(n > 0 && part >= (size_t)n ? of_part == n : of_part == 0 || (of_part < 0 && n < 0));
        }
        if (n <= 0)
            return 0;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}
