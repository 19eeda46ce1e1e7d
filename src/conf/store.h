/*
 * store: what the options of the store and the greylist must be to each other.
 */
#pragma once

#include "conf/conf.h"

/* Says in `diag` what cannot work, without showing a password. */
void conf_store_check(const struct conf *conf, const struct diag_source *source, struct diag_list *diag);
