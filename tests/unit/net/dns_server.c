/*
 * dns_server: see the header. One packet in, at most one out; the question is copied back with records behind it,
 * whose owner is always the name asked about. A connection is closed by who asked, who may ask more
 * than once on it before it is answered.
 */
#include "dns_server.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER_LEN = 12, PACKET_MAX = 4096 };

static const char *type_name(unsigned type) {
    switch (type) {
    case DNS_A:
        return "A";
    case DNS_AAAA:
        return "AAAA";
    case DNS_MX:
        return "MX";
    case DNS_PTR:
        return "PTR";
    case DNS_TXT:
        return "TXT";
    default:
        return "OTHER";
    }
}

/* Returns the length of the question's name in the packet. */
static size_t read_name(const uint8_t *packet, size_t len, char *out) {
    size_t at = HEADER_LEN, n = 0;
    while (at < len && packet[at] != 0 && n + packet[at] + 1u < DNS_NAME_MAX) {
        if (n > 0)
            out[n++] = '.';
        memcpy(out + n, packet + at + 1, packet[at]);
        n += packet[at];
        at += packet[at] + 1u;
    }
    out[n] = '\0';
    return at + 1 - HEADER_LEN;
}

static size_t put_name(uint8_t *at, const char *name) {
    size_t n = 0;
    while (*name != '\0' && strcmp(name, ".") != 0) {
        size_t label = strcspn(name, ".");
        at[n++] = (uint8_t)label;
        memcpy(at + n, name, label);
        n += label;
        name += label + (name[label] == '.');
    }
    at[n++] = 0;
    return n;
}

static size_t put_data(uint8_t *at, const struct dns_rule *rule) {
    struct ip ip;
    if (rule->type == DNS_A || rule->type == DNS_AAAA) {
        if (ip_parse(str_of(rule->data), &ip) < 0)
            abort();
        memcpy(at, ip.bytes, rule->type == DNS_A ? 4 : 16);
        return rule->type == DNS_A ? 4 : 16;
    }
    if (rule->type == DNS_TXT) {
        size_t len = strlen(rule->data);
        at[0] = (uint8_t)len;
        memcpy(at + 1, rule->data, len);
        return 1 + len;
    }
    if (rule->type != DNS_MX)
        return put_name(at, rule->data);
    char *name;
    unsigned long preference = strtoul(rule->data, &name, 10);
    at[0] = (uint8_t)(preference >> 8);
    at[1] = (uint8_t)preference;
    return 2 + put_name(at + 2, name + 1);
}

static size_t put_record(uint8_t *at, const struct dns_rule *rule) {
    const uint8_t head[] = { 0xc0, HEADER_LEN, 0, (uint8_t)rule->type, 0, 1, 0, 0, 0, 60 };
    memcpy(at, head, sizeof(head));
    size_t len = put_data(at + sizeof(head) + 2, rule);
    at[sizeof(head)] = (uint8_t)(len >> 8);
    at[sizeof(head) + 1] = (uint8_t)len;
    return sizeof(head) + 2 + len;
}

/* An SOA of the root in the authority section: how long a no is to be remembered. */
static size_t put_soa(uint8_t *at) {
    static const uint8_t record[] = {
        0, 0, 6, 0, 1, 0, 9, 0x3a, 0x80, 0, 22, /* a week */
        0, 0, 0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 2, 88, 0, 9, 0x3a, 0x80, 0, 9, 0x3a, 0x80,
    };
    memcpy(at, record, sizeof(record));
    return sizeof(record);
}

/* The reply to the question in `packet`, written behind it. Returns its length; 0: silence. */
static size_t write_reply(const struct dns_server *server, uint8_t *packet, size_t end, const char *name,
                          unsigned type, bool is_tcp) {
    bool exists = false, is_cut = false;
    uint8_t rcode = 0;
    size_t question_end = end;
    memset(packet + 6, 0, 6);
    for (unsigned i = 0; i < server->n_rules; i++) {
        const struct dns_rule *rule = &server->rules[i];
        if (fnmatch(rule->name, name, FNM_CASEFOLD) != 0)
            continue;
        exists = true;
        bool is_about = rule->type == type || rule->type == DNS_TYPE_ANY || rule->type == DNS_TYPE_CNAME;
        if (!is_about || end > PACKET_MAX - DNS_NAME_MAX - 32)
            continue;
        switch ((enum dns_play)rule->play) {
        case DNS_PLAYS_RECORD:
            packet[7]++;
            end += put_record(packet + end, rule);
            break;
        case DNS_PLAYS_EMPTY: /* with an SOA (RFC 2308 2.2), or it looks like a referral that leads nowhere */
            packet[9]++;
            end += put_soa(packet + end);
            break;
        case DNS_PLAYS_NO_NAME:
            rcode = 3;
            break;
        case DNS_PLAYS_NO_NAME_FOR_LONG:
            rcode = 3;
            packet[9]++;
            end += put_soa(packet + end);
            break;
        case DNS_PLAYS_FAILURE:
            rcode = 2;
            break;
        case DNS_PLAYS_REFUSAL:
            rcode = 5;
            break;
        case DNS_PLAYS_CUT:
            is_cut = !is_tcp;
            break;
        case DNS_PLAYS_SILENCE:
            return 0;
        case DNS_PLAYS_GARBAGE:
            packet[7] = 7;
            break;
        }
    }
    if (is_cut) {
        memset(packet + 6, 0, 6);
        end = question_end;
    }
    packet[2] = (uint8_t)(0x84 | (is_cut ? 2 : 0));
    packet[3] = (uint8_t)(0x80 | (exists ? rcode : 3));
    return end;
}

/* Notes the question in `packet` and makes the reply of it. Returns its length; 0: silence. */
static size_t answer(struct dns_server *server, uint8_t *packet, size_t len, bool is_tcp) {
    char name[DNS_NAME_MAX + 1];
    size_t end = HEADER_LEN + read_name(packet, len, name);
    unsigned type = (unsigned)packet[end] << 8 | packet[end + 1];
    if (server->n_asked == DNS_QUESTIONS_MAX)
        abort();
    snprintf(server->asked[server->n_asked++], sizeof(server->asked[0]), "%s %s", type_name(type), name);
    return write_reply(server, packet, end + 4, name, type, is_tcp);
}

static void on_question(struct watch *watch, uint32_t events) {
    struct dns_server *server = (struct dns_server *)watch;
    uint8_t packet[PACKET_MAX];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(server->fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (n < HEADER_LEN + 5)
        return;
    uint16_t port = endpoint_from_sockaddr(&from).port;
    server->n_new_ports += port != server->last_port;
    server->last_port = port;
    size_t end = answer(server, packet, (size_t)n, false);
    if (end > 0 && sendto(server->fd, packet, end, 0, (const struct sockaddr *)&from, from_len) != (ssize_t)end)
        abort();
}

/* ---- over TCP */

/* The length of the question that begins at `at`, its two bytes of length included; 0: it is not whole. */
static size_t whole(const struct dns_connection *c, size_t at) {
    size_t len = c->len - at >= 2 ? 2u + ((size_t)c->in[at] << 8 | c->in[at + 1]) : 0;
    return at + len <= c->len ? len : 0;
}

static void answer_connection(struct dns_connection *c) {
    uint8_t packet[2 + PACKET_MAX];
    size_t at = 0, len;
    for (; (len = whole(c, at)) > 0; at += len) {
        memcpy(packet, c->in + at, len);
        size_t end = answer(c->server, packet + 2, len - 2, true);
        packet[0] = (uint8_t)(end >> 8);
        packet[1] = (uint8_t)end;
        if (end > 0 && send(c->fd, packet, end + 2, MSG_NOSIGNAL) != (ssize_t)end + 2)
            abort();
    }
    memmove(c->in, c->in + at, c->len - at);
    c->len -= at;
    c->counted -= at;
}

static void on_bytes(struct watch *watch, uint32_t events) {
    struct dns_connection *c = (struct dns_connection *)watch;
    ssize_t n = recv(c->fd, c->in + c->len, sizeof(c->in) - c->len, MSG_DONTWAIT);
    if (n <= 0) {
        watch_stop(c->server->loop, &c->watch);
        return;
    }
    c->len += (size_t)n;
    for (size_t len; (len = whole(c, c->counted)) > 0; c->counted += len)
        c->server->n_tcp++;
    if (!c->server->holds_tcp)
        answer_connection(c);
}

static void on_connection(struct watch *watch, uint32_t events) {
    struct dns_server *server = (struct dns_server *)((char *)watch - offsetof(struct dns_server, tcp_watch));
    int fd = accept4(server->tcp_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct dns_connection *c = calloc(1, sizeof(*c));
    if (c == NULL || server->n_connections == DNS_TCP_MAX)
        abort();
    server->connections[server->n_connections++] = c;
    *c = (struct dns_connection){ .server = server, .fd = fd };
    if (watch_start(server->loop, &c->watch, fd, EPOLLIN, on_bytes) < 0)
        abort();
}

void dns_server_release(struct dns_server *server) {
    server->holds_tcp = false;
    for (unsigned i = 0; i < server->n_connections; i++)
        answer_connection(server->connections[i]);
}

/* ---- its life */

static int open_socket(struct dns_server *server, int type) {
    struct sockaddr_storage name;
    socklen_t len = endpoint_to_sockaddr(&server->at, &name);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        abort();
    if (bind(fd, (struct sockaddr *)&name, len) == 0 && getsockname(fd, (struct sockaddr *)&name, &len) == 0) {
        server->at = endpoint_from_sockaddr(&name);
        return fd;
    }
    close(fd);
    return -1;
}

void dns_server_open(struct dns_server *server, struct loop *loop) {
    memset(server, 0, sizeof(*server));
    server->loop = loop;
    server->tcp_fd = -1;
    if (endpoint_parse(STR("127.0.0.1:1"), &server->at) < 0)
        abort();
    for (int i = 0; server->tcp_fd < 0 && i < 16; i++) { /* until a port is free for both */
        server->at.port = 0;
        server->fd = open_socket(server, SOCK_DGRAM);
        server->tcp_fd = open_socket(server, SOCK_STREAM);
        if (server->tcp_fd < 0)
            close(server->fd);
    }
    if (server->tcp_fd < 0 || listen(server->tcp_fd, DNS_TCP_MAX) < 0
        || watch_start(loop, &server->watch, server->fd, EPOLLIN, on_question) < 0
        || watch_start(loop, &server->tcp_watch, server->tcp_fd, EPOLLIN, on_connection) < 0)
        abort();
}

void dns_server_close(struct dns_server *server, struct loop *loop) {
    for (unsigned i = 0; i < server->n_connections; i++) {
        watch_stop(loop, &server->connections[i]->watch);
        close(server->connections[i]->fd);
        free(server->connections[i]);
    }
    watch_stop(loop, &server->tcp_watch);
    watch_stop(loop, &server->watch);
    close(server->tcp_fd);
    close(server->fd);
}

static struct dns_rule *add_rule(struct dns_server *server, const char *name, unsigned type) {
    if (server->n_rules == DNS_RULES_MAX)
        abort();
    struct dns_rule *rule = &server->rules[server->n_rules++];
    snprintf(rule->name, sizeof(rule->name), "%s", name);
    rule->type = (uint16_t)type;
    return rule;
}

void dns_server_add(struct dns_server *server, const char *name, unsigned type, const char *data) {
    struct dns_rule *rule = add_rule(server, name, type);
    snprintf(rule->data, sizeof(rule->data), "%s", data);
    rule->play = DNS_PLAYS_RECORD;
}

void dns_server_play(struct dns_server *server, const char *name, unsigned type, enum dns_play play) {
    add_rule(server, name, type)->play = (uint8_t)play;
}

void dns_server_forget(struct dns_server *server) {
    memset(server->rules, 0, sizeof(server->rules));
    server->n_rules = 0;
}

unsigned dns_server_asked(const struct dns_server *server, const char *pattern) {
    unsigned n = 0;
    for (unsigned i = 0; i < server->n_asked; i++)
        n += fnmatch(pattern, server->asked[i], FNM_CASEFOLD) == 0;
    return n;
}

struct resolver *dns_server_resolver(struct dns_server *server, struct loop *loop, unsigned max_in_flight) {
    const struct resolver_settings settings = { .way = RESOLVER_FORWARD, .forwarders = &server->at, .n_forwarders = 1,
                                                .max_in_flight = max_in_flight };
    struct resolver *resolver;
    const char *error;
    if (resolver_new(loop, &settings, &resolver, &error) < 0)
        abort();
    return resolver;
}
