/*
 * dns_server: see the header. One packet in, at most one out; the question is copied back with records behind it,
 * whose owner is always the name asked about.
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

/* The reply to the question in `packet`, written behind it. Returns its length; 0: silence. */
static size_t write_reply(const struct dns_server *server, uint8_t *packet, size_t end, const char *name,
                          unsigned type) {
    bool exists = false;
    uint8_t rcode = 0;
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
        case DNS_PLAYS_EMPTY:
            break;
        case DNS_PLAYS_NO_NAME:
            rcode = 3;
            break;
        case DNS_PLAYS_FAILURE:
            rcode = 2;
            break;
        case DNS_PLAYS_SILENCE:
            return 0;
        case DNS_PLAYS_GARBAGE:
            packet[7] = 7;
            break;
        }
    }
    packet[2] = 0x84;
    packet[3] = (uint8_t)(0x80 | (exists ? rcode : 3));
    return end;
}

static void on_question(struct watch *watch, uint32_t events) {
    struct dns_server *server = (struct dns_server *)watch;
    uint8_t packet[PACKET_MAX];
    char name[DNS_NAME_MAX + 1];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n = recvfrom(server->fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (n < HEADER_LEN + 5)
        return;
    size_t end = HEADER_LEN + read_name(packet, (size_t)n, name);
    unsigned type = (unsigned)packet[end] << 8 | packet[end + 1];
    if (server->n_asked == DNS_QUESTIONS_MAX)
        abort();
    snprintf(server->asked[server->n_asked++], sizeof(server->asked[0]), "%s %s", type_name(type), name);
    end = write_reply(server, packet, end + 4, name, type);
    if (end > 0 && sendto(server->fd, packet, end, 0, (const struct sockaddr *)&from, from_len) != (ssize_t)end)
        abort();
}

void dns_server_open(struct dns_server *server, struct loop *loop) {
    struct sockaddr_storage name;
    memset(server, 0, sizeof(*server));
    if (endpoint_parse(STR("127.0.0.1:1"), &server->at) < 0)
        abort();
    server->at.port = 0;
    socklen_t len = endpoint_to_sockaddr(&server->at, &name);
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->fd < 0 || bind(server->fd, (struct sockaddr *)&name, len) < 0
        || getsockname(server->fd, (struct sockaddr *)&name, &len) < 0
        || watch_start(loop, &server->watch, server->fd, EPOLLIN, on_question) < 0)
        abort();
    server->at = endpoint_from_sockaddr(&name);
}

void dns_server_close(struct dns_server *server, struct loop *loop) {
    watch_stop(loop, &server->watch);
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
