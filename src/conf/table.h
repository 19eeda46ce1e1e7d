/*
 * table: `table NAME cidr|names|addresses|patterns { … }` of postern.conf.
 *
 * A table has a file, or entries of its own, or nothing: then it is empty until someone fills it. Messages name the
 * place of what is wrong: in the table's file, or in the configuration.
 */
#pragma once

#include "conf/values.h"

/*
 * Reads name and type behind the word `table`. False: they were wrong, which was said. Returns -ENOMEM in *ret_error
 * when memory runs out, else 0.
 */
bool table_parse_head(const struct value_reader *reader, const struct statement *statement,
                      struct conf_table *ret_table, int *ret_error);

/*
 * Loads the contents, when the block has been read, or takes them from a table of `previous` (or NULL) that was read
 * from the same file. What is wrong goes to diag. Returns 0 or -ENOMEM.
 */
int table_fill(const struct value_reader *reader, const struct statement *statement, const struct conf *previous,
               struct conf_table *table);

/* A table of the prefixes of an option, for what rules call by the option's name. Returns 0 or -ENOMEM. */
int table_of_cidrs(const struct conf_cidrs *cidrs, struct table **ret_table);
