/*
 * tables: what the configuration calls `table NAME cidr|names|addresses|patterns`: sets that rules ask about.
 *
 * Read from a file (one entry a line, `#` comments) or from entries written in postern.conf; immutable once loaded,
 * shared read-only, swapped whole. A lookup never allocates and never fails: what cannot be known is not in a table.
 *
 * cidr: prefixes, IPv4 and IPv6; an address is in it when a prefix holds it. < 150 ns for a million of them.
 * names: host and domain names, case ignored, no final dot; "example.com" holds itself alone, ".example.com" itself and
 *   all below it.
 * addresses: "user@example.com", "example.com" (all of that domain), "user@" (that local part anywhere); case ignored,
 *   and so are quotes that a local part does not need.
 * patterns: regular expressions (PCRE2, caseless, matched anywhere, with a bound on the work of each match).
 */
#pragma once

#include "base/addr.h"
#include "base/diag.h"

enum table_type { TABLE_TYPE_CIDR, TABLE_TYPE_NAMES, TABLE_TYPE_ADDRESSES, TABLE_TYPE_PATTERNS };
enum { TABLE_TYPES = TABLE_TYPE_PATTERNS + 1 };

extern const char *const table_type_names[TABLE_TYPES]; /* "cidr", … */

struct table;

/* Of a pattern that would take too much work on this text nobody knows whether it fits. */
enum table_answer { TABLE_NO, TABLE_YES, TABLE_UNKNOWN };

/*
 * Builds a table from text, one entry a line. A bad line is an error in `diag` that names it, and there is no table.
 * Returns 0, -EINVAL (see diag) or -ENOMEM.
 */
int table_load(enum table_type type, const struct diag_source *source, struct diag_list *diag,
               struct table **ret_table);

/* The same from a file of at most TABLE_FILE_MAX bytes. Also -errno of reading it, said in `diag` too. */
enum { TABLE_FILE_MAX = 256 * 1024 * 1024 };
int table_load_file(enum table_type type, const char *path, struct diag_list *diag, struct table **ret_table);

/* The same from an open file, whose offset is left alone; `path` is for messages. */
int table_load_fd(enum table_type type, int fd, const char *path, struct diag_list *diag, struct table **ret_table);

/* ---- entry by entry */

/* Returns 0 or -ENOMEM. */
int table_new(enum table_type type, struct table **ret_table);
/* Why an entry is wrong goes to `ret_problem` (static until the next call). Returns 0, -EINVAL or -ENOMEM. */
int table_add(struct table *table, struct str entry, const char **ret_problem);
/* Ends building; nothing is found before. Returns 0 or -ENOMEM. */
int table_seal(struct table *table);

/* Another owner of the same table, who frees it too. Returns it. Owners are of one thread. */
struct table *table_share(struct table *table);
/* Gone when its last owner has freed it. Accepts NULL. */
void table_free(struct table *table);

enum table_type table_type(const struct table *table);
/* Entries; 0: empty. */
size_t table_count(const struct table *table);

bool table_has_ip(const struct table *table, const struct ip *ip); /* cidr */
/* names, addresses and patterns: `text` is what their kind asks for. An empty one is in no table. */
enum table_answer table_ask(const struct table *table, struct str text);
bool table_has(const struct table *table, struct str text); /* it is TABLE_YES */

/* ---- single patterns, for `FACT ~ "pattern"` */

struct pattern;

/* Why it does not compile goes to `ret_problem` (static until the next call). Returns 0, -EINVAL or -ENOMEM. */
int pattern_new(struct str text, struct pattern **ret_pattern, const char **ret_problem);
void pattern_free(struct pattern *pattern);
enum table_answer pattern_ask(const struct pattern *pattern, struct str text);
bool pattern_matches(const struct pattern *pattern, struct str text); /* it is TABLE_YES */
