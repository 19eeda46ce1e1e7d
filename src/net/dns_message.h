/*
 * dns_message: what a DNS answer in wire format says about one question (RFC 1035 4.1, 3596).
 *
 * Pure and bounded: any bytes may come in. Names come out in lower case without the final dot; bytes that no host name
 * has (blanks, control characters, backslashes, dots inside a label, bytes above 126) come out as '?'. A chain of
 * CNAMEs inside the answer is followed; what does not belong to it is ignored.
 */
#pragma once

#include "base/addr.h"

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28 };

enum dns_status {
    DNS_FOUND,       /* at least one record of the type asked for */
    DNS_NO_DATA,     /* the name exists, without such records */
    DNS_NO_NAME,     /* NXDOMAIN */
    DNS_BAD_NAME,    /* no name that DNS could know: dns_name_is_possible() */
    DNS_UNAVAILABLE, /* no answer in time, SERVFAIL, REFUSED, nonsense, too many questions: nothing is known */
};

enum { DNS_RECORDS_MAX = 32, DNS_TEXT_MAX = 4096, DNS_NAME_MAX = 255 };

struct dns_record {
    struct ip ip;        /* A, AAAA */
    struct str text;     /* PTR, MX: the name, "" for the root (null MX); TXT: its strings, joined. In the answer */
    uint16_t preference; /* MX */
};

struct dns_answer {
    enum dns_status status;
    unsigned n;
    bool is_cut; /* there were more records, or more text, than fits */
    struct dns_record records[DNS_RECORDS_MAX];
    uint32_t ttl; /* seconds, of the record that lives shortest, aliases included; without any, of the SOA that says so
                     (RFC 2308 section 5). 0: not to be kept */
    uint16_t text_len;
    char text[DNS_TEXT_MAX];
};

/*
 * Reads what `packet` answers to its one question, of `type`. Returns 0, or -EBADMSG (status is then DNS_UNAVAILABLE).
 */
int dns_message_parse(const void *packet, size_t len, enum dns_type type, struct dns_answer *ret_answer);

/*
 * A name in presentation form that can be asked about: labels of 1 to 63 bytes, 253 in all (RFC 1035 2.3.4), with or
 * without the final dot. A backslash, which would begin an escape (5.1), is in no name that we ask about.
 */
bool dns_name_is_possible(struct str name);

/*
 * The name under which an address is looked up: "7.113.0.203" + suffix, or 32 nibbles for IPv6 (RFC 3596 2.5). For
 * PTR the suffix is ".in-addr.arpa" or ".ip6.arpa" (dns_reverse_suffix()), for a block list its zone with a dot in
 * front (RFC 5782 2.1, 2.4). Returns the length, 0 when it does not fit into DNS_NAME_MAX.
 */
size_t dns_reverse_name(const struct ip *ip, struct str suffix, char out[DNS_NAME_MAX + 1]);
struct str dns_reverse_suffix(const struct ip *ip);
