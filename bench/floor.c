/*
 * floor: the least that an SMTP server can do, and so the unit of every ratio in the bench.
 *
 *     floor [-a | -p] [-w WORKERS] PORT      listens on 127.0.0.1
 *
 * A bare level-triggered epoll loop that answers by the first four letters of a line and checks nothing: 220, EHLO's
 * few lines, 250 to MAIL, 550 to RCPT (with -a: 250, then 354 to DATA and 250 behind the dot), 221. No log, no
 * time-out, no limit, no state but "inside a message" and the few bytes that a line or the final dot may leave over
 * between two reads. What stands in one read is answered with one write, so pipelining costs it next to nothing. With
 * -a it is also the sink behind the servers that hand messages on; it then must not be what holds them back.
 *
 * With -p it is the least that a policy server of Postfix can do: it says nothing first, and answers each empty line
 * with DUNNO.
 *
 * Workers are processes with a SO_REUSEPORT socket each, among which the kernel spreads. A canned server could be
 * cheaper still with edge triggering or io_uring; neither is what the servers compared here do.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_SIZE = 65536, REPLIES_SIZE = 16384, DOT_SIZE = 5, EVENTS = 256, FDS_MAX = 65536 };

static const char DOT[] = "\r\n.\r\n";

/* What one connection leaves over between two reads: an unfinished line's first letters, or a message's last bytes. */
struct peer {
    uint8_t n_kept;
    bool in_message;
    char kept[DOT_SIZE];
};

struct replies {
    char text[REPLIES_SIZE];
    size_t n;
};

static struct peer peers[FDS_MAX];
static char input[DOT_SIZE + READ_SIZE];
static bool is_accepting, is_policy;

static void reply(struct replies *out, const char *text) {
    size_t n = strlen(text);
    if (out->n + n <= sizeof(out->text)) {
        memcpy(out->text + out->n, text, n);
        out->n += n;
    }
}

/* Answers one line by its first four letters. Returns false after QUIT. */
static bool answer(struct peer *peer, const char *verb, struct replies *out) {
    if (strncasecmp(verb, "RCPT", 4) == 0) {
        reply(out, is_accepting ? "250 2.1.5 Ok\r\n" : "550 5.1.1 No such recipient here\r\n");
    } else if (strncasecmp(verb, "EHLO", 4) == 0) {
        reply(out, "250-floor.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n");
    } else if (strncasecmp(verb, "DATA", 4) == 0 && is_accepting) {
        peer->in_message = true;
        reply(out, "354 Go ahead\r\n");
    } else if (strncasecmp(verb, "DATA", 4) == 0) {
        reply(out, "554 5.5.1 No valid recipients\r\n");
    } else if (strncasecmp(verb, "QUIT", 4) == 0) {
        reply(out, "221 2.0.0 Bye\r\n");
        return false;
    } else {
        reply(out, "250 2.0.0 Ok\r\n");
    }
    return true;
}

static void keep(struct peer *peer, const char *text, size_t n) {
    peer->n_kept = (uint8_t)(n < DOT_SIZE ? n : DOT_SIZE);
    memcpy(peer->kept, text, peer->n_kept);
}

/* Returns where the message ends, or `end` when it goes on; then its last bytes are kept: a dot may span two reads. */
static const char *skip_message(struct peer *peer, const char *at, const char *end, struct replies *out) {
    const char *dot = memmem(at, (size_t)(end - at), DOT, DOT_SIZE);
    if (dot == NULL) {
        size_t left = (size_t)(end - at) < DOT_SIZE - 1 ? (size_t)(end - at) : DOT_SIZE - 1;
        keep(peer, end - left, left);
        return end;
    }
    peer->in_message = false;
    reply(out, "250 2.0.0 Taken\r\n");
    return dot + DOT_SIZE;
}

/* Answers all that has come. Returns false after QUIT. */
static bool converse(struct peer *peer, const char *at, const char *end, struct replies *out) {
    while (at < end) {
        if (peer->in_message) {
            at = skip_message(peer, at, end, out);
            continue;
        }
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) {
            keep(peer, at, (size_t)(end - at));
            return true;
        }
        if (line_end - at >= 4 && !answer(peer, at, out))
            return false;
        at = line_end + 1;
    }
    return true;
}

/* A request ends in an empty line; whether the last byte ended a line is all that lasts from read to read. */
static void answer_requests(struct peer *peer, const char *at, const char *end, struct replies *out) {
    for (; at < end; at++) {
        if (*at == '\n' && peer->n_kept == 1)
            reply(out, "action=DUNNO\n\n");
        peer->n_kept = *at == '\n';
    }
}

/* Reads once and answers. Returns false when the connection is over. */
static bool serve(int fd) {
    struct peer *peer = &peers[fd];
    ssize_t n = read(fd, input + DOT_SIZE, READ_SIZE);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    struct replies out;
    out.n = 0;
    bool goes_on = true;
    if (is_policy) {
        answer_requests(peer, input + DOT_SIZE, input + DOT_SIZE + n, &out);
    } else {
        const char *at = input + DOT_SIZE - peer->n_kept;
        memcpy(input + DOT_SIZE - peer->n_kept, peer->kept, peer->n_kept);
        peer->n_kept = 0;
        goes_on = converse(peer, at, input + DOT_SIZE + n, &out);
    }
    if (out.n > 0 && send(fd, out.text, out.n, MSG_NOSIGNAL) != (ssize_t)out.n)
        return false;
    return goes_on;
}

static void greet_all(int epoll_fd, int listen_fd) {
    static const char greeting[] = "220 floor.example ESMTP\r\n";
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        if (fd >= FDS_MAX || (!is_policy && send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0) ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
            close(fd);
        else
            peers[fd] = (struct peer){ 0 };
    }
}

static int run_worker(int listen_fd) {
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listen_fd };
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0)
        return 1;
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listen_fd)
                greet_all(epoll_fd, listen_fd);
            else if (!serve(fd))
                close(fd);
        }
    }
}

static int listen_on(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
        return -1;
    return fd;
}

/* The sockets are all bound before the first worker runs, so that none is without its share of the first clients. */
static int run(uint16_t port, unsigned workers) {
    int fds[64];
    for (unsigned i = 0; i < workers; i++) {
        fds[i] = listen_on(port);
        if (fds[i] < 0) {
            perror("floor: listen");
            return 1;
        }
    }
    for (unsigned i = 0; i < workers; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("floor: fork");
            return 1;
        }
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (unsigned other = 0; other < workers; other++) {
                if (other != i)
                    close(fds[other]);
            }
            _exit(run_worker(fds[i]));
        }
    }
    for (unsigned i = 0; i < workers; i++)
        close(fds[i]);
    while (wait(NULL) > 0)
        continue;
    return 1;
}

int main(int argc, char **argv) {
    unsigned long workers = 1;
    int option;
    while ((option = getopt(argc, argv, "apw:")) != -1) {
        if (option == 'a')
            is_accepting = true;
        else if (option == 'p')
            is_policy = true;
        else if (option == 'w')
            workers = strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    unsigned long port = optind < argc ? strtoul(argv[optind], NULL, 10) : 0;
    if (port == 0 || port > 65535 || workers == 0 || workers > 64) {
        fprintf(stderr, "usage: floor [-a | -p] [-w WORKERS] PORT\n");
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return run((uint16_t)port, (unsigned)workers);
}
