/*
 * policy: the rules that a configuration names, compiled, with the tables and patterns that they ask about.
 */
#pragma once

#include "conf/values.h"

/*
 * Reads and compiles conf->set.policy_path, if there is one, into conf->policy, when all else has been loaded.
 * `statement` is the one that names it, for a message. What is wrong goes to diag. Returns 0 or -ENOMEM.
 */
int conf_policy_load(const struct value_reader *reader, const struct statement *statement);

/* Frees what conf->policy owns. */
void conf_policy_deinit(struct conf_policy *policy);
