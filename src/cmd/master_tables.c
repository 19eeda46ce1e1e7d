/*
 * How does the master learn that the file of a table has changed, and who hears of it?
 *
 * Every tick looks at each file. One that looks as it did a tick ago, but not as what was taken last, is read: so a
 * file that is still being written is left alone, and one that was renamed into place waits a tick at most. It is read
 * here first, so that a bad line is named once and nobody's table changes; then all workers of all generations get a
 * descriptor of it and build their own (session/table_swap.h).
 *
 * Whether a table is empty is part of the compiled policy (tests against an empty one are false without asking), so a
 * table that was empty and is not, or the other way round, is a reload.
 *
 * Rejected: inotify (files may be anywhere, links too, and a tick is soon enough), and one table in memory that all
 * workers share: a cidr set could be, names and patterns are full of pointers.
 */
#include "cmd/master_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* False: some worker's channel is full. */
static bool send_to_all(const struct generation *generation, const char *name, int fd) {
    struct worker_message message = { .type = WORKER_TABLE };
    bool is_sent = true;
    snprintf(message.domain, sizeof(message.domain), "%s", name);
    for (unsigned i = 0; i < generation->n_workers; i++) {
        const struct worker *worker = &generation->workers[i];
        if (worker->channel_fd >= 0 &&
            channel_send(worker->channel_fd, &message, sizeof(message), &fd, 1) == -EAGAIN)
            is_sent = false;
    }
    return is_sent;
}

static void tell_errors(const struct conf_table *conf, struct diag_list *diag) {
    struct str rest = buf_str(&diag->text);
    while (rest.len > 0) {
        struct str line = str_head(rest, str_find(rest, '\n'));
        if (line.len > 0)
            log_error("%.*s", STR_ARG(line));
        rest = str_from(rest, line.len + 1);
    }
    log_error("table %s: the old one stays", conf->name);
}

/* True: it was taken, and its policy has to be compiled anew. */
static bool take(struct generation *generation, size_t number, int fd, struct generation_table *entry) {
    struct conf_table *conf = &generation->conf->tables[number];
    struct table *table = NULL;
    struct diag_list diag;
    diag_init(&diag);
    int r = table_load_fd(conf->type, fd, conf->file, &diag, &table);
    if (r < 0)
        tell_errors(conf, &diag);
    diag_deinit(&diag);
    if (r < 0)
        return false;
    bool was_empty = table_count(conf->table) == 0, is_empty = table_count(table) == 0;
    log_info("table %s taken: %zu entries", conf->name, table_count(table));
    if (was_empty != is_empty) {
        table_free(table);
        return true;
    }
    conf_table_swap(generation->conf, number, table);
    entry->is_due = !send_to_all(generation, conf->name, fd);
    return false;
}

/* True: a reload is needed. */
static bool look_at_table(struct generation *generation, size_t number) {
    const struct conf_table *conf = &generation->conf->tables[number];
    struct generation_table *entry = &generation->tables[number];
    struct stat now;
    if (conf->file == NULL)
        return false;
    int fd = open(conf->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &now) < 0) {
        if (!entry->is_gone)
            log_warning("table %s: %s: %s; the old one stays", conf->name, conf->file, strerror(errno));
        entry->is_gone = true;
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool is_taken = is_same_file(&now, &entry->taken), is_settled = is_same_file(&now, &entry->seen);
    bool needs_reload = false;
    entry->is_gone = false;
    entry->seen = now;
    if (!is_taken && is_settled) {
        entry->taken = now;
        needs_reload = take(generation, number, fd, entry);
    } else if (is_taken && entry->is_due) {
        entry->is_due = !send_to_all(generation, conf->name, fd);
    }
    close(fd);
    return needs_reload;
}

void master_note_tables(struct generation *generation) {
    for (size_t i = 0; i < generation->conf->n_tables; i++) {
        struct generation_table *entry = &generation->tables[i];
        if (generation->conf->tables[i].file != NULL && stat(generation->conf->tables[i].file, &entry->taken) == 0)
            entry->seen = entry->taken;
    }
}

void master_look_at_tables(struct master *master) {
    bool needs_reload = false;
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        for (size_t i = 0; i < g->conf->n_tables; i++) {
            bool is_emptied = look_at_table(g, i);
            needs_reload |= is_emptied && g == master->serving;
        }
    if (needs_reload)
        master_reload(master, 0);
}
