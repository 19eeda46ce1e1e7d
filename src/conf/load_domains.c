/*
 * load_domains: the domains whose mail is taken, each in a statement of its own or in a line of a list file.
 *
 * Where a domain was written is remembered, so that what is found wrong when the whole is known is told in that place.
 */
#include "conf/loader.h"

#include "base/file.h"
#include "conf/domains.h"
#include "conf/list.h"

#include <errno.h>

/* Adds a domain written at origin->at; *ret_domain stays NULL when it cannot be one, which was said. */
static int add_domain(struct loader *l, struct str name, const struct origin *origin,
                      struct conf_domain **ret_domain) {
    const char *problem = domain_problem(name);
    if (problem != NULL) {
        diag_error(l->diag, origin->source, origin->at, "%s", problem);
        return 0;
    }
    struct conf_domain *domain;
    bool is_new;
    int r = domain_add(l->conf, name, &domain, &is_new);
    if (r < 0)
        return r;
    if (!is_new) {
        const struct origin *first = &l->origins[domain->index];
        diag_error(l->diag, origin->source, origin->at, "domain '%s' stands twice; the first one is in %s, line %zu",
                   domain->name, first->source->path, source_line(first->source, first->at));
        return 0;
    }
    r = list_grow(&l->scratch, &l->origins, domain->index, sizeof(*origin));
    if (r < 0)
        return r;
    l->origins[domain->index] = *origin;
    *ret_domain = domain;
    return 0;
}

int loader_domain(struct loader *l, const struct statement *statement) {
    if (statement->n_words != 2) {
        ERROR(l, statement->words[0].at, "expected 'domain NAME' (many names: 'domains from FILE')");
        return 0;
    }
    const struct origin origin = { &l->source, statement->words[1].at, statement };
    struct conf_domain *domain = NULL;
    int r = add_domain(l, statement->words[1].text, &origin, &domain);
    if (r < 0 || domain == NULL)
        return r;
    return loader_block(l, OPTION_IN_DOMAIN, statement->children, &domain->set);
}

/* One line of a list file: a name, a comment, or nothing. */
static int load_domain_line(struct loader *l, const struct diag_source *list, struct str line) {
    line = str_trim(str_head(line, str_find(line, '#')));
    if (line.len == 0)
        return 0;
    struct str rest = line, name = str_word(&rest), more = str_word(&rest);
    if (more.len > 0) {
        diag_error(l->diag, list, more.at, "expected one domain a line");
        return 0;
    }
    const struct origin origin = { .source = list, .at = name.at };
    struct conf_domain *domain = NULL;
    return add_domain(l, name, &origin, &domain);
}

static int load_domain_list(struct loader *l, const struct diag_source *list) {
    struct str rest = list->text;
    int r = 0;
    while (rest.len > 0 && r == 0) {
        struct str line = str_head(rest, str_find(rest, '\n'));
        rest = str_from(rest, line.len + 1);
        r = load_domain_line(l, list, line);
    }
    return r;
}

int loader_domains(struct loader *l, const struct statement *statement) {
    const struct word *words = statement->words;
    if (statement->n_words != 3 || !str_eq(words[1].text, STR("from")) || statement->has_block) {
        ERROR(l, words[0].at, "expected 'domains from FILE', a file with one domain a line");
        return 0;
    }
    struct diag_source *list = arena_zalloc(&l->scratch, sizeof(*list));
    const char *between = words[2].text.len > 0 && words[2].text.at[0] == '/' ? "" : l->folder;
    char *path = arena_printf(&l->scratch, "%s%s%.*s", between, *between ? "/" : "", STR_ARG(words[2].text));
    if (list == NULL || path == NULL)
        return -ENOMEM;
    list->path = path;
    int r = file_read(path, CONF_FILE_MAX, &l->scratch, &list->text);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        ERROR(l, words[2].at, "%s cannot be read: %s", path, strerror(-r));
        return 0;
    }
    return load_domain_list(l, list);
}
