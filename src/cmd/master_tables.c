/*
 * How does the master learn that the file of a table has changed, and who hears of it?
 *
 * Every tick looks at each file. One that looks as it did a tick ago, but not as what was taken last, is read: so a
 * file that is still being written is left alone, and one that was renamed into place waits a tick at most.
 *
 *   look ─▶ a child reads it: names what is wrong, or copies it into memory (memfd) and counts its entries
 *        ─▶ it ends well: all workers of the generation get that memory, and build their own from it
 *           (session/table_swap.h); a worker that starts later builds it before it serves (generation.c)
 *
 * A million lines take half a second or more, in which the master would answer nobody and replace no worker: hence the
 * child, one at a time. It is a copy that workers read, and it is sealed: what was checked is what all of them have,
 * whatever becomes of the file. A file that changed under the child's eyes is looked at again.
 *
 * A reload has what changed read first, in the same way, and then shares the tables of the configuration that serves
 * (conf_load_again()). So the master itself parses only those that are new to it, not empty any more, or bad.
 *
 * Whether a table is empty is part of the compiled policy (tests against an empty one are false without asking), so a
 * table that was empty and is not, or the other way round, is a reload.
 *
 * Rejected: inotify (files may be anywhere, links too, and a tick is soon enough), a thread (the master forks, and a
 * child must find no lock held), and one table in memory that all workers share: a cidr set could be, names and
 * patterns are full of pointers.
 */
#include "base/memory_file.h"
#include "cmd/child.h"
#include "cmd/master_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_WELL, READ_BAD, READ_CHANGED }; /* how the child exits; what is bad it has logged */

/* ---- in the child */

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

static int read_table(const struct conf_table *conf, int fd, const struct stat *looked, int to, size_t *ret_count) {
    struct table *table = NULL;
    struct stat now;
    struct diag_list diag;
    diag_init(&diag);
    int r = table_load_fd(conf->type, fd, conf->file, &diag, &table);
    if (r == 0)
        *ret_count = table_count(table);
    int copied = r == 0 ? memory_file_copy(to, fd, (size_t)looked->st_size) : 0;
    if (fstat(fd, &now) < 0 || !conf_table_is_same_file(&now, looked))
        return READ_CHANGED;
    if (r < 0)
        tell_errors(conf, &diag);
    else if (copied < 0)
        log_error("table %s cannot be handed on: %s; the old one stays", conf->name, strerror(-copied));
    return r < 0 || copied < 0 ? READ_BAD : READ_WELL; /* the process ends, and its memory with it */
}

static _Noreturn void be_reader(const struct table_reading *reading, int fd) {
    const struct conf *conf = reading->generation->conf;
    int kept[] = { 0, 1, 2, reading->fd, fd };
    child_begin(kept, sizeof(kept) / sizeof(*kept), &conf->set, "postern/master");
    int code = read_table(&conf->tables[reading->number], fd, &reading->looked, reading->fd, reading->count);
    log_flush();
    _exit(code);
}

/* ---- starting it */

static int start_reading(struct table_reading *reading, int fd) {
    if (reading->count == NULL) {
        void *memory = mmap(NULL, sizeof(*reading->count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return -errno;
        reading->count = memory;
    }
    reading->fd = memory_file_new("postern-table");
    if (reading->fd < 0)
        return reading->fd;
    log_flush(); /* else the child would say it again */
    pid_t pid = fork();
    if (pid == 0)
        be_reader(reading, fd);
    if (pid < 0) {
        int r = -errno;
        close(reading->fd);
        return r;
    }
    reading->pid = pid;
    return 0;
}

/* Opens the file, whatever it is: what is none is said by who reads it. False: it is gone. */
static bool open_table(const struct conf_table *conf, struct generation_table *entry, int *ret_fd,
                       struct stat *ret_now) {
    *ret_fd = open(conf->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool is_there = *ret_fd >= 0 && fstat(*ret_fd, ret_now) == 0;
    if (!is_there && !entry->is_gone)
        log_warning("table %s: %s: %s; the old one stays", conf->name, conf->file, strerror(errno));
    if (!is_there && *ret_fd >= 0)
        close(*ret_fd);
    entry->is_gone = !is_there;
    return is_there;
}

static void read_due(struct table_reading *reading, struct generation *generation, size_t number) {
    const struct conf_table *conf = &generation->conf->tables[number];
    struct generation_table *entry = &generation->tables[number];
    int fd;
    entry->is_due = false;
    if (!open_table(conf, entry, &fd, &reading->looked))
        return;
    reading->generation = generation;
    reading->number = number;
    int r = start_reading(reading, fd);
    close(fd);
    if (r == 0)
        entry->read = reading->looked;
    else
        log_error("table %s cannot be read now: %s", conf->name, strerror(-r)); /* the next tick tries again */
}

static void read_next(struct master *master) {
    for (struct generation *g = master->generations; g != NULL; g = g->next)
        for (size_t i = 0; i < g->conf->n_tables && master->reading.pid == 0; i++)
            if (g->tables[i].is_due)
                read_due(&master->reading, g, i);
}

/* ---- its end */

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

/* True: it is not empty any more, or is now, and the policy has to be compiled anew. */
static bool take(struct generation *generation, size_t number, const struct stat *looked, int take_fd, size_t count) {
    struct conf_table *conf = &generation->conf->tables[number];
    struct generation_table *entry = &generation->tables[number];
    const int fd = memory_file_seal(take_fd), r = fd < 0 ? fd : 0;
    bool was_empty = entry->count == 0, is_empty = count == 0;
    if (r < 0 || was_empty != is_empty) {
        if (r == 0)
            close(fd);
        if (r < 0)
            log_error("table %s cannot be handed on: %s; the old one stays", conf->name, strerror(-r));
        else
            log_info("table %s read: %zu entries", conf->name, count);
        return r == 0;
    }
    log_info("table %s taken: %zu entries", conf->name, count);
    if (entry->fd >= 0)
        close(entry->fd);
    conf->looked = *looked;
    entry->fd = fd;
    entry->count = count;
    entry->is_unsent = true;
    return false;
}

static void send_unsent(struct generation *generation) {
    for (size_t i = 0; i < generation->conf->n_tables; i++) {
        struct generation_table *entry = &generation->tables[i];
        if (entry->is_unsent)
            entry->is_unsent = !send_to_all(generation, generation->conf->tables[i].name, entry->fd);
    }
}

bool master_table_read(struct master *master, pid_t pid, int status) {
    struct table_reading *reading = &master->reading;
    struct generation *generation = reading->generation;
    bool needs_reload = false;
    if (pid != reading->pid)
        return false;
    reading->pid = 0;
    if (generation != NULL && WIFEXITED(status) && WEXITSTATUS(status) == READ_WELL) {
        needs_reload = take(generation, reading->number, &reading->looked, reading->fd, *reading->count);
    } else {
        close(reading->fd);
        if (generation != NULL && WIFSIGNALED(status))
            log_error("table %s: reading it was ended by signal %d; the old one stays",
                      generation->conf->tables[reading->number].name, WTERMSIG(status));
    }
    needs_reload &= generation == master->serving || generation == master->candidate;
    if (needs_reload && !master->reload_reads)
        master_reload(master, 0); /* that of a candidate waits until it serves */
    if (reading->pid == 0)
        read_next(master);
    if (reading->pid == 0 && master->reload_reads)
        master_go_on_reloading(master);
    else if (generation != NULL && !master->reload_reads)
        send_unsent(generation);
    return true;
}

void master_forget_tables(struct master *master, const struct generation *generation) {
    if (master->reading.generation == generation)
        master->reading.generation = NULL;
}

void master_end_reading(struct master *master) {
    struct table_reading *reading = &master->reading;
    if (reading->pid > 0) {
        kill(reading->pid, SIGKILL);
        waitpid(reading->pid, NULL, 0);
        close(reading->fd);
        reading->pid = 0;
    }
    if (reading->count != NULL)
        munmap(reading->count, sizeof(*reading->count));
    reading->count = NULL;
}

/* ---- looking */

static void look_at_table(struct generation *generation, size_t number) {
    const struct conf_table *conf = &generation->conf->tables[number];
    struct generation_table *entry = &generation->tables[number];
    struct stat now;
    int fd;
    if (conf->file == NULL || !open_table(conf, entry, &fd, &now))
        return;
    close(fd);
    entry->is_due = !conf_table_is_same_file(&now, &entry->read) && conf_table_is_same_file(&now, &entry->seen);
    entry->seen = now;
}

/* The table as the generation has it that serves, which may have read it again. NULL: it is none of its. */
static const struct generation_table *find_shared(const struct generation *serving, const struct table *table) {
    for (size_t i = 0; serving != NULL && i < serving->conf->n_tables; i++)
        if (serving->conf->tables[i].table == table)
            return &serving->tables[i];
    return NULL;
}

int master_note_tables(const struct master *master, struct generation *generation) {
    for (size_t i = 0; i < generation->conf->n_tables; i++) {
        const struct conf_table *conf = &generation->conf->tables[i];
        const struct generation_table *shared = find_shared(master->serving, conf->table);
        struct generation_table *entry = &generation->tables[i];
        entry->read = entry->seen = conf->looked;
        entry->count = shared != NULL ? shared->count : table_count(conf->table);
        if (shared == NULL || shared->fd < 0)
            continue;
        entry->fd = fcntl(shared->fd, F_DUPFD_CLOEXEC, 0);
        if (entry->fd < 0)
            return -errno;
    }
    return 0;
}

void master_look_at_tables(struct master *master) {
    for (struct generation *g = master->generations; g != NULL; g = g->next) {
        for (size_t i = 0; i < g->conf->n_tables; i++)
            look_at_table(g, i);
        send_unsent(g);
    }
    if (master->reading.pid == 0)
        read_next(master);
}

bool master_read_for_reload(struct master *master) {
    struct generation *generation = master->serving;
    for (size_t i = 0; i < generation->conf->n_tables; i++) {
        const struct conf_table *conf = &generation->conf->tables[i];
        struct stat now;
        if (conf->file != NULL && stat(conf->file, &now) == 0)
            generation->tables[i].is_due = !conf_table_is_same_file(&now, &conf->looked);
    }
    if (master->reading.pid == 0)
        read_next(master);
    return master->reading.pid != 0;
}
