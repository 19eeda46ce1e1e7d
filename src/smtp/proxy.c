/*
 * proxy: whom does the balancer speak for?
 *
 * Two formats that share nothing but the place where they stand; the first byte tells which. Each is refused as soon as
 * a byte cannot be right, so that a client that finds its way to a PROXY listener is closed at once and not waited for.
 *
 * Only named balancers may send this (the listener's business), so the header is trusted in what it says but not in how
 * it is written. A stream is all that SMTP runs over: UDP is an error. A client of the balancer's Unix socket has no
 * address; it counts as local, like LOCAL and UNKNOWN. TLVs are skipped: nothing in them (ALPN, TLS seen by the
 * balancer) is a fact that we use, and the checksum guards against nothing that TCP does not.
 *
 * Rejected: taking a v1 line that ends in a bare LF, or has several blanks. No balancer writes them.
 */
#include "smtp/proxy.h"

#include <netinet/in.h>

enum {
    V1_MAX = 107, /* with CRLF; proxy-protocol.txt 2.1 */
    V2_FIXED = 16,
    V2_TCP4_LEN = 12,
    V2_TCP6_LEN = 36,
};

static const char v1_start[] = "PROXY ";
static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static inline size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* ---- version 1: "PROXY TCP4 SOURCE DESTINATION SPORT DPORT\r\n" */

/* Takes a field off the front; exactly one blank stands between two. Empty: none. */
static struct str take_field(struct str *rest) {
    size_t n = str_find(*rest, ' ');
    struct str field = str_head(*rest, n);
    *rest = str_from(*rest, n + 1);
    return field;
}

static bool address_parse(struct str text, bool is_ipv6, struct ip *ret_ip) {
    bool has_colon = str_find(text, ':') < text.len;
    return has_colon == is_ipv6 && ip_parse(text, ret_ip) == 0;
}

static bool port_parse(struct str text, uint16_t *ret_port) {
    unsigned long long port;
    if (str_to_u64(text, UINT16_MAX, &port) < 0)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static enum proxy_result v1_line_parse(struct str line, struct endpoint *ret_client, struct endpoint *ret_server) {
    struct str rest = str_from(line, sizeof(v1_start) - 1);
    struct str protocol = take_field(&rest);
    if (str_eq(protocol, STR("UNKNOWN"))) /* the rest of the line is to be ignored */
        return PROXY_LOCAL;
    bool is_ipv6 = str_eq(protocol, STR("TCP6"));
    if (!is_ipv6 && !str_eq(protocol, STR("TCP4")))
        return PROXY_BAD;
    struct endpoint client, server;
    if (!address_parse(take_field(&rest), is_ipv6, &client.ip) ||
        !address_parse(take_field(&rest), is_ipv6, &server.ip))
        return PROXY_BAD;
    if (!port_parse(take_field(&rest), &client.port) || !port_parse(rest, &server.port))
        return PROXY_BAD;
    *ret_client = client;
    *ret_server = server;
    return PROXY_KNOWN;
}

static enum proxy_result v1_parse(const char *at, size_t len, size_t *ret_consumed, struct endpoint *ret_client,
                                  struct endpoint *ret_server) {
    size_t start = smaller(len, sizeof(v1_start) - 1);
    if (memcmp(at, v1_start, start) != 0)
        return PROXY_BAD;
    const char *lf = memchr(at, '\n', smaller(len, V1_MAX));
    if (lf == NULL)
        return len < V1_MAX ? PROXY_MORE : PROXY_BAD;
    size_t n = (size_t)(lf - at) + 1;
    if (n < sizeof(v1_start) - 1 + 2 || at[n - 2] != '\r')
        return PROXY_BAD;
    enum proxy_result result = v1_line_parse((struct str){ at, n - 2 }, ret_client, ret_server);
    if (result != PROXY_BAD)
        *ret_consumed = n;
    return result;
}

/* ---- version 2: signature, version and command, family and protocol, length, addresses, TLVs */

/* By way of a sockaddr, which is where mapped IPv4 addresses become IPv4. */
static struct endpoint endpoint_from_bytes(bool is_ipv6, const char *address, const char *port) {
    struct sockaddr_storage storage;
    memset(&storage, 0, sizeof(storage));
    if (is_ipv6) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
        memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
        memcpy(&in6.sin6_port, port, sizeof(in6.sin6_port));
        memcpy(&storage, &in6, sizeof(in6));
    } else {
        struct sockaddr_in in4 = { .sin_family = AF_INET };
        memcpy(&in4.sin_addr, address, sizeof(in4.sin_addr));
        memcpy(&in4.sin_port, port, sizeof(in4.sin_port));
        memcpy(&storage, &in4, sizeof(in4));
    }
    return endpoint_from_sockaddr(&storage);
}

/* What a header with this family byte will be, should its addresses be there. `*ret_min` is their length. */
static enum proxy_result v2_family(unsigned char command, unsigned char family, size_t *ret_min) {
    *ret_min = 0;
    if (command == 0x20) /* LOCAL: family and addresses are to be ignored */
        return PROXY_LOCAL;
    if (command != 0x21)
        return PROXY_BAD;
    switch (family) {
    case 0x00: /* UNSPEC */
    case 0x31: /* Unix stream */
        return PROXY_LOCAL;
    case 0x11:
        *ret_min = V2_TCP4_LEN;
        return PROXY_KNOWN;
    case 0x21:
        *ret_min = V2_TCP6_LEN;
        return PROXY_KNOWN;
    default:
        return PROXY_BAD;
    }
}

static enum proxy_result v2_parse(const char *at, size_t len, size_t *ret_consumed, struct endpoint *ret_client,
                                  struct endpoint *ret_server) {
    if (memcmp(at, v2_signature, smaller(len, sizeof(v2_signature))) != 0)
        return PROXY_BAD;
    if (len > sizeof(v2_signature) && (at[12] & 0xf0) != 0x20)
        return PROXY_BAD;
    if (len < V2_FIXED)
        return PROXY_MORE;
    size_t min;
    enum proxy_result result = v2_family((unsigned char)at[12], (unsigned char)at[13], &min);
    size_t rest = (size_t)(unsigned char)at[14] << 8 | (unsigned char)at[15];
    if (result == PROXY_BAD || rest < min || V2_FIXED + rest > PROXY_HEADER_MAX)
        return PROXY_BAD;
    if (len < V2_FIXED + rest)
        return PROXY_MORE;
    if (result == PROXY_KNOWN) {
        bool is_ipv6 = min == V2_TCP6_LEN;
        size_t size = is_ipv6 ? 16 : 4;
        const char *from = at + V2_FIXED;
        *ret_client = endpoint_from_bytes(is_ipv6, from, from + 2 * size);
        *ret_server = endpoint_from_bytes(is_ipv6, from + size, from + 2 * size + 2);
    }
    *ret_consumed = V2_FIXED + rest;
    return result;
}

enum proxy_result proxy_parse(const char *at, size_t len, size_t *ret_consumed, struct endpoint *ret_client,
                              struct endpoint *ret_server) {
    *ret_consumed = 0;
    if (len == 0)
        return PROXY_MORE;
    return at[0] == v2_signature[0] ? v2_parse(at, len, ret_consumed, ret_client, ret_server)
                                    : v1_parse(at, len, ret_consumed, ret_client, ret_server);
}
