/*
 * greylist: who a client is to greylisting, and the question that is put to the store about one recipient.
 *
 * Pure: the same client, sender and recipient make the same question, so that it need not be kept for the credit at
 * the end of the transaction. See greylist.c for the identities.
 */
#pragma once

#include "facts/organisations.h"
#include "facts/ptr.h"
#include "smtp/address.h"
#include "store/greylist.h"

struct greylist_client {
    struct ip ip;
    const struct ptr_result *ptr; /* borrowed; PTR_UNAVAILABLE where nobody could say */
    struct organisations *organisations; /* borrowed; NULL: nothing is remembered of the public suffix list */
    /*
     * The sender's domain, if SPF says that this client may speak for it; empty otherwise, and where that says nothing
     * about the client: by an `all`, or by a range wider than a /16. No part of this program finds that out yet.
     */
    struct str spf_domain;
};

/* What a question shows. */
struct greylist_words {
    char sender[GREYLIST_TEXT_MAX], recipient[GREYLIST_TEXT_MAX];
    char identities[GREYLIST_IDENTITIES_MAX][GREYLIST_TEXT_MAX];
};

/* Everything but `is_read_only` is set; its views are of `words`. */
void greylist_question_make(const struct greylist_client *client, const struct smtp_address *sender,
                            const struct smtp_address *recipient, struct greylist_words *words,
                            struct greylist_question *ret_question);

/* "new", "early", ... */
const char *greylist_status_name(enum greylist_status status);

/* What a client is told of the seconds that are left: rounded up, so that who keeps to it does not come too early. */
uint32_t greylist_seconds_told(uint32_t seconds_left);
