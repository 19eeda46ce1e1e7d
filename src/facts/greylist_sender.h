/*
 * greylist_sender: a sender as greylisting knows it again: what a mailing program, a forwarder or a signing gateway
 * wrote into MAIL FROM for this message or this recipient alone is taken out, so that a retry or the next issue of a
 * newsletter is the same sender, and two people remain two.
 *
 * Pure; see greylist_sender.c for the forms.
 */
#pragma once

#include "smtp/address.h"
#include "store/greylist.h"

/* The longest result: a local part, '@' and a domain. */
_Static_assert(SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX <= GREYLIST_TEXT_MAX, "an address fits into a question");

/* An address in lower case, quotes and escapes resolved; "<>" for the null path. Cut at the bound. A view of `out`. */
struct str greylist_address(const struct smtp_address *address, char out[GREYLIST_TEXT_MAX]);

/* The sender of mail to `recipient`, normalised; "<>" for the null sender. A view of `out`. */
struct str greylist_sender(const struct smtp_address *sender, const struct smtp_address *recipient,
                           char out[GREYLIST_TEXT_MAX]);
