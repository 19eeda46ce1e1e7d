/*
 * wire: plays transcripts (*.smtp) against real sessions and a real relay, in one process, with a clock that the
 * transcript moves.
 *
 * A transcript is a conversation that an administrator can read:
 *
 *   # One sentence: what it shows (the name of the test).
 *   conf: limits { message_size 1K }      a line of postern.conf, before anything else
 *   group: forward_client xforward        a line of the block `servers mailbox`
 *   first: postmaster hostmaster@b        a line of the block `domain example.com`, the first domain
 *   recipients: user full                 the directory of example.com (default: user other full)
 *   policy: layer policy { … }            a line of the policy file; DNS is off then, unless `conf:` says otherwise
 *   peer: 10.0.0.7                        who connects (default 203.0.113.7)
 *   store: remembers                      the greylist's store, first of all; later `is silent`, `is away`
 *   virus: clean                          clamd, and what it says: see scanners.h; likewise `spam: 7.2 / 5.0 SYMBOL`
 *   server: RCPT TO:<full@ = 452 4.2.2 Mailbox full     see mailbox.h; at any time. Also `server: once …`,
 *                                         `server: offers …`, `server: away` (for good), `server: drops` (all it has)
 *   C: EHLO client.example                the client sends a line; lines that follow each other go out in one piece
 *   c: raw\r\n\0\xff\{3ab}               raw bytes, with escapes (the last is ababab) and no line end of their own
 *   drip                                  what was written so far goes out byte by byte
 *   S: 250-mx.example.com                 our next line; * stands for anything, ? for one byte
 *   S* 250 *                              our lines up to one that fits
 *   M: MAIL FROM:<a@b>                    the next line that the mailbox server heard; M* skips up to one that fits
 *   M-                                    the mailbox server has heard nothing more
 *   silence                               we say nothing now
 *   closed                                we have closed the connection
 *   close                                 the client does
 *   half-close                            the client will send nothing more
 *   shut down                             the program is told to stop
 *   connect                               a further client, which is the one that speaks from now on
 *   client: 1                             the first one speaks again
 *   wait: 301000                          ms go by
 *   J: *"rule":"NO SUCH USER"*            a line of the journal, anywhere
 *   L: * delivered*                       what the relay tells the log, anywhere
 *   scans: 1 0                            how many messages clamd and spamd have had so far
 *   Q: ask ip:203.0.113.7 *               what the store was asked (fake_store.h); Q* skips lines, Q- nothing more
 *
 * Who plays them: wire_main.c (TAP, one test a file) and wire_alloc.c (with allocations that fail).
 */
#include "wire.h"

#include "alloc_fault.h"
#include "base/clock.h"
#include "fake_store.h"
#include "mailbox.h"
#include "scanners.h"
#include "session/rehearsal.h"
#include "session/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TURNS_MAX = 400, TURNS_MAX_FAULTY = 80, QUIET_TURNS = 40, TEXT_MAX = 1 << 22, CLIENTS_MAX = 8 };

struct client_end {
    int fd;
    bool is_closed;
    struct buf said; /* by us, not yet expected */
};

struct play {
    const char *path;
    char *text;
    unsigned line_number;
    char folder[64];
    struct buf conf_text, group_text, domain_text, policy_text, recipients;
    struct endpoint peer;
    struct loop *loop;
    uint64_t now_ms;
    struct mailbox *mailbox;
    struct server server;
    struct relay_events events;
    struct journal journal;
    struct worker_counters counters;
    struct directory *directories[8];
    struct client_end clients[CLIENTS_MAX];
    unsigned n_clients;
    struct client_end *client; /* the one that speaks */
    struct buf to_send;        /* C: lines that go out in one piece */
    struct buf log;
    struct store_client *store_client;
    struct fake_store store;
    struct wire_scanners scanners;
    struct scanner_events scanner_events;
    struct wire_run *run; /* what the caller asked for, and gets */
    bool has_store;
    bool is_set_up;
    bool has_failed;
};

static void fail(struct play *p, const char *what, struct str detail) {
    if (!p->has_failed && !p->run->is_faulty)
        printf("# %s:%u: %s %.*s\n", p->path, p->line_number, what, STR_ARG(detail));
    p->has_failed = true;
}

/* ---- the stage */

static const char base_conf[] =
    "hostname mx.example.com\nlisten 127.0.0.1:2525 {\n proxy_from 10.0.0.7\n xclient_from 10.0.0.8\n"
    " xclient_multiplex 10.0.0.9\n}\n";

static bool names(const struct play *p, const char *word) {
    return p->conf_text.len > 0 && memmem(p->conf_text.at, p->conf_text.len, word, strlen(word)) != NULL;
}

static void write_conf(struct play *p, const char *path) {
    char at[ENDPOINT_TEXT_MAX];
    struct endpoint server = mailbox_endpoint(p->mailbox);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        abort();
    endpoint_format(&server, at);
    if (!names(p, "greeting_delay"))
        fprintf(file, "greeting_delay 0\n");
    fprintf(file, "%sservers mailbox {\n server %s\n tls none\n%.*s}\n", base_conf, at,
            STR_ARG(buf_str(&p->group_text)));
    if (names(p, "second")) /* a group that is never met would narrow the offer */
        fprintf(file, "servers second {\n server %s\n tls none\n}\n", at);
    if (!names(p, "spool_path"))
        fprintf(file, "spool_path %s\n", p->folder);
    if (p->policy_text.len > 0)
        fprintf(file, "policy policy\n%s", names(p, "dns {") ? "" : "dns {\n use off\n}\n");
    if (p->has_store)
        fprintf(file, "store {\n path %s/store\n}\n", p->folder);
    wire_scanners_write_conf(&p->scanners, file);
    fprintf(file, "directory_path %s\ncontrol_socket %s/control\n", p->folder, p->folder);
    fprintf(file, "domain example.com {\n servers mailbox\n delimiter +\n%.*s}\n%.*s",
            STR_ARG(buf_str(&p->domain_text)), STR_ARG(buf_str(&p->conf_text)));
    fclose(file);
}

static void write_policy(struct play *p) {
    char path[128];
    snprintf(path, sizeof(path), "%s/policy", p->folder);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        abort();
    fprintf(file, "%.*s", STR_ARG(buf_str(&p->policy_text)));
    fclose(file);
}

static void write_directory(struct play *p) {
    struct directory_writer *writer;
    struct str rest = p->recipients.len > 0 ? buf_str(&p->recipients) : STR("user other full");
    if (directory_writer_new(p->folder, STR("example.com"), STR("transcript"), &writer) < 0)
        abort();
    for (struct str word = str_word(&rest); word.len > 0; word = str_word(&rest)) {
        char address[128];
        int len = snprintf(address, sizeof(address), "%.*s@example.com", STR_ARG(word));
        directory_writer_add(writer, word, (struct str){ address, (size_t)len });
    }
    if (directory_writer_commit(writer, clock_wall_ms()) < 0)
        abort();
}

static bool load(struct play *p, struct conf **ret_conf) {
    char path[128];
    struct diag_list diag;
    snprintf(path, sizeof(path), "%s/postern.conf", p->folder);
    write_conf(p, path);
    write_policy(p);
    diag_init(&diag);
    int r = conf_load(path, &diag, ret_conf);
    if (r < 0)
        fail(p, "configuration:", buf_str(&diag.text));
    diag_deinit(&diag);
    return r == 0;
}

static void arm(const struct play *p, bool is_armed) {
    if (p->run->arm != NULL)
        p->run->arm(is_armed);
}

static void turn(struct play *p) {
    arm(p, true);
    int r = loop_turn(p->loop, 0);
    arm(p, false);
    if (r < 0)
        abort();
}

static void connect_client(struct play *p) {
    int ends[2];
    const struct conf_listener *listener = &p->server.conf->listeners[0];
    bool may_multiplex = cidr_list_contains(listener->xclient_multiplex.at, listener->xclient_multiplex.n, &p->peer.ip);
    const struct session_origin origin = {
        .may_multiplex = may_multiplex,
        .peer = p->peer, .client = p->peer,
        .expects_proxy = cidr_list_contains(listener->proxy_from.at, listener->proxy_from.n, &p->peer.ip),
        .allows_xclient = cidr_list_contains(listener->xclient_from.at, listener->xclient_from.n, &p->peer.ip)
            || may_multiplex,
    };
    if (p->n_clients == CLIENTS_MAX || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    p->client = &p->clients[p->n_clients++];
    *p->client = (struct client_end){ .fd = ends[0] };
    buf_init(&p->client->said, TEXT_MAX);
    if (p->to_send.len > 0) { /* c: before the first S: talks before the greeting */
        if (write(p->client->fd, p->to_send.at, p->to_send.len) < 0)
            abort();
        buf_clear(&p->to_send);
    }
    arm(p, true);
    session_start(&p->server, ends[1], &origin, (struct str){ 0 });
    arm(p, false);
}

static void tell_log(struct play *p, struct str id, const char *what, struct str text) {
    buf_putf(&p->log, "%.*s: %s%.*s\n", STR_ARG(id), what, STR_ARG(text));
}

static void on_orphan(void *arg, struct str id, const struct relay_result *result) {
    bool is_answered = result->outcome == RELAY_ANSWERED;
    tell_log(arg, id, is_answered ? "client gone, the server said " : "client gone, outcome unknown",
             is_answered ? (struct str){ result->answer->text, result->answer->text_len } : (struct str){ 0 });
}

static void on_server(void *arg, const struct conf_group *group, const struct conf_server *server, struct str what) {
    tell_log(arg, str_of(group->name), "", what);
}

static void on_note(void *arg, struct str id, struct str what) {
    tell_log(arg, id, "", what);
}

static void on_scanner(void *arg, enum scanner scanner, const char *server, struct str what) {
    (void)server;
    tell_log(arg, str_of(scanner_names[scanner]), "", what);
}

static void on_missed(void *arg, enum scanner scanner, const char *id, bool is_skipped, struct str why) {
    (void)id;
    tell_log(arg, str_of(scanner_names[scanner]), is_skipped ? "skipped: " : "unavailable: ", why);
}

static void open_store(struct play *p) {
    int mood = (int)p->store.mood;
    if (store_client_new(p->loop, &p->store_client) < 0)
        abort();
    fake_store_open(&p->store, p->loop, p->store_client);
    p->store.mood = mood;
    p->store.now = (int64_t)(p->now_ms / 1000);
    p->server.gather.store = p->store_client;
}

static void set_up(struct play *p) {
    struct conf *conf;
    p->events = (struct relay_events){ .on_orphan = on_orphan, .on_server = on_server, .on_note = on_note, .arg = p };
    p->is_set_up = true;
    if (!load(p, &conf))
        return;
    write_directory(p);
    for (size_t i = 0; i < conf->n_domains && i < 8; i++) {
        struct buf path;
        buf_init(&path, 4096);
        directory_path(p->folder, str_of(conf->domains[i].name), &path);
        buf_putc(&path, '\0');
        if (directory_open(path.at, &p->directories[i]) < 0)
            p->directories[i] = NULL;
        buf_deinit(&path);
    }
    journal_init(&p->journal, open("/dev/null", O_WRONLY | O_CLOEXEC));
    p->server = (struct server){ .loop = p->loop, .conf = conf, .directories = p->directories, .journal = &p->journal,
                                 .counters = &p->counters, .max_sessions = conf->set.limits.connections,
                                 .gather = { .loop = p->loop, .conf = conf, .timeout_ms = conf->set.dns.timeout } };
    if (p->has_store)
        open_store(p);
    p->store.settings = gather_greylist_settings(conf);
    p->scanner_events = (struct scanner_events){ .on_server = on_scanner, .on_missed = on_missed, .arg = p };
    wire_scanners_start(&p->scanners, conf, &p->scanner_events);
    p->server.gather.scanners = p->scanners.scanners;
    static SSL_CTX *no_tls[8];
    static struct guessers guessers;
    guessers = (struct guessers){ 0 };
    p->server.guessers = &guessers;
    if (clients_init(&p->server.clients) < 0 || refusals_new(conf->set.timeouts.refusal_memory, &p->server.refusals) < 0
        || history_new(&p->server.history) < 0
        || rates_new(conf->policy.policy, RATE_BYTES_MAX, &p->server.rates) < 0
        || relay_new(p->loop, conf, no_tls, 1, &p->events, &p->server.relay) < 0)
        abort();
    clients_set_spool(&p->server.clients, conf->set.limits.spool_total, conf->set.limits.spool_client);
    p->server.gather.rates = p->server.rates;
    connect_client(p);
}

static void tear_down(struct play *p) {
    if (p->server.relay != NULL) {
        server_end_all(&p->server);
        rehearsals_finish(&p->server); /* what a play that broke off has left */
        turn(p);
        relay_free(p->server.relay);
        wire_scanners_stop(&p->scanners);
        clients_deinit(&p->server.clients);
        rates_free(p->server.rates);
        refusals_free(p->server.refusals);
        history_free(p->server.history);
        if (p->has_store)
            fake_store_close(&p->store);
        store_client_free(p->store_client);
        conf_free((struct conf *)p->server.conf);
        journal_deinit(&p->journal);
    }
    for (unsigned i = 0; i < p->n_clients; i++) {
        close(p->clients[i].fd);
        buf_deinit(&p->clients[i].said);
    }
    mailbox_free(p->mailbox);
    loop_free(p->loop);
    for (int i = 0; i < 8; i++)
        directory_free(p->directories[i]);
    char command[128];
    snprintf(command, sizeof(command), "%s/example.com.cdb", p->folder);
    unlink(command);
    snprintf(command, sizeof(command), "%s/postern.conf", p->folder);
    unlink(command);
    snprintf(command, sizeof(command), "%s/policy", p->folder);
    unlink(command);
    rmdir(p->folder);
    buf_deinit(&p->conf_text);
    buf_deinit(&p->group_text);
    buf_deinit(&p->domain_text);
    buf_deinit(&p->policy_text);
    buf_deinit(&p->recipients);
    buf_deinit(&p->to_send);
    buf_deinit(&p->log);
    free(p->text);
}

/* ---- speaking and listening */

static void receive(struct play *p) {
    struct client_end *client = p->client;
    char chunk[4096];
    ssize_t n;
    while (!client->is_closed && (n = read(client->fd, chunk, sizeof(chunk))) >= 0) {
        if (n == 0)
            client->is_closed = true;
        buf_put(&client->said, chunk, (size_t)n);
        buf_put(&p->run->replies, chunk, (size_t)n);
    }
    if (!client->is_closed && errno == ECONNRESET)
        client->is_closed = true;
}

/* In pieces of at most `piece` bytes, a turn of the loop for each. What nobody takes now goes on in await_line(). */
static void send_waiting(struct play *p, size_t piece) {
    for (int i = 0; i < TURNS_MAX && p->to_send.len > 0; i++) {
        size_t len = p->to_send.len < piece ? p->to_send.len : piece;
        ssize_t n = write(p->client->fd, p->to_send.at, len);
        if (n < 0 && errno != EAGAIN)
            buf_clear(&p->to_send); /* closed on us: what follows will say whether that was right */
        if (n > 0) {
            buf_consume(&p->to_send, (size_t)n);
            i = 0;
        }
        turn(p);
    }
}

/* `*` stands for anything, `?` for one byte, all else for itself. */
static bool fits(const char *pattern, const char *text) {
    const char *star = NULL, *resume = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

/* The next line of `from`, without its end; false: there is none yet. */
static bool take_line(struct buf *from, char *line, size_t size) {
    char *end = from->len > 0 ? memchr(from->at, '\n', from->len) : NULL;
    if (end == NULL)
        return false;
    size_t len = (size_t)(end - from->at);
    size_t shown = len > 0 && from->at[len - 1] == '\r' ? len - 1 : len;
    snprintf(line, size, "%.*s", (int)shown, from->at);
    buf_consume(from, len + 1);
    return true;
}

static bool await_line(struct play *p, struct buf *from, char *line, size_t size) {
    int turns_max = p->run->is_faulty ? TURNS_MAX_FAULTY : TURNS_MAX;
    for (int i = 0; i < turns_max; i++) {
        receive(p);
        if (take_line(from, line, size))
            return true;
        if (p->to_send.len > 0)
            send_waiting(p, TEXT_MAX);
        turn(p);
        struct pollfd pollfd = { .fd = p->client->fd, .events = POLLIN };
        if (i > QUIET_TURNS)
            poll(&pollfd, 1, 1); /* loopback TCP to the mailbox server may need the kernel's time */
    }
    return false;
}

static void expect(struct play *p, struct buf *from, const char *pattern, bool may_skip) {
    char line[4096];
    do {
        if (!await_line(p, from, line, sizeof(line))) {
            fail(p, "expected but never said:", str_of(pattern));
            return;
        }
    } while (may_skip && !fits(pattern, line));
    if (!fits(pattern, line)) {
        fail(p, "expected:", str_of(pattern));
        if (!p->run->is_faulty)
            printf("#   got: %s\n", line);
    }
}

static void expect_silence(struct play *p) {
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
    receive(p);
    if (p->client->said.len > 0)
        fail(p, "expected silence, got:", buf_str(&p->client->said));
}

static void expect_closed(struct play *p) {
    struct client_end *client = p->client;
    for (int i = 0; i < QUIET_TURNS && !client->is_closed; i++) {
        turn(p);
        receive(p);
    }
    if (!client->is_closed || client->said.len > 0)
        fail(p, "expected to be closed", buf_str(&client->said));
}

/* One of the lines written so far, wherever it stands. */
static void expect_written(struct play *p, const struct buf *written, const char *pattern) {
    struct buf copy;
    char line[8192];
    bool is_there = false;
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
    buf_init(&copy, TEXT_MAX);
    buf_puts(&copy, buf_str(written));
    while (!is_there && take_line(&copy, line, sizeof(line)))
        is_there = fits(pattern, line);
    if (!is_there) {
        fail(p, "no such line was written:", str_of(pattern));
        if (!p->run->is_faulty)
            printf("#   %.*s\n", STR_ARG(buf_str(written)));
    }
    buf_deinit(&copy);
}

static void wait_ms(struct play *p, struct str text) {
    unsigned long long ms;
    if (str_to_u64(text, 1ULL << 40, &ms) < 0)
        abort();
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
    p->now_ms += ms;
    loop_set_time(p->loop, p->now_ms);
    p->store.now = (int64_t)(p->now_ms / 1000);
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
}

/* ---- the script */

static void put_raw(struct buf *out, struct str text);

/* "3ab": ababab. Returns how much of `text`, which begins behind \{, was used, } included. */
static size_t put_repeated(struct buf *out, struct str text) {
    size_t end = str_find(text, '}'), digits = 0;
    unsigned long long n;
    while (digits < end && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    if (end == text.len || str_to_u64(str_head(text, digits), 1 << 20, &n) < 0)
        abort();
    while (n-- > 0)
        put_raw(out, str_from(str_head(text, end), digits));
    return end + 1;
}

static void put_raw(struct buf *out, struct str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '\\' || i + 1 == text.len) {
            buf_putc(out, text.at[i]);
            continue;
        }
        char c = text.at[++i];
        if (c == 'x' && i + 2 < text.len) {
            char hex[3] = { text.at[i + 1], text.at[i + 2], '\0' };
            buf_putc(out, (char)strtoul(hex, NULL, 16));
            i += 2;
        } else if (c == '{') {
            i += put_repeated(out, str_from(text, i + 1));
        } else {
            buf_putc(out, c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c == '0' ? '\0' : c);
        }
    }
}

static void obey_server(struct play *p, struct str what) {
    struct buf reply;
    size_t at = str_find(what, '=');
    bool is_once = str_starts_nocase(what, STR("once "));
    if (str_eq(what, STR("away"))) {
        mailbox_leave(p->mailbox);
    } else if (str_eq(what, STR("drops"))) {
        mailbox_drop(p->mailbox);
    } else if (str_starts_nocase(what, STR("offers"))) {
        mailbox_offers(p->mailbox, str_trim(str_from(what, 6)));
    } else {
        buf_init(&reply, TEXT_MAX);
        put_raw(&reply, str_trim(str_from(what, at + 1)));
        mailbox_rule(p->mailbox, str_trim(str_from(str_head(what, at), is_once ? 5 : 0)), buf_str(&reply), is_once);
        buf_deinit(&reply);
    }
}

static void obey_store(struct play *p, struct str what) {
    p->has_store = true;
    p->store.mood = str_eq(what, STR("remembers")) ? FAKE_STORE_REMEMBERS
                  : str_eq(what, STR("is silent")) ? FAKE_STORE_IS_SILENT
                                                   : FAKE_STORE_IS_AWAY;
}

static void obey_scanner(struct play *p, enum scanner scanner, struct str what) {
    if (!wire_scanners_obey(&p->scanners, p->loop, scanner, what))
        fail(p, "what does the scanner do?", what);
}

/* Lines that set the stage. False: it is one of the play itself. */
static bool is_setting(struct play *p, struct str line) {
    if (str_starts_nocase(line, STR("conf:"))) {
        buf_puts(&p->conf_text, str_from(line, 6));
        buf_putc(&p->conf_text, '\n');
    } else if (str_starts_nocase(line, STR("group:"))) {
        buf_puts(&p->group_text, str_from(line, 7));
        buf_putc(&p->group_text, '\n');
    } else if (str_starts_nocase(line, STR("first:"))) {
        buf_puts(&p->domain_text, str_from(line, 7));
        buf_putc(&p->domain_text, '\n');
    } else if (str_starts_nocase(line, STR("policy:"))) {
        buf_puts(&p->policy_text, str_from(line, 7));
        buf_putc(&p->policy_text, '\n');
    } else if (str_starts_nocase(line, STR("recipients:"))) {
        buf_puts(&p->recipients, str_from(line, 12));
    } else if (str_starts_nocase(line, STR("peer:"))) {
        if (ip_parse(str_trim(str_from(line, 5)), &p->peer.ip) < 0)
            abort();
    } else if (str_starts_nocase(line, STR("server:"))) {
        obey_server(p, str_trim(str_from(line, 7)));
    } else if (str_starts_nocase(line, STR("store:"))) {
        obey_store(p, str_trim(str_from(line, 6)));
    } else if (str_starts_nocase(line, STR("virus:"))) {
        obey_scanner(p, SCANNER_CLAMAV, str_trim(str_from(line, 6)));
    } else if (str_starts_nocase(line, STR("spam:"))) {
        obey_scanner(p, SCANNER_SPAMASSASSIN, str_trim(str_from(line, 5)));
    } else {
        return line.len == 0 || line.at[0] == '#';
    }
    return true;
}

/* What the client writes waits until something else happens, so that it leaves in one piece. */
static bool is_written(struct play *p, struct str line) {
    if (line.len < 2 || line.at[1] != ':' || ascii_lower(line.at[0]) != 'c')
        return false;
    if (line.at[0] == 'c') {
        put_raw(&p->to_send, str_from(line, 3));
        return true;
    }
    if (!p->is_set_up)
        set_up(p);
    buf_puts(&p->to_send, str_from(line, 3));
    buf_puts(&p->to_send, STR("\r\n"));
    return true;
}

static void expect_heard_nothing(struct play *p, const struct buf *heard) {
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
    if (heard->len > 0)
        fail(p, "it heard more:", buf_str(heard));
}

static void expect_scans(struct play *p, struct str expected) {
    char counts[32];
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
    snprintf(counts, sizeof(counts), "%u %u", p->scanners.fake[SCANNER_CLAMAV].n_messages,
             p->scanners.fake[SCANNER_SPAMASSASSIN].n_messages);
    if (!str_eq(str_trim(expected), str_of(counts)))
        fail(p, "clamd and spamd had so many messages:", str_of(counts));
}

/* Lines that expect something. False: it is none. */
static bool is_expected(struct play *p, struct str line) {
    char pattern[4096];
    snprintf(pattern, sizeof(pattern), "%.*s", STR_ARG(str_from(line, 3)));
    if (str_eq(line, STR("silence")))
        expect_silence(p);
    else if (str_eq(line, STR("closed")))
        expect_closed(p);
    else if (str_starts_nocase(line, STR("S:")) || str_starts_nocase(line, STR("S*")))
        expect(p, &p->client->said, pattern, line.at[1] == '*');
    else if (str_eq(line, STR("M-")))
        expect_heard_nothing(p, mailbox_heard(p->mailbox));
    else if (str_eq(line, STR("Q-")))
        expect_heard_nothing(p, &p->store.heard);
    else if (str_starts_nocase(line, STR("Q:")) || str_starts_nocase(line, STR("Q*")))
        expect(p, &p->store.heard, pattern, line.at[1] == '*');
    else if (str_starts_nocase(line, STR("M:")) || str_starts_nocase(line, STR("M*")))
        expect(p, mailbox_heard(p->mailbox), pattern, line.at[1] == '*');
    else if (str_starts_nocase(line, STR("J:")))
        expect_written(p, &p->journal.out, pattern);
    else if (str_starts_nocase(line, STR("scans:")))
        expect_scans(p, str_from(line, 6));
    else if (str_starts_nocase(line, STR("L:")))
        expect_written(p, &p->log, pattern);
    else
        return false;
    return true;
}

static void speak_again(struct play *p, struct str text) {
    unsigned long long n;
    if (str_to_u64(text, p->n_clients, &n) < 0 || n == 0)
        abort();
    p->client = &p->clients[n - 1];
}

static void close_client(struct play *p, int how) {
    shutdown(p->client->fd, how);
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(p);
}

static void act(struct play *p, struct str line) {
    if (is_written(p, line))
        return;
    if (!p->is_set_up)
        set_up(p);
    else
        send_waiting(p, str_eq(line, STR("drip")) ? 1 : TEXT_MAX);
    if (p->has_failed || is_expected(p, line) || str_eq(line, STR("drip")))
        return;
    if (str_eq(line, STR("close")))
        close_client(p, SHUT_RDWR);
    else if (str_eq(line, STR("half-close")))
        close_client(p, SHUT_WR);
    else if (str_eq(line, STR("shut down")))
        server_shut_down(&p->server);
    else if (str_eq(line, STR("connect")))
        connect_client(p);
    else if (str_starts_nocase(line, STR("client:")))
        speak_again(p, str_trim(str_from(line, 7)));
    else if (str_starts_nocase(line, STR("wait:")))
        wait_ms(p, str_trim(str_from(line, 5)));
    else
        fail(p, "what is this?", line);
}

static void perform(struct play *p) {
    struct str rest = str_of(p->text);
    while (rest.len > 0 && !p->has_failed) {
        size_t end = str_find(rest, '\n');
        struct str line = str_head(rest, end);
        rest = str_from(rest, end + 1);
        p->line_number++;
        if (!is_setting(p, line))
            act(p, line);
    }
    if (!p->is_set_up)
        fail(p, "the transcript is empty", STR(""));
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = calloc(1, TEXT_MAX);
    if (file == NULL || text == NULL || fread(text, 1, TEXT_MAX - 1, file) == 0)
        abort();
    fclose(file);
    return text;
}

void wire_play(const char *path, struct wire_run *run) {
    struct play p = { .path = path, .text = read_file(path), .now_ms = 1000000, .run = run };
    struct str first = str_from(str_head(str_of(p.text), str_find(str_of(p.text), '\n')), 2);
    snprintf(run->sentence, sizeof(run->sentence), "%.*s", STR_ARG(first));
    snprintf(p.folder, sizeof(p.folder), "/tmp/postern-wire-XXXXXX");
    buf_init(&p.conf_text, TEXT_MAX);
    buf_init(&p.group_text, TEXT_MAX);
    buf_init(&p.domain_text, TEXT_MAX);
    buf_init(&p.policy_text, TEXT_MAX);
    buf_init(&p.recipients, TEXT_MAX);
    buf_init(&p.log, TEXT_MAX);
    buf_init(&p.to_send, TEXT_MAX);
    buf_init(&run->replies, TEXT_MAX);
    endpoint_parse(STR("203.0.113.7:40000"), &p.peer);
    if (mkdtemp(p.folder) == NULL || loop_new(&p.loop) < 0 || (p.mailbox = mailbox_new(p.loop)) == NULL)
        abort();
    loop_set_time(p.loop, p.now_ms);
    perform(&p);
    for (unsigned i = 0; i < p.n_clients; i++) { /* what they were told last */
        p.client = &p.clients[i];
        receive(&p);
    }
    run->messages = mailbox_counts(p.mailbox)->messages;
    run->has_passed = !p.has_failed;
    tear_down(&p);
}
