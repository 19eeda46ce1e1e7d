/*
 * Is the directory of a domain another file than the one we hold?
 *
 * Device, inode, size and time of the file tell. The master copies it into memory that no process can cut any more,
 * validates the copy and passes its descriptor to the workers, which may open nothing themselves and map the one copy
 * all of them. So a file that is written in place, as cp and scp do, instead of renamed over takes away no page from
 * under those who look something up (a SIGBUS), and what was validated is what they read. A file that changes while it
 * is copied is not taken: the end of that writing is told by the kernel (master_directories.c). A reload shares the
 * copies of the configuration that serves. A
 * file that does not validate is told once and remembered, so that it is not told again at each look; the old
 * directory stays in service. A worker whose channel is full gets the rest later: what is due is one index, from
 * which all directories are sent again, because a list of what was missed could grow without bound.
 *
 * The copy of a large directory (5 million addresses, 270 MB) takes the master a tenth of a second once the file is in
 * the page cache, where an import has just written it.
 *
 * Rejected: to map the file and catch SIGBUS (a handler that has to know which mapping failed, in a process that is in
 * the middle of anything); to read it by pread() (two system calls a recipient, and still no agreement between what was
 * validated and what is read).
 */
#include "cmd/generation.h"

#include "base/memory_file.h"

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

/* Not larger than any that is valid, or else not worth the memory. */
static int copy_file(int fd, const struct stat *now) {
    struct stat then;
    if (!S_ISREG(now->st_mode) || (uint64_t)now->st_size > UINT32_MAX)
        return -EBADMSG;
    int memory_fd = memory_file_new("postern-directory");
    if (memory_fd < 0)
        return memory_fd;
    int r = memory_file_copy(memory_fd, fd, (size_t)now->st_size);
    if (r == 0 && (fstat(fd, &then) < 0 || !is_same_file(now, &then)))
        r = -ESTALE;
    if (r == 0)
        return memory_file_seal(memory_fd);
    close(memory_fd);
    return r;
}

/* The copy that an older generation has of the same file; -1: none has one. */
static int find_copy(const struct generation *generation, const char *domain, const struct stat *now) {
    for (const struct generation *g = generation->next; g != NULL; g = g->next) {
        const struct conf_domain *same = conf_domain_find(g->conf, str_of(domain));
        const struct generation_directory *entry = same != NULL ? &g->directories[same->index] : NULL;
        if (entry != NULL && entry->fd >= 0 && !entry->is_broken && is_same_file(now, &entry->seen))
            return fcntl(entry->fd, F_DUPFD_CLOEXEC, 0);
    }
    return -1;
}

/* Makes the copy `*ret_fd`, and a directory of it. */
static int validate(const struct generation *generation, size_t domain, int fd, const struct stat *now, int *ret_fd,
                    struct directory **ret_directory) {
    int copy = find_copy(generation, generation->conf->domains[domain].name, now);
    if (copy < 0)
        copy = copy_file(fd, now);
    if (copy < 0)
        return copy;
    int second = fcntl(copy, F_DUPFD_CLOEXEC, 0);
    int r = second < 0 ? -errno : directory_open_fd(second, ret_directory);
    if (r < 0)
        close(copy);
    else
        *ret_fd = copy;
    return r;
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

/* Not the file's fault, or it is not whole yet: it is looked at again. */
static bool is_passing(int r) {
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOSPC;
}

static void replace(struct generation_directory *entry, int take_fd, struct directory *take_directory) {
    directory_free(entry->directory);
    if (entry->fd >= 0)
        close(entry->fd);
    entry->directory = take_directory;
    entry->fd = take_fd;
}

static int take(struct generation *generation, size_t domain, int fd, struct generation_directory *entry) {
    struct stat now = { 0 };
    if (fd >= 0 && fstat(fd, &now) != 0)
        return -errno;
    if (is_same_file(&now, &entry->seen))
        return DIRECTORY_SAME;
    struct directory *directory = NULL;
    int copy = -1, r = fd >= 0 ? validate(generation, domain, fd, &now, &copy, &directory) : 0;
    if (r == -ESTALE)
        return DIRECTORY_SAME;
    if (is_passing(r))
        return r;
    entry->seen = now;
    entry->is_broken = r != 0;
    if (r != 0)
        return r;
    replace(entry, copy, directory);
    send_to_all(generation, domain, copy);
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
    for (; worker->directories_due < generation->conf->n_domains; worker->directories_due++) {
        const size_t domain = worker->directories_due;
        if (generation->conf->domains[domain].set.directory == CONF_DIRECTORY_OWN &&
            send_one(generation, worker, domain, generation->directories[domain].fd) == -EAGAIN)
            return;
    }
}

void generation_send_due_directories(struct generation *generation) {
    for (unsigned i = 0; i < generation->n_workers; i++)
        if (generation->workers[i].channel_fd >= 0)
            send_due(generation, &generation->workers[i]);
}
