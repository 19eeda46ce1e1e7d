/*
 * record: one decision as one line of JSON.
 *
 * A record is written once for every recipient, so it is written by hand: straight into the journal's buffer, in runs
 * of bytes that need no escape, without a tree of values in between. The first member that finds no room makes the
 * record fail for good, and record_end() takes all of it back: the journal holds whole lines or none.
 *
 * Strings are whatever a client sent. What is not UTF-8 by RFC 3629 (overlong forms and surrogates included) becomes
 * U+FFFD, one for each byte, so that every reader of JSON takes the line. DEL and the C1 controls are valid JSON and
 * stay.
 *
 * Rejected: jansson (an allocation for each member, some 20 times slower), printf().
 */
#include "journal/record.h"

#include "base/clock.h"

#include <errno.h>

/* What a byte is within a JSON string (RFC 8259 section 7). */
enum byte_class { PLAIN, ESCAPE, MULTIBYTE };

static const uint8_t CLASSES[256] = {
    [0 ... 31] = ESCAPE,
    ['"'] = ESCAPE,
    ['\\'] = ESCAPE,
    [128 ... 255] = MULTIBYTE,
};

/* Most pieces are of a few bytes and find room: they are copied here, where the compiler knows their length. */
static inline void put(struct record *r, const char *data, size_t len) {
    struct buf *out = r->out;
    if (!r->has_failed && out->cap - out->len >= len) {
        memcpy(out->at + out->len, data, len);
        out->len += (uint32_t)len;
    } else if (!r->has_failed && buf_put(out, data, len) < 0) {
        r->has_failed = true;
    }
}

static void put_escape(struct record *r, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    static const char letters[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
    char letter = byte < ' ' ? letters[byte] : (char)byte;
    if (letter)
        put(r, (const char[]){ '\\', letter }, 2);
    else
        put(r, (const char[]){ '\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15] }, 6);
}

static void put_escaped(struct record *r, struct str s) {
    const unsigned char *bytes = (const unsigned char *)s.at;
    size_t from = 0, i = 0;
    for (;;) {
        i += str_plain_len(str_from(s, i));
        while (i < s.len && CLASSES[bytes[i]] == PLAIN)
            i++;
        size_t len = i < s.len && CLASSES[bytes[i]] == MULTIBYTE ? str_utf8_len(str_from(s, i)) : 0;
        if (len > 0) {
            i += len;
            continue;
        }
        if (i > from)
            put(r, s.at + from, i - from);
        if (i == s.len)
            return;
        if (CLASSES[bytes[i]] == ESCAPE)
            put_escape(r, bytes[i]);
        else
            put(r, "\xef\xbf\xbd", 3);
        from = ++i;
    }
}

/* The comma that is due, and the name. */
static void put_name(struct record *r, const char *name) {
    if (r->has_member)
        put(r, ",", 1);
    r->has_member = true;
    if (!name)
        return;
    put(r, "\"", 1);
    put_escaped(r, str_of(name)); /* names of tables and zones come from the configuration */
    put(r, "\":", 2);
}

void record_begin(struct record *r, struct buf *out) {
    *r = (struct record){ .out = out, .start = out->len };
    put(r, "{", 1);
}

void record_str(struct record *r, const char *name, struct str value) {
    if (!value.at || r->has_failed)
        return;
    put_name(r, name);
    put(r, "\"", 1);
    put_escaped(r, value);
    put(r, "\"", 1);
}

void record_null(struct record *r, const char *name) {
    put_name(r, name);
    put(r, "null", 4);
}

void record_u64(struct record *r, const char *name, uint64_t value) {
    char digits[U64_DIGITS_MAX];
    struct str text = str_of_u64(value, digits);
    put_name(r, name);
    put(r, text.at, text.len);
}

void record_thousandths(struct record *r, const char *name, int64_t value) {
    char text[24];
    size_t at = sizeof(text);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    for (int digit = 0; digit < 3; digit++, rest /= 10) {
        if (at < sizeof(text) || rest % 10 > 0) /* no zeros at the end */
            text[--at] = (char)('0' + rest % 10);
    }
    if (at < sizeof(text))
        text[--at] = '.';
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        text[--at] = '-';
    put_name(r, name);
    put(r, text + at, sizeof(text) - at);
}

void record_bool(struct record *r, const char *name, bool value) {
    put_name(r, name);
    put(r, value ? "true" : "false", value ? 4 : 5);
}

void record_time(struct record *r, const char *name, uint64_t wall_ms) {
    char text[CLOCK_RFC3339_MAX];
    record_str(r, name, str_of(clock_format_rfc3339(wall_ms, text)));
}

void record_ip(struct record *r, const char *name, const struct ip *ip) {
    char text[IP_TEXT_MAX];
    if (ip->family != IP_NONE)
        record_str(r, name, str_of(ip_format(ip, text)));
}

void record_open(struct record *r, const char *name, char bracket) {
    put_name(r, name);
    put(r, &bracket, 1);
    r->has_member = false;
}

void record_close(struct record *r, char bracket) {
    put(r, &bracket, 1);
    r->has_member = true;
}

struct str record_suspend(struct record *r, struct arena *arena) {
    if (r->has_failed)
        return (struct str){ 0 };
    struct str begun = arena_str(arena, str_from(buf_str(r->out), r->start));
    if (begun.at != NULL)
        r->out->len = r->start;
    return begun;
}

void record_resume(struct record *r, struct buf *out, struct str begun) {
    *r = (struct record){ .out = out, .start = out->len, .has_member = begun.len > 1 };
    put(r, begun.at, begun.len);
}

int record_end(struct record *r) {
    put(r, "}\n", 2);
    if (!r->has_failed)
        return 0;
    r->out->len = r->start;
    return -ENOBUFS;
}
