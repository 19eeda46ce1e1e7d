/*
 * tables: reads lines into the set of their kind, and asks it.
 *
 * A name or domain is kept without the dots at its ends; the flags of a word say whether it stands for itself
 * (".example.com" does, too) or for what is below it. For an address three words are looked up: all of it, its
 * domain, its local part. Addresses are compared by what their local part means ("a\ b" and "a b" are one mailbox), or
 * a banned sender would come back in quotes.
 */
#include "table/tables.h"

#include "base/file.h"
#include "smtp/address.h"
#include "table/cidr.h"
#include "table/patterns.h"
#include "table/words.h"

#include <errno.h>
#include <stdlib.h>

enum { ADDRESS_MAX = SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX };
enum { ITSELF = 1, BELOW = 2, LOCAL = 4 };

const char *const table_type_names[TABLE_TYPES] = { "cidr", "names", "addresses", "patterns" };

struct table {
    enum table_type type;
    unsigned n_owners;
    size_t n;
    struct cidr_set *prefixes;
    struct words *words;
    struct patterns *patterns;
};

int table_new(enum table_type type, struct table **ret_table) {
    struct table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    table->type = type;
    table->n_owners = 1;
    if (type == TABLE_TYPE_CIDR)
        table->prefixes = cidr_set_new();
    else if (type == TABLE_TYPE_PATTERNS)
        table->patterns = patterns_new();
    else
        table->words = words_new();
    if (table->prefixes == NULL && table->patterns == NULL && table->words == NULL) {
        free(table);
        return -ENOMEM;
    }
    *ret_table = table;
    return 0;
}

/* ---- entries */

static struct str without_final_dot(struct str name) {
    return name.len > 1 && name.at[name.len - 1] == '.' ? str_head(name, name.len - 1) : name;
}

static bool is_name(struct str name) {
    return smtp_domain_parse(name, false, true) == SMTP_ADDRESS_OK;
}

static int add_cidr(struct table *table, struct str entry, const char **ret_problem) {
    struct cidr prefix;
    *ret_problem = "expected a prefix such as 192.0.2.0/24 or 2001:db8::/32, with no bits set behind it";
    return cidr_parse(entry, &prefix) < 0 ? -EINVAL : cidr_set_add(table->prefixes, &prefix);
}

static int add_name(struct table *table, struct str entry, const char **ret_problem) {
    bool is_tree = entry.at[0] == '.';
    struct str name = without_final_dot(str_from(entry, is_tree ? 1 : 0));
    *ret_problem = "expected a name such as example.com, or .example.com for all below it too";
    return is_name(name) ? words_add(table->words, name, is_tree ? ITSELF | BELOW : ITSELF) : -EINVAL;
}

/* The address as tables hold and find it: the meaning of its local part, and its domain. */
static struct str canonical(const struct smtp_address *address, char out[ADDRESS_MAX]) {
    size_t len = smtp_local_canonical(address, out);
    out[len++] = '@';
    memcpy(out + len, address->domain.at, address->domain.len);
    return (struct str){ out, len + address->domain.len };
}

/* "user@": read as an address of a domain that is put behind it. */
static int add_local(struct table *table, struct str entry) {
    struct smtp_address address;
    char text[SMTP_LOCAL_MAX + 2], local[SMTP_LOCAL_MAX];
    if (entry.len > SMTP_LOCAL_MAX + 1)
        return -EINVAL;
    memcpy(text, entry.at, entry.len);
    text[entry.len] = 'x';
    if (smtp_address_parse((struct str){ text, entry.len + 1 }, true, &address) != SMTP_ADDRESS_OK)
        return -EINVAL;
    size_t len = smtp_local_canonical(&address, local);
    return len > 0 ? words_add(table->words, (struct str){ local, len }, LOCAL) : -EINVAL; /* "" is one, in quotes */
}

static int add_address(struct table *table, struct str entry, const char **ret_problem) {
    struct smtp_address address;
    char buffer[ADDRESS_MAX];
    size_t at = str_find_last(entry, '@');
    *ret_problem = "expected user@example.com, example.com for all of a domain, or user@ for that name in any domain";
    if (at == entry.len)
        return is_name(entry) ? words_add(table->words, entry, BELOW) : -EINVAL;
    if (at == entry.len - 1)
        return add_local(table, entry);
    if (smtp_address_parse(entry, true, &address) != SMTP_ADDRESS_OK)
        return -EINVAL;
    return words_add(table->words, canonical(&address, buffer), ITSELF);
}

static int add(struct table *table, struct str entry, const char **ret_problem) {
    switch (table->type) {
    case TABLE_TYPE_CIDR:
        return add_cidr(table, entry, ret_problem);
    case TABLE_TYPE_NAMES:
        return add_name(table, entry, ret_problem);
    case TABLE_TYPE_ADDRESSES:
        return add_address(table, entry, ret_problem);
    case TABLE_TYPE_PATTERNS:
        return patterns_add(table->patterns, entry, ret_problem);
    }
    return -EINVAL;
}

int table_add(struct table *table, struct str entry, const char **ret_problem) {
    int r = entry.len == 0 ? -EINVAL : add(table, entry, ret_problem);
    if (entry.len == 0)
        *ret_problem = "an empty entry";
    table->n += r == 0;
    return r;
}

int table_seal(struct table *table) {
    return table->prefixes != NULL ? cidr_set_seal(table->prefixes) : 0;
}

/* ---- loading */

/* An entry without its comment, which begins at a # behind a blank; a pattern may hold # anywhere else. */
static struct str entry_of(struct str line) {
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '#' && (i == 0 || line.at[i - 1] == ' ' || line.at[i - 1] == '\t'))
            line.len = i;
    return str_trim(line);
}

static int load_lines(struct table *table, const struct diag_source *source, struct diag_list *diag) {
    unsigned errors = diag->errors;
    static const struct str byte_order_mark = STR_INIT("\xEF\xBB\xBF");
    struct str rest = source->text;
    if (str_eq(str_head(rest, byte_order_mark.len), byte_order_mark))
        rest = str_from(rest, byte_order_mark.len);
    while (rest.len > 0) {
        size_t end = str_find(rest, '\n');
        struct str entry = entry_of(str_head(rest, end));
        const char *problem;
        rest = str_from(rest, end + 1);
        int r = entry.len > 0 ? table_add(table, entry, &problem) : 0;
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            diag_error(diag, source, entry.at, "%s", problem);
    }
    return diag->errors > errors ? -EINVAL : 0;
}

int table_load(enum table_type type, const struct diag_source *source, struct diag_list *diag,
               struct table **ret_table) {
    struct table *table = NULL;
    int r = table_new(type, &table);
    if (r == 0)
        r = load_lines(table, source, diag);
    if (r == 0)
        r = table_seal(table);
    if (r < 0) {
        table_free(table);
        return r;
    }
    *ret_table = table;
    return 0;
}

static int cannot_read(const char *path, int r, struct diag_list *diag) {
    const struct diag_source source = { .path = path, .text = STR("") };
    diag_error(diag, &source, NULL, "cannot be read: %s", r == -EINVAL ? "not a regular file" : strerror(-r));
    return r;
}

/* `r` is how reading went. */
static int load_read(enum table_type type, int r, const struct diag_source *source, struct arena *arena,
                     struct diag_list *diag, struct table **ret_table) {
    r = r == 0 ? table_load(type, source, diag, ret_table) : cannot_read(source->path, r, diag);
    arena_reset(arena);
    return r;
}

int table_load_fd(enum table_type type, int fd, const char *path, struct diag_list *diag, struct table **ret_table) {
    struct diag_source source = { .path = path };
    struct arena arena = { 0 };
    int r = file_read_fd(fd, TABLE_FILE_MAX, &arena, &source.text);
    return load_read(type, r, &source, &arena, diag, ret_table);
}

int table_load_file(enum table_type type, const char *path, struct diag_list *diag, struct table **ret_table) {
    struct diag_source source = { .path = path };
    struct arena arena = { 0 };
    int r = file_read(path, TABLE_FILE_MAX, &arena, &source.text);
    return load_read(type, r, &source, &arena, diag, ret_table);
}

struct table *table_share(struct table *table) {
    table->n_owners++;
    return table;
}

void table_free(struct table *table) {
    if (table == NULL || --table->n_owners > 0)
        return;
    cidr_set_free(table->prefixes);
    words_free(table->words);
    patterns_free(table->patterns);
    free(table);
}

enum table_type table_type(const struct table *table) {
    return table->type;
}

size_t table_count(const struct table *table) {
    return table->n;
}

/* ---- asking */

bool table_has_ip(const struct table *table, const struct ip *ip) {
    return table->prefixes != NULL && cidr_set_has(table->prefixes, ip);
}

static bool has_name(const struct words *words, struct str name) {
    name = without_final_dot(name);
    if (words_find(words, name) & ITSELF)
        return true;
    for (size_t dot = str_find(name, '.'); dot < name.len; dot = str_find(name, '.')) {
        name = str_from(name, dot + 1);
        if (words_find(words, name) & BELOW)
            return true;
    }
    return false;
}

static bool has_address(const struct words *words, struct str address) {
    struct smtp_address parsed;
    char buffer[ADDRESS_MAX];
    if (smtp_address_parse(address, true, &parsed) == SMTP_ADDRESS_OK)
        address = canonical(&parsed, buffer);
    size_t at = str_find_last(address, '@');
    return (words_find(words, address) & ITSELF) != 0 || (words_find(words, str_from(address, at + 1)) & BELOW) != 0
        || (words_find(words, str_head(address, at)) & LOCAL) != 0;
}

enum table_answer table_ask(const struct table *table, struct str text) {
    if (text.len == 0)
        return TABLE_NO;
    switch (table->type) {
    case TABLE_TYPE_NAMES:
        return has_name(table->words, text) ? TABLE_YES : TABLE_NO;
    case TABLE_TYPE_ADDRESSES:
        return has_address(table->words, text) ? TABLE_YES : TABLE_NO;
    case TABLE_TYPE_PATTERNS:
        return patterns_ask(table->patterns, text);
    case TABLE_TYPE_CIDR:
        break;
    }
    return TABLE_NO;
}

bool table_has(const struct table *table, struct str text) {
    return table_ask(table, text) == TABLE_YES;
}
