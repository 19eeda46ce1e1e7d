/*
 * values_scalar: values of one word: numbers, sizes and times, modes, flags, choices, texts, names and paths.
 *
 * So that a dump loads to the same configuration, a number is written in the largest unit that divides it exactly.
 *
 * A relative path begins at the folder of the file it stands in, not at the working directory: a daemon that is
 * started by hand, by an init system or by a test then finds the same files.
 */
#include "conf/value_types.h"

#include "conf/block_list_values.h"
#include "smtp/address.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- numbers, sizes, times */

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* The largest first, since the first that divides a value is what it is written in. */
static const struct unit size_units[] = {
    { "G", UINT64_C(1) << 30 }, { "M", UINT64_C(1) << 20 }, { "K", UINT64_C(1) << 10 }, { "", 1 }, { NULL, 0 },
};
static const struct unit time_units[] = {
    { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 },
};
static const struct unit number_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum option_type type) {
    return type == OPTION_SIZE ? size_units : type == OPTION_TIME ? time_units : number_units;
}

char *value_format(enum option_type type, uint64_t value, char out[VALUE_TEXT_MAX]) {
    const struct unit *unit = units_of(type);
    while (value % unit->factor != 0)
        unit++;
    snprintf(out, VALUE_TEXT_MAX, "%" PRIu64 "%s", value / unit->factor, value == 0 ? "" : unit->suffix);
    return out;
}

static const char *expected_number(const struct option *option) {
    if (option->type == OPTION_SIZE)
        return "a size such as 256K or 50M";
    return option->type == OPTION_TIME ? "a time such as 500ms, 30s, 10m, 1h or 2d" : "a number";
}

/* Digits and a unit. A time without one is wrong (seconds? minutes?) unless it is 0. */
static int to_number(struct str text, enum option_type type, uint64_t *ret_value) {
    size_t digits = 0;
    while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    struct str suffix = str_from(text, digits);
    const struct unit *unit = units_of(type);
    while (unit->suffix != NULL && !str_eq(suffix, str_of(unit->suffix)))
        unit++;
    if (digits == 1 && text.len == 1 && text.at[0] == '0')
        unit = &number_units[0];
    if (unit->suffix == NULL)
        return -EINVAL;
    unsigned long long value;
    int r = str_to_u64(str_head(text, digits), UINT64_MAX / unit->factor, &value);
    if (r == 0)
        *ret_value = value * unit->factor;
    return r;
}

static int parse_number(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, expected_number(option)))
        return 0;
    const struct word *word = &statement->words[1];
    uint64_t value = 0;
    int r = to_number(word->text, option->type, &value);
    if (r == -EINVAL) {
        FAIL(reader, word, "'%.*s' is not what '%s' takes; expected %s", STR_ARG(word->text), option->name,
             expected_number(option));
        return 0;
    }
    if (r < 0 || value < option->min || value > option->max) {
        char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];
        FAIL(reader, word, "%.*s is out of bounds; '%s' goes from %s to %s", STR_ARG(word->text), option->name,
             value_format(option->type, option->min, min), value_format(option->type, option->max, max));
        return 0;
    }
    *value_number(option, base) = value;
    return 0;
}

static int dump_number(const struct option *option, const void *base, struct buf *out) {
    char text[VALUE_TEXT_MAX];
    return buf_puts(out, str_of(value_format(option->type, *value_number(option, base), text)));
}

static bool number_eq(const struct option *option, const void *a, const void *b) {
    return *value_number(option, a) == *value_number(option, b);
}

/* ---- modes of files */

static int parse_mode(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "a mode such as 0660"))
        return 0;
    const struct word *word = &statement->words[1];
    uint64_t mode = 0;
    bool is_octal = word->text.len >= 3 && word->text.len <= 4;
    for (size_t i = 0; i < word->text.len && is_octal; i++) {
        is_octal = word->text.at[i] >= '0' && word->text.at[i] <= '7';
        mode = 8 * mode + (uint64_t)(word->text.at[i] - '0');
    }
    if (is_octal && mode <= option->max)
        *value_number(option, base) = mode;
    else
        FAIL(reader, word, "'%.*s' is not the mode of a file in octal, such as 0660", STR_ARG(word->text));
    return 0;
}

static int dump_mode(const struct option *option, const void *base, struct buf *out) {
    return buf_putf(out, "%04" PRIo64, *value_number(option, base));
}

/* ---- flags and choices */

static int parse_flag(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "yes or no"))
        return 0;
    const struct word *word = &statement->words[1];
    if (value_is_word(word, "yes") || value_is_word(word, "no"))
        *(bool *)value_field(option, base) = value_is_word(word, "yes");
    else
        FAIL(reader, word, "expected yes or no, got '%.*s'", STR_ARG(word->text));
    return 0;
}

static int dump_flag(const struct option *option, const void *base, struct buf *out) {
    return buf_puts(out, *(bool *)value_field(option, base) ? STR("yes") : STR("no"));
}

static bool flag_eq(const struct option *option, const void *a, const void *b) {
    return *(bool *)value_field(option, a) == *(bool *)value_field(option, b);
}

/* "none, may, require or verify" */
static const char *choices(const struct option *option, char out[128]) {
    size_t len = 0;
    for (size_t i = 0; option->words[i] != NULL && len < 128; i++) {
        const char *between = i == 0 ? "" : option->words[i + 1] == NULL ? " or " : ", ";
        len += (size_t)snprintf(out + len, 128 - len, "%s%s", between, option->words[i]);
    }
    return out;
}

/* A choice may be of more than one word, at connect, and who writes it in quotes means the same. */
static bool chooses(const struct statement *statement, const char *choice) {
    struct str rest = str_of(choice);
    if (statement->n_words == 2 && str_eq(statement->words[1].text, rest))
        return true;
    for (size_t i = 1; i < statement->n_words; i++) {
        struct str word = str_word(&rest);
        if (word.len == 0 || !str_eq(statement->words[i].text, word))
            return false;
    }
    return str_word(&rest).len == 0;
}

static int parse_choice(const struct value_reader *reader, const struct option *option,
                        const struct statement *statement, void *base) {
    char all[128];
    for (unsigned i = 0; option->words[i] != NULL; i++) {
        if (chooses(statement, option->words[i])) {
            *(unsigned *)value_field(option, base) = i;
            return 0;
        }
    }
    choices(option, all);
    bool is_of_words = statement->n_words > 1 && strchr(option->words[0], ' ') != NULL;
    const struct word *last = &statement->words[statement->n_words - 1];
    if (is_of_words || value_has_one(reader, statement, all))
        FAIL(reader, last, "expected %s, got '%.*s'", all, STR_ARG(last->text));
    return 0;
}

static int dump_choice(const struct option *option, const void *base, struct buf *out) {
    return buf_puts(out, str_of(option->words[*(unsigned *)value_field(option, base)]));
}

static bool choice_eq(const struct option *option, const void *a, const void *b) {
    return *(unsigned *)value_field(option, a) == *(unsigned *)value_field(option, b);
}

/* ---- texts */

static bool text_eq(const struct option *option, const void *a, const void *b) {
    const char *x = *value_text(option, a), *y = *value_text(option, b);
    return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

static int dump_text(const struct option *option, const void *base, struct buf *out) {
    const char *text = *value_text(option, base);
    return text == NULL ? buf_puts(out, str_of(option->none)) : value_put_word(str_of(text), out);
}

static int parse_text(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "a name"))
        return 0;
    const struct word *word = &statement->words[1];
    if (value_is_word(word, option->none)) {
        *value_text(option, base) = NULL;
        return 0;
    }
    if (word->text.len < option->min || word->text.len > option->max) {
        FAIL(reader, word, "'%s' takes %" PRIu64 " to %" PRIu64 " bytes", option->name, option->min, option->max);
        return 0;
    }
    return value_keep(reader, word->text, value_text(option, base));
}

static int parse_hostname(const struct value_reader *reader, const struct option *option,
                          const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "a name such as mx.example.com"))
        return 0;
    const struct word *word = &statement->words[1];
    struct ip ip;
    bool is_name = smtp_domain_parse(word->text, false, false) == SMTP_ADDRESS_OK && ip_parse(word->text, &ip) < 0;
    if (!is_name || str_find(word->text, '.') == word->text.len) {
        /* RFC 5321 2.3.5: only resolvable, fully qualified names appear in EHLO. */
        FAIL(reader, word, "'%.*s' is not a fully qualified host name, such as mx.example.com", STR_ARG(word->text));
        return 0;
    }
    return value_keep(reader, word->text, value_text(option, base));
}

int value_parse_path(const struct value_reader *reader, const struct word *word, const char *what, size_t max,
                     const char **ret_path) {
    if (str_is_empty(word->text)) {
        FAIL(reader, word, "expected %s, got nothing", what);
        return 0;
    }
    const char *between = word->text.at[0] == '/' ? "" : reader->folder;
    const char *path = arena_printf(&reader->conf->arena, "%s%s%.*s", between, *between == '\0' ? "" : "/",
                                    STR_ARG(word->text));
    if (path == NULL)
        return -ENOMEM;
    if (strlen(path) > max) {
        FAIL(reader, word, "this path is longer than %zu bytes: %s", max, path);
        return 0;
    }
    *ret_path = path;
    return 0;
}

static int parse_path(const struct value_reader *reader, const struct option *option,
                      const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "a path"))
        return 0;
    const struct word *word = &statement->words[1];
    if (!value_is_word(word, option->none))
        return value_parse_path(reader, word, "a path", option->max, value_text(option, base));
    *value_text(option, base) = NULL;
    return 0;
}

static int parse_address(const struct value_reader *reader, const struct option *option,
                         const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "an address such as postmaster@example.com"))
        return 0;
    const struct word *word = &statement->words[1];
    if (value_is_word(word, option->none)) {
        *value_text(option, base) = NULL;
        return 0;
    }
    struct smtp_address address;
    if (smtp_address_parse(word->text, true, &address) != SMTP_ADDRESS_OK) {
        FAIL(reader, word, "'%.*s' is not an address, such as postmaster@example.com", STR_ARG(word->text));
        return 0;
    }
    return value_keep(reader, word->text, value_text(option, base));
}

static int parse_catch_all(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "yes, no or an address"))
        return 0;
    const struct word *word = &statement->words[1];
    if (value_is_word(word, "no"))
        *value_text(option, base) = NULL;
    else if (value_is_word(word, "yes"))
        *value_text(option, base) = "";
    else
        return parse_address(reader, option, statement, base);
    return 0;
}

static int dump_catch_all(const struct option *option, const void *base, struct buf *out) {
    const char *text = *value_text(option, base);
    return text == NULL ? buf_puts(out, STR("no")) : *text == '\0' ? buf_puts(out, STR("yes"))
                                                                   : value_put_word(str_of(text), out);
}

/* Bytes that a local part can hold without quotes (RFC 5322 3.2.3) less letters and digits, which would cut names. */
static bool is_delimiter(char c) {
    return c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL;
}

static int parse_delimiter(const struct value_reader *reader, const struct option *option,
                           const struct statement *statement, void *base) {
    if (!value_has_one(reader, statement, "a byte such as +"))
        return 0;
    const struct word *word = &statement->words[1];
    struct str text = value_is_word(word, option->none) ? STR("") : word->text;
    bool is_good = text.len <= option->max;
    for (size_t i = 0; i < text.len && is_good; i++)
        is_good = is_delimiter(text.at[i]);
    if (!is_good) {
        FAIL(reader, word, "'%.*s' cannot be a delimiter; expected up to %" PRIu64 " of !#$%%&'*+-/=?^_`{|}~. or none",
             STR_ARG(word->text), option->max);
        return 0;
    }
    return value_keep(reader, text, value_text(option, base));
}

static int dump_delimiter(const struct option *option, const void *base, struct buf *out) {
    const char *text = *value_text(option, base);
    return value_put_word(str_of(*text == '\0' ? option->none : text), out);
}

/* ---- the types */

const struct value_type flag_type = { parse_flag, dump_flag, NULL, flag_eq };
const struct value_type number_type = { parse_number, dump_number, NULL, number_eq };
const struct value_type size_type = { parse_number, dump_number, NULL, number_eq };
const struct value_type time_type = { parse_number, dump_number, NULL, number_eq };
const struct value_type mode_type = { parse_mode, dump_mode, NULL, number_eq };
const struct value_type choice_type = { parse_choice, dump_choice, NULL, choice_eq };
const struct value_type text_type = { parse_text, dump_text, NULL, text_eq };
const struct value_type hostname_type = { parse_hostname, dump_text, NULL, text_eq };
const struct value_type path_type = { parse_path, dump_text, NULL, text_eq };
const struct value_type delimiter_type = { parse_delimiter, dump_delimiter, NULL, text_eq };
const struct value_type catch_all_type = { parse_catch_all, dump_catch_all, NULL, text_eq };
const struct value_type address_type = { parse_address, dump_text, NULL, text_eq };
const struct value_type secret_type = { parse_text, NULL, secret_dump, text_eq };
