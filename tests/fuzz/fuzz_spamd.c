/*
 * fuzz_spamd: what a spamd says, whole and cut off, is a score only when all of it is there.
 *
 * Input: spamd's bytes.
 */
#include "facts/spamassassin.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum scanner_answer read_copy(const uint8_t *data, size_t len, struct scanner_reply *ret_reply) {
    char *copy = malloc(len > 0 ? len : 1);
    struct scanner_reply reply = { 0 };
    size_t used = 0;

    assert(copy != NULL);
    memcpy(copy, data, len);
    enum scanner_answer answer = spamd_read((struct str){ copy, len }, 1, &used, &reply);
    if (reply.text.len > 0)
        assert(reply.text.at >= copy && reply.text.at + reply.text.len <= copy + len);
    assert(used == 0 || used == len);
    *ret_reply = reply;
    ret_reply->text.at = NULL;
    free(copy);
    return answer;
}

static void check_verdict(const uint8_t *data, size_t size, const struct scanner_reply *reply) {
    const int64_t most = INT64_C(999999999999);
    struct scanner_reply part;

    assert(reply->score >= -most && reply->score <= most);
    assert(reply->threshold >= -most && reply->threshold <= most);
    assert(reply->text.len < SPAMD_ANSWER_MAX);
    assert(memmem(data, size, "EX_OK", 5) != NULL);
    for (size_t len = size > 300 ? size - 300 : 0; len < size; len++)
        assert(read_copy(data, len, &part) == SCANNER_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct scanner_reply reply;

    if (size > SPAMD_ANSWER_MAX + 16)
        return 0;
    enum scanner_answer answer = read_copy(data, size, &reply);
    if (answer == SCANNER_VERDICT)
        check_verdict(data, size, &reply);
    if (answer == SCANNER_MORE)
        assert(size < SPAMD_ANSWER_MAX);
    assert(answer != SCANNER_TOO_LARGE);
    return 0;
}
