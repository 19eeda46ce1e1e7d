/*
 * scanner_protocol: what one must know to speak with a kind of scanner: what goes around a text, and what an answer
 * means.
 *
 * Pure: bytes in, values out, no descriptor in sight. clamav.c and spamassassin.c are the two there are; scanner_conn.c
 * carries their bytes.
 */
#pragma once

#include "base/buf.h"
#include "base/spool.h"

struct scanner_question {
    struct str head;      /* in front of the spool */
    struct spool *spool;
    struct str user;      /* spamd's; "" none */
    uint64_t size;        /* of head and spool together */
};

enum scanner_answer {
    SCANNER_MORE,      /* it is not whole yet */
    SCANNER_VERDICT,
    SCANNER_WELL,      /* to a trial: it works */
    SCANNER_TOO_LARGE, /* larger than the scanner's own limit */
    SCANNER_FAILED,    /* it says itself that it could not do it */
    SCANNER_NONSENSE,  /* nothing that a scanner says */
};

struct scanner_reply {        /* views show what was read */
    struct str text;          /* VERDICT: a virus's name ("" clean), or spamd's symbols. FAILED: its words */
    int64_t score, threshold; /* VERDICT: thousandths */
    bool is_found;            /* VERDICT */
};

struct scanner_protocol {
    bool keeps_connections;   /* one connection takes a question after another */
    uint32_t answer_max;      /* bytes */
    uint32_t text_max;        /* bytes of a verdict's text that are kept */
    /*
     * What stands in front of the text; NULL asks nothing but whether the scanner works. is_first: on this connection.
     * As the next two: 0 or a negative result of buf_put().
     */
    int (*put_begin)(struct buf *out, const struct scanner_question *question_or_null, bool is_first);
    /* In front of a piece of `len` > 0 bytes of the text; behind all of them. NULL: nothing stands there. */
    int (*put_piece)(struct buf *out, uint32_t len);
    int (*put_end)(struct buf *out);
    /*
     * Reads the answer to the `number`th question (from 1) from the front of `in`. *ret_used: how much of it the answer
     * takes, *ret_reply: what it says; both untouched with SCANNER_MORE.
     */
    enum scanner_answer (*read)(struct str in, uint32_t number, size_t *ret_used, struct scanner_reply *ret_reply);
};
