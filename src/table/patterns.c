/*
 * patterns: PCRE2 with JIT, behind a filter by the text's end.
 *
 * A pattern whose last characters before `$` are literal can only fit a text that ends in them. Such patterns stand in
 * a chain by the hash of that tail, so that of thousands a handful is tried; the others are tried each time. A tail has
 * one of a few lengths, the longest that the pattern has, since thousands may share their last six characters.
 * The tail is cut with care, by a walk over the whole pattern: only letters, digits, hyphens and escaped dots count; a
 * pattern with `|` outside of parentheses has none, nor has one with anything that this file does not know. Nothing is
 * lost then but time.
 *
 * Every match has a bound on its work (MATCH_LIMIT): patterns come from administrators, texts from strangers. Of
 * a pattern that meets the bound nobody knows whether it fits: a rule that says `not` must not take that for a yes.
 *
 * Rejected: one alternation of all patterns (120 times slower for two thousand of them), Hyperscan (faster still, but
 * seconds and 89 MB to compile).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "table/patterns.h"

#include "base/hash.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

/* `$` is the end and nothing else, so that a tail is the last bytes; \C would cut a character of (*UTF) in two. */
static const uint32_t OPTIONS = PCRE2_CASELESS | PCRE2_NO_AUTO_CAPTURE | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;

static const size_t tail_lens[] = { 24, 16, 10, 6 };

enum { TAIL_MAX = 24, N_TAIL_LENS = 4, BUCKETS = 4096, MATCH_LIMIT = 10000, TEXT_MAX = 1024 };

struct pattern {
    struct pattern *next; /* in its bucket, or among those without tail */
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
};

struct patterns {
    struct pattern *by_tail[BUCKETS];
    struct pattern *without_tail;
    uint32_t has_len; /* bit n: some tail has n characters */
};

/* ---- one pattern */

int pattern_new(struct str text, struct pattern **ret_pattern, const char **ret_problem) {
    static char problem[128];
    int error;
    PCRE2_SIZE at;
    struct pattern *pattern = calloc(1, sizeof(*pattern));
    *ret_problem = "out of memory";
    if (pattern == NULL)
        return -ENOMEM;
    pattern->code = pcre2_compile((PCRE2_SPTR)text.at, text.len, OPTIONS, &error, &at, NULL);
    if (pattern->code == NULL) {
        char why[100];
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof(why));
        snprintf(problem, sizeof(problem), "%s (at byte %zu)", why, (size_t)at + 1);
        *ret_problem = problem;
        free(pattern);
        return -EINVAL;
    }
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE); /* without it pcre2_match() interprets */
    pattern->match = pcre2_match_data_create(1, NULL);
    pattern->context = pcre2_match_context_create(NULL);
    if (pattern->match == NULL || pattern->context == NULL) {
        pattern_free(pattern);
        return -ENOMEM;
    }
    pcre2_set_match_limit(pattern->context, MATCH_LIMIT);
    *ret_pattern = pattern;
    return 0;
}

void pattern_free(struct pattern *pattern) {
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    pcre2_match_data_free(pattern->match);
    pcre2_match_context_free(pattern->context);
    free(pattern);
}

enum table_answer pattern_ask(const struct pattern *pattern, struct str text) {
    if (text.len == 0 || text.len > TEXT_MAX)
        return TABLE_NO;
    int r = pcre2_match(pattern->code, (PCRE2_SPTR)text.at, text.len, 0, 0, pattern->match, pattern->context);
    return r >= 0 ? TABLE_YES : r == PCRE2_ERROR_NOMATCH ? TABLE_NO : TABLE_UNKNOWN;
}

bool pattern_matches(const struct pattern *pattern, struct str text) {
    return pattern_ask(pattern, text) == TABLE_YES;
}

/* ---- tails */

/* What a walk over a pattern has seen: the literal characters just before here, as many as a tail takes. */
struct walk {
    const char *at, *end;
    char literal[TAIL_MAX];
    size_t n; /* of them, all since the last thing that is not literal */
    int depth;
    bool is_at_end; /* the last thing was a bare `$` outside of parentheses */
};

static bool is_literal(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static void add_literal(struct walk *walk, char c) {
    if (walk->n == TAIL_MAX)
        memmove(walk->literal, walk->literal + 1, TAIL_MAX - 1);
    else
        walk->n++;
    walk->literal[walk->n - 1] = ascii_lower(c);
}

/* Behind a backslash. False: what it means reaches further than one character, or we do not know. */
static bool walk_escape(struct walk *walk) {
    char c = walk->at < walk->end ? *walk->at++ : '\0';
    if (c == '.' || c == '-')
        add_literal(walk, c);
    else
        walk->n = 0;
    bool is_plain = c != '\0' && (unsigned char)c < 0x80 && !is_literal(c);
    return is_plain || c == '-' || (c != '\0' && strchr("dDwWsShHvVRbBAZz", c) != NULL);
}

/* Behind a `[`, to behind its `]`. False: a class with another bracket inside is not looked into. */
static bool walk_class(struct walk *walk) {
    if (walk->at < walk->end && *walk->at == '^')
        walk->at++;
    const char *first = walk->at;
    while (walk->at < walk->end) {
        char c = *walk->at++;
        if (c == '[' || (c == '\\' && !walk_escape(walk)))
            return false;
        if (c == ']' && walk->at > first + 1) {
            walk->n = 0;
            return true;
        }
    }
    return false;
}

/* Behind a `(`. Only plain groups and (?: are known not to change what the rest means; (?i) says what holds anyway. */
static bool walk_open(struct walk *walk) {
    struct str rest = { walk->at, (size_t)(walk->end - walk->at) };
    walk->n = 0;
    if (str_eq(str_head(rest, 3), STR("?i)"))) {
        walk->at += 3;
        return true;
    }
    walk->depth++;
    if (str_eq(str_head(rest, 2), STR("?:")))
        walk->at += 2;
    return walk->at == walk->end || (*walk->at != '?' && *walk->at != '*');
}

/* One thing of the pattern. False: it cannot have a tail. */
static bool walk_on(struct walk *walk) {
    char c = *walk->at++;
    walk->is_at_end = false;
    switch (c) {
    case '\\':
        return walk_escape(walk);
    case '[':
        return walk_class(walk);
    case '(':
        return walk_open(walk);
    case '|':
        walk->n = 0;
        return walk->depth > 0;
    case '$':
        walk->is_at_end = walk->depth == 0 && walk->at == walk->end;
        if (!walk->is_at_end)
            walk->n = 0;
        return true;
    case ')':
        walk->depth--;
        walk->n = 0;
        return true;
    default:
        if (is_literal(c))
            add_literal(walk, c);
        else
            walk->n = 0; /* a quantifier among them: what it repeats may be missing */
        return true;
    }
}

/* The literal characters before the final `$`, in lower case. Returns the length of a tail, or 0: there is none. */
static size_t cut_tail(struct str text, char out[TAIL_MAX]) {
    struct walk walk = { .at = text.at, .end = text.at + text.len };
    while (walk.at < walk.end) {
        if (!walk_on(&walk))
            return 0;
    }
    for (size_t i = 0; i < N_TAIL_LENS && walk.is_at_end; i++) {
        size_t len = tail_lens[i];
        if (walk.n < len)
            continue;
        memcpy(out, walk.literal + walk.n - len, len);
        return len;
    }
    return 0;
}

static size_t bucket_of(const char *tail, size_t len) {
    return hash_bytes(tail, len) % BUCKETS;
}

/* ---- the set */

struct patterns *patterns_new(void) {
    return calloc(1, sizeof(struct patterns));
}

static void free_chain(struct pattern *pattern) {
    while (pattern != NULL) {
        struct pattern *next = pattern->next;
        pattern_free(pattern);
        pattern = next;
    }
}

void patterns_free(struct patterns *patterns) {
    if (patterns == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        free_chain(patterns->by_tail[i]);
    free_chain(patterns->without_tail);
    free(patterns);
}

int patterns_add(struct patterns *patterns, struct str text, const char **ret_problem) {
    struct pattern *pattern;
    char tail[TAIL_MAX];
    int r = pattern_new(text, &pattern, ret_problem);
    if (r < 0)
        return r;
    size_t len = cut_tail(text, tail);
    struct pattern **chain = len > 0 ? &patterns->by_tail[bucket_of(tail, len)] : &patterns->without_tail;
    patterns->has_len |= 1u << len;
    pattern->next = *chain;
    *chain = pattern;
    return 0;
}

/* TABLE_YES as soon as one fits; `answer` is what is known from others. */
static enum table_answer ask_all(const struct pattern *pattern, struct str text, enum table_answer answer) {
    for (; pattern != NULL && answer != TABLE_YES; pattern = pattern->next) {
        enum table_answer its = pattern_ask(pattern, text);
        answer = its == TABLE_NO ? answer : its;
    }
    return answer;
}

enum table_answer patterns_ask(const struct patterns *patterns, struct str text) {
    char end[TAIL_MAX]; /* of the text, in lower case, flush right */
    size_t n = text.len < TAIL_MAX ? text.len : TAIL_MAX;
    enum table_answer answer = TABLE_NO;
    if (text.len == 0 || text.len > TEXT_MAX)
        return TABLE_NO;
    for (size_t i = 0; i < n; i++)
        end[TAIL_MAX - n + i] = ascii_lower(text.at[text.len - n + i]);
    for (size_t i = 0; i < N_TAIL_LENS; i++) {
        size_t len = tail_lens[i];
        if (len <= n && (patterns->has_len >> len & 1) != 0)
            answer = ask_all(patterns->by_tail[bucket_of(end + TAIL_MAX - len, len)], text, answer);
    }
    return ask_all(patterns->without_tail, text, answer);
}
