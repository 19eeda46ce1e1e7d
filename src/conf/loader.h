/*
 * loader: a configuration while it is loaded. For load.c, which reads it, load_domains.c and load_check.c.
 */
#pragma once

#include "conf/conf.h"
#include "conf/options.h"
#include "conf/parse.h"

/* Where a domain was written: in the configuration itself, or in a list file. */
struct origin {
    const struct diag_source *source;
    const char *at;
    const struct statement *statement; /* NULL for one of a list */
};

struct loader {
    struct conf *conf;
    struct diag_list *diag;
    struct diag_source source; /* the configuration file */
    struct arena scratch;      /* the tree and the texts: gone when loading is done */
    const char *folder;
    struct statement *statements;
    const struct statement *defaults; /* domain_defaults { … }, or NULL */
    struct origin *origins;           /* by conf->domains[].index */
    bool is_whole;                    /* tables and policy too */
    const struct conf *previous;      /* whose tables may be used again, or NULL */
};

#define ERROR(loader, at, ...) diag_error((loader)->diag, &(loader)->source, (at), __VA_ARGS__)

static inline bool statement_is(const struct statement *statement, const char *name) {
    return str_eq(statement->words[0].text, str_of(name));
}

/* All statements of a block into `base`. Returns 0 or -ENOMEM. */
int loader_block(struct loader *l, enum option_block block, const struct statement *first, void *base);

/* domain NAME [{ … }] and domains from FILE. Return 0 or -ENOMEM. */
int loader_domain(struct loader *l, const struct statement *statement);
int loader_domains(struct loader *l, const struct statement *statement);

/* What must hold for the whole, when no statement was wrong. Returns 0 or -ENOMEM. */
int loader_check(struct loader *l);

/* The number of the line in which `at` stands. */
size_t source_line(const struct diag_source *source, const char *at);
