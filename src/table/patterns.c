/*
 * patterns: PCRE2 with JIT, behind a filter by the text's end.
 *
 * A pattern whose last TAIL_LEN characters before `$` are literal can only fit a text that ends in them. Such patterns
 * stand in a chain by the hash of that tail, so that of thousands a handful is tried; the others are tried each time.
 * The tail is cut with care: only letters, digits, hyphens and escaped dots count, and a pattern with `|` outside of
 * parentheses has none.
 *
 * Every match has a bound on its work (MATCH_LIMIT): patterns come from administrators, texts from strangers. A
 * match that meets the bound is no match.
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

enum { TAIL_LEN = 6, BUCKETS = 4096, MATCH_LIMIT = 10000, TEXT_MAX = 1024 };

struct pattern {
    struct pattern *next; /* in its bucket, or among those without tail */
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
};

struct patterns {
    struct pattern *by_tail[BUCKETS];
    struct pattern *without_tail;
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
    pattern->code = pcre2_compile((PCRE2_SPTR)text.at, text.len, PCRE2_CASELESS | PCRE2_NO_AUTO_CAPTURE, &error, &at, NULL);
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

bool pattern_matches(const struct pattern *pattern, struct str text) {
    if (text.len == 0 || text.len > TEXT_MAX)
        return false;
    return pcre2_match(pattern->code, (PCRE2_SPTR)text.at, text.len, 0, 0, pattern->match, pattern->context) >= 0;
}

/* ---- tails */

static bool has_top_level_bar(struct str text) {
    int depth = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '\\')
            i++;
        else if (text.at[i] == '[' || text.at[i] == '(')
            depth++;
        else if (text.at[i] == ']' || text.at[i] == ')')
            depth--;
        else if (text.at[i] == '|' && depth <= 0)
            return true;
    }
    return false;
}

static bool is_literal(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* The last TAIL_LEN literal characters before the final `$`, in lower case. False: there are fewer. */
static bool cut_tail(struct str text, char out[TAIL_LEN]) {
    if (text.len < 2 || text.at[text.len - 1] != '$' || text.at[text.len - 2] == '\\' || has_top_level_bar(text))
        return false;
    size_t at = text.len - 1;
    for (int i = TAIL_LEN - 1; i >= 0; i--) {
        if (at == 0)
            return false;
        char c = text.at[--at];
        bool is_escaped = at > 0 && text.at[at - 1] == '\\';
        if (is_escaped != (c == '.') || (c != '.' && !is_literal(c)))
            return false;
        if (is_escaped)
            at--;
        if (is_escaped && at > 0 && text.at[at - 1] == '\\')
            return false; /* an escaped backslash: too clever for us */
        out[i] = ascii_lower(c);
    }
    return true;
}

static size_t bucket_of(const char tail[TAIL_LEN]) {
    return hash_bytes(tail, TAIL_LEN) % BUCKETS;
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
    char tail[TAIL_LEN];
    int r = pattern_new(text, &pattern, ret_problem);
    if (r < 0)
        return r;
    struct pattern **chain = cut_tail(text, tail) ? &patterns->by_tail[bucket_of(tail)] : &patterns->without_tail;
    pattern->next = *chain;
    *chain = pattern;
    return 0;
}

static bool any_matches(const struct pattern *pattern, struct str text) {
    while (pattern != NULL && !pattern_matches(pattern, text))
        pattern = pattern->next;
    return pattern != NULL;
}

bool patterns_have(const struct patterns *patterns, struct str text) {
    char tail[TAIL_LEN];
    if (text.len >= TAIL_LEN && text.len <= TEXT_MAX) {
        for (size_t i = 0; i < TAIL_LEN; i++)
            tail[i] = ascii_lower(text.at[text.len - TAIL_LEN + i]);
        if (any_matches(patterns->by_tail[bucket_of(tail)], text))
            return true;
    }
    return any_matches(patterns->without_tail, text);
}
