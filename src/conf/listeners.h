/*
 * listeners: `listen ADDRESS:PORT { … }`, and `policy_listen ADDRESS:PORT` or `policy_listen unix:PATH { … }`.
 */
#pragma once

#include "conf/values.h"

/*
 * Reads the door and the address behind its word, which no other listener has. False: it was wrong, which was said, or
 * memory ran out: -ENOMEM in *ret_error, else 0.
 */
bool listener_parse_head(const struct value_reader *reader, const struct statement *statement,
                         struct conf_listener *ret_listener, int *ret_error);

/* The options of its block; OPTION_BLOCKS: it takes none. */
enum option_block listener_block(const struct conf_listener *listener);

/* Adds the listener when its block has been read. What does not fit goes to diag. Returns 0 or -ENOMEM. */
int listener_add(const struct value_reader *reader, const struct statement *statement,
                 const struct conf_listener *listener);
