/*
 * store_child: the store process as the master sees it: started when the configuration has a store, kept over reloads
 * that do not change its options, started again when it dies, ended after the last worker.
 *
 * Workers reach it by socket pairs that are made here, an end for each. Embedded in the master, who owns it.
 */
#pragma once

#include "conf/conf.h"
#include "net/channel.h"
#include "store/process.h"

struct store_options { /* what it was started with; a change of any starts it again */
    const char *path; /* NULL: none is wanted */
    const char *postgresql, *module, *user;
    bool is_synced_always;
    uint64_t timeout_ms;
    struct greylist_settings greylist; /* but for these, which a running one is sent */
    enum log_target log_target;
    enum log_format log_format;
    enum log_level log_level;
    bool may_dump_core;
};

struct store_child {
    struct loop *loop;
    int (*run)(const struct store_setup *setup);
    void (*on_started)(void *arg); /* a new process: workers want connections to it */
    void (*forget)(void *arg);     /* in the new process: what it must not have a copy of */
    void *arg;
    struct arena arena; /* what `options` show */
    struct store_options options;
    struct store_counters *counters; /* shared memory; NULL before the first start */
    struct beat_look beat_look;      /* what the watchdog remembers of it */
    pid_t pid;                       /* 0: no process now */
    uint64_t started_ms;             /* on the loop's clock */
    struct channel channel;
    int channel_fd;                  /* -1: closed */
    struct timer pause;              /* set while a replacement waits */
    struct timer limit;              /* of an end that was asked for */
    unsigned pause_ms;
    uint64_t n_deaths, last_death_ms; /* unplanned; the loop's clock */
    bool is_ready, is_ending, is_stopped;
};

void store_child_init(struct store_child *child, struct loop *loop, int (*run)(const struct store_setup *setup),
                      void (*on_started)(void *arg), void (*forget)(void *arg), void *arg);

/* From now on it runs with the options of `conf`, or not at all: starts, restarts or ends it. Trouble is logged. */
void store_child_configure(struct store_child *child, const struct conf *conf);

/* Connects the worker behind `worker_channel` (WORKER_STORE). Returns 0, or -errno: try again later. */
int store_child_connect(struct store_child *child, int worker_channel);

/* Says whether `pid`, which was waited for, is its. Starts the next one if there is to be one. */
bool store_child_ended(struct store_child *child, pid_t pid, int status);

/* Ends it for good. True: no process is left; else store_child_ended() will come. May be called again. */
bool store_child_stop(struct store_child *child);

/* Kills and waits for what is left. */
void store_child_deinit(struct store_child *child);

/* "ready", "starting", "ending", "waiting" (to be started again); NULL: none is wanted. */
const char *store_child_state(const struct store_child *child);
