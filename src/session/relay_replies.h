/*
 * relay_replies: whom does a mailbox server's "no" concern?
 *
 * One table of steps, codes and enhanced codes (relay_replies.c) says it. Pure.
 */
#pragma once

#include "smtp/reply.h"

enum relay_reply_step { /* what was answered */
    RELAY_REPLY_XFORWARD,
    RELAY_REPLY_XCLIENT,
    RELAY_REPLY_MAIL,
    RELAY_REPLY_RCPT,
    RELAY_REPLY_DATA,
    RELAY_REPLY_BDAT, /* the first chunk, whether it is the last or not: nothing has been taken yet */
    RELAY_REPLY_TEXT, /* the final dot, or a later chunk */
};
enum { RELAY_REPLY_STEPS = RELAY_REPLY_TEXT + 1 };

enum relay_reply_way {
    RELAY_REPLY_PASSED,  /* about this sender, recipient or message: the client gets it as it is */
    RELAY_REPLY_OURS,    /* about us or the dialogue: the client gets 451, the administrator a warning */
    RELAY_REPLY_NEXT,    /* the server is of no use for this: the next one is tried */
    RELAY_REPLY_WITHOUT, /* the same once more, without what was refused */
};

/* `answer` is 4xx or 5xx. */
enum relay_reply_way relay_reply_way(enum relay_reply_step step, const struct smtp_answer *answer);

/* "MAIL", "RCPT", …, for log lines. */
const char *relay_reply_step_name(enum relay_reply_step step);
