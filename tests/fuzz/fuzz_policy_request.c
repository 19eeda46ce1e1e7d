/*
 * fuzz_policy_request: a request is complete at one length and at no other: every shorter part of it says MORE, every
 * longer one the same; once BAD, more bytes do not make it good. Its values are views of its own bytes, without control
 * bytes.
 */
#include "smtp/policy_request.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PREFIXES_MAX = 2048 }; /* every shorter part is tried only of short inputs: it is quadratic */

static void check_values(const struct policy_request *request, const char *at, size_t len) {
    assert(str_eq(request->value[POLICY_REQUEST], STR("smtpd_access_policy")));
    for (unsigned i = 0; i < N_POLICY_ATTRIBUTES; i++) {
        struct str value = request->value[i];
        assert(value.len == 0 || (value.at > at && value.at + value.len < at + len));
        for (size_t n = 0; n < value.len; n++)
            assert((unsigned char)value.at[n] >= 0x20 && value.at[n] != 0x7f);
    }
}

static enum policy_request_result parse(const uint8_t *data, size_t size, size_t *ret_consumed) {
    struct policy_request request;
    char *copy = malloc(size > 0 ? size : 1);
    assert(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    enum policy_request_result result = policy_request_parse(copy, size, ret_consumed, &request);
    if (result == POLICY_REQUEST_READY)
        check_values(&request, copy, *ret_consumed);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t consumed, part_consumed;
    enum policy_request_result whole = parse(data, size, &consumed);
    assert((whole == POLICY_REQUEST_READY) == (consumed > 0));
    assert(consumed <= size && consumed <= POLICY_REQUEST_MAX);
    assert(whole != POLICY_REQUEST_MORE || size < POLICY_REQUEST_MAX);
    bool is_bad = false;
    for (size_t n = 0; n < size && size <= PREFIXES_MAX; n++) {
        enum policy_request_result part = parse(data, n, &part_consumed);
        if (whole == POLICY_REQUEST_READY && n >= consumed)
            assert(part == whole && part_consumed == consumed);
        else
            assert(part == POLICY_REQUEST_MORE || (part == POLICY_REQUEST_BAD && whole == POLICY_REQUEST_BAD));
        assert(!is_bad || part == POLICY_REQUEST_BAD);
        is_bad = part == POLICY_REQUEST_BAD;
    }
    return 0;
}
