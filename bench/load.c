/*
 * load: many SMTP clients in one process, for the bench.
 *
 *     load [options] refuse|accept|hold|play PORT
 *
 *     -c CLIENTS   at the same time (64)        -n SESSIONS  in all (10000); for hold: how many to hold
 *     -p           pipelined                    -s SOURCES   client addresses out of 127/8 to come from (5000)
 *     -k KNOWN     accept: userN@DOMAIN, N < KNOWN (1000000)       -d DOMAIN (bench.example)
 *     -b BYTES     of a message (10240)         -g STAGE     hold: ehlo, command, rcpt, data or mix
 *     -t SECONDS   a session may take (60)      -f FILE      play: the sessions
 *
 * refuse: HELO to QUIT with an unknown recipient, who must be refused. accept: one message, whose final reply must be
 * 250. Both are closed loops: a client that ends begins anew until SESSIONS are done, so the server is never idle and
 * CPU time a session is what compares; how many a second they were says more of this program than of the server. hold:
 * leaves SESSIONS clients standing at a stage (mix: in turn after EHLO, after RCPT, inside a message), prints a line,
 * and holds them until its standard input ends. play: a session for each line of FILE, "ADDRESS HELO SENDER RECIPIENT
 * CLASS": from this client address in 127/8, to QUIT without a message; the reply to RCPT must be of this class. The
 * null sender is written "-".
 *
 * A session is a list of steps: send this, then expect these classes of replies. Any other reply, a lost connection or
 * a time-out fails it, is counted, and the first is shown. The result is one line of JSON.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, LINE_KEPT = 128, STEPS_MAX = 8, OPENING_MAX = 128, BODY_MAX = 64 * 1024 * 1024,
    PLAY_WORD_MAX = 128 };

/* #: the session's number, $: the domain, &: the number of a known recipient; ^ ~ =: words of play; see fill_in() */
#define EHLO "EHLO client#.example\r\n"
#define MAIL "MAIL FROM:<sender#@client.example>\r\n"
#define RCPT_UNKNOWN "RCPT TO:<nobody#@$>\r\n"
#define RCPT_KNOWN "RCPT TO:<user&@$>\r\n"
#define DATA "DATA\r\n"
#define QUIT "QUIT\r\n"

struct step {
    enum { STEP_END, STEP_LISTEN, STEP_SAY, STEP_BODY, STEP_STAND } type;
    const char *text;   /* STEP_SAY */
    const char *expect; /* classes of the replies that must follow: "25" is a 2xx, then a 5xx */
};

static const struct step REFUSE[STEPS_MAX] = {
    { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" }, { STEP_SAY, MAIL, "2" },
    { STEP_SAY, RCPT_UNKNOWN, "5" }, { STEP_SAY, QUIT, "2" } };
static const struct step REFUSE_PIPELINED[STEPS_MAX] = { { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" },
    { STEP_SAY, MAIL RCPT_UNKNOWN QUIT, "252" } };
static const struct step ACCEPT[STEPS_MAX] = {
    { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" }, { STEP_SAY, MAIL, "2" },
    { STEP_SAY, RCPT_KNOWN, "2" }, { STEP_SAY, DATA, "3" }, { STEP_BODY, NULL, "2" }, { STEP_SAY, QUIT, "2" } };
static const struct step ACCEPT_PIPELINED[STEPS_MAX] = { { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" },
    { STEP_SAY, MAIL RCPT_KNOWN DATA, "223" }, { STEP_BODY, NULL, "2" }, { STEP_SAY, QUIT, "2" } };

static const struct step STAND_EHLO[STEPS_MAX] = {
    { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" }, { STEP_STAND, NULL, NULL } };
static const struct step STAND_COMMAND[STEPS_MAX] = { { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" },
    { STEP_STAND, "MAIL FRO", NULL } };
static const struct step STAND_RCPT[STEPS_MAX] = {
    { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" }, { STEP_SAY, MAIL, "2" },
    { STEP_SAY, RCPT_KNOWN, "2" }, { STEP_STAND, NULL, NULL } };
static const struct step STAND_DATA[STEPS_MAX] = {
    { STEP_LISTEN, NULL, "2" }, { STEP_SAY, EHLO, "2" }, { STEP_SAY, MAIL, "2" },
    { STEP_SAY, RCPT_KNOWN, "2" }, { STEP_SAY, DATA, "3" }, { STEP_STAND, "Subject: half a mess", NULL } };

#define PLAY(class) { { STEP_LISTEN, NULL, "2" }, { STEP_SAY, "EHLO ^\r\n", "2" }, \
    { STEP_SAY, "MAIL FROM:<~>\r\n", "2" }, { STEP_SAY, "RCPT TO:<=>\r\n", class }, { STEP_SAY, QUIT, "2" } }
static const struct step PLAY_PASSED[STEPS_MAX] = PLAY("2"), PLAY_DEFERRED[STEPS_MAX] = PLAY("4"),
    PLAY_REFUSED[STEPS_MAX] = PLAY("5");

struct play {
    struct in_addr address;
    char helo[PLAY_WORD_MAX], sender[PLAY_WORD_MAX], recipient[PLAY_WORD_MAX];
    char class;
};

struct client {
    int fd; /* -1: none */
    bool is_standing;
    const struct step *step;
    unsigned n_replies; /* of this step */
    unsigned long number;
    uint64_t started_us;
    size_t n_line;
    char line[LINE_KEPT];
};

static struct {
    uint16_t port;
    unsigned long clients, sessions, sources, known, body_size, limit_s;
    const char *domain, *stage, *file;
    bool is_pipelined, is_accept, is_hold, is_play;
} options = { .clients = 64, .sessions = 10000, .sources = 5000, .known = 1000000, .body_size = 10240, .limit_s = 60,
    .domain = "bench.example", .stage = "mix" };

static struct {
    int epoll_fd;
    struct client *clients;
    unsigned long started, done, failed, standing, dropped;
    uint32_t *took_us; /* of each session done */
    char *body;
    size_t n_body;
    struct play *plays;
} run;

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static const struct step *script_of(unsigned long number) {
    static const struct step *const mix[] = { STAND_EHLO, STAND_RCPT, STAND_DATA };
    if (options.is_hold) {
        if (strcmp(options.stage, "ehlo") == 0)
            return STAND_EHLO;
        if (strcmp(options.stage, "command") == 0)
            return STAND_COMMAND;
        if (strcmp(options.stage, "rcpt") == 0)
            return STAND_RCPT;
        if (strcmp(options.stage, "data") == 0)
            return STAND_DATA;
        return mix[number % 3];
    }
    if (options.is_play)
        return run.plays[number].class == '2' ? PLAY_PASSED : run.plays[number].class == '4' ? PLAY_DEFERRED
                                                                                            : PLAY_REFUSED;
    if (options.is_accept)
        return options.is_pipelined ? ACCEPT_PIPELINED : ACCEPT;
    return options.is_pipelined ? REFUSE_PIPELINED : REFUSE;
}

/* Headers, then lines of 76 characters, the final dot included in the bytes asked for. */
static int make_body(void) {
    static const char head[] = "From: <sender@client.example>\r\nTo: <user@bench.example>\r\nSubject: bench\r\n\r\n";
    size_t n = options.body_size;
    run.body = malloc(n + 128);
    if (run.body == NULL || n < sizeof(head) + OPENING_MAX)
        return -ENOMEM;
    memcpy(run.body, head, sizeof(head) - 1);
    size_t at = sizeof(head) - 1;
    for (; at + 3 < n; at++) {
        size_t column = (at - (sizeof(head) - 1)) % 78;
        run.body[at] = column == 76 ? '\r' : column == 77 ? '\n' : (char)('a' + column % 26);
    }
    if (run.body[at - 1] == '\r')
        run.body[at - 1] = 'x';
    memcpy(run.body + at, "\r\n.\r\n", 5);
    run.n_body = at + 5;
    return 0;
}

static struct in_addr address_of(unsigned long number) {
    unsigned long source = number % options.sources;
    if (options.is_play)
        return run.plays[number].address;
    uint32_t host = (uint32_t)(((1 + source / 62500) << 16) | ((source / 250 % 250) << 8) | (1 + source % 250));
    return (struct in_addr){ htonl(127u << 24 | host) };
}

static int connect_from(unsigned long number) {
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr = address_of(number) };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(options.port),
        .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void fail(struct client *client, const char *why) {
    if (run.failed++ == 0)
        fprintf(stderr, "load: session %lu, step %ld: %s\n", client->number,
            (long)(client->step - script_of(client->number)), why);
}

static void begin(struct client *client);

/* Ends the session that the client is at and begins the next one, if there is one left. */
static void end(struct client *client, const char *error) {
    if (error != NULL)
        fail(client, error);
    else if (!options.is_hold)
        run.took_us[run.done++] = (uint32_t)(now_us() - client->started_us);
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    begin(client);
}

static const char *word_of(const struct play *play, char placeholder) {
    return placeholder == '^' ? play->helo : placeholder == '~' ? play->sender : play->recipient;
}

/* Writes the text of the step. Returns its length; the longest one is a few hundred bytes. */
static size_t fill_in(const struct client *client, char *out, size_t size) {
    size_t n = 0;
    for (const char *from = client->step->text; *from != '\0' && n < size; from++) {
        int len = 1;
        if (*from == '#')
            len = snprintf(out + n, size - n, "%lu", client->number);
        else if (*from == '$')
            len = snprintf(out + n, size - n, "%s", options.domain);
        else if (*from == '&')
            len = snprintf(out + n, size - n, "%lu", client->number * 7919 % options.known);
        else if (options.is_play && strchr("^~=", *from) != NULL)
            len = snprintf(out + n, size - n, "%s", word_of(&run.plays[client->number], *from));
        else
            out[n] = *from;
        n += (size_t)len;
    }
    return n < size ? n : size;
}

/* Sends what the step says. Returns NULL, or why it failed. Socket buffers here hold any one step whole. */
static const char *say(struct client *client) {
    char text[1024];
    const char *at = text;
    size_t n = 0;
    if (client->step->type == STEP_BODY) {
        at = run.body;
        n = run.n_body;
    } else if (client->step->text != NULL) {
        n = fill_in(client, text, sizeof(text));
    }
    if (n > 0 && send(client->fd, at, n, MSG_NOSIGNAL) != (ssize_t)n)
        return "could not be sent whole";
    return NULL;
}

static void begin(struct client *client) {
    while (run.started < options.sessions) {
        *client = (struct client){ .fd = -1, .number = run.started++, .started_us = now_us() };
        client->step = script_of(client->number);
        client->fd = connect_from(client->number);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
        if (client->fd >= 0 && epoll_ctl(run.epoll_fd, EPOLL_CTL_ADD, client->fd, &event) == 0)
            return;
        fail(client, strerror(errno));
        if (client->fd >= 0)
            close(client->fd);
        client->fd = -1;
    }
}

/* The last reply of a step has come. Returns NULL, or why the session failed. */
static const char *go_on(struct client *client) {
    client->step++;
    client->n_replies = 0;
    if (client->step->type == STEP_END)
        return NULL;
    if (client->step->type == STEP_STAND) {
        client->is_standing = true;
        run.standing++;
    }
    return say(client);
}

/* Takes one line; replies of several lines count by their last. */
static const char *take_line(struct client *client) {
    if (client->n_line < 4 || client->line[3] == '-')
        return client->n_line < 4 ? "not an SMTP reply" : NULL;
    client->line[client->n_line < LINE_KEPT ? client->n_line : LINE_KEPT - 1] = '\0';
    if (client->step->expect == NULL || client->step->expect[client->n_replies] != client->line[0])
        return client->line;
    client->n_replies++;
    return client->step->expect[client->n_replies] == '\0' ? go_on(client) : NULL;
}

static const char *take(struct client *client, const char *text, size_t n) {
    const char *error = NULL;
    for (size_t i = 0; i < n && error == NULL && client->step->type != STEP_END; i++) {
        if (text[i] != '\n') {
            if (client->n_line < LINE_KEPT - 1)
                client->line[client->n_line++] = text[i];
            continue;
        }
        error = take_line(client);
        client->n_line = 0;
    }
    return error;
}

static void on_input(struct client *client) {
    char text[4096];
    ssize_t n = read(client->fd, text, sizeof(text));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (client->is_standing && n <= 0) {
        run.dropped++;
        close(client->fd);
        client->fd = -1;
    } else if (client->is_standing) {
        return; /* a last word, such as 421: the end of the connection is what counts */
    } else if (n <= 0) {
        end(client, n == 0 ? "connection closed" : strerror(errno));
    } else {
        const char *error = take(client, text, (size_t)n);
        if (error != NULL || client->step->type == STEP_END)
            end(client, error);
    }
}

static void end_late_ones(void) {
    uint64_t now = now_us();
    for (unsigned long i = 0; i < options.clients; i++) {
        struct client *client = &run.clients[i];
        if (client->fd >= 0 && !client->is_standing && now - client->started_us > options.limit_s * 1000000)
            end(client, "took too long");
    }
}

static void turn(int wait_ms) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(run.epoll_fd, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == NULL)
            continue;
        struct client *client = events[i].data.ptr;
        if (client->fd >= 0)
            on_input(client);
    }
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t percentile(unsigned percent) {
    return run.done == 0 ? 0 : run.took_us[(run.done - 1) * percent / 100];
}

static int run_sessions(void) {
    uint64_t start = now_us(), checked = start;
    for (unsigned long i = 0; i < options.clients; i++)
        begin(&run.clients[i]);
    while (run.done + run.failed < options.sessions) {
        turn(1000);
        if (now_us() - checked > 1000000) {
            checked = now_us();
            end_late_ones();
        }
    }
    double seconds = (double)(now_us() - start) / 1e6;
    qsort(run.took_us, run.done, sizeof(*run.took_us), compare);
    printf("{\"done\": %lu, \"failed\": %lu, \"seconds\": %.3f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
        run.done, run.failed, seconds, percentile(50), percentile(99), percentile(100));
    return run.failed > 0;
}

/* Standing clients take one place each; only 64 are on their way at a time, as not to measure the listen queue. */
static int run_hold(void) {
    uint64_t start = now_us();
    unsigned long next = 0;
    while (run.standing + run.failed < options.sessions) {
        while (next < options.clients && next < run.standing + run.failed + 64)
            begin(&run.clients[next++]);
        turn(100);
        if (now_us() - start > options.limit_s * 1000000)
            break;
    }
    printf("{\"held\": %lu, \"failed\": %lu, \"seconds\": %.3f}\n", run.standing, options.sessions - run.standing,
        (double)(now_us() - start) / 1e6);
    fflush(stdout);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    epoll_ctl(run.epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) != 0)
        turn(1000);
    printf("{\"dropped\": %lu}\n", run.dropped);
    return 0;
}

/* Returns 0, or -1 with a complaint. Sets options.sessions. */
static int read_plays(void) {
    char line[4 * PLAY_WORD_MAX], address[32];
    FILE *file = fopen(options.file, "r");
    int r = file == NULL ? -1 : 0;
    for (options.sessions = 0; r == 0 && fgets(line, sizeof(line), file) != NULL; options.sessions++) {
        struct play *plays = reallocarray(run.plays, options.sessions + 1, sizeof(*plays));
        if (plays == NULL) {
            r = -1;
            break;
        }
        struct play *play = &plays[options.sessions];
        run.plays = plays;
        if (sscanf(line, "%31s %127s %127s %127s %c", address, play->helo, play->sender, play->recipient,
                &play->class) != 5 || inet_pton(AF_INET, address, &play->address) != 1)
            r = -1;
        if (strcmp(play->sender, "-") == 0)
            play->sender[0] = '\0';
    }
    if (r != 0)
        fprintf(stderr, "load: %s: %s %lu\n", options.file, file == NULL ? strerror(errno) : "bad line",
            options.sessions);
    if (file != NULL)
        fclose(file);
    return r;
}

static int parse_options(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "c:n:ps:k:d:b:g:t:f:")) != -1) {
        switch (option) {
        case 'c': options.clients = strtoul(optarg, NULL, 10); break;
        case 'n': options.sessions = strtoul(optarg, NULL, 10); break;
        case 'p': options.is_pipelined = true; break;
        case 's': options.sources = strtoul(optarg, NULL, 10); break;
        case 'k': options.known = strtoul(optarg, NULL, 10); break;
        case 'd': options.domain = optarg; break;
        case 'b': options.body_size = strtoul(optarg, NULL, 10); break;
        case 'g': options.stage = optarg; break;
        case 't': options.limit_s = strtoul(optarg, NULL, 10); break;
        case 'f': options.file = optarg; break;
        default: return -1;
        }
    }
    if (argc - optind != 2)
        return -1;
    options.is_accept = strcmp(argv[optind], "accept") == 0;
    options.is_hold = strcmp(argv[optind], "hold") == 0;
    options.is_play = strcmp(argv[optind], "play") == 0;
    if (!options.is_accept && !options.is_hold && !options.is_play && strcmp(argv[optind], "refuse") != 0)
        return -1;
    if (options.is_play && (options.file == NULL || read_plays() != 0))
        return -1;
    if (options.is_hold)
        options.clients = options.sessions;
    options.port = (uint16_t)strtoul(argv[optind + 1], NULL, 10);
    bool is_empty = options.clients == 0 || options.sessions == 0 || options.sources == 0 || options.known == 0;
    return options.port == 0 || is_empty || options.body_size > BODY_MAX ? -1 : 0;
}

int main(int argc, char **argv) {
    if (parse_options(argc, argv) != 0) {
        fprintf(stderr, "usage: load [-p] [-c CLIENTS] [-n SESSIONS] [-s SOURCES] [-k KNOWN] [-d DOMAIN] [-b BYTES] "
                        "[-g STAGE] [-t SECONDS] [-f FILE] refuse|accept|hold|play PORT\n");
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    run.clients = calloc(options.clients, sizeof(*run.clients));
    run.took_us = calloc(options.sessions, sizeof(*run.took_us));
    if (run.epoll_fd < 0 || run.clients == NULL || run.took_us == NULL || make_body() != 0) {
        fprintf(stderr, "load: out of memory, or a message too short\n");
        return 1;
    }
    for (unsigned long i = 0; i < options.clients; i++)
        run.clients[i].fd = -1;
    return options.is_hold ? run_hold() : run_sessions();
}
