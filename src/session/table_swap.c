/*
 * table_swap: see the header. One thread at a time, for one table; what comes meanwhile waits as a descriptor.
 */
#include "session/table_swap.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct table_swap {
    struct loop *loop;
    struct conf *conf;
    table_swap_fn *on_swapped;
    void *arg;
    struct watch watch;
    int event_fd;
    int *waiting; /* a descriptor for each table, or -1 */
    /* the one at hand */
    pthread_t thread;
    bool is_running;
    size_t at;
    int fd, r;
    struct table *table;
};

static void *run(void *arg) {
    struct table_swap *swap = arg;
    const struct conf_table *conf = &swap->conf->tables[swap->at];
    const uint64_t one = 1;
    struct diag_list diag;
    diag_init(&diag);
    swap->r = table_load_fd(conf->type, swap->fd, conf->file, &diag, &swap->table);
    diag_deinit(&diag); /* the master has said what is wrong */
    close(swap->fd);
    if (write(swap->event_fd, &one, sizeof(one)) < 0)
        swap->r = -errno;
    return NULL;
}

/* The first that waits, if nothing is under way. */
static void start_next(struct table_swap *swap) {
    for (size_t i = 0; i < swap->conf->n_tables && !swap->is_running; i++) {
        if (swap->waiting[i] < 0)
            continue;
        swap->at = i;
        swap->fd = swap->waiting[i];
        swap->waiting[i] = -1;
        swap->table = NULL;
        int r = -pthread_create(&swap->thread, NULL, run, swap);
        swap->is_running = r == 0;
        if (r < 0) {
            close(swap->fd);
            swap->on_swapped(swap->arg, &swap->conf->tables[i], r);
        }
    }
}

static void finish(struct table_swap *swap) {
    struct conf_table *conf = &swap->conf->tables[swap->at];
    pthread_join(swap->thread, NULL);
    swap->is_running = false;
    if (swap->table != NULL)
        conf_table_swap(swap->conf, swap->at, swap->table);
    swap->on_swapped(swap->arg, conf, swap->table != NULL ? 0 : swap->r < 0 ? swap->r : -EIO);
}

static void on_event(struct watch *watch, uint32_t events) {
    struct table_swap *swap = (struct table_swap *)((char *)watch - offsetof(struct table_swap, watch));
    uint64_t n;
    (void)events;
    if (read(swap->event_fd, &n, sizeof(n)) < 0 || !swap->is_running)
        return;
    finish(swap);
    start_next(swap);
}

int table_swap_new(struct loop *loop, struct conf *conf, table_swap_fn *on_swapped, void *arg,
                   struct table_swap **ret_swap) {
    struct table_swap *swap = calloc(1, sizeof(*swap));
    if (swap == NULL)
        return -ENOMEM;
    *swap = (struct table_swap){ .loop = loop, .conf = conf, .on_swapped = on_swapped, .arg = arg };
    swap->waiting = malloc((conf->n_tables + 1) * sizeof(*swap->waiting));
    swap->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = swap->waiting == NULL ? -ENOMEM : swap->event_fd < 0 ? -errno : 0;
    for (size_t i = 0; i < conf->n_tables && swap->waiting != NULL; i++)
        swap->waiting[i] = -1;
    if (r == 0)
        r = watch_start(loop, &swap->watch, swap->event_fd, EPOLLIN, on_event);
    if (r < 0) {
        table_swap_free(swap);
        return r;
    }
    *ret_swap = swap;
    return 0;
}

void table_swap_free(struct table_swap *swap) {
    if (swap == NULL)
        return;
    if (swap->is_running) {
        pthread_join(swap->thread, NULL);
        table_free(swap->table);
    }
    for (size_t i = 0; i < swap->conf->n_tables && swap->waiting != NULL; i++)
        if (swap->waiting[i] >= 0)
            close(swap->waiting[i]);
    watch_stop(swap->loop, &swap->watch);
    if (swap->event_fd >= 0)
        close(swap->event_fd);
    free(swap->waiting);
    free(swap);
}

void table_swap_start(struct table_swap *swap, struct str name, int take_fd) {
    for (size_t i = 0; i < swap->conf->n_tables; i++) {
        if (!str_eq(str_of(swap->conf->tables[i].name), name) || swap->conf->tables[i].file == NULL)
            continue;
        if (swap->waiting[i] >= 0)
            close(swap->waiting[i]);
        swap->waiting[i] = take_fd;
        start_next(swap);
        return;
    }
    close(take_fd);
}
