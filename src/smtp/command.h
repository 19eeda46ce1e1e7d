/*
 * command: one line from a client in, one struct smtp_command out.
 *
 * Views into the line. Syntax only: which command is allowed when, and whether a parameter was offered, is the
 * session's affair. Unknown parameters are a result of their own (555 5.5.4).
 */
#pragma once

#include "smtp/address.h"

#include <stdint.h>

enum smtp_verb {
    SMTP_HELO, SMTP_EHLO, SMTP_MAIL, SMTP_RCPT, SMTP_DATA, SMTP_BDAT, SMTP_RSET, SMTP_NOOP, SMTP_VRFY, SMTP_EXPN,
    SMTP_HELP, SMTP_QUIT, SMTP_STARTTLS, SMTP_XCLIENT,
    SMTP_UNKNOWN, /* not a verb of ours, or not a command at all */
};

enum { SMTP_VERB_COUNT = SMTP_UNKNOWN + 1 };

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

enum smtp_command_result {
    SMTP_COMMAND_OK,            /* also for SMTP_UNKNOWN, whose reply (500 5.5.2) is the session's */
    SMTP_COMMAND_SYNTAX,        /* 501 5.5.4: arguments missing, superfluous or malformed */
    SMTP_COMMAND_BAD_BYTES,     /* 500 5.5.2: NUL, bare CR, bare LF or another control character in the line */
    SMTP_COMMAND_BAD_ADDRESS,   /* the path is malformed or too long: 501 5.1.7 (MAIL), 5.1.3 (RCPT) */
    SMTP_COMMAND_BAD_UTF8,      /* UTF-8 where SMTPUTF8 was not given, or invalid UTF-8: 553 5.6.7 */
    SMTP_COMMAND_BAD_PARAMETER, /* a parameter that we know, repeated or with a malformed value: 501 5.5.4 */
    SMTP_COMMAND_NO_PARAMETER,  /* a parameter that we do not know, or BODY=BINARYMIME: 555 5.5.4 */
};

/* Which parameters of MAIL and RCPT stood there. */
enum smtp_parameter {
    SMTP_HAS_SIZE = 1 << 0, SMTP_HAS_BODY = 1 << 1, SMTP_HAS_SMTPUTF8 = 1 << 2, SMTP_HAS_RET = 1 << 3,
    SMTP_HAS_ENVID = 1 << 4, SMTP_HAS_NOTIFY = 1 << 5, SMTP_HAS_ORCPT = 1 << 6,
    SMTP_HAS_AUTH = 1 << 7, /* AUTH= of RFC 4954 is accepted and ignored */
};

/* Lengths of values: RFC 1870 4 (digits), RFC 3461 4.4 and 4.2. */
enum { SMTP_HELO_MAX = 255, SMTP_SIZE_DIGITS_MAX = 20, SMTP_ENVID_MAX = 100, SMTP_ORCPT_MAX = 500 };

struct smtp_command {
    enum smtp_verb verb;
    struct str argument; /* all behind the verb, trimmed: HELO name, VRFY argument, XCLIENT attributes … */

    /* MAIL, RCPT */
    struct smtp_address address;
    uint32_t parameters; /* enum smtp_parameter */
    uint64_t size;       /* SIZE=; RFC 1870: up to 20 digits, larger numbers saturate */
    enum smtp_body body;
    struct str ret, envid;    /* DSN, RFC 3461, as written and checked; passed on as they are */
    struct str notify, orcpt;

    /* BDAT */
    uint64_t chunk_size;
    bool is_last;
};

/*
 * Parses `line` without its CRLF. The verb is known even when the result is not OK, so that the reply can fit it; the
 * other members are then of no meaning. allow_utf8: the session passes for RCPT whether MAIL said SMTPUTF8; MAIL earns
 * UTF-8 in its address by its own parameter, whatever allow_utf8 says.
 */
enum smtp_command_result smtp_command_parse(struct str line, bool allow_utf8, struct smtp_command *ret_command);

/* "MAIL"; for SMTP_UNKNOWN "unknown". */
const char *smtp_verb_name(enum smtp_verb verb);

/*
 * Finds the next line in what has arrived. A line ends at CRLF only (a bare LF or CR inside is for
 * smtp_command_parse() to refuse).
 * Returns its length without CRLF, or -1: not complete yet. *ret_consumed is the length with CRLF.
 */
long smtp_line_find(const char *at, size_t len, size_t *ret_consumed);

/*
 * One attribute of XCLIENT (name and xtext-decoded value), taken off the front of *rest. `value` is overwritten.
 * Returns 1, 0 at the end, -EINVAL (also for a value that is empty or decodes to control characters), -ENOBUFS or
 * -ENOMEM. Values "[UNAVAILABLE]" and "[TEMPUNAVAIL]" stay as they are.
 */
int smtp_xclient_next(struct str *rest, struct str *ret_name, struct buf *value);
