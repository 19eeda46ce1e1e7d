/*
 * load: which configuration does this file describe, and what is wrong with it?
 *
 *     text ─▶ tree of statements (parse.c) ─▶ server groups ─▶ domain_defaults ─▶ everything else, in order ─▶ checks
 *     ─▶ policy
 *
 * Groups and domain_defaults are read first because the rest refers to them, wherever in the file they stand. Every
 * word is looked up in the option table; what a value may be is values.c's; here is which block an option belongs in,
 * and that a single one stands once. Domains are load_domains.c's, and what must hold for the whole is load_check.c's.
 *
 * An error costs its own statement and reading goes on, so that one run of `postern check` tells all of them; but a
 * configuration with an error is never handed out. The checks that need a whole configuration are made only when no
 * statement was wrong: otherwise one typing error would be told as three.
 *
 * Rejected: `include`. One file, and lists of domains in files of their own, keep an answer to "where does this
 * come from" that needs no tool.
 */
#include "conf/loader.h"

#include "base/file.h"
#include "conf/block_list_load.h"
#include "conf/list.h"
#include "conf/listeners.h"
#include "conf/policy.h"
#include "conf/store.h"
#include "conf/table.h"
#include "conf/values.h"

#include <libgen.h>
#include <stdlib.h>

size_t source_line(const struct diag_source *source, const char *at) {
    size_t line = 1;
    for (const char *c = source->text.at; c < at; c++)
        line += *c == '\n';
    return line;
}

/* ---- names of options */

/* " in a servers block or in a listen block": every block but `block` that has the option; false when none has. */
static bool find_other_blocks(enum option_block block, struct str name, char out[256]) {
    size_t len = 0;
    for (unsigned other = 0; other < OPTION_BLOCKS; other++) {
        if (other != block && option_find(other, name) != NULL && len < 256)
            len += (size_t)snprintf(out + len, 256 - len, "%s%s", len > 0 ? " or " : "", option_block_title(other));
    }
    return len > 0;
}

static void tell_unknown(const struct loader *l, enum option_block block, const struct word *word) {
    const char *names[OPTION_MAX];
    size_t n = 0;
    char places[256];
    if (find_other_blocks(block, word->text, places)) {
        ERROR(l, word->at, "'%.*s' belongs %s", STR_ARG(word->text), places);
        return;
    }
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].block == block)
            names[n++] = option_table[i].name;
    }
    const char *meant = diag_did_you_mean(word->text, names, n);
    if (meant != NULL)
        ERROR(l, word->at, "unknown option '%.*s'; did you mean '%s'?", STR_ARG(word->text), meant);
    else
        ERROR(l, word->at, "unknown option '%.*s'", STR_ARG(word->text));
}

static int open_block(struct loader *l, const struct statement *statement);

/* One statement of a block that exists and may stand here. */
static int load_statement(struct loader *l, const struct option *option, const struct statement *statement,
                          void *base) {
    const struct value_reader reader = { l->conf, l->diag, &l->source, l->folder };
    const struct word *word = &statement->words[0];
    if (option->type == OPTION_BLOCK)
        return open_block(l, statement);
    if (statement->has_block) {
        ERROR(l, word->at, "'%s' opens no block here; expected a value", option->name);
        return 0;
    }
    return value_parse(&reader, option, statement, base);
}

int loader_block(struct loader *l, enum option_block block, const struct statement *first, void *base) {
    const struct statement *seen[OPTION_MAX] = { NULL };
    int r = 0;
    for (const struct statement *statement = first; statement != NULL && r == 0; statement = statement->next) {
        const struct word *word = &statement->words[0];
        const struct option *option = option_find(block, word->text);
        if (option == NULL) {
            tell_unknown(l, block, word);
            continue;
        }
        const struct statement **before = &seen[option - option_table];
        if (*before != NULL && !option_is_repeatable(option)) {
            ERROR(l, word->at, "'%s' stands here twice; the first one is in line %zu", option->name,
                  source_line(&l->source, (*before)->words[0].at));
            continue;
        }
        *before = statement;
        r = load_statement(l, option, statement, base);
    }
    return r;
}

static void set_defaults(enum option_block block, void *base) {
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].block == block)
            value_set_default(&option_table[i], base);
    }
}

/* ---- server groups */

static bool is_group_name(struct str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.at[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && strchr("._-", c) == NULL)
            return false;
    }
    return name.len > 0 && name.len <= 64 && !str_eq(name, STR("none"));
}

/* Says whether `servers NAME {` can become a group. */
static bool check_group(const struct loader *l, const struct statement *statement) {
    const struct word *words = statement->words;
    if (statement->n_words != 2 || !statement->has_block) {
        ERROR(l, words[0].at, "expected 'servers NAME {' with a server in each line; in domain_defaults or a domain, "
              "'servers NAME' takes one of these");
        return false;
    }
    if (!is_group_name(words[1].text)) {
        ERROR(l, words[1].at, "'%.*s' cannot name a group; expected letters, digits, '.', '_', '-', and not 'none'",
              STR_ARG(words[1].text));
        return false;
    }
    for (size_t i = 0; i < l->conf->n_groups; i++) {
        if (str_eq(str_of(l->conf->groups[i].name), words[1].text)) {
            ERROR(l, words[1].at, "a second group called '%.*s'", STR_ARG(words[1].text));
            return false;
        }
    }
    return true;
}

static int load_group(struct loader *l, const struct statement *statement) {
    struct conf *conf = l->conf;
    if (!check_group(l, statement))
        return 0;
    struct conf_group *group = &conf->groups[conf->n_groups];
    *group = (struct conf_group){ .index = (unsigned)conf->n_groups };
    set_defaults(OPTION_IN_SERVERS, group);
    group->name = arena_strdup(&conf->arena, statement->words[1].text);
    if (group->name == NULL)
        return -ENOMEM;
    conf->n_groups++;
    unsigned errors = l->diag->errors;
    int r = loader_block(l, OPTION_IN_SERVERS, statement->children, group);
    if (r == 0 && group->n_servers == 0 && l->diag->errors == errors)
        ERROR(l, statement->words[0].at, "this group has no server");
    if (r == 0 && group->ca_file != NULL && group->tls != CONF_TLS_VERIFY && l->diag->errors == errors)
        diag_warning(l->diag, &l->source, statement->words[0].at, "ca_file is used with 'tls verify' only");
    return r;
}

/* All groups, into an array of their own that never moves: domains point into it. */
static int load_groups(struct loader *l) {
    size_t n = 0, n_servers = 0;
    int r = 0;
    for (const struct statement *s = l->statements; s != NULL; s = s->next)
        n += statement_is(s, "servers");
    l->conf->groups = arena_zalloc(&l->conf->arena, (n > 0 ? n : 1) * sizeof(*l->conf->groups));
    if (l->conf->groups == NULL)
        return -ENOMEM;
    for (const struct statement *s = l->statements; s != NULL && r == 0; s = s->next) {
        if (statement_is(s, "servers"))
            r = load_group(l, s);
    }
    for (size_t i = 0; i < l->conf->n_groups; i++)
        n_servers += l->conf->groups[i].n_servers;
    if (n_servers > CONF_SERVERS_MAX)
        ERROR(l, NULL, "%zu servers in all groups together; at most %d are possible", n_servers, CONF_SERVERS_MAX);
    return r;
}

/* ---- listeners */

static int load_listener(struct loader *l, const struct statement *statement) {
    const struct value_reader reader = { l->conf, l->diag, &l->source, l->folder };
    struct conf_listener listener = { 0 };
    int r;
    if (!listener_parse_head(&reader, statement, &listener, &r))
        return r;
    enum option_block block = listener_block(&listener);
    if (block != OPTION_BLOCKS) {
        set_defaults(block, &listener);
        r = loader_block(l, block, statement->children, &listener);
    }
    return r < 0 ? r : listener_add(&reader, statement, &listener);
}

/* ---- tables */

static int load_table(struct loader *l, const struct statement *statement) {
    const struct value_reader reader = { l->conf, l->diag, &l->source, l->folder };
    struct conf *conf = l->conf;
    struct conf_table table = { 0 };
    int r;
    if (!table_parse_head(&reader, statement, &table, &r))
        return r;
    unsigned errors = l->diag->errors;
    r = loader_block(l, OPTION_IN_TABLE, statement->children, &table);
    if (r == 0 && l->is_whole && l->diag->errors == errors)
        r = table_fill(&reader, statement, l->previous, &table);
    if (r == 0)
        r = list_grow(&conf->arena, &conf->tables, conf->n_tables, sizeof(table));
    if (r == 0)
        conf->tables[conf->n_tables++] = table;
    else
        table_free(table.table);
    return r;
}

/* ---- block lists */

static int load_block_list(struct loader *l, const struct statement *statement) {
    const struct value_reader reader = { l->conf, l->diag, &l->source, l->folder };
    struct conf_block_list list = { 0 };
    int r;
    if (!block_list_parse_head(&reader, statement, &list, &r))
        return r;
    set_defaults(OPTION_IN_BLOCK_LIST, &list);
    r = loader_block(l, OPTION_IN_BLOCK_LIST, statement->children, &list);
    return r < 0 ? r : block_list_add(&reader, statement, &list);
}

/* ---- domain_defaults */

/* The only group, where there is one, serves every domain that names none. */
static int load_domain_defaults(struct loader *l) {
    struct conf_domain_settings *set = &l->conf->domain_defaults;
    set_defaults(OPTION_IN_DOMAIN, set);
    if (l->conf->n_groups == 1)
        set->servers = &l->conf->groups[0];
    for (const struct statement *s = l->statements; s != NULL && l->defaults == NULL; s = s->next) {
        if (statement_is(s, "domain_defaults"))
            l->defaults = s;
    }
    return l->defaults == NULL ? 0 : loader_block(l, OPTION_IN_DOMAIN, l->defaults->children, set);
}

/* ---- blocks */

/* Blocks that stand once and have no name. */
static const struct {
    const char *name;
    enum option_block block;
} sections[] = {
    { "tls", OPTION_IN_TLS }, { "limits", OPTION_IN_LIMITS },   { "timeouts", OPTION_IN_TIMEOUTS },
    { "log", OPTION_IN_LOG }, { "journal", OPTION_IN_JOURNAL }, { "domain_defaults", OPTION_IN_DOMAIN },
    { "dns", OPTION_IN_DNS }, { "greylist", OPTION_IN_GREYLIST }, { "store", OPTION_IN_STORE },
    { "clamav", OPTION_IN_CLAMAV }, { "spamassassin", OPTION_IN_SPAMASSASSIN },
    { "attachments", OPTION_IN_ATTACHMENTS }, { "quarantine", OPTION_IN_QUARANTINE },
    { "on_failure", OPTION_IN_ON_FAILURE },
};

static int open_section(struct loader *l, const struct statement *statement, enum option_block block) {
    struct str name = statement->words[0].text;
    char places[256];
    if (!statement->has_block && find_other_blocks(OPTION_IN_MAIN, name, places))
        ERROR(l, statement->words[0].at, "'%.*s' with a value belongs %s; here it opens a block", STR_ARG(name),
              places);
    else if (!statement->has_block || statement->n_words > 1)
        ERROR(l, statement->words[0].at, "expected '%.*s {'", STR_ARG(name));
    else if (block != OPTION_IN_DOMAIN) /* domain_defaults were loaded before the domains */
        return loader_block(l, block, statement->children, &l->conf->set);
    return 0;
}

static int open_block(struct loader *l, const struct statement *statement) {
    if (statement_is(statement, "listen") || statement_is(statement, "policy_listen"))
        return load_listener(l, statement);
    if (statement_is(statement, "domain"))
        return loader_domain(l, statement);
    if (statement_is(statement, "domains"))
        return loader_domains(l, statement);
    if (statement_is(statement, "table"))
        return load_table(l, statement);
    if (statement_is(statement, "block_list"))
        return load_block_list(l, statement);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (statement_is(statement, sections[i].name))
            return open_section(l, statement, sections[i].block);
    }
    return 0; /* servers: loaded before everything else */
}

/* ---- loading */

/* The absolute folder of a path; as it stands where that cannot be found out. */
static const char *folder_of(const char *path, struct arena *arena) {
    char *copy = arena_strdup(arena, str_of(path));
    if (copy == NULL)
        return NULL;
    const char *folder = dirname(copy);
    char *real = realpath(folder, NULL);
    if (real == NULL)
        return folder;
    folder = arena_strdup(arena, str_of(strcmp(real, "/") == 0 ? "" : real));
    free(real);
    return folder;
}

static int load_policy(struct loader *l) {
    const struct value_reader reader = { l->conf, l->diag, &l->source, l->folder };
    const struct statement *statement = l->statements;
    while (statement != NULL && !statement_is(statement, "policy"))
        statement = statement->next;
    return conf_policy_load(&reader, statement);
}

static int load(struct loader *l) {
    int r = parse_statements(&l->source, &l->scratch, l->diag, &l->statements);
    for (unsigned block = OPTION_IN_MAIN; block <= OPTION_IN_ON_FAILURE; block++)
        set_defaults(block, &l->conf->set);
    if (r == 0)
        r = load_groups(l);
    if (r == 0)
        r = load_domain_defaults(l);
    if (r == 0)
        r = loader_block(l, OPTION_IN_MAIN, l->statements, &l->conf->set);
    if (r == 0 && l->diag->errors == 0)
        r = loader_check(l);
    if (r == 0 && l->diag->errors == 0 && l->is_whole)
        r = load_policy(l);
    return r < 0 ? r : l->diag->errors > 0 ? -EINVAL : 0;
}

static int load_text(const char *path, struct str text, bool is_whole, const struct conf *previous,
                     struct diag_list *diag, struct conf **ret_conf) {
    struct conf *conf = calloc(1, sizeof(*conf));
    if (conf == NULL)
        return -ENOMEM;
    struct loader loader = { .conf = conf, .diag = diag, .source = { .path = path, .text = text },
                             .is_whole = is_whole, .previous = previous };
    if (text.len == 0)
        loader.source.text = STR("");
    conf->path = arena_strdup(&conf->arena, str_of(path));
    loader.folder = folder_of(path, &loader.scratch);
    int r = conf->path == NULL || loader.folder == NULL ? -ENOMEM : load(&loader);
    arena_reset(&loader.scratch);
    if (r < 0)
        conf_free(conf);
    else
        *ret_conf = conf;
    return r;
}

int conf_load_text(const char *path, struct str text, struct diag_list *diag, struct conf **ret_conf) {
    return load_text(path, text, true, NULL, diag, ret_conf);
}

static int load_file(const char *path, bool is_whole, const struct conf *previous, struct diag_list *diag,
                     struct conf **ret_conf) {
    struct arena arena = { 0 };
    struct str text;
    int r = file_read(path, CONF_FILE_MAX, &arena, &text);
    if (r == 0) {
        r = load_text(path, text, is_whole, previous, diag, ret_conf);
    } else if (r != -ENOMEM) {
        const struct diag_source source = { .path = path, .text = STR("") };
        if (r == -EFBIG)
            diag_error(diag, &source, NULL, "the file is larger than %d MiB", CONF_FILE_MAX / (1024 * 1024));
        else
            diag_error(diag, &source, NULL, "cannot be read: %s", r == -EINVAL ? "not a regular file" : strerror(-r));
        r = -EINVAL;
    }
    arena_reset(&arena);
    return r;
}

int conf_load(const char *path, struct diag_list *diag, struct conf **ret_conf) {
    return load_file(path, true, NULL, diag, ret_conf);
}

int conf_load_again(const char *path, const struct conf *previous, struct diag_list *diag, struct conf **ret_conf) {
    return load_file(path, true, previous, diag, ret_conf);
}

int conf_load_settings(const char *path, struct diag_list *diag, struct conf **ret_conf) {
    return load_file(path, false, NULL, diag, ret_conf);
}

void conf_free(struct conf *conf) {
    if (conf == NULL)
        return;
    conf_policy_deinit(&conf->policy);
    for (size_t i = 0; i < conf->n_tables; i++)
        table_free(conf->tables[i].table);
    table_free(conf->relay_clients);
    arena_reset(&conf->arena);
    free(conf);
}
