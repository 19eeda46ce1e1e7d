/*
 * address: what is a mailbox, and which mailbox is it?
 *
 * One pass over each part with a table of byte classes: find how far the local part goes, the '@', how far the domain
 * goes. UTF-8 is not a second grammar: RFC 6531 3.3 adds its bytes to atext, qtextSMTP and sub-domain, so the table has
 * them in these classes, and a text that turns out to have any is held against allow_utf8 and RFC 3629 at the end.
 * The order of complaints follows from that: syntax, then UTF-8, then length.
 *
 * Departures from RFC 5321 4.1.2 (all of them in docs/rfc.md):
 *   - '_' may stand in a domain wherever a letter may: many working mail hosts have one in their name.
 *   - General-address-literal is refused: no tag but IPv6 was ever registered (4.1.3), and none could be answered.
 *   - A domain may not end in a dot, as the grammar says; "user@example.com." is a syntax error, not user@example.com.
 *
 * Rejected: unescaping while parsing. It needs a buffer for every address, and the mailbox server must see what the
 * client wrote.
 */
#include "smtp/address.h"

#include <errno.h>

enum {
    ATEXT = 1 << 0,  /* RFC 5322 3.2.3, with RFC 6531 */
    QTEXT = 1 << 1,  /* qtextSMTP, RFC 5321 4.1.2, with RFC 6531 */
    LABEL = 1 << 2,  /* in a label of a domain name: Let-dig, '-', '_', UTF-8 */
    XCHAR = 1 << 3,  /* stands for itself in xtext, RFC 3461 4 */
    LABEL_BYTES_MAX = 63,
};

static const uint8_t classes[256] = {
    [' '] = QTEXT,
    ['!'] = ATEXT | QTEXT | XCHAR,
    ['"'] = XCHAR,
    ['#' ... '\''] = ATEXT | QTEXT | XCHAR,
    ['(' ... ')'] = QTEXT | XCHAR,
    ['*'] = ATEXT | QTEXT | XCHAR,
    ['+'] = ATEXT | QTEXT,
    [','] = QTEXT | XCHAR,
    ['-'] = ATEXT | QTEXT | LABEL | XCHAR,
    ['.'] = QTEXT | XCHAR,
    ['/'] = ATEXT | QTEXT | XCHAR,
    ['0' ... '9'] = ATEXT | QTEXT | LABEL | XCHAR,
    [':' ... '<'] = QTEXT | XCHAR,
    ['='] = ATEXT | QTEXT,
    ['>'] = QTEXT | XCHAR,
    ['?'] = ATEXT | QTEXT | XCHAR,
    ['@'] = QTEXT | XCHAR,
    ['A' ... 'Z'] = ATEXT | QTEXT | LABEL | XCHAR,
    ['['] = QTEXT | XCHAR,
    ['\\'] = XCHAR,
    [']'] = QTEXT | XCHAR,
    ['^'] = ATEXT | QTEXT | XCHAR,
    ['_'] = ATEXT | QTEXT | LABEL | XCHAR,
    ['`'] = ATEXT | QTEXT | XCHAR,
    ['a' ... 'z'] = ATEXT | QTEXT | LABEL | XCHAR,
    ['{' ... '~'] = ATEXT | QTEXT | XCHAR,
    [0x80 ... 0xff] = ATEXT | QTEXT | LABEL,
};

static inline bool is_class(char c, unsigned class) {
    return (classes[(unsigned char)c] & class) != 0;
}

static inline bool starts_with(struct str s, char c) {
    return s.len > 0 && s.at[0] == c;
}

/* ---- how far does it go: each returns the length at the start of `text`, 0 when there is none */

/*
 * Dot-string = Atom *("." Atom), but dots may stand anywhere: some providers gave out addresses such as a..b@ and a.@,
 * their mail is wanted, and whether one of ours is such an address the directory knows.
 */
static size_t dot_string_len(struct str text) {
    size_t i = 0;
    while (i < text.len && (is_class(text.at[i], ATEXT) || text.at[i] == '.'))
        i++;
    return i;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE; a quoted pair is a backslash and one of %d32-126 */
static size_t quoted_string_len(struct str text) {
    size_t i = 1;
    while (i < text.len) {
        if (text.at[i] == '"')
            return i + 1;
        if (text.at[i] == '\\') {
            if (++i == text.len || text.at[i] < 32 || text.at[i] > 126)
                return 0;
        } else if (!is_class(text.at[i], QTEXT)) {
            return 0;
        }
        i++;
    }
    return 0;
}

/*
 * sub-domain = Let-dig [Ldh-str]. The 63 octets of RFC 1035 are those of the A-label; a U-label is counted in
 * characters, which are never more than the octets of its A-label.
 */
static size_t label_len(struct str text) {
    size_t n = 0;
    size_t characters = 0;
    while (n < text.len && is_class(text.at[n], LABEL)) {
        characters += (text.at[n] & 0xc0) != 0x80;
        n++;
    }
    if (n == 0 || text.at[0] == '-' || text.at[n - 1] == '-' || characters > LABEL_BYTES_MAX)
        return 0;
    return n;
}

static size_t domain_len(struct str text) {
    size_t i = 0;
    for (;;) {
        size_t n = label_len(str_from(text, i));
        if (n == 0)
            return 0;
        i += n;
        if (i == text.len || text.at[i] != '.')
            return i;
        i++;
    }
}

static size_t literal_len(struct str text) {
    size_t n = str_find(text, ']');
    struct ip ip;
    if (n == text.len || smtp_literal_parse(str_head(text, n + 1), &ip) < 0)
        return 0;
    return n + 1;
}

/* ---- UTF-8 */

bool smtp_utf8_is_valid(struct str text) {
    size_t i = 0;
    while (i < text.len) {
        size_t n = str_utf8_len(str_from(text, i));
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static bool has_high_byte(struct str text) {
    unsigned char all = 0;
    for (size_t i = 0; i < text.len; i++)
        all |= (unsigned char)text.at[i];
    return all >= 0x80;
}

/* ---- parsing */

/* Mailbox = Local-part "@" ( Domain / address-literal ), taken off the front of `*rest`; lengths are judged later. */
static bool mailbox_take(struct str *rest, struct smtp_address *a) {
    a->is_quoted = starts_with(*rest, '"');
    size_t n = a->is_quoted ? quoted_string_len(*rest) : dot_string_len(*rest);
    if (n == 0 || n == rest->len || rest->at[n] != '@')
        return false;
    a->local = str_head(*rest, n);
    struct str behind = str_from(*rest, n + 1);
    a->is_literal = starts_with(behind, '[');
    size_t m = a->is_literal ? literal_len(behind) : domain_len(behind);
    if (m == 0)
        return false;
    a->domain = str_head(behind, m);
    a->text = str_head(*rest, n + 1 + m);
    a->is_utf8 = has_high_byte(a->text);
    *rest = str_from(behind, m);
    return true;
}

static enum smtp_address_result mailbox_judge(const struct smtp_address *a, bool allow_utf8) {
    if (a->is_utf8 && !(allow_utf8 && smtp_utf8_is_valid(a->text)))
        return SMTP_ADDRESS_UTF8;
    if (a->local.len > SMTP_LOCAL_MAX || a->domain.len > SMTP_DOMAIN_MAX || a->text.len + 2 > SMTP_PATH_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    return SMTP_ADDRESS_OK;
}

/* A-d-l ":", that is "@a,@b:"; the receiver strips it (RFC 5321 4.1.1.3, appendix C). */
static bool route_skip(struct str *rest) {
    while (starts_with(*rest, '@')) {
        size_t n = domain_len(str_from(*rest, 1));
        if (n == 0 || n + 1 == rest->len)
            return false;
        char end = rest->at[n + 1];
        *rest = str_from(*rest, n + 2);
        if (end == ':')
            return true;
        if (end != ',' || !starts_with(*rest, '@'))
            return false;
    }
    return true;
}

enum smtp_address_result smtp_path_parse(struct str *rest, bool allow_null, bool allow_postmaster, bool allow_utf8,
                                         struct smtp_address *ret_address) {
    if (!starts_with(*rest, '<'))
        return SMTP_ADDRESS_SYNTAX;
    struct smtp_address a = { .text = { NULL, 0 } };
    struct str behind = str_from(*rest, 1);
    if (starts_with(behind, '>')) { /* RFC 5321 4.5.5 */
        if (!allow_null)
            return SMTP_ADDRESS_SYNTAX;
        a.text = a.local = a.domain = str_head(behind, 0);
    } else if (allow_postmaster && str_starts_nocase(behind, STR("postmaster>"))) { /* RFC 5321 4.1.1.3, 4.5.1 */
        a.text = a.local = str_head(behind, strlen("postmaster"));
        behind = str_from(behind, a.text.len);
        a.domain = str_head(behind, 0);
    } else {
        if (!route_skip(&behind) || !mailbox_take(&behind, &a) || !starts_with(behind, '>'))
            return SMTP_ADDRESS_SYNTAX;
        enum smtp_address_result result = mailbox_judge(&a, allow_utf8);
        if (result != SMTP_ADDRESS_OK)
            return result;
    }
    behind = str_from(behind, 1);
    if (rest->len - behind.len > SMTP_PATH_MAX)
        return SMTP_ADDRESS_TOO_LONG;
    *rest = behind;
    *ret_address = a;
    return SMTP_ADDRESS_OK;
}

enum smtp_address_result smtp_address_parse(struct str text, bool allow_utf8, struct smtp_address *ret_address) {
    struct smtp_address a;
    if (!mailbox_take(&text, &a) || text.len > 0)
        return SMTP_ADDRESS_SYNTAX;
    enum smtp_address_result result = mailbox_judge(&a, allow_utf8);
    if (result == SMTP_ADDRESS_OK)
        *ret_address = a;
    return result;
}

enum smtp_address_result smtp_domain_parse(struct str text, bool allow_literal, bool allow_utf8) {
    if (starts_with(text, '[')) {
        struct ip ip;
        return allow_literal && smtp_literal_parse(text, &ip) == 0 ? SMTP_ADDRESS_OK : SMTP_ADDRESS_SYNTAX;
    }
    if (text.len == 0 || domain_len(text) != text.len)
        return SMTP_ADDRESS_SYNTAX;
    if (has_high_byte(text) && !(allow_utf8 && smtp_utf8_is_valid(text)))
        return SMTP_ADDRESS_UTF8;
    return text.len > SMTP_DOMAIN_MAX ? SMTP_ADDRESS_TOO_LONG : SMTP_ADDRESS_OK;
}

/* RFC 5321 4.1.3: a tag says that it is IPv6, none that it is IPv4; neither may hold the other. */
int smtp_literal_parse(struct str text, struct ip *ret_ip) {
    if (text.len < 2 || text.at[0] != '[' || text.at[text.len - 1] != ']')
        return -EINVAL;
    struct str inner = { text.at + 1, text.len - 2 };
    bool is_ipv6 = str_starts_nocase(inner, STR("IPv6:"));
    if (is_ipv6)
        inner = str_from(inner, strlen("IPv6:"));
    if ((str_find(inner, ':') < inner.len) != is_ipv6)
        return -EINVAL;
    return ip_parse(inner, ret_ip) < 0 ? -EINVAL : 0;
}

/* ---- the local part */

size_t smtp_local_canonical(const struct smtp_address *address, char out[SMTP_LOCAL_MAX]) {
    struct str local = address->local;
    if (address->is_quoted)
        local = (struct str){ local.at + 1, local.len - 2 };
    size_t n = 0;
    for (size_t i = 0; i < local.len && n < SMTP_LOCAL_MAX; i++) {
        if (address->is_quoted && local.at[i] == '\\' && i + 1 < local.len)
            i++;
        out[n++] = ascii_lower(local.at[i]);
    }
    return n;
}

struct str smtp_local_without_detail(struct str canonical, const char *delimiters) {
    size_t n = 0;
    while (n < canonical.len && (canonical.at[n] == '\0' || strchr(delimiters, canonical.at[n]) == NULL))
        n++;
    return n == 0 ? canonical : str_head(canonical, n);
}

/* ---- xtext */

/* RFC 3461 4: hexchar is "+" and two upper case hexadecimal digits. */
static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Takes one character off the front of `*rest`, which is not empty. Returns its value or -1. */
static int xtext_next(struct str *rest) {
    char c = rest->at[0];
    if (c != '+') {
        *rest = str_from(*rest, 1);
        return is_class(c, XCHAR) ? (unsigned char)c : -1;
    }
    if (rest->len < 3)
        return -1;
    int high = hex_value(rest->at[1]);
    int low = hex_value(rest->at[2]);
    *rest = str_from(*rest, 3);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool xtext_is_valid(struct str text) {
    while (text.len > 0) {
        if (xtext_next(&text) < 0)
            return false;
    }
    return true;
}

int xtext_encode(struct str text, struct buf *out) {
    static const char digits[] = "0123456789ABCDEF";
    uint32_t before = out->len;
    int error = 0;
    for (size_t i = 0; i < text.len && error == 0; i++) {
        unsigned char c = (unsigned char)text.at[i];
        char hex[3] = { '+', digits[c >> 4], digits[c & 15] };
        error = is_class(text.at[i], XCHAR) ? buf_putc(out, text.at[i]) : buf_put(out, hex, sizeof(hex));
    }
    if (error < 0)
        out->len = before;
    return error;
}

int xtext_decode(struct str text, struct buf *out) {
    uint32_t before = out->len;
    int error = 0;
    while (text.len > 0 && error == 0) {
        int c = xtext_next(&text);
        error = c < 0 ? -EINVAL : buf_putc(out, (char)c);
    }
    if (error < 0)
        out->len = before;
    return error;
}
