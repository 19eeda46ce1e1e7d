/*
 * fuzz_proxy: the header is complete at one length and at no other: every shorter prefix says MORE, every longer one
 * the same answer; once BAD, more bytes do not make it good.
 */
#include "smtp/proxy.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum proxy_result result;
    size_t consumed;
    struct endpoint client, server;
};

static struct outcome parse(const uint8_t *data, size_t size) {
    struct outcome o;
    memset(&o, 0, sizeof(o));
    char *copy = malloc(size > 0 ? size : 1);
    assert(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    o.result = proxy_parse(copy, size, &o.consumed, &o.client, &o.server);
    free(copy);
    return o;
}

/* Field by field: what stands in padding is nobody's. */
static bool is_equal(const struct endpoint *a, const struct endpoint *b) {
    return a->port == b->port && ip_eq(&a->ip, &b->ip);
}

static bool is_same(const struct outcome *a, const struct outcome *b) {
    if (a->result != b->result || a->consumed != b->consumed)
        return false;
    return a->result != PROXY_KNOWN || (is_equal(&a->client, &b->client) && is_equal(&a->server, &b->server));
}

static void check_endpoint(const struct endpoint *e) {
    char text[ENDPOINT_TEXT_MAX];
    struct ip ip;
    assert(e->ip.family == IP_V4 || e->ip.family == IP_V6);
    assert(ip_parse(str_of(ip_format(&e->ip, text)), &ip) == 0 && ip_eq(&ip, &e->ip));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > PROXY_HEADER_MAX + 64)
        size = PROXY_HEADER_MAX + 64;
    struct outcome whole = parse(data, size);
    bool is_done = whole.result == PROXY_KNOWN || whole.result == PROXY_LOCAL;
    assert(is_done == (whole.consumed > 0) && whole.consumed <= size);
    assert(whole.result != PROXY_MORE || size < PROXY_HEADER_MAX);
    if (whole.result == PROXY_KNOWN) {
        check_endpoint(&whole.client);
        check_endpoint(&whole.server);
        assert(whole.client.ip.family != 0);
    }
    bool is_bad = false;
    for (size_t n = 0; n < size; n++) {
        struct outcome part = parse(data, n);
        if (is_done && n >= whole.consumed)
            assert(is_same(&part, &whole));
        else if (is_done || whole.result == PROXY_MORE)
            assert(part.result == PROXY_MORE);
        else
            assert(part.result == PROXY_MORE || part.result == PROXY_BAD);
        assert(!is_bad || part.result == PROXY_BAD);
        is_bad = part.result == PROXY_BAD;
    }
    return 0;
}
