/*
 * worker: a process that serves clients, from fork to drain.
 *
 * All it owns hangs on struct worker: the loop, its listeners, the two channels (master, mesh), the relay with its
 * pools, the journal and the sessions. Nothing here decides about mail; this file only brings connections to sessions
 * and carries out what the master says.
 *
 * Draining. DRAIN comes at a reload, when a new worker serves the slot: this one accepts no more, says so, and ends
 * with its last session, at the latest at drain_limit. SIGTERM is the same for good: sessions without a mail in hand
 * end at once; at SIGQUIT, all do (not at a second SIGTERM: two that come close together are one). When the master is
 * gone (its channel closes), so are we, in the same way. A delivery whose final dot is out is always waited for, since
 * only its answer tells whether the message arrived.
 *
 * All workers hear DRAIN at about the same time, but not at once: one that has not may still hand a connection to one
 * that has. So where connections are handed over at all, a worker listens to the others for MESH_GRACE_MS more, and
 * keeps what it accepts itself.
 */
#include "session/worker.h"

#include "base/clock.h"
#include "facts/organisations.h"
#include "net/channel.h"
#include "net/listen.h"
#include "net/sandbox.h"
#include "session/folding.h"
#include "session/handover.h"
#include "session/keeping.h"
#include "session/policy_door.h"
#include "session/rehearsal.h"
#include "session/session.h"
#include "session/table_swap.h"
#include "session/worker_dns.h"
#include "session/worker_quarantine.h"
#include "session/worker_scanners.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    TICK_MS = 1000,
    MESH_GRACE_MS = 500, /* many turns of any worker's loop */
    FILES_RESERVE = 128, /* listeners, channels, spool files, log, libraries; see also cmd/host.c */
};

struct worker {
    const struct worker_setup *setup;
    struct loop *loop;
    struct server server;
    struct policy_door door;    /* to Postfix */
    struct journal journal;
    int journal_error;          /* of the last flush; 0: none */
    struct resolver *resolver;
    struct dnsbl *dnsbl;
    struct store_client *store; /* NULL: none is configured */
    struct table_swap *tables;  /* NULL: none comes from a file */
    struct scanners *scanners;  /* NULL: none is configured */
    struct organisations organisations;
    struct relay_events events;
    struct listener *listeners; /* setup->n_listen */
    struct channel master, mesh;
    struct timer tick;          /* journal, counters: once a second */
    struct timer drain_limit, mesh_grace;
    bool is_draining;
    bool is_mesh_over; /* nobody hands connections to us any more */
};

/* ---- connections in */

static const struct conf_listener *listener_conf(const struct worker *w, const struct listener *listener) {
    size_t index = (size_t)(listener - w->listeners);
    return &w->setup->conf->listeners[w->setup->listen_of[index]];
}

static void on_accept(struct listener *listener, int take_fd, const struct endpoint *client) {
    struct worker *w = listener->arg;
    const struct conf_listener *conf = listener_conf(w, listener);
    if (conf->door == CONF_DOOR_POLICY) {
        policy_door_start(&w->door, take_fd);
        return;
    }
    bool may_multiplex = cidr_list_contains(conf->xclient_multiplex.at, conf->xclient_multiplex.n, &client->ip);
    const struct session_origin origin = {
        .peer = *client,
        .client = *client,
        .expects_proxy = cidr_list_contains(conf->proxy_from.at, conf->proxy_from.n, &client->ip),
        .allows_xclient = cidr_list_contains(conf->xclient_from.at, conf->xclient_from.n, &client->ip) || may_multiplex,
        .may_multiplex = may_multiplex,
        /* the kernel has steered it here already, unless all workers share the socket */
        .is_settled = !w->setup->listen_is_shared[listener - w->listeners] && conf->proxy_from.n == 0,
    };
    session_start(&w->server, take_fd, &origin, (struct str){ 0 });
}

/* No descriptor or memory for a new connection: another one gives its up. */
static bool on_short(struct listener *listener, int err) {
    struct worker *w = listener->arg;
    if (server_evict_one(&w->server) || policy_door_evict_one(&w->door))
        return true;
    folding_line(&w->server, LOG_LEVEL_WARNING, NULL, "cannot accept", "", "cannot accept connections: %s",
                 strerror(err));
    return false;
}

/* struct server's hand_over: to the worker that the kernel would have chosen for this client. */
static bool hand_over(void *arg, int fd, const struct session_origin *origin, struct str unread) {
    const struct worker *w = arg;
    const struct worker_setup *setup = w->setup;
    uint32_t slot = ip_client_slot(&origin->client.ip, setup->n_slots);
    if (w->is_draining || slot % setup->n_workers == setup->slot % setup->n_workers)
        return false;
    return handover_send(setup->mesh_fds[slot % setup->n_workers], fd, origin, unread) == 0;
}

static void on_mesh(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct worker *w = channel->arg;
    struct session_origin origin;
    struct str unread;
    if (n_fds == 1 && handover_parse(message, len, &origin, &unread) == 0) {
        session_start(&w->server, take_fds[0], &origin, unread);
        return;
    }
    for (size_t i = 0; i < n_fds; i++)
        close(take_fds[i]);
}

/* ---- ending */

static bool is_done(const struct worker *w) {
    return w->is_draining && w->is_mesh_over && w->server.n_sessions == 0 && w->door.n == 0
        && relay_orphans(w->server.relay) == 0;
}

static void stop_when_done(void *arg) {
    struct worker *w = arg;
    if (is_done(w))
        loop_stop(w->loop);
}

static void on_drain_limit(struct timer *timer) {
    struct worker *w = (struct worker *)((char *)timer - offsetof(struct worker, drain_limit));
    server_end_all(&w->server);
    policy_door_end_all(&w->door);
    stop_when_done(w);
}

static bool has_mesh(const struct worker *w) {
    bool is_used = false;
    for (size_t i = 0; i < w->setup->n_listen; i++) {
        const struct conf_listener *conf = listener_conf(w, &w->listeners[i]);
        is_used |= conf->door == CONF_DOOR_SMTP && (w->setup->listen_is_shared[i] || conf->proxy_from.n > 0);
    }
    return is_used && w->setup->n_workers > 1;
}

static void on_mesh_grace(struct timer *timer) {
    struct worker *w = (struct worker *)((char *)timer - offsetof(struct worker, mesh_grace));
    channel_stop(&w->mesh);
    w->is_mesh_over = true;
    stop_when_done(w);
}

static void drain(struct worker *w) {
    if (w->is_draining)
        return;
    w->is_draining = true;
    for (size_t i = 0; i < w->setup->n_listen; i++) {
        /* Who waits at a mailbox server's door is served here; Postfix's processes by the workers that serve now. */
        listener_stop(&w->listeners[i], listener_conf(w, &w->listeners[i])->door == CONF_DOOR_SMTP);
        close(w->setup->listen_fds[i]); /* or the kernel would go on taking clients that nobody serves */
    }
    policy_door_close(&w->door); /* Postfix connects anew, to the worker that serves now */
    const struct worker_message closed = { .type = WORKER_CLOSED };
    int r = channel_send(w->setup->master_fd, &closed, sizeof(closed), NULL, 0);
    if (r < 0)
        log_debug("the master cannot be told: %s", strerror(-r)); /* it is gone, or waits no longer than it must */
    uint64_t limit = w->setup->conf->set.timeouts.drain_limit, now = loop_now(w->loop);
    timer_set(w->loop, &w->drain_limit, now + limit, on_drain_limit);
    if (!has_mesh(w) || timer_set(w->loop, &w->mesh_grace, now + MESH_GRACE_MS, on_mesh_grace) < 0)
        on_mesh_grace(&w->mesh_grace);
}

static void shut_down(struct worker *w) {
    drain(w);
    server_shut_down(&w->server);
    stop_when_done(w);
}

static void on_end_signal(int signo, void *arg) {
    struct worker *w = arg;
    if (signo == SIGQUIT)
        server_end_all(&w->server);
    shut_down(w);
}

/* ---- what the master says */

static void take_directory(struct worker *w, const char *name, int take_fd) {
    const struct conf_domain *domain = conf_domain_find(w->setup->conf, str_of(name));
    struct directory *directory = NULL;
    if (domain == NULL || (take_fd >= 0 && directory_open_fd(take_fd, &directory) < 0)) {
        log_warning("directory of %s: not taken", name);
        return;
    }
    struct directory **at = &w->server.directories[domain->index];
    directory_free(*at);
    *at = directory;
}

static void on_master(struct channel *channel, const void *message, size_t len, const int *take_fds, size_t n_fds) {
    struct worker *w = channel->arg;
    if (len == 0 && n_fds == 0) {
        log_warning("the master is gone, draining");
        channel_stop(&w->master);
        shut_down(w);
        return;
    }
    struct worker_message m = { 0 };
    int fd = n_fds == 1 ? take_fds[0] : -1;
    if (len == sizeof(m))
        memcpy(&m, message, sizeof(m));
    m.domain[sizeof(m.domain) - 1] = '\0';
    switch ((enum worker_message_type)m.type) {
    case WORKER_DIRECTORY:
        take_directory(w, m.domain, fd);
        break;
    case WORKER_TABLE:
        if (w->tables != NULL && fd >= 0)
            table_swap_start(w->tables, str_of(m.domain), fd);
        else if (fd >= 0)
            close(fd);
        break;
    case WORKER_JOURNAL:
        if (fd >= 0)
            journal_swap(&w->journal, fd);
        break;
    case WORKER_STORE:
        if (w->store != NULL && fd >= 0)
            store_client_connect(w->store, fd);
        else if (fd >= 0)
            close(fd);
        break;
    case WORKER_DRAIN:
        drain(w);
        break;
    case WORKER_READY: /* ours to send, both */
    case WORKER_CLOSED:
        break;
    }
}

/* ---- once a second */

_Static_assert((int)CONF_SERVERS_MAX == (int)WORKER_SERVERS_MAX, "each mailbox server has its counters");

static void publish_servers(struct worker *w) {
    unsigned at = 0;
    const struct conf *conf = w->setup->conf;
    for (unsigned g = 0; g < conf->n_groups; g++) {
        for (unsigned i = 0; i < conf->groups[g].n_servers && at < WORKER_SERVERS_MAX; i++, at++) {
            struct relay_stats stats;
            relay_server_stats(w->server.relay, g, i, &stats);
            struct worker_server_counters *counters = &w->setup->counters->servers[at];
            counters->connections = stats.connections;
            counters->idle = stats.idle;
            counters->lent = stats.lent;
            counters->waiting = stats.waiting;
            counters->is_down = stats.is_open;
            counters->is_plain = stats.is_plain;
            counters->troubles = stats.troubles;
        }
    }
}

static void on_tick(struct timer *timer) {
    struct worker *w = (struct worker *)((char *)timer - offsetof(struct worker, tick));
    folding_tick(&w->server);
    int r = journal_flush(&w->journal);
    if (r < 0 && r != w->journal_error)
        log_warning("journal: %s, records wait or are lost", r == -EAGAIN ? "its process takes nothing" : strerror(-r));
    w->journal_error = r;
    w->setup->counters->journal_lost = w->journal.told + w->journal.lost;
    w->setup->counters->spool_now = w->server.clients.spool.used;
    w->setup->counters->journal_bytes = w->journal.written;
    w->setup->counters->log_bytes = log_bytes();
    publish_servers(w);
    if (w->scanners != NULL)
        worker_scanners_publish(w->scanners, w->setup->conf, w->setup->counters);
    worker_quarantine_publish(w->server.quarantine, w->setup->conf, w->setup->counters);
    stop_when_done(w); /* an orphan may have been the last */
    timer_set(w->loop, &w->tick, loop_now(w->loop) + TICK_MS, on_tick);
}

static void on_turn_end(void *arg) {
    struct worker *w = arg;
    if (w->journal.out.len > JOURNAL_FLUSH)
        journal_flush(&w->journal);
    log_flush();
}

/* ---- what the relay tells */

static void on_orphan(void *arg, struct str id, const struct relay_result *result) {
    struct worker *w = arg;
    bool is_delivered = result->outcome == RELAY_ANSWERED && result->answer->code / 100 == 2;
    bool is_refused = (result->outcome == RELAY_ANSWERED && !is_delivered) || result->outcome == RELAY_TROUBLE;
    keeping_orphan(&w->server, id, is_delivered);
    log_warning("%s, client gone: server=%.*s reply=%u sid=%.*s",
                is_delivered ? "delivered" : is_refused ? "refused by the mailbox server" : "outcome unknown",
                STR_ARG(result->server), result->answer != NULL ? result->answer->code : 0, STR_ARG(id));
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    (void)arg;
    char at[ENDPOINT_TEXT_MAX];
    log_warning("mailbox server %s (%s): %.*s", endpoint_format(&server->at, at), group->name, STR_ARG(what));
}

static void on_note(void *arg, struct str id, struct str what) {
    (void)arg;
    log_info("%.*s sid=%.*s", STR_ARG(what), STR_ARG(id));
}

/* ---- from fork to loop */

/* This worker's share of Postfix's connections; any worker may get all of the few that there are. */
static unsigned policy_connections_max(const struct worker_setup *setup) {
    bool is_open = false;
    for (size_t i = 0; i < setup->conf->n_listeners; i++)
        is_open |= setup->conf->listeners[i].door == CONF_DOOR_POLICY;
    unsigned share = POLICY_CONNECTIONS_MAX / setup->n_workers;
    return !is_open ? 0 : share > POLICY_CONNECTIONS_MIN ? share : POLICY_CONNECTIONS_MIN;
}

/*
 * This worker's share of the connection limit, or fewer when the descriptors of the process would not last: those who
 * stand at the limit give way, but a mailbox server cannot be reached without a descriptor.
 */
static uint64_t sessions_max(const struct worker_setup *setup) {
    const struct conf *conf = setup->conf;
    uint64_t share = (conf->set.limits.connections + setup->n_workers - 1) / setup->n_workers;
    uint64_t others = FILES_RESERVE + policy_connections_max(setup);
    struct rlimit files;
    for (size_t i = 0; i < conf->n_groups; i++)
        others += conf->groups[i].n_servers * (conf->set.limits.server_connections / setup->n_workers + 1);
    others += worker_scanners_files(conf, setup->n_workers);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        uint64_t room = files.rlim_cur > 2 * others ? files.rlim_cur - others : files.rlim_cur / 2;
        share = share < room ? share : room;
    }
    return share > 0 ? share : 1;
}

/* This worker's share of the spool: one message of full size finds room, and leaves as much for others. */
static uint64_t spool_max(const struct worker_setup *setup) {
    const struct conf_settings *set = &setup->conf->set;
    uint64_t share = set->limits.spool_total / setup->n_workers, least = 2 * set->limits.message_size;
    return share > least ? share : least;
}

static uint64_t spool_client_max(const struct conf *conf) {
    uint64_t client = conf->set.limits.spool_client, least = conf->set.limits.message_size;
    return client > least ? client : least;
}

static int start_server(struct worker *w) {
    const struct worker_setup *setup = w->setup;
    journal_init(&w->journal, setup->journal_fd);
    w->server = (struct server){
        .loop = w->loop,
        .conf = setup->conf,
        .tls = setup->tls,
        .directories = setup->directories,
        .journal = &w->journal,
        .counters = setup->counters,
        .history = setup->history,
        .ids = { .host = (uint8_t)setup->conf->set.host_number, .process = (uint8_t)setup->process,
                 .last_ms = setup->id_floor_ms },
        .max_sessions = sessions_max(setup),
        .hand_over = hand_over,
        .on_empty = stop_when_done,
        .arg = w,
    };
    policy_door_init(&w->door, &w->server, policy_connections_max(setup));
    w->door.on_empty = stop_when_done;
    w->door.arg = w;
    w->events = (struct relay_events){ .on_orphan = on_orphan, .on_server = on_server, .on_note = on_note, .arg = w };
    int r = clients_init(&w->server.clients);
    if (r == 0)
        r = refusals_new(setup->conf->set.timeouts.refusal_memory, &w->server.refusals);
    if (r == 0)
        clients_set_spool(&w->server.clients, spool_max(setup), spool_client_max(setup->conf));
    w->server.guessers = calloc(1, sizeof(*w->server.guessers)); /* without memory nobody is known */
    if (r == 0)
        r = folding_start(&w->server);
    if (r == 0)
        r = rates_new(setup->conf->policy.policy, RATE_BYTES_MAX, &w->server.rates);
    if (r == 0)
        r = worker_dns_start(w->loop, setup, &w->resolver);
    if (r == 0)
        r = worker_dns_lists_start(w->loop, setup, w->resolver, &w->dnsbl);
    if (r == 0 && setup->conf->set.store.path != NULL)
        r = store_client_new(w->loop, &w->store);
    if (r < 0)
        return r;
    w->server.gather = (struct gather_world){ .loop = w->loop, .resolver = w->resolver, .dnsbl = w->dnsbl,
                                              .store = w->store, .rates = w->server.rates, .conf = setup->conf,
                                              .timeout_ms = setup->conf->set.dns.timeout,
                                              .organisations = &w->organisations };
    return relay_new(w->loop, setup->conf, setup->group_tls, setup->n_workers, &w->events, &w->server.relay);
}

static int start_listening(struct worker *w) {
    const struct worker_setup *setup = w->setup;
    w->listeners = calloc(setup->n_listen, sizeof(*w->listeners));
    if (w->listeners == NULL)
        return -ENOMEM;
    int r = 0;
    for (size_t i = 0; i < setup->n_listen && r == 0; i++)
        r = listener_start(&w->listeners[i], w->loop, setup->listen_fds[i], on_accept, on_short, w);
    if (r == 0)
        r = channel_start(&w->master, w->loop, setup->master_fd, on_master, w);
    if (r == 0)
        r = channel_start(&w->mesh, w->loop, setup->mesh_fd, on_mesh, w);
    return r;
}

/* Where there is none, a path that is permitted anyway. */
static const char *quarantine_path(const struct worker_setup *setup) {
    const struct conf_settings *set = &setup->conf->set;
    return set->quarantine.path != NULL ? set->quarantine.path : set->spool_path;
}

static bool has_table_files(const struct conf *conf) {
    bool has_any = false;
    for (size_t i = 0; i < conf->n_tables; i++)
        has_any |= conf->tables[i].file != NULL;
    return has_any;
}

static void on_table(void *arg, const struct conf_table *table, int r) {
    (void)arg;
    if (r < 0)
        log_error("table %s: a new one cannot be used: %s; the old one stays", table->name, strerror(-r));
    else
        log_debug("table %s: %zu entries from now on", table->name, table_count(table->table));
}

/* The configuration is this process' own copy, and only its tables ever change. */
static int start_tables(struct worker *w) {
    if (!has_table_files(w->setup->conf))
        return 0;
    return table_swap_new(w->loop, (struct conf *)w->setup->conf, on_table, w, &w->tables);
}

static int give_up_rights(const struct worker_setup *setup) {
    const struct sandbox_path paths[] = {
        { .path = setup->conf->set.spool_path, .may_write = true },
        { .path = quarantine_path(setup), .may_write = true, .may_miss = true },
        { .path = "/etc/ssl", .may_miss = true }, /* the system's certificates, for servers that are verified … */
        { .path = "/usr/share/ca-certificates", .may_miss = true }, /* … where Debian's links in there lead … */
        { .path = "/usr/local/share/ca-certificates", .may_miss = true }, /* … and those of the site */
        { .path = "/usr/share/zoneinfo", .may_miss = true },
        { .path = "/etc/localtime", .may_miss = true },
    };
    const struct sandbox sandbox = {
        .user = geteuid() == 0 ? setup->conf->set.user : NULL,
        .paths = paths,
        .n_paths = sizeof(paths) / sizeof(*paths),
        .may_dump_core = setup->conf->set.watchdog_core,
        .may_lock_files = setup->conf->set.quarantine.path != NULL,
        .may_start_threads = setup->conf->set.quarantine.path != NULL || has_table_files(setup->conf),
    };
    int gaps = sandbox_enter(&sandbox);
    if (gaps < 0)
        log_error("cannot give up rights (%s%s, spool_path %s): %s", sandbox.user ? "becoming user " : "not root",
                  sandbox.user ? sandbox.user : "", setup->conf->set.spool_path, strerror(-gaps));
    else if (gaps & SANDBOX_NO_LANDLOCK)
        log_warning("this kernel has no Landlock: files are guarded by their permissions alone");
    else if (gaps & SANDBOX_NO_SECCOMP)
        log_warning("this kernel has no seccomp: system calls are not filtered");
    const char *spool_path = setup->conf->set.spool_path;
    if (gaps >= 0 && access(spool_path, W_OK | X_OK) < 0) /* as the user we are now */
        log_warning("spool_path %s: %s: messages larger than memory_spool will be deferred; give the folder to the "
                    "user of the workers", spool_path, strerror(errno));
    return gaps < 0 ? gaps : 0;
}

static int run(struct worker *w) {
    int r = loop_new(&w->loop);
    if (r == 0)
        r = start_server(w);
    if (r == 0)
        loop_beat(w->loop, &w->setup->counters->beat);
    if (r == 0)
        r = start_listening(w);
    if (r == 0)
        r = loop_on_signal(w->loop, SIGTERM, on_end_signal, w);
    if (r == 0)
        r = loop_on_signal(w->loop, SIGQUIT, on_end_signal, w);
    if (r == 0)
        r = give_up_rights(w->setup);
    if (r < 0)
        return r;
    r = worker_scanners_start(w->loop, w->setup, &w->scanners); /* as who we are now: rights on sockets count */
    if (r < 0)
        return r;
    w->server.gather.scanners = w->scanners;
    w->server.quarantine = worker_quarantine_start(w->loop, w->setup);
    if ((r = start_tables(w)) < 0)
        return r;
    loop_on_turn_end(w->loop, on_turn_end, w);
    relay_probe(w->server.relay);
    w->setup->counters->started_ms = clock_wall_ms();
    on_tick(&w->tick);
    const struct worker_message ready = { .type = WORKER_READY };
    r = channel_send(w->setup->master_fd, &ready, sizeof(ready), NULL, 0);
    return r < 0 ? r : loop_run(w->loop);
}

int worker_run(const struct worker_setup *setup) {
    struct worker w = { .setup = setup };
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* the master's */
    signal(SIGINT, SIG_IGN); /* Ctrl-C in a terminal reaches all: the master tells us */
    log_ident("postern/smtpd");
    int r = run(&w);
    if (r < 0)
        log_error("worker cannot run: %s", strerror(-r));
    server_end_all(&w.server);
    policy_door_end_all(&w.door);
    rehearsals_finish(&w.server);
    folding_stop(&w.server);
    keeping_forget(&w.server);
    table_swap_free(w.tables);
    quarantine_stop(w.server.quarantine);
    relay_free(w.server.relay);
    store_client_free(w.store);
    scanners_free(w.scanners);
    dnsbl_free(w.dnsbl);
    resolver_free(w.resolver);
    journal_deinit(&w.journal);
    clients_deinit(&w.server.clients);
    rates_free(w.server.rates);
    refusals_free(w.server.refusals);
    free(w.server.guessers);
    free(w.listeners);
    log_flush();
    return r < 0 ? 1 : 0;
}
