/*
 * fake_scanner: a clamd or spamd on the loop of the test, which misbehaves on demand.
 *
 * It understands enough of the protocol to know when a question is whole, and whether it is a trial; what it does then
 * is the test's choice. The real programs are met in tests/e2e.
 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"
#include "net/stream.h"

#include <sys/queue.h>

enum fake_act {
    FAKE_SAYS,         /* `says`, when the question is whole */
    FAKE_SAYS_BYTES,   /* the same, a byte a turn */
    FAKE_SAYS_EARLY,   /* as soon as any of the text has come, and closes without reading on */
    FAKE_SAYS_HALF,    /* half of it, and closes */
    FAKE_SAYS_TWICE,
    FAKE_SILENT,
    FAKE_DEAF,         /* reads no more, once any of the text has come */
    FAKE_CLOSES,       /* when the question is whole */
    FAKE_CLOSES_EARLY, /* as soon as any of the text has come */
    FAKE_ENDLESS,      /* says bytes without an end */
};

struct fake_play {
    enum fake_act act;
    const char *says; /* clamd: behind the number, unless it begins with '!'. spamd: all of it */
};

struct fake_conn {
    struct stream stream; /* first */
    void *free_link[2];
    struct task task;
    struct fake_scanner *fake;
    LIST_ENTRY(fake_conn) entry;
    struct buf in, text, out;
    const struct fake_play *play; /* for the question that is coming in */
    unsigned n_questions;
    bool is_reading_text, has_session, is_trial, has_acted;
    size_t text_left;
};

struct fake_scanner {
    struct watch watch; /* first */
    struct loop *loop;
    bool is_clamd, closes_on_accept, closes_after; /* closes_after: each answer that it gives */
    struct fake_play trial, message;
    unsigned n_connections, n_open, n_trials, n_messages;
    size_t conn_bytes;  /* most that came on a connection that is open */
    struct buf text;    /* of the last message that came whole, */
    struct buf head;    /* and what stood in front of it (spamd) */
    LIST_HEAD(, fake_conn) conns;
    struct conf_scanner_server conf;
    char path[80], name[90];
};

/* Listens on a Unix socket. Whatever fails ends the test program. */
void fake_scanner_open(struct fake_scanner *fake, struct loop *loop, bool is_clamd);
/* Nobody listens any more, all connections are closed; what was asked is kept. */
void fake_scanner_stop(struct fake_scanner *fake);
void fake_scanner_listen(struct fake_scanner *fake);
/* Closes connections, goes on listening. */
void fake_scanner_drop(struct fake_scanner *fake);
void fake_scanner_close(struct fake_scanner *fake);
