/*
 * members: what stands in this line of JSON?
 *
 * A recursive descent by hand, over a flat array: a member knows where the next one beside it is, so neither a tree
 * nor memory of its own is needed, and one array serves a whole journal. Unescaping makes a string shorter, never
 * longer, so it happens where the string stands. Journals may have been written by others: every byte is looked at
 * with suspicion (RFC 8259: no unpaired surrogates, no control characters in strings, no leading zeros).
 *
 * Rejected: jansson (an allocation for each member: a report over a month reads tens of millions of them).
 */
#include "journal/members.h"

#include <errno.h>
#include <limits.h>

struct reader {
    char *at, *end;
    struct members *members;
};

static void skip_blanks(struct reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c) {
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* ---- strings */

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int take_hex4(struct reader *r, uint32_t *ret_code) {
    uint32_t code = 0;
    if (r->end - r->at < 4)
        return -EINVAL;
    for (int i = 0; i < 4; i++) {
        int value = hex_value(*r->at++);
        if (value < 0)
            return -EINVAL;
        code = code << 4 | (uint32_t)value;
    }
    *ret_code = code;
    return 0;
}

/* Behind "\u": one code point, of one or two such escapes. */
static int take_code_point(struct reader *r, uint32_t *ret_code) {
    uint32_t high, low;
    if (take_hex4(r, &high) < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return -EINVAL;
    *ret_code = high;
    if (high < 0xd800 || high > 0xdbff)
        return 0;
    if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
        return -EINVAL;
    r->at += 2;
    if (take_hex4(r, &low) < 0 || low < 0xdc00 || low > 0xdfff)
        return -EINVAL;
    *ret_code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return 0;
}

/* As UTF-8: at most four bytes, where six or twelve stood. */
static char *put_code_point(char *to, uint32_t code) {
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 63));
        *to++ = (char)(0x80 | (code >> 6 & 63));
        *to++ = (char)(0x80 | (code & 63));
    }
    return to;
}

static int take_escape(struct reader *r, char **to) {
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    uint32_t code;
    char c = r->at < r->end ? *r->at++ : '\0';
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    if (letter != NULL) {
        *(*to)++ = bytes[letter - letters];
        return 0;
    }
    if (c != 'u' || take_code_point(r, &code) < 0)
        return -EINVAL;
    *to = put_code_point(*to, code);
    return 0;
}

/* Behind the opening quote. */
static int take_string(struct reader *r, struct str *ret_text) {
    char *from = r->at, *to = r->at;
    while (r->at < r->end && *r->at != '"') {
        char c = *r->at++;
        if ((unsigned char)c < ' ')
            return -EINVAL;
        if (c != '\\')
            *to++ = c;
        else if (take_escape(r, &to) < 0)
            return -EINVAL;
    }
    if (r->at == r->end)
        return -EINVAL;
    r->at++;
    *ret_text = (struct str){ from, (size_t)(to - from) };
    return 0;
}

/* ---- numbers and words */

static size_t skip_digits(struct reader *r) {
    char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - from);
}

/* RFC 8259 section 6. */
static int take_number(struct reader *r, struct str *ret_text) {
    char *from = r->at;
    r->at += *r->at == '-';
    bool has_zero = r->at < r->end && *r->at == '0';
    size_t digits = skip_digits(r);
    if (digits == 0 || (has_zero && digits > 1))
        return -EINVAL;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (skip_digits(r) == 0)
            return -EINVAL;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        if (skip_digits(r) == 0)
            return -EINVAL;
    }
    *ret_text = (struct str){ from, (size_t)(r->at - from) };
    return 0;
}

static bool take_word(struct reader *r, struct str word) {
    if ((size_t)(r->end - r->at) < word.len || memcmp(r->at, word.at, word.len) != 0)
        return false;
    r->at += word.len;
    return true;
}

static int take_plain(struct reader *r, struct member *m) {
    if (take_word(r, STR("true")))
        *m = (struct member){ .name = m->name, .type = MEMBER_BOOL, .value = true };
    else if (take_word(r, STR("false")))
        *m = (struct member){ .name = m->name, .type = MEMBER_BOOL };
    else if (take_word(r, STR("null")))
        *m = (struct member){ .name = m->name, .type = MEMBER_NULL };
    else
        return -EINVAL;
    return 0;
}

/* ---- values */

static int take_value(struct reader *r, struct str name, int depth);

/* Behind the opening bracket of member number `parent`. */
static int take_inside(struct reader *r, uint16_t parent, int depth) {
    bool is_object = r->members->at[parent].type == MEMBER_OBJECT;
    char close = is_object ? '}' : ']';
    if (depth == MEMBERS_DEPTH_MAX)
        return -E2BIG;
    if (take(r, close))
        return 0;
    do {
        struct str name = { 0 };
        if (is_object && (!take(r, '"') || take_string(r, &name) < 0 || !take(r, ':')))
            return -EINVAL;
        int result = take_value(r, name, depth + 1);
        if (result < 0)
            return result;
    } while (take(r, ','));
    return take(r, close) ? 0 : -EINVAL;
}

static int take_value(struct reader *r, struct str name, int depth) {
    skip_blanks(r);
    if (r->at == r->end)
        return -EINVAL;
    if (r->members->n == MEMBERS_MAX)
        return -E2BIG;
    uint16_t index = r->members->n++;
    struct member *m = &r->members->at[index];
    int result;
    *m = (struct member){ .name = name };
    char c = *r->at;
    if (c == '{' || c == '[') {
        m->type = c == '{' ? MEMBER_OBJECT : MEMBER_ARRAY;
        r->at++;
        result = take_inside(r, index, depth);
    } else if (c == '"') {
        m->type = MEMBER_STRING;
        r->at++;
        result = take_string(r, &m->text);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        m->type = MEMBER_NUMBER;
        result = take_number(r, &m->text);
    } else {
        result = take_plain(r, m);
    }
    m->end = r->members->n;
    return result;
}

int members_parse(char *line, size_t len, struct members *ret_members) {
    struct reader r = { .at = line, .end = line + len, .members = ret_members };
    ret_members->n = 0;
    int result = take_value(&r, (struct str){ 0 }, 0);
    skip_blanks(&r);
    if (result == 0 && (r.at != r.end || ret_members->at[0].type != MEMBER_OBJECT))
        result = -EINVAL;
    if (result < 0)
        ret_members->n = 0;
    return result;
}

/* ---- looking at them */

const struct member *members_next(const struct members *members, const struct member *parent,
                                  const struct member *before) {
    if (parent == NULL)
        return NULL;
    const struct member *next = before == NULL ? parent + 1 : &members->at[before->end];
    return next < &members->at[parent->end] ? next : NULL;
}

const struct member *members_find(const struct members *members, const struct member *parent, const char *name) {
    struct str wanted = str_of(name);
    if (parent == NULL || parent->type != MEMBER_OBJECT)
        return NULL;
    for (const struct member *m = NULL; (m = members_next(members, parent, m)) != NULL;) {
        if (str_eq(m->name, wanted))
            return m;
    }
    return NULL;
}

struct str members_text(const struct members *members, const struct member *parent, const char *name) {
    const struct member *m = members_find(members, parent, name);
    return m != NULL && m->type == MEMBER_STRING ? m->text : (struct str){ 0 };
}

int members_thousandths(const struct member *member, int64_t *ret_value) {
    struct str text = member->text;
    bool is_negative = text.len > 0 && text.at[0] == '-';
    int64_t value = 0;
    int decimals = -1;
    if (member->type != MEMBER_NUMBER || str_find(text, 'e') < text.len || str_find(text, 'E') < text.len)
        return -EINVAL;
    for (size_t i = is_negative; i < text.len && decimals < 3; i++) {
        if (text.at[i] == '.') {
            decimals = 0;
            continue;
        }
        if (value > (INT64_MAX - 9) / 10)
            return -ERANGE;
        value = value * 10 + (text.at[i] - '0');
        decimals += decimals >= 0;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 3; i++) {
        if (value > INT64_MAX / 10)
            return -ERANGE;
        value *= 10;
    }
    *ret_value = is_negative ? -value : value;
    return 0;
}
