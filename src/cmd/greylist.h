/*
 * greylist: what the files of `postern greylist` share. greylist.c reads the command line, greylist_show.c prints what
 * the store holds, greylist_change.c writes to it.
 *
 * All of them open the local store's file beside the store process (store/local.h), so they work whether the daemon
 * runs or not. Where the greylist is shared by several hosts, what is written is marked for the shared store, and the
 * store process brings it there.
 */
#pragma once

#include "base/addr.h"
#include "conf/conf.h"
#include "store/local.h"

struct greylist_request {
    const char *conf_path;
    struct conf *conf;
    struct local *local;
    int64_t now; /* by the clock that counts for the store */
    const char *client, *sender, *recipient; /* filters; NULL: all */
    const char *format;                      /* of import: "export", "postgrey", "sqlgrey" */
    int64_t life_s;                          /* of allow; 0: for good */
    uint64_t limit;                          /* of list; 0: none */
    bool is_json, by_host, all;
    char **args;
    int n_args;
};

/* Prints "postern: greylist: ..." to standard error. Returns EXIT_FAILURE. */
__attribute__((format(printf, 1, 2))) int greylist_fail(const char *format, ...);

/* Whether other hosts have the same greylist. */
bool greylist_is_shared(const struct greylist_request *request);

/* Each is an action; returns the exit code. */
int greylist_list(struct greylist_request *request);
int greylist_stats(struct greylist_request *request);
int greylist_export(struct greylist_request *request);
int greylist_allow(struct greylist_request *request);
int greylist_forget(struct greylist_request *request);
int greylist_import(struct greylist_request *request);

/* ---- filters (greylist_show.c) */

struct greylist_filter {
    struct str client, sender, recipient; /* as given; empty: all */
    struct ip ip;                         /* of client, where it is an address */
};

/* Returns 0 or EXIT_USAGE, having said what is wrong. */
int greylist_filter_make(const struct greylist_request *request, struct greylist_filter *ret_filter);
bool greylist_filter_takes(const struct greylist_filter *filter, const struct local_name *name);
