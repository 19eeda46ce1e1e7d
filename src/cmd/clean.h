/*
 * clean: text that came from outside, on its way to a terminal or into a mail.
 *
 * Journals, the quarantine and the greylist hold what senders, servers and perhaps a worker that was taken over wrote,
 * and commands are run by root. Control characters become '?': those of ASCII, those of ISO 6429 that UTF-8 has as two
 * bytes (U+0080 to U+009F), and bytes that are no UTF-8, which a terminal may take for one of them.
 */
#pragma once

#include "base/buf.h"

#include <stdio.h>

/* Returns 0, -ENOBUFS or -ENOMEM. */
int clean_put(struct buf *out, struct str text);

void clean_print(FILE *out, struct str text);

/* In place; the length stays. */
void clean_text(char *text);
void clean_lines(char *text, size_t len); /* the same, but line feeds stay */
