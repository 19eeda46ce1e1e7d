/*
 * addr: IP addresses, endpoints and prefixes as values.
 *
 * An IPv4 address mapped into IPv6 (::ffff:a.b.c.d) becomes the IPv4 address whenever one is parsed or taken from a
 * sockaddr, so that a client has one identity whichever socket it came in on.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>
#include <sys/socket.h>

enum ip_family {
    IP_NONE = 0, /* no address (all-zero struct ip) */
    IP_V4 = 4,
    IP_V6 = 6,
};

struct ip {
    uint8_t family;    /* enum ip_family */
    uint8_t bytes[16]; /* network order; IPv4 uses the first 4, the rest is 0 */
};

struct endpoint {
    struct ip ip;
    uint16_t port; /* host order; 0 for a Unix socket */
};

struct cidr {
    struct ip ip; /* host bits are 0 */
    uint8_t bits;
};

enum { IP_TEXT_MAX = 46, ENDPOINT_TEXT_MAX = 54 }; /* with the final NUL */

/* Parses a bare address, IPv4 dotted quad or IPv6. Returns 0 or -EINVAL. */
int ip_parse(struct str text, struct ip *ret_ip);

/* Writes the address as text (IPv6 by RFC 5952) and returns `out`. IP_NONE gives "unknown". */
char *ip_format(const struct ip *ip, char out[IP_TEXT_MAX]);

bool ip_eq(const struct ip *a, const struct ip *b);

/* "127.0.0.1:25", "[::1]:25". Returns 0 or -EINVAL. */
int endpoint_parse(struct str text, struct endpoint *ret_endpoint);
char *endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_MAX]);

struct endpoint endpoint_from_sockaddr(const struct sockaddr_storage *from);
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_to);

/* "192.0.2.0/24", "2001:db8::/32", or a single address. Host bits that are set: -EINVAL, as in Postfix. */
int cidr_parse(struct str text, struct cidr *ret_cidr);
bool cidr_contains(const struct cidr *cidr, const struct ip *ip);

/* True when one of `n` prefixes contains `ip`. For short lists of the configuration; large ones belong to a table. */
bool cidr_list_contains(const struct cidr *list, size_t n, const struct ip *ip);

/*
 * What limits and steering count as one client (design.md section 4): the IPv4 address, or the IPv6 /64.
 * Two clients are one exactly when their keys are equal.
 */
uint64_t ip_client_key(const struct ip *ip);

/*
 * What one party may have many clients in: the IPv4 /24, or the IPv6 /48, which is what a site is given (RFC 6177), and
 * holds 65,536 clients. Two networks are one exactly when their keys are equal.
 */
uint64_t ip_network_key(const struct ip *ip);

/*
 * Which of `n` slots a client belongs to. The same function as the classic BPF program that net/listen.c gives to the
 * kernel, so that a descriptor handed over by user space meets the worker that the kernel would have chosen:
 * h = (word * 0x9E3779B1) >> 16 over 32 bits, modulo n; word = the IPv4 address, or the first and second 32-bit word of
 * an IPv6 address XORed.
 */
uint32_t ip_client_slot(const struct ip *ip, uint32_t n);
