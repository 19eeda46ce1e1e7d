/*
 * dnsbl_question: what is asked of a block list, and what do its answers mean? (RFC 5782 2)
 *
 * An answer is believed whole or not at all: one address that no list would give (a web server's, since the zone's
 * domain was parked; 127.255.255.254, since the list does not serve our resolver) makes all of it nonsense, whatever
 * else it holds. Which codes count is the administrator's choice and a later question.
 */
#include "facts/dnsbl_trust.h"

static uint32_t ipv4_number(const struct ip *ip) {
    return (uint32_t)ip->bytes[0] << 24 | (uint32_t)ip->bytes[1] << 16 | (uint32_t)ip->bytes[2] << 8 | ip->bytes[3];
}

bool dnsbl_is_code(const struct ip *ip, uint32_t *ret_code) {
    uint32_t code = ipv4_number(ip);
    if (ip->family != IP_V4 || code >> 24 != 127 || code >> 8 == 0x7fffff) /* RFC 5782 2.1; 127.255.255.0/24 */
        return false;
    *ret_code = code;
    return true;
}

enum dnsbl_reading dnsbl_read(const struct dns_answer *answer) {
    uint32_t code;
    switch (answer->status) {
    case DNS_FOUND:
        break;
    case DNS_NO_DATA:
    case DNS_NO_NAME:
    case DNS_BAD_NAME:
        return DNSBL_READ_CLEAN;
    case DNS_UNAVAILABLE:
        return DNSBL_READ_NOTHING;
    }
    for (unsigned i = 0; i < answer->n; i++)
        if (!dnsbl_is_code(&answer->records[i].ip, &code))
            return DNSBL_READ_NONSENSE;
    return DNSBL_READ_LISTED;
}

/* ".key.zone" or ".zone"; 0 when it does not fit. */
static size_t put_suffix(const struct conf_block_list *list, char out[DNS_NAME_MAX + 1]) {
    const struct str parts[] = { str_of(list->key), str_of(list->zone) };
    size_t len = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (parts[i].len == 0)
            continue;
        if (len + 1 + parts[i].len > DNS_NAME_MAX)
            return 0;
        out[len++] = '.';
        memcpy(out + len, parts[i].at, parts[i].len);
        len += parts[i].len;
    }
    return len;
}

size_t dnsbl_question(const struct conf_block_list *list, const struct ip *ip, struct str name,
                      char out[DNS_NAME_MAX + 1]) {
    char suffix[DNS_NAME_MAX + 1];
    size_t len = put_suffix(list, suffix);
    if (len == 0)
        return 0;
    if (ip != NULL)
        return dns_reverse_name(ip, (struct str){ suffix, len }, out);
    if (name.len > 0 && name.at[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len + len > DNS_NAME_MAX || memchr(name.at, '\0', name.len) != NULL)
        return 0;
    memcpy(out, name.at, name.len);
    memcpy(out + name.len, suffix, len);
    out[name.len + len] = '\0';
    return name.len + len;
}
