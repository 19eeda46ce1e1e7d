/*
 * words: a set of strings in lower case, each with a byte of flags. Built once, then only asked.
 */
#pragma once

#include "base/str.h"

#include <stdint.h>

struct words;

struct words *words_new(void);
void words_free(struct words *words);

/* Adds a word of 1 to 65535 bytes (stored in lower case), or adds flags to one that is there. Returns 0 or -ENOMEM. */
int words_add(struct words *words, struct str word, uint8_t flags);

/* The flags of a word, 0 when it is not there. `word` may be in any case; longer than WORDS_LOOKUP_MAX: never there. */
enum { WORDS_LOOKUP_MAX = 512 };
uint8_t words_find(const struct words *words, struct str word);
