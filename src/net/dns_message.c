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
    CHAIN_MAX = 8, /* libunbound follows as many: max-query-restarts in resolver_unbound.c */
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    CLASS_IN = 1,
    LABEL_MAX = 63,
    RCODE_NXDOMAIN = 3,
    POINTERS_MAX = 64,
    ANSWERS_MAX = 512,  /* records that are looked at in the answer section */
    AUTHORITY_MAX = 16, /* and in the one after it */
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
        bool is_odd = label[i] <= ' ' || label[i] > 126 || label[i] == '.' || label[i] == '\\';
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
    return true;
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

static void live_no_longer(struct dns_answer *answer, uint32_t ttl) {
    answer->ttl = ttl < answer->ttl ? ttl : answer->ttl;
}

/* Half a name is none; of a text, what fits is kept. */
static bool has_room(const struct dns_answer *answer, enum dns_type type) {
    bool is_name = type == DNS_PTR || type == DNS_MX;
    return answer->n < DNS_RECORDS_MAX && (!is_name || sizeof(answer->text) - answer->text_len >= DNS_NAME_MAX);
}

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
        if (record.type == TYPE_CNAME || record.type == type)
            live_no_longer(answer, record.ttl);
        if (record.type != type)
            continue;
        if (!has_room(answer, type)) {
            answer->is_cut = true;
            continue;
        }
        struct dns_record found = { 0 };
        if (!read_data(&r, &record, answer, &found))
            return false;
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

/*
 * How long it is known that there is nothing: the lower of the SOA's TTL and its MINIMUM (RFC 2308 section 5). Without
 * an SOA: 0.
 */
static uint32_t read_negative_ttl(struct reader r, unsigned n_answers, unsigned n_authority) {
    struct record record;
    unsigned n = n_answers + (n_authority < AUTHORITY_MAX ? n_authority : AUTHORITY_MAX);
    for (unsigned i = 0; i < n; i++) {
        uint32_t minimum;
        if (!take_record(&r, &record))
            return 0;
        if (i < n_answers || record.type != TYPE_SOA || record.class != CLASS_IN || record.data_len < sizeof(minimum))
            continue;
        struct reader last = { .packet = r.packet, .len = r.at, .at = r.at - sizeof(minimum) };
        return take_u32(&last, &minimum) && minimum < record.ttl ? minimum : record.ttl;
    }
    return 0;
}

struct head {
    unsigned rcode;
    uint16_t answers, authority;
    struct name name;
};

/* The header and the one question; the reader stands at the answers afterwards. */
static bool take_head(struct reader *r, enum dns_type type, struct head *head) {
    uint16_t id, flags, questions, additional, question_type, question_class;
    if (!take_u16(r, &id) || !take_u16(r, &flags) || !take_u16(r, &questions) || !take_u16(r, &head->answers)
        || !take_u16(r, &head->authority) || !take_u16(r, &additional) || questions != 1)
        return false;
    head->rcode = flags & 15;
    return take_name(r, &head->name) && take_u16(r, &question_type) && take_u16(r, &question_class)
        && question_type == type;
}

static enum dns_status status_of(const struct dns_answer *answer, unsigned rcode) {
    if (rcode == RCODE_NXDOMAIN)
        return DNS_NO_NAME;
    if (answer->n > 0)
        return DNS_FOUND;
    return answer->is_cut ? DNS_UNAVAILABLE : DNS_NO_DATA;
}

static void answer_init(struct dns_answer *answer) {
    answer->status = DNS_UNAVAILABLE;
    answer->n = 0;
    answer->is_cut = false;
    answer->ttl = 0;
    answer->text_len = 0;
}

int dns_message_parse(const void *packet, size_t len, enum dns_type type, struct dns_answer *ret_answer) {
    struct reader r = { .packet = packet, .len = len };
    struct head head;
    answer_init(ret_answer);
    if (!take_head(&r, type, &head))
        return -EBADMSG;
    if (head.rcode != 0 && head.rcode != RCODE_NXDOMAIN)
        return 0;
    unsigned n_answers = head.answers < ANSWERS_MAX ? head.answers : ANSWERS_MAX;
    ret_answer->is_cut = head.answers > ANSWERS_MAX;
    ret_answer->ttl = UINT32_MAX;
    if (!read_answer(r, n_answers, head.name, type, ret_answer)) {
        answer_init(ret_answer);
        return -EBADMSG;
    }
    if (head.rcode == RCODE_NXDOMAIN) /* what a chain of CNAMEs found on its way does not count */
        ret_answer->n = 0;
    ret_answer->status = status_of(ret_answer, head.rcode);
    if (ret_answer->n == 0)
        live_no_longer(ret_answer, ret_answer->is_cut ? 0 : read_negative_ttl(r, n_answers, head.authority));
    return 0;
}

/* ---- names that are asked about */

bool dns_name_is_possible(struct str name) {
    size_t label = 0;
    if (name.len > 0 && name.at[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > DNS_NAME_MAX - 2)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] == '\\' || (name.at[i] == '.' && label == 0))
            return false;
        label = name.at[i] == '.' ? 0 : label + 1;
        if (label > LABEL_MAX)
            return false;
    }
    return label > 0;
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
