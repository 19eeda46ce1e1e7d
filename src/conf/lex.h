/*
 * lex: the words, braces and line ends of a configuration file.
 *
 * Bytes in, tokens out; no file, no message is printed here. Views point into the text, or into the arena where a
 * string had escapes. A token that is wrong has kind LEX_BAD and says why; the lexer then goes on behind that line.
 */
#pragma once

#include "base/arena.h"

enum lex_kind {
    LEX_WORD,    /* bare or quoted */
    LEX_OPEN,    /* { */
    LEX_CLOSE,   /* } */
    LEX_NEWLINE, /* ends a statement */
    LEX_END,
    LEX_BAD, /* `problem` says why; the rest of the line is skipped, a `{` at its end apart */
};

struct lex_token {
    enum lex_kind kind;
    const char *at;      /* where it begins in the text; for LEX_BAD the byte that is wrong */
    struct str text;     /* the value of a word, quotes and escapes resolved */
    const char *problem; /* LEX_BAD only */
};

struct lexer {
    const char *next, *end;
    struct arena *arena;
};

/*
 * The first byte that no configuration file may hold (NUL, another control byte, a CR that is not before LF, bytes
 * that are not UTF-8), with the reason in *ret_problem; NULL when there is none. Asked once before the first token.
 */
const char *lex_find_bad_byte(struct str text, const char **ret_problem);

void lex_init(struct lexer *lexer, struct str text, struct arena *arena);

/* Returns 0, or -ENOMEM. Behind the end it returns LEX_END again and again. */
int lex_next(struct lexer *lexer, struct lex_token *ret_token);
