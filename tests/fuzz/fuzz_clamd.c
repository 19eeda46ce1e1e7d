/*
 * fuzz_clamd: what a clamd says, whole and cut off, never makes a message clean that it did not call clean.
 *
 * Input: the number of the question, then clamd's bytes.
 */
#include "facts/clamav.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a copy of exactly this length, so that a byte too far is seen. */
static enum scanner_answer read_copy(const uint8_t *data, size_t len, uint32_t number, size_t *used, bool *is_found) {
    char *copy = malloc(len > 0 ? len : 1);
    struct scanner_reply reply = { 0 };

    assert(copy != NULL);
    memcpy(copy, data, len);
    *used = 0;
    enum scanner_answer answer = clamd_read((struct str){ copy, len }, number, used, &reply);
    if (reply.text.len > 0)
        assert(reply.text.at >= copy && reply.text.at + reply.text.len <= copy + *used);
    assert(reply.text.len < CLAMD_ANSWER_MAX || answer == SCANNER_NONSENSE);
    *is_found = reply.is_found;
    free(copy);
    return answer;
}

static void check_whole(const uint8_t *data, size_t used, uint32_t number, enum scanner_answer answer, bool is_found) {
    char clean[40];
    int len = snprintf(clean, sizeof(clean), "%u: stream: OK", number);
    bool is_clean = used == (size_t)len + 1 && memcmp(data, clean, used) == 0;

    assert(answer != SCANNER_WELL && answer != SCANNER_MORE);
    assert(is_clean == (answer == SCANNER_VERDICT && !is_found));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 2 * CLAMD_ANSWER_MAX)
        return 0;
    uint32_t number = data[0];
    size_t used, used_of_part;
    bool is_found, is_found_in_part;
    enum scanner_answer answer = read_copy(data + 1, size - 1, number, &used, &is_found);

    assert(used <= size - 1);
    if (used > 0) { /* it was whole then, and not before */
        check_whole(data + 1, used, number, answer, is_found);
        assert(read_copy(data + 1, used, number, &used_of_part, &is_found_in_part) == answer);
        assert(used_of_part == used && is_found_in_part == is_found);
        if (used <= CLAMD_ANSWER_MAX)
            assert(read_copy(data + 1, used - 1, number, &used_of_part, &is_found_in_part) == SCANNER_MORE);
    } else {
        assert(answer == SCANNER_MORE || size - 1 >= CLAMD_ANSWER_MAX);
    }
    return 0;
}
