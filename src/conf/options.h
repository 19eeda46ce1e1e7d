/*
 * options: the one table of everything that can stand in postern.conf.
 *
 * A row gives the parser its word, type and bounds, the loader its default, `postern check --dump` its line, and a
 * unit test the names that postern.conf(5) must explain. To add an option: a field in conf.h, a row in options.c, a
 * paragraph in man/postern.conf.5.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

/* Where an option stands, and by that the struct its offset counts in. */
enum option_block {
    OPTION_IN_MAIN,     /* struct conf_settings, like the eleven below */
    OPTION_IN_TLS,
    OPTION_IN_LIMITS,
    OPTION_IN_TIMEOUTS,
    OPTION_IN_LOG,
    OPTION_IN_JOURNAL,
    OPTION_IN_DNS,
    OPTION_IN_GREYLIST,
    OPTION_IN_STORE,
    OPTION_IN_CLAMAV,
    OPTION_IN_SPAMASSASSIN,
    OPTION_IN_ATTACHMENTS,
    OPTION_IN_QUARANTINE,
    OPTION_IN_ON_FAILURE,
    OPTION_IN_LISTEN,   /* struct conf_listener */
    OPTION_IN_POLICY_LISTEN, /* struct conf_listener with a path */
    OPTION_IN_SERVERS,  /* struct conf_group */
    OPTION_IN_DOMAIN,   /* struct conf_domain_settings; `domain` and `domain_defaults` */
    OPTION_IN_TABLE,    /* struct conf_table */
    OPTION_IN_BLOCK_LIST, /* struct conf_block_list */
    OPTION_BLOCKS,
};

enum option_type {
    OPTION_BLOCK,       /* opens a block, or is a `domains from FILE`: load.c knows each by name */
    OPTION_FLAG,        /* yes | no; bool */
    OPTION_NUMBER,      /* uint64_t */
    OPTION_SIZE,        /* uint64_t, bytes */
    OPTION_TIME,        /* uint64_t, ms */
    OPTION_MODE,        /* uint64_t, permissions of a file in octal */
    OPTION_CHOICE,      /* one of `words`; an enum whose values count from 0 */
    OPTION_TEXT,        /* const char * */
    OPTION_HOSTNAME,    /* const char *, a fully qualified name */
    OPTION_PATH,        /* const char *, absolute once loaded; `none` is the word for NULL, where there is one */
    OPTION_CIDRS,       /* struct conf_cidrs; may be repeated */
    OPTION_GROUP,       /* const struct conf_group * */
    OPTION_SERVER,      /* conf_group.servers; may be repeated */
    OPTION_CERTIFICATE, /* conf_settings.tls.certificates; may be repeated */
    OPTION_DIRECTORY,   /* conf_domain_settings.directory and .directory_of */
    OPTION_DELIMITER,   /* const char * */
    OPTION_CATCH_ALL,   /* const char * */
    OPTION_ADDRESS,     /* const char *, a mail address; `none` is the word for NULL */
    OPTION_WORDS,       /* struct conf_words; may be repeated */
    OPTION_FILES,       /* the same: extensions and types of files */
    OPTION_ENDPOINTS,   /* struct conf_endpoints, of name servers: port 53 when left out; may be repeated */
    OPTION_STUB,        /* struct conf_stubs; may be repeated */
    OPTION_WEIGHT,      /* int64_t, thousandths */
    OPTION_FAMILIES,    /* unsigned: bits of enum list_family */
    OPTION_CODES,       /* struct conf_codes; may be repeated */
    OPTION_PROBES,      /* struct conf_probes; may be repeated */
    OPTION_SCANNER,     /* struct conf_scanner.servers, `number` is the port when left out; may be repeated */
    OPTION_SECRET,      /* const char *, never written again */
    OPTION_TYPES,
};

struct option {
    const char *name;
    enum option_block block;
    enum option_type type;
    size_t offset;
    uint64_t min, max;        /* numbers: both are allowed; texts: length in bytes; blocks: how many, 0: any number */
    uint64_t number;          /* default of numbers, sizes, times, flags and choices */
    const char *text;         /* default of texts and paths; NULL: none */
    const char *none;         /* the word that stands for NULL */
    const char *const *words; /* of a choice, in the order of its enum, NULL at the end */
    const char *unit;         /* what a number counts; NULL where the type says it */
    const char *help;         /* one line */
};

enum { OPTION_MAX = 160 }; /* rows; load.c keeps a note about each */

extern const struct option option_table[];
extern const size_t option_count;

/* The row of a name in a block, or NULL. Names are lower case. */
const struct option *option_find(enum option_block block, struct str name);

/* Where `block` is, for a message: "in a servers block", "outside of any block". */
const char *option_block_title(enum option_block block);

/* True when several statements of the option in one block add up instead of being an error. */
bool option_is_repeatable(const struct option *option);
