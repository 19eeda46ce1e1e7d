/*
 * sandbox: what a worker gives up before it meets the network.
 *
 * In this order: capabilities that could be gained; groups and user; all capabilities; no_new_privs; Landlock (only the
 * paths named, if the kernel has it); seccomp (a list of allowed calls, the rest kills the process; exec, fork and open
 * answer with an errno). Every step that the
 * kernel lacks is reported, and whether that is fatal is the caller's decision. There is no way back, and no fork
 * after it. Threads that may be started are in the same sandbox.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sandbox_path {
    const char *path;
    bool may_write; /* create, write and remove files below it; otherwise read only */
    bool may_miss;  /* nothing is permitted when it does not exist or cannot be reached, instead of an error */
};

/* Machine code that may be mapped when the sandbox is there. */
enum sandbox_code {
    SANDBOX_CODE_ANY,      /* compiled patterns too */
    SANDBOX_CODE_OF_FILES, /* libraries that are loaded late, or another file within reach; nothing made in memory */
    SANDBOX_CODE_NONE,
};

struct sandbox {
    const char *user; /* NULL: stay who we are (not started as root) */
    const struct sandbox_path *paths;
    size_t n_paths;
    bool may_dump_core;     /* and be traced by who may; where the limit of the process allows a core file */
    bool may_lock_files;    /* as a database does */
    bool may_start_threads; /* never processes */
    bool has_no_network;    /* no socket but Unix ones */
    bool is_no_server;      /* it accepts no connections, and binds no socket */
    const uint16_t *ports;  /* that TCP may connect to, and no port be bound, where Landlock has version 4; NULL: any */
    size_t n_ports;
    enum sandbox_code code;
};

enum sandbox_gap { /* bits of what could not be had */
    SANDBOX_NO_LANDLOCK = 1,
    SANDBOX_NO_SECCOMP = 2,
};

/* Returns 0 or positive bits of enum sandbox_gap, or -errno (unknown user or path: -ENOENT). */
int sandbox_enter(const struct sandbox *sandbox);
