/*
 * tls_memory: that a private key stands nowhere in memory but where it is used.
 *
 * OpenSSL wipes the numbers of a key when it frees them, but not all that it has made on the way to them (the key in
 * DER), and forked processes have a copy of everything: the store process, which talks to a server over the network,
 * must not.
 */
#pragma once

#include <stdbool.h>

/*
 * From now on what OpenSSL frees is wiped, here and in children. To be called before anything else of OpenSSL. Returns
 * false where it is too late.
 */
bool tls_memory_wipe(void);

/* No more: in a process that needs its keys anyway, and to be quick. */
void tls_memory_stop_wiping(void);
