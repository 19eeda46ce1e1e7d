/*
 * control: the socket on which an administrator's commands reach the running master.
 *
 * A Unix stream socket. The client sends one line (at most CONTROL_LINE_MAX bytes with its LF), the server answers
 * with text that begins with a line `ok` or `error REASON` and closes. Three parts that know nothing of each other:
 * the parser (bytes in, request out; control.c), the server on the master's loop (control_server.c), the blocking
 * client of the subcommands (control_client.c).
 */
#pragma once

#include "base/buf.h"
#include "net/loop.h"

enum {
    CONTROL_LINE_MAX = 512,
    CONTROL_CLIENTS_MAX = 16,
    CONTROL_TIMEOUT_MS = 5000,        /* for a request to arrive and for its answer to be read */
    CONTROL_ANSWER_LIMIT_MS = 120000, /* for an answer that the owner gives later (reload) */
    CONTROL_ANSWER_MAX = 8 << 20,
};

/* ---- the parser */

enum control_request {
    CONTROL_STATUS,       /* for people */
    CONTROL_STATUS_JSON,
    CONTROL_STATUS_CHECK, /* one line: the exit code of monitoring, a blank, what to say */
    CONTROL_RELOAD,       /* answered when the new workers serve, or when it failed */
    CONTROL_VERSION,
    CONTROL_HELP,         /* the requests, one a line */
};

enum control_result {
    CONTROL_MORE = 1,  /* no whole line yet: come again with more behind it */
    CONTROL_TOO_LONG,  /* no LF within CONTROL_LINE_MAX bytes */
    CONTROL_BAD_BYTES, /* neither printable ASCII nor a tab nor a CR before the LF */
    CONTROL_UNKNOWN,   /* a line, but no request of ours */
};

/*
 * `bytes`: all that came so far. Returns 0 with *ret_request, or an enum control_result. What stands behind the line
 * is ignored.
 */
int control_parse(struct str bytes, enum control_request *ret_request);

/* What goes behind "error " for a result of control_parse(). */
const char *control_result_text(enum control_result result);

/* The requests as a client writes them, one a line. Returns 0, -ENOBUFS or -ENOMEM. */
int control_help(struct buf *out);

/* ---- the server */

struct control;

/* A request came. It is answered by control_answer() with `ticket`, at once or later. */
typedef void control_fn(void *arg, enum control_request request, uint64_t ticket);

/*
 * Makes the socket (mode 0660) and listens. A socket file that nobody listens on is replaced. Returns 0, -EADDRINUSE
 * when another process answers there, -ENAMETOOLONG, or -errno.
 */
int control_open(struct loop *loop, const char *path, control_fn *on_request, void *arg, struct control **ret_control);

/* Sends "ok\nTEXT" (error NULL) or "error ERROR\nTEXT" and ends the client. Does nothing when it has left meanwhile. */
void control_answer(struct control *control, uint64_t ticket, const char *error, struct str text);

/* Ends all clients and removes the socket file. Accepts NULL. */
void control_close(struct control *control);

/* ---- the client */

/*
 * Asks the master and waits. Returns 0 with what stands behind "ok\n" in `answer`, 1 with what stands behind "error "
 * in it, or -errno: -ENOENT and -ECONNREFUSED when no master runs there, -EACCES, -ETIMEDOUT, -EPROTO.
 */
int control_ask(const char *path, const char *request, unsigned timeout_ms, struct buf *answer);
