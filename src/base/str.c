/*
 * str: what can be asked of a view of bytes.
 *
 * A view never owns, never ends in NUL and is passed by value (two registers), so parsing a command makes no copy.
 * Every function takes the empty view with a NULL pointer: memchr() and friends are not reached with it. Case folding
 * is ASCII only and blind to the locale: isalpha() and tolower() would make the meaning of a host name depend on the
 * administrator's environment.
 *
 * Rejected: NUL-terminated strings (a NUL inside an SMTP command must be seen, not end the comparison) and strtoull()
 * (takes signs, blanks and "0x", and needs a terminator).
 */
#include "base/str.h"

#include <errno.h>
#include <stdint.h>

enum { DISTANCE_MAX = 64 };

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int str_compare(struct str a, struct str b) {
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter > 0 ? memcmp(a.at, b.at, shorter) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool eq_nocase(const char *a, const char *b, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    }
    return true;
}

bool str_eq_nocase(struct str a, struct str b) {
    return a.len == b.len && eq_nocase(a.at, b.at, a.len);
}

bool str_starts_nocase(struct str s, struct str prefix) {
    return s.len >= prefix.len && eq_nocase(s.at, prefix.at, prefix.len);
}

bool str_ends_nocase(struct str s, struct str suffix) {
    /* The test for 0 keeps the pointer of an empty view out of the arithmetic. */
    return s.len >= suffix.len && (suffix.len == 0 || eq_nocase(s.at + (s.len - suffix.len), suffix.at, suffix.len));
}

size_t str_find(struct str s, char c) {
    const char *hit = s.len > 0 ? memchr(s.at, c, s.len) : NULL;
    return hit ? (size_t)(hit - s.at) : s.len;
}

size_t str_find_last(struct str s, char c) {
    const char *hit = s.len > 0 ? memrchr(s.at, c, s.len) : NULL;
    return hit ? (size_t)(hit - s.at) : s.len;
}

/* The highest bit of each byte that is zero; of those above one, which a borrow may have reached, too. */
static uint64_t zero_bytes(uint64_t word) {
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

static bool has_special(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    uint64_t control = (word - ones * ' ') & ~word & tops;
    return ((word & tops) | control | zero_bytes(word ^ ones * 0x7f) | zero_bytes(word ^ ones * '"')
            | zero_bytes(word ^ ones * '\\')) != 0;
}

static uint64_t load64(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static uint32_t load32(const char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* The last word may overlap the one before it. */
static bool is_all_plain(struct str s) {
    if (s.len < 4)
        return false;
    if (s.len < 8)
        return !has_special(load32(s.at) | (uint64_t)load32(s.at + s.len - 4) << 32);
    for (size_t i = 0; i + 8 < s.len; i += 8)
        if (has_special(load64(s.at + i)))
            return false;
    return !has_special(load64(s.at + s.len - 8));
}

size_t str_plain_len(struct str s) {
    size_t i = 0;
    if (is_all_plain(s))
        return s.len;
    while (i < s.len && s.at[i] >= ' ' && s.at[i] <= '~' && s.at[i] != '"' && s.at[i] != '\\')
        i++;
    return i;
}

/* The second byte carries all the exceptions. */
size_t str_utf8_len(struct str s) {
    const unsigned char *at = (const unsigned char *)s.at;
    unsigned char first = s.len > 0 ? at[0] : 0xff;
    if (first < 0x80)
        return 1;
    size_t n = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
    if (n == 0 || n > s.len)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

struct str str_trim(struct str s) {
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

struct str str_word(struct str *rest) {
    while (rest->len > 0 && is_blank(rest->at[0])) {
        rest->at++;
        rest->len--;
    }
    struct str word = { rest->at, 0 };
    while (word.len < rest->len && !is_blank(rest->at[word.len]))
        word.len++;
    *rest = str_from(*rest, word.len);
    return word;
}

struct str str_of_u64(unsigned long long value, char digits[U64_DIGITS_MAX]) {
    size_t at = U64_DIGITS_MAX;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return (struct str){ digits + at, U64_DIGITS_MAX - at };
}

int str_to_u64(struct str s, unsigned long long max, unsigned long long *ret_value) {
    unsigned long long value = 0;
    bool is_over = false;
    if (s.len == 0)
        return -EINVAL;
    /* The digits are read to the end even past the maximum: "99x" is no number, whatever the maximum. */
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return -EINVAL;
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (is_over || digit > max || value > (max - digit) / 10)
            is_over = true;
        else
            value = value * 10 + digit;
    }
    if (is_over)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int str_to_span(struct str s, unsigned long long max_s, unsigned long long *ret_s) {
    static const struct {
        char letter;
        unsigned seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    for (size_t i = 0; s.len > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (s.at[s.len - 1] != units[i].letter)
            continue;
        int r = str_to_u64(str_head(s, s.len - 1), max_s / units[i].seconds, ret_s);
        if (r == 0)
            *ret_s *= units[i].seconds;
        return r;
    }
    return -EINVAL;
}

static size_t min3(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* The restricted form (optimal string alignment): three rows of the table are alive at a time. */
size_t str_distance(struct str a, struct str b) {
    size_t rows[3][DISTANCE_MAX + 1];
    if (a.len > DISTANCE_MAX || b.len > DISTANCE_MAX)
        return SIZE_MAX;
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        above[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        char x = ascii_lower(a.at[i - 1]);
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            char y = ascii_lower(b.at[j - 1]);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            bool is_swap = i > 1 && j > 1 && x == ascii_lower(b.at[j - 2]) && ascii_lower(a.at[i - 2]) == y;
            if (is_swap && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b.len];
}
