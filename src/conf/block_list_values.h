/*
 * block_list_values: the types of options that only block lists have, for values.c; see value_types.h for the shapes.
 */
#pragma once

#include "conf/values.h"

/* What the four types share with those in values.c; parse returns 0 (with a message, perhaps) or -ENOMEM. */
int weight_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                 void *base);
int weight_dump(const struct option *option, const void *base, struct buf *out);
bool weight_eq(const struct option *option, const void *a, const void *b);

int families_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                   void *base);
int families_dump(const struct option *option, const void *base, struct buf *out);
bool families_eq(const struct option *option, const void *a, const void *b);

int codes_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                void *base);
int codes_dump(const struct option *option, const void *base, const char *indent, struct buf *out);
bool codes_eq(const struct option *option, const void *a, const void *b);

int probes_parse(const struct value_reader *reader, const struct option *option, const struct statement *statement,
                 void *base);
int probes_dump(const struct option *option, const void *base, const char *indent, struct buf *out);
bool probes_eq(const struct option *option, const void *a, const void *b);

/* A secret is never written: only that there is one. */
int secret_dump(const struct option *option, const void *base, const char *indent, struct buf *out);
