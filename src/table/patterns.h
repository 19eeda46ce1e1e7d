/*
 * patterns: many regular expressions, asked whether any of them fits a text.
 *
 * Most patterns about host names end in a literal domain (`\.dsl\.example\.net$`). Those are found by the last bytes
 * of the text, the others are tried one after the other; see patterns.c. Single patterns are in tables.h.
 */
#pragma once

#include "table/tables.h"

struct patterns;

struct patterns *patterns_new(void);
void patterns_free(struct patterns *patterns);

/* Returns 0, -EINVAL (*ret_problem says why, static until the next call) or -ENOMEM. */
int patterns_add(struct patterns *patterns, struct str text, const char **ret_problem);

/* TABLE_UNKNOWN: none is known to fit, and of one nobody knows. */
enum table_answer patterns_ask(const struct patterns *patterns, struct str text);
