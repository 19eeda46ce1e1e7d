/*
 * token: the words, strings and signs of a policy file.
 *
 * Bytes in, tokens out; no message is printed here. Line ends are white space. Views point into the text, or into the
 * arena where a string had escapes. Behind the end the lexer returns TOKEN_END again and again.
 */
#pragma once

#include "base/arena.h"

enum token_kind {
    TOKEN_WORD,   /* letters, digits and _ . - : / -- names, numbers, addresses */
    TOKEN_STRING, /* "...", on one line */
    TOKEN_SIGN,   /* { } ( ) , = == != < <= > >= ~ */
    TOKEN_END,
    TOKEN_BAD, /* `problem` says why */
};

struct token {
    enum token_kind kind;
    const char *at;      /* where it begins; TOKEN_BAD: the byte that is wrong */
    struct str text;     /* the value of a string without quotes and escapes, else the bytes */
    const char *problem; /* TOKEN_BAD */
};

struct tokens {
    const char *next, *end;
    struct arena *arena;
};

void tokens_init(struct tokens *tokens, struct str text, struct arena *arena);

/* Returns 0 or -ENOMEM. */
int token_next(struct tokens *tokens, struct token *ret_token);

static inline bool token_is(const struct token *token, const char *bytes) {
    return (token->kind == TOKEN_WORD || token->kind == TOKEN_SIGN) && str_eq(token->text, str_of(bytes));
}

/* For messages: 'when', "a string" in its quotes, the end of the file. Writes to `out` and returns it. */
enum { TOKEN_NAME_MAX = 48 };
char *token_name(const struct token *token, char out[TOKEN_NAME_MAX]);
