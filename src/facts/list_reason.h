/*
 * list_reason: which lists speak against a client, and what each says about it, in words that fit into a reply:
 *
 *     a.example (Listed, see http://a.example/?203.0.113.7), b.example
 *
 * Pure. A list says it in a TXT record beside its codes (RFC 5782 2.1), which anyone may have written: it is cleaned to
 * printable ASCII, its key is taken out, and it is shortened between words, since half an address of a web page leads
 * nowhere.
 */
#pragma once

#include "facts/list_facts.h"

enum {
    LIST_REASON_MAX = 160,  /* of one list */
    LIST_REASONS_MAX = 250, /* all of them, zones included */
    LIST_REASONS_ASKED = 4, /* lists; more do not fit into a reply */
};

struct list_reason {
    uint8_t list; /* its index */
    uint8_t len;
    char text[LIST_REASON_MAX];
};

/* Takes over what the list says. False: nothing that could be shown. */
bool list_reason_take(struct list_reason *reason, uint8_t list, const char *key, struct str said);

/*
 * The zones of `lists`, each with its reason if it has one. Zones that do not fit are left out whole, and reasons that
 * do not fit beside all zones. Returns a view of `out`.
 */
struct str list_reasons_format(const struct conf *conf, uint64_t lists, const struct list_reason *reasons, size_t n,
                               char out[LIST_REASONS_MAX]);
