/*
 * notify: the two sides of systemd's contract that we need, without its library: sd_notify messages and inherited
 * sockets.
 */
#pragma once

/*
 * Sends "READY=1", "RELOADING=1\nMONOTONIC_USEC=…", "STOPPING=1", "STATUS=…" to $NOTIFY_SOCKET. Without one: 0.
 * Returns 0 or -errno.
 */
int notify_send(const char *state);

/*
 * Number of sockets passed by LISTEN_FDS to this process (they start at descriptor 3), marked close-on-exec; unsets
 * the variables. 0 if none.
 */
int notify_listen_fds(void);
