/*
 * parse: a configuration file as a tree of statements.
 *
 * Only the form is checked here (blocks closed, quotes closed); what the words mean is load.c's. Everything belongs
 * to the arena given; views point into the text.
 */
#pragma once

#include "base/arena.h"
#include "base/diag.h"

enum { PARSE_DEPTH_MAX = 4, PARSE_WORDS_MAX = 65536 };

struct word {
    struct str text;
    const char *at; /* in the text, for messages */
};

struct statement {
    struct word *words; /* n_words >= 1; the first is the name of the option */
    size_t n_words;
    bool has_block;
    struct statement *children; /* of the block, in the order of the file */
    struct statement *next;
};

/*
 * Parses a whole file; errors go to `diag` and cost only their own statement. Returns 0 (what could be read is in
 * *ret_statements, NULL for an empty file) or -ENOMEM.
 */
int parse_statements(const struct diag_source *source, struct arena *arena, struct diag_list *diag,
                     struct statement **ret_statements);
