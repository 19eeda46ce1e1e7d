/*
 * greylist_question: see the header. Identities are read again, not believed: an address as ip_format() writes it, the
 * network that holds it, a name of labels in lower case.
 */
#include "store/greylist_question.h"

#include "base/addr.h"

#include <stdio.h>
#include <string.h>

static bool has_kind(struct str identity, const char *kind) {
    size_t len = strlen(kind);
    return identity.len > len && memcmp(identity.at, kind, len) == 0;
}

static struct str address_of(const struct greylist_question *question) {
    return str_from(question->identities[question->n_identities - 1], strlen("ip:"));
}

/* "192.0.2.7" or "2001:db8::/64". False: neither, or not as ip_format() writes it. */
static bool parse_client(struct str text, struct ip *ret_ip) {
    char formatted[IP_TEXT_MAX];
    struct str address = str_head(text, str_find(text, '/'));
    struct str suffix = str_from(text, address.len);
    if (ip_parse(address, ret_ip) < 0 || !str_eq(address, str_of(ip_format(ret_ip, formatted))))
        return false;
    static const uint8_t zeros[8];
    return ret_ip->family == IP_V4 ? suffix.len == 0
                                   : str_eq(suffix, STR("/64")) && memcmp(ret_ip->bytes + 8, zeros, 8) == 0;
}

static struct str network_of(struct ip ip, bool is_wide, char out[GREYLIST_NETWORK_MAX]) {
    char text[IP_TEXT_MAX];
    if (ip.family == IP_V4)
        ip.bytes[3] = 0;
    else
        memset(ip.bytes + (is_wide ? 6 : 8), 0, is_wide ? 10 : 8);
    int len = snprintf(out, GREYLIST_NETWORK_MAX, "%s/%s", ip_format(&ip, text),
                       ip.family == IP_V4 ? "24" : is_wide ? "48" : "64");
    return (struct str){ out, (size_t)len };
}

struct str greylist_question_network(const struct greylist_question *question, bool is_wide,
                                     char out[GREYLIST_NETWORK_MAX]) {
    struct ip ip;
    bool is_known = question->n_identities > 0 && parse_client(address_of(question), &ip);
    return !is_known || (is_wide && ip.family == IP_V4) ? (struct str){ out, 0 } : network_of(ip, is_wide, out);
}

static bool is_name(struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool is_label = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || (c & 0x80) != 0;
        if (!is_label && (c != '.' || i == 0 || text.at[i - 1] == '.'))
            return false;
    }
    return text.len > 0;
}

static bool is_printable(struct str text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 127)
            return false;
    return text.len > 0;
}

static bool is_network_of(struct str identity, const struct ip *ip) {
    char text[GREYLIST_NETWORK_MAX];
    return ip->family == IP_V4 && str_eq(str_from(identity, strlen("net:")), network_of(*ip, false, text));
}

static bool are_identities_sound(const struct greylist_question *q) {
    static const char *const kinds[] = { "spf:", "org:", "net:", "ip:" };
    enum { KIND_NET = 2, KIND_IP };
    struct ip ip;
    unsigned kind = 0;
    if (!has_kind(q->identities[q->n_identities - 1], "ip:") || !parse_client(address_of(q), &ip))
        return false;
    for (unsigned i = 0; i < q->n_identities; i++, kind++) {
        while (kind <= KIND_IP && !has_kind(q->identities[i], kinds[kind]))
            kind++;
        bool is_sound = kind < KIND_NET    ? is_name(str_from(q->identities[i], 4))
                        : kind == KIND_NET ? is_network_of(q->identities[i], &ip)
                                           : kind == KIND_IP;
        if (!is_sound)
            return false;
    }
    return true;
}

bool greylist_question_is_sound(const struct greylist_question *question) {
    return question->n_identities >= 1 && question->n_identities <= GREYLIST_IDENTITIES_MAX &&
           question->n_looked_up < question->n_identities && are_identities_sound(question) &&
           is_printable(question->sender) && is_printable(question->recipient) &&
           question->is_null_sender == str_eq(question->sender, STR("<>"));
}
