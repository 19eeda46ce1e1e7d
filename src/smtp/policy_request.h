/*
 * policy_request: one request of Postfix's policy delegation protocol (SMTPD_POLICY_README).
 *
 * Lines "name=value", ended by LF, in any order; an empty line ends the request. Views into the bytes that were parsed.
 */
#pragma once

#include "base/str.h"

/*
 * A line with its LF, all lines of a request, and a request with its empty line. What Postfix sends has some 30 lines
 * and 2 KiB; values come from the SMTP client, whose lines Postfix cuts at 2 KiB.
 */
enum { POLICY_LINE_MAX = 8192, POLICY_LINES_MAX = 128, POLICY_REQUEST_MAX = 65536 };

/* All attributes that Postfix documents, up to 3.10, in the order in which it sends them. */
enum policy_attribute {
    POLICY_REQUEST, /* always "smtpd_access_policy" */
    POLICY_PROTOCOL_STATE,
    POLICY_PROTOCOL_NAME,
    POLICY_CLIENT_ADDRESS,
    POLICY_CLIENT_NAME,
    POLICY_CLIENT_PORT,
    POLICY_REVERSE_CLIENT_NAME,
    POLICY_SERVER_ADDRESS,
    POLICY_SERVER_PORT,
    POLICY_HELO_NAME,
    POLICY_SENDER,
    POLICY_RECIPIENT,
    POLICY_RECIPIENT_COUNT,
    POLICY_QUEUE_ID,
    POLICY_INSTANCE,
    POLICY_SIZE,
    POLICY_ETRN_DOMAIN,
    POLICY_STRESS,
    POLICY_SASL_METHOD,
    POLICY_SASL_USERNAME,
    POLICY_SASL_SENDER,
    POLICY_CCERT_SUBJECT,
    POLICY_CCERT_ISSUER,
    POLICY_CCERT_FINGERPRINT,
    POLICY_CCERT_PUBKEY_FINGERPRINT,
    POLICY_ENCRYPTION_PROTOCOL,
    POLICY_ENCRYPTION_CIPHER,
    POLICY_ENCRYPTION_KEYSIZE,
    POLICY_POLICY_CONTEXT,
    POLICY_COMPATIBILITY_LEVEL,
    POLICY_MAIL_VERSION,
    N_POLICY_ATTRIBUTES,
};

struct policy_request {
    struct str value[N_POLICY_ATTRIBUTES]; /* as sent; empty when it was not, which Postfix means the same by */
};

enum policy_request_result {
    POLICY_REQUEST_MORE, /* not complete yet */
    POLICY_REQUEST_READY,
    POLICY_REQUEST_BAD, /* not this protocol, or past a bound: close */
};

/*
 * *ret_consumed is the request's length when READY, else 0; *ret_request is untouched unless READY. After MORE call
 * again with all bytes so far. Attributes that we do not know are ignored; one of ours that stands there twice, a line
 * without '=', a control byte, and a request that is no "smtpd_access_policy" are BAD.
 */
enum policy_request_result policy_request_parse(const char *at, size_t len, size_t *ret_consumed,
                                                struct policy_request *ret_request);
