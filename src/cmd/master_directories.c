/*
 * How does the master learn of a new directory, and who hears of it?
 *
 * The kernel tells of files that are renamed into the folder (an import ends so), were written in it, or leave it;
 * where it does not (no inotify to be had, the folder replaced by another), every tick looks at all of them. Both ways
 * end in the same look at one file, so a name that was told twice or for nothing costs one stat(). All generations hear
 * of it: those that drain may have sessions for minutes.
 */
#include "base/clock.h"
#include "cmd/master_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { WATCHED = IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ONLYDIR };

static void look_at_directory(struct generation *generation, size_t domain) {
    int r = generation_look_at_directory(generation, domain);
    const char *name = generation->conf->domains[domain].name;
    const struct directory *directory = generation->directories[domain].directory;
    if (r == DIRECTORY_TAKEN)
        log_info("directory of %s taken: %" PRIu64 " addresses", name, directory_meta(directory)->count);
    else if (r == DIRECTORY_GONE)
        log_warning("directory of %s is gone: unknown recipients are deferred", name);
    else if (r < 0)
        log_warning("directory of %s cannot be read: %s; %s", name,
            r == -EBADMSG ? "damaged, or no directory file" : strerror(-r),
            directory != NULL ? "the old one stays" : "unknown recipients are deferred");
}

void master_look_at_directories(struct generation *generation) {
    for (size_t i = 0; i < generation->conf->n_domains; i++)
        look_at_directory(generation, i);
}

void master_warn_of_old_directories(struct generation *generation) {
    uint64_t limit_ms = generation->conf->set.timeouts.directory_age, now_ms = clock_wall_ms();
    for (size_t i = 0; limit_ms > 0 && i < generation->conf->n_domains; i++) {
        struct generation_directory *entry = &generation->directories[i];
        bool is_old = entry->directory != NULL && directory_meta(entry->directory)->imported_ms + limit_ms < now_ms;
        if (is_old && !entry->is_told_old)
            log_warning("directory of %s is older than directory_age: unknown recipients are deferred until the next "
                        "import", generation->conf->domains[i].name);
        entry->is_told_old = is_old;
    }
}

/* A file came to or left the folder of directories. */
static void on_directory_name(struct master *master, struct str name) {
    const char *folder = master->serving->conf->set.directory_path;
    if (name.len <= 4 || !str_eq(str_from(name, name.len - 4), STR(".cdb")))
        return;
    for (struct generation *g = master->generations; g != NULL; g = g->next) {
        const struct conf_domain *domain = conf_domain_find(g->conf, str_head(name, name.len - 4));
        if (domain != NULL && strcmp(g->conf->set.directory_path, folder) == 0)
            look_at_directory(g, domain->index);
    }
}

void master_stop_watching(struct master *master) {
    int fd = master->inotify.fd;
    if (fd < 0)
        return;
    watch_stop(master->loop, &master->inotify);
    close(fd);
    master->inotify.fd = -1;
}

static void on_inotify(struct watch *watch, uint32_t events) {
    struct master *master = (struct master *)((char *)watch - offsetof(struct master, inotify));
    _Alignas(struct inotify_event) char data[8192];
    ssize_t n = read(watch->fd, data, sizeof(data));
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *event = (const struct inotify_event *)(data + at);
        at += (ssize_t)(sizeof(*event) + event->len);
        if (event->mask & IN_Q_OVERFLOW)
            master_look_at_directories(master->serving);
        else if (event->mask & IN_IGNORED)
            master_stop_watching(master); /* the folder itself went away: every tick looks from now on */
        else if (event->len > 0)
            on_directory_name(master, str_of(event->name));
    }
}

void master_watch_directories(struct master *master) {
    const char *folder = master->serving->conf->set.directory_path;
    master_stop_watching(master);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, folder, WATCHED) >= 0 &&
        watch_start(master->loop, &master->inotify, fd, EPOLLIN, on_inotify) == 0) {
        master_look_at_directories(master->serving); /* what changed between loading and now */
        return;
    }
    log_warning("folder %s cannot be watched: %s; looking every %d s", folder, strerror(errno), MASTER_TICK_MS / 1000);
    if (fd >= 0)
        close(fd);
    master->inotify.fd = -1;
}
