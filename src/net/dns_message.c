/*
 * dns_message: a reader that walks one packet and trusts no length in it.
 *
 * Every step goes through take(), which knows how much is left; compression pointers must lead backwards, which bounds
 * them by the packet. The answer section is walked once for each CNAME followed (at most CHAIN_MAX), so that the order
 * of records does not matter and no list of them has to be kept.
 *
 * Rejected: ldns and libunbound's own parsers (they allocate a tree for four record types), and reading names without
 * lower-casing (each user would have to).
 */
#include "net/dns_message.h"

#include <errno.h>
#include <stdio.h>

enum {
    HEADER_LEN = 12,
    CHAIN_MAX = 16,
    TYPE_CNAME = 5,
    CLASS_IN = 1,
    RCODE_NXDOMAIN = 3,
    POINTERS_MAX = 64,
    ANSWERS_MAX = 512,
};

struct reader {
    const uint8_t *packet;
    size_t len, at;
};

struct name {
    char text[DNS_NAME_MAX + 1];
    size_t len;
};

struct record {
    struct name owner;
    uint16_t type, class;
    uint32_t ttl;
    size_t data, data_len; /* where in the packet */
};

static bool take(struct reader *r, size_t len, const uint8_t **ret) {
    if (len > r->len - r->at)
        return false;
    *ret = r->packet + r->at;
    r->at += len;
    return true;
}

static bool take_u16(struct reader *r, uint16_t *ret) {
    const uint8_t *at;
    if (!take(r, 2, &at))
        return false;
    *ret = (uint16_t)(at[0] << 8 | at[1]);
    return true;
}

static bool take_u32(struct reader *r, uint32_t *ret) {
    uint16_t high, low;
    if (!take_u16(r, &high) || !take_u16(r, &low))
        return false;
    *ret = (uint32_t)high << 16 | low;
    return true;
}

static bool put_label(struct name *name, const uint8_t *label, size_t len) {
    if (name->len + len + 1 > DNS_NAME_MAX)
        return false;
    if (name->len > 0)
        name->text[name->len++] = '.';
    for (size_t i = 0; i < len; i++) {
        bool is_odd = label[i] <= ' ' || label[i] > 126 || label[i] == '.';
        name->text[name->len++] = is_odd ? '?' : ascii_lower((char)label[i]);
    }
    return true;
}

/* A name, compressed or not (RFC 1035 4.1.4); the reader stands behind it afterwards. */
static bool take_name(struct reader *r, struct name *name) {
    struct reader jump = *r;
    struct reader *from = r;
    size_t limit = r->at; /* a pointer leads to before where we are */
    name->len = 0;
    for (int pointers = 0; pointers < POINTERS_MAX;) {
        const uint8_t *at, *label;
        if (!take(from, 1, &at))
            return false;
        if (*at == 0) {
            name->text[name->len] = '\0';
            return true;
        }
        if (*at < 64) {
            if (!take(from, *at, &label) || !put_label(name, label, *at))
                return false;
            continue;
        }
        if (*at < 192 || !take(from, 1, &label))
            return false;
        size_t target = (size_t)(*at & 63) << 8 | *label;
        if (target >= limit)
            return false;
        jump.at = limit = target;
        from = &jump;
        pointers++;
    }
    return false;
}

static bool take_record(struct reader *r, struct record *record) {
    uint16_t data_len;
    const uint8_t *data;
    if (!take_name(r, &record->owner) || !take_u16(r, &record->type) || !take_u16(r, &record->class)
        || !take_u32(r, &record->ttl) || !take_u16(r, &data_len))
        return false;
    record->data = r->at;
    record->data_len = data_len;
    return take(r, data_len, &data);
}

/* ---- one record's data */

static struct str keep_text(struct dns_answer *answer, const char *text, size_t len) {
    if (len > sizeof(answer->text) - answer->text_len) {
        len = sizeof(answer->text) - answer->text_len;
        answer->is_cut = true;
    }
    char *to = answer->text + answer->text_len;
    memcpy(to, text, len);
    answer->text_len = (uint16_t)(answer->text_len + len);
    return (struct str){ to, len };
}

/* TXT: one or more strings of at most 255 bytes, which belong together. */
static bool read_strings(struct reader r, struct dns_answer *answer, struct dns_record *ret) {
    ret->text = (struct str){ answer->text + answer->text_len, 0 };
    while (r.at < r.len) {
        const uint8_t *len, *text;
        if (!take(&r, 1, &len) || !take(&r, *len, &text))
            return false;
        ret->text.len += keep_text(answer, (const char *)text, *len).len;
    }
    return true;
}

static bool read_name(struct reader r, struct dns_answer *answer, struct dns_record *ret) {
    struct name name;
    if (!take_name(&r, &name) || r.at != r.len)
        return false;
    ret->text = keep_text(answer, name.text, name.len);
    return ret->text.len == name.len; /* half a name is none */
}

static bool read_data(const struct reader *r, const struct record *record, struct dns_answer *answer,
                      struct dns_record *ret) {
    struct reader data = { .packet = r->packet, .len = record->data + record->data_len, .at = record->data };
    switch (record->type) {
    case DNS_A:
    case DNS_AAAA:
        ret->ip.family = record->type == DNS_A ? IP_V4 : IP_V6;
        if (record->data_len != (record->type == DNS_A ? 4 : 16))
            return false;
        memcpy(ret->ip.bytes, r->packet + record->data, record->data_len);
        return true;
    case DNS_MX:
        return take_u16(&data, &ret->preference) && read_name(data, answer, ret);
    case DNS_PTR:
        return read_name(data, answer, ret);
    case DNS_TXT:
        return read_strings(data, answer, ret);
    default:
        return false;
    }
}

/* ---- the answer */

/* Walks the answer section once: keeps records of `type` at `name`, and says where a CNAME leads. */
static bool walk(struct reader r, unsigned n_answers, const struct name *name, enum dns_type type,
                 struct dns_answer *answer, struct name *ret_alias) {
    ret_alias->len = 0;
    for (unsigned i = 0; i < n_answers; i++) {
        struct record record;
        if (!take_record(&r, &record))
            return false;
        if (record.class != CLASS_IN || record.owner.len != name->len
            || memcmp(record.owner.text, name->text, name->len) != 0)
            continue;
        struct reader data = { .packet = r.packet, .len = record.data + record.data_len, .at = record.data };
        if (record.type == TYPE_CNAME && !take_name(&data, ret_alias))
            return false;
        if (record.type != type)
            continue;
        if (answer->n == DNS_RECORDS_MAX) {
            answer->is_cut = true;
            continue;
        }
        struct dns_record found = { 0 };
        if (!read_data(&r, &record, answer, &found))
            return false;
        answer->ttl = answer->n == 0 || record.ttl < answer->ttl ? record.ttl : answer->ttl;
        answer->records[answer->n++] = found;
    }
    return true;
}

static bool read_answer(struct reader r, unsigned n_answers, struct name name, enum dns_type type,
                        struct dns_answer *answer) {
    for (int hops = 0; hops < CHAIN_MAX; hops++) {
        struct name alias;
        if (!walk(r, n_answers, &name, type, answer, &alias))
            return false;
        if (answer->n > 0 || alias.len == 0)
            return true;
        name = alias;
    }
    return false; /* a chain without end */
}

int dns_message_parse(const void *packet, size_t len, enum dns_type type, struct dns_answer *ret_answer) {
    struct reader r = { .packet = packet, .len = len };
    uint16_t id, flags, questions, answers, authority, additional, question_type, question_class;
    struct name name;
    ret_answer->status = DNS_UNAVAILABLE;
    ret_answer->n = 0;
    ret_answer->is_cut = false;
    ret_answer->ttl = 0;
    ret_answer->text_len = 0;
    if (!take_u16(&r, &id) || !take_u16(&r, &flags) || !take_u16(&r, &questions) || !take_u16(&r, &answers)
        || !take_u16(&r, &authority) || !take_u16(&r, &additional) || questions != 1 || answers > ANSWERS_MAX)
        return -EBADMSG;
    if (!take_name(&r, &name) || !take_u16(&r, &question_type) || !take_u16(&r, &question_class)
        || question_type != type)
        return -EBADMSG;
    unsigned rcode = flags & 15;
    if (rcode != 0 && rcode != RCODE_NXDOMAIN)
        return 0;
    if (!read_answer(r, answers, name, type, ret_answer)) {
        ret_answer->n = 0;
        return -EBADMSG;
    }
    if (rcode == RCODE_NXDOMAIN) /* what a chain of CNAMEs found on its way does not count */
        ret_answer->n = 0;
    ret_answer->status = rcode == RCODE_NXDOMAIN ? DNS_NO_NAME : ret_answer->n > 0 ? DNS_FOUND : DNS_NO_DATA;
    return 0;
}

/* ---- names for addresses */

struct str dns_reverse_suffix(const struct ip *ip) {
    return ip->family == IP_V4 ? STR(".in-addr.arpa") : STR(".ip6.arpa");
}

size_t dns_reverse_name(const struct ip *ip, struct str suffix, char out[DNS_NAME_MAX + 1]) {
    static const char digits[] = "0123456789abcdef";
    size_t len = 0;
    if (ip->family == IP_V4) {
        len = (size_t)snprintf(out, DNS_NAME_MAX, "%u.%u.%u.%u", ip->bytes[3], ip->bytes[2], ip->bytes[1],
                               ip->bytes[0]);
    } else {
        for (int i = 15; i >= 0; i--) {
            out[len++] = digits[ip->bytes[i] & 15];
            out[len++] = '.';
            out[len++] = digits[ip->bytes[i] >> 4];
            if (i > 0)
                out[len++] = '.';
        }
    }
    if (len + suffix.len > DNS_NAME_MAX)
        return 0;
    memcpy(out + len, suffix.at, suffix.len);
    out[len + suffix.len] = '\0';
    return len + suffix.len;
}
