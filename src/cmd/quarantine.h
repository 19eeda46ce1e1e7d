/*
 * quarantine: what the files of `postern quarantine` share. quarantine.c reads the command line, quarantine_show.c
 * prints what is there, quarantine_release.c hands on and removes, quarantine_digest.c tells recipients, and
 * quarantine_learn.c tells spamd.
 *
 * All of them work on the folder itself (quarantine/folder.h), whether the daemon runs or not.
 */
#pragma once

#include "base/spool.h"
#include "conf/conf.h"
#include "quarantine/folder.h"

struct quarantine_request {
    const char *conf_path;
    struct conf *conf;
    int folder_fd;
    char **args;
    int n_args;
    int64_t now, since; /* seconds; 0: all */
    const char *recipient, *sender, *kind, *domain, *to, *spamd;
    bool is_json, is_raw, again, send, is_ham, is_spam;
};

/* "postern: quarantine: …" to standard error. Returns EXIT_FAILURE. */
int quarantine_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

int quarantine_list(struct quarantine_request *request);
int quarantine_show(struct quarantine_request *request);
int quarantine_release(struct quarantine_request *request);
int quarantine_delete(struct quarantine_request *request);
int quarantine_expire_old(struct quarantine_request *request);
int quarantine_learn(struct quarantine_request *request);
int quarantine_digest(struct quarantine_request *request);

/* ---- quarantine_show.c, for the others */

/* Those that the options ask for, oldest first. Free with free(). Returns how many, or -errno. */
long quarantine_select(const struct quarantine_request *request, struct quarantine_file **ret_files);

/* The value of the message's own field: unfolded, encoded words decoded, what is not ASCII as '?', cut to `size`; ""
 * where there is none. */
void quarantine_field(int fd, size_t text_at, const char *name, char *out, size_t size);

/* Opens the file of an id. False: it was said why not. */
bool quarantine_open_id(const struct quarantine_request *request, const char *id, struct quarantine_file *file,
                        struct arena *arena, struct quarantine_entry *entry, int *ret_fd, size_t *ret_text_at);

/* ---- quarantine_release.c, for the others */

/* The message behind the entry, in a spool. Returns 0 or -errno. */
int quarantine_load(const struct conf *conf, int fd, size_t text_at, struct spool *spool);
