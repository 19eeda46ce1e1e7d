/*
 * look: what can be seen of a message while it comes in: whether its header is as it should be, and what is attached.
 *
 * Fed with canonical text, in any slices; made only where a rule wants to know, so that mail costs nothing more where
 * none does.
 */
#pragma once

#include "policy/facts.h"

#include <stddef.h>

struct look;

/* Reads on. Accepts NULL, as all of these. */
void look_feed(struct look *look, const char *at, size_t len);

/* The facts, when the message is complete. Where nobody looked they are OFF. */
struct fact look_header_bad(struct look *look);
struct fact look_attachment_banned(struct look *look);

/* Why, in a few words for header and journal; "" where nothing is wrong. */
struct str look_header_fault(const struct look *look);
struct str look_banned_name(const struct look *look);

void look_free(struct look *take_look);
