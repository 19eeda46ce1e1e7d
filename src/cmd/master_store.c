/*
 * Who has a connection to the store process? Each worker of each generation, to the one that runs now.
 *
 * A worker without one answers as it would for a store that is away, so nobody waits for this; what a full channel did
 * not take is tried again at the next tick.
 */
#include "cmd/master_state.h"

void master_connect_store(struct master *master) {
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++) {
            struct worker *worker = &g->workers[i];
            if (worker->is_store_due && worker->channel_fd >= 0 && g->conf->set.store.path != NULL)
                worker->is_store_due = store_child_connect(&master->store, worker->channel_fd) != 0;
        }
}

static void on_store_started(void *arg) {
    struct master *master = arg;
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++)
            g->workers[i].is_store_due = true;
    master_connect_store(master);
}

void master_forget_keys(void *arg) {
    const struct master *master = arg;
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        generation_forget_keys(g);
}

void master_init_store(struct master *master) {
    store_child_init(&master->store, master->loop, master->options.run_store, on_store_started, master_forget_keys,
                     master);
}
