/*
 * values: what do the words behind an option's name mean, and how is its value written again?
 *
 * Each type of the option table is a struct value_type: parse, dump, compare. So that a dump loads to the same
 * configuration, a word is quoted exactly when the lexer would not read it back as it is.
 */
#include "conf/value_types.h"

#include "conf/block_list_values.h"
#include "conf/scanner_values.h"

#include <errno.h>

/* ---- what every parser needs */

bool value_has_one(const struct value_reader *reader, const struct statement *statement, const char *what) {
    if (statement->n_words == 2)
        return true;
    if (statement->n_words < 2)
        FAIL(reader, &statement->words[0], "'%.*s' needs a value; expected %s", NAME(statement), what);
    else
        FAIL(reader, &statement->words[2], "expected the end of the line: '%.*s' takes one value", NAME(statement));
    return false;
}

int value_keep(const struct value_reader *reader, struct str text, const char **ret_text) {
    const char *copy = arena_strdup(&reader->conf->arena, text);
    if (copy == NULL)
        return -ENOMEM;
    *ret_text = copy;
    return 0;
}

/* ---- the types */

static const struct value_type weight_type = { weight_parse, weight_dump, NULL, weight_eq };
static const struct value_type families_type = { families_parse, families_dump, NULL, families_eq };
static const struct value_type codes_type = { codes_parse, NULL, codes_dump, codes_eq };
static const struct value_type probes_type = { probes_parse, NULL, probes_dump, probes_eq };

static const struct value_type *const types[OPTION_TYPES] = {
    [OPTION_FLAG] = &flag_type,
    [OPTION_NUMBER] = &number_type,
    [OPTION_SIZE] = &size_type,
    [OPTION_TIME] = &time_type,
    [OPTION_MODE] = &mode_type,
    [OPTION_CHOICE] = &choice_type,
    [OPTION_TEXT] = &text_type,
    [OPTION_HOSTNAME] = &hostname_type,
    [OPTION_PATH] = &path_type,
    [OPTION_CIDRS] = &cidrs_type,
    [OPTION_GROUP] = &group_type,
    [OPTION_SERVER] = &server_type,
    [OPTION_CERTIFICATE] = &certificate_type,
    [OPTION_DIRECTORY] = &directory_type,
    [OPTION_DELIMITER] = &delimiter_type,
    [OPTION_CATCH_ALL] = &catch_all_type,
    [OPTION_WORDS] = &words_type,
    [OPTION_FILES] = &files_type,
    [OPTION_ENDPOINTS] = &endpoints_type,
    [OPTION_STUB] = &stub_type,
    [OPTION_ADDRESS] = &address_type,
    [OPTION_WEIGHT] = &weight_type,
    [OPTION_FAMILIES] = &families_type,
    [OPTION_CODES] = &codes_type,
    [OPTION_PROBES] = &probes_type,
    [OPTION_SCANNER] = &scanner_type,
    [OPTION_SECRET] = &secret_type,
};

int value_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                void *base) {
    return types[option->type]->parse(reader, option, statement, base);
}

/* All-zero is the default of every type that has none of its own in the table. */
void value_set_default(const struct option *option, void *base) {
    switch (option->type) {
    case OPTION_FLAG:
        *(bool *)value_field(option, base) = option->number != 0;
        break;
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_TIME:
    case OPTION_MODE:
        *value_number(option, base) = option->number;
        break;
    case OPTION_CHOICE:
    case OPTION_FAMILIES:
        *(unsigned *)value_field(option, base) = (unsigned)option->number;
        break;
    case OPTION_WEIGHT:
        *(int64_t *)value_field(option, base) = (int64_t)option->number;
        break;
    case OPTION_TEXT:
    case OPTION_HOSTNAME:
    case OPTION_PATH:
    case OPTION_DELIMITER:
    case OPTION_CATCH_ALL:
    case OPTION_ADDRESS:
        *value_text(option, base) = option->text;
        break;
    case OPTION_BLOCK:
    case OPTION_CIDRS:
    case OPTION_GROUP:
    case OPTION_SERVER:
    case OPTION_CERTIFICATE:
    case OPTION_DIRECTORY:
    case OPTION_WORDS:
    case OPTION_FILES:
    case OPTION_ENDPOINTS:
    case OPTION_STUB:
    case OPTION_CODES:
    case OPTION_PROBES:
    case OPTION_SCANNER:
    case OPTION_SECRET:
    case OPTION_TYPES:
        break;
    }
}

bool value_is_default(const struct option *option, const void *base) {
    union {
        struct conf_settings set;
        struct conf_listener listener;
        struct conf_group group;
        struct conf_domain_settings domain;
        struct conf_table table;
        struct conf_block_list block_list;
    } defaults = { 0 };
    memset(&defaults, 0, sizeof(defaults));
    value_set_default(option, &defaults);
    return value_eq(option, base, &defaults);
}

bool value_eq(const struct option *option, const void *a, const void *b) {
    return types[option->type]->eq(option, a, b);
}

int value_dump(const struct option *option, const void *base, const char *indent, struct buf *out) {
    const struct value_type *type = types[option->type];
    if (type->dump_list != NULL)
        return type->dump_list(option, base, indent, out);
    int r = buf_putf(out, "%s%s ", indent, option->name);
    if (r == 0)
        r = type->dump(option, base, out);
    if (r == 0)
        r = buf_puts(out, value_is_default(option, base) ? STR("  # default\n") : STR("\n"));
    return r;
}

int value_put_word(struct str word, struct buf *out) {
    bool needs_quotes = word.len == 0 || word.at[0] == '#' || word.at[word.len - 1] == ';';
    for (size_t i = 0; i < word.len && !needs_quotes; i++)
        needs_quotes = strchr(" \t{}\"", word.at[i]) != NULL;
    if (!needs_quotes)
        return buf_puts(out, word);
    int r = buf_putc(out, '"');
    for (size_t i = 0; i < word.len && r == 0; i++) {
        if (word.at[i] == '"' || word.at[i] == '\\')
            r = buf_putc(out, '\\');
        if (r == 0)
            r = buf_putc(out, word.at[i]);
    }
    return r < 0 ? r : buf_putc(out, '"');
}
