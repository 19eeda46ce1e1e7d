/*
 * look: what can be seen of a message while it comes in: whether its header is as it should be, and whether something
 * is attached that nobody gets by mail.
 *
 * Made only where a rule wants to know, so that mail costs nothing more where none does. Fed with canonical text, in
 * any slices. All functions accept NULL: nobody looks, and the facts are OFF.
 */
#pragma once

#include "conf/conf.h"
#include "policy/facts.h"

struct look;

/* `allows_utf8`: the envelope said SMTPUTF8. Returns 0 (*ret_look may be NULL: nobody wants to know) or -ENOMEM. */
int look_new(const struct conf *conf, bool allows_utf8, struct look **ret_look);
void look_free(struct look *take_look);

void look_feed(struct look *look, const char *at, size_t len);

/* The message is complete. Before the functions below. */
void look_end(struct look *look);

struct fact look_header_bad(const struct look *look);
struct fact look_attachment_banned(const struct look *look);

/* Why, in a few words for header and journal: printable ASCII, as long as the look; "" where nothing is wrong. */
struct str look_header_fault(const struct look *look);
struct str look_banned_name(const struct look *look);
