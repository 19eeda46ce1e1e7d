/*
 * worker_scanners: a worker's scanners: which it has, what is logged of them, and their numbers for `postern status`.
 */
#pragma once

#include "facts/scan.h"
#include "session/worker.h"

/*
 * *ret_scanners is NULL when none is configured. Begins to look whether they work, so this comes after the worker has
 * given up its rights. Returns 0 or -ENOMEM.
 */
int worker_scanners_start(struct loop *loop, const struct worker_setup *setup, struct scanners **ret_scanners);

void worker_scanners_publish(const struct scanners *scanners, const struct conf *conf,
                             struct worker_counters *counters);

/* Descriptors that a worker's scanners may take. */
uint64_t worker_scanners_files(const struct conf *conf, unsigned n_workers);
