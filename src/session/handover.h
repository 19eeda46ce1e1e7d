/*
 * handover: a connection on its way from the worker that accepted it to the worker of its client.
 *
 * On PROXY listeners and inherited sockets the kernel spreads connections blindly; as soon as the client's address is
 * known the descriptor goes where that client's other connections are, so that per-client limits hold. One message of
 * net/channel.h: this header, the bytes that were read already, one descriptor.
 */
#pragma once

#include "session/session.h"

enum { HANDOVER_UNREAD_MAX = 32768 };

/*
 * Sends a copy of `fd`. Returns 0, -E2BIG (more was read than fits) or -errno (-EAGAIN: the other worker's channel is
 * full).
 */
int handover_send(int channel_fd, int fd, const struct session_origin *origin, struct str unread);

/* Reads a message: ret_unread points into it. Returns 0, or -EINVAL for anything that handover_send() did not write. */
int handover_parse(const void *message, size_t len, struct session_origin *ret_origin, struct str *ret_unread);
