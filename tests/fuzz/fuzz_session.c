/*
 * A whole session with arbitrary bytes from its client: real parser, session, relay and pool against the mailbox
 * server of the transcripts, on one loop with a clock of our own.
 *
 * The first byte chooses who connects, the settings, and what the mailbox server does wrong, once. The rest is what the
 * client sends, in pieces: these bytes are stage directions and are not sent,
 *
 *   \x1e   the client waits until nothing more is said
 *   \x1d   3.1 s go by (relay_hold)
 *   \x1c   61 s go by (idle connections)
 *   \x1f   the mailbox server drops its connections
 *
 * What must hold whatever comes in:
 *   - each line that the client gets ends in CRLF, has at most 512 bytes, and begins with three digits;
 *   - the mailbox server never meets a bare CR or LF, nor a line that is no command where one belongs (which is what it
 *     would meet behind an unstuffed dot);
 *   - it has taken as many messages as the client heard of;
 *   - the session always comes to an end when its client has gone, and its client is never left waiting.
 */
#include "mailbox.h"

#include "base/clock.h"
#include "base/hash.h"
#include "session/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    REFUSES_BARE = 1 << 0, OFFERS_CHUNKING = 1 << 1, STAGES = 4, /* one each way */
    FROM_PROXY = 1 << 2, FROM_XCLIENT = 1 << 3, WRONG_SHIFT = 4,
    FUZZ_INPUT_MAX = 1 << 16, SAID_MAX = 1 << 22,
    QUIET_TURNS = 6, TURNS_MAX = 500, WAITS_MAX = 100,
};

struct stage { /* made once and kept, as in a worker */
    struct loop *loop;
    uint64_t now_ms;
    struct mailbox *mailbox;
    struct server server;
    struct journal journal;
    struct worker_counters counters;
    struct directory *directories[2]; /* example.com, open.example: none */
};

struct talker {
    struct stage *stage;
    int fd;
    struct buf said;
};

static const struct { /* by bits 4 to 6; those of '@' to 'O' stand for none */
    struct str command, reply;
} wrongs[] = {
    [0] = { STR_INIT("RSET"), STR_INIT("drop") },
    [1] = { STR_INIT("MAIL"), STR_INIT("421 4.3.2 Closing") },
    [2] = { STR_INIT("RCPT"), STR_INIT("hang") },
    [3] = { STR_INIT("DATA"), STR_INIT("drop") },
    [5] = { STR_INIT("DOT"), STR_INIT("drop") },
    [6] = { STR_INIT("DOT"), STR_INIT("554 5.6.0 No") },
    [7] = { STR_INIT("DOT"), STR_INIT("hang") },
};

static struct stage stages[STAGES];
static char folder[] = "/tmp/postern-fuzz-XXXXXX";

static void must(bool holds) {
    if (!holds)
        abort();
}

/* ---- the stage */

static void remove_folder(void) {
    char path[128];
    snprintf(path, sizeof(path), "%s/example.com.cdb", folder);
    unlink(path);
    rmdir(folder);
}

static void make_folder(void) {
    struct directory_writer *writer;
    hash_init();
    log_open("fuzz", LOG_TARGET_STDERR, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    must(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
    must(directory_writer_new(folder, STR("example.com"), STR("fuzzer"), &writer) == 0);
    must(directory_writer_add(writer, STR("user"), STR("user@example.com")) >= 0);
    must(directory_writer_add(writer, STR("other"), STR("other@example.com")) >= 0);
    must(directory_writer_commit(writer, clock_wall_ms()) == 0);
}

static struct conf *load(const struct stage *stage, unsigned settings) {
    static const char form[] =
        "hostname mx.example.com\nlisten 127.0.0.1:2525 {\n proxy_from 10.0.0.7\n xclient_from 10.0.0.8\n}\n"
        "servers mailbox {\n server %s\n tls none\n}\n"
        "spool_path %s\ndirectory_path %s\ncontrol_socket %s/control\nbare_newline %s\ngreeting_delay 0\n"
        "limits {\n message_size 16K\n memory_spool 4K\n recipients 5\n transactions 8\n errors 8\n junk_commands 12\n"
        " command_line 512\n}\n"
        "domain example.com {\n servers mailbox\n delimiter +\n}\n"
        "domain open.example {\n servers mailbox\n directory none\n}\n";
    char text[2048], at[ENDPOINT_TEXT_MAX];
    struct endpoint server = mailbox_endpoint(stage->mailbox);
    struct diag_list diag;
    struct conf *conf;
    endpoint_format(&server, at);
    int len = snprintf(text, sizeof(text), form, at, folder, folder, folder,
                       settings & REFUSES_BARE ? "refuse" : "normalise");
    diag_init(&diag);
    must(conf_load_text("postern.conf", (struct str){ text, (size_t)len }, &diag, &conf) == 0);
    diag_deinit(&diag);
    return conf;
}

static void on_orphan(void *arg, struct str id, const struct relay_result *result) {
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
}

static void on_note(void *arg, struct str id, struct str what) {
}

static struct stage *stage_of(unsigned settings) {
    static const struct relay_events events = { .on_orphan = on_orphan, .on_server = on_server, .on_note = on_note };
    static SSL_CTX *no_tls[1];
    struct stage *stage = &stages[settings % STAGES];
    char path[128];
    if (stage->loop != NULL)
        return stage;
    if (stages[0].loop == NULL && stages[1].loop == NULL && stages[2].loop == NULL && stages[3].loop == NULL)
        make_folder();
    must(loop_new(&stage->loop) == 0 && (stage->mailbox = mailbox_new(stage->loop)) != NULL);
    if (settings & OFFERS_CHUNKING)
        mailbox_offers(stage->mailbox, STR("PIPELINING SIZE=10000 8BITMIME SMTPUTF8 DSN CHUNKING"));
    snprintf(path, sizeof(path), "%s/example.com.cdb", folder);
    must(directory_open(path, &stage->directories[0]) == 0);
    journal_init(&stage->journal, open("/dev/null", O_WRONLY | O_CLOEXEC));
    stage->now_ms = 1000000;
    stage->server = (struct server){ .loop = stage->loop, .conf = load(stage, settings), .max_sessions = 10,
                                     .directories = stage->directories, .journal = &stage->journal,
                                     .counters = &stage->counters };
    stage->server.gather = (struct gather_world){ .loop = stage->loop, .conf = stage->server.conf };
    must(clients_init(&stage->server.clients) == 0);
    must(relay_new(stage->loop, stage->server.conf, no_tls, 1, &events, &stage->server.relay) == 0);
    return stage;
}

/* ---- the client */

static bool receive(struct talker *c) {
    char chunk[4096];
    ssize_t n;
    bool has_some = false;
    while ((n = read(c->fd, chunk, sizeof(chunk))) > 0) {
        must(buf_put(&c->said, chunk, (size_t)n) == 0);
        has_some = true;
    }
    return has_some;
}

static void pass_time(struct stage *stage, uint64_t ms) {
    stage->now_ms += ms;
    loop_set_time(stage->loop, stage->now_ms);
}

/* Something is still under way: bytes that the session has not read, or a question to the mailbox server. */
static bool is_busy(const struct talker *c) {
    const struct session *s = c->stage->server.sessions;
    int unread = 0;
    if (s == NULL)
        return false;
    return s->waiting_for != NULL || (ioctl(c->fd, SIOCOUTQ, &unread) == 0 && unread > 0 && s->phase != PHASE_TLS);
}

/* Until nothing more is said. Whoever waits for us must get an answer, at the latest when all time-outs have passed. */
static void settle(struct talker *c) {
    struct pollfd pollfd = { .fd = c->fd, .events = POLLIN };
    unsigned quiet = 0, waits = 0;
    for (unsigned turns = 0; quiet < QUIET_TURNS; turns++) {
        must(loop_turn(c->stage->loop, 0) >= 0);
        quiet = receive(c) || is_busy(c) ? 0 : quiet + 1;
        if (turns < TURNS_MAX)
            continue;
        poll(&pollfd, 1, 1); /* the kernel's time, then ours */
        pass_time(c->stage, 5000);
        must(++waits < WAITS_MAX);
        turns = 0;
    }
}

static void send_piece(struct talker *c, const uint8_t *at, size_t len) {
    while (len > 0) {
        ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return; /* closed on us */
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        if (n < 0)
            settle(c);
    }
    must(loop_turn(c->stage->loop, 0) >= 0);
}

static void act(struct talker *c, uint8_t direction) {
    if (direction == 0x1e)
        settle(c);
    else if (direction == 0x1d)
        pass_time(c->stage, 3100);
    else if (direction == 0x1c)
        pass_time(c->stage, 61000);
    else
        mailbox_drop(c->stage->mailbox);
}

static void play(struct talker *c, const uint8_t *data, size_t size) {
    size_t from = 0;
    for (size_t i = 0; i <= size; i++) {
        if (i < size && (data[i] < 0x1c || data[i] > 0x1f))
            continue;
        send_piece(c, data + from, i - from);
        if (i < size)
            act(c, data[i]);
        from = i + 1;
    }
    settle(c);
}

static void set_wrong(struct mailbox *mailbox, unsigned settings) {
    unsigned i = settings >> WRONG_SHIFT & 7;
    mailbox_forget_rules(mailbox);
    if (wrongs[i].command.len > 0)
        mailbox_rule(mailbox, wrongs[i].command, wrongs[i].reply, true);
}

static void connect_client(struct talker *c, unsigned settings) {
    int ends[2];
    const char *from = settings & FROM_PROXY ? "10.0.0.7:4321" : settings & FROM_XCLIENT ? "10.0.0.8:4321"
                                                                                         : "203.0.113.7:4321";
    struct session_origin origin = { .expects_proxy = (settings & FROM_PROXY) != 0,
                                     .allows_xclient = (settings & (FROM_PROXY | FROM_XCLIENT)) == FROM_XCLIENT };
    must(endpoint_parse(str_of(from), &origin.peer) == 0);
    origin.client = origin.peer;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    c->fd = ends[0];
    session_start(&c->stage->server, ends[1], &origin, (struct str){ 0 });
}

/* ---- what must hold */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Returns how many messages the client heard were taken. */
static uint64_t judge_replies(struct str said) {
    uint64_t taken = 0;
    while (said.len > 0) {
        size_t len = str_find(said, '\n');
        struct str line = str_head(said, len);
        must(len < said.len && len + 1 <= SMTP_REPLY_LINE_MAX);
        must(line.len >= 4 && line.at[line.len - 1] == '\r' && memchr(line.at, '\r', line.len - 1) == NULL);
        must(line.at[0] >= '2' && line.at[0] <= '5' && is_digit(line.at[1]) && is_digit(line.at[2]));
        must(line.at[3] == ' ' || line.at[3] == '-');
        taken += str_starts_nocase(line, STR("250 2.0.0 Ok: queued"));
        said = str_from(said, len + 1);
    }
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > FUZZ_INPUT_MAX)
        return 0;
    struct talker c = { .stage = stage_of(data[0]) };
    const struct mailbox_counts *counts = mailbox_counts(c.stage->mailbox);
    uint64_t messages = counts->messages;
    buf_init(&c.said, SAID_MAX);
    pass_time(c.stage, 1000);
    set_wrong(c.stage->mailbox, data[0]);
    connect_client(&c, data[0]);
    play(&c, data + 1, size - 1);
    must(counts->messages - messages == judge_replies(buf_str(&c.said)));
    must(counts->bare == 0 && counts->unknown == 0);
    close(c.fd);
    for (unsigned i = 0; i < TURNS_MAX && c.stage->server.sessions != NULL; i++)
        must(loop_turn(c.stage->loop, 0) >= 0);
    must(c.stage->server.sessions == NULL && c.stage->server.clients.clients.n == 0);
    buf_clear(mailbox_heard(c.stage->mailbox));
    buf_clear(&c.stage->journal.out);
    buf_deinit(&c.said);
    return 0;
}
