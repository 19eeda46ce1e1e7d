/*
 * token: where does a word of a policy file end?
 *
 * The language has no statement that ends with its line, so line ends are blanks, and a missing quote is the one error
 * that could swallow the rest of the file: strings therefore end on their line or are wrong. Words take every byte that
 * a host name, an IPv6 address, a prefix or a number can hold, so that raw values in tests need no quotes; that the
 * word means something is the parser's business.
 *
 * Control bytes are refused wherever they stand, comments included: they could make a listing of the file look
 * different from what is loaded. Bytes above 126 may stand in comments and patterns only; names and reply texts are
 * checked by the parser.
 */
#include "policy/token.h"

#include <errno.h>
#include <stdio.h>

void tokens_init(struct tokens *tokens, struct str text, struct arena *arena) {
    *tokens = (struct tokens){ .next = text.at, .end = text.at + text.len, .arena = arena };
}

static bool is_word_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("_.-:/", c) != NULL);
}

static bool is_control(char c) {
    unsigned char byte = (unsigned char)c;
    return (byte < ' ' && c != '\t' && c != '\n' && c != '\r') || byte == 0x7f;
}

/* The byte that stopped it, when it is one that may stand nowhere. */
static const char *skip_blanks_and_comments(struct tokens *t) {
    bool is_comment = false;
    for (; t->next < t->end; t->next++) {
        char c = *t->next;
        if (is_control(c))
            return t->next;
        if (c == '\n')
            is_comment = false;
        else if (c == '#')
            is_comment = true;
        else if (!is_comment && c != ' ' && c != '\t' && c != '\r')
            break;
    }
    return NULL;
}

static void bad(struct tokens *t, const char *at, const char *next, const char *problem, struct token *ret_token) {
    t->next = next;
    *ret_token = (struct token){ .kind = TOKEN_BAD, .at = at, .text = { at, 1 }, .problem = problem };
}

static int take_string(struct tokens *t, struct token *ret_token) {
    const char *start = t->next, *at = start + 1;
    bool has_escape = false;
    for (; at < t->end && *at != '"' && *at != '\n'; at++) {
        if (is_control(*at)) {
            bad(t, at, at + 1, "control byte in a string", ret_token);
            return 0;
        }
        if (*at != '\\')
            continue;
        has_escape = true;
        /* Any other escape stays as it is, backslash included: patterns are full of them. */
        if (at + 1 < t->end && (at[1] == '"' || at[1] == '\\'))
            at++;
    }
    if (at >= t->end || *at != '"') {
        bad(t, start, at, "this string does not end on its line; expected '\"'", ret_token);
        return 0;
    }
    t->next = at + 1;
    *ret_token = (struct token){ .kind = TOKEN_STRING, .at = start, .text = { start + 1, (size_t)(at - start - 1) } };
    if (!has_escape)
        return 0;
    char *out = arena_alloc(t->arena, ret_token->text.len + 1);
    if (out == NULL)
        return -ENOMEM;
    size_t len = 0;
    for (const char *from = start + 1; from < at; from++) {
        if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
            from++;
        out[len++] = *from;
    }
    ret_token->text = (struct str){ out, len };
    return 0;
}

/* U+2018 to U+201F in UTF-8: quotes that word processors and mail programs make of straight ones. */
static bool is_curly_quote(struct str at) {
    return at.len >= 3 && memcmp(at.at, "\xe2\x80", 2) == 0 && (unsigned char)at.at[2] >= 0x98
        && (unsigned char)at.at[2] <= 0x9f;
}

/* What other languages have, and what is meant by it. */
static const char *problem_of(struct str at) {
    if (is_curly_quote(at))
        return "expected '\"', which texts stand in, got a typographic quote";
    switch (*at.at) {
    case '&':
        return "expected 'and', got '&'";
    case '|':
        return "expected 'or', got '|'";
    case '!':
        return "expected 'not', got '!'";
    case ';':
        return "expected no ';': nothing has to be ended with it";
    case '\'':
        return "expected '\"', which texts stand in, got \"'\"";
    default:
        return "expected a word, a string or a sign; none of them begins with this byte";
    }
}

int token_next(struct tokens *t, struct token *ret_token) {
    const char *wrong = skip_blanks_and_comments(t);
    if (wrong != NULL) {
        bad(t, wrong, wrong + 1, "control byte; expected text", ret_token);
        return 0;
    }
    const char *start = t->next;
    *ret_token = (struct token){ .kind = TOKEN_END, .at = start, .text = { start, 0 } };
    if (start >= t->end)
        return 0;
    if (*start == '"')
        return take_string(t, ret_token);
    size_t len = 0, left = (size_t)(t->end - start);
    while (len < left && is_word_byte(start[len]))
        len++;
    if (len > 0) {
        ret_token->kind = TOKEN_WORD;
    } else if (strchr("=!<>", *start) != NULL && left > 1 && start[1] == '=') {
        ret_token->kind = TOKEN_SIGN;
        len = 2;
    } else if (strchr("{}(),=<>~", *start) != NULL) {
        ret_token->kind = TOKEN_SIGN;
        len = 1;
    } else {
        bad(t, start, start + 1, problem_of((struct str){ start, left }), ret_token);
        return 0;
    }
    ret_token->text.len = len;
    t->next = start + len;
    return 0;
}

char *token_name(const struct token *token, char out[TOKEN_NAME_MAX]) {
    const char *quote = token->kind == TOKEN_STRING ? "\"" : "'";
    if (token->kind == TOKEN_END || token->kind == TOKEN_BAD)
        snprintf(out, TOKEN_NAME_MAX, "%s", token->kind == TOKEN_END ? "the end of the file" : token->problem);
    else
        snprintf(out, TOKEN_NAME_MAX, "%s%.*s%s", quote, STR_ARG(str_head(token->text, TOKEN_NAME_MAX - 8)), quote);
    return out;
}
