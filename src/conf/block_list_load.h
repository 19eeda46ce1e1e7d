/*
 * block_list_load: `block_list ZONE { … }` of postern.conf.
 */
#pragma once

#include "conf/values.h"

/*
 * Reads the zone behind the word `block_list`. False: it was wrong, which was said, or memory ran out: -ENOMEM in
 * *ret_error, else 0.
 */
bool block_list_parse_head(const struct value_reader *reader, const struct statement *statement,
                           struct conf_block_list *ret_list, int *ret_error);

/* Adds the list when its block has been read. What does not fit goes to diag. Returns 0 or -ENOMEM. */
int block_list_add(const struct value_reader *reader, const struct statement *statement,
                   const struct conf_block_list *list);
