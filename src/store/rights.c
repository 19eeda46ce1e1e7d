/*
 * rights: see the header.
 *
 * Landlock's rules are about files and folders as they were when the process began. A file that is replaced (written
 * anew beside it and renamed, as editors and certificate tools do) is another one, so what `postgresql` names is
 * permitted with the folder it is in, unless that is one of the system's own; and where it is a link, with the folder
 * it leads to. What is single in /etc, as the files by which names are looked up are, is permitted alone: /etc holds
 * more than anybody needs here. That such a file was replaced, or that a folder came that was not there, is noticed
 * instead (rights_are_stale()), and the process begins anew.
 *
 * Rejected: all of /etc (keys of other services stand there, and someone's mistake in their modes should not matter);
 * to look names up in another process (a protocol more, for a file that changes once a year).
 */
#include "store/rights.h"

#include "base/arena.h"
#include "base/log.h"
#include "net/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { PATHS_MAX = 64, PORTS_MAX = 32, PORT_OF_DNS = 53,
       DEPTH_MIN = 2 /* of a folder that is permitted whole: /etc/postern, but not /etc */ };

struct rights {
    struct arena arena;
    struct sandbox_path paths[PATHS_MAX];
    size_t n;
    uint16_t ports[PORTS_MAX];
    size_t n_ports;
};

/* How names become addresses. */
static const char *const name_files[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf",
                                          "/etc/gai.conf", "/etc/services" };

/* Whose name the client gives the server if none is named; libraries that it loads late; the system's authorities. */
static const char *const client_files[] = {
    "/etc/passwd", "/etc/ld.so.cache", "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
};

enum { N_NAME_FILES = sizeof(name_files) / sizeof(*name_files),
       N_CLIENT_FILES = sizeof(client_files) / sizeof(*client_files) };

/* ---- the list */

static void add(struct rights *rights, struct str path, bool may_write) {
    const char *copy = rights->n < PATHS_MAX ? arena_strdup(&rights->arena, path) : NULL;
    if (copy != NULL)
        rights->paths[rights->n++] = (struct sandbox_path){ .path = copy, .may_write = may_write,
                                                            .may_miss = !may_write };
    else
        log_warning("%.*s cannot be read by the store process: too many files", STR_ARG(path));
}

static size_t depth(struct str folder) {
    size_t n = 0;
    for (size_t i = 0; i < folder.len; i++)
        n += folder.at[i] == '/' && i + 1 < folder.len && folder.at[i + 1] != '/';
    return n;
}

static struct str folder_of(struct str path) {
    size_t slash = str_find_last(path, '/');
    return slash > 0 && slash < path.len ? str_head(path, slash) : STR("/");
}

static void add_with_folder(struct rights *rights, const char *path) {
    struct str folder = folder_of(str_of(path));
    add(rights, depth(folder) >= DEPTH_MIN ? folder : str_of(path), false);
}

/* A file or folder that `postgresql` names. */
static void add_named(void *arg, const char *path) {
    struct rights *rights = arg;
    struct stat info;
    char real[PATH_MAX];
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        add(rights, str_of(path), false);
        return;
    }
    add_with_folder(rights, path);
    if (realpath(path, real) != NULL && strcmp(real, path) != 0)
        add_with_folder(rights, real);
}

static void add_all(struct rights *rights, const char *const *paths, size_t n) {
    for (size_t i = 0; i < n; i++)
        add(rights, str_of(paths[i]), false);
}

/* What the client looks for where nothing is named. */
static void add_home(struct rights *rights) {
    static const char *const names[] = { "/.pgpass", "/.postgresql" };
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    for (size_t i = 0; home != NULL && i < sizeof(names) / sizeof(*names); i++)
        if ((size_t)snprintf(path, sizeof(path), "%s%s", home, names[i]) < sizeof(path))
            add(rights, str_of(path), false);
}

static void add_port(void *arg, uint16_t port) {
    struct rights *rights = arg;
    if (rights->n_ports < PORTS_MAX)
        rights->ports[rights->n_ports++] = port;
    else
        log_warning("port %u cannot be reached by the store process: too many ports", port);
}

static void add_client(struct rights *rights, const struct store_setup *setup, const struct shared_ops *shared) {
    char real[PATH_MAX];
    add_all(rights, name_files, N_NAME_FILES);
    add_all(rights, client_files, N_CLIENT_FILES);
    if (realpath("/etc/resolv.conf", real) != NULL && !str_starts_nocase(str_of(real), STR("/etc/")))
        add(rights, folder_of(str_of(real)), false); /* systemd-resolved and others write it anew there */
    add_home(rights);
    shared->files(setup->postgresql, add_named, rights);
    add_port(rights, PORT_OF_DNS); /* where an answer does not fit into a datagram */
    shared->ports(setup->postgresql, add_port, rights);
}

/* ---- for the process */

static const struct passwd *who(const char *user) {
    return user != NULL ? getpwnam(user) : getpwuid(geteuid());
}

void rights_clean_environment(const char *user) {
    const struct passwd *entry = who(user);
    setenv("HOME", entry != NULL && entry->pw_dir != NULL ? entry->pw_dir : "/nonexistent", 1);
    for (char **at = environ; *at != NULL;) {
        struct str name = str_head(str_of(*at), strcspn(*at, "="));
        char copy[64];
        bool is_client = name.len > 2 && name.len < sizeof(copy) && strncmp(name.at, "PG", 2) == 0;
        if (is_client)
            snprintf(copy, sizeof(copy), "%.*s", STR_ARG(name));
        if (is_client && unsetenv(copy) == 0)
            at = environ; /* it has moved up */
        else
            at++;
    }
}

int rights_give_up(const struct store_setup *setup, const struct shared_ops *shared) {
    struct rights rights = { 0 };
    add(&rights, folder_of(str_of(setup->path)), true);
    add_all(&rights, (const char *const[]){ "/usr/share/zoneinfo", "/etc/localtime" }, 2);
    if (shared != NULL)
        add_client(&rights, setup, shared);
    const struct sandbox sandbox = {
        .user = setup->user,
        .paths = rights.paths,
        .n_paths = rights.n,
        .may_lock_files = true,
        .may_start_threads = true, /* what syncs the file; what looks up the server's name */
        .has_no_network = shared == NULL,
        .is_no_server = true,
        .may_dump_core = setup->may_dump_core,
        .ports = rights.ports,
        .n_ports = rights.n_ports,
        .code = shared == NULL ? SANDBOX_CODE_NONE : SANDBOX_CODE_OF_FILES, /* what looks names up is loaded late */
    };
    int gaps = sandbox_enter(&sandbox);
    arena_reset(&rights.arena);
    if (gaps < 0)
        log_error("cannot give up rights (%s%s, store path %s): %s", sandbox.user ? "becoming user " : "not root",
                  sandbox.user ? sandbox.user : "", setup->path, strerror(-gaps));
    else if (gaps != 0)
        log_warning("this kernel has no %s for the store process",
                    gaps & SANDBOX_NO_LANDLOCK ? "Landlock" : "seccomp");
    return gaps < 0 ? gaps : 0;
}

/* Landlock bounds what is opened, not what is asked about. */
static bool is_replaced(const char *path) {
    if (access(path, R_OK) < 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

static void look(void *arg, const char *path) {
    bool *is_stale = arg;
    *is_stale = *is_stale || is_replaced(path);
}

bool rights_are_stale(const struct store_setup *setup, const struct shared_ops *shared) {
    bool is_stale = false;
    for (size_t i = 0; i < N_NAME_FILES; i++)
        look(&is_stale, name_files[i]);
    shared->files(setup->postgresql, look, &is_stale);
    return is_stale;
}
