/*
 * relay_body: one message on its way to a mailbox server, from behind 354 (or the last RCPT answer) to the final dot
 * (or the last chunk).
 */
#pragma once

#include "session/relay.h"
#include "session/relay_text.h"
#include "session/upstream.h"
#include "smtp/data.h"

struct relay_body {
    struct relay_message message;
    struct relay_text text;
    uint64_t total;        /* bytes of all of it */
    uint64_t at;           /* how many of these are written */
    uint64_t chunk_end;    /* BDAT: where the chunk being written ends */
    struct data_encoder encoder;
    bool is_chunked;
    bool is_last_begun;    /* BDAT: the chunk with LAST was begun */
    bool is_any_chunk_taken; /* BDAT: one was answered 2xx */
    bool is_final_dot_sent;/* all is written, the end of data included: from now on the message may be delivered */
    uint8_t id_len;
    char id[31];           /* of the session, which may leave */
};

enum relay_body_result {
    RELAY_BODY_SENT,  /* all of it */
    RELAY_BODY_WAIT,  /* upstream's on_drained will come */
    RELAY_BODY_YIELD, /* others must have their turn: call again in the next one */
    /* the client is gone, or too little time is left: close the connection, then nothing is delivered */
    RELAY_BODY_STOP,
    RELAY_BODY_LOCAL, /* the spool cannot be read or is not canonical, no memory: likewise */
};

/* (Again) from the start, on a connection that does or does not take BDAT. */
void relay_body_begin(struct relay_body *body, bool is_chunked);

/* Writes as much as the connection takes. `scratch` has RELAY_BODY_PIECE bytes; `arg` is for client_is_there. */
enum { RELAY_BODY_PIECE = 64 * 1024 };
enum relay_body_result relay_body_write(struct relay_body *body, struct upstream *up, char *scratch, void *arg);
