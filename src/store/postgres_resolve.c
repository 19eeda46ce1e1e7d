/*
 * postgres_resolve: how does a connection begin without waiting for DNS?
 *
 * PQconnectStart() looks host names up with getaddrinfo(), in the caller's time. So names are looked up here, in a
 * thread of their own, and libpq is given `hostaddr` beside `host` (which it still needs to check certificates). A
 * host with several addresses becomes several hosts, tried in turn as libpq does with a list. Where there is nothing to
 * look up (a socket's folder, an address, hostaddr given) there is no thread.
 *
 * The thread owns its work: who cancels leaves it behind, and it frees everything itself when getaddrinfo() returns. It
 * touches nothing of the loop but the end of a pipe.
 *
 * What the administrator did not say: only a server that can be written to is of use (target_session_attrs), the
 * server's own lists show who is connected (application_name), and no Kerberos (gssencmode), which would ask DNS too.
 */
#include "store/postgres.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { HOSTS_MAX = 16, LIST_MAX = HOSTS_MAX * 300 };

struct lookup { /* shared by loop and thread; the last of the two frees it */
    atomic_int users;
    int fd;                           /* an eventfd that the thread counts up when it is ready */
    char *hosts, *ports;              /* as configured: comma-separated */
    struct buf names, addresses, port_list; /* the answer, in step */
    char problem[256];
};

struct resolving {
    struct loop *loop;
    struct watch watch;
    struct task task;
    struct lookup *lookup; /* NULL: nothing to look up */
    PQconninfoOption *options;
    resolving_fn *done;
    void *arg;
};

/* ---- what there is to look up */

static bool is_address(const char *host) {
    struct in6_addr address;
    return host[0] == '/' || host[0] == '@' || inet_pton(AF_INET, host, &address) == 1
        || inet_pton(AF_INET6, host, &address) == 1;
}

/* Whether libpq itself would ask DNS. */
static bool needs_lookup(const PQconninfoOption *options) {
    const char *hosts = postgres_option(options, "host");
    if (hosts == NULL || hosts[0] == '\0' || postgres_option(options, "hostaddr") != NULL)
        return false;
    char *copy = strdup(hosts), *rest = copy;
    bool is_needed = false;
    for (char *host = strsep(&rest, ","); host != NULL; host = strsep(&rest, ","))
        is_needed = is_needed || (host[0] != '\0' && !is_address(host));
    free(copy);
    return is_needed;
}

/* ---- the thread */

static void release(struct lookup *lookup) {
    if (atomic_fetch_sub(&lookup->users, 1) > 1)
        return;
    close(lookup->fd);
    free(lookup->hosts);
    free(lookup->ports);
    buf_deinit(&lookup->names);
    buf_deinit(&lookup->addresses);
    buf_deinit(&lookup->port_list);
    free(lookup);
}

static void add(struct lookup *lookup, const char *host, const char *address, const char *port) {
    const char *comma = lookup->names.len > 0 ? "," : "";
    if (buf_putf(&lookup->names, "%s%s", comma, host) < 0 || buf_putf(&lookup->addresses, "%s%s", comma, address) < 0
        || buf_putf(&lookup->port_list, "%s%s", comma, port) < 0)
        snprintf(lookup->problem, sizeof(lookup->problem), "too many hosts and addresses");
}

static void look_up(struct lookup *lookup, const char *host, const char *port) {
    struct addrinfo *found = NULL, hints = { .ai_socktype = SOCK_STREAM };
    int r = getaddrinfo(host, NULL, &hints, &found);
    if (r != 0) {
        snprintf(lookup->problem, sizeof(lookup->problem), "%s: %s", host, gai_strerror(r));
        return;
    }
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        char address[NI_MAXHOST];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST) == 0)
            add(lookup, host, address, port);
    }
    freeaddrinfo(found);
}

static void *run(void *arg) {
    struct lookup *lookup = arg;
    char *hosts = lookup->hosts, *ports = lookup->ports;
    const char *port = "";
    for (char *host = strsep(&hosts, ","); host != NULL; host = strsep(&hosts, ",")) {
        char *own_port = strsep(&ports, ",");
        port = own_port != NULL ? own_port : port; /* one port for all hosts, or one each */
        if (host[0] == '\0' || is_address(host))
            add(lookup, host, host[0] == '/' || host[0] == '@' ? "" : host, port);
        else
            look_up(lookup, host, port);
    }
    ssize_t written = write(lookup->fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    (void)written; /* an eventfd that was never full takes it */
    release(lookup);
    return NULL;
}

static struct lookup *lookup_start(const PQconninfoOption *options) {
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return NULL;
    const char *ports = postgres_option(options, "port");
    lookup->users = 2;
    lookup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lookup->hosts = strdup(postgres_option(options, "host"));
    lookup->ports = strdup(ports != NULL ? ports : "");
    buf_init(&lookup->names, LIST_MAX);
    buf_init(&lookup->addresses, LIST_MAX);
    buf_init(&lookup->port_list, LIST_MAX);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bool is_started = lookup->fd >= 0 && lookup->hosts != NULL && lookup->ports != NULL
        && pthread_create(&thread, &attributes, run, lookup) == 0;
    pthread_attr_destroy(&attributes);
    if (is_started)
        return lookup;
    lookup->users = 1;
    release(lookup);
    return NULL;
}

/* ---- the connection */

/* Puts together what the administrator wrote and what was found out. NULL: no memory. */
static PGconn *connect_with(const PQconninfoOption *options, const struct lookup *lookup) {
    const char *keywords[64], *values[64];
    size_t n = 0;
    bool is_passfile_refused = postgres_passfile_is_refused(options);
    keywords[n] = "target_session_attrs";
    values[n++] = "read-write";
    keywords[n] = "fallback_application_name";
    values[n++] = "postern";
    keywords[n] = "gssencmode";
    values[n++] = "disable";
    for (; options->keyword != NULL && n < 58; options++) { /* libpq 15 knows 41; a later one stands instead of ours */
        if (options->val == NULL)
            continue;
        keywords[n] = options->keyword;
        values[n++] = options->val;
    }
    if (is_passfile_refused) {
        keywords[n] = "passfile";
        values[n++] = "/nonexistent/passfile";
    }
    if (lookup != NULL) {
        keywords[n] = "host";
        values[n++] = lookup->names.at;
        keywords[n] = "hostaddr";
        values[n++] = lookup->addresses.at;
        keywords[n] = "port";
        values[n++] = lookup->port_list.at;
    }
    keywords[n] = values[n] = NULL;
    return PQconnectStartParams(keywords, values, 0);
}

static void release_resolving(struct resolving *r) {
    watch_stop(r->loop, &r->watch);
    task_cancel(r->loop, &r->task);
    if (r->lookup != NULL)
        release(r->lookup);
    PQconninfoFree(r->options);
    loop_free_later(r->loop, r);
}

static void finish(struct resolving *r) {
    struct lookup *lookup = r->lookup;
    const char *problem = NULL;
    bool is_terminated = lookup == NULL
        || (buf_putc(&lookup->names, '\0') == 0 && buf_putc(&lookup->addresses, '\0') == 0
            && buf_putc(&lookup->port_list, '\0') == 0);
    if (!is_terminated)
        problem = "too many hosts and addresses";
    else if (lookup != NULL && lookup->names.len <= 1) /* one host that is not found does not matter beside another */
        problem = lookup->problem;
    PGconn *conn = problem == NULL ? connect_with(r->options, lookup) : NULL;
    char text[256];
    snprintf(text, sizeof(text), "%s", problem != NULL ? problem : "out of memory");
    resolving_fn *done = r->done;
    void *arg = r->arg;
    release_resolving(r);
    done(arg, conn, text);
}

static void on_looked_up(struct watch *watch, uint32_t events) {
    finish((struct resolving *)((char *)watch - offsetof(struct resolving, watch)));
}

static void on_task(struct task *task) {
    finish((struct resolving *)((char *)task - offsetof(struct resolving, task)));
}

struct resolving *resolving_start(struct loop *loop, const char *conninfo, resolving_fn *done, void *arg) {
    char error[256];
    struct resolving *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    *r = (struct resolving){ .loop = loop, .done = done, .arg = arg,
                             .options = postgres_parse(conninfo, error, sizeof(error)) };
    if (r->options == NULL) {
        free(r);
        return NULL; /* checked when it was opened, so memory is short */
    }
    if (needs_lookup(r->options)) {
        r->lookup = lookup_start(r->options);
        if (r->lookup == NULL || watch_start(loop, &r->watch, r->lookup->fd, EPOLLIN, on_looked_up) < 0) {
            release_resolving(r);
            return NULL;
        }
    } else {
        task_start(loop, &r->task, on_task);
    }
    return r;
}

void resolving_cancel(struct resolving *take_resolving) {
    if (take_resolving != NULL)
        release_resolving(take_resolving);
}
