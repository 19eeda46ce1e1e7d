/*
 * unix_socket: listening sockets that are files.
 *
 * A socket file outlives the process that made it. One that nobody listens on is replaced; one that somebody answers
 * on is another instance's and stays.
 */
#pragma once

#include <sys/types.h>

/* Longest path without its NUL (sun_path). */
enum { UNIX_SOCKET_PATH_MAX = 107 };

/*
 * Makes a listening stream socket, non-blocking and close-on-exec. Until its group and mode are set nobody but this
 * process's user can connect. `group` (gid_t)-1: as it comes. Returns 0, -EADDRINUSE when another process answers
 * there, -EEXIST when a file that is no socket stands there, -ENAMETOOLONG, or -errno.
 */
int unix_socket_open(const char *path, mode_t mode, gid_t group, int backlog, int *ret_fd);

/* Gives the socket at `path` another mode and group. What is no socket is not touched: -ENOTSOCK. Else 0 or -errno. */
int unix_socket_set_access(const char *path, mode_t mode, gid_t group);
