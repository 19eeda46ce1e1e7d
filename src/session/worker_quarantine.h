/*
 * worker_quarantine: a worker's quarantine: whether it has one, what is logged of it, and its numbers for
 * `postern status`.
 */
#pragma once

#include "quarantine/writer.h"
#include "session/worker.h"

/*
 * NULL: none is configured, or it cannot be used, which is logged: what it should keep is deferred then. Starts a
 * thread, so this comes after the worker has given up its rights.
 */
struct quarantine *worker_quarantine_start(struct loop *loop, const struct worker_setup *setup);

/* `quarantine` may be NULL. */
void worker_quarantine_publish(const struct quarantine *quarantine, const struct conf *conf,
                               struct worker_counters *counters);
