/*
 * process: the store process, which holds the greylist for all workers.
 *
 * The master forks it and calls store_run(); it never returns to the master's code. What changes later comes as a
 * message on the channel between them:
 *
 *   master ─▶ store   PEER (one end of a stream socket, whose other end a worker has: message.h)
 *                     SETTINGS (of the greylist, after a reload; workers have no say in them)
 *   store ─▶ master   READY (once; questions are answered from then on, perhaps as unavailable)
 *                     RENEW (files by which it finds its server were replaced: it wants to be ended and started anew)
 *
 * It outlives workers and configurations. SIGTERM ends it when its workers have ended and what they sent last is kept,
 * or after a moment; when the master is gone it ends with the last worker.
 */
#pragma once

#include "store/counters.h"
#include "store/greylist.h"

#include <stdbool.h>

enum store_order_type { STORE_ORDER_READY = 1, STORE_ORDER_PEER, STORE_ORDER_RENEW, STORE_ORDER_SETTINGS };

struct store_order {
    uint32_t type; /* enum store_order_type */
    struct greylist_settings greylist; /* STORE_ORDER_SETTINGS; else zero */
};

struct store_setup {
    const char *path; /* of the local store; its folder is all that may be written to */
    bool is_synced_always;
    const char *postgresql; /* what libpq connects with; "": no shared store */
    const char *module;
    uint64_t timeout_ms; /* that workers wait for an answer */
    struct greylist_settings greylist;
    const char *user;    /* NULL: stay who we are */
    bool may_dump_core;  /* see struct sandbox */
    int master_fd;       /* channel to the master */
    struct store_counters *counters;
};

/* Returns the exit code: 0 after an orderly end, 1 after an error that was logged. */
int store_run(const struct store_setup *setup);
