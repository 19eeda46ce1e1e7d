/*
 * lex: which words stand on a line of postern.conf?
 *
 * A statement ends with its line, so line ends are tokens. `{` and `}` are tokens wherever they stand outside of
 * quotes, which makes `domain example.org { directory none }` on one line the same as on three. `#` begins a
 * comment only where a word could begin: a path or a password with a `#` inside needs no quotes. A word that holds
 * a blank, a brace or a quote, or that is empty, stands in double quotes, where \" and \\ are the only escapes;
 * anything else behind a backslash is an error rather than a guess.
 *
 * Bytes are checked once for the whole text, comments included: a file that is not UTF-8 text (a binary, one cut in
 * the middle of a character) is refused before its content could mean anything.
 *
 * Rejected: `;` as the end of a statement (people who know other tools type it, so it gets a message of its own),
 * and lines continued by a backslash (every list may be repeated instead, and each line then has its own error).
 */
#include "conf/lex.h"

#include <errno.h>

/* Length of the UTF-8 sequence (RFC 3629 section 4) at `at`, or 0 when there is none. */
static size_t utf8_sequence(const unsigned char *at, size_t left) {
    static const struct {
        unsigned char first_min, first_max, second_min, second_max;
        size_t len;
    } rows[] = {
        { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
        { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
        { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (at[0] < rows[i].first_min || at[0] > rows[i].first_max)
            continue;
        if (left < rows[i].len || at[1] < rows[i].second_min || at[1] > rows[i].second_max)
            return 0;
        for (size_t k = 2; k < rows[i].len; k++) {
            if ((at[k] & 0xC0) != 0x80)
                return 0;
        }
        return rows[i].len;
    }
    return 0;
}

static const char *control_problem(const unsigned char *at, size_t left) {
    if (*at == 0)
        return "NUL byte; expected UTF-8 text";
    if (*at == '\r')
        return left > 1 && at[1] == '\n' ? NULL : "carriage return inside a line";
    if (*at == '\t' || *at == '\n' || (*at >= ' ' && *at != 0x7F))
        return NULL;
    return "control byte; expected UTF-8 text";
}

const char *lex_find_bad_byte(struct str text, const char **ret_problem) {
    const unsigned char *at = (const unsigned char *)text.at;
    size_t i = 0;
    while (i < text.len) {
        size_t len = 1;
        const char *problem = NULL;
        if (at[i] < 0x80)
            problem = control_problem(at + i, text.len - i);
        else if ((len = utf8_sequence(at + i, text.len - i)) == 0)
            problem = "this byte is not UTF-8";
        if (problem != NULL) {
            *ret_problem = problem;
            return text.at + i;
        }
        i += len;
    }
    return NULL;
}

void lex_init(struct lexer *lexer, struct str text, struct arena *arena) {
    static const struct str byte_order_mark = { "\xEF\xBB\xBF", 3 };
    if (text.len >= 3 && str_eq(str_head(text, 3), byte_order_mark))
        text = str_from(text, 3);
    *lexer = (struct lexer){ .next = text.at, .end = text.at + text.len, .arena = arena };
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_word(char c) {
    return is_blank(c) || c == '\n' || c == '{' || c == '}';
}

static void skip_blanks_and_comment(struct lexer *lexer) {
    while (lexer->next < lexer->end && is_blank(*lexer->next))
        lexer->next++;
    if (lexer->next < lexer->end && *lexer->next == '#') {
        while (lexer->next < lexer->end && *lexer->next != '\n')
            lexer->next++;
    }
}

/*
 * Reports what is wrong at `at` and goes to the end of the line, but stops before a `{` that ends it: the block
 * behind a wrong word is still a block, and its `}` must not become a second error.
 */
static void bad(struct lexer *lexer, const char *at, const char *problem, struct lex_token *ret_token) {
    const char *open = NULL;
    for (lexer->next = at; lexer->next < lexer->end && *lexer->next != '\n'; lexer->next++) {
        if (!is_blank(*lexer->next))
            open = *lexer->next == '{' ? lexer->next : NULL;
    }
    if (open != NULL)
        lexer->next = open;
    *ret_token = (struct lex_token){ .kind = LEX_BAD, .at = at, .problem = problem };
}

static int resolve_escapes(struct lexer *lexer, struct str raw, struct str *ret_text) {
    char *out = arena_alloc(lexer->arena, raw.len + 1);
    if (out == NULL)
        return -ENOMEM;
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.at[i] == '\\')
            i++;
        out[len++] = raw.at[i];
    }
    out[len] = '\0';
    *ret_text = (struct str){ out, len };
    return 0;
}

static int quoted(struct lexer *lexer, struct lex_token *ret_token) {
    const char *start = lexer->next, *at = start + 1;
    bool has_escape = false;
    for (; at < lexer->end && *at != '"' && *at != '\n'; at++) {
        if (*at != '\\')
            continue;
        has_escape = true;
        at++;
        if (at >= lexer->end || (*at != '"' && *at != '\\')) {
            bad(lexer, at - 1, "expected \\\" or \\\\ behind the backslash", ret_token);
            return 0;
        }
    }
    if (at >= lexer->end || *at != '"') {
        bad(lexer, start, "this quote is never closed on its line", ret_token);
        return 0;
    }
    struct str text = { start + 1, (size_t)(at - start - 1) };
    at++;
    if (at < lexer->end && !ends_word(*at) && *at != '#') {
        bad(lexer, at, "expected a blank behind the closing quote", ret_token);
        return 0;
    }
    lexer->next = at;
    *ret_token = (struct lex_token){ .kind = LEX_WORD, .at = start, .text = text };
    return has_escape ? resolve_escapes(lexer, text, &ret_token->text) : 0;
}

static void bare(struct lexer *lexer, struct lex_token *ret_token) {
    const char *start = lexer->next;
    while (lexer->next < lexer->end && !ends_word(*lexer->next)) {
        if (*lexer->next == '"') {
            bad(lexer, lexer->next, "quote inside a word; put the whole word in quotes", ret_token);
            return;
        }
        lexer->next++;
    }
    if (lexer->next[-1] == ';') {
        bad(lexer, lexer->next - 1, "a statement ends with its line; no ';' here", ret_token);
        return;
    }
    struct str text = { start, (size_t)(lexer->next - start) };
    *ret_token = (struct lex_token){ .kind = LEX_WORD, .at = start, .text = text };
}

int lex_next(struct lexer *lexer, struct lex_token *ret_token) {
    skip_blanks_and_comment(lexer);
    *ret_token = (struct lex_token){ .kind = LEX_END, .at = lexer->next };
    if (lexer->next >= lexer->end)
        return 0;
    switch (*lexer->next) {
    case '\n':
        ret_token->kind = LEX_NEWLINE;
        break;
    case '{':
        ret_token->kind = LEX_OPEN;
        break;
    case '}':
        ret_token->kind = LEX_CLOSE;
        break;
    case '"':
        return quoted(lexer, ret_token);
    default:
        bare(lexer, ret_token);
        return 0;
    }
    lexer->next++;
    return 0;
}
