/*
 * text: reply texts with {placeholders}.
 *
 * Templates are checked when the policy loads; whoever answers fills them in. Values come from outside, so whatever is
 * not printable ASCII becomes '?', and a value is cut at TEXT_VALUE_MAX bytes, those about lists at TEXT_LISTS_MAX.
 */
#pragma once

#include "base/buf.h"

enum placeholder {
    TEXT_CLIENT,
    TEXT_PTR,
    TEXT_HELO,
    TEXT_SENDER,
    TEXT_SENDER_DOMAIN,
    TEXT_RCPT,
    TEXT_RCPT_DOMAIN,
    TEXT_LIST,    /* the lists that made the rule true */
    TEXT_REASON,  /* the same, each with what it says about the listing */
    TEXT_RULE,
    TEXT_ID,
    TEXT_SECONDS, /* of greylisting that are left */
    TEXT_VIRUS,
    N_PLACEHOLDERS,
};

enum { TEXT_VALUE_MAX = 128, TEXT_LISTS_MAX = 250 };

extern const char *const placeholder_names[N_PLACEHOLDERS];

/*
 * Finds the first fault of a template: a brace that is not closed, a placeholder that does not exist. Returns where
 * (with the name, empty for a brace), or NULL.
 */
const char *text_find_fault(struct str template, struct str *ret_name);

bool text_mentions(struct str template, enum placeholder placeholder);

/*
 * Appends the template with `values` put in; "{seconds} seconds" becomes "1 second" for one. Returns 0, -ENOBUFS or
 * -ENOMEM.
 */
int text_format(struct str template, const struct str values[N_PLACEHOLDERS], struct buf *out);
