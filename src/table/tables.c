/*
 * tables: reads lines into the set of their kind, and asks it.
 *
 * A name or domain is kept without the dots at its ends; the flags of a word say whether it stands for itself
 * (".example.com" does, too) or for what is below it. For an address three words are looked up: all of it, its
 * domain, its local part.
 */
#include "table/tables.h"

#include "smtp/address.h"
#include "table/cidr.h"
#include "table/patterns.h"
#include "table/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ITSELF = 1, BELOW = 2, LOCAL = 4 };

struct table {
    enum table_type type;
    size_t n;
    struct cidr_set *prefixes;
    struct words *words;
    struct patterns *patterns;
};

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

static int add_address(struct table *table, struct str entry, const char **ret_problem) {
    struct smtp_address address;
    size_t at = str_find_last(entry, '@');
    *ret_problem = "expected user@example.com, example.com for all of a domain, or user@ for that name in any domain";
    if (at == entry.len)
        return is_name(entry) ? words_add(table->words, entry, BELOW) : -EINVAL;
    if (at == entry.len - 1)
        return at > 0 ? words_add(table->words, str_head(entry, at), LOCAL) : -EINVAL;
    if (smtp_address_parse(entry, true, &address) != SMTP_ADDRESS_OK)
        return -EINVAL;
    return words_add(table->words, entry, ITSELF);
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
    struct str rest = source->text;
    while (rest.len > 0) {
        size_t end = str_find(rest, '\n');
        struct str entry = entry_of(str_head(rest, end));
        const char *problem;
        rest = str_from(rest, end + 1);
        int r = entry.len > 0 ? add(table, entry, &problem) : 0;
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            diag_error(diag, source, entry.at, "%s", problem);
        table->n += entry.len > 0;
    }
    return diag->errors > errors ? -EINVAL : 0;
}

int table_load(enum table_type type, const struct diag_source *source, struct diag_list *diag, struct table **ret_table) {
    struct table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    table->type = type;
    if (type == TABLE_TYPE_CIDR)
        table->prefixes = cidr_set_new();
    else if (type == TABLE_TYPE_PATTERNS)
        table->patterns = patterns_new();
    else
        table->words = words_new();
    int r = table->prefixes == NULL && table->patterns == NULL && table->words == NULL ? -ENOMEM : 0;
    if (r == 0)
        r = load_lines(table, source, diag);
    if (r == 0 && table->prefixes != NULL)
        r = cidr_set_seal(table->prefixes);
    if (r < 0) {
        table_free(table);
        return r;
    }
    *ret_table = table;
    return 0;
}

int table_load_file(enum table_type type, const char *path, struct diag_list *diag, struct table **ret_table) {
    struct diag_source source = { .path = path };
    struct stat st;
    int r = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode) || st.st_size > TABLE_FILE_MAX)
        r = -EFBIG;
    void *map = MAP_FAILED;
    if (r == 0 && st.st_size > 0 && (map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        r = -errno;
    if (fd >= 0)
        close(fd);
    if (r < 0) {
        diag_error(diag, &source, NULL, "cannot be read: %s", strerror(-r));
        return r;
    }
    if (map != MAP_FAILED)
        source.text = (struct str){ map, (size_t)st.st_size };
    r = table_load(type, &source, diag, ret_table);
    if (map != MAP_FAILED)
        munmap(map, (size_t)st.st_size);
    return r;
}

void table_free(struct table *table) {
    if (table == NULL)
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
    size_t at = str_find_last(address, '@');
    return (words_find(words, address) & ITSELF) != 0 || (words_find(words, str_from(address, at + 1)) & BELOW) != 0
        || (words_find(words, str_head(address, at)) & LOCAL) != 0;
}

bool table_has(const struct table *table, struct str text) {
    if (text.len == 0)
        return false;
    switch (table->type) {
    case TABLE_TYPE_NAMES:
        return has_name(table->words, text);
    case TABLE_TYPE_ADDRESSES:
        return has_address(table->words, text);
    case TABLE_TYPE_PATTERNS:
        return patterns_have(table->patterns, text);
    case TABLE_TYPE_CIDR:
        break;
    }
    return false;
}
