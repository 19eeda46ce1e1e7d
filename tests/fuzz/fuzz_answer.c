/*
 * fuzz_answer: what a mailbox server says, whole and in slices, comes to the same; what is kept of it is printable and
 * bounded; and it can be said to a client in one line that means the same.
 *
 * Input: a seed for the slices, then the server's bytes.
 */
#include "smtp/reply.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct smtp_answer answer;
    struct smtp_offer offer;
    enum smtp_answer_result result;
    size_t consumed;
    unsigned lines;
};

static void on_line(void *arg, unsigned index, struct str text) {
    struct run *run = arg;
    assert(index == run->lines++);
    assert(text.len <= SMTP_ANSWER_LINE_MAX - 4);
    if (index > 0)
        smtp_offer_add(&run->offer, text);
}

/* `slice` more bytes arrive each time; 0: all at once. */
static struct run parse(const uint8_t *data, size_t size, size_t slice) {
    struct run run;
    memset(&run, 0, sizeof(run));
    size_t arrived = slice == 0 ? size : 0;
    do {
        arrived = arrived + slice < size ? arrived + slice : size;
        size_t n = arrived - run.consumed;
        char *copy = malloc(n > 0 ? n : 1);
        assert(copy != NULL);
        if (n > 0)
            memcpy(copy, data + run.consumed, n);
        size_t consumed;
        run.result = smtp_answer_parse(&run.answer, copy, n, &consumed, on_line, &run);
        assert(consumed <= n);
        run.consumed += consumed;
        free(copy);
    } while (run.result == SMTP_ANSWER_MORE && arrived < size);
    return run;
}

static void check_answer(const struct smtp_answer *a) {
    assert(a->text_len < SMTP_ANSWER_TEXT_MAX && strlen(a->text) == a->text_len);
    assert((a->lines == 0) == (a->code == 0));
    assert(a->code == 0 || (a->code >= 200 && a->code <= 599));
    for (unsigned i = 0; i < a->text_len; i++)
        assert(a->text[i] >= 32 && a->text[i] <= 126);
    assert(a->enhanced[0] == '\0' || (unsigned)(a->enhanced[0] - '0') == a->code / 100);
}

static void check_reply(const struct smtp_answer *a) {
    struct smtp_reply reply = { a->code, a->enhanced, { a->text, a->text_len } };
    struct buf out;
    buf_init(&out, SMTP_REPLY_LINE_MAX);
    assert(smtp_reply_format(&reply, &out) == 0);
    assert(out.len >= 5 && memchr(out.at, '\r', out.len) == out.at + out.len - 2 && out.at[out.len - 1] == '\n');
    struct smtp_answer again;
    memset(&again, 0, sizeof(again));
    size_t consumed;
    assert(smtp_answer_parse(&again, out.at, out.len, &consumed, NULL, NULL) == SMTP_ANSWER_COMPLETE);
    assert(consumed == out.len && again.code == a->code);
    if (a->enhanced[0] != '\0')
        assert(strcmp(again.enhanced, a->enhanced) == 0 && strncmp(again.text, a->text, again.text_len) == 0);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 16384)
        return 0;
    struct run whole = parse(data + 1, size - 1, 0);
    struct run sliced = parse(data + 1, size - 1, 1 + data[0] % 64);
    assert(whole.result == sliced.result && whole.consumed == sliced.consumed);
    assert(memcmp(&whole.answer, &sliced.answer, sizeof(whole.answer)) == 0);
    assert(memcmp(&whole.offer, &sliced.offer, sizeof(whole.offer)) == 0);
    check_answer(&whole.answer);
    if (whole.result == SMTP_ANSWER_COMPLETE)
        check_reply(&whole.answer);
    return 0;
}
