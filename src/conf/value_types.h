/*
 * value_types: what the types of the option table are made of. For the files values*.c.
 *
 * A type is three functions. `base` is the struct that the option's block stands for (options.h). parse says what is
 * wrong and leaves the field as it was, and returns 0 or -ENOMEM; dump writes the value alone, dump_list lines of its
 * own (values.h: value_dump()).
 */
#pragma once

#include "conf/values.h"

struct value_type {
    int (*parse)(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                 void *base);
    int (*dump)(const struct option *option, const void *base, struct buf *out);
    int (*dump_list)(const struct option *option, const void *base, const char *indent, struct buf *out);
    bool (*eq)(const struct option *option, const void *a, const void *b);
};

/* values_scalar.c */
extern const struct value_type flag_type, number_type, size_type, time_type, mode_type, choice_type, text_type,
    hostname_type, path_type, delimiter_type, catch_all_type, address_type, secret_type;

/* values_lists.c */
extern const struct value_type cidrs_type, words_type, files_type, endpoints_type, stub_type;

/* values_parts.c */
extern const struct value_type group_type, server_type, certificate_type, directory_type;

/* ---- what they share */

/* How messages name an option: its own word as the file has it. */
#define NAME(statement) STR_ARG((statement)->words[0].text)

#define FAIL(reader, word, ...) diag_error((reader)->diag, (reader)->source, (word)->at, __VA_ARGS__)

static inline void *value_field(const struct option *option, const void *base) {
    return (char *)base + option->offset;
}

static inline const char **value_text(const struct option *option, const void *base) {
    return value_field(option, base);
}

static inline uint64_t *value_number(const struct option *option, const void *base) {
    return value_field(option, base);
}

static inline bool value_is_word(const struct word *word, const char *text) {
    return text != NULL && str_eq(word->text, str_of(text));
}

/* True when exactly one value follows the name; says so otherwise. `what` is what was expected. */
bool value_has_one(const struct value_reader *reader, const struct statement *statement, const char *what);

/* Copies a word into the configuration. Returns 0 or -ENOMEM. */
int value_keep(const struct value_reader *reader, struct str text, const char **ret_text);
