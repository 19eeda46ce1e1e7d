/*
 * expected: what did the author of a policy mean?
 *
 * Each message is about one word that does not fit, says what would, and proposes the nearest of what can stand there:
 * who mistypes a name should not have to look it up. Where the word is right and its place is not (a subject without
 * its fact, a name that is defined further down), that is said instead.
 */
#include "policy/parse.h"

#include "base/buf.h"

#include <errno.h>

enum { NAMES_MAX = N_FACTS + 16 + 256, /* facts, values of enums, definitions: for "did you mean" */
       NAME_SHOWN_MAX = 80, FACTS_TEXT_MAX = 4096 };

/* ---- a word that is none of a few */

/* The clause of a test is read by itself: the file goes on behind its end. */
static bool is_end_of_clause(const struct parsed *p) {
    return p->token.kind == TOKEN_END && p->token.at < p->source.text.at + p->source.text.len;
}

int parse_expected_of(struct parsed *p, const char *what, const char *const *names, size_t n) {
    char got[TOKEN_NAME_MAX];
    bool has_text = p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_STRING;
    const char *meant = has_text ? diag_did_you_mean(p->token.text, names, n) : NULL;
    if (p->token.kind == TOKEN_BAD)
        diag_error(p->diag, &p->source, p->token.at, "%s", p->token.problem);
    else
        diag_error(p->diag, &p->source, p->token.at, "expected %s, got %s%s%s%s", what,
                   is_end_of_clause(p) ? "the end of this clause" : token_name(&p->token, got),
                   meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
    return -EINVAL;
}

int parse_expected(struct parsed *p, const char *what) {
    return parse_expected_of(p, what, NULL, 0);
}

int parse_expected_value(struct parsed *p, const struct fact_row *row) {
    const char *what = strcmp(row->name, "spf") == 0 ? "pass, fail, softfail, neutral, none, temperror or permerror"
                                                     : "new, early, retry, autowhitelist, cached or whitelisted";
    return parse_expected_of(p, what, row->values, parse_count_names(row->values));
}

/* ---- a fact */

bool parse_is_subject(struct str word) {
    for (size_t i = 0; i < N_FACTS; i++) {
        if (!fact_rows[i].is_internal && str_eq(str_of(fact_rows[i].subject), word))
            return true;
    }
    return false;
}

/* `ptr` alone: what of it? */
static int expected_fact_of_subject(struct parsed *p) {
    struct buf names;
    const char *last = "";
    buf_init(&names, FACTS_TEXT_MAX);
    for (size_t i = 0; i < N_FACTS; i++) {
        const struct fact_row *row = &fact_rows[i];
        if (row->is_internal || !str_eq(str_of(row->subject), p->token.text) || strcmp(last, row->name) == 0)
            continue;
        buf_putf(&names, "%s%s", *last ? ", " : "", row->name);
        last = row->name;
    }
    const char *what = arena_printf(p->arena, "one of %.*s", STR_ARG(buf_str(&names)));
    buf_deinit(&names);
    return what != NULL ? parse_expected(p, what) : -ENOMEM;
}

/* Whether the rest of the file defines this word. */
static bool is_defined_below(const struct parsed *p) {
    struct tokens tokens = p->tokens;
    struct token token;
    for (bool is_name = false; token_next(&tokens, &token) == 0 && token.kind != TOKEN_END;) {
        if (is_name && token.kind == TOKEN_WORD && str_eq(token.text, p->token.text))
            return true;
        is_name = token_is(&token, "define");
    }
    return false;
}

/* Returns the number of names, or -ENOMEM. */
static int list_facts(const struct parsed *p, const char *names[NAMES_MAX]) {
    int n = 0;
    for (size_t i = 0; i < N_FACTS; i++) {
        if (!fact_rows[i].is_internal)
            names[n++] = fact_rows[i].name;
        for (size_t v = 0; fact_rows[i].values && fact_rows[i].values[v]; v++)
            names[n++] = arena_printf(p->arena, "%s.%s", fact_rows[i].name, fact_rows[i].values[v]);
    }
    for (const struct definition *d = p->definitions; d && n < NAMES_MAX; d = d->next)
        names[n++] = arena_strdup(p->arena, d->name);
    for (int i = 0; i < n; i++) {
        if (names[i] == NULL)
            return -ENOMEM;
    }
    return n;
}

int parse_unknown_fact(struct parsed *p) {
    static const char *const words[] = { "and", "or", "in", "when", "with", "shadow", NULL };
    const char *names[NAMES_MAX];
    if (parse_find_name(words, p->token.text) >= 0)
        return parse_expected(p, "a fact");
    if (parse_is_subject(p->token.text))
        return expected_fact_of_subject(p);
    struct str shown = str_head(p->token.text, NAME_SHOWN_MAX);
    if (is_defined_below(p)) {
        diag_error(p->diag, &p->source, p->token.at, "'%.*s' is defined further down; move its definition up",
                   STR_ARG(shown));
        return -EINVAL;
    }
    int n = list_facts(p, names);
    if (n < 0)
        return n;
    const char *meant = diag_did_you_mean(p->token.text, names, (size_t)n);
    diag_error(p->diag, &p->source, p->token.at, "unknown fact '%.*s'%s%s%s", STR_ARG(shown),
               meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
    return -EINVAL;
}

/* ---- a table */

int parse_unknown_table(struct parsed *p) {
    const struct policy_environment *environment = p->environment;
    const char *names[64];
    size_t n = 0;
    for (size_t i = 0; i < environment->n_tables && n < 64; i++) {
        names[n] = arena_strdup(p->arena, environment->tables[i].name);
        if (names[n++] == NULL)
            return -ENOMEM;
    }
    const char *meant = diag_did_you_mean(p->token.text, names, n);
    diag_error(p->diag, &p->source, p->token.at, "unknown table '%.*s'%s%s%s declared in postern.conf",
               STR_ARG(str_head(p->token.text, NAME_SHOWN_MAX)), meant ? "; did you mean '" : "; tables are",
               meant ? meant : "", meant ? "'? Tables are" : "");
    return -EINVAL;
}
