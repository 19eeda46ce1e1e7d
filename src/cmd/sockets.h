/*
 * sockets: the listening sockets of the whole service, which outlive workers and configurations.
 *
 * For each listener one SO_REUSEPORT socket a slot, or one for all slots: an inherited one, or a Unix socket, whose
 * file is removed when it is closed. Changing them is two steps, so that a configuration that fails changes nothing:
 * sockets_prepare() opens what is missing without sending a client there, then sockets_commit() steers clients to it
 * and closes what the new configuration does not name, or sockets_rollback() closes what was opened.
 */
#pragma once

#include "conf/conf.h"
#include "session/worker.h"

struct listening {
    struct endpoint at;
    char *path;           /* of a Unix socket; NULL: none */
    bool is_inherited;
    unsigned n;           /* sockets: slots, those prepared included; 1 when all slots share it */
    unsigned n_committed; /* of them, those that clients are sent to; 0: a new listener */
    int fds[WORKER_MAX];
};

/* One socket for all slots. */
static inline bool listening_is_shared(const struct listening *listening) {
    return listening->is_inherited || listening->path != NULL;
}

struct sockets {
    struct listening **at;
    size_t n;
    unsigned n_slots; /* committed; never shrinks */
};

/*
 * Takes the `n` sockets of LISTEN_FDS (descriptors from `first`). Those that are not listening TCP sockets are
 * closed. Returns how many were taken, or -ENOMEM.
 */
int sockets_inherit(struct sockets *sockets, int first, int n);

/*
 * Opens what `conf` needs for `n_slots` slots. On failure *ret_listener (of `conf`) says at which one, and nothing has
 * changed.
 * Returns 0 or -errno.
 */
int sockets_prepare(struct sockets *sockets, const struct conf *conf, unsigned n_slots,
                    const struct conf_listener **ret_listener);
void sockets_rollback(struct sockets *sockets);

/*
 * From now on clients are spread over `n_slots` slots of the listeners of `conf`, and socket files have the modes and
 * groups that it names. Returns 0 or the first -errno of steering (the kernel then spreads as it likes, which costs
 * only handovers) or of changing a file.
 */
int sockets_commit(struct sockets *sockets, const struct conf *conf, unsigned n_slots);

/*
 * Looks whether all of them still listen, and has those listen again that do not: a worker that was taken over can end
 * that for everybody. Logs which.
 */
void sockets_keep(struct sockets *sockets);

const struct listening *sockets_find(const struct sockets *sockets, const struct conf_listener *listener);

void sockets_close(struct sockets *sockets);
