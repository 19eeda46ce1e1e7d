/*
 * child: what a process is when it has just been forked from the master: the descriptors that it was given, and no
 * others; default ways of signals, but for those that a terminal sends to all and for those that the master sends,
 * which wait for the child's loop; a log of its own.
 */
#pragma once

#include "conf/conf.h"

/* In the child. Sorts `kept`, the descriptors that stay open. `ident` names it in the log; static storage. */
void child_begin(int *kept, size_t n_kept, const struct conf_settings *set, const char *ident);
