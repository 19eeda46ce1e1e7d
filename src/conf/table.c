/*
 * table: which sets may the rules of this configuration ask about, and what is in them?
 *
 * The contents are read when the block has been read, so that a wrong entry is told beside everything else that is
 * wrong. Entries written in the block go to the table one by one, as words: a pattern may hold a blank or a `#`, which
 * in a file would begin a comment.
 *
 * `relay_clients` is an option of its own and a table to the rules, so no other table can be called that.
 *
 * Rejected: a file and entries in one table. "Where does this come from?" would have two answers for one name, and
 * whoever generates the file would not know of the other half.
 */
#include "conf/table.h"

#include <errno.h>
#include <stdio.h>

#define FAIL(reader, word, ...) diag_error((reader)->diag, (reader)->source, (word)->at, __VA_ARGS__)

/* What a rule can name: the words of the policy language. */
static bool is_table_name(struct str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.at[i]);
        bool is_letter = (c >= 'a' && c <= 'z') || c == '_';
        if (!is_letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0 && name.len <= CONF_TABLE_NAME_MAX;
}

static bool find_type(struct str word, enum table_type *ret_type) {
    for (unsigned type = 0; type < TABLE_TYPES; type++) {
        if (str_eq(word, str_of(table_type_names[type]))) {
            *ret_type = (enum table_type)type;
            return true;
        }
    }
    return false;
}

static bool check_name(const struct value_reader *reader, const struct word *word) {
    if (!is_table_name(word->text)) {
        FAIL(reader, word, "'%.*s' cannot name a table; expected letters, digits and '_', at most %d",
             STR_ARG(word->text), CONF_TABLE_NAME_MAX);
        return false;
    }
    bool is_taken = str_eq(word->text, STR("relay_clients"));
    for (size_t i = 0; i < reader->conf->n_tables; i++)
        is_taken = is_taken || str_eq(word->text, str_of(reader->conf->tables[i].name));
    if (is_taken)
        FAIL(reader, word, "a second table called '%.*s'%s", STR_ARG(word->text),
             str_eq(word->text, STR("relay_clients")) ? "; the option relay_clients is one" : "");
    return !is_taken;
}

bool table_parse_head(const struct value_reader *reader, const struct statement *statement,
                      struct conf_table *ret_table, int *ret_error) {
    const struct word *words = statement->words;
    *ret_error = 0;
    if (statement->n_words != 3) {
        FAIL(reader, &words[0], "expected 'table NAME cidr|names|addresses|patterns'");
        return false;
    }
    if (!check_name(reader, &words[1]))
        return false;
    if (!find_type(words[2].text, &ret_table->type)) {
        FAIL(reader, &words[2], "expected cidr, names, addresses or patterns, got '%.*s'", STR_ARG(words[2].text));
        return false;
    }
    if (reader->conf->n_tables == CONF_TABLES_MAX) {
        FAIL(reader, &words[0], "more than %d tables", CONF_TABLES_MAX);
        return false;
    }
    ret_table->name = arena_strdup(&reader->conf->arena, words[1].text);
    *ret_error = ret_table->name == NULL ? -ENOMEM : 0;
    return *ret_error == 0;
}

/* The words behind `entries`, wherever in the block they stand. */
static int fill_from_block(const struct value_reader *reader, const struct statement *statement, struct table *table) {
    for (const struct statement *s = statement->children; s != NULL; s = s->next) {
        if (!str_eq(s->words[0].text, STR("entries")))
            continue;
        for (size_t i = 1; i < s->n_words; i++) {
            const char *problem;
            int r = table_add(table, s->words[i].text, &problem);
            if (r == -ENOMEM)
                return r;
            if (r < 0)
                FAIL(reader, &s->words[i], "%s", problem);
        }
    }
    return 0;
}

/* The table as it was read before, when its file is the one that was read then. */
static struct table *find_unchanged(const struct conf *previous, const struct conf_table *table) {
    for (size_t i = 0; previous != NULL && i < previous->n_tables; i++) {
        const struct conf_table *other = &previous->tables[i];
        if (other->file != NULL && strcmp(other->file, table->file) == 0 && other->type == table->type &&
            conf_table_is_same_file(&other->looked, &table->looked))
            return table_share(other->table);
    }
    return NULL;
}

static int fill_from_file(const struct value_reader *reader, const struct conf *previous, struct conf_table *table) {
    if (stat(table->file, &table->looked) == 0)
        table->table = find_unchanged(previous, table);
    if (table->table != NULL)
        return 0;
    int r = table_load_file(table->type, table->file, reader->diag, &table->table);
    return r == -ENOMEM ? r : 0;
}

int table_fill(const struct value_reader *reader, const struct statement *statement, const struct conf *previous,
               struct conf_table *table) {
    if (table->file != NULL && table->entries.n > 0) {
        FAIL(reader, &statement->words[0], "a table has a file or entries, not both");
        return 0;
    }
    if (table->file != NULL)
        return fill_from_file(reader, previous, table);
    int r = table_new(table->type, &table->table);
    if (r == 0)
        r = fill_from_block(reader, statement, table->table);
    return r < 0 ? r : table_seal(table->table);
}

int table_of_cidrs(const struct conf_cidrs *cidrs, struct table **ret_table) {
    struct table *table = NULL;
    int r = table_new(TABLE_TYPE_CIDR, &table);
    for (size_t i = 0; i < cidrs->n && r == 0; i++) {
        char ip[IP_TEXT_MAX], text[IP_TEXT_MAX + 4];
        const char *problem;
        int len = snprintf(text, sizeof(text), "%s/%u", ip_format(&cidrs->at[i].ip, ip), cidrs->at[i].bits);
        r = table_add(table, (struct str){ text, (size_t)len }, &problem);
    }
    if (r == 0)
        r = table_seal(table);
    if (r == 0)
        *ret_table = table;
    else
        table_free(table);
    return r;
}

bool conf_table_is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void conf_table_swap(struct conf *conf, size_t number, struct table *take_table) {
    struct table *old = conf->tables[number].table;
    for (size_t i = 0; conf->policy.tables != NULL && i < conf->policy.policy->n_slots; i++)
        if (conf->policy.tables[i] == old)
            conf->policy.tables[i] = take_table;
    conf->tables[number].table = take_table;
    table_free(old);
}
