/*
 * master_state: what the master knows, shared by the files that tell its story (master*.c) and describe its state
 * (summary.c). For no others.
 */
#pragma once

#include "cmd/control.h"
#include "cmd/generation.h"
#include "cmd/growth.h"
#include "cmd/journals.h"
#include "cmd/master.h"
#include "cmd/report.h"
#include "cmd/growth.h"
#include "cmd/store_child.h"
#include "journal/id.h"

struct table_reading { /* the file of a table that a child reads */
    pid_t pid;                     /* 0: none does */
    struct generation *generation; /* NULL: it is gone, and so is who would want the table */
    size_t number;
    struct stat looked;            /* of the file */
    int fd;                        /* a copy of it, for the workers */
    size_t *count;                 /* its entries; memory shared with the child; NULL: not yet needed */
};

struct watchdog {
    struct timer look;
    struct timer notify; /* not set: systemd wants to hear nothing */
    uint64_t notify_ms;
};

struct master {
    struct master_options options;
    struct loop *loop;
    struct generation *generations; /* newest first */
    struct generation *serving;     /* NULL until the first one is ready */
    struct generation *candidate;   /* starting; NULL: none */
    struct sockets sockets;
    struct history *history; /* shared memory: outlives workers and generations */
    struct control *control;
    struct journals journals;
    struct store_child store;
    struct table_reading reading;
    struct watch inotify; /* on the folder of directories; fd -1: none, look every tick */
    struct timer tick;
    struct watchdog watchdog;
    unsigned n_ticks;
    unsigned next_process;
    struct id_clock ids;
    unsigned n_stops; /* signals to stop */
    bool is_done;
    int exit_code;
    bool reload_again;     /* SIGHUP came while a reload was under way */
    bool reload_reads;     /* a reload is under way, and tables are read for it */
    uint64_t ticket;       /* whom to tell how the reload went; 0: nobody */
    char *last_reload;     /* NULL: none yet */
    uint64_t last_reload_ms;
    bool last_reload_failed;
    uint64_t started_ms;   /* wall clock */
    uint64_t n_deaths, last_death_ms; /* unplanned; the loop's clock */
    struct report_totals past;        /* of workers that are gone */
    struct growth store_rows, store_grouped, quarantine_bytes;
    pid_t grown_store; /* the process that the first two are of */
    struct growth journal_growth, log_growth;
};

enum { MASTER_TICK_MS = 5000 };

/* ---- master.c */

/* Loads the configuration anew. `ticket`: who asked on the control socket, and hears how it went; 0: nobody. */
void master_reload(struct master *master, uint64_t ticket);

/* The tables of a reload have been read. */
void master_go_on_reloading(struct master *master);

/* ---- master_directories.c */

/* Looks at the files of all directories, and tells the workers and the log what is new. */
void master_look_at_directories(struct generation *generation);

/* Logs, once, which directories are past directory_age. */
void master_warn_of_old_directories(struct generation *generation);

/* Watches the folder of the serving generation from now on, and looks at what is there. */
void master_watch_directories(struct master *master);
void master_stop_watching(struct master *master);

/* ---- master_tables.c */

/*
 * What is used is what the configuration was loaded from, or, of tables that it shares with the one that serves, what
 * that has read since. Returns 0 or -errno.
 */
int master_note_tables(const struct master *master, struct generation *generation);
/* Has tables read whose files have changed since. */
void master_look_at_tables(struct master *master);
/* The same for a reload, settled or not. False: there are none; else master_go_on_reloading() follows. */
bool master_read_for_reload(struct master *master);
/* A child of the master has ended. True when it read a table, which the workers get if it is good. */
bool master_table_read(struct master *master, pid_t pid, int status);
/* Nobody wants the tables of this generation any more. */
void master_forget_tables(struct master *master, const struct generation *generation);
/* For the master's end. */
void master_end_reading(struct master *master);

/* ---- master_store.c */

void master_init_store(struct master *master);
/* Gives a connection to the store to each worker that has none. */
void master_connect_store(struct master *master);
/* In children that are no workers, which have no use for what proves to clients who we are. `arg`: the master. */
void master_forget_keys(void *arg);

/* ---- master_watchdog.c */

/* Watches all processes, and is watched by systemd, from now on. Returns 0 or -ENOMEM. */
int master_start_watchdog(struct master *master);
void master_stop_watchdog(struct master *master);

/* ---- master_requests.c: a control_fn */

void master_on_request(void *arg, enum control_request request, uint64_t ticket);

/* ---- summary.c */

/* Adds the totals of a worker that ends to those of the service (not the numbers of now). */
void summary_keep(struct master *master, const struct worker *worker);

/* Describes the state, in memory of `arena`. Returns 0 or -ENOMEM. */
/* Notes what the growth in the report is of: each tick. */
void summary_note_growth(struct master *master);
int summary_make(const struct master *master, struct arena *arena, struct report *ret_report);
