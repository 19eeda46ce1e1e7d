/*
 * spamassassin: spamd's protocol (spamd/PROTOCOL of SpamAssassin, version 1.5): SYMBOLS, PING, and TELL. Pure.
 *
 *     SYMBOLS SPAMC/1.5\r\n                      SPAMD/1.1 0 EX_OK\r\n
 *     User: example.org\r\n                      Content-length: 23\r\n
 *     Content-length: 4711\r\n                   Spam: True ; 15.3 / 5.0\r\n
 *     \r\n                                       \r\n
 *     <the message>                              BAYES_99,HTML_MESSAGE,…
 *
 * The symbols are all that is asked for: the message goes on as it came, whatever spamd would make of it. One
 * connection a message, as spamd has it.
 */
#pragma once

#include "facts/scanner_protocol.h"

enum { SPAMD_ANSWER_MAX = 16 * 1024, SPAMD_SYMBOLS_MAX = 1024, SPAMD_USER_MAX = 255 };

extern const struct scanner_protocol spamd_protocol;

/* "User: example.org\r\n", in lower case: whoever writes an address does not choose among spamd's databases by spelling
 * it otherwise. Nothing for what cannot be a user. Returns 0 or -errno. */
int spamd_put_user(struct str user, struct buf *out);

/* What stands in front of a message from which spamd is to learn; user: "" or as above. Returns 0 or -errno. */
int spamd_put_tell(struct str user, uint64_t size, bool is_spam, struct buf *out);

/* As scanner_protocol.read; the fuzzer's way in. */
enum scanner_answer spamd_read(struct str in, uint32_t number, size_t *ret_used, struct scanner_reply *ret_reply);
