/*
 * values: one option's value, from its words to its field and back.
 *
 * One pair of functions a type of the option table. `base` is the struct that the option's block stands for
 * (options.h).
 */
#pragma once

#include "conf/conf.h"
#include "conf/options.h"
#include "conf/parse.h"

struct value_reader {
    struct conf *conf; /* its arena holds what is kept; its groups are already named */
    struct diag_list *diag;
    const struct diag_source *source;
    const char *folder; /* absolute; where relative paths begin */
};

/* Reads one statement into its field; what is wrong goes to diag and leaves it as it was. Returns 0 or -ENOMEM. */
int value_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                void *base);

/*
 * One path among several words, absolute afterwards, of at most `max` bytes; `what` is what was expected. *ret_path
 * stays as it was when the word is wrong, which was said. Returns 0 or -ENOMEM.
 */
int value_parse_path(const struct value_reader *reader, const struct word *word, const char *what, size_t max,
                     const char **ret_path);

void value_set_default(const struct option *option, void *base);
bool value_is_default(const struct option *option, const void *base);

/* True when both hold the same, group names compared as texts: the two may come from different configurations. */
bool value_eq(const struct option *option, const void *a, const void *b);

/*
 * Writes "name value", or one such line an entry for what may be repeated, each with `indent` in front and a newline
 * behind, marked "# default" where it is. Returns 0 or a negative result of buf_put().
 */
int value_dump(const struct option *option, const void *base, const char *indent, struct buf *out);

/* The bounds or the default of a number, size or time as the file would have it: "50M", "10m". */
enum { VALUE_TEXT_MAX = 32 };
char *value_format(enum option_type type, uint64_t value, char out[VALUE_TEXT_MAX]);

/* Writes a word, in quotes where it needs them. */
int value_put_word(struct str word, struct buf *out);
