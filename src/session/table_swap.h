/*
 * table_swap: a table whose file has changed, in a worker that goes on running.
 *
 * The master has read the file already and says which it is; a worker builds its own table from it on a thread, so that
 * no session waits for a million lines, and swaps it in between two turns of the loop. Facts that sessions have keep
 * what the old table said, as they do for everything that changes in the middle of one.
 */
#pragma once

#include "conf/conf.h"
#include "net/loop.h"

struct table_swap;

/*
 * `on_swapped` is for the log; r < 0: the old one stays. Returns 0 or -errno. Behind the sandbox, which holds for the
 * thread, too.
 */
typedef void table_swap_fn(void *arg, const struct conf_table *table, int r);
int table_swap_new(struct loop *loop, struct conf *conf, table_swap_fn *on_swapped, void *arg,
                   struct table_swap **ret_swap);

/* Waits for the thread. Accepts NULL. */
void table_swap_free(struct table_swap *take_swap);

/* The file of this table is another one now. A newer one that comes before it was read replaces it. */
void table_swap_start(struct table_swap *swap, struct str name, int take_fd);
