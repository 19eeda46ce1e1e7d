/*
 * addr: IP addresses as values.
 *
 * One client has one identity: a mapped IPv4 address (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2) turns into the IPv4
 * address at each of the two doors by which an address comes in, text and sockaddr, and so nothing behind them has to
 * think of it. The unused bytes of an IPv4 address stay 0, so that comparing all 17 bytes is comparing addresses.
 *
 * Text is parsed by inet_pton(), which takes neither the octal nor the short forms of inet_aton(): "010.1" is no
 * address. Scope ids ("%eth0") are not taken: a link-local mail client has no meaning here. IPv4 is written by hand and
 * IPv6 by inet_ntop(), which follows RFC 5952 but writes ::a.b.c.d with dots, as the same RFC permits (section 5).
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

static struct ip ip_from_v4(const void *bytes) {
    struct ip ip = { .family = IP_V4 };
    memcpy(ip.bytes, bytes, 4);
    return ip;
}

static struct ip ip_from_v6(const void *bytes) {
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
        return ip_from_v4((const uint8_t *)bytes + 12);
    struct ip ip = { .family = IP_V6 };
    memcpy(ip.bytes, bytes, 16);
    return ip;
}

int ip_parse(struct str text, struct ip *ret_ip) {
    char copy[IP_TEXT_MAX];
    uint8_t bytes[16];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.at, '\0', text.len))
        return -EINVAL;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, bytes) == 1)
        *ret_ip = ip_from_v4(bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        *ret_ip = ip_from_v6(bytes);
    else
        return -EINVAL;
    return 0;
}

static char *put_octet(char *out, unsigned value) {
    if (value >= 100)
        *out++ = (char)('0' + value / 100);
    if (value >= 10)
        *out++ = (char)('0' + value / 10 % 10);
    *out++ = (char)('0' + value % 10);
    return out;
}

char *ip_format(const struct ip *ip, char out[IP_TEXT_MAX]) {
    char *at = out;
    switch (ip->family) {
    case IP_V4:
        for (int i = 0; i < 4; i++) {
            at = put_octet(at, ip->bytes[i]);
            *at++ = i < 3 ? '.' : '\0';
        }
        break;
    case IP_V6:
        inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT_MAX);
        break;
    default:
        memcpy(out, "unknown", sizeof("unknown"));
    }
    return out;
}

bool ip_eq(const struct ip *a, const struct ip *b) {
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int endpoint_parse(struct str text, struct endpoint *ret_endpoint) {
    struct endpoint endpoint;
    unsigned long long port;
    size_t colon = str_find_last(text, ':');
    struct str host = str_head(text, colon);
    bool has_brackets = host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
    if (colon == text.len)
        return -EINVAL;
    if (has_brackets)
        host = (struct str){ host.at + 1, host.len - 2 };
    /* Brackets exactly where the address has colons, or "::1:25" would be read as a port (RFC 3986 section 3.2.2). */
    bool has_colons = str_find(host, ':') < host.len;
    if (has_brackets != has_colons || ip_parse(host, &endpoint.ip) < 0)
        return -EINVAL;
    if (str_to_u64(str_from(text, colon + 1), UINT16_MAX, &port) < 0)
        return -EINVAL;
    endpoint.port = (uint16_t)port;
    *ret_endpoint = endpoint;
    return 0;
}

char *endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_MAX]) {
    char ip[IP_TEXT_MAX];
    bool is_v6 = endpoint->ip.family == IP_V6;
    snprintf(out, ENDPOINT_TEXT_MAX, "%s%s%s:%u", is_v6 ? "[" : "", ip_format(&endpoint->ip, ip), is_v6 ? "]" : "",
             endpoint->port);
    return out;
}

struct endpoint endpoint_from_sockaddr(const struct sockaddr_storage *from) {
    struct endpoint endpoint = { .ip.family = IP_NONE };
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        endpoint.ip = ip_from_v4(&in->sin_addr);
        endpoint.port = ntohs(in->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        endpoint.ip = ip_from_v6(&in6->sin6_addr);
        endpoint.port = ntohs(in6->sin6_port);
    }
    return endpoint;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_to) {
    memset(ret_to, 0, sizeof(*ret_to));
    if (endpoint->ip.family == IP_V4) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret_to;
        in->sin_family = AF_INET;
        in->sin_port = htons(endpoint->port);
        memcpy(&in->sin_addr, endpoint->ip.bytes, 4);
        return sizeof(*in);
    }
    if (endpoint->ip.family == IP_V6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_to;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(endpoint->port);
        memcpy(&in6->sin6_addr, endpoint->ip.bytes, 16);
        return sizeof(*in6);
    }
    ret_to->ss_family = AF_UNSPEC;
    return 0;
}

/* True when the first `bits` bits of both are the same. */
static bool bits_eq(const uint8_t *a, const uint8_t *b, unsigned bits) {
    unsigned bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, b, bytes) != 0)
        return false;
    return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

static bool has_host_bits(const struct cidr *cidr) {
    static const uint8_t zero[16];
    unsigned bytes = cidr->bits / 8, rest = cidr->bits % 8;
    if (rest > 0 && (uint8_t)(cidr->ip.bytes[bytes] << rest) != 0)
        return true;
    bytes += rest > 0;
    return memcmp(cidr->ip.bytes + bytes, zero, 16 - bytes) != 0;
}

int cidr_parse(struct str text, struct cidr *ret_cidr) {
    struct cidr cidr;
    size_t slash = str_find(text, '/');
    struct str address = str_head(text, slash);
    if (ip_parse(address, &cidr.ip) < 0)
        return -EINVAL;
    unsigned long long bits = cidr.ip.family == IP_V4 ? 32 : 128;
    /* "::ffff:192.0.2.0/120" counts its bits in IPv6, while the address has become an IPv4 one. */
    unsigned mapped = cidr.ip.family == IP_V4 && str_find(address, ':') < address.len ? 96 : 0;
    bits += mapped;
    if (slash < text.len && (str_to_u64(str_from(text, slash + 1), bits, &bits) < 0 || bits < mapped))
        return -EINVAL;
    cidr.bits = (uint8_t)(bits - mapped);
    if (has_host_bits(&cidr))
        return -EINVAL;
    *ret_cidr = cidr;
    return 0;
}

bool cidr_contains(const struct cidr *cidr, const struct ip *ip) {
    return cidr->ip.family == ip->family && ip->family != IP_NONE && bits_eq(cidr->ip.bytes, ip->bytes, cidr->bits);
}

bool cidr_list_contains(const struct cidr *list, size_t n, const struct ip *ip) {
    for (size_t i = 0; i < n; i++) {
        if (cidr_contains(&list[i], ip))
            return true;
    }
    return false;
}

static uint32_t word_at(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint64_t ip_client_key(const struct ip *ip) {
    uint64_t high = (uint64_t)word_at(ip->bytes) << 32 | word_at(ip->bytes + 4);
    /* An IPv4 address looks like a /64 within ::/32, which is given to no one (RFC 4291 section 2.4, 2000::/3 is). */
    return ip->family == IP_V6 ? high : high >> 32;
}

uint64_t ip_network_key(const struct ip *ip) {
    return ip_client_key(ip) & ~(ip->family == IP_V6 ? UINT64_C(0xffff) : UINT64_C(0xff));
}

uint32_t ip_client_slot(const struct ip *ip, uint32_t n) {
    uint32_t word = word_at(ip->bytes);
    if (ip->family == IP_V6)
        word ^= word_at(ip->bytes + 4);
    return n > 0 ? (word * 0x9E3779B1u >> 16) % n : 0;
}
