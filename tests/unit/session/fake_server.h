/*
 * fake_server: a mailbox server on loopback that says what a test tells it to, on the same loop as the relay under
 * test.
 *
 * Answers are strings of whole lines. NULL: silence. A '!' in front: close after it (alone: close at once). What it was
 * told is kept as one text, "|" between connections, message data included.
 */
#pragma once

#include "net/listen.h"
#include "net/stream.h"

enum { FAKE_CONNS_MAX = 1024 };

struct fake_server;

struct fake_conn {
    struct stream stream;
    struct fake_server *server;
    bool is_open, is_in_data;
    uint64_t chunk_left;
    bool is_last_chunk;
};

struct fake_server {
    struct loop *loop;
    struct listener listener;
    struct endpoint at;
    int fd;
    const char *greeting, *ehlo, *helo, *mail, *rcpt, *data, *dot, *rset, *bdat, *xforward, *xclient, *starttls;
    SSL_CTX *tls;       /* borrowed; NULL: nothing follows STARTTLS */
    const char *refuse; /* RCPT with this in it: 550 */
    unsigned connections, messages; /* in all; accepted */
    struct fake_conn *conns[FAKE_CONNS_MAX];
    struct buf heard;
};

void fake_server_start(struct fake_server *server, struct loop *loop);
/* Stops listening; connections stay. */
void fake_server_refuse(struct fake_server *server);
/* Listens again at the same port. */
void fake_server_listen(struct fake_server *server);
void fake_server_drop_all(struct fake_server *server);
void fake_server_say(struct fake_server *server, unsigned conn, const char *text);
/* What it heard since the last call. Valid until the next. */
const char *fake_server_heard(struct fake_server *server);
void fake_server_stop(struct fake_server *server);
