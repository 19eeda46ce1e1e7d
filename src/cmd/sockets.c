/*
 * Which sockets does the service listen on, and which client goes to which of them?
 *
 * Sockets belong to the master for its life. A slot whose worker is being replaced, or whose generation is being
 * changed, keeps its sockets, and connections wait in the kernel. When `workers` grows, sockets are added to a live
 * SO_REUSEPORT group: the kernel would send clients there the moment they listen, while nobody accepts yet and the
 * new configuration may still fail. So before that the group is given a steering program for the old number of slots,
 * and only sockets_commit() gives it the new one (or takes it away again on a PROXY listener, where the client's
 * address is not the balancer's, and on one for Postfix, whose connections are all from one host; there the kernel
 * should spread). Prepared sockets are closed from the end, because the
 * kernel fills a hole in the group with its last member.
 *
 * A listening socket is one for master and workers, and one of them that was taken over can end its listening
 * (connect() with AF_UNSPEC). It is bound all the same, so the master lets it listen again (sockets_keep()) rather than
 * open another one that would have to be handed out. In its group it then stands last, so the kernel sends clients of
 * two slots to each other's worker, all of a client's to the same, until the next restart.
 *
 * Rejected: opening sockets anew at each reload. Connections that wait in the backlog of the closed ones would be
 * reset.
 */
#include "cmd/sockets.h"

#include "base/log.h"
#include "net/listen.h"
#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct listening *find(const struct sockets *sockets, const struct conf_listener *listener) {
    for (size_t i = 0; i < sockets->n; i++)
        if (conf_listener_is_at(listener, &sockets->at[i]->at, sockets->at[i]->path))
            return sockets->at[i];
    return NULL;
}

const struct listening *sockets_find(const struct sockets *sockets, const struct conf_listener *listener) {
    return find(sockets, listener);
}

static struct listening *add(struct sockets *sockets, const struct endpoint *at, const char *path) {
    struct listening **grown = realloc(sockets->at, (sockets->n + 1) * sizeof(*grown));
    if (grown == NULL)
        return NULL;
    sockets->at = grown;
    struct listening *listening = calloc(1, sizeof(*listening));
    if (listening == NULL)
        return NULL;
    listening->at = *at;
    listening->path = path != NULL ? strdup(path) : NULL;
    if (path != NULL && listening->path == NULL) {
        free(listening);
        return NULL;
    }
    grown[sockets->n++] = listening;
    return listening;
}

/* The file of a socket that was opened here goes with it. */
static void close_from(struct listening *listening, unsigned first) {
    if (listening->path != NULL && listening->n > first)
        unlink(listening->path);
    while (listening->n > first)
        close(listening->fds[--listening->n]);
}

static void drop(struct sockets *sockets, size_t i) {
    close_from(sockets->at[i], 0);
    free(sockets->at[i]->path);
    free(sockets->at[i]);
    sockets->at[i] = sockets->at[--sockets->n];
}

static bool is_listening_tcp(int fd, struct endpoint *ret_at) {
    int on = 0;
    socklen_t len = sizeof(on);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) != 0 || !on)
        return false;
    struct sockaddr_storage name;
    len = sizeof(name);
    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0 ||
        (name.ss_family != AF_INET && name.ss_family != AF_INET6))
        return false;
    *ret_at = endpoint_from_sockaddr(&name);
    return true;
}

int sockets_inherit(struct sockets *sockets, int first, int n) {
    int taken = 0;
    for (int fd = first; fd < first + n; fd++) {
        struct endpoint at;
        if (!is_listening_tcp(fd, &at) || find(sockets, &(struct conf_listener){ .at = at }) != NULL) {
            close(fd);
            continue;
        }
        struct listening *listening = add(sockets, &at, NULL);
        if (listening == NULL)
            return -ENOMEM;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        listening->is_inherited = true;
        listening->fds[0] = fd;
        listening->n = listening->n_committed = 1;
        taken++;
    }
    return taken;
}

static bool is_steered(const struct conf_listener *listener) {
    return listener->proxy_from.n == 0 && listener->door == CONF_DOOR_SMTP;
}

/* More sockets for a listener that is already served: see above. */
static int grow(struct listening *listening, unsigned n_slots) {
    int r = listen_steer(listening->fds[0], listening->at.ip.family, listening->n);
    if (r == 0)
        r = listen_more(&listening->at, n_slots - listening->n, listening->fds + listening->n);
    if (r == 0)
        listening->n = n_slots;
    return r;
}

static int prepare(struct sockets *sockets, const struct conf_listener *listener, unsigned n_slots) {
    struct listening *listening = find(sockets, listener);
    if (listening != NULL)
        return listening_is_shared(listening) || listening->n >= n_slots ? 0 : grow(listening, n_slots);
    listening = add(sockets, &listener->at, listener->path);
    if (listening == NULL)
        return -ENOMEM;
    int r = listening->path != NULL ? unix_socket_open(listening->path, (mode_t)listener->mode, listener->gid,
                                                       LISTEN_BACKLOG, listening->fds)
                                    : listen_open(&listening->at, n_slots, is_steered(listener), listening->fds);
    if (r == 0)
        listening->n = listening->path != NULL ? 1 : n_slots;
    return r;
}

int sockets_prepare(struct sockets *sockets, const struct conf *conf, unsigned n_slots,
                    const struct conf_listener **ret_listener) {
    for (size_t i = 0; i < conf->n_listeners; i++) {
        int r = prepare(sockets, &conf->listeners[i], n_slots);
        if (r != 0) {
            *ret_listener = &conf->listeners[i];
            sockets_rollback(sockets);
            return r;
        }
    }
    return 0;
}

void sockets_rollback(struct sockets *sockets) {
    for (size_t i = sockets->n; i-- > 0;) {
        struct listening *listening = sockets->at[i];
        close_from(listening, listening->n_committed);
        if (listening->n == 0)
            drop(sockets, i);
    }
}

/* Without a program the kernel spreads by a hash of both addresses and ports. */
static int unsteer(int fd) {
    int none = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof(none)) == 0 || errno == ENOENT ||
        errno == EINVAL)
        return 0;
    return -errno;
}

static const struct conf_listener *listener_of(const struct conf *conf, const struct listening *listening) {
    for (size_t i = 0; i < conf->n_listeners; i++)
        if (conf_listener_is_at(&conf->listeners[i], &listening->at, listening->path))
            return &conf->listeners[i];
    return NULL;
}

/* What the configuration now says of a listener that is open. */
static int adjust(const struct listening *listening, const struct conf_listener *listener, unsigned n_slots) {
    if (listening->path != NULL)
        return unix_socket_set_access(listening->path, (mode_t)listener->mode, listener->gid);
    if (listening->is_inherited)
        return 0;
    if (!is_steered(listener))
        return unsteer(listening->fds[0]);
    return n_slots > 1 ? listen_steer(listening->fds[0], listening->at.ip.family, n_slots) : 0;
}

int sockets_commit(struct sockets *sockets, const struct conf *conf, unsigned n_slots) {
    int first = 0;
    for (size_t i = sockets->n; i-- > 0;) {
        struct listening *listening = sockets->at[i];
        const struct conf_listener *listener = listener_of(conf, listening);
        if (listener == NULL) {
            drop(sockets, i);
            continue;
        }
        listening->n_committed = listening->n;
        int r = adjust(listening, listener, n_slots);
        if (first == 0)
            first = r;
    }
    sockets->n_slots = n_slots;
    return first;
}

static void keep_one(const struct listening *listening, unsigned slot) {
    char text[ENDPOINT_TEXT_MAX];
    int r = listen_keep(listening->fds[slot]);
    if (r == 0)
        return;
    const char *at = listening->path != NULL ? listening->path : endpoint_format(&listening->at, text);
    if (r > 0)
        log_error("listener %s, slot %u: did not listen any more, and does again; a worker may have been taken over",
                  at, slot);
    else
        log_error("listener %s, slot %u: does not listen any more: %s; restart the service", at, slot, strerror(-r));
}

void sockets_keep(struct sockets *sockets) {
    for (size_t i = 0; i < sockets->n; i++)
        for (unsigned slot = 0; slot < sockets->at[i]->n_committed; slot++)
            keep_one(sockets->at[i], slot);
}

void sockets_close(struct sockets *sockets) {
    while (sockets->n > 0)
        drop(sockets, sockets->n - 1);
    free(sockets->at);
    *sockets = (struct sockets){ 0 };
}
