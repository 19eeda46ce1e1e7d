/*
 * policy_load: Postfix servers that ask a policy server, in one process, for the bench.
 *
 *     policy_load [options] unknown|clean|known|new PORT
 *
 *     -c CONNECTIONS  at the same time (16)      -n REQUESTS  in all (20000)
 *     -f FIRST        number of the first one (0): another run of `new` has other triplets
 *     -d DOMAIN       of recipients (bench.example)           -e WORD  what an answer must begin with: DUNNO
 *
 * Each connection asks, waits for the answer, and asks again: what a smtpd does, so the server is never idle and CPU
 * time a request is what compares. A request has the attributes that Postfix 3.7 sends. Kinds:
 *
 *     unknown  a recipient that does not exist: what needs neither DNS nor a store
 *     clean    of a server whose name and address must be looked up: 64 clients and senders, so the answers of DNS are
 *              in a cache after the first round
 *     known    one of 1000 triplets, of clients that say an address as HELO
 *     new      each a triplet of its own, of the same clients
 *
 * An answer that does not begin with the word fails the request; the first is shown. The result is one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 2048, ANSWER_MAX = 1024, EVENTS = 64, LIMIT_MS = 30000, N_CLIENTS = 64, N_KNOWN = 1000 };

enum kind { UNKNOWN, CLEAN, KNOWN, NEW, N_KINDS };
static const char *const kind_names[N_KINDS] = { "unknown", "clean", "known", "new" };

struct connection {
    int fd;
    uint64_t asked_us;
    size_t n;
    char answer[ANSWER_MAX + 1];
};

static struct {
    enum kind kind;
    uint16_t port;
    unsigned long connections, requests, first;
    const char *domain, *expected;
} options = { .connections = 16, .requests = 20000, .domain = "bench.example" };

static struct {
    int epoll_fd;
    struct connection *connections;
    unsigned long asked, done, failed;
    uint32_t *took_us;
} run;

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- requests */

struct envelope {
    char client[64], name[128], helo[128], sender[128], recipient[128];
};

/* A number in letters: greylisting takes digits for what a mailing program wrote for one message. */
static void write_word(unsigned long number, char out[16]) {
    size_t n = 0;
    do
        out[n++] = (char)('a' + number % 26);
    while ((number /= 26) != 0 && n < 15);
    out[n] = '\0';
}

static void envelope_of(unsigned long number, struct envelope *e) {
    unsigned long client = options.kind == KNOWN ? number % N_KNOWN % N_CLIENTS : number % N_CLIENTS;
    char word[16];
    snprintf(e->client, sizeof(e->client), "198.51.100.%lu", client + 1);
    snprintf(e->sender, sizeof(e->sender), "sender%lu@sender%lu.example", number, client);
    snprintf(e->recipient, sizeof(e->recipient), "user%lu@%s", number % N_KNOWN, options.domain);
    switch (options.kind) {
    case UNKNOWN:
        snprintf(e->recipient, sizeof(e->recipient), "nobody%lu@%s", number, options.domain);
        /* fallthrough */
    case CLEAN:
        snprintf(e->name, sizeof(e->name), "unknown");
        snprintf(e->helo, sizeof(e->helo), "mail%lu.client.example", client + 1);
        snprintf(e->sender, sizeof(e->sender), "sender%lu@sender%lu.example", client, client);
        break;
    case KNOWN:
    case NEW:
    case N_KINDS:
        write_word(options.kind == KNOWN ? number % N_KNOWN : number + N_KNOWN, word);
        snprintf(e->sender, sizeof(e->sender), "%s@sender.example", word);
        snprintf(e->name, sizeof(e->name), "mail.client%lu.example", client);
        snprintf(e->helo, sizeof(e->helo), "[198.51.100.%lu]", client + 1);
        break;
    }
}

static size_t write_request(unsigned long number, char out[REQUEST_MAX]) {
    struct envelope e;
    envelope_of(number, &e);
    return (size_t)snprintf(out, REQUEST_MAX,
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=%s\nclient_name=%s\n"
        "client_port=49152\nreverse_client_name=%s\nserver_address=192.0.2.1\nserver_port=25\nhelo_name=%s\nsender=%s\n"
        "recipient=%s\nrecipient_count=0\nqueue_id=\ninstance=%lx.65f0a1b2.%lx.0\nsize=12345\netrn_domain=\n"
        "stress=\nsasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n"
        "ccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\nencryption_keysize=0\n"
        "policy_context=\n\n", e.client, e.name, e.name, e.helo, e.sender, e.recipient, number & 0xffff, number);
}

static void fail(struct connection *c, const char *why) {
    if (run.failed++ == 0)
        fprintf(stderr, "%s: %.*s\n", why, (int)strcspn(c->answer, "\n"), c->answer);
}

static void ask(struct connection *c) {
    char request[REQUEST_MAX];
    if (run.asked == options.requests)
        return;
    size_t len = write_request(options.first + run.asked++, request);
    c->n = 0;
    c->asked_us = now_us();
    if (send(c->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) {
        c->answer[0] = '\0';
        fail(c, "a request could not be sent");
    }
}

/* ---- answers */

static void take_answer(struct connection *c) {
    static const char action[] = "action=";
    bool is_action = strncmp(c->answer, action, sizeof(action) - 1) == 0;
    if (!is_action || (options.expected != NULL
                       && strncmp(c->answer + sizeof(action) - 1, options.expected, strlen(options.expected)) != 0))
        fail(c, "another answer than was expected");
    run.took_us[run.done++] = (uint32_t)(now_us() - c->asked_us);
    ask(c);
}

static bool read_answer(struct connection *c) {
    ssize_t n = recv(c->fd, c->answer + c->n, ANSWER_MAX - c->n, 0);
    if (n <= 0)
        return false;
    c->n += (size_t)n;
    c->answer[c->n] = '\0';
    if (c->n >= 2 && strcmp(c->answer + c->n - 2, "\n\n") == 0)
        take_answer(c);
    return c->n < ANSWER_MAX;
}

/* ---- the run */

static int open_connection(struct connection *c) {
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(options.port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0
        || epoll_ctl(run.epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        perror("policy_load: connect");
        return -1;
    }
    return 0;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(unsigned long percent) {
    return run.done == 0 ? 0 : run.took_us[(run.done - 1) * percent / 100];
}

static int run_requests(void) {
    uint64_t start = now_us();
    unsigned long lost = 0;
    for (unsigned long i = 0; i < options.connections; i++)
        ask(&run.connections[i]);
    while (run.done < options.requests && lost < options.connections) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(run.epoll_fd, events, EVENTS, LIMIT_MS);
        if (n <= 0)
            break;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (read_answer(c))
                continue;
            fail(c, "a connection was lost");
            epoll_ctl(run.epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
            lost++;
        }
    }
    double seconds = (double)(now_us() - start) / 1e6;
    run.failed += options.requests - run.done;
    qsort(run.took_us, run.done, sizeof(*run.took_us), compare);
    printf("{\"done\": %lu, \"failed\": %lu, \"seconds\": %.3f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
        run.done, run.failed, seconds, percentile(50), percentile(99), percentile(100));
    return run.failed > 0;
}

static int parse_options(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "c:n:f:d:e:")) != -1) {
        switch (option) {
        case 'c': options.connections = strtoul(optarg, NULL, 10); break;
        case 'n': options.requests = strtoul(optarg, NULL, 10); break;
        case 'f': options.first = strtoul(optarg, NULL, 10); break;
        case 'd': options.domain = optarg; break;
        case 'e': options.expected = optarg; break;
        default: return -1;
        }
    }
    if (argc - optind != 2)
        return -1;
    for (options.kind = 0; options.kind < N_KINDS; options.kind++)
        if (strcmp(argv[optind], kind_names[options.kind]) == 0)
            break;
    options.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
    return options.kind == N_KINDS || options.port == 0 || options.connections == 0 || options.requests == 0 ? -1 : 0;
}

int main(int argc, char **argv) {
    if (parse_options(argc, argv) != 0) {
        fprintf(stderr, "usage: policy_load [-c CONNECTIONS] [-n REQUESTS] [-f FIRST] [-d DOMAIN] [-e WORD] "
                        "unknown|clean|known|new PORT\n");
        return 2;
    }
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run.connections = calloc(options.connections, sizeof(*run.connections));
    run.took_us = calloc(options.requests, sizeof(*run.took_us));
    if (run.epoll_fd < 0 || run.connections == NULL || run.took_us == NULL) {
        fprintf(stderr, "policy_load: out of memory\n");
        return 1;
    }
    for (unsigned long i = 0; i < options.connections; i++)
        if (open_connection(&run.connections[i]) != 0)
            return 1;
    return run_requests();
}
