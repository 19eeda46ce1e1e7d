/*
 * scanner_values: the type of `server` in the blocks clamav and spamassassin.
 */
#pragma once

#include "conf/value_types.h"

extern const struct value_type scanner_type;
