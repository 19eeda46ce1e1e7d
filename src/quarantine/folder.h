/*
 * folder: the quarantine's folder, one file a message. The names say what state it is in:
 *
 *     ID.mail                 kept: shown, may be released
 *     ID.HASH.pending         its transaction has not ended; after PENDING_S nobody will end it, and it is shown
 *     ID.releasing            it is being handed to the mailbox server, or somebody died doing that
 *     ID.released             it was
 *     .ID.tmp                 it is being written
 *
 * ID sorts by time. There is no other index: what is listed is what is there, and a copy of the folder is a backup.
 * All functions block; a change of state is a rename, so of two who try one succeeds.
 */
#pragma once

#include "quarantine/entry.h"

#include <stdint.h>

enum { QUARANTINE_NAME_MAX = 80, QUARANTINE_PENDING_S = 600, QUARANTINE_RELEASING_S = 86400 };

enum quarantine_state {
    QUARANTINE_KEPT,
    QUARANTINE_PENDING,   /* its transaction is under way */
    QUARANTINE_UNCERTAIN, /* it was pending when its worker or the host died: the sender may have sent it again */
    QUARANTINE_RELEASING,
    QUARANTINE_RELEASED,
};

extern const char *const quarantine_state_names[];

struct quarantine_file {
    char name[QUARANTINE_NAME_MAX];
    char id[QUARANTINE_NAME_MAX];
    enum quarantine_state state;
    uint64_t size;    /* bytes of the file */
    int64_t written;  /* seconds since the epoch */
};

/* For each message, in no order. `fn` returns 0 to go on. Returns 0, what it returned, or -errno of the folder. */
typedef int quarantine_file_fn(void *arg, const struct quarantine_file *file);
int quarantine_each(int folder_fd, int64_t now, quarantine_file_fn *fn, void *arg);

/* The same for names with this ending: no other file is looked at. */
int quarantine_each_named(int folder_fd, struct str ending, int64_t now, quarantine_file_fn *fn, void *arg);

/* The file with this id. Returns 1, 0 (there is none) or -errno. */
int quarantine_find(int folder_fd, const char *id, int64_t now, struct quarantine_file *ret_file);

/* An open file with its entry, in `arena`; *ret_text_at is where the message begins. Returns a descriptor or -errno
 * (-EBADMSG: it is no file of ours, or says of itself what cannot be: ret_entry->malformed). */
int quarantine_open(int folder_fd, const char *name, struct arena *arena, struct quarantine_entry *ret_entry,
                    size_t *ret_text_at);

/* Gives it another state's name, durably. Returns 0 or -errno (-ENOENT: somebody was faster). */
int quarantine_rename(int folder_fd, const struct quarantine_file *file, enum quarantine_state state);
int quarantine_remove(int folder_fd, const char *name);

/*
 * Removes what was written before `before`; RELEASING_S later also what a release that was cut off has left, as no
 * release lasts that long. Returns how many, or -errno.
 */
long quarantine_expire(int folder_fd, int64_t before, int64_t now);

/* Removes what somebody was writing when he died: PENDING_S without a byte more. Returns how many, or -errno. */
long quarantine_sweep(int folder_fd, int64_t now);
