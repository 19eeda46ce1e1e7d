/*
 * How does a worker come into being, and what does it own?
 *
 * Everything a worker needs is made by the master before fork(): it then owns exactly its sockets, its channel, its
 * side of the mesh and the pipe to its journal (child.c closes the rest). Its connection to the store follows as a
 * message, since that may be another store later.
 *
 * When the master dies, workers see their channel close and drain; PR_SET_PDEATHSIG was rejected because it would cut
 * deliveries that a mailbox server is just answering.
 */
#include "cmd/generation.h"

#include "base/clock.h"
#include "cmd/child.h"
#include "net/tls_memory.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- making one */

static int make_tls(struct generation *generation, struct buf *error) {
    const struct conf *conf = generation->conf;
    if (conf->set.tls.n_certificates > 0) {
        int r = tls_server_new(conf->set.tls.certificates, conf->set.tls.n_certificates, conf->set.tls.min_version,
            error, &generation->tls);
        if (r != 0)
            return r;
    }
    for (size_t i = 0; i < conf->n_groups; i++) {
        const struct conf_group *group = &conf->groups[i];
        if (group->tls == CONF_TLS_NONE)
            continue;
        int r = tls_client_new(group->tls == CONF_TLS_VERIFY, group->ca_file, error, &generation->group_tls[i]);
        if (r != 0)
            return r;
    }
    return 0;
}

static int make_mesh(struct generation *generation) {
    for (unsigned i = 0; i < generation->n_workers; i++) {
        int r = channel_pair(generation->mesh[i]);
        if (r != 0)
            return r;
    }
    return 0;
}

static int make_parts(struct generation *generation, struct buf *error) {
    const struct conf *conf = generation->conf;
    unsigned n = generation->n_workers;
    generation->workers = calloc(n, sizeof(*generation->workers));
    generation->mesh = calloc(n, sizeof(*generation->mesh));
    generation->group_tls = calloc(conf->n_groups + 1, sizeof(*generation->group_tls));
    generation->directories = calloc(conf->n_domains + 1, sizeof(*generation->directories));
    generation->tables = calloc(conf->n_tables + 1, sizeof(*generation->tables));
    void *counters =
        mmap(NULL, n * sizeof(struct worker_counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    generation->counters = counters == MAP_FAILED ? NULL : counters;
    if (!generation->workers || !generation->mesh || !generation->group_tls || !generation->directories ||
        !generation->tables ||
        !generation->counters)
        return -ENOMEM;
    for (size_t i = 0; i < conf->n_tables; i++)
        generation->tables[i].fd = -1;
    for (size_t i = 0; i < conf->n_domains; i++)
        generation->directories[i].fd = -1;
    for (unsigned i = 0; i < n; i++) {
        generation->mesh[i][0] = generation->mesh[i][1] = -1;
        generation->workers[i] = (struct worker){ .generation = generation, .index = i, .channel_fd = -1,
            .counters = &generation->counters[i], .directories_due = conf->n_domains };
        buf_init(&generation->workers[i].journal_path, 4096);
    }
    int r = make_tls(generation, error);
    return r == 0 ? make_mesh(generation) : r;
}

int generation_new(struct loop *loop, struct conf *take_conf, unsigned n_workers, unsigned n_slots, struct buf *error,
                   struct generation **ret_generation) {
    struct generation *generation = calloc(1, sizeof(*generation));
    if (generation == NULL) {
        conf_free(take_conf);
        return -ENOMEM;
    }
    *generation = (struct generation){ .loop = loop, .conf = take_conf, .n_workers = n_workers, .n_slots = n_slots,
        .loaded_ms = clock_wall_ms() };
    int r = make_parts(generation, error);
    if (r != 0) {
        if (error->len == 0)
            buf_putf(error, "%s", strerror(-r));
        generation_free(generation);
        return r;
    }
    *ret_generation = generation;
    return 0;
}

static void close_fd(int fd) {
    if (fd >= 0)
        close(fd);
}

void generation_forget_keys(struct generation *generation) {
    for (size_t i = 0; generation->group_tls != NULL && i < generation->conf->n_groups; i++) {
        SSL_CTX_free(generation->group_tls[i]);
        generation->group_tls[i] = NULL;
    }
    SSL_CTX_free(generation->tls);
    generation->tls = NULL;
}

void generation_free(struct generation *take_generation) {
    struct generation *g = take_generation;
    if (g == NULL)
        return;
    timer_cancel(g->loop, &g->limit);
    for (unsigned i = 0; g->workers != NULL && i < g->n_workers; i++) {
        worker_ended(&g->workers[i]);
        timer_cancel(g->loop, &g->workers[i].pause);
        buf_deinit(&g->workers[i].journal_path);
    }
    for (unsigned i = 0; g->mesh != NULL && g->workers != NULL && i < g->n_workers; i++) {
        close_fd(g->mesh[i][0]);
        close_fd(g->mesh[i][1]);
    }
    generation_forget_keys(g);
    for (size_t i = 0; g->directories != NULL && i < g->conf->n_domains; i++) {
        directory_free(g->directories[i].directory);
        if (g->counters != NULL) /* else none was opened, and no descriptor is marked as none */
            close_fd(g->directories[i].fd);
    }
    if (g->counters != NULL)
        munmap(g->counters, g->n_workers * sizeof(struct worker_counters));
    if (g->workers != NULL)
        loop_free_later(g->loop, g->workers); /* channels and timers are embedded */
    free(g->mesh);
    free(g->group_tls);
    free(g->directories);
    for (size_t i = 0; g->tables != NULL && i < g->conf->n_tables; i++)
        close_fd(g->tables[i].fd);
    free(g->tables);
    conf_free(g->conf);
    loop_free_later(g->loop, g);
}

/* ---- starting a worker */

/* What the child keeps, gathered before the fork so that it can fail no more behind it. */
struct inheritance {
    struct worker_setup setup;
    int *listen_fds;
    unsigned *listen_of;
    bool *listen_is_shared;
    int mesh_fds[WORKER_MAX];
    struct directory **directories;
    int *kept; /* all descriptors of the child, for close_range() */
    size_t n_kept;
};

static void inheritance_deinit(struct inheritance *in) {
    free(in->listen_fds);
    free(in->listen_of);
    free(in->listen_is_shared);
    free(in->directories);
    free(in->kept);
}

static void gather_listeners(
    struct inheritance *in, const struct generation *generation, unsigned index, const struct sockets *sockets) {
    size_t n = 0;
    for (size_t i = 0; i < generation->conf->n_listeners; i++) {
        const struct listening *listening = sockets_find(sockets, &generation->conf->listeners[i]);
        if (listening == NULL)
            continue;
        bool is_shared = listening_is_shared(listening);
        unsigned step = is_shared ? listening->n : generation->n_workers;
        for (unsigned slot = is_shared ? 0 : index; slot < listening->n; slot += step, n++) {
            in->listen_fds[n] = listening->fds[slot];
            in->listen_of[n] = (unsigned)i;
            in->listen_is_shared[n] = is_shared;
        }
    }
    in->setup.n_listen = n;
}

static void keep(struct inheritance *in, int fd) {
    if (fd >= 0)
        in->kept[in->n_kept++] = fd;
}

static void gather_kept(struct inheritance *in, const struct generation *generation) {
    for (int fd = 0; fd <= 2; fd++)
        keep(in, fd);
    for (size_t i = 0; i < in->setup.n_listen; i++)
        keep(in, in->listen_fds[i]);
    for (unsigned i = 0; i < generation->n_workers; i++)
        keep(in, generation->mesh[i][1]);
    keep(in, in->setup.mesh_fd);
    keep(in, in->setup.master_fd);
    keep(in, in->setup.journal_fd);
    for (size_t i = 0; i < generation->conf->n_tables; i++)
        keep(in, generation->tables[i].fd);
}

static int gather(
    struct inheritance *in, const struct generation *generation, unsigned index, const struct sockets *sockets) {
    const struct conf *conf = generation->conf;
    size_t n = conf->n_listeners * generation->n_slots + 1;
    in->listen_fds = calloc(n, sizeof(*in->listen_fds));
    in->listen_of = calloc(n, sizeof(*in->listen_of));
    in->listen_is_shared = calloc(n, sizeof(*in->listen_is_shared));
    in->directories = calloc(conf->n_domains + 1, sizeof(*in->directories));
    in->kept = calloc(n + WORKER_MAX + conf->n_tables + 8, sizeof(*in->kept));
    if (!in->listen_fds || !in->listen_of || !in->listen_is_shared || !in->directories || !in->kept)
        return -ENOMEM;
    gather_listeners(in, generation, index, sockets);
    for (unsigned slot = 0; slot < generation->n_slots; slot++)
        in->mesh_fds[slot] = generation->mesh[slot % generation->n_workers][1];
    for (size_t i = 0; i < conf->n_domains; i++)
        in->directories[i] = generation->directories[i].directory;
    in->setup.listen_fds = in->listen_fds;
    in->setup.listen_of = in->listen_of;
    in->setup.listen_is_shared = in->listen_is_shared;
    in->setup.mesh_fds = in->mesh_fds;
    in->setup.directories = in->directories;
    gather_kept(in, generation);
    return 0;
}

/* In a worker: the tables that have changed since `conf` was loaded. They were read before, and found good. */
static void take_tables(struct generation *generation) {
    for (size_t i = 0; i < generation->conf->n_tables; i++) {
        const struct conf_table *conf = &generation->conf->tables[i];
        const int fd = generation->tables[i].fd;
        struct table *table;
        struct diag_list diag;
        if (fd < 0)
            continue;
        diag_init(&diag);
        int r = table_load_fd(conf->type, fd, conf->file, &diag, &table);
        if (r == 0)
            conf_table_swap(generation->conf, i, table);
        else
            log_error("table %s cannot be used: %s; the one of the last reload is", conf->name, strerror(-r));
        diag_deinit(&diag);
        close(fd);
    }
}

static _Noreturn void be_worker(struct generation *generation, struct inheritance *in,
                                int (*run_worker)(const struct worker_setup *)) {
    tls_memory_stop_wiping(); /* it has its keys for as long as it lives */
    child_begin(in->kept, in->n_kept, &in->setup.conf->set, "postern/smtpd");
    take_tables(generation);
    int code = run_worker(&in->setup);
    log_flush();
    _exit(code);
}

static void on_message(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct worker *worker = channel->arg;
    for (size_t i = 0; i < n_fds; i++)
        close(take_fds[i]); /* workers send none */
    if (len == 0) {
        channel_stop(channel); /* it is ending: SIGCHLD tells how */
        return;
    }
    struct worker_message m;
    if (len != sizeof(m))
        return;
    memcpy(&m, message, sizeof(m));
    if (m.type == WORKER_READY && !worker->is_ready) {
        worker->is_ready = true;
        worker->generation->on_ready(worker->generation->arg, worker);
    } else if (m.type == WORKER_CLOSED && !worker->is_closed) {
        worker->is_closed = true;
        worker->generation->on_closed(worker->generation->arg, worker);
    }
}

static void fill_setup(struct worker_setup *setup, struct generation *generation, unsigned index, unsigned process) {
    *setup = (struct worker_setup){
        .conf = generation->conf,
        .slot = index,
        .n_slots = generation->n_slots,
        .n_workers = generation->n_workers,
        .process = process,
        .tls = generation->tls,
        .group_tls = generation->group_tls,
        .mesh_fd = generation->mesh[index][0],
        .counters = &generation->counters[index],
        .history = generation->history,
        .id_floor_ms = generation->id_floor_ms,
    };
}

static int fork_worker(struct worker *worker, struct inheritance *in, const struct sockets *sockets,
                       int (*run_worker)(const struct worker_setup *)) {
    int r = gather(in, worker->generation, worker->index, sockets);
    if (r != 0)
        return r;
    memset(worker->counters, 0, sizeof(*worker->counters));
    log_flush(); /* else the child would say it again */
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        be_worker(worker->generation, in, run_worker);
    worker->pid = pid;
    return 0;
}

int generation_start_worker(struct generation *generation, unsigned index, unsigned process,
    const struct sockets *sockets, int journal_fd, int (*run_worker)(const struct worker_setup *)) {
    struct worker *worker = &generation->workers[index];
    struct inheritance in = { 0 };
    int ends[2], r = channel_pair(ends);
    if (r != 0)
        return r;
    fill_setup(&in.setup, generation, index, process);
    in.setup.master_fd = ends[1];
    in.setup.journal_fd = journal_fd;
    r = fork_worker(worker, &in, sockets, run_worker);
    close(ends[1]);
    inheritance_deinit(&in);
    if (r != 0) {
        close(ends[0]);
        return r;
    }
    worker->process = process;
    worker->beat_look = (struct beat_look){ 0 };
    worker->started_ms = loop_now(generation->loop);
    worker->is_ready = worker->is_closed = false;
    worker->directories_due = generation->conf->n_domains;
    worker->is_store_due = true;
    worker->channel_fd = ends[0];
    r = channel_start(&worker->channel, generation->loop, ends[0], on_message, worker);
    return r;
}

/* ---- its end */

static void close_channel(struct worker *worker) {
    if (worker->channel_fd < 0)
        return;
    channel_stop(&worker->channel);
    close(worker->channel_fd);
    worker->channel_fd = -1;
}

void worker_ended(struct worker *worker) {
    close_channel(worker);
    worker->pid = 0;
    worker->is_ready = false;
}

void generation_drain(struct generation *generation) {
    struct worker_message drain = { .type = WORKER_DRAIN };
    for (unsigned i = 0; i < generation->n_workers; i++) {
        struct worker *worker = &generation->workers[i];
        timer_cancel(generation->loop, &worker->pause);
        /* A closed channel means the same to a worker, and needs no room. */
        if (worker->channel_fd >= 0 && channel_send(worker->channel_fd, &drain, sizeof(drain), NULL, 0) != 0)
            close_channel(worker);
    }
}

void generation_signal(struct generation *generation, int signo) {
    for (unsigned i = 0; i < generation->n_workers; i++)
        if (generation->workers[i].pid > 0)
            kill(generation->workers[i].pid, signo);
}

bool generation_is_ready(const struct generation *generation) {
    for (unsigned i = 0; i < generation->n_workers; i++)
        if (!generation->workers[i].is_ready)
            return false;
    return true;
}

bool generation_accepts(const struct generation *generation) {
    for (unsigned i = 0; i < generation->n_workers; i++)
        if (generation->workers[i].pid > 0 && !generation->workers[i].is_closed)
            return true;
    return false;
}

unsigned generation_running(const struct generation *generation) {
    unsigned n = 0;
    for (unsigned i = 0; i < generation->n_workers; i++)
        n += generation->workers[i].pid > 0;
    return n;
}

uint64_t worker_age_ms(const struct worker *worker) {
    return worker->pid > 0 ? loop_now(worker->generation->loop) - worker->started_ms : 0;
}
