/*
 * check_servers: are the servers that the configuration names there, and do they do what it takes for granted?
 *
 * A line for each: mailbox servers and smart hosts (check_mailbox.c), clamd, spamd, DNS, PostgreSQL. It begins with
 * "ok" or "problem", so that a monitor can grep, and each question has a time limit, so that the command always ends.
 *
 * It asks as the user who runs it, from where it runs. That is this host, which is what a server that trusts addresses
 * looks at; whether the workers' user may open a socket it cannot say, so run it as that user where that matters.
 */
#include "cmd/check_servers.h"

#include "facts/gather.h"
#include "net/resolver.h"
#include "store/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_MAX = 256 };

/* ---- lines */

__attribute__((format(printf, 2, 0)))
static void add_words(struct check_finding *finding, const char *format, va_list args) {
    if (finding->words.len > 0)
        buf_puts(&finding->words, STR("; "));
    buf_vputf(&finding->words, format, args);
}

void check_note(struct check_finding *finding, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_words(finding, format, args);
    va_end(args);
}

void check_problem(struct check_finding *finding, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_words(finding, format, args);
    va_end(args);
    finding->is_problem = true;
}

/* Whatever a server said stays on its line. */
static void print_finding(const struct check_finding *finding, const char *what, const char *where) {
    printf("%-8s%s %s: ", finding->is_problem ? "problem" : "ok", what, where);
    for (size_t i = 0; i < finding->words.len; i++)
        putchar(finding->words.at[i] >= ' ' && finding->words.at[i] < 127 ? finding->words.at[i] : '?');
    putchar('\n');
    fflush(stdout);
}

/* ---- scanners: one question, one answer */

static long left_ms(const struct timespec *until) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (until->tv_sec - now.tv_sec) * 1000 + (until->tv_nsec - now.tv_nsec) / 1000000;
}

static int await_socket(int fd, short events, const struct timespec *until) {
    struct pollfd poll_fd = { .fd = fd, .events = events };
    long left = left_ms(until);
    int r = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;
    return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -errno;
}

static int open_socket(const struct conf_scanner_server *server, const struct timespec *until) {
    struct sockaddr_storage to = { .ss_family = AF_UNIX };
    socklen_t len = sizeof(struct sockaddr_un);
    if (server->path != NULL)
        snprintf(((struct sockaddr_un *)&to)->sun_path, sizeof(((struct sockaddr_un *)&to)->sun_path), "%s",
                 server->path);
    else
        len = endpoint_to_sockaddr(&server->at, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = connect(fd, (struct sockaddr *)&to, len) < 0 ? -errno : 0;
    if (r == -EINPROGRESS)
        r = await_socket(fd, POLLOUT, until);
    int error = 0;
    socklen_t error_len = sizeof(error);
    if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) == 0)
        r = -error;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

/* Reads up to the first line end or NUL, or the end of the connection. Returns its length or -errno. */
static int read_reply(int fd, char reply[REPLY_MAX], const struct timespec *until) {
    int len = 0;
    while (len < REPLY_MAX - 1) {
        int r = await_socket(fd, POLLIN, until);
        if (r < 0)
            return r;
        ssize_t n = recv(fd, reply + len, 1, 0);
        if (n < 0 && errno != EAGAIN)
            return -errno;
        if (n == 0 || (n > 0 && (reply[len] == '\0' || reply[len] == '\n')))
            break;
        len += n > 0;
    }
    while (len > 0 && reply[len - 1] == '\r')
        len--;
    reply[len] = '\0';
    return len;
}

static int ask_socket(const struct conf_scanner_server *server, struct str question, char reply[REPLY_MAX]) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CHECK_STEP_MS / 1000;
    int fd = open_socket(server, &until);
    if (fd < 0)
        return fd;
    int r = send(fd, question.at, question.len, MSG_NOSIGNAL) == (ssize_t)question.len ? 0 : -EIO;
    if (r == 0)
        r = read_reply(fd, reply, &until);
    close(fd);
    return r;
}

/* Asks and shows what is no answer. Returns whether it was the one expected. */
static bool ask_scanner(const struct conf_scanner_server *server, struct str question, const char *expected,
                        struct check_finding *finding, char reply[REPLY_MAX]) {
    int r = ask_socket(server, question, reply);
    if (r < 0)
        check_problem(finding, "%s", r == -ETIMEDOUT ? "does not answer in time" : strerror(-r));
    else if (strstr(reply, expected) == NULL)
        check_problem(finding, "answers nonsense: %.80s", reply);
    return r >= 0 && strstr(reply, expected) != NULL;
}

static void check_clamd(const struct conf_scanner_server *server, struct check_finding *finding) {
    char reply[REPLY_MAX];
    if (ask_scanner(server, (struct str){ "zPING", 6 }, "PONG", finding, reply)
        && ask_scanner(server, (struct str){ "zVERSION", 9 }, "ClamAV", finding, reply))
        check_note(finding, "answers, %s", reply);
}

static void check_spamd(const struct conf_scanner_server *server, struct check_finding *finding) {
    char reply[REPLY_MAX];
    if (ask_scanner(server, STR("PING SPAMC/1.5\r\n\r\n"), "PONG", finding, reply))
        check_note(finding, "answers, %s", reply);
}

/* ---- DNS */

struct dns_check {
    struct resolver_query query;
    struct check_finding *finding;
    const char *name;
    bool has_answer;
};

static void on_dns(struct resolver_query *query, const struct dns_answer *answer) {
    struct dns_check *c = (struct dns_check *)query;
    c->has_answer = true;
    if (answer->status == DNS_UNAVAILABLE)
        check_problem(c->finding, "no answer about MX of %s", c->name);
    else
        check_note(c->finding, "answers (MX of %s: %s)", c->name, answer->status == DNS_FOUND ? "there" : "none");
}

static void check_dns(struct loop *loop, const struct conf *conf, struct check_finding *finding) {
    const struct resolver_settings settings = gather_resolver_settings(conf);
    struct dns_check c = { .finding = finding, .name = conf->n_domains > 0 ? conf->domains[0].name : "example.org" };
    struct resolver *resolver = NULL;
    const char *error = "no memory";
    if (resolver_new(loop, &settings, &resolver, &error) < 0) {
        check_problem(finding, "cannot be set up: %s", error);
        return;
    }
    const struct resolver_question question = { .name = c.name, .type = DNS_MX, .timeout_ms = CHECK_STEP_MS,
                                                .purpose = RESOLVER_OWN };
    resolver_start(resolver, &c.query, &question, on_dns);
    while (!c.has_answer && loop_turn(loop, 100) == 0)
        ;
    resolver_cancel(&c.query);
    resolver_free(resolver);
}

/* ---- PostgreSQL */

/* Looks for a row that is not there: that needs a connection, the rights and the table. */
static void check_postgresql(const struct conf *conf, struct check_finding *finding) {
    struct row row = { .key = 0 };
    struct buf why;
    bool has;
    buf_init(&why, CHECK_WORDS_MAX);
    const struct shared_ops *ops = shared_load(conf->set.store.module, &why);
    if (ops == NULL || ops->look(conf->set.store.postgresql, &row, &has, 1, &why) < 0)
        check_problem(finding, "%.*s", STR_ARG(buf_str(&why)));
    else
        check_note(finding, "answers, the tables are there");
    buf_deinit(&why);
}

/* ---- all of them */

/* Prints the line, makes the finding good for the next, and returns whether there was a problem. */
static bool tell(struct check_finding *finding, const char *what, const char *where) {
    bool is_problem = finding->is_problem;
    print_finding(finding, what, where);
    buf_clear(&finding->words);
    finding->is_problem = false;
    return is_problem;
}

static unsigned check_groups(struct loop *loop, const struct conf *conf, struct check_finding *finding) {
    unsigned problems = 0;
    for (size_t i = 0; i < conf->n_groups; i++) {
        const struct conf_group *group = &conf->groups[i];
        for (size_t k = 0; k < group->n_servers; k++) {
            char at[ENDPOINT_TEXT_MAX];
            check_mailbox(loop, conf, group, &group->servers[k], finding);
            problems += tell(finding, group->name, endpoint_format(&group->servers[k].at, at));
        }
    }
    return problems;
}

static unsigned check_scanner(const struct conf_scanner *scanner, const char *name, struct check_finding *finding,
                              void (*check)(const struct conf_scanner_server *server, struct check_finding *finding)) {
    unsigned problems = 0;
    for (size_t i = 0; i < scanner->n_servers; i++) {
        check(&scanner->servers[i], finding);
        problems += tell(finding, name, scanner->servers[i].text);
    }
    return problems;
}

int check_servers(const struct conf *conf) {
    struct check_finding finding = { 0 };
    struct loop *loop;
    unsigned problems = 0;
    int r = loop_new(&loop);
    if (r < 0) {
        fprintf(stderr, "postern check: %s\n", strerror(-r));
        return EXIT_FAILURE;
    }
    buf_init(&finding.words, CHECK_WORDS_MAX);
    problems += check_groups(loop, conf, &finding);
    problems += check_scanner(&conf->set.clamav, "clamd", &finding, check_clamd);
    problems += check_scanner(&conf->set.spamassassin, "spamd", &finding, check_spamd);
    if (conf->set.dns.use != CONF_DNS_OFF) {
        check_dns(loop, conf, &finding);
        problems += tell(&finding, "DNS", "resolver");
    }
    if (conf->set.store.postgresql[0] != '\0') {
        check_postgresql(conf, &finding);
        problems += tell(&finding, "PostgreSQL", "store");
    }
    buf_deinit(&finding.words);
    loop_free(loop);
    return problems > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
