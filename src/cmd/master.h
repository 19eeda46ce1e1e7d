/*
 * master: the process that starts, watches, reloads and ends the workers.
 *
 * One a service, root or not. It serves no client: what comes from the network never reaches it.
 */
#pragma once

#include "conf/conf.h"
#include "net/loop.h"
#include "session/worker.h"
#include "store/process.h"

struct master;

struct master_options {
    const char *conf_path;                                /* read again at each reload */
    int (*run_worker)(const struct worker_setup *setup); /* worker_run(), or a test's */
    int (*run_store)(const struct store_setup *setup);   /* store_run(), or a test's */
    int n_listen_fds;                                     /* inherited sockets, from descriptor `first_listen_fd` */
    int first_listen_fd;
    uint64_t watchdog_ms; /* within which systemd wants to hear of us; 0: it does not */
};

/*
 * Opens everything and starts the first workers; they are not ready yet. What fails was logged. The strings of
 * `options` live as long as the master; `take_conf` is freed on failure too. Returns 0 or -errno (-EADDRINUSE: a
 * listener's address, or another instance on the control socket).
 */
int master_new(const struct master_options *options, struct conf *take_conf, struct master **ret_master);

/* Runs until the service has been stopped. Returns the exit code. */
int master_run(struct master *master);

/* Kills what still runs. Accepts NULL. */
void master_free(struct master *take_master);

/* For tests, which turn the loop themselves. */
struct loop *master_loop(struct master *master);
bool master_is_done(const struct master *master);
