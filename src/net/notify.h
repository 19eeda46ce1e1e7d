/*
 * notify: the two sides of systemd's contract that we need, without its library: sd_notify messages and inherited
 * sockets.
 */
#pragma once

#include <stdint.h>

/*
 * Sends "READY=1", "RELOADING=1\nMONOTONIC_USEC=…", "STOPPING=1", "STATUS=…" to $NOTIFY_SOCKET. Without one: 0.
 * Returns 0 or -errno.
 */
int notify_send(const char *state);

/*
 * Within which time systemd wants to hear "WATCHDOG=1" from this process, by WATCHDOG_USEC and WATCHDOG_PID; unsets the
 * variables. 0: it does not.
 */
uint64_t notify_watchdog_ms(void);

/*
 * Number of sockets passed by LISTEN_FDS to this process (they start at descriptor 3), marked close-on-exec; unsets
 * the variables. 0 if none.
 */
int notify_listen_fds(void);
