/*
 * sandbox_options: which options of sockets a sandboxed process may set. For sandbox.c alone.
 */
#pragma once

/* Loads the filter, for good. Needs no_new_privs. Returns 0 or -errno. */
int sandbox_bound_options(void);
