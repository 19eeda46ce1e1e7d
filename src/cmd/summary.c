/*
 * What is the state of the service? Gathered from the master's own books and from the counters that workers write
 * into shared memory, so that asking costs no worker anything.
 *
 * A mailbox server counts as down when some worker has stopped trying it and none has a connection to it: workers
 * with little traffic notice late, and an open connection anywhere is proof of life.
 */
#include "cmd/master_state.h"

#include "base/clock.h"

#include <errno.h>

static void add_totals(struct report_totals *to, const struct worker_counters *from) {
    to->sessions += from->sessions;
    to->messages += from->messages;
    to->recipients_passed += from->recipients_passed;
    to->refused += from->refused;
    to->deferred += from->deferred;
    to->relay_denied += from->relay_denied;
    to->unknown += from->unknown;
    to->evicted += from->evicted;
    to->evicted_waiting += from->evicted_waiting;
    to->too_many += from->too_many;
    to->too_many_network += from->too_many_network;
    to->slow_data += from->slow_data;
    to->spool_refused += from->spool_refused;
    to->guessers_cut += from->guessers_cut;
    to->refused_from_memory += from->refused_from_memory;
    to->handed_over += from->handed_over;
    to->early_talkers += from->early_talkers;
    to->left_early += from->left_early;
    to->turned_away += from->turned_away;
    to->journal_lost += from->journal_lost;
    to->journal_folded += from->journal_folded;
    to->journal_bytes += from->journal_bytes;
    to->log_folded += from->log_folded;
    to->log_bytes += from->log_bytes;
    to->unrehearsed += from->unrehearsed;
    to->quarantined += from->quarantined;
    to->quarantine_failed += from->quarantine_failed;
}

void summary_keep(struct master *master, const struct worker *worker) {
    add_totals(&master->past, worker->counters);
}

/* What workers have written. */
static void note_writing(struct master *master) {
    struct report_totals totals = master->past;
    for (const struct generation *g = master->generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++)
            if (g->workers[i].pid > 0)
                add_totals(&totals, g->workers[i].counters);
    growth_note(&master->journal_growth, totals.journal_bytes, loop_now(master->loop));
    growth_note(&master->log_growth, totals.log_bytes, loop_now(master->loop));
}

static void describe_growth(const struct master *master, struct report_totals *totals) {
    totals->journal_bytes_minute = (uint64_t)growth_of_minute(&master->journal_growth);
    totals->journal_bytes_hour = (uint64_t)growth_of(&master->journal_growth);
    totals->log_bytes_minute = (uint64_t)growth_of_minute(&master->log_growth);
    totals->log_bytes_hour = (uint64_t)growth_of(&master->log_growth);
}

static const char *worker_state(const struct worker *worker) {
    if (worker->pid == 0)
        return "waiting";
    if (worker->generation->state == GENERATION_ENDING)
        return "ending";
    return worker->is_ready ? "ready" : "starting";
}

static int list_workers(const struct master *master, struct arena *arena, struct report *report) {
    size_t n = 0;
    for (const struct generation *g = master->generations; g != NULL; g = g->next)
        n += g->n_workers;
    struct report_worker *list = arena_zalloc(arena, (n + 1) * sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    n = 0;
    for (const struct generation *g = master->generations; g != NULL; g = g->next)
        for (unsigned i = 0; i < g->n_workers; i++) {
            const struct worker *worker = &g->workers[i];
            if (worker->pid == 0 && g->state == GENERATION_ENDING)
                continue;
            list[n++] = (struct report_worker){ .slot = i, .process = worker->process, .pid = worker->pid,
                .age_ms = worker_age_ms(worker), .state = worker_state(worker),
                .sessions = worker->pid > 0 ? worker->counters->sessions_now : 0 };
            if (worker->pid > 0) {
                add_totals(&report->totals, worker->counters);
                report->totals.sessions_now += worker->counters->sessions_now;
                report->totals.spool_now += worker->counters->spool_now;
            }
        }
    report->workers = list;
    report->n_workers = n;
    return 0;
}

static void look_at_server(const struct generation *generation, size_t index, struct report_server *server) {
    bool any_gave_up = false;
    for (unsigned i = 0; index < WORKER_SERVERS_MAX && i < generation->n_workers; i++) {
        const struct worker *worker = &generation->workers[i];
        const struct worker_server_counters *counters = &worker->counters->servers[index];
        if (worker->pid == 0)
            continue;
        server->connections += counters->connections;
        server->waiting += counters->waiting;
        server->troubles += counters->troubles;
        server->is_plain |= counters->is_plain != 0;
        any_gave_up |= counters->is_down != 0;
    }
    server->is_down = any_gave_up && server->connections == 0;
}

static int list_servers(const struct generation *generation, struct arena *arena, struct report *report) {
    const struct conf *conf = generation->conf;
    size_t n = 0;
    for (size_t i = 0; i < conf->n_groups; i++)
        n += conf->groups[i].n_servers;
    struct report_server *list = arena_zalloc(arena, (n + 1) * sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    n = 0;
    for (size_t i = 0; i < conf->n_groups; i++)
        for (size_t k = 0; k < conf->groups[i].n_servers; k++, n++) {
            char text[ENDPOINT_TEXT_MAX];
            list[n].group = arena_strdup(arena, str_of(conf->groups[i].name));
            list[n].address = arena_strdup(arena, str_of(endpoint_format(&conf->groups[i].servers[k].at, text)));
            if (list[n].group == NULL || list[n].address == NULL)
                return -ENOMEM;
            look_at_server(generation, n, &list[n]);
        }
    report->servers = list;
    report->n_servers = n;
    return 0;
}

/* A list is as good as the worker thinks that thinks worst of it; its latency is the longest. */
static struct report_list describe_list(const struct generation *generation, size_t index, enum dnsbl_kind kind) {
    struct report_list list = { .zone = generation->conf->block_lists[index].zone, .kind = dnsbl_kind_names[kind] };
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct worker *worker = &generation->workers[i];
        const struct worker_list_counters *counters = &worker->counters->lists[index][kind];
        if (worker->pid == 0)
            continue;
        list.asked += counters->asked;
        list.listed += counters->listed;
        list.errors += counters->errors;
        list.probes += counters->probes;
        list.latency_us = counters->latency_us > list.latency_us ? counters->latency_us : list.latency_us;
        if (counters->trust == DNSBL_NOT_TRUSTED && counters->why < N_DNSBL_WHYS)
            list.why = dnsbl_why_texts[counters->why];
        else if (counters->trust == DNSBL_UNPROBED && list.why == NULL)
            list.why = "not probed yet";
    }
    return list;
}

static int list_block_lists(const struct generation *generation, struct arena *arena, struct report *report) {
    const struct conf *conf = generation->conf;
    struct report_list *list = arena_zalloc(arena, (conf->n_block_lists + 1) * N_DNSBL_KINDS * sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    report->lists = list;
    for (size_t i = 0; i < conf->n_block_lists; i++)
        for (enum dnsbl_kind kind = 0; kind < N_DNSBL_KINDS; kind++)
            if (dnsbl_trust_applies(&conf->block_lists[i], kind))
                list[report->n_lists++] = describe_list(generation, i, kind);
    return 0;
}

/* A scanner's server is down as a mailbox server is. */
static struct report_scanner_server describe_scanner_server(const struct generation *generation, enum scanner scanner,
                                                            size_t index, struct report_scanner_server server) {
    bool any_gave_up = false;
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct worker *worker = &generation->workers[i];
        const struct worker_scanner_counters *counters = &worker->counters->scanners[scanner];
        if (worker->pid == 0)
            continue;
        server.connections += counters->servers[index].connections;
        server.scanned += counters->servers[index].scanned;
        server.failed += counters->servers[index].failed;
        any_gave_up |= counters->servers[index].is_down != 0;
    }
    server.is_down = any_gave_up && server.connections == 0;
    return server;
}

static struct report_scanner describe_scanner(const struct generation *generation, enum scanner scanner) {
    const struct conf_settings *set = &generation->conf->set;
    enum conf_failure failure = scanner == SCANNER_CLAMAV ? set->on_failure.virus : set->on_failure.spam;
    struct report_scanner report = { .name = scanner_names[scanner], .is_deferring = failure == CONF_FAILURE_DEFER };
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct worker *worker = &generation->workers[i];
        const struct worker_scanner_counters *counters = &worker->counters->scanners[scanner];
        if (worker->pid == 0)
            continue;
        report.scanned += counters->scanned;
        report.found += counters->found;
        report.skipped += counters->skipped;
        report.unavailable += counters->unavailable;
    }
    return report;
}

static int list_scanners(const struct generation *generation, struct arena *arena, struct report *report) {
    const struct conf_scanner *confs[N_SCANNERS] = { [SCANNER_CLAMAV] = &generation->conf->set.clamav,
                                                     [SCANNER_SPAMASSASSIN] = &generation->conf->set.spamassassin };
    struct report_scanner *list = arena_zalloc(arena, N_SCANNERS * sizeof(*list));
    struct report_scanner_server *servers = arena_zalloc(arena, N_SCANNERS * CONF_SCANNER_SERVERS_MAX *
                                                                    sizeof(*servers));
    if (list == NULL || servers == NULL)
        return -ENOMEM;
    report->scanners = list;
    report->scanner_servers = servers;
    for (enum scanner i = 0; i < N_SCANNERS; i++) {
        if (confs[i]->n_servers > 0)
            list[report->n_scanners++] = describe_scanner(generation, i);
        for (size_t k = 0; k < confs[i]->n_servers; k++) {
            char *address = arena_strdup(arena, str_of(confs[i]->servers[k].text));
            if (address == NULL)
                return -ENOMEM;
            servers[report->n_scanner_servers++] = describe_scanner_server(
                generation, i, k, (struct report_scanner_server){ .name = scanner_names[i], .address = address });
        }
    }
    return 0;
}

/* Of the workers that run: what a dead one counted is gone with it, as its questions are. */
static void describe_dns(const struct generation *generation, uint64_t now_ms, struct report_dns *dns) {
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct worker *worker = &generation->workers[i];
        const struct resolver_counters *counters = &worker->counters->dns;
        if (worker->pid == 0)
            continue;
        dns->in_flight += counters->in_flight;
        dns->max_in_flight += counters->max_in_flight;
        dns->asked += counters->asked;
        dns->cached += counters->cached;
        dns->joined += counters->joined;
        dns->refused_client += counters->refused[RESOLVER_NETWORK_FULL];
        dns->refused_domain += counters->refused[RESOLVER_DOMAIN_FULL];
        dns->refused_full += counters->refused[RESOLVER_FULL];
        uint64_t full_ms = counters->full_ms, age_ms = now_ms > full_ms ? now_ms - full_ms : 1;
        if (counters->refused[RESOLVER_FULL] > 0 && (dns->full_age_ms == 0 || age_ms < dns->full_age_ms))
            dns->full_age_ms = age_ms;
    }
}

/* The folder is the same for all workers: the newest count is the best. A worker that has none cannot use it. */
static void describe_quarantine(const struct generation *generation, struct report *report) {
    struct report_quarantine *quarantine = &report->quarantine;
    uint64_t newest_ms = 0;
    quarantine->path = generation->conf->set.quarantine.path;
    quarantine->size_max = generation->conf->set.quarantine.size_max;
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct worker_counters *counters = generation->workers[i].counters;
        uint64_t counted_ms = counters->quarantine.counted_ms;
        quarantine->is_broken |= counters->quarantine.is_broken != 0;
        if (generation->workers[i].pid == 0 || counted_ms <= newest_ms)
            continue;
        newest_ms = counted_ms;
        quarantine->is_counted = true;
        quarantine->messages = counters->quarantine.messages;
        quarantine->pending = counters->quarantine.pending;
        quarantine->bytes = counters->quarantine.bytes;
    }
}

static struct report_directory describe_directory(const struct generation *generation, size_t i, uint64_t now_ms) {
    const struct conf_domain *domain = &generation->conf->domains[i];
    const struct generation_directory *entry = &generation->directories[i];
    struct report_directory d = {.domain = domain->name, .state = REPORT_DIRECTORY_NONE, .is_broken = entry->is_broken};
    if (domain->set.directory != CONF_DIRECTORY_OWN) {
        d.state = domain->set.directory_of != NULL ? REPORT_DIRECTORY_ALIAS : REPORT_DIRECTORY_NONE;
        return d;
    }
    d.state = REPORT_DIRECTORY_MISSING;
    if (entry->directory == NULL)
        return d;
    const struct directory_meta *meta = directory_meta(entry->directory);
    uint64_t limit_ms = generation->conf->set.timeouts.directory_age;
    d.count = meta->count;
    d.age_ms = now_ms > meta->imported_ms ? now_ms - meta->imported_ms : 0;
    d.state = limit_ms > 0 && d.age_ms > limit_ms ? REPORT_DIRECTORY_OLD : REPORT_DIRECTORY_FINE;
    return d;
}

static int list_directories(const struct generation *generation, struct arena *arena, struct report *report) {
    size_t n = generation->conf->n_domains;
    struct report_directory *list = arena_zalloc(arena, (n + 1) * sizeof(*list));
    if (list == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        list[i] = describe_directory(generation, i, report->now_ms);
    report->directories = list;
    report->n_directories = n;
    return 0;
}

/* Words that the store writes while we read them are read again; a writer that died in the middle leaves none. */
static char *read_why(const struct store_counters *counters, struct arena *arena) {
    char why[STORE_WHY_MAX] = "";
    for (unsigned tries = 0; tries < 3; tries++) {
        uint32_t version = atomic_load(&counters->why_version);
        memcpy(why, counters->why, sizeof(why));
        why[sizeof(why) - 1] = '\0';
        if (version % 2 == 0 && version == atomic_load(&counters->why_version))
            return arena_strdup(arena, str_of(why));
    }
    return arena_strdup(arena, STR(""));
}

static int describe_store(const struct store_child *child, struct arena *arena, struct report *report) {
    static const char *const states[] = { [STORE_STATE_OFF] = "off", [STORE_STATE_DOWN] = "down",
                                          [STORE_STATE_FULL] = "full", [STORE_STATE_UP] = "up" };
    struct report_store *store = &report->store;
    *store = (struct report_store){ .state = store_child_state(child), .local = "down", .shared = "off", .why = "",
                                    .pid = (int)child->pid, .deaths = child->n_deaths };
    const struct store_counters *c = child->counters;
    if (child->pid == 0 || c == NULL)
        return 0;
    uint32_t local = c->local, shared = c->shared;
    store->age_ms = loop_now(child->loop) - child->started_ms;
    store->local = states[local <= STORE_STATE_UP ? local : STORE_STATE_DOWN];
    store->shared = states[shared <= STORE_STATE_UP ? shared : STORE_STATE_DOWN];
    store->asked = c->asked;
    store->credits = c->credits;
    store->unavailable = c->unavailable;
    store->batches = c->batches;
    store->latency_us = c->latency_us;
    store->longest_us = c->longest_us;
    store->rows = c->rows;
    store->pending = c->pending;
    store->bytes = c->bytes;
    store->grouped = c->grouped;
    store->crowded = c->crowded;
    store->why = read_why(c, arena);
    return store->why != NULL ? 0 : -ENOMEM;
}

void summary_note_growth(struct master *master) {
    note_writing(master);
    const uint64_t now_ms = loop_now(master->loop);
    const struct store_counters *c = master->store.counters;
    struct report report = { 0 };
    if (master->grown_store != master->store.pid) { /* another one counts from zero */
        master->store_rows = master->store_grouped = (struct growth){ 0 };
        growth_note(&master->store_grouped, 0, now_ms);
    }
    master->grown_store = master->store.pid;
    if (master->store.pid > 0 && c != NULL && c->rounds > 0)
        growth_note(&master->store_rows, c->rows, now_ms);
    if (master->store.pid > 0 && c != NULL)
        growth_note(&master->store_grouped, c->grouped, now_ms);
    if (master->serving != NULL)
        describe_quarantine(master->serving, &report);
    if (report.quarantine.is_counted)
        growth_note(&master->quarantine_bytes, report.quarantine.bytes, now_ms);
}

int summary_make(const struct master *master, struct arena *arena, struct report *ret_report) {
    const struct generation *shown = master->serving != NULL ? master->serving : master->generations;
    *ret_report = (struct report){
        .version = POSTERN_VERSION,
        .conf_path = master->options.conf_path,
        .now_ms = clock_wall_ms(),
        .started_ms = master->started_ms,
        .loaded_ms = shown != NULL ? shown->loaded_ms : master->started_ms,
        .is_stopping = master->n_stops > 0,
        .last_reload = master->last_reload,
        .last_reload_ms = master->last_reload_ms,
        .last_reload_failed = master->last_reload_failed,
        .worker_deaths = master->n_deaths,
        .death_age_ms = master->n_deaths > 0 ? loop_now(master->loop) - master->last_death_ms + 1 : 0,
        .totals = master->past,
    };
    int r = list_workers(master, arena, ret_report);
    describe_growth(master, &ret_report->totals);
    if (r == 0 && shown != NULL)
        r = list_servers(shown, arena, ret_report);
    if (r == 0 && shown != NULL)
        r = list_block_lists(shown, arena, ret_report);
    if (r == 0 && shown != NULL)
        r = list_scanners(shown, arena, ret_report);
    if (r == 0 && shown != NULL)
        r = list_directories(shown, arena, ret_report);
    if (r == 0 && shown != NULL)
        describe_quarantine(shown, ret_report);
    if (r == 0 && shown != NULL)
        describe_dns(shown, loop_now(master->loop), &ret_report->dns);
    if (r == 0)
        r = describe_store(&master->store, arena, ret_report);
    ret_report->quarantine.grown = growth_of(&master->quarantine_bytes);
    ret_report->store.grown = growth_of(&master->store_rows);
    ret_report->store.grouped_lately = growth_of(&master->store_grouped);
    return r;
}
