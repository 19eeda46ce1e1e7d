/*
 * Is the directory of a domain another file than the one we hold?
 *
 * A directory is never changed in place but renamed over, so device, inode, size and time of the file tell. The
 * master opens and validates it once and passes the descriptor to the workers, which may open nothing themselves. A
 * file that does not validate is told once and remembered, so that it is not told again at each look; the old
 * directory stays in service. A worker whose channel is full gets the rest later: what is due is one index, from
 * which all directories are sent again, because a list of what was missed could grow without bound.
 */
#include "cmd/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
        a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Opens the file of a domain. Returns the descriptor (-1: there is none) or another -errno than -ENOENT. */
static int open_file(const struct generation *generation, size_t domain, int *ret_fd) {
    struct buf path;
    buf_init(&path, 4096);
    int r = directory_path(generation->conf->set.directory_path, str_of(generation->conf->domains[domain].name), &path);
    if (r == 0)
        r = buf_putc(&path, '\0');
    int fd = r == 0 ? open(path.at, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (r == 0 && fd < 0 && errno != ENOENT)
        r = -errno;
    buf_deinit(&path);
    *ret_fd = fd;
    return r;
}

static int validate(int fd, struct directory **ret_directory) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : directory_open_fd(copy, ret_directory);
}

static int send_one(const struct generation *generation, const struct worker *worker, size_t domain, int fd) {
    struct worker_message message = { .type = WORKER_DIRECTORY };
    snprintf(message.domain, sizeof(message.domain), "%s", generation->conf->domains[domain].name);
    return channel_send(worker->channel_fd, &message, sizeof(message), &fd, fd >= 0 ? 1 : 0);
}

static void send_to_all(struct generation *generation, size_t domain, int fd) {
    for (unsigned i = 0; i < generation->n_workers; i++) {
        struct worker *worker = &generation->workers[i];
        if (worker->channel_fd < 0 || worker->directories_due <= domain)
            continue;
        if (send_one(generation, worker, domain, fd) == -EAGAIN)
            worker->directories_due = domain;
    }
}

static int take(struct generation *generation, size_t domain, int fd, struct generation_directory *entry) {
    struct stat now = { 0 };
    if (fd >= 0 && fstat(fd, &now) != 0)
        return -errno;
    if (is_same_file(&now, &entry->seen))
        return DIRECTORY_SAME;
    struct directory *directory = NULL;
    int r = fd >= 0 ? validate(fd, &directory) : 0;
    if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
        return r; /* not the file's fault: look again */
    entry->seen = now;
    entry->is_broken = r != 0;
    if (r != 0)
        return r;
    directory_free(entry->directory);
    entry->directory = directory;
    send_to_all(generation, domain, fd);
    return directory != NULL ? DIRECTORY_TAKEN : DIRECTORY_GONE;
}

int generation_look_at_directory(struct generation *generation, size_t domain) {
    if (generation->conf->domains[domain].set.directory != CONF_DIRECTORY_OWN)
        return DIRECTORY_SAME;
    int fd, r = open_file(generation, domain, &fd);
    if (r != 0)
        return r;
    r = take(generation, domain, fd, &generation->directories[domain]);
    if (fd >= 0)
        close(fd);
    return r;
}

static void send_due(struct generation *generation, struct worker *worker) {
    size_t n = generation->conf->n_domains;
    for (; worker->directories_due < n; worker->directories_due++) {
        size_t domain = worker->directories_due;
        int fd;
        if (generation->conf->domains[domain].set.directory != CONF_DIRECTORY_OWN ||
            open_file(generation, domain, &fd) != 0)
            continue;
        struct stat now = { 0 };
        const struct generation_directory *entry = &generation->directories[domain];
        bool is_held = (fd < 0 || fstat(fd, &now) == 0) && is_same_file(&now, &entry->seen) && !entry->is_broken;
        int r = is_held ? send_one(generation, worker, domain, fd) : 0;
        if (fd >= 0)
            close(fd);
        if (r == -EAGAIN)
            return;
    }
}

void generation_send_due_directories(struct generation *generation) {
    for (unsigned i = 0; i < generation->n_workers; i++)
        if (generation->workers[i].channel_fd >= 0)
            send_due(generation, &generation->workers[i]);
}
