/*
 * dns_server: a name server for tests, on the same loop as the resolver that asks it. It knows what the test told it.
 *
 * A name that it was told anything about exists, for all types; any other is NXDOMAIN. Names are patterns (`*`, `?`),
 * matched by all rules that fit, in the order in which they were told.
 */
#pragma once

#include "net/loop.h"
#include "net/resolver.h"

enum dns_play {
    DNS_PLAYS_RECORD,
    DNS_PLAYS_EMPTY,   /* exists, without records */
    DNS_PLAYS_NO_NAME, /* NXDOMAIN though other rules fit */
    DNS_PLAYS_NO_NAME_FOR_LONG, /* the same, with an SOA that keeps it for a week */
    DNS_PLAYS_FAILURE, /* SERVFAIL */
    DNS_PLAYS_REFUSAL, /* REFUSED */
    DNS_PLAYS_CUT,     /* over UDP: truncated and empty, so that it is asked again over TCP; other rules answer there */
    DNS_PLAYS_SILENCE,
    DNS_PLAYS_GARBAGE,
};

enum { DNS_TYPE_ANY = 0, DNS_TYPE_CNAME = 5, DNS_RULES_MAX = 128, DNS_QUESTIONS_MAX = 4096, DNS_TCP_MAX = 64 };

struct dns_rule {
    char name[DNS_NAME_MAX + 1];
    char data[DNS_NAME_MAX + 1];
    uint16_t type;
    uint8_t play; /* enum dns_play */
};

struct dns_connection { /* questions over TCP */
    struct watch watch; /* first */
    struct dns_server *server;
    int fd;
    size_t len, counted;
    uint8_t in[4096];
};

struct dns_server {
    struct watch watch, tcp_watch; /* the first first */
    struct loop *loop;
    int fd, tcp_fd;
    struct endpoint at;
    struct dns_connection *connections[DNS_TCP_MAX];
    unsigned n_connections;
    bool holds_tcp;       /* answers nothing that comes over TCP */
    unsigned n_tcp;       /* questions that came over TCP; they count in n_asked too */
    uint16_t last_port;   /* that a question came from */
    unsigned n_new_ports; /* questions that came from another port than the one before */
    struct dns_rule rules[DNS_RULES_MAX];
    unsigned n_rules;
    unsigned n_asked; /* packets that came */
    char asked[DNS_QUESTIONS_MAX][DNS_NAME_MAX + 16]; /* "A mail.example" */
};

/* Binds a port of loopback, for UDP and TCP. Whatever fails ends the test program. */
void dns_server_open(struct dns_server *server, struct loop *loop);
void dns_server_close(struct dns_server *server, struct loop *loop);

/* `data`: an address; a name ("." is the root); for MX "10 mail.example"; a text. */
void dns_server_add(struct dns_server *server, const char *name, unsigned type, const char *data);
/* `type` may be DNS_TYPE_ANY. */
void dns_server_play(struct dns_server *server, const char *name, unsigned type, enum dns_play play);
void dns_server_forget(struct dns_server *server);

/* From now on questions over TCP are answered, those that were held back first. */
void dns_server_release(struct dns_server *server);

/* How many packets asked for this, as in "A mail.example" or "PTR *". */
unsigned dns_server_asked(const struct dns_server *server, const char *pattern);

/* A resolver that forwards to this server. */
struct resolver *dns_server_resolver(struct dns_server *server, struct loop *loop, unsigned max_in_flight);
