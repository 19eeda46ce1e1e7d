/*
 * str: a view of bytes that someone else owns.
 *
 * Nothing here allocates or ends in NUL. A view is valid as long as the buffer behind it: for parsed commands that
 * is until the next read from the socket, for values kept longer copy them into an arena (arena_str()).
 * Case folding is ASCII only; UTF-8 bytes compare as they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *at;
    size_t len;
};

/* A view of a string literal. */
#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })

/* The same as an initialiser of static data. */
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 }

/* For printf: `"%.*s", STR_ARG(s)`. */
#define STR_ARG(s) (int)(s).len, (s).at ? (s).at : ""

/* A view of a NUL-terminated string; NULL gives the empty view. */
static inline struct str str_of(const char *text) {
    return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_is_empty(struct str s) {
    return s.len == 0;
}

static inline bool str_eq(struct str a, struct str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* As bytes, negative, 0 or positive; what another one begins with comes before it. */
int str_compare(struct str a, struct str b);

/* The rest of `s` from byte `from`; empty when `from` is past the end. */
static inline struct str str_from(struct str s, size_t from) {
    return from < s.len ? (struct str){ s.at + from, s.len - from } : (struct str){ s.at + s.len, 0 };
}

/* At most the first `len` bytes of `s`. */
static inline struct str str_head(struct str s, size_t len) {
    return (struct str){ s.at, len < s.len ? len : s.len };
}

static inline char ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Equal, ASCII letters without regard to case. */
bool str_eq_nocase(struct str a, struct str b);

bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);

/* Index of the first `c` in `s`, or s.len. */
size_t str_find(struct str s, char c);

/* Index of the last `c` in `s`, or s.len. */
size_t str_find_last(struct str s, char c);

/*
 * How many bytes in front are printable ASCII, and neither quote nor backslash: what no quoting that we write changes.
 * Eight at a time.
 */
size_t str_plain_len(struct str s);

/* The length of the UTF-8 character in front, 1 to 4 (RFC 3629 section 4); 0: there is none, or a byte that is not. */
size_t str_utf8_len(struct str s);

/* `s` without leading and trailing blanks (space, tab, CR, LF). */
struct str str_trim(struct str s);

/*
 * Cuts the next word off the front of `*rest`: skips blanks, takes bytes up to the next blank. An empty word means the
 * end.
 */
struct str str_word(struct str *rest);

enum { U64_DIGITS_MAX = 20 };

/* `value` in decimal at the end of `digits`: a view of those that it takes. */
struct str str_of_u64(unsigned long long value, char digits[U64_DIGITS_MAX]);

/* Parses all of `s` as an unsigned decimal number <= max. Returns 0, or -EINVAL (not a number, empty) or -ERANGE. */
int str_to_u64(struct str s, unsigned long long max, unsigned long long *ret_value);

/* "90s", "30m", "12h", "7d" as seconds, at most max_s. Returns 0, or -EINVAL or -ERANGE. */
int str_to_span(struct str s, unsigned long long max_s, unsigned long long *ret_s);

/*
 * Edit distance (Damerau-Levenshtein, ASCII case ignored) for "did you mean"; SIZE_MAX when either is longer than 64.
 */
size_t str_distance(struct str a, struct str b);
