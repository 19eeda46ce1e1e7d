/*
 * scanner_conn: one connection to one scanner, and one question on it at a time.
 *
 * The text of a question is never copied whole: pieces are read from the spool while the socket takes them. Answers are
 * read by the protocol, which knows nothing of sockets.
 *
 * Embedded in what owns it (scanner_servers.c). No callback comes from inside a function below. After on_end the
 * connection is closed already; after on_answer it takes the next question if scanner_conn_is_reusable().
 */
#pragma once

#include "conf/conf.h"
#include "facts/scanner_protocol.h"
#include "net/stream.h"

struct scanner_conn;

enum { SCANNER_WHY_MAX = 160 };

struct scanner_conn_ops {
    /* The answer to the question that is out: anything but SCANNER_MORE and SCANNER_NONSENSE. */
    void (*on_answer)(struct scanner_conn *conn, enum scanner_answer answer, const struct scanner_reply *reply);
    /* `why` is one printable line: "Connection refused", "answer is nonsense". */
    void (*on_end)(struct scanner_conn *conn, struct str why);
};

struct scanner_conn {
    struct stream stream;
    struct task task;    /* writes what is asked, and goes on with what takes more than one turn */
    struct timer timer;  /* while it connects */
    struct loop *loop;
    const struct scanner_protocol *protocol;
    const struct scanner_conn_ops *ops;
    struct scanner_question question;
    uint32_t asked;      /* questions on this connection so far */
    uint64_t at;         /* bytes of the text written */
    bool is_open, is_connected;
    bool is_trial;       /* the question is whether the scanner works */
    bool is_out;         /* a question is out */
    bool is_begun, is_written; /* its front; all of it */
    bool is_spoiled;     /* not to be used again */
};

/* Connects. What is borrowed lives as long as the connection. Returns 0 or -errno (then nothing is open). */
int scanner_conn_open(struct scanner_conn *conn, struct loop *loop, const struct conf_scanner_server *server,
                      const struct scanner_protocol *protocol, const struct scanner_conn_ops *ops);

/* Asks, as soon as it is connected. The question is copied, what it shows is borrowed. NULL: a trial. */
void scanner_conn_ask(struct scanner_conn *conn, const struct scanner_question *question_or_null);

bool scanner_conn_is_reusable(const struct scanner_conn *conn);

/* Of a connection that has ended: it was a kept one, which may have been dead before this question was asked. */
bool scanner_conn_was_stale(const struct scanner_conn *conn);

/* Closes. No callback comes after. A closed or zeroed one is fine. */
void scanner_conn_close(struct scanner_conn *conn);
