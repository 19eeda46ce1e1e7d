/*
 * parse: which statements does a file hold, and which stand in which block?
 *
 *     file      = { statement }
 *     statement = word { word } ( NEWLINE | block )
 *     block     = "{" { statement } "}"        a statement inside may also end with the "}"
 *
 * A tree is made first and given a meaning afterwards (load.c), so that a group may be used above its definition and
 * domain_defaults hold for domains above it, and so that an error of form costs its own statement and nothing else.
 * Rejected: interpreting while reading, which needs a list of promises to fill in later, each with its own place for
 * messages.
 *
 * Depth is bounded by PARSE_DEPTH_MAX (two are in use), so recursion is too.
 */
#include "conf/parse.h"

#include "conf/lex.h"
#include "conf/list.h"

struct parser {
    struct lexer lexer;
    struct lex_token token; /* the one to look at next */
    const struct diag_source *source;
    struct arena *arena;
    struct diag_list *diag;
    bool is_cut; /* the end came inside a block, and that was said */
};

static int advance(struct parser *p) {
    return lex_next(&p->lexer, &p->token);
}

static int add_word(struct parser *p, struct statement *statement) {
    if (statement->n_words == PARSE_WORDS_MAX) {
        diag_error(p->diag, p->source, p->token.at, "more than %d words in one statement", PARSE_WORDS_MAX);
        return -E2BIG;
    }
    int r = list_grow(p->arena, &statement->words, statement->n_words, sizeof(*statement->words));
    if (r == 0)
        statement->words[statement->n_words++] = (struct word){ .text = p->token.text, .at = p->token.at };
    return r;
}

static int skip_line(struct parser *p) {
    int r = 0;
    while (r == 0 && p->token.kind != LEX_NEWLINE && p->token.kind != LEX_END)
        r = advance(p);
    return r;
}

static int parse_block(struct parser *p, unsigned depth, const char *open, struct statement **ret_first);

/* The token is the `{`; afterwards it is the one behind the `}`. */
static int parse_children(struct parser *p, unsigned depth, struct statement *statement) {
    const char *open = p->token.at;
    statement->has_block = true;
    int r = advance(p);
    if (r == 0)
        r = parse_block(p, depth + 1, open, &statement->children);
    if (r < 0 || p->token.kind == LEX_END)
        return r;
    r = advance(p);
    if (r == 0 && (p->token.kind == LEX_WORD || p->token.kind == LEX_OPEN)) {
        diag_error(p->diag, p->source, p->token.at, "expected the end of the line behind '}'");
        r = skip_line(p);
    }
    return r;
}

/*
 * One statement; *ret_statement stays NULL when nothing of it can be used. A block behind a broken word is read all
 * the same, so that errors in it are found and its end is no surprise.
 */
static int parse_statement(struct parser *p, unsigned depth, struct statement **ret_statement) {
    struct statement *statement = arena_zalloc(p->arena, sizeof(*statement));
    bool is_good = true;
    int r = statement == NULL ? -ENOMEM : 0;
    while (r == 0 && (p->token.kind == LEX_WORD || p->token.kind == LEX_BAD)) {
        if (p->token.kind == LEX_BAD) {
            diag_error(p->diag, p->source, p->token.at, "%s", p->token.problem);
            is_good = false;
        } else {
            r = add_word(p, statement);
        }
        if (r == 0)
            r = advance(p);
    }
    if (r == -E2BIG) {
        is_good = false;
        r = skip_line(p);
    }
    if (r < 0)
        return r;
    if (p->token.kind == LEX_OPEN) {
        if (is_good && statement->n_words == 0)
            diag_error(p->diag, p->source, p->token.at, "expected the name of an option before '{'");
        r = parse_children(p, depth, statement);
    }
    if (r == 0 && is_good && statement->n_words > 0)
        *ret_statement = statement;
    return r;
}

/* Statements up to the `}` that closes the block (left as the token), or to the end of the file. */
static int parse_block(struct parser *p, unsigned depth, const char *open, struct statement **ret_first) {
    struct statement **tail = ret_first;
    if (depth > PARSE_DEPTH_MAX) {
        diag_error(p->diag, p->source, open, "blocks stand more than %d deep", PARSE_DEPTH_MAX);
        p->is_cut = true;
        p->lexer.next = p->lexer.end; /* nothing behind this could be told apart from its content */
        p->token = (struct lex_token){ .kind = LEX_END, .at = p->lexer.end };
        return 0;
    }
    for (;;) {
        int r = 0;
        if (p->token.kind == LEX_END) {
            if (open != NULL && !p->is_cut) {
                p->is_cut = true;
                diag_error(p->diag, p->source, open, "this block is never closed; expected '}' before the end");
            }
            return 0;
        }
        if (p->token.kind == LEX_CLOSE && open != NULL)
            return 0;
        if (p->token.kind == LEX_CLOSE) {
            diag_error(p->diag, p->source, p->token.at, "this '}' closes no block");
            r = advance(p);
        } else if (p->token.kind == LEX_NEWLINE) {
            r = advance(p);
        } else {
            struct statement *statement = NULL;
            r = parse_statement(p, depth, &statement);
            if (statement != NULL) {
                *tail = statement;
                tail = &statement->next;
            }
        }
        if (r < 0)
            return r;
    }
}

int parse_statements(const struct diag_source *source, struct arena *arena, struct diag_list *diag,
                     struct statement **ret_statements) {
    struct parser p = { .source = source, .arena = arena, .diag = diag };
    *ret_statements = NULL;
    const char *problem, *at = lex_find_bad_byte(source->text, &problem);
    if (at != NULL) {
        diag_error(diag, source, at, "%s", problem);
        return 0;
    }
    lex_init(&p.lexer, source->text, arena);
    int r = advance(&p);
    return r < 0 ? r : parse_block(&p, 0, NULL, ret_statements);
}
