/*
 * domains: the domains of a configuration, found by name.
 */
#pragma once

#include "conf/conf.h"

enum { DOMAIN_NAME_MAX = 255 };

/* Why `name` cannot be a domain of ours, for a message; NULL when it can. */
const char *domain_problem(struct str name);

/*
 * Adds a domain with the settings of domain_defaults, to be changed in place until the next one is added.
 * *ret_domain is the one of that name when it stood already (*ret_is_new false). Returns 0 or -ENOMEM.
 */
int domain_add(struct conf *conf, struct str name, struct conf_domain **ret_domain, bool *ret_is_new);
