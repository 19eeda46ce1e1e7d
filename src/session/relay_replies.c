/*
 * relay_replies: whom does a mailbox server's "no" concern?
 *
 * A sender must read nothing but what is about its own address, its recipient or its message. A server that wants us
 * to log in, to say STARTTLS, or that has lost step with us, speaks to us: passed on, its 530 would bounce good mail.
 * The answer is the first row that fits; what fits none is passed on.
 *
 * The code alone is not enough. 501 is a syntax error, which is ours, unless its enhanced code names the address
 * (RFC 3463 3.2: X.1.x); 554 is anything at all; Exchange says 550 5.7.57 to whoever has not logged in. Where a code
 * can mean both (550 and 554 with 5.7.1: "sender refused" and "client host refused") it is passed on: only the
 * administrator of the server knows, and `postern check --servers` shows what it says to us.
 *
 * A 4xx that is ours is told as 451 too, so that the words about us stay inside and the warning is made.
 *
 * Rejected: the next server after an answer to MAIL that is ours. Fail-over would hide a broken login for weeks, and
 * two servers of a group are configured alike; 451 and a warning bring somebody to look.
 */
#include "session/relay_replies.h"

#include <assert.h>

enum {
    FORWARD = 1 << RELAY_REPLY_XFORWARD | 1 << RELAY_REPLY_XCLIENT,
    ADDRESS = 1 << RELAY_REPLY_MAIL | 1 << RELAY_REPLY_RCPT,
    DATA = 1 << RELAY_REPLY_DATA,
    BDAT = 1 << RELAY_REPLY_BDAT,
    TEXT = 1 << RELAY_REPLY_TEXT,
    MAIL_ON = ADDRESS | DATA | BDAT | TEXT,
};

struct reply_row {
    unsigned steps;
    unsigned first, last; /* codes */
    const char *enhanced; /* whole, or a class when it ends in a dot; NULL: any or none */
    enum relay_reply_way way;
};

static const struct reply_row rows[] = {
    /* a value of this client's, an IPv6 address where the server has no IPv6: Postfix says 501 5.5.4 */
    { FORWARD, 501, 501, NULL, RELAY_REPLY_WITHOUT },
    { FORWARD, 400, 599, NULL, RELAY_REPLY_NEXT },

    { BDAT, 500, 500, NULL, RELAY_REPLY_WITHOUT }, /* it does not know the command */
    { BDAT, 502, 502, NULL, RELAY_REPLY_WITHOUT },

    { ADDRESS, 501, 501, "5.1.", RELAY_REPLY_PASSED }, /* an address that it finds malformed */
    { MAIL_ON, 500, 504, NULL, RELAY_REPLY_OURS },     /* the dialogue (RFC 5321 4.2.2) */
    { MAIL_ON, 520, 539, NULL, RELAY_REPLY_OURS },     /* no mail here, login, TLS (RFC 7504, RFC 4954 6, RFC 3207 4) */
    { MAIL_ON, 430, 439, NULL, RELAY_REPLY_OURS },     /* login */
    { MAIL_ON, 454, 454, NULL, RELAY_REPLY_OURS },     /* TLS, login; Postfix: relaying is denied for now */
    { MAIL_ON, 555, 555, NULL, RELAY_REPLY_OURS },     /* parameters, which are what it offered */

    { ADDRESS | DATA | BDAT, 554, 554, "5.5.", RELAY_REPLY_OURS }, /* "no valid recipients", "TLS not available" */
    { TEXT, 554, 554, "5.5.1", RELAY_REPLY_OURS },

    { MAIL_ON, 550, 599, "5.3.2", RELAY_REPLY_OURS },  /* the system takes no mail, */
    { MAIL_ON, 550, 599, "5.3.3", RELAY_REPLY_OURS },  /* lacks a feature, */
    { MAIL_ON, 550, 599, "5.3.5", RELAY_REPLY_OURS },  /* is configured wrongly */
    { MAIL_ON, 400, 499, "4.3.5", RELAY_REPLY_OURS },
    { MAIL_ON, 550, 599, "5.4.3", RELAY_REPLY_OURS },  /* its directory is away */
    { MAIL_ON, 550, 599, "5.7.8", RELAY_REPLY_OURS },  /* login (RFC 4954 6) */
    { MAIL_ON, 550, 599, "5.7.9", RELAY_REPLY_OURS },
    { MAIL_ON, 550, 599, "5.7.10", RELAY_REPLY_OURS }, /* encryption needed (RFC 5248 2.3) */
    { MAIL_ON, 550, 599, "5.7.11", RELAY_REPLY_OURS },
    { MAIL_ON, 550, 599, "5.7.54", RELAY_REPLY_OURS }, /* Exchange: our domain is none of its own, */
    { MAIL_ON, 550, 599, "5.7.57", RELAY_REPLY_OURS }, /* we have not logged in */
};

static bool fits_enhanced(const char *wanted, const char *enhanced) {
    size_t len;

    if (wanted == NULL)
        return true;
    len = strlen(wanted);
    return wanted[len - 1] == '.' ? strncmp(enhanced, wanted, len) == 0 : strcmp(enhanced, wanted) == 0;
}

static bool fits(const struct reply_row *row, enum relay_reply_step step, const struct smtp_answer *answer) {
    return row->steps >> step & 1 && answer->code >= row->first && answer->code <= row->last
        && fits_enhanced(row->enhanced, answer->enhanced);
}

enum relay_reply_way relay_reply_way(enum relay_reply_step step, const struct smtp_answer *answer) {
    assert(answer->code >= 400 && answer->code <= 599);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (fits(&rows[i], step, answer))
            return rows[i].way;
    return RELAY_REPLY_PASSED;
}

const char *relay_reply_step_name(enum relay_reply_step step) {
    static const char *const names[RELAY_REPLY_STEPS] = {
        [RELAY_REPLY_XFORWARD] = "XFORWARD", [RELAY_REPLY_XCLIENT] = "XCLIENT", [RELAY_REPLY_MAIL] = "MAIL",
        [RELAY_REPLY_RCPT] = "RCPT", [RELAY_REPLY_DATA] = "DATA", [RELAY_REPLY_BDAT] = "BDAT",
        [RELAY_REPLY_TEXT] = "the message",
    };

    return names[step];
}
