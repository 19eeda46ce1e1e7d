/*
 * mailbox: see mailbox.h. Strict about the wire where it matters: message text is taken as lines ending in CRLF, and
 * only a line of one dot ends it; a bare CR or LF is written down as \r or \n inside its line, so that no transcript
 * can overlook one.
 */
#include "mailbox.h"

#include "alloc_fault.h"

#include "net/listen.h"
#include "net/stream.h"
#include "smtp/command.h"

#include <stdlib.h>
#include <unistd.h>

enum { RULES_MAX = 16, PEERS_MAX = 16, HEARD_MAX = 1 << 22 };

struct peer {
    struct stream stream; /* first */
    struct mailbox *mailbox;
    uint64_t chunk_left;
    bool is_used, is_data, is_last_chunk;
};

struct rule {
    char prefix[256], reply[4096];
    bool is_once, is_used_up;
};

struct mailbox {
    struct loop *loop;
    struct listener listener;
    int fd;
    struct endpoint at;
    struct peer peers[PEERS_MAX];
    struct rule rules[RULES_MAX];
    size_t n_rules;
    char offers[256];
    struct buf heard;
    struct mailbox_counts counts;
};

static void hear(struct mailbox *mailbox, const char *at, size_t len) {
    for (size_t i = 0; i < len; i++) {
        bool is_bare = at[i] == '\r' || at[i] == '\n';
        mailbox->counts.bare += is_bare;
        if (is_bare)
            buf_puts(&mailbox->heard, at[i] == '\r' ? STR("\\r") : STR("\\n"));
        else
            buf_putc(&mailbox->heard, at[i]);
    }
    buf_putc(&mailbox->heard, '\n');
}

static void hang_up(struct peer *peer) {
    stream_close(&peer->stream);
    peer->is_used = false;
}

/* What the rules say to this, else `otherwise`. */
static const char *reply_to(struct mailbox *mailbox, struct str command, const char *otherwise) {
    for (size_t i = mailbox->n_rules; i-- > 0;) {
        struct rule *rule = &mailbox->rules[i];
        if (rule->is_used_up || !str_starts_nocase(command, str_of(rule->prefix)))
            continue;
        rule->is_used_up = rule->is_once;
        return rule->reply;
    }
    return otherwise;
}

/* Returns the first digit of the answer; 0: there is none, or the peer is gone. */
static char answer(struct peer *peer, struct str command, const char *otherwise) {
    const char *reply = reply_to(peer->mailbox, command, otherwise);
    if (strcmp(reply, "drop") == 0)
        hang_up(peer);
    if (strcmp(reply, "drop") == 0 || strcmp(reply, "hang") == 0)
        return 0;
    stream_write(&peer->stream, reply, strlen(reply));
    stream_write(&peer->stream, "\r\n", 2);
    return reply[0];
}

static void answer_message(struct peer *peer) {
    peer->mailbox->counts.messages += answer(peer, STR("DOT"), "250 2.0.0 Ok: queued") == '2';
}

static void answer_ehlo(struct peer *peer, struct str line) {
    struct buf text;
    buf_init(&text, 4096);
    struct str rest = str_of(peer->mailbox->offers);
    buf_puts(&text, STR("250-mailbox.internal"));
    for (struct str word = str_word(&rest); word.len > 0; word = str_word(&rest)) {
        buf_puts(&text, STR("\r\n250-"));
        for (size_t i = 0; i < word.len; i++)
            buf_putc(&text, word.at[i] == '=' ? ' ' : word.at[i]);
    }
    buf_puts(&text, STR("\r\n250 ENHANCEDSTATUSCODES"));
    buf_putc(&text, '\0');
    answer(peer, line, text.at);
    buf_deinit(&text);
}

static size_t on_line(struct peer *peer, struct str line, size_t used) {
    hear(peer->mailbox, line.at, line.len);
    if (peer->is_data) {
        if (line.len == 1 && line.at[0] == '.') {
            peer->is_data = false;
            answer_message(peer);
        }
        return used;
    }
    struct smtp_command command;
    smtp_command_parse(line, true, &command);
    peer->mailbox->counts.unknown += command.verb == SMTP_UNKNOWN;
    if (command.verb == SMTP_EHLO) {
        answer_ehlo(peer, line);
    } else if (command.verb == SMTP_DATA) {
        peer->is_data = answer(peer, line, "354 Go on") == '3';
    } else if (command.verb == SMTP_BDAT) {
        peer->chunk_left = command.chunk_size;
        peer->is_last_chunk = command.is_last;
        if (command.chunk_size == 0)
            answer(peer, STR("CHUNK"), "250 2.0.0 Ok");
    } else if (command.verb == SMTP_QUIT) {
        if (answer(peer, line, "221 2.0.0 Bye"))
            hang_up(peer);
    } else {
        answer(peer, line, "250 2.1.5 Ok");
    }
    return used;
}

static size_t on_chunk(struct peer *peer, const char *at, size_t len) {
    size_t n = len < peer->chunk_left ? len : (size_t)peer->chunk_left;
    for (size_t from = 0; from < n;) { /* the chunk's lines */
        size_t used;
        long line = smtp_line_find(at + from, n - from, &used);
        hear(peer->mailbox, at + from, line < 0 ? n - from : (size_t)line);
        from += line < 0 ? n - from : used;
    }
    peer->chunk_left -= n;
    if (peer->chunk_left == 0 && peer->is_last_chunk)
        answer_message(peer);
    else if (peer->chunk_left == 0)
        answer(peer, STR("CHUNK"), "250 2.0.0 Ok");
    return n;
}

static size_t on_data(struct stream *stream, const char *at, size_t len) {
    SPARE_ALLOCATIONS();
    struct peer *peer = (struct peer *)stream;
    size_t used = 0;
    while (used < len && peer->is_used) {
        size_t n = 0;
        if (peer->chunk_left > 0) {
            n = on_chunk(peer, at + used, len - used);
        } else {
            long line = smtp_line_find(at + used, len - used, &n);
            if (line < 0)
                break;
            on_line(peer, (struct str){ at + used, (size_t)line }, n);
        }
        used += n;
    }
    return used;
}

static void on_end(struct stream *stream, enum stream_end end, int err) {
    SPARE_ALLOCATIONS();
    hang_up((struct peer *)stream);
}

static const struct stream_ops ops = { .on_data = on_data, .on_end = on_end };

static void on_accept(struct listener *listener, int take_fd, const struct endpoint *client) {
    SPARE_ALLOCATIONS();
    struct mailbox *mailbox = listener->arg;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &mailbox->peers[i];
        if (peer->is_used)
            continue;
        *peer = (struct peer){ .mailbox = mailbox, .is_used = true };
        if (stream_open(&peer->stream, mailbox->loop, take_fd, &ops, 1 << 20, 1 << 16) < 0)
            abort();
        answer(peer, STR("CONNECT"), "220 mailbox.internal ESMTP");
        return;
    }
    close(take_fd);
}

struct mailbox *mailbox_new(struct loop *loop) {
    struct mailbox *mailbox = calloc(1, sizeof(*mailbox));
    struct endpoint any = { 0 };
    if (mailbox == NULL)
        return NULL;
    mailbox->loop = loop;
    buf_init(&mailbox->heard, HEARD_MAX);
    mailbox_offers(mailbox, STR("PIPELINING SIZE=10000000 8BITMIME SMTPUTF8 DSN"));
    endpoint_parse(STR("127.0.0.1:0"), &any);
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    if (listen_open(&any, 1, false, &mailbox->fd) < 0
        || getsockname(mailbox->fd, (struct sockaddr *)&name, &len) < 0
        || listener_start(&mailbox->listener, loop, mailbox->fd, on_accept, NULL, mailbox) < 0) {
        free(mailbox);
        return NULL;
    }
    mailbox->at = endpoint_from_sockaddr(&name);
    return mailbox;
}

void mailbox_drop(struct mailbox *mailbox) {
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (mailbox->peers[i].is_used)
            hang_up(&mailbox->peers[i]);
}

void mailbox_leave(struct mailbox *mailbox) {
    if (mailbox->fd < 0)
        return;
    listener_stop(&mailbox->listener, false);
    close(mailbox->fd);
    mailbox->fd = -1;
    mailbox_drop(mailbox);
}

void mailbox_free(struct mailbox *mailbox) {
    if (mailbox == NULL)
        return;
    mailbox_leave(mailbox);
    buf_deinit(&mailbox->heard);
    free(mailbox);
}

struct endpoint mailbox_endpoint(const struct mailbox *mailbox) {
    return mailbox->at;
}

void mailbox_rule(struct mailbox *mailbox, struct str prefix, struct str reply, bool is_once) {
    struct rule *rule = &mailbox->rules[mailbox->n_rules++];
    if (mailbox->n_rules > RULES_MAX || prefix.len >= sizeof(rule->prefix) || reply.len >= sizeof(rule->reply))
        abort();
    *rule = (struct rule){ .is_once = is_once };
    memcpy(rule->prefix, prefix.at, prefix.len);
    memcpy(rule->reply, reply.at, reply.len);
}

void mailbox_forget_rules(struct mailbox *mailbox) {
    mailbox->n_rules = 0;
}

void mailbox_offers(struct mailbox *mailbox, struct str keywords) {
    if (keywords.len >= sizeof(mailbox->offers))
        abort();
    memset(mailbox->offers, 0, sizeof(mailbox->offers));
    memcpy(mailbox->offers, keywords.at, keywords.len);
}

const struct mailbox_counts *mailbox_counts(const struct mailbox *mailbox) {
    return &mailbox->counts;
}

struct buf *mailbox_heard(struct mailbox *mailbox) {
    return &mailbox->heard;
}
