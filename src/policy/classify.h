/*
 * classify: what does a host name say about the host: a line for access, a line named after its address but of a
 * business or a data centre, a mail server, or nothing?
 *
 * A pure function of name and address; no state, no allocation, no look-up. Thread safe.
 */
#pragma once

#include "base/addr.h"

enum name_class {
    NAME_ACCESS, /* a provider gave it to a line: `host-203-0-113-7.dsl.example.net` */
    NAME_STATIC, /* named after the address too, but business, hosting or cloud: `static.7-113-0-203.example.net` */
    NAME_MAIL,   /* says that it is a mail server: `mail-yw1-f202.google.com` */
    NAME_OTHER,  /* says none of this: `gw.example.org` */
};

enum { NAME_CLASSIFY_MAX = 255 }; /* bytes without the final dot; a longer name is NAME_OTHER */

/*
 * `name` is a PTR or HELO name in any case, with or without a final dot; underscores and bytes that no host name has
 * are separators. `ip_or_null` is the address of the client; NULL or IP_NONE when it is not known, in which case only
 * what looks like an address is found. An empty name is NAME_OTHER.
 */
enum name_class name_classify(struct str name, const struct ip *ip_or_null);

/* "access", "static", "mail", "other". */
const char *name_class_text(enum name_class class);
