/*
 * What must be there before the master serves, and can be made: folders and descriptors.
 *
 * Only folders that are ours alone are made, and what exists is never changed: an administrator's modes and owners
 * win. The spool belongs to the user that workers run as, since they write there; journal and recipients belong to
 * the master, which opens files for the workers.
 */
#include "cmd/host.h"

#include "session/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_RESERVE = 256 }; /* listeners, channels, spool files in flight, log, libraries */

/* What mkdir() has just made, and nothing that was put in its place since. `owner` may be NULL. */
static int set_up_folder(const char *path, mode_t mode, const struct passwd *owner) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, mode) == 0 ? 0 : -errno; /* whatever the umask was */
    if (r == 0 && owner != NULL && fchown(fd, owner->pw_uid, owner->pw_gid) != 0)
        r = -errno;
    close(fd);
    return r;
}

static int make_one(const char *path, mode_t mode, const struct passwd *owner) {
    if (mkdir(path, mode) == 0)
        return set_up_folder(path, mode, owner);
    if (errno != EEXIST)
        return -errno;
    struct stat st;
    if (stat(path, &st) != 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int make_parents(char *path) {
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        int r = make_one(path, 0755, NULL);
        *at = '/';
        if (r < 0)
            return r;
    }
    return 0;
}

int host_make_folder(const char *path, mode_t mode, const char *owner) {
    const struct passwd *user = NULL;
    if (owner != NULL && access(path, F_OK) != 0) { /* asked first: a folder that exists is never given to anyone */
        errno = 0;
        user = getpwnam(owner);
        if (user == NULL)
            return errno != 0 ? -errno : -ENOENT;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return -ENOMEM;
    int r = access(path, F_OK) == 0 ? 0 : make_parents(copy);
    free(copy);
    return r == 0 ? make_one(path, mode, user) : r;
}

static int make(const char *path, mode_t mode, const char *owner, const char *what, struct buf *error) {
    int r = host_make_folder(path, mode, owner);
    if (r == -ENOENT && owner != NULL)
        buf_putf(error, "%s folder %s cannot be given to user %s: there is no such user", what, path, owner);
    else if (r != 0)
        buf_putf(error, "%s folder %s cannot be made: %s", what, path, strerror(-r));
    return r;
}

int host_make_folders(const struct conf *conf, struct buf *error) {
    const struct conf_settings *set = &conf->set;
    const char *user = geteuid() == 0 ? set->user : NULL;
    char *run = strdup(set->control_socket);
    if (run == NULL)
        return -ENOMEM;
    char *slash = strrchr(run, '/');
    int r = 0;
    if (slash != NULL && slash != run) {
        *slash = '\0';
        r = make(run, 0750, NULL, "control socket", error);
    }
    free(run);
    if (r == 0)
        r = make(set->spool_path, 0700, user, "spool", error);
    if (r == 0 && set->quarantine.path != NULL)
        r = make(set->quarantine.path, 0700, user, "quarantine", error);
    if (r == 0)
        r = make(set->directory_path, 0750, NULL, "recipients", error);
    if (r == 0 && set->journal.path != NULL)
        r = make(set->journal.path, 0750, NULL, "journal", error);
    return r;
}

unsigned long host_raise_files(const struct conf *conf, unsigned long *ret_needed) {
    uint64_t servers = 0;
    for (size_t i = 0; i < conf->n_groups; i++)
        servers += conf->groups[i].n_servers;
    rlim_t needed = conf->set.limits.connections + servers * conf->set.limits.server_connections +
                    2 * conf->n_domains /* the master's copies of directories, at a reload too */ + FILES_RESERVE;
    struct rlimit now;
    *ret_needed = needed;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0 || now.rlim_cur >= needed)
        return 0;
    struct rlimit wanted = { .rlim_cur = needed, .rlim_max = now.rlim_max < needed ? needed : now.rlim_max };
    if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return 0;
    wanted = (struct rlimit){ .rlim_cur = now.rlim_max < needed ? now.rlim_max : needed, .rlim_max = now.rlim_max };
    setrlimit(RLIMIT_NOFILE, &wanted);
    return wanted.rlim_cur >= needed ? 0 : wanted.rlim_cur;
}

unsigned host_workers(const struct conf *conf) {
    uint64_t n = conf->set.workers;
    if (n == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        n = cores > 0 ? (uint64_t)cores : 1;
    }
    return n > WORKER_MAX ? WORKER_MAX : (unsigned)n;
}
