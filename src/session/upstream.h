/*
 * upstream: one connection to one mailbox server, from connect() to QUIT.
 *
 * Says hello by itself (greeting, EHLO or HELO, STARTTLS, EHLO again), then is READY: its user writes commands into
 * upstream_out(), says with upstream_sent() how many answers they will bring, and gets these one by one. When a user
 * leaves, upstream_reset() makes the connection good for the next: answers still due to the old user are swallowed, and
 * RSET goes out.
 *
 * Embedded in what owns it (session/pool.h). No callback comes from inside a function below. After on_end the
 * connection is closed already.
 */
#pragma once

#include "conf/conf.h"
#include "net/stream.h"
#include "smtp/reply.h"

struct upstream;

enum upstream_end {
    /* never became ready: no connection, a greeting, EHLO or STARTTLS that said no, nonsense, a time-out */
    UPSTREAM_REFUSED,
    UPSTREAM_TLS_BAD, /* never became ready: the TLS handshake failed */
    UPSTREAM_LOST,    /* was ready, and is gone */
};

struct upstream_ops {
    /* Commands may be written: hello is done, or the last answer due to an earlier use has come. */
    void (*on_ready)(struct upstream *up);
    /* The next answer. Valid until the next one. */
    void (*on_answer)(struct upstream *up, const struct smtp_answer *answer);
    /* All output is with the kernel, after some of it had to wait. */
    void (*on_drained)(struct upstream *up);
    /* `why` is one printable line, valid during the call. */
    void (*on_end)(struct upstream *up, enum upstream_end end, struct str why);
};

struct upstream_setup {
    struct loop *loop;
    const struct conf *conf; /* our name, time-outs */
    struct endpoint to;
    const char *name;        /* for the certificate and SNI */
    enum conf_tls_mode tls;
    SSL_CTX *context;        /* NULL when tls is NONE */
};

enum upstream_state {
    UPSTREAM_CLOSED, UPSTREAM_CONNECTING, UPSTREAM_GREETING, UPSTREAM_EHLO, UPSTREAM_HELO, UPSTREAM_STARTTLS,
        UPSTREAM_HANDSHAKE, UPSTREAM_READY,
};

enum { UPSTREAM_NAME_MAX = 64, UPSTREAM_WHY_MAX = 200 };

struct upstream {
    struct stream stream;
    struct timer timer;
    struct task task;    /* on_end for what cannot go on, in the next turn */
    const struct upstream_ops *ops;
    const struct upstream_setup *setup;
    enum upstream_state state;
    bool is_plain;       /* STARTTLS is not tried although the mode is `may`: it failed before */
    const char *plain_why; /* the mode is `may`, and there is no TLS because …; NULL: there is, or none was tried */
    bool was_ready;
    bool is_dirty;       /* MAIL was sent and no end of data answered: RSET is needed before another */
    bool is_reset_due;   /* RSET waits for the answers before it (no PIPELINING) */
    bool is_broken;      /* a write failed, or no timer was to be had: on_end comes with the task */
    bool has_more;       /* a part of the next answer has come */
    bool is_ahead;       /* bytes stand behind the last answer that was due: nothing is written any more */
    uint32_t due;        /* answers that the user waits for */
    /* answers that come before those and nobody waits for; the last is RSET's unless is_reset_due */
    uint32_t swallow;
    uint64_t due_ms;     /* when the next answer must have come; 0: the user minds the time itself */
    uint64_t limit_ms;   /* how long each answer may take */
    uint32_t mails, mail_max; /* MAIL commands sent; most allowed on one connection (RFC 9422 MAILMAX), 0: no limit */
    uint32_t rcpt_max;   /* RCPT commands it takes in one transaction (RFC 9422 RCPTMAX), 0: no limit */
    struct smtp_offer offer;
    char server_name[UPSTREAM_NAME_MAX]; /* how it greets, "" unless that looks like a host name */
    struct smtp_answer answer;
};

/* Connects. `setup` is borrowed for the life of the connection. Returns 0 or -errno (then nothing is open). */
int upstream_connect(struct upstream *up, const struct upstream_setup *setup, const struct upstream_ops *ops,
                     bool is_plain);

/*
 * True when commands may be written now: ready, with nothing unanswered unless the server offers PIPELINING, and with
 * no bytes read that came before they were due.
 */
bool upstream_may_write(const struct upstream *up);

/* False while an answer has begun to come and is not whole yet. */
bool upstream_is_silent(const struct upstream *up);

/* Where commands are written to. Out of memory is told by upstream_broken(). */
struct buf *upstream_out(struct upstream *up);

/* Commands that will bring `n` answers were written. limit_ms: how long each may take; 0: the user minds the time. */
void upstream_sent(struct upstream *up, uint32_t n, uint64_t limit_ms);

/* What should have been written was not, or cannot be timed: the connection ends in the next turn. */
void upstream_broken(struct upstream *up);

/* Nobody waits for answers any more; RSET if a transaction is open. The connection must not be between 354 (or BDAT)
 * and the end of data. */
void upstream_reset(struct upstream *up);

/* Says EHLO again (after XCLIENT's 220); on_ready or on_end follows. */
void upstream_hello(struct upstream *up);

/* Closes, with QUIT when that can be said. No callback comes after. A closed or zeroed one is fine. */
void upstream_close(struct upstream *up, bool say_quit);
