/*
 * listen: listening sockets, steered to workers by client address.
 *
 * The master opens one SO_REUSEPORT socket a worker slot for each listener and keeps all of them for its life, so
 * that a slot's connections wait in the kernel while its worker is replaced. A classic BPF program picks the socket
 * from the client's address with the function of ip_client_slot() (base/addr.h). IPv6 sockets are IPV6_V6ONLY.
 * Accepted sockets have TCP_NODELAY from the listening one. Sockets inherited by LISTEN_FDS are one for all slots.
 */
#pragma once

#include "base/addr.h"
#include "net/loop.h"

enum { LISTEN_BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

/*
 * Opens `n` sockets bound to `at`, listening, non-blocking, close-on-exec, and attaches the steering program when
 * steer is true and n > 1. With port 0 all share the port that the first one gets. An address that another process
 * listens on is -EADDRINUSE, even if that one would share it. Nothing is left open on failure. Returns 0 or -errno.
 */
int listen_open(const struct endpoint *at, uint32_t n, bool steer, int *ret_fds);

/*
 * Opens `n` more sockets of a group that this process has opened, behind those it has. Nothing is steered to them by
 * this: steer the group for its old size before and for its new size when somebody accepts there. Nothing is left open
 * on failure. Returns 0 or -errno.
 */
int listen_more(const struct endpoint *at, uint32_t n, int *ret_fds);

/* Attaches the steering program for `n` sockets to a group of SO_REUSEPORT sockets. Returns 0 or -errno. */
int listen_steer(int fd, enum ip_family family, uint32_t n);

/*
 * Has a socket listen again that does not any more, and makes it non-blocking: whoever holds the same socket can have
 * changed that, also for us. What waited in its queue is lost. Returns 0 when nothing had happened, 1 when it listens
 * again, or -errno.
 */
int listen_keep(int fd);

/* Accepts connections on the loop. */
struct listener;
/* `fd` is the accepted non-blocking, close-on-exec descriptor and belongs to the callee. */
typedef void listener_fn(struct listener *listener, int take_fd, const struct endpoint *client);
/*
 * accept() failed with EMFILE, ENFILE, ENOMEM or ENOBUFS: free something. The listener rests for 50 ms unless this
 * returns true (try again at once).
 */
typedef bool listener_short_fn(struct listener *listener, int err);

struct listener {
    struct watch watch;
    struct timer rest;
    struct loop *loop;
    int fd; /* -1: stopped; watch.fd is -1 while it rests, too */
    listener_fn *on_accept;
    listener_short_fn *on_short;
    void *arg;
};

/* on_short may be NULL. At most 64 connections are accepted in one turn. Returns 0 or -errno. */
int listener_start(struct listener *listener, struct loop *loop, int fd, listener_fn *on_accept,
                   listener_short_fn *on_short, void *arg);
/*
 * Accepts what already waits in the kernel before it stops, when `drain` is true. The descriptor stays open (the
 * caller's).
 */
void listener_stop(struct listener *listener, bool drain);
