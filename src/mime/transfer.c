/*
 * transfer: see the header.
 *
 * base64: padding ends a group and not the text, since some decoders go on (RFC 2045 6.8 leaves it open). Four digits
 * that stand together are decoded at once, the rest bit by bit.
 *
 * quoted-printable: `=3D` is a byte, `=` at the end of a line joins it with the next one, blanks between them or not
 * (RFC 2045 6.7 (3): they were added on the way).
 */
#include "mime/transfer.h"

enum escape { TEXT, EQUALS, DIGIT, BLANKS /* =, then blanks */, CR };

static const int8_t base64_values[256] = { /* one more than the value; 0: none of the alphabet */
#define R(c, v) [c] = (v) + 1
    R('A', 0),  R('B', 1),  R('C', 2),  R('D', 3),  R('E', 4),  R('F', 5),  R('G', 6),  R('H', 7),  R('I', 8),
    R('J', 9),  R('K', 10), R('L', 11), R('M', 12), R('N', 13), R('O', 14), R('P', 15), R('Q', 16), R('R', 17),
    R('S', 18), R('T', 19), R('U', 20), R('V', 21), R('W', 22), R('X', 23), R('Y', 24), R('Z', 25), R('a', 26),
    R('b', 27), R('c', 28), R('d', 29), R('e', 30), R('f', 31), R('g', 32), R('h', 33), R('i', 34), R('j', 35),
    R('k', 36), R('l', 37), R('m', 38), R('n', 39), R('o', 40), R('p', 41), R('q', 42), R('r', 43), R('s', 44),
    R('t', 45), R('u', 46), R('v', 47), R('w', 48), R('x', 49), R('y', 50), R('z', 51), R('0', 52), R('1', 53),
    R('2', 54), R('3', 55), R('4', 56), R('5', 57), R('6', 58), R('7', 59), R('8', 60), R('9', 61), R('+', 62),
    R('/', 63),
#undef R
};

static inline int value_of(char c) { /* for where each character counts */
    return base64_values[(unsigned char)c] - 1;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void transfer_init(struct transfer *transfer, enum transfer_encoding encoding) {
    *transfer = (struct transfer){ .encoding = (uint8_t)encoding };
}

/* Four digits at once. False: there is something else among them. */
static bool decode_group(const char *at, char *out) {
    int a = value_of(at[0]), b = value_of(at[1]), c = value_of(at[2]), d = value_of(at[3]);
    if ((a | b | c | d) < 0)
        return false;
    uint32_t group = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | (uint32_t)d;
    out[0] = (char)(group >> 16);
    out[1] = (char)(group >> 8);
    out[2] = (char)group;
    return true;
}

static size_t decode_base64(struct transfer *t, const char *at, size_t len, size_t *ret_used, char *out, size_t room) {
    size_t n = 0, i = 0;
    while (i < len && room - n >= 3) {
        if (t->n_bits == 0 && len - i >= 4 && decode_group(at + i, out + n)) {
            i += 4;
            n += 3;
            continue;
        }
        int value = value_of(at[i]);
        if (at[i++] == '=')
            t->n_bits = 0;
        if (value < 0)
            continue;
        t->bits = t->bits << 6 | (uint32_t)value;
        t->n_bits += 6;
        if (t->n_bits >= 8) {
            t->n_bits -= 8;
            out[n++] = (char)(t->bits >> t->n_bits);
        }
    }
    *ret_used = i;
    return n;
}

/* The character behind a '='. Returns how many bytes it makes, 3 at most. */
static size_t decode_escaped(struct transfer *t, char c, char *out) {
    size_t n = 0;
    switch ((enum escape)t->escape) {
    case TEXT:
        break;
    case EQUALS:
    case BLANKS:
        if (c == '\r' || c == '\n' || c == ' ' || c == '\t') {
            t->escape = c == '\r' ? CR : c == '\n' ? TEXT : BLANKS;
            return 0;
        }
        if (t->escape == EQUALS && hex_value(c) >= 0) {
            t->escape = DIGIT;
            t->digit = c;
            return 0;
        }
        out[n++] = '=';
        break;
    case DIGIT:
        if (hex_value(c) >= 0) {
            out[0] = (char)(hex_value(t->digit) << 4 | hex_value(c));
            t->escape = TEXT;
            return 1;
        }
        out[n++] = '=';
        out[n++] = t->digit;
        break;
    case CR:
        if (c == '\n') {
            t->escape = TEXT;
            return 0;
        }
        break;
    }
    t->escape = c == '=' ? EQUALS : TEXT;
    if (c != '=')
        out[n++] = c;
    return n;
}

static size_t decode_qp(struct transfer *t, const char *at, size_t len, size_t *ret_used, char *out, size_t room) {
    size_t n = 0, i = 0;
    while (i < len && room - n >= 3) {
        if (t->escape != TEXT) {
            n += decode_escaped(t, at[i++], out + n);
            continue;
        }
        const char *equals = memchr(at + i, '=', len - i);
        size_t some = equals != NULL ? (size_t)(equals - at) - i : len - i;
        some = some < room - n ? some : room - n;
        memcpy(out + n, at + i, some);
        n += some;
        i += some;
        if (i < len && at[i] == '=') {
            t->escape = EQUALS;
            i++;
        }
    }
    *ret_used = i;
    return n;
}

size_t transfer_decode(struct transfer *t, const char *at, size_t len, size_t *ret_used, char *out, size_t room) {
    switch ((enum transfer_encoding)t->encoding) {
    case TRANSFER_BASE64:
        return decode_base64(t, at, len, ret_used, out, room);
    case TRANSFER_QP:
        return decode_qp(t, at, len, ret_used, out, room);
    case TRANSFER_IDENTITY:
        break;
    }
    *ret_used = len < room ? len : room;
    memcpy(out, at, *ret_used);
    return *ret_used;
}
