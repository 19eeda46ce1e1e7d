/*
 * listen: how connections find their worker.
 *
 * The kernel chooses among the sockets of a SO_REUSEPORT group by a classic BPF program over the packet: the client's
 * address, hashed by the function of ip_client_slot(), modulo the number of sockets. The number it returns is the
 * order in which the sockets began to listen, so they are opened here in slot order, before the program is attached.
 *
 * SO_REUSEPORT also lets another process of the same user bind the port and take a share of the mail, as a second
 * instance started by mistake would. Therefore the address is bound once without it first, and "address in use" is
 * said then.
 *
 * Options that accepted sockets inherit (TCP_NODELAY) are set here and cost nothing at accept.
 *
 * Rejected: one accept queue for all workers (caches and limits per client would have to be shared); EPOLLEXCLUSIVE
 * (loads the first worker most); an eBPF program (needs rights and a loader for what ten instructions do).
 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPT_MAX = 64,     /* connections taken in one turn before those that are open get their turn */
    ACCEPT_REST_MS = 50, /* after running out of descriptors or memory */
    IPV4_SOURCE = 12,    /* offsets in the IP header */
    IPV6_SOURCE = 8,
};

static const uint32_t STEER_FACTOR = 0x9E3779B1;

/* ---- opening */

static int set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static int bind_one(const struct endpoint *at, bool is_shared) {
    struct sockaddr_storage address;
    socklen_t len = endpoint_to_sockaddr(at, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (r == 0 && is_shared)
        r = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r == 0 && address.ss_family == AF_INET6)
        r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r == 0)
        r = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (r == 0 && bind(fd, (struct sockaddr *)&address, len) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

static int check_is_free(const struct endpoint *at) {
    int fd = bind_one(at, false);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int port_of(int fd, uint16_t *ret_port) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return -errno;
    *ret_port = endpoint_from_sockaddr(&address).port;
    return 0;
}

static int listen_one(struct endpoint *at, bool is_shared, int *ret_fd) {
    int fd = bind_one(at, is_shared);
    if (fd < 0)
        return fd;
    int r = listen(fd, LISTEN_BACKLOG) < 0 ? -errno : 0;
    if (r == 0 && at->port == 0)
        r = port_of(fd, &at->port);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* `at` comes back with the port when it had none. */
static int listen_all(struct endpoint *at, uint32_t n, int *ret_fds) {
    uint32_t opened = 0;
    int r = 0;
    while (r == 0 && opened < n) {
        r = listen_one(at, true, &ret_fds[opened]);
        opened += r == 0;
    }
    for (uint32_t i = 0; r < 0 && i < opened; i++)
        close(ret_fds[i]);
    return r;
}

int listen_open(const struct endpoint *at, uint32_t n, bool steer, int *ret_fds) {
    struct endpoint to = *at;
    int r = n == 0 ? -EINVAL : at->port ? check_is_free(at) : 0;
    if (r == 0)
        r = listen_all(&to, n, ret_fds);
    if (r < 0 || !steer || n == 1)
        return r;
    r = listen_steer(ret_fds[0], at->ip.family, n);
    for (uint32_t i = 0; r < 0 && i < n; i++)
        close(ret_fds[i]);
    return r;
}

int listen_more(const struct endpoint *at, uint32_t n, int *ret_fds) {
    struct endpoint to = *at;
    return at->port ? listen_all(&to, n, ret_fds) : -EINVAL;
}

/* ip_client_slot() as a program; the word that it hashes is loaded differently for each family. */
int listen_steer(int fd, enum ip_family family, uint32_t n) {
    struct sock_filter v4[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + IPV4_SOURCE),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, STEER_FACTOR),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_filter v6[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + IPV6_SOURCE),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + IPV6_SOURCE + 4),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, STEER_FACTOR),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, n),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    if (n == 0)
        return -EINVAL;
    struct sock_fprog program = { .len = sizeof v4 / sizeof v4[0], .filter = v4 };
    if (family == IP_V6)
        program = (struct sock_fprog){ .len = sizeof v6 / sizeof v6[0], .filter = v6 };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0 ? -errno : 0;
}

/* ---- keeping it */

static bool is_listening(int fd) {
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

/* connect() to nowhere takes a socket back from wherever somebody has connected it; it stays bound. */
static int listen_again(int fd) {
    static const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
    if (listen(fd, LISTEN_BACKLOG) == 0)
        return 0;
    connect(fd, &nowhere, sizeof nowhere);
    return listen(fd, LISTEN_BACKLOG) < 0 ? -errno : 0;
}

int listen_keep(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (is_listening(fd))
        return 0;
    int r = listen_again(fd);
    return r < 0 ? r : 1;
}

/* ---- accepting */

/* The socket does not listen (any more): epoll would report that for ever, to whoever listens to it. */
static bool is_dead(int err) {
    return err == EINVAL || err == EOPNOTSUPP || err == ENOTSOCK || err == EBADF;
}

static bool is_shortage(int err) {
    return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

static void on_connections(struct watch *watch, uint32_t events);

static void on_rested(struct timer *timer) {
    struct listener *listener = (struct listener *)((char *)timer - offsetof(struct listener, rest));
    if (watch_start(listener->loop, &listener->watch, listener->fd, EPOLLIN, on_connections) < 0)
        timer_set(listener->loop, timer, loop_now(listener->loop) + ACCEPT_REST_MS, on_rested);
}

/* Not even what cannot be asked for, as the end of a socket that was shut down, is reported meanwhile. */
static void rest(struct listener *listener) {
    if (timer_set(listener->loop, &listener->rest, loop_now(listener->loop) + ACCEPT_REST_MS, on_rested) == 0)
        watch_stop(listener->loop, &listener->watch);
}

/* Returns whether to try again at once. */
static bool on_shortage(struct listener *listener, int err) {
    int fd = listener->fd;
    bool again = listener->on_short && listener->on_short(listener, err);
    if (again || listener->fd != fd)
        return again && listener->fd == fd;
    rest(listener);
    return false;
}

/*
 * Takes up to `max` connections. What one that was cut while it waited leaves (ECONNABORTED and the like) is passed
 * over.
 */
static void accept_up_to(struct listener *listener, unsigned max) {
    int fd = listener->fd;
    for (unsigned i = 0; i < max && fd >= 0 && listener->fd == fd; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int client_fd = accept4(fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client_fd >= 0) {
            struct endpoint client = endpoint_from_sockaddr(&address);
            listener->on_accept(listener, client_fd, &client);
        } else if (errno == EAGAIN || (is_shortage(errno) && !on_shortage(listener, errno))) {
            return;
        } else if (is_dead(errno)) {
            rest(listener);
            return;
        }
    }
}

static void on_connections(struct watch *watch, uint32_t events) {
    accept_up_to((struct listener *)((char *)watch - offsetof(struct listener, watch)), ACCEPT_MAX);
}

int listener_start(struct listener *listener, struct loop *loop, int fd, listener_fn *on_accept,
                   listener_short_fn *on_short, void *arg) {
    *listener = (struct listener){ .loop = loop, .fd = fd, .on_accept = on_accept, .on_short = on_short, .arg = arg };
    int r = watch_start(loop, &listener->watch, fd, EPOLLIN, on_connections);
    if (r < 0)
        listener->watch.fd = listener->fd = -1;
    return r;
}

void listener_stop(struct listener *listener, bool drain) {
    if (!listener->loop || listener->fd < 0)
        return;
    if (drain)
        accept_up_to(listener, LISTEN_BACKLOG);
    listener->fd = -1;
    watch_stop(listener->loop, &listener->watch);
    timer_cancel(listener->loop, &listener->rest);
}
