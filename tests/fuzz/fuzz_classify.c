/*
 * fuzz_classify: any bytes are a name of some class, and the class does not depend on case, a final dot or, beside no
 * address, on how none is said.
 *
 * Input: a byte of flags (bit 0: 4 bytes of IPv4 follow, bit 1: 16 bytes of IPv6 follow, as in "0": none), the address,
 * the name.
 */
#include "policy/classify.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum name_class classify(const char *name, size_t len, const struct ip *ip) {
    enum name_class class = name_classify((struct str){ name, len }, ip);
    assert(class >= NAME_ACCESS && class <= NAME_OTHER && name_class_text(class) != NULL);
    return class;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ip ip = { .family = IP_NONE };
    if (size == 0)
        return 0;
    uint8_t flags = *data++;
    size--;
    size_t n = flags & 1 ? 4 : flags & 2 ? 16 : 0;
    if (size < n)
        return 0;
    ip.family = (uint8_t)(n == 4 ? IP_V4 : n == 16 ? IP_V6 : IP_NONE);
    memcpy(ip.bytes, data, n);
    const char *name = (const char *)data + n;
    size_t len = size - n;
    enum name_class class = classify(name, len, &ip);
    if (n == 0)
        assert(classify(name, len, NULL) == class);
    if (len == 0 || len > NAME_CLASSIFY_MAX || name[len - 1] == '.')
        return 0;
    char other[NAME_CLASSIFY_MAX + 1];
    for (size_t i = 0; i < len; i++)
        other[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 32 : name[i]);
    other[len] = '.';
    assert(classify(other, len + 1, &ip) == class);
    return 0;
}
