/*
 * classify_words: which words do providers, hosters and senders use in host names? Part of classify; const tables.
 */
#pragma once

#include "base/str.h"

enum word_kind {
    WORD_NONE = 0,
    WORD_DYNAMIC,  /* says that the address changes hands: dyn, dhcp, pool, ppp */
    WORD_LINE,     /* the technique of a line: dsl, cable, ftth, lte */
    WORD_CUSTOMER, /* who uses it: cust, home, abo; counts little */
    WORD_STATIC,   /* static, business: holds against the technique of the line */
    WORD_HOSTING,  /* vps, server, cloud, fixed: gives way to what speaks of a line */
    WORD_MAIL,     /* mail, smtp, correo */
    WORD_MAIL_WEAK, /* out, mx, send: gives way to an address beside `dynamic` or `static` */
    WORD_INFRA,    /* ns, www, gw: a host with a task of its own */
    WORD_NEUTRAL,  /* contains another word but means something else: dialog */
};

/*
 * The kind of a run of letters a to z: known as a whole, or beginning or ending with a word that is safe to
 * look for inside others (`dyndsl`, `mailgw`).
 */
enum word_kind word_kind(struct str word);

enum provider_kind {
    PROVIDER_UNKNOWN = 0,
    PROVIDER_ACCESS,  /* names of lines here need little more evidence */
    PROVIDER_HOSTING, /* numbered names are servers */
    PROVIDER_MAIL,    /* sends mail for others, from hosts named by numbers or addresses */
};

/* `domain`: an organisational domain in lower case. */
enum provider_kind provider_kind(struct str domain);

/* For the tests: the tables are in order, without doubles, and agree with each other. */
bool word_tables_are_sound(void);
